// Notifications: what makes the kernel forget. They are written raw; the thread that writes one waits in the kernel for
// the locks it needs.

#include <fcntl.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <expected>
#include <functional>

#include "core/check.h"
#include "core/log.h"
#include "uring/descriptor.h"
#include "uring/fuse_kernel.h"
#include "uring/fuse_protocol.h"

namespace lockstep::uring {
namespace {

using runtime::Dropped;
using runtime::Task;

/// Names whose drop is under way or in line; beyond, a drop is late at once.
constexpr std::size_t kNameDropsMax = 64;
/// Names that are being looked up; each keeps a thread for as long as the lock of its directory is held.
constexpr long kLookUpsMax = 8;
/// Each time another notification was faster than the answer.
constexpr int kAsksForSizeMax = 16;

/// Writes notification `code`: `fixed`, and `tail` behind it. 0, or the errno.
int notify(int fd, std::int32_t code, const void* fixed, std::size_t fixed_bytes, iovec tail = {}) {
  fuse_out_header header{};
  header.error = code;
  header.len = static_cast<std::uint32_t>(sizeof header + fixed_bytes + tail.iov_len);
  const iovec parts[] = {{&header, sizeof header}, {const_cast<void*>(fixed), fixed_bytes}, tail};
  return ::writev(fd, parts, 3) < 0 ? errno : 0;
}

/// A connection that is gone keeps nothing: that counts as done.
Dropped outcome(int error) { return error == ENOENT ? Dropped::unknown : error == EAGAIN ? Dropped::late : Dropped::done; }

int notify_inode(int fd, InodeId inode, std::int64_t offset, std::int64_t length) {
  const fuse_notify_inval_inode_out out{inode.value, offset, length};
  return notify(fd, FUSE_NOTIFY_INVAL_INODE, &out, sizeof out);
}

/// Memory that nobody can read.
void* unreadable(std::size_t bytes) {
  static void* const memory = ::mmap(nullptr, runtime::kGrowBytesMax, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  CHECK(memory != MAP_FAILED && bytes <= runtime::kGrowBytesMax);
  return memory;
}

/// A store of bytes that can't be read: the kernel sets the size, then takes the first page, and stops there. So no byte comes
/// into its pages, however late it gets the page's lock.
int notify_size(int fd, InodeId inode, ByteRange range) {
  fuse_notify_store_out store{};
  store.nodeid = inode.value;
  store.offset = range.offset;
  store.size = static_cast<std::uint32_t>(range.length);
  const int error = notify(fd, FUSE_NOTIFY_STORE, &store, sizeof store, {unreadable(range.length), range.length});
  return error == EFAULT ? 0 : error;
}

int notify_name(int fd, InodeId directory, const std::string& name) {
  fuse_notify_inval_entry_out out{};
  out.parent = directory.value;
  out.namelen = static_cast<std::uint32_t>(name.size());
  return notify(fd, FUSE_NOTIFY_INVAL_ENTRY, &out, sizeof out, {const_cast<char*>(name.c_str()), name.size() + 1});
}

/// What open_by_handle_at takes for an object of a FUSE mount: fuse_encode_fh in fs/fuse/inode.c.
struct ObjectHandle {
  static constexpr int kType = 0x81;  // FILEID_INO64_GEN
  file_handle head{3 * sizeof(std::uint32_t), kType};
  std::uint32_t inode_high, inode_low, generation = 0;
};

/// The calling thread's working directory, its own from now on; "/" again when this goes.
class WorkingDirectory {
 public:
  /// `directory` may be a path only.
  explicit WorkingDirectory(const Descriptor& directory) {
    thread_local const bool own = ::unshare(CLONE_FS) == 0;
    there_ = own && ::fchdir(directory.get()) == 0;
  }
  ~WorkingDirectory() {
    if (there_) CHECK(::chdir("/") == 0);
  }
  WorkingDirectory(const WorkingDirectory&) = delete;
  [[nodiscard]] bool there() const { return there_; }

 private:
  bool there_ = false;
};

/// An object that the kernel knows, not opened: the daemon is not asked. Where it is not at hand: the errno.
std::expected<Descriptor, int> by_number(const std::string& mount_point, std::uint32_t connection, InodeId inode) {
  const Descriptor root(::open(mount_point.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  struct statx mounted {};
  const int looked = ::statx(root.get(), "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, 0, &mounted);
  // Somebody may have mounted something over it.
  if (looked != 0 || mounted.stx_dev_major != 0 || mounted.stx_dev_minor != connection) return std::unexpected(EAGAIN);
  ObjectHandle handle;
  handle.inode_high = static_cast<std::uint32_t>(inode.value >> 32);
  handle.inode_low = static_cast<std::uint32_t>(inode.value);
  // open_by_handle_at takes no descriptor that is only a path, and to open the root would be a request to the daemon.
  const WorkingDirectory here(root);
  if (!here.there()) return std::unexpected(EAGAIN);
  Descriptor object(::open_by_handle_at(AT_FDCWD, &handle.head, O_PATH | O_CLOEXEC));
  if (object.get() < 0) return std::unexpected(errno == ESTALE ? ENOENT : EAGAIN);
  return object;
}

/// Asks for its attributes until the kernel goes by a size that is no larger. 0, or the errno; EAGAIN: not so yet.
int ask_for_size(const std::string& mount_point, std::uint32_t connection, InodeId inode) {
  const auto object = by_number(mount_point, connection, inode);
  if (!object) return object.error();
  for (int i = 0; i < kAsksForSizeMax; ++i) {
    struct statx answered {}, kept{};
    if (::statx(object->get(), "", AT_EMPTY_PATH | AT_STATX_FORCE_SYNC, STATX_SIZE, &answered) != 0) return EAGAIN;
    if (::statx(object->get(), "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_SIZE, &kept) != 0) return EAGAIN;
    if (kept.stx_size <= answered.stx_size) return 0;
  }
  return EAGAIN;
}

/// Looks `name` up by way of the mount. 0, or the errno; EAGAIN: what has it could not be put there.
int look_up_in(const std::string& mount_point, std::uint32_t connection, InodeId directory, const std::string& name) {
  const auto there = by_number(mount_point, connection, directory);
  if (!there) return there.error();
  struct statx found {};
  if (::statx(there->get(), name.c_str(), AT_SYMLINK_NOFOLLOW | AT_STATX_DONT_SYNC, STATX_TYPE, &found) == 0) return 0;
  return errno == ENOENT ? ENOENT : EAGAIN;
}

}  // namespace

Dropped FuseKernel::drop_attributes(InodeId inode) {
  if (!connected_) return Dropped::done;
  ++counters_.drops_attributes;
  return outcome(notify_inode(fd_, inode, -1, 0));
}

Dropped FuseKernel::drop_listing(InodeId inode) {
  if (!connected_) return Dropped::done;
  ++counters_.drops_listing;
  return outcome(notify_inode(fd_, inode, 0, 0));
}

Task<Dropped> FuseKernel::drop_pages(InodeId inode, ByteRange range) {
  if (!connected_ || !notifying_->enter()) co_return Dropped::done;
  ++counters_.drops_pages;
  if (starved_) wake_.set();  // there is the reserve now
  auto work = [fd = fd_, inode, range] {
    return notify_inode(fd, inode, static_cast<std::int64_t>(range.offset), static_cast<std::int64_t>(range.length));
  };
  const int error = co_await page_pool_.run(work);
  notifying_->leave();
  co_return outcome(error);
}

Task<Dropped> FuseKernel::grow(InodeId inode, ByteRange range) {
  CHECK(!range.empty() && range.length <= runtime::kGrowBytesMax);
  if (!connected_ || !notifying_->enter()) co_return Dropped::done;
  ++counters_.sizes_told;
  if (starved_) wake_.set();  // there is the reserve now
  auto work = [fd = fd_, inode, range] { return notify_size(fd, inode, range); };
  const int error = co_await page_pool_.run(work);
  notifying_->leave();
  co_return outcome(error);
}

Task<std::vector<InodeId>> FuseKernel::drop_unused(std::vector<InodeId> inodes) {
  if (!connected_ || !notifying_->enter()) co_return std::vector<InodeId>{};
  counters_.drops_pages += inodes.size();
  auto work = [fd = fd_, &inodes] {
    std::vector<InodeId> unknown;
    for (const InodeId inode : inodes) {
      if (outcome(notify_inode(fd, inode, 0, 0)) == Dropped::unknown) unknown.push_back(inode);
    }
    return unknown;
  };
  std::vector<InodeId> unknown = co_await page_pool_.run(work);
  notifying_->leave();
  co_return unknown;
}

/// A call on its way: made by a thread, awaited with patience, and on its own when that ended.
class FuseKernel::Patient final : public Pool::Job, public Timer {
 public:
  /// `call` gives an errno.
  Patient(FuseKernel& kernel, Pool& pool, std::function<int()> call) : kernel_(kernel), pool_(pool), call_(std::move(call)) {}

  struct Awaiter {
    Patient& call;
    Instant deadline;
    Awaiter(Patient& c, Instant at) : call(c), deadline(at) {}
    bool await_ready() const noexcept { return false; }
    void await_suspend(std::coroutine_handle<> h) {
      call.waiter_ = h;
      call.kernel_.loop_.add(call, deadline);
      call.pool_.start(call);
    }
    Dropped await_resume() { return call.outcome_; }
  };
  Awaiter within(Duration patience) { return Awaiter(*this, Loop::now() + patience); }
  /// Nobody awaits it any more: it goes when its call returned.
  void let_go() {
    if (has_returned_) {
      delete this;
    } else {
      on_its_own_ = true;
    }
  }

  void fire() override {
    withdrawn_ = true;
    outcome_ = Dropped::late;
    kernel_.loop_.post(waiter_);
  }
  void returned() override {
    kernel_.notifying_->leave();
    if (on_its_own_) {
      delete this;
      return;
    }
    has_returned_ = true;
    if (!armed()) return;  // late, and whoever awaits it is about to be told
    kernel_.loop_.remove(*this);
    outcome_ = outcome(error_);
    kernel_.loop_.post(waiter_);
  }

 private:
  void work() override {
    // Withdrawn before its turn came: whoever was told "late" sees to it in another way.
    if (!withdrawn_) error_ = call_();
  }

  FuseKernel& kernel_;
  Pool& pool_;
  const std::function<int()> call_;
  std::coroutine_handle<> waiter_;
  std::atomic<bool> withdrawn_ = false;
  bool on_its_own_ = false, has_returned_ = false;
  int error_ = 0;
  Dropped outcome_ = Dropped::done;
};

/// Requires: notifying_ was entered.
Task<Dropped> FuseKernel::with_patience(Pool& pool, std::function<int()> call, Duration patience) {
  auto* its = new Patient(*this, pool, std::move(call));
  const Dropped outcome = co_await its->within(patience);
  its->let_go();
  co_return outcome;
}

Task<Dropped> FuseKernel::shrink(InodeId inode, Duration patience) {
  if (!connected_ || !notifying_->enter()) co_return Dropped::done;
  ++counters_.sizes_asked;
  if (starved_) wake_.set();  // there is the reserve now
  auto ask = [path = path_, number = number_, inode] { return ask_for_size(path, number, inode); };
  co_return co_await with_patience(page_pool_, std::move(ask), patience);
}

Task<Dropped> FuseKernel::drop_name(InodeId directory, std::string name, Duration patience) {
  if (!connected_) co_return Dropped::done;
  ++counters_.drops_name;
  if (notifying_->count() >= kNameDropsMax) {
    ++counters_.names_late;
    co_return Dropped::late;
  }
  if (!notifying_->enter()) co_return Dropped::done;
  auto notice = [fd = fd_, directory, name = std::move(name)] { return notify_name(fd, directory, name); };
  const Dropped outcome = co_await with_patience(name_pool_, std::move(notice), patience);
  if (outcome == Dropped::late) ++counters_.names_late;
  co_return outcome;
}

Task<Dropped> FuseKernel::look_up(InodeId directory, std::string name, Duration patience) {
  if (looking_.use_count() > kLookUpsMax) co_return Dropped::late;
  if (!connected_ || !notifying_->enter()) co_return Dropped::done;
  ++counters_.names_looked_up;
  auto look = [path = path_, number = number_, directory, name = std::move(name), held = looking_] { return look_up_in(path, number, directory, name); };
  co_return co_await with_patience(page_pool_, std::move(look), patience);
}

void FuseKernel::drop_all_names() {
  if (!connected_ || !epochs_) return;
  ++counters_.drops_all_names;
  const int error = notify(fd_, kNotifyIncreaseEpoch, nullptr, 0);
  if (error == 0 || error == ENOTCONN || error == ENODEV) return;
  // The kernel said at INIT that it can; from here on it is told to keep no names.
  epochs_ = false;
  log::error("mount point {}: expiring all names: {}; names are not kept any longer", path_, std::strerror(error));
}

}  // namespace lockstep::uring
