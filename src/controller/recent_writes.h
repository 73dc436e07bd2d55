// recent_writes.h - which files were written lately: what a reader asks that had to wait between looking and answering.
//
// The last kKept effects with data are remembered; about older ones the answer is "maybe", which costs the reader a second look.
#pragma once

#include <algorithm>
#include <array>

#include "core/types.h"

namespace lockstep::controller {

class RecentWrites {
 public:
  static constexpr std::size_t kKept = 1024;

  void note(InodeId inode) {
    kept_[static_cast<std::size_t>(moment_ % kKept)] = inode;
    ++moment_;
  }
  [[nodiscard]] std::uint64_t moment() const { return moment_; }
  [[nodiscard]] bool since(std::uint64_t moment, InodeId inode) const {
    if (moment_ - moment > kKept) return true;
    for (; moment < moment_; ++moment) {
      const InodeId written = kept_[static_cast<std::size_t>(moment % kKept)];
      if (written == inode || written == kNoInode) return true;
    }
    return false;
  }

 private:
  std::uint64_t moment_ = 0;
  std::array<InodeId, kKept> kept_{};
};

}  // namespace lockstep::controller
