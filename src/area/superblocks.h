// superblocks.h - the file `superblock` and its two copies: which one is in force, and writing the next.
#pragma once

#include <memory>

#include "area/superblock_format.h"
#include "runtime/disk.h"

namespace lockstep::area {

inline constexpr const char* kSuperblockFile = "superblock";
inline constexpr const char* kExtentsFile = "extents";
inline constexpr const char* kChecksumsFile = "checksums";
inline constexpr const char* kStateFile = "state";
inline constexpr const char* kSuspectFile = "suspect";
inline constexpr const char* kInFlightFile = "inflight";
inline constexpr const char* kLogFile = "log";
inline constexpr const char* kKeysDirectory = "meta";  ///< of the key-value store

class Superblocks {
 public:
  /// Reads both copies. A damaged one is written again by the next write(), with a warning now. Errc::corrupt: both are
  /// damaged; Errc::refused: of another format version. Suspends.
  static runtime::Task<Result<Superblocks>> read(std::unique_ptr<runtime::File> file);
  /// For a file of zeros, without a superblock.
  explicit Superblocks(std::unique_ptr<runtime::File> file) : file_(std::move(file)) {}

  [[nodiscard]] const Superblock& current() const { return current_; }
  /// A copy was damaged: whether the area was closed is not known.
  [[nodiscard]] bool damaged() const { return damaged_; }
  /// Writes `next` (its generation is set here) over the older or damaged copy, stable. Errc::io. Suspends.
  runtime::Task<Result<>> write(Superblock next);

 private:
  std::unique_ptr<runtime::File> file_;
  Superblock current_;
  bool damaged_ = false;
};

}  // namespace lockstep::area
