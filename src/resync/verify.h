// verify.h - compares the two sites exactly, every block and every key, while both are in use. Runs at the primary.
//
//   keys     times that are only in memory are written first; then both sites take a snapshot at one seq, and digests of
//            ranges are compared; where they differ the range is halved down to single keys
//   blocks   one stretch after the other: no effect in flight touches it, none may start; both sites digest its bytes
//
// With `repair` a block that differs, or is bad, is put right while nobody writes it (verdict.h says which copy counts) and compared
// again; what the report says of blocks is what is left. Keys are not repaired here: the secondary is to be made equal again.
// Cost: reads both areas once; a write waits at most for the digest of 1 MiB at both sites.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "controller/controller.h"
#include "resync/comparison.h"

namespace lockstep::resync {

struct VerifyReport {
  bool complete = false;            ///< false: the other site went away; `problem` says so
  std::string problem;
  std::uint64_t keys = 0, blocks = 0;
  std::uint64_t keys_differ = 0;    ///< counted; the first few are named
  std::uint64_t blocks_differ = 0;
  std::vector<std::string> keys_named;
  std::vector<std::uint64_t> blocks_named;
  std::vector<std::uint64_t> bad_here, bad_there;  ///< blocks that do not match their own checksum
  std::uint64_t repaired_here = 0, repaired_there = 0;
  std::vector<std::uint64_t> conflicts;  ///< the first few blocks that were good at both sites and different: the primary's copy was taken
  std::uint64_t conflicts_met = 0;
  [[nodiscard]] bool equal() const {
    return complete && keys_differ == 0 && blocks_differ == 0 && bad_here.empty() && bad_there.empty();
  }
};

class Verify {
 public:
  Verify(runtime::World& world, controller::Controller& controller);

  /// One at a time. `progress(done, all)` is called now and then, in blocks. Suspends.
  runtime::Task<VerifyReport> run(bool repair, std::function<void(std::uint64_t, std::uint64_t)> progress);
  [[nodiscard]] bool running() const { return running_; }

 private:
  [[nodiscard]] bool in_sync();
  runtime::Task<std::optional<wire::VerifyAnswer>> ask(wire::VerifyAsk question);
  runtime::Task<bool> compare_keys(VerifyReport& report);
  runtime::Task<bool> compare_range(std::string from, std::string to, std::uint32_t limit, VerifyReport& report);
  runtime::Task<bool> compare_blocks(bool repair, VerifyReport& report, std::function<void(std::uint64_t, std::uint64_t)> progress);
  /// What both sites say of `blocks`, which nobody may write. False: the other site went away. Suspends.
  runtime::Task<bool> ask_both(BlockRange blocks, wire::VerifyAnswer& mine, wire::VerifyAnswer& theirs);
  runtime::Task<bool> put_right(BlockRange blocks, const wire::VerifyAnswer& mine, const wire::VerifyAnswer& theirs, VerifyReport& report);

  runtime::World& world_;
  controller::Controller& controller_;
  controller::Replica& replica_;
  Comparison here_;
  std::uint64_t number_ = 0;
  bool running_ = false;
};

}  // namespace lockstep::resync
