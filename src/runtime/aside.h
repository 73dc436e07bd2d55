// aside.h - directories outside of the volume, in which something of it is kept as ordinary files.
//
//   Aside::begin(directory) -> AsideTree: make_..., write, set_attributes ... -> finish(name)
//
// Until finish() everything stands in a directory with a name of its own, which the next begin() there removes: so what has its
// final name is whole and stable, whatever was killed in between.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "core/result.h"
#include "core/types.h"
#include "runtime/task.h"

namespace lockstep::runtime {

/// What an object is besides its bytes.
struct AsideAttributes {
  std::uint32_t mode = 0;  ///< with the file type
  std::uint32_t uid = 0, gid = 0;
  WallTime atime, mtime;
  std::vector<std::pair<std::string, std::string>> xattrs;
};

struct AsideRoom {
  std::uint64_t free = 0;   ///< bytes that can still be written
  bool of_area = false;     ///< the area of this site is on the same file system and needs some of them
};

/// A directory that is being filled; "files/a/b" is a path in it, whose components are names of volumes (255 bytes, any but zero and
/// "/"). Objects are made with owner and mode of this process alone until set_attributes(). One call at a time. Every call suspends.
/// Errc::io with errno; Errc::invalid: no such path is possible.
class AsideTree {
 public:
  virtual ~AsideTree() = default;
  virtual Task<Result<AsideRoom>> room() = 0;
  /// Its parent must be there. EEXIST.
  virtual Task<Result<>> make_directory(std::string path) = 0;
  /// An empty file; write() and set_size() are about it until the next one is made.
  virtual Task<Result<>> make_file(std::string path) = 0;
  virtual Task<Result<>> write(std::uint64_t offset, Bytes bytes) = 0;
  /// Writes behind what stands in the file at `path`, which is made if it is not there; write() is about another one as before.
  virtual Task<Result<>> append(std::string path, Bytes bytes) = 0;
  /// What was not written reads as zeros and takes no room.
  virtual Task<Result<>> set_size(std::uint64_t bytes) = 0;
  virtual Task<Result<>> make_symlink(std::string path, std::string target) = 0;
  /// A fifo, socket or device.
  virtual Task<Result<>> make_node(std::string path, std::uint32_t mode, std::uint32_t rdev) = 0;
  /// One more name of what stands at `existing`.
  virtual Task<Result<>> make_link(std::string existing, std::string path) = 0;
  /// Gives how many of the extended attributes the file system does not take; the others are set.
  virtual Task<Result<std::size_t>> set_attributes(std::string path, AsideAttributes attributes) = 0;
  /// Makes everything stable, gives it `name` in its directory and makes that stable. Returns where it stands. EEXIST. Nothing may be
  /// called afterwards.
  virtual Task<Result<std::string>> finish(std::string name) = 0;
  /// Removes everything. Nothing may be called afterwards.
  virtual Task<Result<>> abandon() = 0;
};

class Aside {
 public:
  virtual ~Aside() = default;
  /// A new tree in `directory` (an absolute path, made for this user alone if only its last component is missing), with the name `partial`
  /// until it is finished; what stands there under that name goes. Errc::refused: the directory is in the mount of this site. Errc::io.
  /// Suspends.
  virtual Task<Result<std::unique_ptr<AsideTree>>> begin(std::string directory, std::string partial) = 0;
};

}  // namespace lockstep::runtime
