// Notifications: what makes the kernel forget. They are written raw; the thread that writes one waits in the kernel for
// the locks it needs.

#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstring>

#include "core/check.h"
#include "core/log.h"
#include "uring/fuse_kernel.h"
#include "uring/fuse_protocol.h"

namespace lockstep::uring {
namespace {

using runtime::Dropped;
using runtime::Task;

/// Names whose drop is under way or in line; beyond, a drop is late at once.
constexpr std::size_t kNameDropsMax = 64;

/// Writes notification `code`: `fixed`, and `tail` behind it. 0, or the errno.
int notify(int fd, std::int32_t code, const void* fixed, std::size_t fixed_bytes, iovec tail = {}) {
  fuse_out_header header{};
  header.error = code;
  header.len = static_cast<std::uint32_t>(sizeof header + fixed_bytes + tail.iov_len);
  const iovec parts[] = {{&header, sizeof header}, {const_cast<void*>(fixed), fixed_bytes}, tail};
  return ::writev(fd, parts, 3) < 0 ? errno : 0;
}

/// A connection that is gone keeps nothing: that counts as done.
Dropped outcome(int error) { return error == ENOENT ? Dropped::unknown : Dropped::done; }

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

/// One name on its way: done by a thread, awaited with patience, and on its own when that ended.
class FuseKernel::NameDrop final : public Pool::Job, public Timer {
 public:
  NameDrop(FuseKernel& kernel, InodeId directory, std::string name)
      : kernel_(kernel), fd_(kernel.fd_), directory_(directory), name_(std::move(name)) {}

  struct Awaiter {
    NameDrop& drop;
    Instant deadline;
    Awaiter(NameDrop& d, Instant at) : drop(d), deadline(at) {}
    bool await_ready() const noexcept { return false; }
    void await_suspend(std::coroutine_handle<> h) {
      drop.waiter_ = h;
      drop.kernel_.loop_.add(drop, deadline);
      drop.kernel_.name_pool_.start(drop);
    }
    Dropped await_resume() { return drop.outcome_; }
  };
  Awaiter within(Instant deadline) { return Awaiter(*this, deadline); }
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
    // Withdrawn before its turn came: whoever was told "late" made the kernel forget every name.
    if (!withdrawn_) error_ = notify_name(fd_, directory_, name_);
  }

  FuseKernel& kernel_;
  const int fd_;
  const InodeId directory_;
  const std::string name_;
  std::coroutine_handle<> waiter_;
  std::atomic<bool> withdrawn_ = false;
  bool on_its_own_ = false, has_returned_ = false;
  int error_ = 0;
  Dropped outcome_ = Dropped::done;
};

Task<Dropped> FuseKernel::drop_name(InodeId directory, std::string name, Duration patience) {
  if (!connected_) co_return Dropped::done;
  ++counters_.drops_name;
  if (notifying_->count() >= kNameDropsMax) {
    ++counters_.names_late;
    co_return Dropped::late;
  }
  if (!notifying_->enter()) co_return Dropped::done;
  auto* drop = new NameDrop(*this, directory, std::move(name));
  const Dropped outcome = co_await drop->within(Loop::now() + patience);
  drop->let_go();
  if (outcome == Dropped::late) ++counters_.names_late;
  co_return outcome;
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
