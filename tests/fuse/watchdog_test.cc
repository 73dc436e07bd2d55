// A daemon that is stopped or killed: its mount is cut off, and the kernel stops serving what it keeps. Needs root and
// /dev/fuse. Each daemon is a process of its own.

#include "catch.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <thread>

#include "tiny_tree.h"
#include "uring/loop.h"
#include "uring/pool.h"
#include "uring/watchdog.h"

namespace lockstep::uring {
namespace {

constexpr Duration kLeave = 700ms;

/// What a test tells a daemon; it answers with the same, or as said.
enum Order : char { arm = 'a', disarm = 'd', kill_watchdog = 'k', mount_again = 'm', was_cut_off = 'c', wait_for_itself = 'w', quit = 'q' };

class Daemon {
 public:
  explicit Daemon(const std::string& directory) {
    int orders[2], answers[2];
    REQUIRE(::pipe2(orders, O_CLOEXEC) == 0);
    REQUIRE(::pipe2(answers, O_CLOEXEC) == 0);
    process_ = ::fork();
    REQUIRE(process_ >= 0);
    if (process_ == 0) {
      ::prctl(PR_SET_PDEATHSIG, SIGKILL);  // also a stopped one does not outlive a test that fails
      ::close(orders[1]);
      ::close(answers[0]);
      run(directory, orders[0], answers[1]);
      ::_exit(0);
    }
    ::close(orders[0]);
    ::close(answers[1]);
    orders_ = orders[1];
    answers_ = answers[0];
    REQUIRE(answer() == mount_again);
  }
  ~Daemon() {
    if (process_ > 0) {
      signal(SIGCONT);
      (void)tell(quit);
    }
    ::close(orders_);
    ::close(answers_);
  }
  char tell(char order) {
    if (::write(orders_, &order, 1) != 1) return 0;
    const char said = answer();
    if (order == quit) {
      ::waitpid(process_, nullptr, 0);
      process_ = -1;
    }
    return said;
  }
  void signal(int number) {
    ::kill(process_, number);
    int status = 0;
    if (number == SIGSTOP) ::waitpid(process_, &status, WUNTRACED);
    if (number != SIGKILL) return;
    ::waitpid(process_, &status, 0);
    process_ = -1;
  }

 private:
  char answer() {
    char c = 0;
    return ::read(answers_, &c, 1) == 1 ? c : 0;
  }
  static void run(const std::string& directory, int orders, int answers) {
    auto watchdog = Watchdog::start();
    auto loop = Loop::make();
    if (!watchdog || !loop) ::_exit(2);
    Pool pool(**loop, 1, "orders");
    FuseOptions options;
    options.mount.mount_point = directory;
    options.mount.volume = "watched";
    options.watchdog = watchdog->get();
    FuseKernel kernel(**loop, options);
    TinyTree tree;
    tree.kernel = &kernel;
    (*loop)->run(obey(directory, kernel, tree, pool, **watchdog, orders, answers));
  }
  static Task<void> obey(std::string directory, FuseKernel& kernel, TinyTree& tree, Pool& pool, Watchdog& watchdog, int orders,
                         int answers) {
    char order = mount_again;
    while (order != quit) {
      char said = order;
      switch (order) {
        case mount_again:
          co_await kernel.unmount();
          if (!kernel.mount(tree)) said = 0;
          break;
        case arm: kernel.serve_until(Loop::now() + kLeave); break;
        case disarm: kernel.serve_until(Kernel::kNever); break;
        case kill_watchdog: {
          siginfo_t ended{};
          ::kill(watchdog.process(), SIGKILL);
          ::waitid(P_PID, static_cast<id_t>(watchdog.process()), &ended, WEXITED | WNOWAIT);
          break;
        }
        case wait_for_itself: {
          std::thread([slow = directory + "/slow"] {
            struct stat st {};
            ::stat(slow.c_str(), &st);
          }).detach();
          while (tree.held.empty()) {
            auto brief = [] { return ::usleep(1000); };
            co_await pool.run(brief);
          }
          break;
        }
        case was_cut_off: said = tree.was_cut_off ? 'y' : 'n'; break;
        default: break;
      }
      (void)!::write(answers, &said, 1);
      auto next = [orders] {
        char c = 0;
        return ::read(orders, &c, 1) == 1 ? c : static_cast<char>(quit);
      };
      order = co_await pool.run(next);
    }
    co_await kernel.unmount();
    (void)!::write(answers, &order, 1);
  }

