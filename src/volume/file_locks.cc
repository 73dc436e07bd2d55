#include "volume/file_locks.h"

#include <algorithm>
#include <tuple>

#include "core/check.h"

namespace lockstep::volume {
namespace {

using wire::LockOwner;
using wire::LockRequest;
using wire::LockType;

bool share_bytes(const LockRequest& a, const LockRequest& b) { return a.first <= b.last && b.first <= a.last; }

/// They share a byte, or one begins behind the other.
bool touch(const LockRequest& a, const LockRequest& b) { return a.first <= b.last + 1 && b.first <= a.last + 1; }

auto order_of(const LockRequest& lock) { return std::tie(lock.whole, lock.first, lock.owner); }

}  // namespace

bool excludes(const LockRequest& a, const LockRequest& b) {
  return a.whole == b.whole && a.owner != b.owner && share_bytes(a, b) && (a.type == LockType::write || b.type == LockType::write);
}

const LockRequest* FileLocks::in_the_way(const LockRequest& wanted) const {
  if (wanted.type == LockType::unlock) return nullptr;
  const auto found = std::find_if(it_.held.begin(), it_.held.end(), [&](const LockRequest& held) { return excludes(held, wanted); });
  return found == it_.held.end() ? nullptr : &*found;
}

bool FileLocks::holds(const LockRequest& lock, bool at_least) const {
  std::uint64_t next = lock.first;
  for (const LockRequest& held : it_.held) {
    if (held.owner != lock.owner || held.whole != lock.whole || held.last < next) continue;
    if (held.first > next) return false;
    if (held.type != lock.type && !(at_least && held.type == LockType::write)) return false;
    if (held.last >= lock.last) return true;
    next = held.last + 1;
  }
  return false;
}

void FileLocks::set(const LockRequest& lock) {
  CHECK(in_the_way(lock) == nullptr);
  LockRequest joined = lock;
  joined.wait = false;
  joined.ticket = 0;
  std::vector<LockRequest> kept;
  kept.reserve(it_.held.size() + 2);
  for (const LockRequest& held : it_.held) {
    if (held.owner != lock.owner || held.whole != lock.whole) {
      kept.push_back(held);
    } else if (held.type == lock.type && touch(held, lock)) {
      joined.first = std::min(joined.first, held.first);
      joined.last = std::max(joined.last, held.last);
    } else if (!share_bytes(held, lock)) {
      kept.push_back(held);
    } else {
      if (held.first < lock.first) {
        kept.push_back(held);
        kept.back().last = lock.first - 1;
      }
      if (held.last > lock.last) {
        kept.push_back(held);
        kept.back().first = lock.last + 1;
      }
    }
  }
  if (lock.type != LockType::unlock) kept.push_back(joined);
  std::sort(kept.begin(), kept.end(), [](const LockRequest& a, const LockRequest& b) { return order_of(a) < order_of(b); });
  it_.held = std::move(kept);
}

void FileLocks::wait(const LockRequest& wanted) {
  CHECK(wanted.ticket != 0 && !waits(wanted.owner, wanted.ticket));
  it_.waiting.push_back(wanted);
  it_.waiting.back().wait = true;
}

bool FileLocks::waits(const LockOwner& owner, std::uint64_t ticket) const {
  return std::any_of(it_.waiting.begin(), it_.waiting.end(), [&](const LockRequest& w) { return w.owner == owner && w.ticket == ticket; });
}

bool FileLocks::cancel(const LockOwner& owner, std::uint64_t ticket) {
  return std::erase_if(it_.waiting, [&](const LockRequest& w) { return w.owner == owner && w.ticket == ticket; }) != 0;
}

void FileLocks::grant() {
  // One that is granted may, by making its owner's lock a weaker one, clear the way of one before it.
  for (std::size_t i = 0; i < it_.waiting.size();) {
    if (in_the_way(it_.waiting[i]) != nullptr) {
      ++i;
      continue;
    }
    const LockRequest granted = it_.waiting[i];
    it_.waiting.erase(it_.waiting.begin() + static_cast<std::ptrdiff_t>(i));
    set(granted);
    i = 0;
  }
}

std::size_t FileLocks::take_away(SiteId site, std::uint64_t stays, bool waits_only) {
  const auto goes = [&](const LockRequest& lock) { return lock.owner.site == site && (stays == 0 || lock.owner.boot != stays); };
  const std::size_t waits = std::erase_if(it_.waiting, goes);
  return waits + (waits_only ? 0 : std::erase_if(it_.held, goes));
}

void FileLocks::check_invariants() const {
  for (std::size_t i = 0; i < it_.held.size(); ++i) {
    const LockRequest& a = it_.held[i];
    CHECK(a.type != LockType::unlock && a.first <= a.last && !a.wait && a.ticket == 0);
    if (i > 0) CHECK(order_of(it_.held[i - 1]) < order_of(a));
    for (std::size_t j = 0; j < i; ++j) {
      const LockRequest& b = it_.held[j];
      CHECK(!excludes(a, b));
      if (a.owner == b.owner && a.whole == b.whole) CHECK(a.type == b.type ? !touch(a, b) : !share_bytes(a, b));
    }
  }
  for (const LockRequest& wanted : it_.waiting) CHECK(wanted.wait && wanted.ticket != 0);
}

}  // namespace lockstep::volume
