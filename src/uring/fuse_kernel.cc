#include "uring/fuse_kernel.h"

#include <poll.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdarg>
#include <cstdio>
#include <cstring>

#include "core/check.h"
#include "core/log.h"
#include "uring/fuse_init.h"
#include "uring/fuse_operations.h"
#include "uring/thread_end.h"
#include "uring/watchdog_process.h"

namespace lockstep::uring {
namespace {

using runtime::Task;

/// Requests taken in one pass: others have their turn in between.
constexpr int kBudget = 64;
constexpr int kEagernessMax = 16;
/// While requests come one by one, so often a second read is tried.
constexpr unsigned kTryEvery = 16;
/// Without memory to read into, so often it is looked at whether the mount is still there.
constexpr Duration kLookWhileStarved = std::chrono::milliseconds(50);

/// Messages of libfuse, into the log.
void log_of_libfuse(fuse_log_level level, const char* format, va_list arguments) {
  char line[512];
  std::vsnprintf(line, sizeof line, format, arguments);
  std::string_view text = line;
  while (text.ends_with('\n')) text.remove_suffix(1);
  if (level <= FUSE_LOG_ERR) {
    log::error("libfuse: {}", text);
  } else {
    log::debug("libfuse: {}", text);
  }
}

}  // namespace

FuseKernel::FuseKernel(Loop& loop, FuseOptions options)
    : loop_(loop),
      options_(std::move(options)),
      memory_(options_.request_bytes_max, options_.request_bytes_reserve,
              [this] {
                if (!room_told_.exchange(true)) loop_.hand_back(*this);
              }),
      page_pool_(loop, options_.page_threads, "fuse-pages"),
      name_pool_(loop, options_.name_threads, "fuse-names"),
      end_pool_(loop, 1, "fuse-unmount"),
      wake_(loop),
      scope_(loop),
      open_(options_.watchdog) {}

FuseKernel::~FuseKernel() { CHECK(session_ == nullptr); }

Result<> FuseKernel::mount(runtime::HostHandler& handler) {
  auto point = prepare_mount_point(options_.mount);
  if (!point) return std::unexpected(point.error());
  const auto channel = open_channel(*point, options_.mount);
  if (!channel) return std::unexpected(channel.error());
  return begin(handler, point->path, Descriptor(*channel));
}

Task<Result<>> FuseKernel::mount_anew(runtime::HostHandler& handler) {
  Descriptor next;
  if (there_) {
    auto work = [this] { return open_channel_beneath(path_, options_.mount); };
    const Result<int> channel = co_await end_pool_.run(work);
    if (channel) {
      next = Descriptor(*channel);
    } else {
      log::info("{}: until the mount is there again programs find the directory below it", channel.error().text);
    }
  }
  co_await unmount();
  if (next) co_return begin(handler, path_, std::move(next));
  co_return mount(handler);
}

Result<> FuseKernel::begin(runtime::HostHandler& handler, std::string path, Descriptor channel) {
  CHECK(session_ == nullptr);
  path_ = std::move(path);
  handler_ = &handler;
  fuse_set_log_func(&log_of_libfuse);
  char name[] = "lockstep";
  char* argv[] = {name, nullptr};
  fuse_args arguments = FUSE_ARGS_INIT(1, argv);
  session_ = fuse_session_new(&arguments, &FuseOperations::table(), sizeof(fuse_lowlevel_ops), this);
  fuse_opt_free_args(&arguments);  // libfuse has replaced them by a copy
  if (session_ == nullptr) {
    (void)take_away(path_);
    return fail_io(ENOMEM, "libfuse gives no session");
  }
  fd_ = channel.release();
  fuse_custom_io io{};
  io.writev = write_hook;
  io.read = read_hook;
  CHECK(fuse_session_custom_io(session_, &io, fd_) == 0);
  notifying_.emplace(loop_);
  connected_ = there_ = true;
  leaving_ = ending_ = starved_ = false;
  wake_.reset();
  number_ = connection_of(path_).value_or(0);
  if (options_.watchdog != nullptr) {
    cuts_ = options_.watchdog->cuts();
    options_.watchdog->guard(number_, path_, fd_);
  }
  watch_ = loop_.watch(fd_, *this);
  CHECK(scope_.spawn(serve()));
  return {};
}

Task<void> FuseKernel::unmount() {
  if (session_ == nullptr) co_return;
  leaving_ = true;
  if (there_) {
    // The last references of hosts end here, with writes and forgets that the loop goes on serving.
    auto work = [path = path_] { return take_away(path); };
    const bool away = co_await end_pool_.run(work);
    if (!away) log::error("mount point {}: cannot unmount: run: umount -l {}", path_, path_);
    there_ = false;
  }
  // A read now says that the connection is gone; where it does not, a mount in another namespace still holds it.
  ending_ = true;
  wake_.set();
  co_await scope_.join();
  // When it has ended, nothing holds a lock any more.
  auto forget = [fd = fd_, ended = connection_ended(), number = number_, open = open_.all()] {
    if (!ended && number != 0) end_connection(number, "");
    forget_names(fd);
    for (const InodeId inode : open) forget_object(fd, inode.value);
    return true;
  };
  co_await end_pool_.run(forget);
  if (options_.watchdog != nullptr) options_.watchdog->release();
  open_.clear();
  notifying_->close();
  co_await notifying_->idle();
  watch_.reset();
  arriving_ = {};
  fuse_session_destroy(std::exchange(session_, nullptr));  // closes the descriptor
  fd_ = -1;
}

bool FuseKernel::in_place() const { return there_ && connected_ && connection_of(path_) == number_; }

void FuseKernel::serve_until(Instant until) {
  if (options_.watchdog != nullptr) options_.watchdog->until(until.ns);
}

bool FuseKernel::ends(std::uint32_t pid) { return pid != 0 && thread_ends(pid); }

void FuseKernel::readable() { wake_.set(); }

void FuseKernel::fire() { wake_.set(); }

bool FuseKernel::connection_ended() const {
  pollfd poll{fd_, POLLIN, 0};
  return ::poll(&poll, 1, 0) > 0 && (poll.revents & POLLERR) != 0;
}

void FuseKernel::returned() {
  room_told_ = false;
  starved_ = false;
  wake_.set();
}

Task<void> FuseKernel::serve() {
  for (;;) {
    if (starved_) {
      loop_.add(*this, Loop::now() + kLookWhileStarved);
    } else {
      watch_->arm();
    }
    co_await wake_.wait();
    wake_.reset();
    if (armed()) loop_.remove(*this);
    if (!take_requests() || ending_) break;
  }
  gone();
}

bool FuseKernel::take_requests() {
  for (int taken = 0; taken < kBudget; ++taken) {
    if (taken > 0 && eagerness_ == 0 && ++since_try_ < kTryEvery) return true;
    std::byte* const into = memory_.next(notifying_->count() != 0);
    if (into == nullptr) {
      if (!std::exchange(starved_, true)) ++counters_.starved;  // until returned() says that there is room
      return !connection_ended();
    }
    starved_ = false;
    ++counters_.reads;
    ++loop_.statistics().reads;
    const ssize_t n = ::read(fd_, into, RequestMemory::room());
    if (n < 0) {
      if (errno == EAGAIN) {
        if (taken > 0) since_try_ = 0;
        eagerness_ = std::max(0, eagerness_ - 1);
        return true;
      }
      if (errno == EINTR || errno == ENOENT) continue;  // ENOENT: the request was taken back while it was read
      if (errno != ENODEV) log::error("mount point {}: reading requests: {}; the mount is given up", path_, std::strerror(errno));
      return false;
    }
    if (taken > 0) eagerness_ = std::min(kEagernessMax, eagerness_ + 4);
    take(static_cast<std::size_t>(n));
  }
  return true;
}

void FuseKernel::take(std::size_t length) {
  if (length < sizeof(fuse_in_header)) {
    log::error("mount point {}: a request of {} bytes is shorter than its header", path_, length);
    return;
  }
  arriving_ = memory_.take(length);
  const auto& header = *reinterpret_cast<const fuse_in_header*>(arriving_.bytes);
  if (header.opcode == FUSE_INIT && length >= sizeof header + 4 * sizeof(std::uint32_t)) {
    fuse_init_in in{};
    std::memcpy(&in, arriving_.bytes + sizeof header, std::min(sizeof in, length - sizeof header));
    init_unique_ = header.unique;
    kernel_minor_ = in.minor;
    kernel_readahead_ = in.max_readahead;
    kernel_flags_ = in.flags | ((in.flags & FUSE_INIT_EXT) != 0 ? std::uint64_t{in.flags2} << 32 : 0);
    epochs_ = in.major == FUSE_KERNEL_VERSION && in.minor >= kMinorWithEpochs;
    if (!epochs_) {
      log::warning("mount point {}: FUSE {}.{} of this kernel cannot expire names (7.{} can): names are not kept, and "
                   "each use looks them up", path_, in.major, in.minor, kMinorWithEpochs);
    }
  }
  if (header.opcode == kOpcodeTmpfile) {
    take_tmpfile(arriving_);
  } else if (header.opcode == kOpcodeStatx) {
    take_statx(arriving_);
  } else if (header.opcode == FUSE_INTERRUPT) {
    take_interrupt(arriving_);  // libfuse knows nothing of some requests
  } else {
    fuse_buf buffer{};
    buffer.mem = arriving_.bytes;
    buffer.size = arriving_.length;
    fuse_session_process_buf(session_, &buffer);
    if (header.opcode == FUSE_INIT && !set_read_ahead(path_, options_.read_ahead_kib)) {
      log::warning("mount point {}: the kernel's read-ahead stays as it is: /sys is not writable", path_);
    }
  }
  arriving_.lease.reset();
}

void FuseKernel::take_tmpfile(const RequestMemory::Request& from) {
  const auto& header = *reinterpret_cast<const fuse_in_header*>(from.bytes);
  if (from.length < sizeof header + sizeof(fuse_create_in)) {
    Slot slot;
    slot.raw = header.unique;
    (void)send(slot, EINVAL, {});
    return;
  }
  const auto& in = *reinterpret_cast<const fuse_create_in*>(from.bytes + sizeof header);
  runtime::HostRequest request;
  request.op = runtime::HostOp::tmpfile;
  request.caller = {header.uid, header.gid, header.pid, in.umask};
  request.inode = InodeId{header.nodeid};
  request.mode = (in.mode & ~static_cast<mode_t>(S_IFMT)) | S_IFREG;
  request.flags = in.flags;
  hand_out(std::move(request), nullptr);
}

void FuseKernel::take_statx(const RequestMemory::Request& from) {
  const auto& header = *reinterpret_cast<const fuse_in_header*>(from.bytes);
  runtime::HostRequest request;
  request.op = runtime::HostOp::getattr;
  request.caller = {header.uid, header.gid, header.pid, 0};
  request.inode = InodeId{header.nodeid};
  hand_out(std::move(request), nullptr);
}

/// One that was answered meanwhile has no slot any more.
void FuseKernel::take_interrupt(const RequestMemory::Request& from) {
  if (from.length < sizeof(fuse_in_header) + sizeof(fuse_interrupt_in)) return;
  const std::uint64_t raw = reinterpret_cast<const fuse_interrupt_in*>(from.bytes + sizeof(fuse_in_header))->unique;
  const auto slot = std::ranges::find_if(slots_, [raw](const Slot& s) { return s.used && !s.gone && s.raw == raw; });
  if (slot == slots_.end()) return;
  const auto index = static_cast<std::uint64_t>(slot - slots_.begin());
  handler_->interrupted(std::uint64_t{slot->generation} << 32 | index);
}

void FuseKernel::hand_out(runtime::HostRequest request, fuse_req* from) {
  if (free_slots_.empty()) {
    free_slots_.push_back(static_cast<std::uint32_t>(slots_.size()));
    slots_.emplace_back();
  }
  const std::uint32_t index = free_slots_.back();
  free_slots_.pop_back();
  Slot& slot = slots_[index];
  slot.request = from;
  slot.raw = reinterpret_cast<const fuse_in_header*>(arriving_.bytes)->unique;
  slot.op = request.op;
  slot.inode = request.inode;
  if (request.op == runtime::HostOp::release || request.op == runtime::HostOp::releasedir) open_.closed(request.inode);
  slot.used = true;
  slot.gone = false;
  request.unique = std::uint64_t{slot.generation} << 32 | index;
  request.lease = arriving_.lease;
  ++counters_.requests;
  handler_->handle(std::move(request));
}

void FuseKernel::gone() {
  connected_ = false;
  fuse_session_exit(session_);
  for (Slot& slot : slots_) {
    if (!slot.used || slot.gone) continue;
    slot.gone = true;
    if (slot.request != nullptr) fuse_reply_none(std::exchange(slot.request, nullptr));  // frees it, says nothing
  }
  // Taken away by somebody else it is not there any more; cut off it still is, and every call on it fails.
  const bool cut = options_.watchdog != nullptr && options_.watchdog->cuts() != cuts_;
  const bool cut_off = !leaving_ && there_ && (cut || mounted_at(path_).has_value());
  if (cut_off) {
    log::error("mount point {}: the connection was cut off{}; calls of hosts have failed", path_,
               cut ? " by the watchdog: this daemon did not renew its leave to serve in time" : "");
  } else {
    if (!leaving_ && options_.watchdog != nullptr) options_.watchdog->release();
    there_ = false;
    log::info("mount point {}: unmounted", path_);
  }
  handler_->unmounted(cut_off);
}

/// Where libfuse writes: answers, of which only that to INIT is looked at.
long FuseKernel::write_hook(int fd, iovec* parts, int count, void* self) {
  auto& kernel = *static_cast<FuseKernel*>(self);
  const auto& header = *static_cast<const fuse_out_header*>(parts[0].iov_base);
  ++kernel.loop_.statistics().writes;
  if (kernel.init_unique_ == 0 || header.unique != kernel.init_unique_) return ::writev(fd, parts, count);
  kernel.init_unique_ = 0;
  if (header.error != 0) return ::writev(fd, parts, count);
  fuse_init_out answer = answer_to_init(kernel.kernel_minor_, kernel.kernel_flags_, kernel.kernel_readahead_);
  fuse_out_header patched{};
  patched.len = sizeof patched + sizeof answer;
  patched.unique = header.unique;
  iovec whole[] = {{&patched, sizeof patched}, {&answer, sizeof answer}};
  return ::writev(fd, whole, 2);
}

long FuseKernel::read_hook(int fd, void* into, std::size_t length, void*) { return ::read(fd, into, length); }

}  // namespace lockstep::uring
