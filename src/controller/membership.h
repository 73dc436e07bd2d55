// membership.h - the history of a volume's memberships as one site knows it.
//
//   epoch 1   made by format: the id of the volume, all sites, nobody was met yet ("fresh")
//   epoch 2.. each change of the primary or of the in-sync set
//
// Invariants:
//   (1) The history is not empty; its last entry is in force.
//   (2) Numbers rise strictly; each primary is in its in-sync set; the base of an entry is below the entry's own seqs.
//   (3) At most kHistoryMax entries are kept; the oldest go first.
//
// Histories are compared by id (M7): two sites that have the same id in theirs agree on everything up to there.
#pragma once

#include <optional>
#include <vector>

#include "core/result.h"
#include "wire/messages.h"

namespace lockstep::controller {

using wire::EpochEntry;

inline constexpr std::size_t kHistoryMax = 256;

class Membership {
 public:
  /// Of an area that was just formatted: the same at every site.
  static Membership fresh(Uuid volume_id, SiteId primary, SiteSet all);
  /// Errc::invalid: not a history, see (1) and (2).
  static Result<Membership> make(std::vector<EpochEntry> history);

  [[nodiscard]] const EpochEntry& in_force() const { return history_.back(); }
  [[nodiscard]] const std::vector<EpochEntry>& history() const { return history_; }
  [[nodiscard]] bool fresh() const { return in_force().number == Epoch{1}; }
  [[nodiscard]] bool has(SiteId site) const { return in_force().in_sync.has(site); }
  [[nodiscard]] bool sole(SiteId site) const { return in_force().in_sync == SiteSet{site}; }

  /// The entry that would follow; changes nothing. Requires: `primary` is in `in_sync`.
  [[nodiscard]] EpochEntry next(Uuid id, SiteId primary, SiteSet in_sync, Seq base, bool forced = false) const;
  /// Requires: entry.number is above the one in force.
  void append(EpochEntry entry);

  /// Positions, here and in `other`, of the last entry that both have; nullopt: none.
  struct Common {
    std::size_t here = 0, there = 0;
  };
  [[nodiscard]] std::optional<Common> last_common(const Membership& other) const;

 private:
  explicit Membership(std::vector<EpochEntry> history) : history_(std::move(history)) {}
  std::vector<EpochEntry> history_;
};

}  // namespace lockstep::controller
