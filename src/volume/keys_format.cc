#include "volume/keys_format.h"

#include <concepts>
#include <cstring>

#include <fmt/format.h>

#include "core/checksum.h"

namespace lockstep::volume {
namespace {

constexpr std::uint8_t kVersion = 1;
constexpr std::uint64_t kUnwrittenBit = std::uint64_t{1} << 63;
constexpr std::size_t kExtentBytes = 12;
constexpr std::uint8_t kWholeBit = 0x80;
constexpr std::size_t kLockBytes = 46;

template <std::unsigned_integral T>
void append_big(std::string& to, T n) {
  for (std::size_t i = sizeof(T); i-- > 0;) to.push_back(static_cast<char>(n >> (8 * i)));
}

template <std::unsigned_integral T>
T read_big(std::string_view from) {
  T n = 0;
  for (std::size_t i = 0; i < sizeof(T); ++i) n = static_cast<T>((n << 8) | static_cast<std::uint8_t>(from[i]));
  return n;
}

template <std::unsigned_integral T>
void append(std::string& to, T n) {
  static_assert(std::endian::native == std::endian::little);
  char bytes[sizeof(T)];
  std::memcpy(bytes, &n, sizeof(T));
  to.append(bytes, sizeof(T));
}

/// Takes numbers from the front; after one that was not there every other is zero and ok() is false.
class Taker {
 public:
  explicit Taker(std::string_view bytes) : bytes_(bytes) {}
  template <std::unsigned_integral T>
  T take() {
    T n = 0;
    if (bytes_.size() < sizeof(T)) {
      ok_ = false;
      bytes_ = {};
      return n;
    }
    std::memcpy(&n, bytes_.data(), sizeof(T));
    bytes_.remove_prefix(sizeof(T));
    return n;
  }
  WallTime take_time() { return WallTime{static_cast<std::int64_t>(take<std::uint64_t>())}; }
  [[nodiscard]] std::string_view rest() const { return bytes_; }
  [[nodiscard]] bool ok() const { return ok_; }
  [[nodiscard]] bool done() const { return ok_ && bytes_.empty(); }

