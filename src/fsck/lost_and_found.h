// lost_and_found.h - where a repair puts objects that have lost their name: the directory /lost+found, which it makes.
#pragma once

#include "fsck/examination.h"

namespace lockstep::fsck {

class LostAndFound {
 public:
  explicit LostAndFound(Examination& x) : x_(x) {}

  /// The change that gives `object`, which has no name (any more), the name "#NUMBER" in the directory, one link, and
  /// no place in the list of orphans; added to `batch`. A directory gets its parent. Makes the directory where there is
  /// none. False: not possible, because there is no root. Errc::io. Suspends. Requires: a repair.
  runtime::Task<Result<bool>> move_in(InodeId object, runtime::KeyBatch& batch);

 private:
  /// Inode 0: not possible.
  runtime::Task<Result<InodeId>> directory();
  runtime::Task<Result<InodeId>> make(const std::string& name);

  Examination& x_;
  InodeId found_;
};

/// Directories in `directory`. Suspends.
runtime::Task<Result<std::uint32_t>> subdirectories_of(Examination& x, InodeId directory);

}  // namespace lockstep::fsck
