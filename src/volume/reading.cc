// What hosts read of metadata. None of this changes anything or waits for another site.
#include <algorithm>
#include <cerrno>
#include <sys/stat.h>

#include "volume/draft.h"
#include "volume/file_volume.h"

namespace lockstep::volume {
namespace {

constexpr std::uint64_t kChunkBytes = kChunkBlocks * kBlockBytes;
constexpr std::size_t kChunksScanned = 64;

Error errno_of(int number) { return Error{Errc::posix, number, {}}; }

/// The extents of a chunk, as they stand; none, if it is stale or not there.
Result<ExtentMap> live_map(const State& state, const Inode& file, std::uint32_t chunk, const std::string* value) {
  if (value == nullptr) return ExtentMap{};
  Result<ChunkValue> unpacked = unpack_chunk(*value, state.blocks);
  if (!unpacked) return std::unexpected(unpacked.error());
  if (is_stale(file, chunk, unpacked->generation)) return ExtentMap{};
  return ExtentMap(std::move(unpacked->extents));
}

/// A chunk that exists, and its map.
struct Found {
  std::uint32_t index = kNoChunk;  ///< kNoChunk: there is none
  ExtentMap map;
};

/// The first chunk of `file` in [first, end) that exists.
Attempt<Found> next_chunk(State& state, const Inode& file, std::uint32_t first, std::uint32_t end) {
  end = std::min(end, file.chunk_end);
  Miss miss;
  const std::uint32_t peeked = end - std::min(end, first) < kChunksPeeked ? end : first + kChunksPeeked;
  for (std::uint32_t i = first; i < peeked; ++i) {
    const std::string key = chunk_key(file.id, i);
    const KnownKeys::Look look = state.keys.look(key);
    if (look.peek == runtime::Peek::unknown) miss.keys.push_back(key);
    if (look.peek != runtime::Peek::found || !miss.empty()) continue;
    Result<ExtentMap> map = live_map(state, file, i, look.value);
    if (!map) return map.error();
    return Found{i, std::move(*map)};
  }
  if (!miss.empty()) return miss;
  if (peeked >= end) return Found{};
  KeySpan span = chunks_of(file.id, peeked, end);
  const auto scanned = state.keys.scanned({std::move(span.from), std::move(span.to), 1}, miss);
  if (!scanned) {
    for (Range& range : miss.ranges) range.limit = kChunksScanned;
    return miss;
  }
  if (scanned->pairs.empty()) return Found{};
  const Result<std::uint32_t> index = parse_chunk_key(scanned->pairs[0].key);
  if (!index) return index.error();
  Result<ExtentMap> map = live_map(state, file, *index, &scanned->pairs[0].value);
  if (!map) return map.error();
  return Found{*index, std::move(*map)};
}

/// Adds to `pieces`, joined to the last one where it goes on.
void add_piece(std::vector<Piece>& pieces, const Piece& piece) {
  if (!pieces.empty()) {
    Piece& last = pieces.back();
    if (last.hole == piece.hole && (piece.hole || last.address + last.length == piece.address)) {
      last.length += piece.length;
      return;
    }
  }
  pieces.push_back(piece);
}

}  // namespace

Attempt<Inode> FileVolume::inode(InodeId id) {
  const std::string key = inode_key(id);
  const KnownKeys::Look look = state_.keys.look(key);
  if (look.peek == runtime::Peek::unknown) return Miss{{key}, {}, {}};
  if (look.peek == runtime::Peek::absent) return errno_of(ESTALE);
  Result<Inode> unpacked = unpack_inode(id, *look.value);
  if (!unpacked) return unpacked.error();
  if (const auto lazy = state_.lazy.find(id); lazy != state_.lazy.end()) {
    unpacked->mtime = lazy->second.mtime;
    unpacked->ctime = lazy->second.ctime;
  }
  return std::move(*unpacked);
}

Attempt<runtime::HostAttributes> FileVolume::attributes(InodeId id) {
  Attempt<Inode> found = inode(id);
  if (found.miss()) return std::move(*found.miss());
  if (found.error()) return std::move(*found.error());
  return attributes_of(*found.value());
}

Attempt<runtime::HostAttributes> FileVolume::lookup(InodeId directory, std::string_view name) {
  if (name.size() > kNameBytesMax) return errno_of(ENAMETOOLONG);
  const std::string key = entry_key(directory, name);
  const KnownKeys::Look look = state_.keys.look(key);
  if (look.peek == runtime::Peek::unknown) return Miss{{key}, {}, {}};
  if (look.peek == runtime::Peek::absent) return errno_of(ENOENT);
  const Result<EntryValue> entry = unpack_entry(*look.value);
  if (!entry) return entry.error();
  return attributes(entry->inode);
}

Attempt<InodeId> FileVolume::parent(InodeId directory) {
  Attempt<Inode> found = inode(directory);
  if (found.miss()) return std::move(*found.miss());
  if (found.error()) return std::move(*found.error());
  if (!found.value()->is_directory()) return errno_of(ENOTDIR);
  return found.value()->parent;
}

Attempt<Home> FileVolume::home(InodeId id) {
  Attempt<Inode> found = inode(id);
  if (found.miss()) return std::move(*found.miss());
  if (found.error()) return std::move(*found.error());
  const Inode& it = *found.value();
  if (it.links == 0) return Home{kNoInode, it.type(), 0};
  return Home{it.parent, it.type(), it.is_directory() ? 1 : it.links};
}

Attempt<std::vector<Piece>> FileVolume::map(InodeId id, ByteRange range) {
  Attempt<Inode> found = inode(id);
  if (found.miss()) return std::move(*found.miss());
  if (found.error()) return std::move(*found.error());
  const Inode& file = *found.value();
  if (!file.is_file()) return errno_of(file.is_directory() ? EISDIR : EINVAL);
  std::vector<Piece> pieces;
  if (range.offset >= file.size || range.empty()) return pieces;
  const std::uint64_t end = range.offset + std::min(range.length, file.size - range.offset);
  Miss miss;
  for (std::uint64_t at = range.offset; at < end;) {
    const auto chunk = static_cast<std::uint32_t>(at / kChunkBytes);
    const std::uint64_t base = chunk * kChunkBytes;
    const std::uint64_t to = std::min(end, base + kChunkBytes);
    KnownKeys::Look look{runtime::Peek::absent, nullptr};
    std::string key;
    if (chunk < file.chunk_end) {
      key = chunk_key(id, chunk);
      look = state_.keys.look(key);
    }
    if (look.peek == runtime::Peek::unknown) miss.keys.push_back(std::move(key));
    const Result<ExtentMap> map = live_map(state_, file, chunk, look.value);
    if (!map) return map.error();
    const auto first_block = static_cast<std::uint32_t>((at - base) / kBlockBytes);
    for (const Segment& s : map->segments(first_block, static_cast<std::uint32_t>(blocks_for(to - base)))) {
      const std::uint64_t from = std::max(at, base + s.first * kBlockBytes);
      const std::uint64_t until = std::min(to, base + s.end() * kBlockBytes);
      const bool hole = !s.mapped || s.unwritten;
      add_piece(pieces, {from, until - from, hole ? 0 : s.address * kBlockBytes + (from - base - s.first * kBlockBytes), hole});
    }
    at = to;
  }
  if (!miss.empty()) return miss;
  return pieces;
}

Attempt<std::uint64_t> FileVolume::seek(InodeId id, std::uint64_t offset, bool data) {
  Attempt<Inode> found = inode(id);
  if (found.miss()) return std::move(*found.miss());
  if (found.error()) return std::move(*found.error());
  const Inode& file = *found.value();
  if (!file.is_file()) return errno_of(EINVAL);
  if (offset >= file.size) return errno_of(ENXIO);
  const auto chunks = static_cast<std::uint32_t>((file.size + kChunkBytes - 1) / kChunkBytes);
  for (std::uint64_t at = offset; at < file.size;) {
    const auto chunk = static_cast<std::uint32_t>(at / kChunkBytes);
    Attempt<Found> next = next_chunk(state_, file, chunk, chunks);
    if (next.miss()) return std::move(*next.miss());
    if (next.error()) return std::move(*next.error());
    const Found& it = *next.value();
    if (it.index != chunk) {
      if (!data) return at;
      if (it.index == kNoChunk) return errno_of(ENXIO);
      at = it.index * kChunkBytes;
    }
    const std::uint64_t base = it.index * kChunkBytes;
    for (const Segment& s : it.map.segments(static_cast<std::uint32_t>((at - base) / kBlockBytes), kChunkBlocks)) {
      const std::uint64_t from = std::max(at, base + s.first * kBlockBytes);
      if (from >= file.size) break;
      if ((s.mapped && !s.unwritten) == data) return from;
    }
    at = base + kChunkBytes;
  }
  if (data) return errno_of(ENXIO);
  return file.size;
}

Attempt<std::string> FileVolume::symlink_target(InodeId id) {
  Attempt<Inode> found = inode(id);
  if (found.miss()) return std::move(*found.miss());
  if (found.error()) return std::move(*found.error());
  if (found.value()->type() != S_IFLNK) return errno_of(EINVAL);
  return std::move(found.value()->target);
}

Attempt<std::string> FileVolume::xattr(InodeId id, std::string_view name) {
  Attempt<Inode> found = inode(id);
  if (found.miss()) return std::move(*found.miss());
  if (found.error()) return std::move(*found.error());
  if (found.value()->xattrs == 0) return errno_of(ENODATA);
  const std::string key = xattr_key(id, name);
  const KnownKeys::Look look = state_.keys.look(key);
  if (look.peek == runtime::Peek::unknown) return Miss{{key}, {}, {}};
  if (look.peek == runtime::Peek::absent) return errno_of(ENODATA);
  return *look.value;
}

runtime::Task<Result<std::string>> FileVolume::xattr_names(InodeId id) {
  KeySpan span = xattrs_of(id);
  const Result<std::map<std::string, std::string>> pairs = co_await state_.keys.read_all(std::move(span.from), std::move(span.to));
  if (!pairs) co_return std::unexpected(pairs.error());
  std::string names;
  for (const auto& [key, value] : *pairs) {
    names += parse_xattr_key(key);
    names += '\0';
  }
  co_return names;
}

// A cookie is a hash, so entries with one hash belong together: a page never ends between them.
runtime::Task<Result<std::vector<Entry>>> FileVolume::list(InodeId directory, std::uint64_t cookie, std::size_t limit) {
  std::vector<Entry> entries;
  KeySpan span = entries_behind(directory, cookie);
  const std::size_t page_keys = limit + 1;
  for (;;) {
    const Result<std::vector<runtime::KeyPair>> page =
        co_await state_.keys.store().scan(span.from, span.to, page_keys, nullptr);
    if (!page) co_return std::unexpected(page.error());
    for (const runtime::KeyPair& pair : *page) {
      const Result<EntryKey> key = parse_entry_key(pair.key);
      if (!key) co_return std::unexpected(key.error());
      const Result<EntryValue> value = unpack_entry(pair.value);
      if (!value) co_return std::unexpected(value.error());
      if (!entries.empty() && entries.size() >= limit && entries.back().cookie != key->hash) co_return entries;
      entries.push_back({std::string(key->name), value->inode, value->type, key->hash});
    }
    if (page->size() < page_keys) co_return entries;
    span.from = page->back().key + '\0';
  }
}

}  // namespace lockstep::volume
