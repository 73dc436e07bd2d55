// keys_format.h - the bytes of metadata keys and values; lockstep-format(5) repeats them.
//
// Numbers in keys are big endian, so that keys sort as the numbers do; numbers in values are little endian. Values open
// with a version byte where more than one number stands in them. Unpacking is total: any bytes give a value or
// Errc::corrupt.
//
//   I ino8                 -> inode, see pack_inode()
//   D dir8 hash8 name      -> u8 version, u64 inode, u32 file type bits
//   E ino8 chunk4          -> u8 version, u32 generation, then a record an extent, in order of the file:
//                             u16 first block in the chunk, u16 blocks, u64 block of the area | bit 63: unwritten
//   X ino8 name            -> the value as it is
//   R block8               -> u8 version, u64 inode, u64 block of the file, u16 blocks
//   G group4               -> u32 free blocks
//   O ino8                 -> empty
//   L ino8                 -> advisory locks of a file, see pack_locks()
//   N                      -> u64: every inode number in use is below it
//   V ino8 first8 count8   -> of a reservation of these blocks: u8 version, u8 site, u8 flags (1 busy, 2 tree), u8 zero,
//                             i64 time, path for people; first 0 and count ~0: of the whole object
//   \0 seq                 -> of this site only: u64 seq of the last applied effect with a batch, u64 number of objects,
//                             u64 next inode number
//   \0answered               -> of this site only: see controller/kept_results.h
//   \0mixed                  -> of this site only, empty: the keys are being replaced by those of another site; what they say
//                             counts for nothing until that is finished
//   \0own                    -> of this site only: u8 version, u64 seq, u64 seq: which objects the effects behind the first one changed, to the
//                             second one, is in the keys below
//   \0own ino8               -> of this site only, u64 seq: the last one of them that changed the object or an entry of it
//   \0own ino8 -             -> of this site only, u64 seq: the last one of them that took a name out of the directory
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "area/allocator.h"
#include "core/result.h"
#include "core/types.h"
#include "wire/messages.h"

namespace lockstep::volume {

/// A chunk of an extent map: 1 MiB of a file. Each write to a hole or to unwritten blocks replaces the key of its chunk at both sites, and a
/// file that is written at random gets an extent for each block.
inline constexpr std::uint32_t kChunkBlocks = 256;
/// Blocks of a group; an extent never reaches into the next one.
inline constexpr std::uint64_t kGroupBlocks = area::kGroupBlocks;
/// A file that was cut short so often before its space was given back is busy.
inline constexpr std::size_t kCutsMax = 8;
/// Largest size of a file: 2 PiB.
inline constexpr std::uint64_t kFileBytesMax = std::uint64_t{1} << 51;
inline constexpr std::uint32_t kNoChunk = ~std::uint32_t{0};  ///< no limit
inline constexpr std::size_t kNameBytesMax = 255;
inline constexpr std::size_t kTargetBytesMax = 4095;

inline constexpr std::string_view kNextInodeKey{"N", 1};
inline constexpr std::string_view kSeqKey{"\0seq", 4};
inline constexpr std::string_view kAnsweredKey{"\0answered", 9};
inline constexpr std::string_view kMixedKey{"\0mixed", 6};
inline constexpr std::string_view kOwnKey{"\0own", 4};

std::string inode_key(InodeId inode);
std::string entry_key(InodeId directory, std::string_view name);
std::string chunk_key(InodeId inode, std::uint32_t chunk);
std::string xattr_key(InodeId inode, std::string_view name);
std::string block_key(std::uint64_t block);
std::string group_key(std::uint32_t group);
std::string orphan_key(InodeId inode);
std::string locks_key(InodeId inode);
struct Reservation;
std::string reservation_key(const Reservation& reservation);
/// What controller/forgotten_changes.h keeps of an object; `removal`: of the names that it lost.
std::string own_key(InodeId inode, bool removal);

/// Hash of a name: 63 bits, never below 16. The cookie of listings, and what a turn names.
std::uint64_t name_hash(std::string_view name);

/// Keys with from <= key < to.
struct KeySpan {
  std::string from, to;
};
/// Entries of `directory` whose hash is above `cookie`.
KeySpan entries_behind(InodeId directory, std::uint64_t cookie);
/// Chunks [first, end) of `inode`; end kNoChunk: all behind.
KeySpan chunks_of(InodeId inode, std::uint32_t first, std::uint32_t end);
KeySpan xattrs_of(InodeId inode);
KeySpan blocks_in(std::uint64_t first, std::uint64_t end);
KeySpan groups_from(std::uint32_t first);
KeySpan all_orphans();
KeySpan all_locks();
KeySpan all_reservations();
/// kOwnKey and all that begin with it.
KeySpan all_own();
/// Of objects from `first` on, without kOwnKey itself.
KeySpan own_from(InodeId first);

struct EntryKey {
  std::uint64_t hash = 0;
  std::string_view name;  ///< points into the key
};
Result<EntryKey> parse_entry_key(std::string_view key);
Result<std::uint32_t> parse_chunk_key(std::string_view key);
Result<std::uint64_t> parse_block_key(std::string_view key);
Result<std::uint32_t> parse_group_key(std::string_view key);
/// Of I, O and L keys.
Result<InodeId> parse_inode_key(std::string_view key);
struct OwnKey {
  InodeId inode;
  bool removal = false;
};
Result<OwnKey> parse_own_key(std::string_view key);
/// The name in an X key.
std::string_view parse_xattr_key(std::string_view key);

/// Chunks from `from` on count only if they were stored with `generation` or later; see draft.h.
struct Cut {
  std::uint32_t from = 0;
  std::uint32_t generation = 0;
  bool operator==(const Cut&) const = default;
};

/// What `I` stores.
struct Inode {
  InodeId id;                    ///< from the key
  std::uint32_t mode = 0;        ///< with file type
  std::uint32_t links = 0;       ///< 0: no name left (its O key exists)
  std::uint32_t uid = 0, gid = 0, rdev = 0;
  std::uint64_t size = 0;        ///< bytes; of a directory: entries
  std::uint64_t blocks = 0;      ///< allocated, of 4 KiB
  WallTime atime, mtime, ctime, btime;
  InodeId parent;                ///< of all but directories: the home, a directory with a name of it; 0: not known
  std::uint32_t generation = 0;  ///< of the extent map: what chunks are stored with
  std::vector<Cut> cuts;         ///< at most kCutsMax, both numbers ascending
  std::uint32_t chunk_end = 0;   ///< no chunk at or behind it exists
  std::uint32_t xattrs = 0;      ///< how many, and bytes of their names and values
  std::uint32_t xattr_bytes = 0;
  std::uint8_t growths = 0;      ///< how often it took blocks at its end since the last trim
  bool ahead = false;            ///< may have written-marked blocks behind its end
  bool linkable = false;         ///< made without a name: may get one
  std::string target;            ///< symlinks only
  bool operator==(const Inode&) const = default;

