// lock, cancel_lock, break_locks: advisory locks are keys like all others, so that they outlive daemons and primaries.
//
// Who has to wait stands in the keys, too, and whoever frees bytes grants them in the same effect: there is no other line.
// A `lock` that is asked again under the same ticket changes nothing: it says what became of it.
#include <algorithm>
#include <cerrno>

#include "volume/plan.h"

namespace lockstep::volume {
namespace {

/// Files whose locks one effect takes away.
constexpr std::size_t kFilesPerEffect = 256;

void store(Draft& draft, InodeId inode, const FileLocks& locks) {
  if (locks.empty()) {
    draft.erase(locks_key(inode));
  } else {
    draft.put(locks_key(inode), pack_locks(locks.value()));
  }
}

/// The plan that makes the locks of `inode` these.
Step<Planned> become(Draft& draft, InodeId inode, const FileLocks& locks, std::uint64_t value) {
  wire::Outcome outcome;
  outcome.value = value;
  const FileLocks& before = draft.state.locks.of(inode);
  if (locks == before) return Draft::answer(outcome, nullptr);
  if (locks.size() > before.size() &&
      (locks.size() > kLocksPerFileMax || draft.state.locks.size() - before.size() + locks.size() > kLocksMax)) {
    return refuse(ENOLCK);
  }
  store(draft, inode, locks);
  return draft.finish(outcome, nullptr);
}

}  // namespace

Step<Planned> plan_lock(Draft& draft, const wire::Operation& operation) {
  const wire::LockRequest& wanted = operation.lock;
  if (wanted.wait && wanted.ticket == 0) return refuse(EINVAL);
  FileLocks locks = draft.state.locks.of(operation.inode);
  if (wanted.type == wire::LockType::unlock) {
    locks.set(wanted);
    locks.grant();
    return become(draft, operation.inode, locks, 0);
  }
  if (wanted.wait && locks.waits(wanted.owner, wanted.ticket)) return become(draft, operation.inode, locks, 1);
  if (const auto object = draft.inode(operation.inode); !object) return std::unexpected(object.error());
  if (locks.in_the_way(wanted) == nullptr) {
    if (!locks.holds(wanted, false)) {
      locks.set(wanted);
      locks.grant();  // it may have been a stronger one
    }
    return become(draft, operation.inode, locks, 0);
  }
  if (!wanted.wait) return refuse(EAGAIN);
  if (!wanted.whole && draft.state.locks.deadlock(operation.inode, wanted)) return refuse(EDEADLK);
  if (wanted.whole) {
    // flock(2): whoever waits to change its lock has given up the old one.
    wire::LockRequest old = wanted;
    old.type = wire::LockType::unlock;
    locks.set(old);
  }
  locks.wait(wanted);
  locks.grant();
  return become(draft, operation.inode, locks, locks.waits(wanted.owner, wanted.ticket) ? 1 : 0);
}

Step<Planned> plan_cancel_lock(Draft& draft, const wire::Operation& operation) {
  FileLocks locks = draft.state.locks.of(operation.inode);
  const bool waited = locks.cancel(operation.lock.owner, operation.lock.ticket);
  return become(draft, operation.inode, locks, waited ? 1 : 0);
}

Step<Planned> plan_break_locks(Draft& draft, const wire::Operation& operation) {
  wire::Outcome outcome;
  std::size_t files = 0;
  for (const auto& [inode, before] : draft.state.locks.files()) {
    if (operation.inode != kNoInode && inode != operation.inode) continue;
    FileLocks locks = before;
    const std::size_t gone = locks.take_away(operation.lock.owner.site, operation.lock.owner.boot, operation.lock.wait);
    if (gone == 0) continue;
    outcome.value += gone;
    locks.grant();
    store(draft, inode, locks);
    if (++files == kFilesPerEffect) break;
  }
  return draft.finish(outcome, nullptr);
}

}  // namespace lockstep::volume
