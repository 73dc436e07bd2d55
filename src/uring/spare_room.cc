#include "uring/spare_room.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "core/log.h"

namespace lockstep::uring {
namespace {

/// It grows in steps of so much at least, not whenever somebody removed a block.
constexpr std::uint64_t kStepBytes = 1 << 20;

}  // namespace

bool SpareRoom::open(int flags) {
  if (!file_) file_ = Descriptor(::open(path_.c_str(), O_WRONLY | O_CLOEXEC | O_NOFOLLOW | flags, 0600));
  return static_cast<bool>(file_);
}

Result<SpareRoom::Room> SpareRoom::look() const {
  struct statvfs below {};
  struct stat file {};
  if (::fstatvfs(file_.get(), &below) != 0 || ::fstat(file_.get(), &file) != 0) {
    return fail_io(errno, fmt::format("cannot see how much room there is beside {}: {}", path_, std::strerror(errno)));
  }
  return Room{.free = std::uint64_t{below.f_bavail} * below.f_frsize, .spare = static_cast<std::uint64_t>(file.st_size)};
}

Result<SpareRoom::Room> SpareRoom::there() {
  const std::lock_guard lock(mutex_);
  if (open(0)) return look();
  const std::string directory = path_.substr(0, path_.rfind('/') + 1);
  struct statvfs below {};
  if (::statvfs(directory.c_str(), &below) != 0) {
    return fail_io(errno, fmt::format("cannot see how much room there is in {}: {}", directory, std::strerror(errno)));
  }
  return Room{.free = std::uint64_t{below.f_bavail} * below.f_frsize};
}

Result<> SpareRoom::set_length(std::uint64_t bytes) {
  if (::ftruncate(file_.get(), static_cast<off_t>(bytes)) == 0) return {};
  return fail_io(errno, fmt::format("cannot make {} {} bytes long: {}", path_, bytes, std::strerror(errno)));
}

Result<SpareRoom::Room> SpareRoom::keep(std::uint64_t bytes) {
  const std::lock_guard lock(mutex_);
  if (!open(O_CREAT)) return fail_io(errno, fmt::format("cannot make {}: {}", path_, std::strerror(errno)));
  const Result<Room> room = look();
  if (!room) return room;
  const std::uint64_t fair = std::min(bytes, (room->free + room->spare) / 2);
  Result<> done;
  if (room->spare > bytes) {
    done = set_length(bytes);
  } else if (fair >= room->spare + kStepBytes &&
             ::fallocate(file_.get(), 0, static_cast<off_t>(room->spare), static_cast<off_t>(fair - room->spare)) != 0) {
    done = set_length(room->spare);  // what has been added of it before it failed does not count, or may be a hole
  } else {
    return look();
  }
  if (!done) return std::unexpected(done.error());
  return look();
}

bool SpareRoom::give(std::uint64_t bytes, std::uint64_t rest) {
  const std::lock_guard lock(mutex_);
  if (!open(0)) return false;
  const Result<Room> room = look();
  if (!room || room->spare <= rest) return false;
  const Result<> done = set_length(room->spare - std::min(room->spare - rest, bytes));
  if (!done) log::warning("{}", done.error().text);
  return done.has_value();
}

}  // namespace lockstep::uring
