// blocks.h - the files `extents` and `checksums`: blocks that are verified by every read and written with their checksum.
//
// Invariants:
//   (1) Between two suspensions of the loop every block matches its checksum, unless the medium is bad: write() stores both.
//       A read that waited may have met a write: a block whose checksum changed meanwhile is read again, not reported.
//   (2) The table is touched only where it was prepared since open(), so no page of it is waited for on the loop.
//   (3) At most kWriteBackBytes are written before their write-back is started.
//   (4) After a failed write or sync every later one answers the same error.
//
// Cost of an aligned overwrite of 4 KiB: one checksum, three small vectors, one write, no copy.
#pragma once

#include <map>
#include <memory>

#include "area/area.h"
#include "area/failure.h"
#include "area/table_format.h"

namespace lockstep::area {

class Blocks {
 public:
  static constexpr std::uint64_t kWriteBackBytes = 8u << 20;
  /// Partly written blocks of one effect, at most; and those that warm() holds.
  static constexpr std::size_t kEdgesMax = 1024;
  static constexpr std::size_t kWarmedMax = 4 * kEdgesMax;

  /// Requires: files large enough for `blocks`. `log`: how far it has come; it and `failure` outlive this.
  Blocks(std::unique_ptr<runtime::File> extents, std::unique_ptr<runtime::Mapping> checksums, std::uint64_t blocks,
         const LogPoint& log, Failure& failure);

  // As in area.h.
  [[nodiscard]] std::optional<Result<>> try_read(BlockRange blocks, MutableBytes into);
  runtime::Task<Result<>> read(BlockRange blocks, MutableBytes into);
  runtime::Task<Result<>> read_raw(BlockRange blocks, MutableBytes into);
  runtime::Task<Result<std::vector<bool>>> check(BlockRange blocks, MutableBytes into);
  runtime::Task<Result<std::uint64_t>> adopt(BlockRange blocks);
  [[nodiscard]] std::uint64_t stored_checksum(std::uint64_t block) const;
  runtime::Task<Result<std::vector<std::uint64_t>>> stored_checksums(BlockRange blocks);
  /// When that was stored, or another checksum of its sector later.
  [[nodiscard]] LogPoint stored_at(std::uint64_t block) const;
  [[nodiscard]] std::optional<Result<Composed>> compose(std::span<const wire::AreaWrite> writes, Bytes payload,
                                                        std::span<const std::uint64_t> lost = {});
  runtime::Task<Result<>> warm(std::vector<wire::AreaWrite> writes);
  [[nodiscard]] Result<> write(const Composed& composed);
  runtime::Task<Result<>> sync(std::vector<ByteRange> ranges, runtime::Scheduler& scheduler);

  [[nodiscard]] Area::Counters& counters() { return counters_; }

 private:
  runtime::Task<void> sync_table(std::vector<ByteRange> ranges, Result<>& done);
  using Block = std::array<std::byte, kBlockBytes>;
  [[nodiscard]] Result<> validate(std::span<const wire::AreaWrite> writes, std::uint64_t payload_bytes) const;
  [[nodiscard]] Result<> validate(BlockRange blocks, MutableBytes into) const;
  /// The block as it stands (or zeros), to be written into. nullopt: not in memory.
  [[nodiscard]] std::optional<Result<std::unique_ptr<Block>>> edge(std::uint64_t block, bool fresh);
  runtime::Task<Result<>> prepare(BlockRange blocks);
  [[nodiscard]] bool prepared(BlockRange blocks) const;
  void store_checksums(std::uint64_t first, std::span<const std::uint64_t> sums);
  [[nodiscard]] bool matches(std::uint64_t block, Bytes bytes) const;
  [[nodiscard]] std::unexpected<Error> bad(std::uint64_t block);
  runtime::Task<Result<>> read_again(std::uint64_t block, MutableBytes into);
  runtime::Task<Result<>> read_now(std::uint64_t block, MutableBytes into);
  void note_written(BlockRange blocks);

  std::unique_ptr<runtime::File> extents_;
  std::unique_ptr<runtime::Mapping> checksums_;
  std::uint64_t blocks_;
  const LogPoint& log_;
  Failure& failure_;
  std::vector<bool> prepared_;  ///< a bit for each kPreparedBlocks
  /// Edge blocks that warm() read, until they are written: so asking again finds them whatever the medium's cache does.
  std::map<std::uint64_t, std::unique_ptr<Block>> warmed_;
  std::uint64_t unstarted_bytes_ = 0;  ///< written since write-back was last started, all in unstarted_
  ByteRange unstarted_;
  Area::Counters counters_;
};

/// Zeros for all of `blocks`.
[[nodiscard]] Composed zeros(BlockRange blocks);

}  // namespace lockstep::area
