// repairs.h - which blocks are being taken from the other site because they are bad here: each once at a time, a few at a time.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "core/check.h"
#include "core/types.h"

namespace lockstep::controller {

class Repairs {
 public:
  static constexpr std::size_t kAtOnce = 4;

  /// True: the caller repairs `blocks`, then calls end(). False: somebody is at one of them, or kAtOnce are under way: look
  /// again after the next end().
  [[nodiscard]] bool begin(BlockRange blocks) {
    const auto meets = [&](BlockRange r) { return r.overlaps(blocks); };
    if (running_.size() >= kAtOnce || std::any_of(running_.begin(), running_.end(), meets)) return false;
    running_.push_back(blocks);
    return true;
  }
  /// Requires: begin() of the same blocks answered true.
  void end(BlockRange blocks) {
    const auto found = std::find(running_.begin(), running_.end(), blocks);
    CHECK(found != running_.end());
    running_.erase(found);
  }
  [[nodiscard]] std::size_t running() const { return running_.size(); }

 private:
  std::vector<BlockRange> running_;
};

}  // namespace lockstep::controller
