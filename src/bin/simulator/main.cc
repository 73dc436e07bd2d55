// lockstep-sim - runs seeds of the simulator; see tests/README.md.
//
//   lockstep-sim run --seeds N [--first S]     stops at the first seed that fails, says how to repeat it
//   lockstep-sim run --seed S [--verbose]      one seed
//   lockstep-sim planted [--seeds N]           each planted bug must be found (needs -Dplanted=true)
//
// The last line counts seeds: N passed, N failed.
#include <fmt/format.h>
#include <sys/wait.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstring>
#include <map>

#include "bin/simulator/run.h"
#include "core/log.h"
#include "core/planted.h"

namespace {

using namespace lockstep;

struct Seeded {
  bool failed = false;
  std::string failure;
  std::uint64_t trace = 0, acknowledged = 0;
  std::map<std::string, std::uint64_t> faults;
};

/// Runs one seed in a child: what it abandons goes with it, and a crash is a failure like any other.
Seeded run_in_child(std::uint64_t seed) {
  Seeded out;
  int ends[2];
  if (::pipe(ends) != 0) return {.failed = true, .failure = "no pipe"};
  std::fflush(stdout);
  const pid_t child = ::fork();
  if (child == 0) {
    ::close(ends[0]);
    const simulator::RunResult result = simulator::run({.seed = seed});
    std::string text = fmt::format("{}\n{}\n", result.trace, result.acknowledged);
    for (const auto& [fault, n] : result.faults) text += fmt::format("{}={}\n", fault, n);
    text += "\n" + result.failure;
    for (std::size_t at = 0; at < text.size();) {
      const ssize_t n = ::write(ends[1], text.data() + at, text.size() - at);
      if (n <= 0) break;
      at += static_cast<std::size_t>(n);
    }
    ::_exit(0);
  }
  ::close(ends[1]);
  std::string text;
  char buffer[4096];
  for (ssize_t n = 0; (n = ::read(ends[0], buffer, sizeof buffer)) > 0;) text.append(buffer, static_cast<std::size_t>(n));
  ::close(ends[0]);
  int status = 0;
  ::waitpid(child, &status, 0);
  if (!WIFEXITED(status) || WEXITSTATUS(status) != 0 || text.empty()) {
    out.failed = true;
    out.failure = WIFSIGNALED(status) ? fmt::format("the simulated program died of signal {} ({})", WTERMSIG(status), ::strsignal(WTERMSIG(status)))
                                      : "the simulated program ended early";
    return out;
  }
  const std::size_t rest = text.find("\n\n");
  std::istringstream head(text.substr(0, rest));
  std::string line;
  std::getline(head, line);
  out.trace = std::strtoull(line.c_str(), nullptr, 10);
  std::getline(head, line);
  out.acknowledged = std::strtoull(line.c_str(), nullptr, 10);
  while (std::getline(head, line)) {
    const std::size_t equals = line.rfind('=');
    if (equals != std::string::npos) out.faults[line.substr(0, equals)] += std::strtoull(line.c_str() + equals + 1, nullptr, 10);
  }
  out.failure = rest == std::string::npos ? "" : text.substr(rest + 2);
  out.failed = !out.failure.empty();
  return out;
}

int run_seeds(std::uint64_t first, std::uint64_t count) {
  std::uint64_t passed = 0, failed = 0, acknowledged = 0;
  std::map<std::string, std::uint64_t> faults;
  for (std::uint64_t seed = first; seed < first + count; ++seed) {
    Seeded result = run_in_child(seed);
    // Now and then twice: a seed that does not repeat is worth nothing.
    if (!result.failed && seed % 16 == 0) {
      const Seeded again = run_in_child(seed);
      if (again.trace != result.trace) {
        result.failed = true;
        result.failure = "two runs of this seed were not the same";
      }
    }
    acknowledged += result.acknowledged;
    for (const auto& [fault, n] : result.faults) faults[fault] += n;
    if (result.failed) {
      fmt::print("seed {}: {}\n  repeat it with: lockstep-sim run --seed {} --verbose\n", seed, result.failure, seed);
      ++failed;
    } else {
      ++passed;
    }
  }
  fmt::print("{} changes acknowledged; faults:", acknowledged);
  for (const auto& [fault, n] : faults) fmt::print(" {} {};", n, fault);
  fmt::print("\n{} passed, {} failed\n", passed, failed);
  return failed == 0 && passed > 0 ? 0 : 1;
}

int run_planted(std::uint64_t seeds) {
#ifdef LOCKSTEP_PLANTED
  const std::vector<std::pair<Planted, const char*>> bugs = {
      {Planted::acknowledge_before_mirror, "acknowledge before mirror"}, {Planted::drop_before_publish, "drop before publish"},
      {Planted::apply_twice, "apply twice"},                             {Planted::write_before_exclusive, "write before exclusive"},
      {Planted::lose_log_record, "lose a log record"}};
  std::uint64_t found = 0;
  for (const auto& [bug, name] : bugs) {
    planted_bug = bug;
    std::uint64_t at = 0;
    std::string how;
    for (std::uint64_t seed = 1; seed <= seeds && at == 0; ++seed) {
      const Seeded result = run_in_child(seed);
      if (!result.failed) continue;
      at = seed;
      how = result.failure;
    }
    if (at != 0) {
      ++found;
      fmt::print("\"{}\" found by seed {}: {}\n", name, at, how);
    } else {
      fmt::print("\"{}\" NOT found in {} seeds\n", name, seeds);
    }
  }
  planted_bug = Planted::none;
  fmt::print("{} passed, {} failed\n", found, bugs.size() - found);
  return found == bugs.size() ? 0 : 1;
#else
  fmt::print("this build has no planted bugs: configure with -Dplanted=true\n");
  (void)seeds;
  return 2;
#endif
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app{"lockstep-sim: both sites and their hosts in virtual time, from a seed"};
  app.require_subcommand(1);
  std::uint64_t seeds = 100, first = 1, seed = 0;
  bool verbose = false;
  CLI::App* run = app.add_subcommand("run", "run seeds");
  run->add_option("--seeds", seeds, "how many");
  run->add_option("--first", first, "the first");
  CLI::Option* one = run->add_option("--seed", seed, "just this one");
  run->add_flag("--verbose", verbose, "say what happens");
  CLI::App* planted = app.add_subcommand("planted", "each planted bug must be found");
  planted->add_option("--seeds", seeds, "at most so many for each");
  CLI11_PARSE(app, argc, argv);
  log::set_up("sim", verbose ? log::Level::info : log::Level::error);
  if (!verbose) log::silence();
  if (planted->parsed()) return run_planted(seeds);
  if (one->count() == 0) return run_seeds(first, seeds);
  const simulator::RunResult result = simulator::run({.seed = seed, .verbose = verbose});
  fmt::print("trace {:016x}, {} changes acknowledged\n{}\n", result.trace, result.acknowledged,
             result.failure.empty() ? "1 passed, 0 failed" : result.failure + "\n0 passed, 1 failed");
  std::fflush(stdout);
  ::_exit(result.failure.empty() ? 0 : 1);
}
