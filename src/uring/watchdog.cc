#include "uring/watchdog.h"

#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/statfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <new>
#include <utility>

#include "core/check.h"
#include "core/log.h"
#include "uring/watchdog_process.h"

namespace lockstep::uring {
namespace {

constexpr long kFuseControlMagic = 0x65735543;

}  // namespace

bool prepare_connections() {
  struct statfs fs {};
  const auto there = [&fs] { return ::statfs(kConnections, &fs) == 0 && fs.f_type == kFuseControlMagic; };
  if (there()) return true;
  return ::mount("fusectl", kConnections, "fusectl", MS_NOSUID | MS_NODEV | MS_NOEXEC, nullptr) == 0 && there();
}

Result<std::unique_ptr<Watchdog>> Watchdog::start() {
  // The table takes memory as far as it is used.
  void* memory = ::mmap(nullptr, sizeof(WatchdogMemory), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) return fail_io(errno, fmt::format("memory for the watchdog: {}", std::strerror(errno)));
  // Default-initialized: the table stays as the kernel gave it, zero and untouched.
  std::unique_ptr<Watchdog> dog(new Watchdog(new (memory) WatchdogMemory));
  if (!prepare_connections()) {
    log::warning("{} can't be used or mounted: the watchdog does what umount -f does instead", kConnections);
  }
  const Result<> spawned = dog->spawn();
  if (!spawned) return std::unexpected(spawned.error());
  return dog;
}

Watchdog::~Watchdog() {
  release();
  channel_ = Descriptor();
  if (process_ > 0) {
    while (::waitpid(process_, nullptr, 0) < 0 && errno == EINTR) {
    }
  }
  ::munmap(memory_, sizeof(WatchdogMemory));
}

Result<> Watchdog::spawn() {
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) {
    return fail_io(errno, fmt::format("a channel to the watchdog: {}", std::strerror(errno)));
  }
  Descriptor mine(ends[0]), its(ends[1]);
  const pid_t child = ::fork();
  if (child < 0) return fail_io(errno, fmt::format("starting the watchdog: {}", std::strerror(errno)));
  if (child == 0) run_watchdog(memory_, its.get());
  std::swap(channel_, mine);
  process_ = child;
  return {};
}

void Watchdog::say(char what, int fd) {
  iovec bytes{&what, 1};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  msghdr message{};
  message.msg_iov = &bytes;
  message.msg_iovlen = 1;
  if (fd >= 0) {
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    cmsghdr* part = CMSG_FIRSTHDR(&message);
    part->cmsg_level = SOL_SOCKET;
    part->cmsg_type = SCM_RIGHTS;
    part->cmsg_len = CMSG_LEN(sizeof fd);
    std::memcpy(CMSG_DATA(part), &fd, sizeof fd);
  }
  // One that listens has room; where it does not, it is awake.
  if (::sendmsg(channel_.get(), &message, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 && what == kGuard) {
    log::error("the watchdog can't be told of the mount: {}", std::strerror(errno));
  }
}

void Watchdog::guard(std::uint32_t number, const std::string& path, int fd) {
  look_after();
  release();
  std::strncpy(memory_->path, path.c_str(), kWatchdogPathMax - 1);
  fd_ = fd;
  say(kGuard, fd_);
  memory_->number = number;
}

void Watchdog::release() {
  memory_->number = 0;
  if (std::exchange(fd_, -1) >= 0) say(kRelease, -1);
}

void Watchdog::until(std::int64_t deadline) {
  const std::int64_t before = memory_->until.exchange(deadline);
  look_after();
  if (deadline < before) say(kWake, -1);
}

void Watchdog::open(std::uint32_t at, std::uint64_t inode) {
  CHECK(at < kOpenMax);
  memory_->entry(at) = inode;
  if (at >= memory_->open_end) memory_->open_end = at + 1;
}

std::uint64_t Watchdog::cuts() const { return memory_->cuts; }

void Watchdog::look_after() {
  if (process_ > 0 && ::waitpid(process_, nullptr, WNOHANG) == 0) return;
  log::error("the watchdog (process {}) has ended; it is started again", process_);
  process_ = -1;
  const Result<> spawned = spawn();
  if (!spawned) {
    log::error("{}; until it runs, a daemon that hangs would go on serving what the kernel keeps", spawned.error().text);
    return;
  }
  if (fd_ >= 0) say(kGuard, fd_);
}

}  // namespace lockstep::uring