  [[nodiscard]] std::uint32_t type() const { return mode & 0170000; }
  [[nodiscard]] bool is_directory() const { return type() == 0040000; }
  [[nodiscard]] bool is_file() const { return type() == 0100000; }
};
std::string pack_inode(const Inode& inode);
Result<Inode> unpack_inode(InodeId id, std::string_view value);

struct EntryValue {
  InodeId inode;
  std::uint32_t type = 0;
  bool operator==(const EntryValue&) const = default;
};
std::string pack_entry(const EntryValue& entry);
Result<EntryValue> unpack_entry(std::string_view value);

/// Blocks of a file in one chunk that stand one behind the other in the area.
struct Extent {
  std::uint32_t first = 0;    ///< block in the chunk
  std::uint32_t count = 0;
  std::uint64_t address = 0;  ///< block of the area
  bool unwritten = false;     ///< reads as zeros
  bool operator==(const Extent&) const = default;
  [[nodiscard]] std::uint32_t end() const { return first + count; }
};
struct ChunkValue {
  std::uint32_t generation = 0;
  std::vector<Extent> extents;
  bool operator==(const ChunkValue&) const = default;
};
std::string pack_chunk(const ChunkValue& chunk);
/// `area_blocks`: an extent that reaches beyond them is corrupt.
Result<ChunkValue> unpack_chunk(std::string_view value, std::uint64_t area_blocks);

/// What `R` says of the extent that starts at its block.
struct Owner {
  InodeId inode;
  std::uint64_t file_block = 0;
  std::uint32_t count = 0;
  bool operator==(const Owner&) const = default;
};
std::string pack_owner(const Owner& owner);
Result<Owner> unpack_owner(std::string_view value);

/// What `L` stores, in the order of file_locks.h; those that wait in the order in which they came.
struct LocksValue {
  std::vector<wire::LockRequest> held, waiting;
  bool operator==(const LocksValue&) const = default;
};
/// At most so many together.
inline constexpr std::size_t kLocksPerFileMax = 1024;
std::string pack_locks(const LocksValue& locks);
Result<LocksValue> unpack_locks(std::string_view value);
/// What a site has reserved; reservations.h has what that means.
struct Reservation {
  InodeId object;                             ///< these three from the key
  std::uint64_t first = 0;                    ///< block of the file
  std::uint64_t count = ~std::uint64_t{0};    ///< ~0: to the end
  SiteId site;                                ///< the holder
  bool busy = false;                          ///< other sites' requests get EBUSY instead of waiting
  bool tree = false;                          ///< of a directory, with everything below it
  WallTime since;
  std::string path;                           ///< when it was made, for people; may be empty
  bool operator==(const Reservation&) const = default;
  [[nodiscard]] bool whole() const { return first == 0 && count == ~std::uint64_t{0}; }
};
std::string pack_reservation(const Reservation& reservation);
Result<Reservation> unpack_reservation(std::string_view key, std::string_view value);

/// How far this site has come.
struct Progress {
  Seq applied;
  std::uint64_t files = 0;
  std::uint64_t next_inode = 0;
  bool operator==(const Progress&) const = default;
};
std::string pack_progress(const Progress& progress);
Result<Progress> unpack_progress(std::string_view value);
/// What `\0seq` says; of a volume that was just formatted, which has none, what N (`inode_bound`) says.
Result<Progress> counts_of(const std::optional<std::string>& value, std::uint64_t inode_bound);

/// What kOwnKey stores: effects behind `since`, to `through`.
struct OwnSpan {
  Seq since, through;
  bool gap = false;  ///< something up to `since` was lost that the other site may not have
  bool operator==(const OwnSpan&) const = default;
};
std::string pack_own(const OwnSpan& span);
Result<OwnSpan> unpack_own(std::string_view value);

std::string pack_u32(std::uint32_t n);
std::string pack_u64(std::uint64_t n);
Result<std::uint32_t> unpack_u32(std::string_view value);
Result<std::uint64_t> unpack_u64(std::string_view value);

}  // namespace lockstep::volume
