#include "fuse/mount_state.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>

#include "core/check.h"
#include "core/log.h"

namespace lockstep::fuse {

using namespace runtime;

namespace {

constexpr Duration kLookAfterSignalled = std::chrono::milliseconds(250);

}  // namespace

void MountState::launch(std::uint64_t unique, Task<void> task) {
  if (!scope.spawn(std::move(task))) (void)kernel.reply(unique, ErrorReply{EIO});
}

void MountState::answer_error(const HostRequest& request, int number) {
  (void)kernel.reply(request.unique, ErrorReply{number});
}

int MountState::errno_of(const Error& error, const HostRequest& request) {
  if (error.code == Errc::posix) return error.posix;
  log::error("request {} on inode {} at {}, {} bytes: {}; the host got EIO", static_cast<int>(request.op),
             request.inode.value, request.offset, request.size, error.text);
  return EIO;
}

bool MountState::out_of_patience(Instant since) {
  if (options.patience == Duration{}) return false;
  if (!waking) waking = scope.spawn(wake_waiting());
  if (world.clock.now() - since < options.patience) return false;
  if (counters.out_of_patience++ == 0) {
    log::error("requests waited for {} s for this site to serve, and fail with EIO from now on (timing.patience); lockstep status says what it "
               "waits for", std::chrono::duration_cast<std::chrono::seconds>(options.patience).count());
  }
  return true;
}

Task<void> MountState::wake_waiting() {
  const Duration step = std::clamp<Duration>(options.patience / 10, std::chrono::milliseconds(100), std::chrono::seconds(10));
  do {
    (void)co_await world.clock.sleep_until(world.clock.now() + step, stop);
    serving.wake();
  } while (!stop.requested() && !serving.now());
  waking = false;
}

Task<bool> MountState::served(const HostRequest& request) {
  ++counters.held;
  const std::uint64_t mount = mounts;
  const Instant since = world.clock.now();
  Waiting mine{.pid = request.caller.pid, .signal = false, .waiter = nullptr, .let_go = nullptr};
  waits(request.unique, mine);
  int error = 0;
  const bool waits_for_lock = request.op == HostOp::setlk && request.lock.wait && request.lock.type != HostLock::Type::unlock;
  const auto over = [&] { return gone || stop.requested() || mount != mounts; };
  while (over() || !serving.now()) {
    if (over() || out_of_patience(since)) {
      error = EIO;
    } else if (mine.signal && (waits_for_lock || kernel.ends(mine.pid))) {
      error = EINTR;
      ++counters.let_go;
    }
    if (error != 0) break;
    co_await serving.change();
  }
  waits_no_more(request.unique, mine);
  if (error != 0) answer_error(request, error);
  co_return error == 0;
}

Task<wire::Outcome> MountState::change(const HostRequest& request, wire::Operation operation, Bytes payload, std::shared_ptr<Lease> lease,
                                       std::function<void()> let_go) {
  controller::Waiter waiter;
  Waiting mine{.pid = request.caller.pid, .signal = false, .waiter = &waiter, .let_go = std::move(let_go)};
  waits(request.unique, mine);
  wire::Outcome outcome = co_await changes.change(std::move(operation), payload, std::move(lease), &waiter);
  waits_no_more(request.unique, mine);
  if (waiter.gone) outcome.error = EINTR;
  co_return outcome;
}

void MountState::waits(std::uint64_t unique, Waiting& its) { CHECK(waiting.emplace(unique, &its).second); }

void MountState::waits_no_more(std::uint64_t unique, const Waiting& its) {
  waiting.erase(unique);
  if (its.signal) --signalled;
}

void MountState::interrupted(std::uint64_t unique) {
  const auto found = waiting.find(unique);
  if (found == waiting.end() || found->second->signal) return;
  found->second->signal = true;
  ++signalled;
  look_after(unique, *found->second);
  if (!watching) watching = scope.spawn(watch_signalled());
}

void MountState::look_after(std::uint64_t unique, Waiting& its) {
  if (its.waiter == nullptr) return serving.wake();
  if (its.waiter->gone || its.waiter->bound || !kernel.ends(its.pid)) return;
  its.waiter->gone = true;
  ++counters.let_go;
  kernel.give_up(unique);
  if (its.let_go) its.let_go();
  changes.waiter_went();
}

Task<void> MountState::watch_signalled() {
  while (signalled > 0 && !stop.requested()) {
    (void)co_await world.clock.sleep_until(world.clock.now() + kLookAfterSignalled, stop);
    for (const auto& [unique, its] : waiting) {
      if (its->signal) look_after(unique, *its);
    }
  }
  watching = false;
}

void MountState::drop_all_names() {
  ++counters.epochs;
  inodes.all_names_dropped();
  kernel.drop_all_names();
}

EntryReply MountState::entry_of(const HostAttributes& attributes, InodeId directory) {
  if (!serving.now()) return {attributes, Duration::zero(), Duration::zero()};
  return {attributes, options.attributes_valid, is_contended(directory) ? Duration::zero() : options.entries_valid};
}

bool MountState::is_contended(InodeId directory) {
  const KnownInode* node = directory == kNoInode ? nullptr : inodes.find(directory);
  if (node == nullptr) return false;
  return node->moves != 0 || (node->contended_until != Instant{} && world.clock.now() < node->contended_until);
}

AttributesReply MountState::attributes_of(const HostAttributes& attributes) const {
  return {attributes, serving.now() ? options.attributes_valid : Duration::zero()};
}

OpenReply MountState::open_of(std::uint32_t flags) {
  OpenReply open;
  // The kernel places data of O_APPEND at the end that it knows, and would keep it there.
  const bool append = (flags & O_APPEND) != 0 && (flags & O_ACCMODE) != O_RDONLY;
  open.direct = options.strict || append || (flags & O_DIRECT) != 0;
  open.parallel_direct = open.direct && !append;
  open.keep_cache = true;
  open.handle = ++files_opened << 1 | (open.direct ? kHandleDirect : 0);
  return open;
}

bool MountState::hand_out(const HostRequest& request, InodeId directory, const HostReply& reply, InodeId inode) {
  const auto* entry = std::get_if<EntryReply>(&reply);
  inodes.count(inode, entry == nullptr ? S_IFREG : entry->attributes.mode);
  if (directory != kNoInode && !is_contended(directory)) inodes.name_handed_out(directory);
  if (kernel.reply(request.unique, reply)) return true;
  inodes.forget(inode, 1);
  return false;
}

Task<bool> load_or_answer(MountState& state, const HostRequest& request, volume::Miss miss) {
  const Result<> loaded = co_await state.volume.load(std::move(miss));
  if (loaded) co_return true;
  // An error is an answer, too: a reader's may be another one when hosts are served again.
  if (!state.serving.now() && request.op != HostOp::create) co_return co_await state.served(request);
  state.answer_error(request, state.errno_of(loaded.error(), request));
  co_return false;
}

wire::Operation operation_by(const HostRequest& request, wire::OpKind kind) {
  wire::Operation o;
  o.kind = kind;
  o.inode = request.inode;
  o.name = request.name;
  o.uid = request.caller.uid;
  o.gid = request.caller.gid;
  return o;
}

}  // namespace lockstep::fuse
