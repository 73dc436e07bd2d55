#include "fuse/locks.h"

#include <algorithm>
#include <cerrno>

#include "core/check.h"
#include "core/log.h"

namespace lockstep::fuse {

using namespace runtime;
using wire::LockType;
using wire::Operation;
using wire::OpKind;
using wire::Outcome;

namespace {

LockType type_of(HostLock::Type type) {
  switch (type) {
    case HostLock::Type::unlock: return LockType::unlock;
    case HostLock::Type::read: return LockType::read;
    case HostLock::Type::write: return LockType::write;
  }
  CHECK(false);
}

/// `wanted` may be granted at any time from now on: of what its owner holds no more is certain than that.
void weaken(volume::FileLocks& told, const wire::LockRequest& wanted) {
  const volume::FileLocks before = told;
  for (const wire::LockRequest& held : before.held()) {
    if (held.first > wanted.last || held.last < wanted.first || held.type == wanted.type || wanted.type == LockType::write) continue;
    wire::LockRequest part = wanted;
    part.first = std::max(held.first, wanted.first);
    part.last = std::min(held.last, wanted.last);
    told.set(part);
  }
}

}  // namespace

Operation Locks::operation_of(const Key& key, OpKind kind) const {
  Operation operation;
  operation.kind = kind;
  operation.inode = key.inode;
  operation.lock.owner = state_.changes.lock_owner(key.owner);
  operation.lock.whole = key.whole;
  operation.lock.last = wire::kLockLastMax;
  return operation;
}

void Locks::start_set(HostRequest request) {
  const std::uint64_t unique = request.unique;
  const HostLock& lock = request.lock;
  if (lock.first > lock.last || lock.last > wire::kLockLastMax) return state_.answer_error(request, EINVAL);
  request.lease.reset();  // nothing of it is needed, and it may wait for long
  state_.launch(unique, set(std::move(request)));
}

Task<void> Locks::set(HostRequest request) {
  const Key key{request.inode, request.lock.owner, request.lock.whole};
  Operation operation = operation_of(key, OpKind::lock);
  operation.lock.type = type_of(request.lock.type);
  operation.lock.pid = request.lock.pid;
  if (!key.whole) {
    operation.lock.first = request.lock.first;
    operation.lock.last = request.lock.last;
  }
  const bool unlocks = operation.lock.type == LockType::unlock;
  operation.lock.wait = request.lock.wait && !unlocks;
  if (operation.lock.wait) operation.lock.ticket = next_ticket_++;
  Waiting waiting;
  waiting_[request.unique] = &waiting;
  if (!state_.serving.now()) {
    const bool served = co_await state_.served(request);
    if (!served) waiting_.erase(request.unique);
    if (!served) co_return;
  }
  int error = fenced(request.handle) ? EIO : 0;
  Holder& holder = holders_[key];
  ++holder.users;
  if (!unlocks) holder.handles.insert(request.handle);
  while (error == 0) {
    operation.kind = OpKind::lock;
    Outcome outcome = co_await ask(key, operation);
    error = outcome.error;
    if (error != 0 || outcome.value == 0) break;
    // In line. What the keys say is published here, so nothing is missed between two looks.
    while (!waiting.interrupted && state_.volume.locks().of(key.inode).waits(operation.lock.owner, operation.lock.ticket)) {
      co_await changed_.wait();
    }
    if (!waiting.interrupted) continue;
    operation.kind = OpKind::cancel_lock;
    outcome = co_await ask(key, operation);
    error = outcome.error;
    if (error != 0) break;
    if (outcome.value == 1) {
      error = EINTR;
      break;
    }
  }
  waiting_.erase(request.unique);
  if (error == 0 && fenced(request.handle)) error = EIO;
  done(key);
  state_.answer_error(request, error);
}

Task<Outcome> Locks::ask(Key key, Operation operation) {
  Holder& holder = holders_.at(key);
  while (holder.asking) co_await changed_.wait();
  holder.asking = true;
  const OpKind kind = operation.kind;
  const wire::LockRequest lock = operation.lock;
  const Outcome outcome = co_await state_.changes.change(std::move(operation), Bytes(), nullptr, nullptr);
  holder.asking = false;
  if (outcome.error == 0 && kind == OpKind::lock) {
    if (outcome.value == 0) {
      holder.told.set(lock);
    } else if (lock.whole) {
      holder.told = {};  // who waits for a whole lock has given up the one before
    } else {
      weaken(holder.told, lock);
    }
  }
  compare(key, holder);
  changed_.notify_all();
  co_return outcome;
}

void Locks::done(Key key) {
  const auto found = holders_.find(key);
  CHECK(found != holders_.end() && found->second.users > 0);
  Holder& holder = found->second;
  --holder.users;
  if (holder.users == 0 && holder.told.empty() && !holder.lost) holders_.erase(found);
}

void Locks::get(const HostRequest& request) {
  const Operation operation = operation_of({request.inode, request.lock.owner, false}, OpKind::lock);
  wire::LockRequest wanted = operation.lock;
  wanted.type = type_of(request.lock.type);
  wanted.first = request.lock.first;
  wanted.last = request.lock.last;
  LockReply reply;
  reply.lock.first = wanted.first;
  reply.lock.last = wanted.last;
  if (const wire::LockRequest* held = state_.volume.locks().of(request.inode).in_the_way(wanted)) {
    reply.lock.type = held->type == LockType::write ? HostLock::Type::write : HostLock::Type::read;
    reply.lock.first = held->first;
    reply.lock.last = held->last;
    // A number of a process means nothing at another site.
    if (held->owner.site == wanted.owner.site) reply.lock.pid = held->pid;
  }
  (void)state_.kernel.reply(request.unique, reply);
}

void Locks::flush(const HostRequest& request) {
  const Key key{request.inode, request.lock.owner, false};
  const auto found = holders_.find(key);
  if (found == holders_.end() || (found->second.told.empty() && !found->second.asking && !found->second.lost)) {
    return state_.answer_error(request, 0);
  }
  ++found->second.users;
  HostRequest later = request;
  later.lease.reset();
  state_.launch(request.unique, give_back_all(key, std::move(later)));
}

void Locks::released(const HostRequest& request) {
  fenced_.erase(request.handle);
  std::vector<Key> through;
  for (auto it = holders_.lower_bound({request.inode, 0, false}); it != holders_.end() && it->first.inode == request.inode; ++it) {
    if (it->second.handles.erase(request.handle) != 0) through.push_back(it->first);
  }
  for (const Key& key : through) {
    ++holders_.at(key).users;
    (void)state_.scope.spawn(give_back_all(key, std::nullopt));
  }
}

Task<void> Locks::give_back_all(Key key, std::optional<HostRequest> flush) {
  const Outcome outcome = co_await ask(key, operation_of(key, OpKind::lock));
  holders_.at(key).handles.clear();
  holders_.at(key).lost = false;
  done(key);
  if (flush) state_.answer_error(*flush, outcome.error);
}

void Locks::interrupted(std::uint64_t unique) {
  const auto found = waiting_.find(unique);
  if (found == waiting_.end()) return;
  found->second->interrupted = true;
  changed_.notify_all();
}

void Locks::changed(InodeId inode) {
  for (auto it = holders_.lower_bound({inode, 0, false}); it != holders_.end() && it->first.inode == inode; ++it) {
    compare(it->first, it->second);
  }
  changed_.notify_all();
}

void Locks::all_changed() {
  for (auto& [key, holder] : holders_) compare(key, holder);
  changed_.notify_all();
}

/// Fences what the volume does not say any more.
void Locks::compare(const Key& key, Holder& holder) {
  if (holder.asking) return;  // what comes of that is not known yet: looked at when it is
  const volume::FileLocks& there = state_.volume.locks().of(key.inode);
  for (const wire::LockRequest& told : holder.told.held()) {
    if (there.holds(told, true)) continue;
    log::warning("a lock of process {} on inode {} was taken away: its requests through that file get errors from now on", told.pid, key.inode.value);
    fenced_.insert(holder.handles.begin(), holder.handles.end());
    holder.told = {};
    holder.lost = true;
    return;
  }
}

void Locks::unmounted() {
  fenced_.clear();
  for (auto& [unique, waiting] : waiting_) waiting->interrupted = true;
  changed_.notify_all();
  for (auto& [key, holder] : holders_) {
    holder.handles.clear();
    ++holder.users;
  }
  std::vector<Key> all;
  for (const auto& [key, holder] : holders_) all.push_back(key);
  for (const Key& key : all) (void)state_.scope.spawn(give_back_all(key, std::nullopt));
}

}  // namespace lockstep::fuse
