// lockstep-sim - runs seeds of the simulator; see tests/README.md.
//
//   lockstep-sim run --seeds N [--first S] [--jobs J] [--rare R]    says of each seed that fails how to repeat it
//   lockstep-sim run --seed S [--rare R] [--verbose]     one seed
//   lockstep-sim planted [--seeds N] [--all] [--only BUG]  each planted bug must be found (needs -Dplanted=true)
//
// The last line counts seeds, or bugs: N passed, N failed.
#include <fmt/format.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdlib>
#include <filesystem>
#include <map>

#include "bin/simulator/children.h"
#include "core/log.h"
#include "core/planted.h"

namespace {

using namespace lockstep;

int run_seeds(const simulator::RunOptions& each, std::uint64_t count, std::size_t jobs) {
  std::uint64_t passed = 0, failed = 0, acknowledged = 0;
  std::map<std::string, std::uint64_t> faults, probes;
  simulator::run_in_children(each, count, jobs, [&](std::uint64_t seed, const simulator::RunResult& result) {
    acknowledged += result.acknowledged;
    for (const auto& [fault, n] : result.faults) faults[fault] += n;
    for (const auto& [probe, n] : result.probes) probes[probe] += n;
    ++(result.failure.empty() ? passed : failed);
    if (!result.failure.empty()) {
      fmt::print("seed {}: {}\n  repeat it with: lockstep-sim run --seed {}{} --verbose\n", seed, result.failure, seed,
                 each.rare == 1 ? "" : fmt::format(" --rare {}", each.rare));
    }
    return true;
  });
  fmt::print("{} changes acknowledged\nfaults:", acknowledged);
  for (const auto& [fault, n] : faults) fmt::print(" {} {};", n, fault);
  fmt::print("\nreached:");
  for (const auto& [probe, n] : probes) {
    if (n != 0) fmt::print(" {} {};", n, probe);
  }
  fmt::print("\nnever reached:");
  for (const auto& [probe, n] : probes) {
    if (n == 0) fmt::print(" {};", probe);
  }
  fmt::print("\n{} passed, {} failed\n", passed, failed);
  return failed == 0 && passed > 0 ? 0 : 1;
}

/// `all`: counts in how many of the seeds each is found; else stops at the first. `only`: just the bug of this name; empty: each.
int run_planted(std::uint64_t seeds, std::size_t jobs, bool all, const std::string& only) {
#ifdef LOCKSTEP_PLANTED
  constexpr unsigned kRare = 4;  // some are found only where rare faults strike
  std::uint64_t found = 0, bugs = 0;
  for (const auto& [bug, name] : kPlantedBugs) {
    if (!only.empty() && only != name) continue;
    planted_bug = bug;
    ++bugs;
    std::uint64_t ran = 0, times = 0, at = 0;
    std::string how;
    simulator::run_in_children({.seed = 1, .rare = kRare}, seeds, jobs, [&](std::uint64_t seed, const simulator::RunResult& result) {
      ++ran;
      if (result.failure.empty()) return true;
      if (++times == 1) {
        at = seed;
        how = result.failure;
      }
      return all;
    });
    found += times != 0;
    if (times == 0) {
      fmt::print("\"{}\" NOT found in {} seeds\n", name, ran);
    } else {
      fmt::print("\"{}\" found in {} of {} seeds; in seed {}: {}\n", name, times, ran, at, how);
    }
    std::fflush(stdout);
  }
  planted_bug = Planted::none;
  fmt::print("{} passed, {} failed\n", found, bugs - found);
  return found == bugs && bugs > 0 ? 0 : 1;
#else
  fmt::print("this build has no planted bugs: configure with -Dplanted=true\n");
  (void)seeds, (void)jobs, (void)all, (void)only;
  return 2;
#endif
}

/// Large buffers stay in the heap, which lies in huge pages: half of the time of a seed would go into faulting pages in. The library reads this
/// only when a program begins.
void begin_with_large_heap(char** argv) {
  if (::getenv("GLIBC_TUNABLES") != nullptr) return;
  ::setenv("GLIBC_TUNABLES",
           "glibc.malloc.hugetlb=1:glibc.malloc.mmap_threshold=33554432:glibc.malloc.trim_threshold=4294967296:glibc.malloc.top_pad=67108864", 1);
  std::error_code none;
  ::execv(std::filesystem::read_symlink("/proc/self/exe", none).c_str(), argv);  // if it can't: it is slower
}

}  // namespace

int main(int argc, char** argv) {
  begin_with_large_heap(argv);
  CLI::App app{"lockstep-sim: both sites and their hosts in virtual time, from a seed"};
  app.require_subcommand(1);
  std::uint64_t seeds = 100, first = 1, seed = 0;
  std::size_t jobs = 1;
  unsigned rare = 1;
  bool verbose = false, all = false;
  std::string only;
  CLI::App* run = app.add_subcommand("run", "run seeds");
  run->add_option("--seeds", seeds, "how many");
  run->add_option("--first", first, "the first");
  run->add_option("--jobs", jobs, "so many at a time")->check(CLI::Range(1, 1024));
  CLI::Option* one = run->add_option("--seed", seed, "just this one");
  run->add_option("--rare", rare, "rare faults strike in so many times as many seeds")->check(CLI::Range(1, 1000));
  run->add_flag("--verbose", verbose, "say what happens");
  CLI::App* planted = app.add_subcommand("planted", "each planted bug must be found");
  planted->add_option("--seeds", seeds, "at most so many for each");
  planted->add_option("--jobs", jobs, "so many at a time")->check(CLI::Range(1, 1024));
  planted->add_option("--only", only, "just the bug of this name");
  planted->add_flag("--all", all, "run all of them, and count in how many each is found");
  CLI11_PARSE(app, argc, argv);
  log::set_up("sim", verbose ? log::Level::info : log::Level::error);
  if (!verbose) log::silence();
  if (planted->parsed()) return run_planted(seeds, jobs, all, only);
  if (one->count() == 0) return run_seeds({.seed = first, .rare = rare}, seeds, jobs);
  const simulator::RunResult result = simulator::run({.seed = seed, .rare = rare, .verbose = verbose});
  fmt::print("trace {:016x}, {} changes acknowledged\n{}\n", result.trace, result.acknowledged,
             result.failure.empty() ? "1 passed, 0 failed" : result.failure + "\n0 passed, 1 failed");
  std::fflush(stdout);
  ::_exit(result.failure.empty() ? 0 : 1);
}
