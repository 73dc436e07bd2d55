// examination.h - what all phases of one examination share: the target, the report, repairs, and what phases leave to
// later ones.
//
// Phases (phases.h) run one after the other; each is a pass, or a few, over keys in order. A repair never makes untrue
// what an earlier phase found true, so one round of phases is enough.
#pragma once

#include <set>
#include <string>
#include <utility>

#include "area/superblock_format.h"
#include "fsck/fsck.h"
#include "volume/keys_format.h"

namespace lockstep::fsck {

class Examination {
 public:
  Examination(Target t, Options o, RepairNotice& notice) : target(t), options(o), notice_(notice) {}
  Examination(const Examination&) = delete;

  const Target target;
  const Options options;
  Report report;

  [[nodiscard]] runtime::KeyValue& keys() const { return target.keys; }
  [[nodiscard]] bool repairing() const { return options.repair; }
  /// Says what comes now, to whoever waits.
  void begin(std::string_view phase) const;

  // Findings.
  /// One that --repair leaves.
  void leave(Finding finding);
  /// One that --repair mends, by other means than a change of keys, or later.
  void mend_elsewhere(Finding finding);
  /// One that `change` mends: done if this is a repair. Errc::io, or the notice failed: nothing was changed.
  Result<> mend(Finding finding, const runtime::KeyBatch& change);
  /// Changes keys without a finding of its own. Requires: repairing().
  Result<> change(const runtime::KeyBatch& change);
  /// Some keys were changed.
  [[nodiscard]] bool changed() const { return changed_; }

  /// Nullopt: there is none, or it can't be understood. Errc::io. Suspends.
  runtime::Task<Result<std::optional<volume::Inode>>> inode(InodeId id);
  /// A directory entry is taken away: `batch` gets that and what its directory counts. Suspends.
  runtime::Task<Result<>> remove_entry(std::string key, InodeId directory, bool of_directory, runtime::KeyBatch& batch);

  // What phases find out for later ones.
  area::Superblock superblock;
  volume::Progress progress;      ///< of this site; stored with progress_change()
  bool progress_known = false;    ///< else its key can't be understood, and the log was not applied
  std::uint64_t inode_bound = 0;  ///< what N says
  bool inode_bound_known = false;
  InodeId inode_max;                     ///< the highest that is used
  std::uint64_t objects = 0;             ///< I keys
  std::uint64_t entries_unreadable = 0;  ///< names of nobody knows what
  bool directories_in_doubt = false;     ///< parents and names of directories do not agree, and were not mended
  /// Chunks that can't be understood: what they have is not known. At most kUnreadableMax.
  std::set<std::pair<InodeId, std::uint32_t>> chunks_unreadable;
  bool chunks_unreadable_too_many = false;

  [[nodiscard]] std::uint64_t blocks() const { return superblock.identity.blocks; }
  [[nodiscard]] std::uint64_t groups() const { return (blocks() + volume::kGroupBlocks - 1) / volume::kGroupBlocks; }
  [[nodiscard]] BlockRange group(std::uint64_t number) const;
  [[nodiscard]] runtime::KeyChange progress_change() const {
    return {std::string(volume::kSeqKey), volume::pack_progress(progress)};
  }

 private:
  RepairNotice& notice_;
  bool changed_ = false;
};

inline constexpr std::size_t kUnreadableMax = 4096;

/// A key as people can read it.
[[nodiscard]] std::string shown(std::string_view key);

}  // namespace lockstep::fsck
