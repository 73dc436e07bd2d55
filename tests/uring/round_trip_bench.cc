// round_trip_bench.cc - what a request and its reply between two processes cost, for each way to wait for bytes.
//
//   uring_round_trip_bench [ROUND_TRIPS]
//
// Two processes play ping-pong with 200 bytes over loopback TCP. Printed for each combination: microseconds a round trip,
// and of the asking side: system calls, looks while polling, sleeps a round trip.
#include <fmt/format.h>
#include <netinet/in.h>
#include <sched.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <memory>
#include <thread>

#include "core/check.h"
#include "uring/connection.h"
#include "uring/loop.h"

namespace {

using namespace lockstep;
using runtime::Task;
using uring::Loop;

constexpr std::size_t kBytes = 200;

enum class Receive { armed, polled };

/// Receives by readiness and recv(2), to compare with the armed receive of SocketConnection.
class PolledSocket final : public uring::Watcher {
 public:
  PolledSocket(Loop& loop, int fd) : loop_(loop), fd_(fd), ready_(loop), watch_(loop.watch(fd, *this)) {}
  Task<bool> receive(MutableBytes into) {
    watch_->arm();
    for (;;) {
      co_await ready_.wait();
      ready_.reset();
      ++loop_.statistics().reads;
      const ssize_t n = ::recv(fd_, into.data(), into.size(), MSG_DONTWAIT);
      if (n >= 0) co_return n > 0;
      CHECK(errno == EAGAIN);
      watch_->arm();
    }
  }
  void send(Bytes bytes) {
    ++loop_.statistics().sends;
    CHECK(::send(fd_, bytes.data(), bytes.size(), MSG_DONTWAIT | MSG_NOSIGNAL) == static_cast<ssize_t>(bytes.size()));
  }

 private:
  void readable() override { ready_.set(); }
  Loop& loop_;
  int fd_;
  runtime::Event ready_;
  std::unique_ptr<uring::Watch> watch_;
};

Task<void> play_armed(std::unique_ptr<runtime::Connection> connection, std::uint64_t turns, bool asks) {
  std::array<std::byte, kBytes> buffer{};
  const std::array<Bytes, 1> parts{Bytes(buffer)};
  for (std::uint64_t i = 0; i < turns; ++i) {
    if (asks) CHECK(connection->try_send(parts).value() == kBytes);
    auto n = co_await connection->receive(buffer);
    CHECK(n && *n == kBytes);
    if (!asks) CHECK(connection->try_send(parts).value() == kBytes);
  }
}

Task<void> play_polled(Loop& loop, int fd, std::uint64_t turns, bool asks) {
  PolledSocket socket(loop, fd);
  std::array<std::byte, kBytes> buffer{};
  for (std::uint64_t i = 0; i < turns; ++i) {
    if (asks) socket.send(buffer);
    CHECK(co_await socket.receive(buffer));
    if (!asks) socket.send(buffer);
  }
}

/// Both ends of a TCP connection over loopback.
std::array<int, 2> tcp_pair() {
  const int listener = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in at{};
  at.sin_family = AF_INET;
  at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof at;
  CHECK(::bind(listener, reinterpret_cast<sockaddr*>(&at), length) == 0 && ::listen(listener, 1) == 0);
  CHECK(::getsockname(listener, reinterpret_cast<sockaddr*>(&at), &length) == 0);
  const int one = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  CHECK(::connect(one, reinterpret_cast<sockaddr*>(&at), length) == 0);
  const int other = ::accept(listener, nullptr, nullptr);
  CHECK(other >= 0);
  ::close(listener);
  for (const int fd : {one, other}) uring::set_up_socket(fd, AF_INET, uring::NetOptions());
  return {one, other};
}

void report(Loop& loop, const char* name, Instant start, std::uint64_t turns) {
  const auto& s = loop.statistics();
  const auto each = [turns](std::uint64_t n) { return static_cast<double>(n) / static_cast<double>(turns); };
  fmt::print("{:<40} {:7.2f} us  calls {:5.2f} (enters {:4.2f})  yields {:6.2f}  sleeps {:4.2f}\n", name,
             each(static_cast<std::uint64_t>((Loop::now() - start).count())) / 1000, each(s.system_calls()),
             each(s.enters), each(s.yields), each(s.sleeps));
}

/// The two sides on two cores, so that every message has to wake the other one's.
void run_on(int cpu) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(cpu % static_cast<int>(std::thread::hardware_concurrency()), &set);
  CHECK(::sched_setaffinity(0, sizeof set, &set) == 0);
}

void play(Loop& loop, int fd, Receive receive, std::uint64_t turns, bool asks) {
  if (receive == Receive::polled) {
    loop.run(play_polled(loop, fd, turns, asks));
  } else {
    loop.run(play_armed(std::make_unique<uring::SocketConnection>(loop, uring::Descriptor(::dup(fd)), "other"), turns, asks));
  }
}

/// One combination: this process asks, a child answers.
void measure(const uring::LoopOptions& options, Receive receive, std::uint64_t turns) {
  const std::array<int, 2> pair = tcp_pair();
  std::fflush(stdout);
  const pid_t child = ::fork();
  run_on(child == 0 ? 1 : 0);
  if (child == 0) {
    auto loop = Loop::make(options).value();
    play(*loop, pair[1], receive, turns, false);
    ::_exit(0);
  }
  {
    auto loop = Loop::make(options).value();
    const auto name = fmt::format("{}, {}, spin {:>2} us", receive == Receive::armed ? "armed receive" : "poll + recv",
                                  options.deferred_task_work ? "deferred" : "cooperative", options.spin.count() / 1000);
    const Instant start = Loop::now();
    play(*loop, pair[0], receive, turns, true);
    report(*loop, name.c_str(), start, turns);
  }
  ::waitpid(child, nullptr, 0);
  for (const int fd : pair) ::close(fd);
}

}  // namespace

int main(int argc, char** argv) {
  const std::uint64_t turns = argc > 1 ? std::strtoull(argv[1], nullptr, 10) : 20000;
  for (const Receive receive : {Receive::armed, Receive::polled}) {
    for (const bool deferred : {false, true}) {
      for (const int spin : {0, 50}) {
        uring::LoopOptions options;
        options.deferred_task_work = deferred;
        options.spin = std::chrono::microseconds(spin);
        measure(options, receive, turns);
      }
    }
  }
  return 0;
}
