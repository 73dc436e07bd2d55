#include "controller/status_table.h"

#include <algorithm>

#include "core/check.h"

namespace lockstep::controller {
namespace {

/// End of a turn's range; a count that would pass the end of numbers means "to the end".
std::uint64_t end_of(const wire::Turn& turn) {
  return turn.first + turn.count < turn.first ? ~std::uint64_t{0} : turn.first + turn.count;
}

}  // namespace

bool overlap(const wire::Turn& a, const wire::Turn& b) {
  return a.object == b.object && a.kind == b.kind && a.first < end_of(b) && b.first < end_of(a);
}

bool StatusTable::conflict(const Claim& earlier, const Claim& later) {
  if (earlier.site == later.site && (earlier.reservation || later.reservation)) return false;
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
  const auto object = objects_.find(Object{turn.object, turn.kind});
  Status worst = Status::neither;
  if (object == objects_.end()) return worst;
  for (const ClaimId id : object->second) {
    const Claim& claim = claims_.at(id).claim;
    if (claim.reservation && claim.site == site) continue;
    if (std::none_of(claim.turns.begin(), claim.turns.end(), [&](const wire::Turn& t) { return overlap(t, turn); })) continue;
    if (!claim.reservation) return Status::exclusive;
    worst = Status::reserved;
  }
  return worst;
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
