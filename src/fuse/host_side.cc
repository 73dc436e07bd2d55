#include "fuse/host_side.h"

#include <fcntl.h>

#include <cerrno>
#include <utility>

#include "core/check.h"
#include "core/log.h"

namespace lockstep::fuse {

using namespace runtime;

namespace {

constexpr Duration kMountAgainPause = std::chrono::seconds(1);

}  // namespace

HostSide::HostSide(World& world, area::Area& area, volume::Volume& volume, controller::Changes& changes,
                   HostOptions options)
    : state_(world, area, volume, changes, options),
      reading_(state_),
      writes_(state_),
      reads_(state_, writes_),
      listings_(state_),
      changing_(state_, reading_),
      drops_(state_, writes_),
      locks_(state_),
      mounting_(world.scheduler) {}

void HostSide::open() {
  CHECK(!closing_);
  state_.serving.open();
  locks_.all_changed();  // the volume may be another site's now
}

Task<void> HostSide::close() {
  CHECK(!closing_);
  closing_ = true;
  ++state_.counters.closings;
  state_.serving.close();
  listings_.clear();
  if (!state_.gone) {
    Stop emptied;
    Scope guard(state_.world.scheduler);
    guard.spawn(cut_off_late(emptied));
    co_await drops_.everything();
    emptied.request();
    co_await guard.join();
  }
  serve_until(kNoDeadline);
  closing_ = false;
}

Task<void> HostSide::renew() {
  CHECK(!state_.serving.now());
  if (state_.gone || leaving_.requested()) co_return;  // it is being made again already
  (void)mounting_.spawn(mount_again());
  co_await mounting_.join();
}

Task<void> HostSide::cut_off_late(Stop& emptied) {
  const Instant now = state_.world.clock.now();
  const bool late = co_await state_.world.clock.sleep_until(now + state_.options.closing_patience, emptied);
  if (!late) co_return;
  log::error("the kernel did not give back what it keeps of the volume within {} ms: the mount is cut off",
             std::chrono::duration_cast<std::chrono::milliseconds>(state_.options.closing_patience).count());
  state_.kernel.serve_until(now);
}

void HostSide::serve_until(Instant until) {
  state_.serving.until(until);
  state_.kernel.serve_until(until);
}

Task<void> HostSide::unmount() {
  leaving_.request();
  co_await mounting_.join();
  co_await state_.kernel.unmount();
}

Task<void> HostSide::mount_again() {
  while (!leaving_.requested()) {
    Result<> mounted;
    co_await mount_once(mounted);
    if (mounted) {
      log::warning("the mount was cut off and is there again: hosts that had files open have to open them again");
      co_return;
    }
    log::error("the mount was cut off and can't be made again: {}; the next try is in {} ms", mounted.error().text,
               std::chrono::duration_cast<std::chrono::milliseconds>(kMountAgainPause).count());
    (void)co_await state_.world.clock.sleep_until(state_.world.clock.now() + kMountAgainPause, leaving_);
  }
}

Task<void> HostSide::mount_once(Result<>& done) {
  done = co_await state_.kernel.mount_anew(*this);
  mount_problem_ = done ? std::string() : done.error().text;
  if (!done) co_return;
  state_.gone = false;
  ++state_.mounts;
  ++state_.counters.mounted_again;
}

Task<Result<>> HostSide::mount() {
  if (leaving_.requested()) co_return fail(Errc::stopped, "this daemon is stopping");
  if (mounted()) co_return Result<>{};
  if (mounting_.running() > 0) co_return fail(Errc::refused, fmt::format("{}; that is tried again every second", mount_problem_));
  Result<> done;
  (void)mounting_.spawn(mount_once(done));
  co_await mounting_.join();
  co_return done;
}

Task<void> HostSide::stop() {
  state_.stop.request();
  state_.serving.wake();
  state_.scope.close();
  co_await state_.scope.join();
}

void HostSide::handle(HostRequest request) {
  ++state_.counters.requests;
  switch (request.op) {
    case HostOp::release:
    case HostOp::releasedir:
    case HostOp::flush:
    case HostOp::setlk:  // waits where a signal finds it
    case HostOp::read:   // these two wait with what they hold locked
    case HostOp::write:
    case HostOp::unlink:  // and these three with what the kernel has under their names
    case HostOp::rmdir:
    case HostOp::rename: return dispatch(std::move(request));
    default: break;
  }
  if (state_.serving.now()) return dispatch(std::move(request));
  const std::uint64_t unique = request.unique;
  state_.launch(unique, when_served(std::move(request)));
}

Task<void> HostSide::when_served(HostRequest request) {
  const bool served = co_await state_.served(request);
  if (served) dispatch(std::move(request));
}

/// A lock that was taken through its handle is lost: who relied on it is told with each request.
bool HostSide::fenced(const HostRequest& request) const {
  switch (request.op) {
    case HostOp::read:
    case HostOp::write:
    case HostOp::fsync:
    case HostOp::setattr:
    case HostOp::fallocate:
    case HostOp::lseek:
    case HostOp::getlk:
    case HostOp::setlk: return locks_.fenced(request.handle);
    case HostOp::copy_file_range: return locks_.fenced(request.handle) || locks_.fenced(request.other_handle);
    default: return false;
  }
}

void HostSide::dispatch(HostRequest request) {
  if (fenced(request)) return state_.answer_error(request, EIO);
  switch (request.op) {
    case HostOp::lookup:
    case HostOp::getattr:
    case HostOp::readlink:
    case HostOp::getxattr:
    case HostOp::lseek:
    case HostOp::statfs:
    case HostOp::opendir: return reading_.start(std::move(request));
    case HostOp::open:
      if ((request.flags & O_TRUNC) != 0) return changing_.start(std::move(request));
      return reading_.start(std::move(request));
    case HostOp::listxattr: return reading_.start_listxattr(std::move(request));
    case HostOp::read:
    case HostOp::copy_file_range: return reads_.start(std::move(request));
    case HostOp::readdir: return listings_.start(std::move(request));
    case HostOp::release: return release(request);
    case HostOp::flush: return locks_.flush(request);
    case HostOp::getlk: return locks_.get(request);
    case HostOp::setlk: return locks_.start_set(std::move(request));
    case HostOp::releasedir:
      listings_.closed(request.handle);
      return state_.answer_error(request, 0);
    case HostOp::write: return writes_.start_write(std::move(request));
    case HostOp::fsync:
    case HostOp::fsyncdir: return writes_.start_sync(std::move(request));
    case HostOp::setattr:
    case HostOp::mknod:
    case HostOp::mkdir:
    case HostOp::symlink:
    case HostOp::unlink:
    case HostOp::rmdir:
    case HostOp::rename:
    case HostOp::link:
    case HostOp::setxattr:
    case HostOp::removexattr:
    case HostOp::create:
    case HostOp::fallocate:
    case HostOp::tmpfile: return changing_.start(std::move(request));
  }
  state_.answer_error(request, ENOSYS);
}

void HostSide::release(const HostRequest& request) {
  state_.answer_error(request, 0);
  locks_.released(request);
  std::uint32_t growths = 0;
  if (state_.inodes.closed(request.inode, growths)) changing_.last_handle_closed(request.inode, growths);
}

void HostSide::interrupted(std::uint64_t unique) {
  locks_.interrupted(unique);
  state_.interrupted(unique);
}

void HostSide::forget(InodeId inode, std::uint64_t count) { state_.inodes.forget(inode, count); }

void HostSide::unmounted(bool cut_off) {
  state_.gone = true;
  state_.serving.wake();
  // No handle will be closed any more.
  const std::vector<InodeId> open = state_.inodes.all_open();
  state_.inodes.clear();
  state_.changed_names.clear();
  listings_.clear();
  locks_.unmounted();
  for (const InodeId inode : open) changing_.last_handle_closed(inode, 0);
  if (mounting_.running() > 0 || leaving_.requested()) return;
  if (cut_off) {
    (void)mounting_.spawn(mount_again());
  } else {
    log::warning("somebody has unmounted the volume here: programs that use its path find the directory below it; to mount it again: lockstep mount");
  }
}

void HostSide::lost_last_name(const HostAttributes& last) { state_.inodes.lost_last_name(last); }

bool HostSide::is_open(InodeId inode) { return state_.inodes.is_open(inode) || changing_.may_be_opening(inode); }

}  // namespace lockstep::fuse
