// spare_room.h - room on a file system that nobody else can take: a file in which nothing is kept, made shorter when room is needed.
//
// The keys of a site are written beside what other programs keep on the same file system. If these fill it to the last byte just before
// the keys have to be written, the medium would count as failed (C7), although nothing is wrong with it. So room for that lies ready in
// this file. It is taken from what the file system has to spare: the file grows to no more than what it leaves free for others.
//
// Where a file system can't allocate room ahead (EOPNOTSUPP) there is none, and the keys have what others leave.
//
// May be called by any thread. Each call may wait for the medium.
#pragma once

#include <cstdint>
#include <mutex>
#include <string>

#include "core/result.h"
#include "uring/descriptor.h"

namespace lockstep::uring {

class SpareRoom {
 public:
  /// Bytes: `spare` of them in the file, `free` of them beside it, for everybody (without what is kept for root: it is little, and the
  /// system may need it).
  struct Room {
    std::uint64_t free = 0, spare = 0;
  };

  /// The file is `path`; keep() makes it, in a directory that is there then.
  explicit SpareRoom(std::string path) : path_(std::move(path)) {}

  /// Errc::io, also if there is no such directory.
  [[nodiscard]] Result<Room> there();
  /// Makes the file as long as `bytes`, or as far towards it as leaves at least as much to others; does not make it shorter for their sake.
  /// Says what there is then. Errc::io.
  Result<Room> keep(std::uint64_t bytes);
  /// Makes the file shorter by up to `bytes`, but leaves `rest` in it. False: it has no more than that.
  bool give(std::uint64_t bytes, std::uint64_t rest = 0);

 private:
  [[nodiscard]] bool open(int flags);
  /// Requires: it is open.
  [[nodiscard]] Result<Room> look() const;
  [[nodiscard]] Result<> set_length(std::uint64_t bytes);

  std::mutex mutex_;
  const std::string path_;
  Descriptor file_;
};

}  // namespace lockstep::uring
