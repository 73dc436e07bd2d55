// area.h - the blocks one site keeps, with a checksum each, the operation log, and what was in flight.
//
// Files of an area (lockstep-format(5) has their bytes):
//
//   superblock   ids, geometry, clean or not, boot id of the machine; two copies
//   state        what the site saved of its membership; two copies
//   extents      the blocks
//   checksums    8 bytes (XXH3-64) a block, and when they were stored; mapped
//   suspect      a bit for each granule: may differ at the other site, or may not be stable here; mapped
//   inflight     the primary's ring of blocks being written at the sites, mapped: what may differ after a kill
//   log          ring of checksummed records of effects with a batch, in seq order
//   meta/        the key-value store (not opened here)
//
// The area knows blocks and records; files, names and free space are the volume's. It decides nothing about order:
// whoever calls holds the range exclusive.
//
// Order in which an effect is applied at a site (C1, C4, R3):
//
//   suspects().cover -> compose -> log().append -> write -> keys -> drop caches -> log().flush -> answer
//
// append() takes the record into memory only: it reaches the file after the blocks.
#pragma once

#include <array>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "area/suspects.h"
#include "core/result.h"
#include "core/types.h"
#include "runtime/world.h"
#include "wire/messages.h"

namespace lockstep::area {

class Log;
class InFlight;

struct Identity {
  std::string volume;
  Uuid volume_id;
  std::string site;
  Uuid store;            ///< new at each format
  std::uint64_t blocks = 0;
  std::uint64_t log_bytes = 0;
};

struct FormatOptions {
  std::string volume;
  Uuid volume_id;               ///< the same at both sites
  std::string site;
  std::uint64_t bytes = 0;      ///< of the extents; rounded down to whole blocks
  std::uint64_t log_bytes = 0;  ///< of the file `log`; rounded down to whole blocks
  bool force = false;           ///< files of an area that are found there go; other files stay
};

/// The most bytes of save_state().
inline constexpr std::size_t kStateBytesMax = 64u << 10;

/// The most blocks that the writes of one effect may touch.
inline constexpr std::uint64_t kComposeBlocksMax = 1u << 18;

/// The most blocks of one check().
inline constexpr std::uint64_t kCheckBlocksMax = 1024;

/// Blocks that `writes` touch and do not fill, and that are not new to their file: what stands there is merged with them.
[[nodiscard]] std::vector<std::uint64_t> edges_of(std::span<const wire::AreaWrite> writes);

/// What a write will put on the medium: whole blocks, edges merged with what was there.
struct Composed {
  struct Part {
    BlockRange blocks;
    std::vector<Bytes> bytes;   ///< one behind the other they fill the blocks; point into payload or `edges`
  };
  std::vector<Part> parts;
  std::vector<std::uint64_t> checksums;  ///< of each block, in order
  std::vector<std::unique_ptr<std::array<std::byte, kBlockBytes>>> edges;
};

class Area {
 public:
  virtual ~Area() = default;

  /// Makes an area on `disk`: locks it, refuses what is not empty (Errc::refused, naming what was found and --force), writes every
  /// block once. `progress`, if set, is called with the bytes of the extents written so far. The keys are the caller's.
  static runtime::Task<Result<Identity>> format(runtime::Disk& disk, runtime::Random& random, FormatOptions options,
                                                void (*progress)(void*, std::uint64_t), void* with);
  /// Locks and opens; `host_boot` is the boot id of this machine. Errc::refused: locked by another process, not an area, another
  /// format version, shorter than it was formatted; Errc::corrupt: both superblocks, both copies of the state or of the log's
  /// header. One bad copy is repaired, with a warning. The log is read: records behind the first invalid one are not there.
  /// After a loss of power, blocks that the log says are new and that never got their data become zeros (C4).
  static runtime::Task<Result<std::unique_ptr<Area>>> open(runtime::World& world, Uuid host_boot);

