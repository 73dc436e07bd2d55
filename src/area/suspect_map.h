// suspect_map.h - the file `suspect`: a bit for each granule, the lowest bit of a byte first, filled up to 8 bytes.
//
// The bits are kept in memory too, so that asking never waits. Bitmaps here, each of all granules (3.3 MB for 100 TiB):
//
//   set          as in the mapped file
//   stable       set, and known to be set on the medium; only such a bit is ever cleared
//   since_round  touched since begin_clearing()
//   since_sync   touched since the last whole sync that ended well began (all, before the first)
//   during_sync  touched since the whole sync that is running began
//   ahead        became suspect ahead of a stream, and were not touched since: as equal and as stable as before
//
// Invariants: stable is part of set; what is set and not stable is in `unsynced`, or in the one sync that is running.
#pragma once

#include <memory>
#include <optional>

#include "area/failure.h"
#include "area/recent_granules.h"
#include "area/suspects.h"
#include "runtime/disk.h"
#include "runtime/sync.h"

namespace lockstep::area {

class SuspectMap final : public Suspects {
 public:
  [[nodiscard]] static std::uint64_t file_bytes(std::uint64_t blocks);

  /// Reads the bits of an area of `blocks` and makes them stable. Errc::refused: the file has another length; Errc::io. Suspends.
  static runtime::Task<Result<std::unique_ptr<SuspectMap>>> open(std::unique_ptr<runtime::Mapping> mapping, std::uint64_t blocks,
                                                                 runtime::Scheduler& scheduler, Failure& failure);

  // As in suspects.h.
  [[nodiscard]] std::uint64_t granules() const override { return granules_; }
  [[nodiscard]] bool suspect(std::uint64_t granule) const override;
  [[nodiscard]] bool cover(std::span<const BlockRange> blocks) override;
  runtime::Task<Result<>> mark(std::vector<BlockRange> blocks) override;
  [[nodiscard]] bool runs_out() const override { return edge_.has_value(); }
  runtime::Task<Result<>> mark_ahead() override;
  runtime::Task<Result<>> mark_all() override;
  [[nodiscard]] std::vector<std::uint64_t> begin_clearing(std::size_t limit, bool all) override;
  runtime::Task<Result<>> clear(std::vector<std::uint64_t> granules) override;
  [[nodiscard]] std::uint64_t count() const override { return count_; }
  [[nodiscard]] std::string bits(std::uint64_t first, std::uint64_t count) const override;
  [[nodiscard]] const Counters& counters() const override { return counters_; }

  // Of the area.
  [[nodiscard]] std::uint64_t blocks() const { return blocks_; }
  /// One range of cover(), without a touch.
  [[nodiscard]] bool covers(BlockRange blocks) const;
  /// Its blocks are written now. Requires: blocks of the area.
  void touch(BlockRange blocks);
  /// A sync of the whole area begins. False: another one is running, this one is not counted: don't call whole_sync_ended().
  [[nodiscard]] bool whole_sync_begins();
  void whole_sync_ended(bool well);

 private:
  using Words = std::vector<std::uint64_t>;

  SuspectMap(std::unique_ptr<runtime::Mapping> mapping, std::uint64_t blocks, runtime::Scheduler& scheduler, Failure& failure);
  [[nodiscard]] bool inside(BlockRange blocks) const;
  void touch_granules(std::uint64_t from, std::uint64_t to);
  /// set() for what nobody writes yet.
  void set_ahead(std::uint64_t from, std::uint64_t to);
  /// Clears a stable bit.
  void clear(std::uint64_t granule);
  /// `granule` was touched: sets edge_ if the suspect ones that follow it come to an end soon.
  void look_ahead(std::uint64_t granule);
  /// Sets bits here and in the mapped file.
  void set(std::uint64_t from, std::uint64_t to);
  void store(std::uint64_t word);
  /// Waits until what is set now is stable. Suspends.
  runtime::Task<Result<>> make_stable();
  /// One sync of what was set since the last one began. Suspends.
  runtime::Task<void> sync_file();

  std::unique_ptr<runtime::Mapping> mapping_;
  std::uint64_t blocks_;
  std::uint64_t granules_;
  Failure& failure_;
  Words set_, stable_, since_round_, since_sync_, during_sync_, ahead_;
  std::uint64_t count_ = 0;
  RecentGranules recent_;
  std::optional<std::uint64_t> edge_;  ///< from here on mark_ahead() marks
  std::uint64_t next_offer_ = 0;   ///< where begin_clearing() goes on
  bool round_open_ = false;
  bool round_used_ = false;        ///< clear() was called in it
  bool whole_sync_running_ = false;
  BlockRange unsynced_;            ///< words of set_ that hold bits that are not stable, and no sync took up
  std::uint64_t syncs_begun_ = 0, syncs_ended_ = 0;
  bool syncing_ = false;
  runtime::Event sync_ended_;
  Counters counters_;
};

}  // namespace lockstep::area
