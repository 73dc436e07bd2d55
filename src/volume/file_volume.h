// file_volume.h - the volume: State, and what may be done with it.
//
// Planning is in plan_*.cc, reading in reading.cc, opening and loading in open_volume.cc; apply() is in file_volume.cc
// and is the only place where State changes, but for what it merely keeps of the keys; replaced.cc replaces all of it.
#pragma once

#include <optional>

#include "volume/keys_format.h"
#include "volume/state.h"
#include "volume/volume.h"

namespace lockstep::volume {

class FileVolume final : public Volume {
 public:
  FileVolume(runtime::Scheduler& scheduler, runtime::KeyValue& store, area::Allocator allocator)
      : scheduler_(scheduler), state_(store, std::move(allocator)) {}

  [[nodiscard]] Seq applied() const override { return state_.progress.applied; }
  [[nodiscard]] InodeId next_inode() const override { return InodeId{state_.progress.next_inode}; }
  void pass_over_lost_inodes(Epoch epoch) override {
    const std::uint64_t known = std::max(state_.progress.next_inode, state_.inode_bound);
    state_.inode_floor = std::max(state_.inode_floor, known + kInodesLostMax * (1 + epoch.value % kInodePartsMax));
  }
  runtime::Task<Result<>> load(Miss miss) override;

  Attempt<runtime::HostAttributes> attributes(InodeId inode) override;
  Attempt<runtime::HostAttributes> lookup(InodeId directory, std::string_view name) override;
  Attempt<InodeId> parent(InodeId directory) override;
  Attempt<Home> home(InodeId inode) override;
  Attempt<std::vector<Piece>> map(InodeId inode, ByteRange range) override;
  Attempt<std::uint64_t> seek(InodeId inode, std::uint64_t offset, bool data) override;
  Attempt<std::string> symlink_target(InodeId inode) override;
  Attempt<std::string> xattr(InodeId inode, std::string_view name) override;
  runtime::Task<Result<std::string>> xattr_names(InodeId inode) override;
  runtime::Task<Result<std::vector<Entry>>> list(InodeId directory, std::uint64_t cookie, std::size_t limit) override;
  [[nodiscard]] Statistics statistics() const override;
  [[nodiscard]] const LockTable& locks() const override { return state_.locks; }

  [[nodiscard]] std::vector<Turn> turns(const wire::Operation& operation) override;
  Attempt<Planned> plan(const wire::Operation& operation, WallTime now, SiteId asker = {}) override;
  void hold_growth(bool hold) override { state_.growth_held = hold; }
  Attempt<std::vector<Turn>> touched(const wire::Operation& operation) override;
  [[nodiscard]] const Reservations& reservations() const override { return state_.reservations; }
  [[nodiscard]] Result<> apply(const wire::Effect& effect) override;
  void release(std::span<const BlockRange> freed) override;

  runtime::Task<Result<std::vector<InodeId>>> orphans() override;
  [[nodiscard]] std::vector<wire::LazyTimes> unsettled(std::size_t limit) const override;

  [[nodiscard]] Result<> apply_raw(const wire::KeyBatch& pairs) override;
  runtime::Task<Result<>> reload(Seq seq) override;
  [[nodiscard]] bool being_replaced() const override { return being_replaced_; }

  /// Aborts if what is in memory contradicts itself. Slow: for tests.
  void check_invariants() const;

 private:
  friend class Volume;
  Attempt<Inode> inode(InodeId id);
  runtime::Task<Result<>> load_group(std::uint64_t group);
  /// What the keys say of free space, inode numbers, seq, locks and reservations.
  struct Counters {
    area::Allocator free_space;
    Progress progress;
    std::uint64_t inode_bound = 0;
    LockTable locks;
    std::vector<Reservation> reservations;
  };
  runtime::Task<Result<Counters>> read_counters();
  void take_counters(Counters counters);
  /// Applies what the log has and the keys have not. Suspends.
  runtime::Task<Result<>> replay(area::Log& log);

  Result<> mark(const wire::Effect& effect);
  Result<> take_over(const runtime::KeyBatch& batch);
  void note_data(const wire::Effect& effect);

  runtime::Task<void> load_key(std::string key, Result<>& good);

  runtime::Scheduler& scheduler_;
  State state_;
  bool being_replaced_ = false;
  std::optional<Progress> source_counts_;  ///< while being replaced, once kCountsKey came
  std::uint64_t reloads_ = 0;
};

}  // namespace lockstep::volume
