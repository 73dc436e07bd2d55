// status_table.h - what is being written or held back right now.
//
// A range of an object has one of three statuses:
//
//   neither    anyone may start
//   reserved   held for one site until it gives it up; other sites' requests wait outside of the line, or are refused
//   exclusive  one request has its turn: from here until every in-sync site has answered
//
// Invariants, tested by check_invariants():
//   (1) No two granted claims overlap.
//   (2) Overlapping claims are granted in the order they came. No claim is passed, so none starves; each asks for all its
//       ranges at once and waits only for earlier ones, so none deadlocks.
//   (3) The table is a function of the calls made on it: no clock, no addresses, no hash order.
//
// Reservations are not claims: what one holds back is asked with reserved() before a claim is made, and takes no place in
// line. So the holder never stands behind somebody who waits for the holder.
//
// The table decides and does nothing else: it sends nothing, waits for nothing and knows no disk.
// Cost: a claim looks at the claims of its objects, usually none or one.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <vector>

#include "core/result.h"
#include "core/types.h"
#include "volume/reservations.h"
#include "wire/messages.h"

namespace lockstep::controller {

using volume::overlap;
using ClaimId = Strong<struct ClaimIdTag, std::uint64_t>;

enum class Verdict { granted, queued };

/// Status of a range, as people see it.
enum class Status { neither, reserved, exclusive };

class StatusTable {
 public:
  explicit StatusTable(std::size_t claims_max) : claims_max_(claims_max) {}

  struct Claim {
    std::vector<wire::Turn> turns;
  };
  struct Reservation {
    SiteId site;                    ///< the holder
    InodeId object;
    bool busy = false;              ///< refuse instead of waiting
    std::vector<wire::Turn> turns;  ///< what is held back from other sites
  };

  /// Asks for one turn on all of `claim.turns`: granted now, or queued until a later release() returns its id.
  /// Errc::busy: the table is full; nothing changed. A claim without turns is granted.
  struct Taken {
    ClaimId id;
    Verdict verdict;
  };
  [[nodiscard]] Result<Taken> take(Claim claim);

  /// Ends a granted claim or withdraws a queued one. Returns the ids whose turn has come, in order; valid until the next
  /// call. Requires: `id` is in the table.
  std::span<const ClaimId> release(ClaimId id);

  [[nodiscard]] bool granted(ClaimId id) const;
  /// What holds back a request of `site` that would change `touched`; one that refuses before one that waits. Null: nothing;
  /// else valid until the next set_reservations().
  [[nodiscard]] const Reservation* reserved(std::span<const wire::Turn> touched, SiteId site) const;
  /// Some site but `site` has reserved something.
  [[nodiscard]] bool reserved_by_others(SiteId site) const;
  /// These are all reservations from now on.
  void set_reservations(std::vector<Reservation> reservations);

  /// Status of `turn` for a request of `site`: queued claims count as what they wait to be.
  [[nodiscard]] Status status(const wire::Turn& turn, SiteId site) const;
  [[nodiscard]] std::size_t size() const { return claims_.size(); }
  /// Aborts if (1) or (2) does not hold. Slow: for tests.
  void check_invariants() const;

 private:
  struct Object {
    InodeId inode;
    wire::Turn::Kind kind;
    auto operator<=>(const Object&) const = default;
  };
  struct Entry {
    Claim claim;
    std::size_t waits_for = 0;         // earlier claims that conflict
    std::vector<ClaimId> followers;    // later claims that wait for this one
  };
  [[nodiscard]] static bool conflict(const Claim& earlier, const Claim& later);

  std::size_t claims_max_;
  std::uint64_t next_ = 1;
  std::map<ClaimId, Entry> claims_;                  // in the order they came
  std::map<Object, std::vector<ClaimId>> objects_;   // claims on each object, in the order they came
  std::vector<ClaimId> woken_;
  std::vector<Reservation> reservations_;
  std::map<Object, std::vector<std::size_t>> reserved_;  // places in reservations_, by what they have turns of
  SiteSet holders_;
};

}  // namespace lockstep::controller
