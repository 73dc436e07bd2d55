// keeper.h - what a site remembers of its membership, made to last: in its area, and at the arbiter.
//
// An entry is *recorded* when it is stable in this site's area and, if there is an arbiter and the entry takes somebody out
// without his consent, in the arbiter's register. Nothing is acknowledged or sent that relies on an entry before.
//
//   propose: entry and revision -> area      (frozen: this site serves nobody and acknowledges nothing)
//            compare-and-swap at the arbiter
//              swapped         -> history, area                        thawed, recorded
//              another's       -> area without the proposal            thawed, refused
//              unknown         -> the same swap again, until the register's revision has moved past the expected one
//
// Invariants:
//   (1) What say() tells was stable before: a change is visible only after it was saved.
//   (2) While frozen() nothing else is proposed, and a restart comes back frozen.
//   (3) Whoever is armed is the primary of the entry in force (M5); a forced entry makes this site's promise void.
//   (4) A swap expects the revision of a value whose last entry is in this site's own history: whoever else swapped since,
//       this one fails.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "area/area.h"
#include "controller/arbiter_record.h"
#include "controller/membership.h"
#include "runtime/world.h"

namespace lockstep::controller {

struct KeeperOptions {
  SiteId self;
  SiteId primary;                   ///< of the configuration: for a volume that was never used
  std::string volume;
  Uuid volume_id;
  std::vector<std::string> names;   ///< of the sites
  Duration arbiter_timeout{};
};

class Keeper {
 public:
  Keeper(runtime::World& world, area::Area& area, KeeperOptions options);

  /// Reads what was saved. Errc::corrupt: it is damaged, and what to do.
  [[nodiscard]] Result<> open();

  [[nodiscard]] const Membership& membership() const { return membership_; }
  [[nodiscard]] const wire::SiteState& state() const { return state_; }
  [[nodiscard]] bool frozen() const { return !state_.proposal.empty(); }
  /// Notified when frozen() ends and when the membership changes.
  runtime::Event& changed() { return changed_; }

  /// How record() ended.
  enum class Recorded {
    yes,
    refused,      ///< the arbiter has another membership: problem() says which
    unavailable,  ///< the arbiter can't be asked; nothing was changed
    stopped,
  };
  /// Records `entry`, made by next(), and what else is given. `consented`: nobody is taken out who did not agree, so the arbiter need not be asked
  /// first. When the area fails it does not return. Suspends, while frozen for as long as the arbiter's answer is unknown.
  runtime::Task<Recorded> record(EpochEntry entry, std::vector<Uuid> stores, bool consented, runtime::Stop& stop);
  /// Goes on with the proposal that an earlier start left. Suspends. Requires: frozen().
  runtime::Task<Recorded> resolve(runtime::Stop& stop);
  /// Takes over the history of another site, which it says is recorded there. Errc::invalid: it is none. Suspends.
  runtime::Task<Result<>> adopt(const std::vector<EpochEntry>& history, const std::vector<Uuid>& stores, bool incomplete,
                                bool unproven);
  /// The area has failed: writes down that acknowledged writes may be missing in it and, if given, `entry`, of which this site is no
  /// member any more. False: that can't be written either. Suspends.
  runtime::Task<bool> give_up(std::optional<EpochEntry> entry);
  /// This site asks to be let go: it goes on alone no more before it has met the other one. False: that can't be written. Suspends.
  runtime::Task<bool> note_leaving();
  /// This site, the only member, lost power: data of effects up to `seq` may be missing that the log has. False: that can't be written. Suspends.
  runtime::Task<bool> note_data_lost(Seq seq);
  /// Changes flags; each keeps its value if not given. Suspends.
  struct Flags {
    std::optional<bool> unproven, left, incomplete, discards, armed, promised;
    std::optional<Epoch> wrote;
  };
  runtime::Task<void> set(Flags flags);
  /// Tells the arbiter of the membership in force, if it knows an older one only. False: it could not be told, or knows a newer one.
  runtime::Task<bool> publish(runtime::Stop& stop);
  /// Looks whether the arbiter can be asked, and which membership it knows. Changes nothing there or here. Suspends.
  runtime::Task<void> look_at_arbiter(runtime::Stop& stop);
  /// Another one has taken its place, which is to be told. Requires: has_arbiter().
  void arbiter_replaced();

  /// The entry that would follow, above `above` at least, with a new id.
  [[nodiscard]] EpochEntry next(SiteId primary, SiteSet in_sync, Seq base, bool forced = false, Epoch above = {});
  /// Stores with that of `site` put in.
  [[nodiscard]] std::vector<Uuid> stores_with(SiteId site, Uuid store) const;
  /// From now on `store` is the area of `site`. Suspends.
  runtime::Task<void> know_store(SiteId site, Uuid store);

  /// Called when the membership can't be written down; what waits for that never goes on.
  std::function<void(const Error&)> on_failure;

  /// What the arbiter said last, for people; empty: well.
  [[nodiscard]] const std::string& problem() const { return problem_.empty() && arbiter_away_ ? away_ : problem_; }
  [[nodiscard]] bool has_arbiter() const { return world_.arbiter != nullptr; }
  [[nodiscard]] bool arbiter_away() const { return arbiter_away_; }
  [[nodiscard]] bool published() const { return published_ == membership_.in_force().id; }

 private:
  /// The register's revision, if its last entry is in this site's history (or it is empty, where `empty_will_do`).
  runtime::Task<std::optional<std::uint64_t>> ask_arbiter(bool empty_will_do, Recorded& why, runtime::Stop& stop);
  runtime::Task<void> save(std::function<void(wire::SiteState&)> change);
  runtime::Task<Result<>> try_save(std::function<void(wire::SiteState&)> change);
  runtime::Task<Recorded> swap_until_known(bool may_be_under_way, runtime::Stop& stop);
  [[nodiscard]] std::string value_with(std::optional<EpochEntry> entry) const;

  runtime::World& world_;
  area::Area& area_;
  KeeperOptions options_;
  Membership membership_;
  wire::SiteState state_;
  runtime::Event changed_;
  Uuid published_;           // the entry that the arbiter is known to have last
  bool arbiter_away_ = false;
  std::string away_;         // why, as look() found it
  bool saving_ = false;
  std::string problem_;
};

}  // namespace lockstep::controller
