// sync, trim, reap: what becomes of a file's blocks beside its data.
#include <algorithm>
#include <cerrno>
#include <cstring>

#include "volume/plan.h"

namespace lockstep::volume {
namespace {

constexpr std::size_t kObjectsPerEffect = 512;
constexpr std::size_t kXattrsPerEffect = 512;
/// Objects whose keys must be scanned: fewer than KnownKeys keeps scans of, or they would push each other out.
constexpr std::size_t kScannedPerEffect = 4;

/// Every written byte of `file` in the area; one range for all of the area if the file is too large to look.
Step<std::vector<ByteRange>> all_data(Draft& draft, const Draft::Object& file) {
  std::vector<ByteRange> everything{{0, draft.state.blocks * kBlockBytes}};
  if (file.chunk_end > kChunksPerEffect) return everything;
  std::vector<Draft::Chunk*> found;
  const auto all = draft.chunks(file, 0, kNoChunk, found);
  if (!all) return std::unexpected(all.error());
  if (!*all) return everything;
  DirtyRanges gathered;
  gathered.clean(file.id);
  for (const Draft::Chunk* chunk : found) {
    for (const Extent& e : chunk->map.extents()) {
      if (!e.unwritten) gathered.add(file.id, {e.address * kBlockBytes, e.count * kBlockBytes});
    }
  }
  return *gathered.of(file.id);
}

/// `file` has no stale chunk below `chunk`.
void advance_cuts(Draft::Object& file, std::uint32_t chunk) {
  while (file.cuts.size() > 1 && file.cuts[1].from <= chunk) file.cuts.erase(file.cuts.begin());
  file.cuts.front().from = std::max(file.cuts.front().from, chunk);
}

/// The objects that a reap names.
Step<std::vector<InodeId>> named(const wire::Operation& operation) {
  if (operation.inode != kNoInode) return std::vector{operation.inode};
  if (operation.text.size() % sizeof(std::uint64_t) != 0) return refuse(EINVAL);
  std::vector<InodeId> inodes(operation.text.size() / sizeof(std::uint64_t));
  for (std::size_t i = 0; i < inodes.size(); ++i)
    std::memcpy(&inodes[i].value, operation.text.data() + i * sizeof(std::uint64_t), sizeof(std::uint64_t));
  return inodes;
}

/// Takes `object` apart. False: some of it is left.
Step<bool> take_apart(Draft& draft, Draft::Object& object, std::size_t& chunks_done, std::size_t& extents_done) {
  std::vector<Draft::Chunk*> found;
  const auto all_chunks = draft.chunks(object, 0, kNoChunk, found);
  Step<KnownKeys::Scanned> xattrs = KnownKeys::Scanned{{}, true};
  if (object.xattrs > 0) xattrs = draft.scan(xattrs_of(object.id), kXattrsPerEffect);
  if (!all_chunks) return std::unexpected(all_chunks.error());
  if (!xattrs) return std::unexpected(xattrs.error());
  for (Draft::Chunk* chunk : found) {
    chunks_done += 1;
    extents_done += chunk->stored.size();
    draft.cut(object, *chunk, 0, kChunkBlocks);
  }
  for (const runtime::KeyPair& pair : xattrs->pairs) draft.erase(pair.key);
  object.change();
  if (!*all_chunks || !xattrs->complete) return false;
  draft.remove(object);
  return true;
}

}  // namespace

Step<Planned> plan_sync(Draft& draft, const wire::Operation& operation) {
  const auto found = draft.inode(operation.inode);
  if (!found) return std::unexpected(found.error());
  Draft::Object& file = **found;
  if (file.is_file()) {
    if (auto dirty = draft.state.dirty.of(file.id)) {
      draft.sync = std::move(*dirty);
    } else {
      auto all = all_data(draft, file);
      if (!all) return std::unexpected(all.error());
      draft.sync = std::move(*all);
    }
  }
  draft.sync_all = draft.sync.empty();
  // Times that are only in memory are what fsync promises, and fdatasync does not.
  if (!operation.data_only && draft.state.lazy.contains(file.id)) file.change();
  return draft.finish({}, &file);
}

Step<Planned> plan_trim(Draft& draft, const wire::Operation& operation) {
  const auto found = draft.inode(operation.inode);
  if (!found) return std::unexpected(found.error());
  Draft::Object& file = **found;
  if (!file.is_file()) return Draft::answer({}, &file);
  const bool had_ahead = file.ahead;
  if (const auto given = draft.give_back_ahead(file); !given) return std::unexpected(given.error());
  if (had_ahead) file.growths = 0;
  wire::Outcome outcome;
  if (!file.cuts.empty()) {
    std::vector<Draft::Chunk*> chunks;
    const auto all = draft.chunks(file, file.cuts.front().from, kNoChunk, chunks);
    if (!all) return std::unexpected(all.error());
    for (Draft::Chunk* chunk : chunks) {
      if (!chunk->stale.empty()) draft.touch(file, *chunk);
    }
    if (*all) {
      file.cuts.clear();
    } else {
      advance_cuts(file, chunks.back()->index + 1);
      outcome.value = 1;
    }
    file.change();
  }
  if (file.fate == Draft::Object::Fate::same) return Draft::answer(outcome, &file);
  draft.drop_attributes(file.id);
  return draft.finish(outcome, nullptr);  // no change that anybody made: changes.h
}

Step<Planned> plan_reap(Draft& draft, const wire::Operation& operation) {
  const auto inodes = named(operation);
  if (!inodes) return std::unexpected(inodes.error());
  wire::Outcome outcome;
  std::size_t chunks_done = 0, extents_done = 0, objects_done = 0, scanned = 0;
  bool halted = false;
  for (const InodeId id : *inodes) {
    const auto object = draft.inode(id);
    if (!object) {
      if (object.error().error == 0) halted = true;
      continue;
    }
    const bool named_or_full = (*object)->links > 0 || ((*object)->is_directory() && (*object)->size > 0);
    if (named_or_full || (*object)->fate == Draft::Object::Fate::removed) continue;
    if ((*object)->xattrs > 0 || (*object)->chunk_end > kChunksPeeked) ++scanned;
    if (scanned > kScannedPerEffect || objects_done == kObjectsPerEffect || chunks_done >= kChunksPerEffect || extents_done >= kExtentsPerEffect) {
      outcome.value = 1;
      break;
    }
    const auto done = take_apart(draft, **object, chunks_done, extents_done);
    if (!done) {
      halted = true;
    } else {
      ++objects_done;
      if (!*done) outcome.value = 1;
    }
  }
  if (halted) return refuse(0);
  return draft.finish(outcome, nullptr);
}

}  // namespace lockstep::volume
