// reserve, release.
#include <algorithm>
#include <cerrno>

#include "volume/plan.h"
#include "volume/reservations.h"
#include "volume/touched.h"

namespace lockstep::volume {
namespace {

bool any_overlap(const std::vector<wire::Turn>& some, const std::vector<wire::Turn>& others) {
  return std::any_of(some.begin(), some.end(), [&](const wire::Turn& a) {
    return std::any_of(others.begin(), others.end(), [&](const wire::Turn& b) { return overlap(a, b); });
  });
}

/// `wanted` and `other`, of another site, cover something in common. `within`: the trees that `wanted` stands in.
Step<bool> conflict(Draft& draft, const Reservation& wanted, const std::vector<wire::Turn>& within, const Reservation& other) {
  std::vector<wire::Turn> theirs = turns_of(other);
  if (any_overlap(turns_of(wanted), theirs)) return true;
  if (other.tree) {
    theirs.push_back(kAnyTree);
    if (any_overlap(within, theirs)) return true;
  }
  if (!wanted.tree) return false;
  std::vector<wire::Turn> around;
  const auto added = add_trees(draft, other.object, around);
  if (!added) return std::unexpected(added.error());
  return any_overlap({tree_turn(wanted.object), kAnyTree}, around);
}

Reservation wanted_by(const Draft& draft, const wire::Operation& operation, const Draft::Object& object) {
  Reservation wanted;
  wanted.object = object.id;
  wanted.site = draft.asker;
  wanted.busy = (operation.flags & kReserveBusy) != 0;
  wanted.tree = object.is_directory();
  wanted.since = draft.now;
  wanted.path = operation.text;
  if (operation.length > 0) {
    const wire::Turn blocks = data_turn(object.id, operation.offset, operation.length);
    wanted.first = blocks.first;
    wanted.count = blocks.count;
  }
  return wanted;
}

}  // namespace

Step<Planned> plan_reserve(Draft& draft, const wire::Operation& operation) {
  if ((operation.flags & ~kReserveBusy) != 0 || operation.text.size() > kTargetBytesMax) return refuse(EINVAL);
  const auto found = draft.inode(operation.inode);
  if (!found) return std::unexpected(found.error());
  const Draft::Object& object = **found;
  if (object.links == 0) return refuse(ENOENT);
  if (operation.length > 0 && !object.is_file()) return refuse(object.is_directory() ? EISDIR : EINVAL);

  const Reservations& all = draft.state.reservations;
  const Reservation wanted = wanted_by(draft, operation, object);
  std::vector<wire::Turn> within;
  if (all.trees()) {
    const auto added = add_trees(draft, object.id, within);
    if (!added) return std::unexpected(added.error());
  }
  bool halted = false;
  for (const auto& [place, other] : all.all()) {
    if (other.site == draft.asker) continue;
    const auto conflicts = conflict(draft, wanted, within, other);
    if (!conflicts && conflicts.error().error == 0) halted = true;  // goes on, to name all that is missing
    if (conflicts && *conflicts) return refuse(EBUSY);
  }
  if (halted) return refuse(0);
  const Reservation* mine = all.find(wanted.object, wanted.first, wanted.count);
  if (mine == nullptr && all.size() >= kReservationsMax) return refuse(ENOLCK);
  draft.put(reservation_key(wanted), pack_reservation(wanted));
  return draft.finish({}, nullptr);
}

Step<Planned> plan_release(Draft& draft, const wire::Operation& operation) {
  if ((operation.flags & ~kReleaseBroken) != 0) return refuse(EINVAL);
  const bool any_site = (operation.flags & kReleaseBroken) != 0;
  wire::Outcome outcome;
  bool others = false;
  for (const Reservation* one : draft.state.reservations.of(operation.inode)) {
    if (operation.length > 0) {
      const wire::Turn blocks = data_turn(operation.inode, operation.offset, operation.length);
      if (one->first != blocks.first || one->count != blocks.count) continue;
    }
    if (!any_site && one->site != draft.asker) {
      others = true;
      continue;
    }
    draft.erase(reservation_key(*one));
    ++outcome.value;
  }
  if (outcome.value == 0) return refuse(others ? EPERM : ENODATA);
  return draft.finish(outcome, nullptr);
}

}  // namespace lockstep::volume