  [[nodiscard]] virtual const Identity& identity() const = 0;
  /// The area was not closed by close() after it was last used.
  [[nodiscard]] virtual bool unclean() const = 0;
  /// The machine lost power (its boot id differs from the superblock's) while the area was not closed.
  [[nodiscard]] virtual bool power_lost() const = 0;
  /// The caller has written the power loss down (in its saved state): the superblock takes the new boot id, so that a kill and
  /// a restart now is no power loss. Until then each open() reports power_lost() again, be it closed in between. Suspends.
  virtual runtime::Task<Result<>> power_loss_recorded() = 0;
  /// Everything stable, superblock says clean. Nothing may be called afterwards. Suspends.
  virtual runtime::Task<Result<>> close() = 0;
  /// As close(), but the next open() still says unclean(): checksums of suspect blocks can't be relied on yet (C2).
  virtual runtime::Task<Result<>> close_doubtful() = 0;
  /// The first failed write or sync (C7): every later one answers this error, but for save_state().
  [[nodiscard]] virtual const std::optional<Error>& failure() const = 0;

  /// What was saved last of the site's membership (wire::SiteState as bytes, opaque here); empty: nothing yet, as after format.
  [[nodiscard]] virtual const std::string& saved_state() const = 0;
  /// Saves `bytes` (at most kStateBytesMax), stable when it returns; a torn write leaves what was saved before. Calls are carried
  /// out one after the other, and also after failure(), if that was not of the state. Errc::invalid: too many; Errc::io. Suspends.
  virtual runtime::Task<Result<>> save_state(std::string bytes) = 0;

  // Blocks. Every read verifies.
  /// Reads whole blocks if that needs no wait; nullopt: use read(). Errc::corrupt names the first bad block.
  [[nodiscard]] virtual std::optional<Result<>> try_read(BlockRange blocks, MutableBytes into) = 0;
  virtual runtime::Task<Result<>> read(BlockRange blocks, MutableBytes into) = 0;
  /// Bytes as they stand, unverified, and the stored checksums. For catching up and verify.
  virtual runtime::Task<Result<>> read_raw(BlockRange blocks, MutableBytes into) = 0;
  /// Reads blocks raw and says which do not match their stored checksum, or can't be read (zeros then): one bit per block.
  /// Errc::invalid: more than kCheckBlocksMax, or not in the area; Errc::io: the table can't be read. Suspends.
  virtual runtime::Task<Result<std::vector<bool>>> check(BlockRange blocks, MutableBytes into) = 0;
  /// Makes the checksums of `blocks` those of their bytes, and says how many were not (C2: a loss of power may tear the table, so
  /// where blocks are suspect a checksum that does not match proves nothing; the caller chose this site as their source and holds
  /// them exclusive). Errc::io: a block can't be read. Requires: suspects().cover() of them. Suspends.
  virtual runtime::Task<Result<std::uint64_t>> adopt(BlockRange blocks) = 0;
  [[nodiscard]] virtual std::uint64_t stored_checksum(std::uint64_t block) const = 0;
  /// Those of `blocks`, read from the table if need be. Errc::io. Suspends.
  virtual runtime::Task<Result<std::vector<std::uint64_t>>> stored_checksums(BlockRange blocks) = 0;

  /// Blocks and checksums that `writes` with `payload` make. nullopt: an edge block or a piece of the checksum table must
  /// be read first, await warm(writes) and ask again. Errc::corrupt: an edge block is bad here. Errc::invalid: writes
  /// outside the area, two to one block, unaligned zeros, more than kComposeBlocksMax blocks, another size of payload.
  /// `lost`: edge blocks that count as zeros, whatever stands there (the caller brings what is missing).
  [[nodiscard]] virtual std::optional<Result<Composed>> compose(std::span<const wire::AreaWrite> writes, Bytes payload,
                                                                std::span<const std::uint64_t> lost = {}) = 0;
  virtual runtime::Task<Result<>> warm(std::vector<wire::AreaWrite> writes) = 0;
  /// Writes blocks and their checksums, at once. Errc::io: the area is to be detached; so after a failed sync. Every later
  /// write and sync then answers the same error. Requires: suspects().cover() of the blocks, with no suspension since (C1).
  [[nodiscard]] virtual Result<> write(const Composed& composed) = 0;
  /// Makes blocks in `ranges` (area bytes) and their checksums stable, and the log. {0, all} with the log is a sync of the whole
  /// area. Suspends.
  virtual runtime::Task<Result<>> sync(std::vector<ByteRange> ranges, bool log_too) = 0;

