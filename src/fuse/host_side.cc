#include "fuse/host_side.h"

#include <fcntl.h>

#include <cerrno>
#include <utility>

namespace lockstep::fuse {

using namespace runtime;

HostSide::HostSide(World& world, area::Area& area, volume::Volume& volume, controller::Changes& changes,
                   HostOptions options)
    : state_(world, area, volume, changes, options),
      reading_(state_),
      reads_(state_),
      listings_(state_),
      changing_(state_, reading_),
      writes_(state_),
      drops_(state_, writes_) {}

Task<void> HostSide::wait_until_serving() {
  const bool may_serve = co_await state_.changes.wait_serving();
  serving_ = may_serve ? Serving::yes : Serving::never;
  for (HostRequest& request : std::exchange(held_, {})) handle(std::move(request));
}

Task<void> HostSide::stop() {
  state_.stop.request();
  state_.scope.close();
  co_await state_.scope.join();
}

void HostSide::handle(HostRequest request) {
  ++state_.counters.requests;
  if (serving_ == Serving::yes) return dispatch(std::move(request));
  if (serving_ == Serving::never) return state_.answer_error(request, EIO);
  held_.push_back(std::move(request));
  if (serving_ == Serving::waiting) return;
  serving_ = Serving::waiting;
  if (!state_.scope.spawn(wait_until_serving())) {
    serving_ = Serving::never;
    for (const HostRequest& refused : std::exchange(held_, {})) state_.answer_error(refused, EIO);
  }
}

void HostSide::dispatch(HostRequest request) {
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
    case HostOp::read: return reads_.start(std::move(request));
    case HostOp::readdir: return listings_.start(std::move(request));
    case HostOp::release: return release(request);
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
    case HostOp::copy_file_range:
    case HostOp::tmpfile: return changing_.start(std::move(request));
  }
  state_.answer_error(request, ENOSYS);
}

void HostSide::release(const HostRequest& request) {
  state_.answer_error(request, 0);
  std::uint32_t growths = 0;
  if (state_.inodes.closed(request.inode, growths)) changing_.last_handle_closed(request.inode, growths);
}

void HostSide::forget(InodeId inode, std::uint64_t count) { state_.inodes.forget(inode, count); }

void HostSide::unmounted() {
  state_.gone = true;
  // No handle will be closed any more.
  const std::vector<InodeId> open = state_.inodes.all_open();
  state_.inodes.clear();
  listings_.clear();
  for (const InodeId inode : open) changing_.last_handle_closed(inode, 0);
}

bool HostSide::is_open(InodeId inode) { return state_.inodes.is_open(inode) || changing_.may_be_opening(inode); }

}  // namespace lockstep::fuse
