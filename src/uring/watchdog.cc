#include "uring/watchdog.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <ctime>
#include <utility>

#include "core/log.h"

namespace lockstep::uring {
namespace {

constexpr const char* kConnections = "/sys/fs/fuse/connections";
constexpr long kFuseControlMagic = 0x65735543;
constexpr std::size_t kPathMax = 4096;
constexpr int kChannel = 3, kTimer = 4;

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
  ::strcpy(at, "/abort");
}

void say(const char* text) { (void)!::write(STDERR_FILENO, text, std::strlen(text)); }

}  // namespace

struct Watchdog::Shared {
  std::atomic<std::int64_t> until{kNever};
  std::atomic<std::uint32_t> number{0};  ///< 0: nothing is guarded
  std::atomic<std::uint64_t> cuts{0};
  char path[kPathMax] = {};              ///< written while number is 0
};

bool prepare_connections() {
  struct statfs fs {};
  const auto there = [&fs] { return ::statfs(kConnections, &fs) == 0 && fs.f_type == kFuseControlMagic; };
  if (there()) return true;
  return ::mount("fusectl", kConnections, "fusectl", MS_NOSUID | MS_NODEV | MS_NOEXEC, nullptr) == 0 && there();
}

Result<std::unique_ptr<Watchdog>> Watchdog::start() {
  void* memory = ::mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return fail_io(errno, fmt::format("memory for the watchdog: {}", std::strerror(errno)));
  std::unique_ptr<Watchdog> dog(new Watchdog(new (memory) Shared));
  if (!prepare_connections()) {
    log::warning("{} can't be used or mounted: the watchdog does what umount -f does instead", kConnections);
  }
  const Result<> spawned = dog->spawn();
  if (!spawned) return std::unexpected(spawned.error());
  return dog;
}

Watchdog::~Watchdog() {
  channel_ = Descriptor();
  if (process_ > 0) {
    while (::waitpid(process_, nullptr, 0) < 0 && errno == EINTR) {
    }
  }
  ::munmap(shared_, sizeof(Shared));
}

Result<> Watchdog::spawn() {
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) != 0) {
    return fail_io(errno, fmt::format("a channel to the watchdog: {}", std::strerror(errno)));
  }
  Descriptor mine(ends[0]), its(ends[1]);
  const pid_t child = ::fork();
  if (child < 0) return fail_io(errno, fmt::format("starting the watchdog: {}", std::strerror(errno)));
  // From here on the child does nothing but system calls: other threads of the daemon may hold any lock.
  if (child == 0) run(shared_, its.get());
  channel_ = std::move(mine);
  process_ = child;
  return {};
}

void Watchdog::run(Shared* shared, int channel) {
  for (const int number : {SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGPIPE, SIGUSR1, SIGUSR2}) ::signal(number, SIG_IGN);
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  ::setsid();
  ::prctl(PR_SET_NAME, "lockstep-dog");
  (void)!::chdir("/");
  if (channel != kChannel && (::dup2(channel, kChannel) != kChannel)) ::_exit(1);
  const int timer = ::timerfd_create(CLOCK_BOOTTIME, TFD_NONBLOCK);
  if (timer < 0 || (timer != kTimer && ::dup2(timer, kTimer) != kTimer)) ::_exit(1);
  (void)::syscall(SYS_close_range, kTimer + 1, ~0u, 0);
  ::setpriority(PRIO_PROCESS, 0, -20);
  if (const int score = ::open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC); score >= 0) {
    (void)!::write(score, "-1000", 5);
    ::close(score);
  }
  // Nothing may have to be read from a disk when it matters: what was used once stays.
  ::mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT);
  char path[64];
  abort_path(path, UINT32_MAX);
  (void)::open(path, O_WRONLY | O_CLOEXEC);
  (void)::umount2("", MNT_FORCE);

  for (;;) {
    std::int64_t until = shared->until.load();
    if (until != kNever && boot_time() >= until) {
      if (shared->until.compare_exchange_strong(until, kNever)) cut(shared);
      continue;
    }
    itimerspec at{};
    if (until != kNever) {
      const std::int64_t moment = std::max<std::int64_t>(until, 1);
      at.it_value = {moment / 1'000'000'000, moment % 1'000'000'000};
    }
    ::timerfd_settime(kTimer, TFD_TIMER_ABSTIME, &at, nullptr);
    pollfd waits[] = {{kChannel, POLLIN, 0}, {kTimer, POLLIN, 0}};
    if (::poll(waits, 2, -1) < 0 && errno != EINTR) ::_exit(1);
    char bytes[64];
    const ssize_t n = ::read(kChannel, bytes, sizeof bytes);
    if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) ::_exit(0);  // the daemon is gone
  }
}

void Watchdog::cut(Shared* shared) {
  const std::uint32_t number = shared->number.load();
  if (number == 0) return;
  char path[64];
  abort_path(path, number);
  bool done = false;
  if (const int file = ::open(path, O_WRONLY | O_CLOEXEC); file >= 0) {
    done = ::write(file, "1", 1) == 1;
    ::close(file);
  }
  if (!done) (void)::umount2(shared->path, MNT_FORCE);  // in use it stays mounted and is cut off all the same
  ++shared->cuts;
  say("lockstep watchdog: the daemon did not renew its leave to serve hosts: its mount is cut off\n");
}

void Watchdog::guard(std::uint32_t number, const std::string& path) {
  release();
  std::strncpy(shared_->path, path.c_str(), kPathMax - 1);
  shared_->number = number;
  look_after();
}

void Watchdog::release() { shared_->number = 0; }

void Watchdog::until(std::int64_t deadline) {
  const std::int64_t before = shared_->until.exchange(deadline);
  look_after();
  if (deadline < before) wake();
}

std::uint64_t Watchdog::cuts() const { return shared_->cuts; }

void Watchdog::wake() {
  // A channel that is full wakes it, too.
  (void)::send(channel_.get(), "!", 1, MSG_DONTWAIT | MSG_NOSIGNAL);
}

void Watchdog::look_after() {
  if (process_ > 0 && ::waitpid(process_, nullptr, WNOHANG) == 0) return;
  log::error("the watchdog (process {}) has ended; it is started again", process_);
  process_ = -1;
  const Result<> spawned = spawn();
  if (!spawned) log::error("{}; until it runs, a daemon that hangs would go on serving what the kernel keeps", spawned.error().text);
}

}  // namespace lockstep::uring