 private:
  std::string_view bytes_;
  bool ok_ = true;
};

std::string numbered(char kind, std::uint64_t n, std::size_t room = 0) {
  std::string key;
  key.reserve(9 + room);
  key.push_back(kind);
  append_big(key, n);
  return key;
}

std::unexpected<Error> corrupt(std::string text) {
  return fail(Errc::corrupt, "metadata are damaged: " + std::move(text) + "; stop the daemon and run lockstep fsck");
}

constexpr char kRemoval = '-';

/// The first key behind all that begin with kOwnKey.
std::string behind_own() {
  std::string key{kOwnKey};
  ++key.back();
  return key;
}

/// The first key behind all that begin with `kind` and `n`.
std::string behind(char kind, std::uint64_t n) {
  return n == ~std::uint64_t{0} ? std::string(1, static_cast<char>(kind + 1)) : numbered(kind, n + 1);
}

}  // namespace

std::string inode_key(InodeId inode) { return numbered('I', inode.value); }

std::string entry_key(InodeId directory, std::string_view name) {
  std::string key = numbered('D', directory.value, 8 + name.size());
  append_big(key, name_hash(name));
  key.append(name);
  return key;
}

std::string chunk_key(InodeId inode, std::uint32_t chunk) {
  std::string key = numbered('E', inode.value, 4);
  append_big(key, chunk);
  return key;
}

std::string xattr_key(InodeId inode, std::string_view name) {
  std::string key = numbered('X', inode.value, name.size());
  key.append(name);
  return key;
}

std::string block_key(std::uint64_t block) { return numbered('R', block); }

std::string group_key(std::uint32_t group) {
  std::string key{"G"};
  append_big(key, group);
  return key;
}

std::string orphan_key(InodeId inode) { return numbered('O', inode.value); }
std::string locks_key(InodeId inode) { return numbered('L', inode.value); }

std::string reservation_key(const Reservation& reservation) {
  std::string key = numbered('V', reservation.object.value, 16);
  append_big(key, reservation.first);
  append_big(key, reservation.count);
  return key;
}

std::string own_key(InodeId inode, bool removal) {
  std::string key{kOwnKey};
  append_big(key, inode.value);
  if (removal) key += kRemoval;
  return key;
}

std::uint64_t name_hash(std::string_view name) {
  const std::uint64_t hash = checksum(std::as_bytes(std::span(name.data(), name.size()))) >> 1;
  return hash < 16 ? hash + 16 : hash;
}

KeySpan entries_behind(InodeId directory, std::uint64_t cookie) {
  std::string from = numbered('D', directory.value, 8);
  append_big(from, cookie == ~std::uint64_t{0} ? cookie : cookie + 1);
  return {std::move(from), behind('D', directory.value)};
}

KeySpan chunks_of(InodeId inode, std::uint32_t first, std::uint32_t end) {
  return {chunk_key(inode, first), end == kNoChunk ? behind('E', inode.value) : chunk_key(inode, end)};
}

KeySpan all_own() { return {std::string(kOwnKey), behind_own()}; }
KeySpan own_from(InodeId first) { return {own_key(first, false), behind_own()}; }
KeySpan xattrs_of(InodeId inode) { return {numbered('X', inode.value), behind('X', inode.value)}; }
KeySpan blocks_in(std::uint64_t first, std::uint64_t end) { return {block_key(first), block_key(end)}; }
KeySpan groups_from(std::uint32_t first) { return {group_key(first), "H"}; }
KeySpan all_orphans() { return {"O", "P"}; }
KeySpan all_reservations() { return {"V", "W"}; }

KeySpan all_locks() { return {"L", "M"}; }

Result<EntryKey> parse_entry_key(std::string_view key) {
  if (key.size() < 18 || key[0] != 'D') return corrupt("a directory entry's key is too short");
  return EntryKey{read_big<std::uint64_t>(key.substr(9)), key.substr(17)};
}

Result<std::uint32_t> parse_chunk_key(std::string_view key) {
  if (key.size() != 13 || key[0] != 'E') return corrupt("a chunk's key has the wrong length");
  return read_big<std::uint32_t>(key.substr(9));
}

Result<std::uint64_t> parse_block_key(std::string_view key) {
  if (key.size() != 9 || key[0] != 'R') return corrupt("a block's key has the wrong length");
  return read_big<std::uint64_t>(key.substr(1));
}

Result<std::uint32_t> parse_group_key(std::string_view key) {
  if (key.size() != 5 || key[0] != 'G') return corrupt("a group's key has the wrong length");
  return read_big<std::uint32_t>(key.substr(1));
}

Result<OwnKey> parse_own_key(std::string_view key) {
  const std::size_t numbered = kOwnKey.size() + sizeof(std::uint64_t);
  const bool removal = key.size() == numbered + 1 && key.back() == kRemoval;
  if (!key.starts_with(kOwnKey) || (key.size() != numbered && !removal)) return corrupt("a key of what the log has forgotten");
  return OwnKey{InodeId{read_big<std::uint64_t>(key.substr(kOwnKey.size()))}, removal};
}

Result<InodeId> parse_inode_key(std::string_view key) {
  if (key.size() != 9) return corrupt("an inode's key has the wrong length");
  return InodeId{read_big<std::uint64_t>(key.substr(1))};
}

std::string_view parse_xattr_key(std::string_view key) { return key.size() > 9 ? key.substr(9) : std::string_view{}; }

// u8 version, u8 flags (1 ahead, 2 linkable), u8 growths, u8 zero, u32 mode, links, uid, gid, rdev, u64 size, blocks,
// i64 atime, mtime, ctime, btime, u64 parent, u32 generation, chunk_end, xattrs, xattr_bytes, cuts, then u32 from,
// generation of each cut, then the target.
std::string pack_inode(const Inode& inode) {
  std::string value;
  value.reserve(100 + inode.target.size());
  append(value, kVersion);
  append(value, static_cast<std::uint8_t>((inode.ahead ? 1 : 0) | (inode.linkable ? 2 : 0)));
  append(value, inode.growths);
  append(value, std::uint8_t{0});
  for (const std::uint32_t n : {inode.mode, inode.links, inode.uid, inode.gid, inode.rdev}) append(value, n);
  append(value, inode.size);
  append(value, inode.blocks);
  for (const WallTime t : {inode.atime, inode.mtime, inode.ctime, inode.btime}) append(value, static_cast<std::uint64_t>(t.value));
  append(value, inode.parent.value);
  for (const std::uint32_t n : {inode.generation, inode.chunk_end, inode.xattrs, inode.xattr_bytes}) append(value, n);
  append(value, static_cast<std::uint32_t>(inode.cuts.size()));
  for (const Cut& cut : inode.cuts) {
    append(value, cut.from);
    append(value, cut.generation);
  }
  value.append(inode.target);
  return value;
}

Result<Inode> unpack_inode(InodeId id, std::string_view value) {
  Taker in(value);
  Inode inode;
  inode.id = id;
  const auto version = in.take<std::uint8_t>();
  const auto flags = in.take<std::uint8_t>();
  inode.growths = in.take<std::uint8_t>();
  const auto zero = in.take<std::uint8_t>();
  for (std::uint32_t* n : {&inode.mode, &inode.links, &inode.uid, &inode.gid, &inode.rdev}) *n = in.take<std::uint32_t>();
  inode.size = in.take<std::uint64_t>();
  inode.blocks = in.take<std::uint64_t>();
  for (WallTime* t : {&inode.atime, &inode.mtime, &inode.ctime, &inode.btime}) *t = in.take_time();
  inode.parent = InodeId{in.take<std::uint64_t>()};
  for (std::uint32_t* n : {&inode.generation, &inode.chunk_end, &inode.xattrs, &inode.xattr_bytes}) *n = in.take<std::uint32_t>();
  const auto cuts = in.take<std::uint32_t>();
  for (std::uint32_t i = 0; i < cuts && cuts <= kCutsMax; ++i) {
    const auto from = in.take<std::uint32_t>();
    inode.cuts.push_back({from, in.take<std::uint32_t>()});
  }
  inode.ahead = (flags & 1) != 0;
  inode.linkable = (flags & 2) != 0;
  if (!in.ok() || version != kVersion || flags > 3 || zero != 0 || cuts > kCutsMax || (inode.is_file() && inode.size > kFileBytesMax))
    return corrupt(fmt::format("inode {} is not readable", id.value));
  inode.target = in.rest();
  if (inode.target.empty() != (inode.type() != 0120000) || inode.target.size() > kTargetBytesMax)
    return corrupt(fmt::format("inode {} has a wrong link target", id.value));
  return inode;
}

std::string pack_entry(const EntryValue& entry) {
  std::string value;
  append(value, kVersion);
  append(value, entry.inode.value);
  append(value, entry.type);
  return value;
}

Result<EntryValue> unpack_entry(std::string_view value) {
  Taker in(value);
  const auto version = in.take<std::uint8_t>();
  EntryValue entry;
  entry.inode = InodeId{in.take<std::uint64_t>()};
  entry.type = in.take<std::uint32_t>();
  if (!in.done() || version != kVersion || entry.inode == kNoInode) return corrupt("a directory entry is not readable");
  return entry;
}

std::string pack_chunk(const ChunkValue& chunk) {
  std::string value;
  value.reserve(5 + kExtentBytes * chunk.extents.size());
  append(value, kVersion);
  append(value, chunk.generation);
  for (const Extent& e : chunk.extents) {
    append(value, static_cast<std::uint16_t>(e.first));
    append(value, static_cast<std::uint16_t>(e.count));
    append(value, e.address | (e.unwritten ? kUnwrittenBit : 0));
  }
  return value;
}

Result<ChunkValue> unpack_chunk(std::string_view value, std::uint64_t area_blocks) {
  Taker in(value);
  ChunkValue chunk;
  const auto version = in.take<std::uint8_t>();
  chunk.generation = in.take<std::uint32_t>();
  if (!in.ok() || version != kVersion || in.rest().size() % kExtentBytes != 0) return corrupt("an extent map is not readable");
  chunk.extents.reserve(in.rest().size() / kExtentBytes);
  std::uint32_t end = 0;
  while (!in.rest().empty()) {
    Extent e;
    e.first = in.take<std::uint16_t>();
    e.count = in.take<std::uint16_t>();
    const auto address = in.take<std::uint64_t>();
    e.unwritten = (address & kUnwrittenBit) != 0;
    e.address = address & ~kUnwrittenBit;
    if (e.first < end || e.count == 0 || e.end() > kChunkBlocks) return corrupt("extents of a chunk overlap");
    if (e.address >= area_blocks || e.count > area_blocks - e.address ||
        e.address / kGroupBlocks != (e.address + e.count - 1) / kGroupBlocks)
      return corrupt("an extent reaches beyond the area or its group");
    end = e.end();
    chunk.extents.push_back(e);
  }
  return chunk;
}

std::string pack_owner(const Owner& owner) {
  std::string value;
  append(value, kVersion);
  append(value, owner.inode.value);
  append(value, owner.file_block);
  append(value, static_cast<std::uint16_t>(owner.count));
  return value;
}

Result<Owner> unpack_owner(std::string_view value) {
  Taker in(value);
  const auto version = in.take<std::uint8_t>();
  Owner owner;
  owner.inode = InodeId{in.take<std::uint64_t>()};
  owner.file_block = in.take<std::uint64_t>();
  owner.count = in.take<std::uint16_t>();
  if (!in.done() || version != kVersion || owner.count == 0 || owner.count > kChunkBlocks)
    return corrupt("the owner of a block is not readable");
  return owner;
}

// u8 version, u16 held, u16 waiting, then for each: u8 site, u64 boot, u64 owner, u8 1 read, 2 write | bit 7: whole, u32 pid,
// u64 first, u64 last, u64 ticket (0: held)
std::string pack_locks(const LocksValue& locks) {
  std::string value;
  append(value, kVersion);
  append(value, static_cast<std::uint16_t>(locks.held.size()));
  append(value, static_cast<std::uint16_t>(locks.waiting.size()));
  for (const auto* some : {&locks.held, &locks.waiting}) {
    for (const wire::LockRequest& lock : *some) {
      append(value, lock.owner.site.value);
      append(value, lock.owner.boot);
      append(value, lock.owner.id);
      append(value, static_cast<std::uint8_t>(static_cast<std::uint8_t>(lock.type) | (lock.whole ? kWholeBit : 0)));
      append(value, lock.pid);
      append(value, lock.first);
      append(value, lock.last);
      append(value, lock.ticket);
    }
  }
  return value;
}

Result<LocksValue> unpack_locks(std::string_view value) {
  Taker in(value);
  const auto version = in.take<std::uint8_t>();
  const std::size_t held = in.take<std::uint16_t>();
  const std::size_t waiting = in.take<std::uint16_t>();
  if (!in.ok() || version != kVersion || held + waiting == 0 || held + waiting > kLocksPerFileMax || in.rest().size() != (held + waiting) * kLockBytes)
    return corrupt("the locks of a file are not readable");
  LocksValue locks;
  for (std::size_t i = 0; i < held + waiting; ++i) {
    wire::LockRequest lock;
    lock.owner.site = SiteId{in.take<std::uint8_t>()};
    lock.owner.boot = in.take<std::uint64_t>();
    lock.owner.id = in.take<std::uint64_t>();
    const auto type = in.take<std::uint8_t>();
    lock.type = static_cast<wire::LockType>(type & ~kWholeBit);
    lock.whole = (type & kWholeBit) != 0;
    lock.pid = in.take<std::uint32_t>();
    lock.first = in.take<std::uint64_t>();
    lock.last = in.take<std::uint64_t>();
    lock.ticket = in.take<std::uint64_t>();
    lock.wait = i >= held;
    const bool good = lock.owner.site.value < SiteSet::kSitesMax && (lock.type == wire::LockType::read || lock.type == wire::LockType::write) &&
                      lock.first <= lock.last && lock.last <= wire::kLockLastMax && (lock.ticket != 0) == lock.wait;
    if (!good) return corrupt("a lock of a file is not readable");
    (lock.wait ? locks.waiting : locks.held).push_back(lock);
  }
  return locks;
}

std::string pack_reservation(const Reservation& reservation) {
  std::string value;
  append(value, kVersion);
  append(value, reservation.site.value);
  append(value, static_cast<std::uint8_t>((reservation.busy ? 1 : 0) | (reservation.tree ? 2 : 0)));
  append(value, std::uint8_t{0});
  append(value, static_cast<std::uint64_t>(reservation.since.value));
  value.append(reservation.path);
  return value;
}

Result<Reservation> unpack_reservation(std::string_view key, std::string_view value) {
  if (key.size() != 25 || key[0] != 'V') return corrupt("a reservation's key has the wrong length");
  Reservation reservation;
  reservation.object = InodeId{read_big<std::uint64_t>(key.substr(1))};
  reservation.first = read_big<std::uint64_t>(key.substr(9));
  reservation.count = read_big<std::uint64_t>(key.substr(17));
  Taker in(value);
  const auto version = in.take<std::uint8_t>();
  reservation.site = SiteId{in.take<std::uint8_t>()};
  const auto flags = in.take<std::uint8_t>();
  const auto zero = in.take<std::uint8_t>();
  reservation.since = in.take_time();
  if (!in.ok() || version != kVersion || flags > 3 || zero != 0 || reservation.site.value >= SiteSet::kSitesMax ||
      in.rest().size() > kTargetBytesMax)
    return corrupt(fmt::format("a reservation of inode {} is not readable", reservation.object.value));
  reservation.busy = (flags & 1) != 0;
  reservation.tree = (flags & 2) != 0;
  reservation.path = in.rest();
  if (reservation.count == 0 || (reservation.tree && !reservation.whole()))
    return corrupt(fmt::format("a reservation of inode {} of an impossible range", reservation.object.value));
  return reservation;
}

std::string pack_progress(const Progress& progress) {
  std::string value;
  append(value, progress.applied.value);
  append(value, progress.files);
  append(value, progress.next_inode);
  return value;
}

Result<Progress> unpack_progress(std::string_view value) {
  Taker in(value);
  Progress progress;
  progress.applied = Seq{in.take<std::uint64_t>()};
  progress.files = in.take<std::uint64_t>();
  progress.next_inode = in.take<std::uint64_t>();
  if (!in.done()) return corrupt("what was applied is not readable");
  return progress;
}

Result<Progress> counts_of(const std::optional<std::string>& value, std::uint64_t inode_bound) {
  if (!value) return Progress{Seq{0}, 1, inode_bound};
  return unpack_progress(*value);
}

std::string pack_own(const OwnSpan& span) {
  std::string value;
  append(value, kVersion);
  append(value, span.since.value);
  append(value, span.through.value);
  append(value, static_cast<std::uint8_t>(span.gap));
  return value;
}

Result<OwnSpan> unpack_own(std::string_view value) {
  Taker in(value);
  const auto version = in.take<std::uint8_t>();
  OwnSpan span;
  span.since = Seq{in.take<std::uint64_t>()};
  span.through = Seq{in.take<std::uint64_t>()};
  const auto gap = in.take<std::uint8_t>();
  span.gap = gap == 1;
  if (!in.done() || version != kVersion || gap > 1) return corrupt("what the log has forgotten is not readable");
  return span;
}

std::string pack_u32(std::uint32_t n) {
  std::string value;
  append(value, n);
  return value;
}

std::string pack_u64(std::uint64_t n) {
  std::string value;
  append(value, n);
  return value;
}

Result<std::uint32_t> unpack_u32(std::string_view value) {
  Taker in(value);
  const auto n = in.take<std::uint32_t>();
  if (!in.done()) return corrupt("a counter has the wrong length");
  return n;
}

Result<std::uint64_t> unpack_u64(std::string_view value) {
  Taker in(value);
  const auto n = in.take<std::uint64_t>();
  if (!in.done()) return corrupt("a counter has the wrong length");
  return n;
}

}  // namespace lockstep::volume
