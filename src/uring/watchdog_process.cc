#include "uring/watchdog_process.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <ctime>

#include "uring/fuse_protocol.h"

namespace lockstep::uring {
namespace {

constexpr int kChannel = 3, kTimer = 4, kConnection = 5;

std::int64_t boot_time() {
  timespec now{};
  ::clock_gettime(CLOCK_BOOTTIME, &now);
  return now.tv_sec * std::int64_t{1'000'000'000} + now.tv_nsec;
}

/// "/sys/fs/fuse/connections/N/abort", without allocation.
void abort_path(char* into, std::uint32_t number) {
  char digits[16];
  int n = 0;
  do {
    digits[n++] = static_cast<char>('0' + number % 10);
    number /= 10;
  } while (number != 0);
  char* at = ::stpcpy(into, kConnections);
  *at++ = '/';
  while (n > 0) *at++ = digits[--n];
  ::stpcpy(at, "/abort");
}

/// The thread that started this process has ended: the daemon was killed. Its channel need not be closed for that: others of its
/// threads can't end while they wait in the kernel for what the daemon had to answer.
volatile std::sig_atomic_t killed = 0;
void note_killed(int) { killed = 1; }

void say(const char* text) { (void)!::write(STDERR_FILENO, text, std::strlen(text)); }

void cut(WatchdogMemory* memory, const char* why) {
  const std::uint32_t number = memory->number.exchange(0);
  if (number == 0) return;
  end_connection(number, memory->path);
  forget_names(kConnection);
  const std::uint32_t end = std::min(memory->open_end.load(), Watchdog::kOpenMax);
  for (std::uint32_t at = 0; at < end; ++at) {
    if (const std::uint64_t inode = memory->entry(at); inode != 0) forget_object(kConnection, inode);
  }
  ::close(kConnection);
  ++memory->cuts;
  say(why);
}

[[noreturn]] void end_with_daemon(WatchdogMemory* memory) {
  // Its connection ends when this process does, but what is open stays readable.
  cut(memory, "lockstep watchdog: the daemon has ended: its mount is cut off\n");
  ::_exit(0);
}

/// What the daemon says.
void listen(WatchdogMemory* memory) {
  for (;;) {
    char what = 0;
    iovec bytes{&what, 1};
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))];
    msghdr message{};
    message.msg_iov = &bytes;
    message.msg_iovlen = 1;
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    const ssize_t n = ::recvmsg(kChannel, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno == EAGAIN) return;
    if (n <= 0) end_with_daemon(memory);
    if (what == kRelease) ::close(kConnection);
    if (what != kGuard) continue;
    const cmsghdr* part = CMSG_FIRSTHDR(&message);
    if (part == nullptr || part->cmsg_type != SCM_RIGHTS) continue;
    int fd = -1;
    std::memcpy(&fd, CMSG_DATA(part), sizeof fd);
    if (fd == kConnection) continue;
    ::dup2(fd, kConnection);
    ::close(fd);
  }
}

/// Away from what is meant for the daemon, and from what a system that is short of something does.
void settle_in(int channel) {
  for (const int number : {SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGPIPE, SIGUSR1, SIGUSR2}) ::signal(number, SIG_IGN);
  // Comes only while it is waited for.
  ::signal(SIGRTMIN, note_killed);
  sigset_t kept_back;
  ::sigemptyset(&kept_back);
  ::sigaddset(&kept_back, SIGRTMIN);
  ::sigprocmask(SIG_SETMASK, &kept_back, nullptr);
  ::prctl(PR_SET_PDEATHSIG, SIGRTMIN);
  ::setsid();
  ::prctl(PR_SET_NAME, "lockstep-dog");
  (void)!::chdir("/");
  // Above the numbers that are meant for something, then down.
  const int high = ::fcntl(channel, F_DUPFD, 16);
  const int timer = ::timerfd_create(CLOCK_BOOTTIME, TFD_NONBLOCK);
  const int high_timer = ::fcntl(timer, F_DUPFD, 16);
  if (::dup2(high, kChannel) != kChannel || ::dup2(high_timer, kTimer) != kTimer) ::_exit(1);
  (void)::syscall(SYS_close_range, kTimer + 1, ~0u, 0);
  ::setpriority(PRIO_PROCESS, 0, -20);
  if (const int score = ::open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC); score >= 0) {
    (void)!::write(score, "-1000", 5);
    ::close(score);
  }
  // Nothing may have to be read from a disk when it matters: what was used once stays.
  ::mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT);
  end_connection(UINT32_MAX, "");
  forget_names(-1);
  forget_object(-1, 1);
}

}  // namespace

void end_connection(std::uint32_t number, const char* path) {
  char control[64];
  abort_path(control, number);
  bool ended = false;
  if (const int file = ::open(control, O_WRONLY | O_CLOEXEC); file >= 0) {
    ended = ::write(file, "1", 1) == 1;
    ::close(file);
  }
  if (!ended) (void)::umount2(path, MNT_FORCE);  // in use it stays mounted and is cut off all the same
}

void forget_names(int fd) {
  fuse_out_header header{};
  header.len = sizeof header;
  header.error = kNotifyIncreaseEpoch;
  (void)!::write(fd, &header, sizeof header);
}

void forget_object(int fd, std::uint64_t inode) {
  struct {
    fuse_out_header header;
    fuse_notify_inval_inode_out what;
  } message{};
  message.header.len = sizeof message;
  message.header.error = FUSE_NOTIFY_INVAL_INODE;
  message.what.ino = inode;  // from 0 to the end
  (void)!::write(fd, &message, sizeof message);
}

void run_watchdog(WatchdogMemory* memory, int channel) {
  settle_in(channel);
  sigset_t none_kept_back;
  ::sigemptyset(&none_kept_back);
  for (;;) {
    std::int64_t until = memory->until.load();
    if (until != Watchdog::kNever && boot_time() >= until) {
      if (memory->until.compare_exchange_strong(until, Watchdog::kNever)) {
        cut(memory, "lockstep watchdog: the daemon did not renew its leave to serve hosts: its mount is cut off\n");
      }
      continue;
    }
    itimerspec at{};
    if (until != Watchdog::kNever) {
      const std::int64_t moment = std::max<std::int64_t>(until, 1);
      at.it_value = {moment / 1'000'000'000, moment % 1'000'000'000};
    }
    ::timerfd_settime(kTimer, TFD_TIMER_ABSTIME, &at, nullptr);
    pollfd waits[] = {{kChannel, POLLIN, 0}, {kTimer, POLLIN, 0}};
    if (::ppoll(waits, 2, nullptr, &none_kept_back) < 0 && errno != EINTR) ::_exit(1);
    if (killed != 0) end_with_daemon(memory);
    listen(memory);
  }
}

}  // namespace lockstep::uring