  [[nodiscard]] virtual Log& log() = 0;
  [[nodiscard]] virtual InFlight& in_flight() = 0;
  [[nodiscard]] virtual Suspects& suspects() = 0;

  struct Counters {
    std::uint64_t blocks_read = 0, blocks_written = 0, bad_blocks = 0, syncs = 0;
    std::uint64_t zeroed = 0;  ///< by open() after a loss of power: new to their files, and their data never came (C4)
  };
  [[nodiscard]] virtual const Counters& counters() const = 0;
};

/// The operation log: what the keys can be brought up to date with, and the other site too (C5).
class Log {
 public:
  virtual ~Log() = default;
  /// Last record, written or pending, be it forgotten since; 0: there never was one.
  [[nodiscard]] virtual Seq last() const = 0;
  /// Last record known to be on the medium, be it forgotten since: as open() found it, then what each sync() took up.
  [[nodiscard]] virtual Seq stable() const = 0;
  /// First record that is still there; 0: none.
  [[nodiscard]] virtual Seq first() const = 0;
  /// Last record that was forgotten; 0: none was. read_after() gives what is behind it, and nothing behind an earlier one.
  [[nodiscard]] virtual Seq forgotten() const = 0;
  /// Takes the record of `effect` into memory. Errc::busy: no room until a forget_through() has ended that gives some;
  /// Errc::invalid: larger than the whole log. Requires: effect.seq > last().
  [[nodiscard]] virtual Result<> append(const wire::Effect& effect) = 0;
  /// The other site was told stable(): it may forget what stands before, and needs no more for this one.
  virtual void told() = 0;
  /// The other site's log, of the same size, may have no room for the record of `effect`, even if it forgets all that it may: so much was
  /// appended since told().
  [[nodiscard]] virtual bool outruns(const wire::Effect& effect) const = 0;
  /// Writes the pending records, in one call; then they survive the death of the process.
  [[nodiscard]] virtual Result<> flush() = 0;
  /// Flushes and makes records stable. Errc::io. Suspends.
  virtual runtime::Task<Result<>> sync() = 0;
  /// Records up to `seq` are in the keys, stable, and needed by nobody. Their room can be written only when the place of
  /// the first record that stays is stable: so this waits for the medium. Errc::io. Suspends.
  virtual runtime::Task<Result<>> forget_through(Seq seq) = 0;
  [[nodiscard]] virtual std::uint64_t bytes_used() const = 0;
  [[nodiscard]] virtual std::uint64_t bytes() const = 0;
  /// Effects with a batch behind `after`, in order, up to about `limit` bytes of records; empty: no more.
  /// Errc::absent: they were forgotten. Suspends.
  virtual runtime::Task<Result<std::vector<wire::Effect>>> read_after(Seq after, std::uint64_t limit) = 0;
};

/// Blocks whose write has begun here and is not known to stand at every site. Stores into mapped memory: no system call.
class InFlight {
 public:
  virtual ~InFlight() = default;
  /// Errc::busy: all slots are taken. Requires: `seq` is not marked.
  [[nodiscard]] virtual Result<> mark(Seq seq, std::span<const BlockRange> blocks) = 0;
  /// Nothing happens if `seq` is not marked.
  virtual void clear(Seq seq) = 0;
  /// What the last process left marked, by seq; as found by open(), until clear_found().
  [[nodiscard]] virtual const std::vector<std::pair<Seq, BlockRange>>& found() const = 0;
  virtual void clear_found() = 0;
};

}  // namespace lockstep::area
