#include "controller/status_table.h"

#include <algorithm>

#include "core/check.h"

namespace lockstep::controller {

bool StatusTable::conflict(const Claim& earlier, const Claim& later) {
  for (const wire::Turn& a : earlier.turns) {
    for (const wire::Turn& b : later.turns) {
      if (overlap(a, b)) return true;
    }
  }
  return false;
}

Result<StatusTable::Taken> StatusTable::take(Claim claim) {
  if (claims_.size() >= claims_max_) return fail(Errc::busy, "the status table is full");
  const ClaimId id{next_++};
  Entry entry;
  entry.claim = std::move(claim);
  std::vector<ClaimId> earlier;
  for (const wire::Turn& turn : entry.claim.turns) {
    std::vector<ClaimId>& on_object = objects_[Object{turn.object, turn.kind}];
    for (const ClaimId other : on_object) {
      if (other != id && std::find(earlier.begin(), earlier.end(), other) == earlier.end()) earlier.push_back(other);
    }
    if (on_object.empty() || on_object.back() != id) on_object.push_back(id);
  }
  for (const ClaimId other : earlier) {
    Entry& before = claims_.at(other);
    if (!conflict(before.claim, entry.claim)) continue;
    before.followers.push_back(id);
    ++entry.waits_for;
  }
  const bool at_once = entry.waits_for == 0;
  claims_.emplace(id, std::move(entry));
  return Taken{id, at_once ? Verdict::granted : Verdict::queued};
}

std::span<const ClaimId> StatusTable::release(ClaimId id) {
  woken_.clear();
  const auto found = claims_.find(id);
  CHECK(found != claims_.end());
  const Entry entry = std::move(found->second);
  claims_.erase(found);
  for (const wire::Turn& turn : entry.claim.turns) {
    const auto object = objects_.find(Object{turn.object, turn.kind});
    if (object == objects_.end()) continue;
    std::erase(object->second, id);
    if (object->second.empty()) objects_.erase(object);
  }
  for (const ClaimId follower : entry.followers) {
    const auto waiting = claims_.find(follower);
    if (waiting == claims_.end()) continue;  // withdrawn
    CHECK(waiting->second.waits_for > 0);
    if (--waiting->second.waits_for == 0) woken_.push_back(follower);
  }
  return woken_;
}

bool StatusTable::granted(ClaimId id) const {
  const auto found = claims_.find(id);
  return found != claims_.end() && found->second.waits_for == 0;
}

Status StatusTable::status(const wire::Turn& turn, SiteId site) const {
  if (const auto object = objects_.find(Object{turn.object, turn.kind}); object != objects_.end()) {
    for (const ClaimId id : object->second) {
      const Claim& claim = claims_.at(id).claim;
      if (std::any_of(claim.turns.begin(), claim.turns.end(), [&](const wire::Turn& t) { return overlap(t, turn); })) {
        return Status::exclusive;
      }
    }
  }
  return reserved(std::span(&turn, 1), site) != nullptr ? Status::reserved : Status::neither;
}

const StatusTable::Reservation* StatusTable::reserved(std::span<const wire::Turn> touched, SiteId site) const {
  const Reservation* found = nullptr;
  for (const wire::Turn& turn : touched) {
    const auto object = reserved_.find(Object{turn.object, turn.kind});
    if (object == reserved_.end()) continue;
    for (const std::size_t place : object->second) {
      const Reservation& it = reservations_[place];
      if (it.site == site || (found != nullptr && (found->busy || !it.busy))) continue;
      if (std::any_of(it.turns.begin(), it.turns.end(), [&](const wire::Turn& t) { return overlap(t, turn); })) found = &it;
    }
  }
  return found;
}

bool StatusTable::reserved_by_others(SiteId site) const {
  SiteSet others = holders_;
  others.remove(site);
  return !others.empty();
}

void StatusTable::set_reservations(std::vector<Reservation> reservations) {
  reservations_ = std::move(reservations);
  reserved_.clear();
  holders_ = {};
  for (std::size_t place = 0; place < reservations_.size(); ++place) {
    holders_.add(reservations_[place].site);
    for (const wire::Turn& turn : reservations_[place].turns) {
      std::vector<std::size_t>& on_object = reserved_[Object{turn.object, turn.kind}];
      if (on_object.empty() || on_object.back() != place) on_object.push_back(place);
    }
  }
}

void StatusTable::check_invariants() const {
  for (auto later = claims_.begin(); later != claims_.end(); ++later) {
    std::size_t conflicts = 0;
    for (auto earlier = claims_.begin(); earlier != later; ++earlier) {
      if (!conflict(earlier->second.claim, later->second.claim)) continue;
      ++conflicts;
      const auto& followers = earlier->second.followers;
      CHECK(std::count(followers.begin(), followers.end(), later->first) == 1);
    }
    CHECK(conflicts == later->second.waits_for);
  }
}

}  // namespace lockstep::controller
