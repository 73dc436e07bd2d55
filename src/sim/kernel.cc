#include "sim/kernel.h"

#include <algorithm>

#include "core/check.h"
#include "runtime/clock.h"
#include "sim/machine.h"
#include "sim/storage.h"

namespace lockstep::sim {

using runtime::Dropped;

namespace {

constexpr Duration kNotifyMin{5000}, kNotifyMax{100'000};

/// Requests of a mount, at most.
constexpr std::uint64_t kRequestsOfAMount = std::uint64_t{1} << 40;

/// A call that waits for a lock or an answer, and for its patience to end.
struct PatientCall {
  std::coroutine_handle<> waiter;
  Universe::EventId timer = 0;
  bool granted = false;
  bool late = false;
};

struct PatientTurn {
  PatientCall& call;
  explicit PatientTurn(PatientCall& c) : call(c) {}
  bool await_ready() const { return call.granted; }
  void await_suspend(std::coroutine_handle<> h) { call.waiter = h; }
  void await_resume() const {}
};

void begin_patience(const std::shared_ptr<PatientCall>& call, Process& process, Duration patience) {
  call->timer = process.universe().after(patience, &process, [call, owner = &process] {
    call->late = true;
    owner->post(call->waiter);
  });
}

/// The call has returned.
void end_patience(PatientCall& call, Process& process) {
  call.granted = true;
  if (call.late) return;
  process.universe().cancel(call.timer);
  process.post(call.waiter);
}

/// What shrink() does in the kernel. The answer takes effect in the caller's name: the pages behind the new end go under their locks.
runtime::Task<void> ask_for_size(std::shared_ptr<PatientCall> call, Process& process, std::shared_ptr<Mount> mount, InodeId inode) {
  ++mount->find(inode)->references;
  runtime::HostRequest request;
  request.op = runtime::HostOp::getattr;
  request.inode = inode;
  for (;;) {
    Answer answer(process, mount, request);
    const OwnedReply reply = co_await answer;
    const auto* answered = std::get_if<runtime::AttributesReply>(&reply.reply);
    KnownInode* known = mount->find(inode);
    if (answered == nullptr || known == nullptr || known->attributes.size <= answered->attributes.size) break;
  }
  std::vector<std::uint64_t> locked;
  if (const KnownInode* known = mount->find(inode); known != nullptr) {
    for (const auto& [page, lock] : known->page_locks) {
      if (lock->held() && page >= known->attributes.size / kPageBytes) locked.push_back(page);
    }
  }
  for (const std::uint64_t page : locked) {
    const auto lock = mount->page_lock(inode, page);
    co_await LockTurn(process, lock, true);
    lock->unlock(true);
  }
  if (KnownInode* known = mount->find(inode); known != nullptr && known->references > 0) --known->references;
  end_patience(*call, process);
}

/// What look_up() does in the kernel.
runtime::Task<void> look_for(std::shared_ptr<PatientCall> call, Process& process, std::shared_ptr<Mount> mount, InodeId directory, std::string name,
                             bool& found) {
  const auto lock = mount->find(directory)->lock;
  co_await LockTurn(process, lock, false);
  bool there = mount->cached_name(directory, name).has_value();
  if (!there && !mount->is_dead(directory)) {
    runtime::HostRequest request;
    request.op = runtime::HostOp::lookup;
    request.inode = directory;
    request.name = name;
    Answer answer(process, mount, request);
    const OwnedReply reply = co_await answer;
    there = reply.error() != ELOOP;
  }
  lock->unlock(false);
  if (!call->late) found = there;
  end_patience(*call, process);
}

/// What drop_name does once it has the directory's lock. True: the name was kept.
bool drop_under_lock(Mount& mount, InodeId directory, const std::string& name) {
  const bool known = mount.drop_cached_name(directory, name);
  mount.distrust(directory);
  return known;
}

}  // namespace

runtime::Task<OwnedReply> write_dirty_page(Process& process, std::shared_ptr<Mount> mount, InodeId inode,
                                           std::uint64_t page) {
  const OwnedReply nothing{runtime::ErrorReply{0}, nullptr};
  KnownInode* known = mount->find(inode);
  if (known == nullptr) co_return nothing;
  const auto it = known->pages.find(page);
  if (it == known->pages.end() || !it->second.dirty) co_return nothing;
  it->second.dirty = false;
  runtime::HostRequest request;
  request.op = runtime::HostOp::write;
  request.inode = inode;
  request.from_cache = true;
  request.offset = page * kPageBytes;
  const std::uint64_t size = known->attributes.size;
  request.size = std::min(kPageBytes, size - std::min(size, request.offset));
  if (request.size == 0) co_return nothing;
  const std::string bytes = it->second.bytes.substr(0, request.size);
  request.data = std::as_bytes(std::span(bytes));
  Answer answer(process, mount, request);
  co_return co_await answer;
}

Dropped SimKernel::note(Notification notification, Dropped outcome) {
  notification.outcome = outcome;
  notifications_.push_back(std::move(notification));
  return outcome;
}

runtime::Task<OwnedReply> SimKernel::call(runtime::HostRequest request) {
  CHECK(mount_ != nullptr);
  Answer answer(process_, mount_, std::move(request));
  co_return co_await answer;
}

Result<> SimKernel::mount(runtime::HostHandler& handler) {
  if (!refusal.empty()) return fail(Errc::refused, refusal);
  CHECK(mount_ == nullptr || mount_->gone());
  handler_ = &handler;
  mount_ = std::make_shared<Mount>(process_, handler, prng_.fork("mount"), mounts_++ * kRequestsOfAMount + 2);
  if (process_.alive()) process_.machine().set_mount(mount_);
  return {};
}

runtime::Task<void> SimKernel::unmount() {
  co_await process_.delay(prng_.between(kNotifyMin, kNotifyMax));
  if (mount_ == nullptr || mount_->gone()) co_return;
  mount_->cut_off();
  handler_->unmounted(false);
}

runtime::Task<Result<>> SimKernel::mount_anew(runtime::HostHandler& handler) {
  co_await unmount();
  co_return mount(handler);
}

void SimKernel::serve_until(Instant until) {
  if (!process_.alive()) return;
  process_.universe().cancel(std::exchange(watching_, 0));
  until_ = until;
  if (until_ != kNever) watch();
}

void SimKernel::watch() {
  watching_ = 0;
  const Duration left = until_ - process_.world().clock.now();
  if (left > Duration::zero()) {
    // The machine's time as the universe's; looked at again then, because the clock may have been changed.
    const std::int64_t delay = left.count() - left.count() / 1'000'000 * process_.machine().clock_settings().drift_ppm;
    watching_ = process_.universe().after(Duration(std::max<std::int64_t>(delay, 1)), &process_, [this] { watch(); });
    return;
  }
  until_ = kNever;
  if (mount_ == nullptr || mount_->gone()) return;
  mount_->cut_off();
  process_.when_running([this, mount = mount_] {
    if (mount == mount_) handler_->unmounted(true);
  });
}

std::optional<std::size_t> SimKernel::reply(std::uint64_t unique, const runtime::HostReply& reply) {
  if (!effective()) return std::nullopt;
  return mount_->reply(unique, reply);
}

Dropped SimKernel::drop_attributes(InodeId inode) {
  const bool known = effective() && mount_->find(inode) != nullptr;
  if (known) mount_->distrust(inode);
  return note({Notification::Kind::attributes, inode, {}, {}}, known ? Dropped::done : Dropped::unknown);
}

Dropped SimKernel::drop_listing(InodeId inode) {
  const bool known = effective() && mount_->find(inode) != nullptr;
  if (known) mount_->distrust(inode);
  return note({Notification::Kind::listing, inode, {}, {}}, known ? Dropped::done : Dropped::unknown);
}

runtime::Task<Dropped> SimKernel::drop_pages(InodeId inode, ByteRange range) {
  co_await process_.delay(prng_.between(kNotifyMin, kNotifyMax));
  Notification notification{Notification::Kind::pages, inode, range, {}};
  if (!effective() || mount_->find(inode) == nullptr) co_return note(notification, Dropped::unknown);
  co_await drop_pages_of(mount_, inode, range);
  co_return note(notification, Dropped::done);
}

runtime::Task<Dropped> SimKernel::grow(InodeId inode, ByteRange range) {
  co_await process_.delay(prng_.between(kNotifyMin, kNotifyMax));
  const Notification notification{Notification::Kind::size, inode, range, {}};
  if (!effective() || mount_->find(inode) == nullptr) co_return note(notification, Dropped::unknown);
  const std::shared_ptr<Mount> mount = mount_;
  mount->grow(inode, range.end());
  const auto lock = mount->page_lock(inode, range.offset / kPageBytes);
  co_await LockTurn(process_, lock, true);
  lock->unlock(true);
  co_return note(notification, Dropped::done);
}

runtime::Task<Dropped> SimKernel::shrink(InodeId inode, Duration patience) {
  co_await process_.delay(prng_.between(kNotifyMin, kNotifyMax));
  const Notification notification{Notification::Kind::shorter, inode, {}, {}};
  if (!effective() || mount_->find(inode) == nullptr) co_return note(notification, Dropped::unknown);
  const auto call = std::make_shared<PatientCall>();
  begin_patience(call, process_, patience);
  process_.spawn(ask_for_size(call, process_, mount_, inode));
  co_await PatientTurn(*call);
  co_return note(notification, call->late ? Dropped::late : Dropped::done);
}

runtime::Task<std::vector<InodeId>> SimKernel::drop_unused(std::vector<InodeId> inodes) {
  co_await process_.delay(prng_.between(kNotifyMin, kNotifyMax));
  std::vector<InodeId> unknown;
  for (const InodeId inode : inodes) {
    Notification notification{Notification::Kind::pages, inode, {}, {}};
    if (!effective() || mount_->find(inode) == nullptr) {
      unknown.push_back(inode);
      note(notification, Dropped::unknown);
      continue;
    }
    co_await drop_pages_of(mount_, inode, {});
    note(notification, Dropped::done);
  }
  co_return unknown;
}

runtime::Task<void> SimKernel::drop_pages_of(std::shared_ptr<Mount> mount, InodeId inode, ByteRange range) {
  mount->distrust(inode);
  const std::uint64_t first = range.offset / kPageBytes;
  const std::uint64_t last = range.length == 0 ? ~0ull : (range.end() - 1) / kPageBytes;
  ++mount->find(inode)->references;
  // The pages that are kept or being read now, one by one, as invalidate_inode_pages2_range goes over them.
  std::vector<std::uint64_t> pages;
  for (const auto& [page, cached] : mount->find(inode)->pages) pages.push_back(page);
  for (const auto& [page, lock] : mount->find(inode)->page_locks) {
    if (lock->held()) pages.push_back(page);
  }
  std::sort(pages.begin(), pages.end());
  pages.erase(std::unique(pages.begin(), pages.end()), pages.end());
  for (const std::uint64_t page : pages) {
    if (page < first || page > last) continue;
    const auto lock = mount->page_lock(inode, page);
    co_await LockTurn(process_, lock, true);
    co_await write_dirty_page(process_, mount, inode, page);
    // A store in between makes it dirty again, and Linux then keeps it.
    KnownInode* known = mount->find(inode);
    if (const auto it = known->pages.find(page); it != known->pages.end() && !it->second.dirty) known->pages.erase(it);
    lock->unlock(true);
  }
  --mount->find(inode)->references;
  mount->distrust(inode);
}

runtime::Task<Dropped> SimKernel::drop_name(InodeId directory, std::string name, Duration patience) {
  co_await process_.delay(prng_.between(kNotifyMin, kNotifyMax));
  Notification notification{Notification::Kind::name, directory, {}, name};
  if (!effective() || mount_->find(directory) == nullptr) co_return note(notification, Dropped::unknown);
  const std::shared_ptr<Mount> mount = mount_;
  const auto drop = std::make_shared<PatientCall>();
  Process* process = &process_;
  const auto lock = mount->find(directory)->lock;
  lock->lock(true, [mount, drop, process, lock, directory, name] {
    drop->granted = true;
    if (drop->late || !process->alive()) {
      // Nobody waits any more, but it happens all the same.
      drop_under_lock(*mount, directory, name);
      lock->unlock(true);
      return;
    }
    process->universe().cancel(drop->timer);
    if (drop->waiter) process->post(drop->waiter);
  });
  if (!drop->granted) {
    begin_patience(drop, process_, patience);
  }
  co_await PatientTurn(*drop);
  if (drop->late) co_return note(notification, Dropped::late);
  const bool known = drop_under_lock(*mount, directory, name);
  lock->unlock(true);
  co_return note(notification, known ? Dropped::done : Dropped::unknown);
}

runtime::Task<Dropped> SimKernel::look_up(InodeId directory, std::string name, Duration patience) {
  co_await process_.delay(prng_.between(kNotifyMin, kNotifyMax));
  const Notification notification{Notification::Kind::found, directory, {}, name};
  if (!effective() || mount_->find(directory) == nullptr) co_return note(notification, Dropped::unknown);
  const auto call = std::make_shared<PatientCall>();
  begin_patience(call, process_, patience);
  bool found = false;
  process_.spawn(look_for(call, process_, mount_, directory, std::move(name), found));
  co_await PatientTurn(*call);
  co_return note(notification, call->late || !found ? Dropped::late : Dropped::done);
}

void SimKernel::drop_all_names() {
  if (effective()) mount_->next_epoch();
  note({Notification::Kind::all_names, {}, {}, {}}, Dropped::done);
}

}  // namespace lockstep::sim
