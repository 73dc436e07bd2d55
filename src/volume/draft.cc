#include "volume/draft.h"

#include <algorithm>
#include <cerrno>

#include <fmt/format.h>

#include "core/check.h"

namespace lockstep::volume {
namespace {

constexpr std::size_t kScanPairs = 256;

}  // namespace

runtime::HostAttributes attributes_of(const Inode& inode) {
  runtime::HostAttributes a;
  a.inode = inode.id;
  a.mode = inode.mode;
  a.links = inode.links;
  a.uid = inode.uid;
  a.gid = inode.gid;
  a.rdev = inode.rdev;
  a.size = inode.size;
  a.blocks = inode.blocks * (kBlockBytes / 512);
  a.atime = inode.atime;
  a.mtime = inode.mtime;
  a.ctime = inode.ctime;
  a.btime = inode.btime;
  return a;
}

bool is_stale(const Inode& file, std::uint32_t chunk, std::uint32_t generation) {
  const auto behind = std::find_if(file.cuts.begin(), file.cuts.end(), [&](const Cut& cut) { return cut.from > chunk; });
  return behind != file.cuts.begin() && generation < std::prev(behind)->generation;
}

Step<const std::string*> Draft::look(std::string key) {
  const KnownKeys::Look found = state.keys.look(key);
  if (found.peek == runtime::Peek::unknown) {
    miss.keys.push_back(std::move(key));
    return refuse(0);
  }
  return found.value;
}

Step<Draft::Object*> Draft::inode(InodeId id) {
  for (Object& known : objects_) {
    if (known.id == id) return &known;
  }
  const auto value = look(inode_key(id));
  if (!value) return std::unexpected(value.error());
  if (*value == nullptr) return refuse(ESTALE);
  Result<Inode> unpacked = unpack_inode(id, **value);
  if (!unpacked) {
    damage = unpacked.error();
    return refuse(0);
  }
  Object& object = objects_.emplace_back(Object{std::move(*unpacked)});
  if (const auto lazy = state.lazy.find(id); lazy != state.lazy.end()) {
    object.mtime = lazy->second.mtime;
    object.ctime = lazy->second.ctime;
  }
  return &object;
}

Step<std::optional<EntryValue>> Draft::entry(InodeId directory, std::string_view name) {
  const auto value = look(entry_key(directory, name));
  if (!value) return std::unexpected(value.error());
  if (*value == nullptr) return std::optional<EntryValue>{};
  const Result<EntryValue> unpacked = unpack_entry(**value);
  if (!unpacked) {
    damage = unpacked.error();
    return refuse(0);
  }
  return *unpacked;
}

Step<std::optional<std::string>> Draft::xattr(InodeId inode, std::string_view name) {
  const auto value = look(xattr_key(inode, name));
  if (!value) return std::unexpected(value.error());
  if (*value == nullptr) return std::optional<std::string>{};
  return **value;
}

Step<Draft::Chunk*> Draft::chunk(const Object& file, std::uint32_t index) {
  for (Chunk& known : chunks_) {
    if (known.inode == file.id && known.index == index) return &known;
  }
  if (index >= file.chunk_end) return open_chunk(file, index, nullptr);
  const auto value = look(chunk_key(file.id, index));
  if (!value) return std::unexpected(value.error());
  return open_chunk(file, index, *value);
}

Step<Draft::Chunk*> Draft::open_chunk(const Object& file, std::uint32_t index, const std::string* value) {
  Chunk opened;
  opened.inode = file.id;
  opened.index = index;
  if (value != nullptr) {
    Result<ChunkValue> unpacked = unpack_chunk(*value, state.blocks);
    if (!unpacked) {
      damage = Error{unpacked.error().code, 0, fmt::format("inode {} chunk {}: {}", file.id.value, index, unpacked.error().text)};
      return refuse(0);
    }
    opened.present = true;
    opened.stored = unpacked->extents;
    if (is_stale(file, index, unpacked->generation)) {
      for (const Run& run : runs_of(opened.stored)) opened.stale.push_back({run.address, run.count});
    } else {
      opened.map = ExtentMap(std::move(unpacked->extents));
    }
  }
  chunks_.push_back(std::move(opened));
  return &chunks_.back();
}

Step<KnownKeys::Scanned> Draft::scan(KeySpan span, std::size_t limit) {
  auto found = state.keys.scanned(Range{std::move(span.from), std::move(span.to), limit}, miss);
  if (!found) return refuse(0);
  return std::move(*found);
}

Step<bool> Draft::chunks(const Object& file, std::uint32_t first, std::uint32_t end, std::vector<Chunk*>& found) {
  end = std::min(end, file.chunk_end);
  if (first >= end) return true;
  if (end - first <= kChunksPeeked) {
    bool halted = false;
    for (std::uint32_t i = first; i < end; ++i) {
      const auto one = chunk(file, i);
      if (!one) {
        halted = true;
      } else if ((*one)->present) {
        found.push_back(*one);
      }
    }
    if (halted) return refuse(0);
    return true;
  }
  const auto scanned = scan(chunks_of(file.id, first, end), kScanPairs);
  if (!scanned) return std::unexpected(scanned.error());
  std::size_t extents = 0;
  for (std::size_t i = 0; i < scanned->pairs.size(); ++i) {
    const runtime::KeyPair& pair = scanned->pairs[i];
    const Result<std::uint32_t> index = parse_chunk_key(pair.key);
    if (!index) {
      damage = index.error();
      return refuse(0);
    }
    const auto known = std::find_if(chunks_.begin(), chunks_.end(),
                                    [&](const Chunk& c) { return c.inode == file.id && c.index == *index; });
    if (known != chunks_.end()) {
      found.push_back(&*known);
    } else {
      const auto opened = open_chunk(file, *index, &pair.value);
      if (!opened) return std::unexpected(opened.error());
      found.push_back(*opened);
    }
    extents += found.back()->stored.size();
    const bool last = i + 1 == scanned->pairs.size();
    if (!last && (i + 1 >= kChunksPerEffect || extents >= kExtentsPerEffect)) return false;
  }
  return scanned->complete;
}

Draft::Object* Draft::make(std::uint32_t mode) {
  CHECK(!made_);
  made_ = true;
  Object& object = objects_.emplace_back();
  object.id = InodeId{state.free_inode()};
  object.mode = mode;
  object.atime = object.mtime = object.ctime = object.btime = now;
  object.change();
  return &object;
}

void Draft::remove(Object& object) {
  object.fate = Object::Fate::removed;
  for (const Reservation* reservation : state.reservations.of(object.id)) erase(reservation_key(*reservation));
}

void Draft::count(BlockRange blocks, std::int64_t sign) {
  for (std::uint64_t at = blocks.first; at < blocks.end();) {
    const std::uint64_t group = at / kGroupBlocks;
    const std::uint64_t end = std::min(blocks.end(), (group + 1) * kGroupBlocks);
    group_change_[static_cast<std::uint32_t>(group)] += sign * static_cast<std::int64_t>(end - at);
    at = end;
  }
}

Step<std::vector<BlockRange>> Draft::take(std::uint64_t blocks, std::optional<std::uint64_t> goal) {
  const std::uint64_t needed = blocks + state.reserve();
  if (state.free_space.total_usable() < needed) {
    space_waits = state.free_space.total_free() >= needed;
    return refuse(ENOSPC);
  }
  std::vector<BlockRange> taken;
  while (blocks > 0) {
    auto answer = state.free_space.allocate({.count = blocks, .goal = goal, .without = allocated_});
    if (const auto* load = std::get_if<area::Allocator::LoadGroup>(&answer)) {
      miss.groups.push_back(load->group);
      return refuse(0);
    }
    if (const auto* none = std::get_if<area::Allocator::NoSpace>(&answer)) {
      space_waits = none->held > 0;
      return refuse(ENOSPC);
    }
    for (const BlockRange& range : std::get<area::Allocator::Ranges>(answer)) {
      CHECK(range.count > 0 && range.count <= blocks);
      allocated_.push_back(range);
      count(range, -1);
      taken.push_back(range);
      blocks -= range.count;
      goal = range.end();
    }
  }
  return taken;
}

void Draft::touch(Object& file, Chunk& chunk) {
  chunk.changed = true;
  for (const BlockRange& blocks : chunk.stale) {
    freed_.push_back(blocks);
    count(blocks, 1);
    file.blocks -= std::min(file.blocks, blocks.count);
    file.change();
  }
  chunk.stale.clear();
}

void Draft::insert(Object& file, Chunk& chunk, const Extent& extent) {
  CHECK(chunk.changed && chunk.stale.empty());
  chunk.map.insert(extent);
  file.blocks += extent.count;
  file.chunk_end = std::max(file.chunk_end, chunk.index + 1);
  file.change();
}

void Draft::cut(Object& file, Chunk& chunk, std::uint32_t from, std::uint32_t to) {
  if (!chunk.stale.empty()) touch(file, chunk);
  for (const BlockRange& blocks : chunk.map.remove(from, to)) {
    chunk.changed = true;
    freed_.push_back(blocks);
    count(blocks, 1);
    file.blocks -= std::min(file.blocks, blocks.count);
    file.change();
  }
}

Step<> Draft::give_back_ahead(Object& file) {
  if (!file.ahead) return {};
  // Space ahead is at most a chunk long (plan_write.cc), so it ends in the next chunk at the latest.
  const std::uint64_t end = blocks_for(file.size);
  std::vector<Chunk*> found;
  const auto first = static_cast<std::uint32_t>(end / kChunkBlocks);
  const auto all = chunks(file, first, first + 2, found);
  if (!all) return std::unexpected(all.error());
  for (Chunk* chunk : found) {
    const auto from = static_cast<std::uint32_t>(std::clamp<std::uint64_t>(end, chunk->base(), chunk->base() + kChunkBlocks) - chunk->base());
    for (const Segment& s : chunk->map.segments(from, kChunkBlocks)) {
      if (s.mapped && !s.unwritten) cut(file, *chunk, s.first, s.end());
    }
  }
  file.ahead = false;
  file.change();
  return {};
}

void Draft::finish_chunk(const Chunk& chunk) {
  if (!chunk.changed) return;
  const auto object = std::find_if(objects_.begin(), objects_.end(), [&](const Object& o) { return o.id == chunk.inode; });
  CHECK(object != objects_.end());
  if (!chunk.map.empty()) {
    put(chunk_key(chunk.inode, chunk.index), pack_chunk({object->generation, chunk.map.extents()}));
  } else if (chunk.present) {
    erase(chunk_key(chunk.inode, chunk.index));
  }
  const RunChange runs = runs_changed(chunk.stored, chunk.map.extents());
  auto before = runs.before.begin();
  for (const Run& run : runs.after) {
    for (; before != runs.before.end() && before->address < run.address; ++before) erase(block_key(before->address));
    const bool same = before != runs.before.end() && *before == run;
    if (before != runs.before.end() && before->address == run.address) ++before;
    if (!same) put(block_key(run.address), pack_owner({chunk.inode, chunk.base() + run.first, run.count}));
  }
  for (; before != runs.before.end(); ++before) erase(block_key(before->address));
}

Planned Draft::finish(wire::Outcome outcome, const Object* about) {
  for (const Chunk& chunk : chunks_) finish_chunk(chunk);
  for (const Object& object : objects_) {
    if (object.fate == Object::Fate::changed) {
      put(inode_key(object.id), pack_inode(object));
    } else if (object.fate == Object::Fate::removed) {
      erase(inode_key(object.id));
      erase(orphan_key(object.id));
      if (!state.locks.of(object.id).empty()) erase(locks_key(object.id));
    }
  }
  for (const auto& [group, change] : group_change_) {
    if (change != 0) put(group_key(group), pack_u32(static_cast<std::uint32_t>(static_cast<std::int64_t>(state.free_space.free(group)) + change)));
  }
  if (made_ && state.free_inode() >= state.inode_bound) put(std::string(kNextInodeKey), pack_u64(state.free_inode() + kInodesPerBound));
  Planned planned;
  wire::Effect& effect = planned.effect;
  effect.batch = std::move(batch_);
  effect.writes = std::move(writes);
  effect.allocated = std::move(allocated_);
  effect.freed = std::move(freed_);
  effect.drops = std::move(drops_);
  effect.times = times;
  effect.sync = std::move(sync);
  effect.sync_all = sync_all;
  effect.outcome = std::move(outcome);
  if (about != nullptr) effect.outcome.attributes = attributes_of(*about);
  planned.changes = !effect.batch.empty() || !effect.writes.empty() || effect.times.inode != kNoInode || !effect.sync.empty() ||
                    effect.sync_all;
  return planned;
}

Planned Draft::answer(wire::Outcome outcome, const Object* about) {
  Planned planned;
  planned.changes = false;
  planned.effect.outcome = std::move(outcome);
  if (about != nullptr) planned.effect.outcome.attributes = attributes_of(*about);
  return planned;
}

}  // namespace lockstep::volume
