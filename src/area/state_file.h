// state_file.h - the file `state`: bytes that a site saves of its membership, two copies.
//
//   0        copy 0: StateHeader, the bytes; the rest of the copy is not looked at
//   69632    copy 1
//
// The copy with the higher generation is in force. save() writes both, one after the other, each stable before the next is
// touched: a torn write leaves the other copy, and a copy that goes bad later takes nothing with it.
#pragma once

#include <array>
#include <memory>
#include <string>
#include <type_traits>

#include "area/area.h"
#include "area/failure.h"
#include "core/types.h"
#include "runtime/disk.h"
#include "runtime/sync.h"

namespace lockstep::area {

inline constexpr std::uint64_t kStateCopyBytes = kStateBytesMax + kBlockBytes;
inline constexpr std::uint64_t kStateFileBytes = 2 * kStateCopyBytes;

struct StateHeader {
  static constexpr std::array<char, 8> kMagic{'L', 'K', 'S', 'T', 'S', 'T', 'A', 'T'};

  std::uint64_t checksum;  ///< XXH3-64 of the rest of this header and the bytes
  std::array<char, 8> magic;
  std::uint64_t generation;
  std::uint64_t length;    ///< of the bytes
};
static_assert(sizeof(StateHeader) == 32 && std::has_unique_object_representations_v<StateHeader>);

class StateFile {
 public:
  /// Writes both copies of "nothing saved yet", stable. Suspends.
  static runtime::Task<Result<>> format(runtime::File& file);
  /// Reads what was saved and makes it stable. One bad copy is written again, with a warning; Errc::corrupt: both are. Suspends.
  static runtime::Task<Result<std::unique_ptr<StateFile>>> open(std::unique_ptr<runtime::File> file, runtime::Scheduler& scheduler,
                                                                Failure& failure);

  [[nodiscard]] const std::string& saved() const { return bytes_; }
  /// Also after another file of the area failed, so that a site can write down that it is none any more. Errc::invalid: more than
  /// kStateBytesMax; Errc::io, from the first on. Suspends.
  runtime::Task<Result<>> save(std::string bytes);

 private:
  StateFile(std::unique_ptr<runtime::File> file, runtime::Scheduler& scheduler, Failure& failure)
      : file_(std::move(file)), failure_(failure), saving_(scheduler, 1) {}
  /// Both copies, with generations behind `generation`, which is changed. Suspends.
  static runtime::Task<Result<>> write(runtime::File& file, const std::string& bytes, std::uint64_t& generation);

  std::unique_ptr<runtime::File> file_;
  Failure& failure_;
  runtime::Budget saving_;  ///< one save() at a time
  std::string bytes_;
  std::uint64_t generation_ = 0;
  bool failed_ = false;  ///< a write of this file
};

}  // namespace lockstep::area