  pid_t process_ = -1;
  int orders_ = -1, answers_ = -1;
};

/// A host that has a file open and mapped, of which the kernel keeps a page.
struct OpenFile {
  explicit OpenFile(const std::string& directory) : path(directory + "/hello") {
    file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    REQUIRE(file >= 0);
    REQUIRE(read(0) == 'x');
    mapped = static_cast<char*>(::mmap(nullptr, 4096, PROT_READ, MAP_SHARED, file, 0));
    REQUIRE(mapped != MAP_FAILED);
    REQUIRE(*static_cast<volatile char*>(mapped) == 'x');
  }
  ~OpenFile() {
    ::munmap(mapped, 4096);
    ::close(file);
  }
  /// The byte at `at`, or 0 and errno.
  [[nodiscard]] char read(off_t at) const {
    char c = 0;
    return ::pread(file, &c, 1, at) == 1 ? c : 0;
  }
  [[nodiscard]] bool resident() const {
    unsigned char in = 0;
    return ::mincore(mapped, 4096, &in) == 0 && (in & 1) != 0;
  }
  /// How long the kernel goes on serving the page; at most ten seconds.
  [[nodiscard]] Duration served() const {
    const auto began = std::chrono::steady_clock::now();
    while (read(0) == 'x' && std::chrono::steady_clock::now() - began < 10s) ::usleep(500);
    return std::chrono::steady_clock::now() - began;
  }
  std::string path;
  int file = -1;
  char* mapped = nullptr;
};

struct MountPoint {
  MountPoint() {
    require_mounting();
    char name[] = "/tmp/lockstep-watch-XXXXXX";
    REQUIRE(::mkdtemp(name) != nullptr);
    path = name;
  }
  ~MountPoint() {
    if (mounted_at(path)) (void)take_away(path);
    ::rmdir(path.c_str());
  }
  std::string path;
};

void stopped_daemon_is_cut_off(const std::string& directory, Daemon& daemon) {
  const OpenFile file(directory);
  REQUIRE(daemon.tell(arm) == arm);
  daemon.signal(SIGSTOP);
  CHECK(file.read(0) == 'x');  // the kernel serves it by itself
  const Duration served = file.served();
  CHECK(served > kLeave / 2);
  CHECK(served < 9s);
  CHECK(!file.resident());
  CHECK(file.read(8192) == 0);
  struct stat st {};
  CHECK(::stat(file.path.c_str(), &st) != 0);

  daemon.signal(SIGCONT);
  char cut_off = 'n';
  for (int i = 0; i < 2000 && cut_off == 'n'; ++i) {
    cut_off = daemon.tell(was_cut_off);
    ::usleep(1000);
  }
  CHECK(cut_off == 'y');
  CHECK(daemon.tell(mount_again) == mount_again);
  CHECK(file.read(0) == 0);  // that was the other mount's
  const OpenFile again(directory);
  CHECK(again.read(8192) == 'x');
}

}  // namespace

TEST_CASE("a daemon that is stopped beyond its leave to serve is cut off, and can mount again") {
  MountPoint at;
  Daemon daemon(at.path);
  stopped_daemon_is_cut_off(at.path, daemon);
  stopped_daemon_is_cut_off(at.path, daemon);
}

TEST_CASE("a watchdog that was killed is started again") {
  MountPoint at;
  Daemon daemon(at.path);
  REQUIRE(daemon.tell(kill_watchdog) == kill_watchdog);
  stopped_daemon_is_cut_off(at.path, daemon);
}

TEST_CASE("a leave to serve that was withdrawn or renewed in time cuts nothing off") {
  MountPoint at;
  Daemon daemon(at.path);
  const OpenFile file(at.path);
  for (int i = 0; i < 5; ++i) REQUIRE(daemon.tell(arm) == arm);
  REQUIRE(daemon.tell(disarm) == disarm);
  ::usleep(static_cast<useconds_t>(std::chrono::duration_cast<std::chrono::microseconds>(kLeave + kLeave / 2).count()));
  CHECK(file.read(0) == 'x');
  CHECK(daemon.tell(was_cut_off) == 'n');
}

TEST_CASE("when a daemon is killed the kernel stops serving what is open, too") {
  MountPoint at;
  Daemon daemon(at.path);
  const OpenFile file(at.path);
  daemon.signal(SIGKILL);
  CHECK(file.served() < 9s);
  CHECK(!file.resident());
  // And whoever comes next mounts there.
  Daemon next(at.path);
  const OpenFile again(at.path);
  CHECK(again.read(0) == 'x');
}

TEST_CASE("a daemon that is killed while one of its threads waits for its answer ends, and its mount with it") {
  MountPoint at;
  Daemon daemon(at.path);
  const OpenFile file(at.path);
  REQUIRE(daemon.tell(wait_for_itself) == wait_for_itself);
  daemon.signal(SIGKILL);  // waits until it has ended
  CHECK(file.served() < 9s);
  CHECK(!file.resident());
}

TEST_CASE("an unmount in use leaves nothing to be served") {
  MountPoint at;
  Daemon daemon(at.path);
  const OpenFile file(at.path);
  CHECK(daemon.tell(quit) == quit);
  CHECK(file.read(0) == 0);
  CHECK(!file.resident());
}

}  // namespace lockstep::uring
