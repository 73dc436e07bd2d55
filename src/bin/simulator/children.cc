#include "bin/simulator/children.h"

#include <fmt/format.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <nlohmann/json.hpp>
#include <optional>
#include <vector>

namespace lockstep::simulator {
namespace {

using nlohmann::json;

constexpr std::uint64_t kTwiceEvery = 16;
// Of a seed, which takes a second or a few: of processor time, so that a busy machine fails none, and of all time, for one that waits.
constexpr rlim_t kWorkSecondsMax = 120;
constexpr unsigned kSecondsMax = 1200;

struct Child {
  std::uint64_t seed = 0;
  std::optional<RunResult> before;  ///< of this seed's first run
  pid_t pid = 0;
  int from = -1;
  std::string text;
};

[[noreturn]] void be_child(const RunOptions& options, int to) {
  const rlimit work{kWorkSecondsMax, kWorkSecondsMax + 5};
  (void)::setrlimit(RLIMIT_CPU, &work);
  ::alarm(kSecondsMax);
  const RunResult result = run(options);
  const json all{{"failure", result.failure}, {"trace", result.trace}, {"acknowledged", result.acknowledged},
                 {"faults", result.faults},   {"probes", result.probes}};
  const std::string text = all.dump(-1, ' ', false, json::error_handler_t::replace);
  for (std::size_t at = 0; at < text.size();) {
    const ssize_t n = ::write(to, text.data() + at, text.size() - at);
    if (n <= 0) ::_exit(1);
    at += static_cast<std::size_t>(n);
  }
  ::_exit(0);
}

/// False: no process could be made.
bool begin(Child& child, RunOptions options, const std::vector<Child>& others) {
  int ends[2];
  if (::pipe(ends) != 0) return false;
  std::fflush(stdout);
  child.pid = ::fork();
  if (child.pid == 0) {
    ::close(ends[0]);
    for (const Child& other : others) ::close(other.from);
    options.seed = child.seed;
    be_child(options, ends[1]);
  }
  ::close(ends[1]);
  child.from = ends[0];
  return child.pid > 0;
}

RunResult end(Child& child) {
  ::close(child.from);
  int status = 0;
  ::waitpid(child.pid, &status, 0);
  RunResult result;
  if (WIFSIGNALED(status)) {
    result.failure = fmt::format("the simulated program died of signal {} ({})", WTERMSIG(status), ::strsignal(WTERMSIG(status)));
    return result;
  }
  const json all = json::parse(child.text, nullptr, false);
  if (WEXITSTATUS(status) != 0 || !all.is_object()) {
    result.failure = "the simulated program ended early";
    return result;
  }
  result.failure = all.at("failure").get<std::string>();
  result.trace = all.at("trace").get<std::uint64_t>();
  result.acknowledged = all.at("acknowledged").get<std::uint64_t>();
  result.faults = all.at("faults").get<std::map<std::string, std::uint64_t>>();
  result.probes = all.at("probes").get<std::map<std::string, std::uint64_t>>();
  return result;
}

/// Reads what there is. True: the child has said everything.
bool read_some(Child& child) {
  char buffer[16384];
  const ssize_t n = ::read(child.from, buffer, sizeof buffer);
  if (n > 0) child.text.append(buffer, static_cast<std::size_t>(n));
  return n == 0 || (n < 0 && errno != EINTR);
}

}  // namespace

void run_in_children(const RunOptions& each, std::uint64_t count, std::size_t jobs,
                     const std::function<bool(std::uint64_t seed, const RunResult& result)>& done) {
  std::vector<Child> running;
  const std::uint64_t first = each.seed;
  std::uint64_t next = first;
  bool go_on = true;
  const auto start = [&](Child child) {
    if (!begin(child, each, running)) {
      go_on = done(child.seed, {.failure = fmt::format("no process for it: {}", std::strerror(errno)), .faults = {}, .probes = {}}) && false;
      return;
    }
    running.push_back(std::move(child));
  };
  while (go_on || !running.empty()) {
    while (go_on && next < first + count && running.size() < std::max<std::size_t>(jobs, 1)) start({.seed = next++, .before = {}, .text = {}});
    if (running.empty()) return;
    std::vector<pollfd> ready;
    for (const Child& child : running) ready.push_back({.fd = child.from, .events = POLLIN, .revents = 0});
    ::poll(ready.data(), ready.size(), -1);
    for (std::size_t i = ready.size(); i-- > 0;) {
      if (ready[i].revents == 0 || !read_some(running[i])) continue;
      Child child = std::move(running[i]);
      running.erase(running.begin() + static_cast<std::ptrdiff_t>(i));
      RunResult result = end(child);
      if (child.before && child.before->trace != result.trace) result.failure = "two runs of this seed were not the same";
      if (!child.before && result.failure.empty() && child.seed % kTwiceEvery == 0) {
        start({.seed = child.seed, .before = std::move(result), .text = {}});
      } else if (go_on) {
        go_on = done(child.seed, result);
      }
    }
  }
}

}  // namespace lockstep::simulator
