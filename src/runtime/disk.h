// disk.h - the storage of one site, as the area sees it: a few named files.
//
// Crash model, which the simulated disk makes true and the area is written for: what was written and not synced may be
// lost or torn in units of 512 bytes, in any order, when the power goes; nothing is lost when only the process dies.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/result.h"
#include "core/types.h"
#include "runtime/task.h"

namespace lockstep::runtime {

/// One file, opened for reading and writing. Its size is fixed. Calls may overlap; the outcome of overlapping writes
/// that run at the same time is not defined. Memory handed in belongs to the call until it is answered.
class File {
 public:
  virtual ~File() = default;
  [[nodiscard]] virtual std::uint64_t bytes() const = 0;

  /// Reads `into.size()` bytes at `offset` if that needs no wait; nullopt: it would, use read().
  [[nodiscard]] virtual std::optional<Result<>> try_read(std::uint64_t offset, MutableBytes into) = 0;
  /// The same, waiting for the medium. Errc::io with errno. Suspends.
  virtual Task<Result<>> read(std::uint64_t offset, MutableBytes into) = 0;

  /// Writes `parts` one behind the other from `offset`, at once: afterwards every read gives the new bytes, and the death
  /// of the process does not lose them. Errc::io with errno: any part may have been written.
  [[nodiscard]] virtual Result<> write_now(std::uint64_t offset, std::span<const Bytes> parts) = 0;
  /// Starts writing back `range` to the medium, without waiting and without promising.
  virtual void start_write_back(ByteRange range) = 0;
  /// After success everything written to `range` before the call is stable: it survives loss of power. Errc::io. Suspends.
  virtual Task<Result<>> sync(ByteRange range) = 0;
};

/// A file mapped into memory. Stores are seen by every later load, survive the death of the process, and are stable
/// after sync().
class Mapping {
 public:
  virtual ~Mapping() = default;
  [[nodiscard]] virtual MutableBytes bytes() = 0;
  /// Makes the next access to `range` cheap (no wait for the medium). Suspends only if it was not.
  virtual Task<Result<>> prepare(ByteRange range) = 0;
  /// After success every store to `range` before the call is stable. Errc::io. Suspends.
  virtual Task<Result<>> sync(ByteRange range) = 0;
};

/// What format found where an area is to be made.
struct Found {
  std::string what;  ///< "ext4 file system", "lockstep area of volume ...", "12 files"; empty: nothing
};

/// A directory of files. Names are single path components. The methods that do not return a Task are for start and
/// format only: they may wait.
class Disk {
 public:
  virtual ~Disk() = default;
  /// The directory or simulated site, for messages.
  [[nodiscard]] virtual std::string where() const = 0;
  /// Takes the one lock that a directory has, for the life of this object (again: nothing happens). Errc::refused: another process holds it, named.
  virtual Result<> lock() = 0;
  /// Names present, sorted.
  virtual Result<std::vector<std::string>> list() = 0;
  /// Makes `name` with `bytes` zeros really written (not a hole), stable. Errc::io (ENOSPC, EEXIST). Suspends.
  /// `progress`, if set, is called with the bytes written so far.
  virtual Task<Result<>> create(std::string name, std::uint64_t bytes, void (*progress)(void*, std::uint64_t), void* with) = 0;
  /// Removes a file, or a directory with all that is in it. A link to a device stays: it says where the file is to be made
  /// (create() takes it). Errc::absent, Errc::io.
  virtual Result<> remove(std::string_view name) = 0;
  /// Errc::absent, Errc::io.
  virtual Result<std::unique_ptr<File>> open(std::string_view name) = 0;
  virtual Result<std::unique_ptr<Mapping>> map(std::string_view name) = 0;
};

}  // namespace lockstep::runtime
