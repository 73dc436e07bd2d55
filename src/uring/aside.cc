#include "uring/aside.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/xattr.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <filesystem>

#include "uring/descriptor.h"
#include "uring/storage.h"

namespace lockstep::uring {
namespace {

using runtime::Task;

/// A few dirty pages at a time, and failures early.
constexpr std::uint64_t kSyncEvery = 64 << 20;

timespec timespec_of(WallTime time) {
  constexpr std::int64_t kSecond = 1'000'000'000;
  std::int64_t seconds = time.value / kSecond, rest = time.value % kSecond;
  if (rest < 0) {
    rest += kSecond;
    --seconds;
  }
  return {static_cast<time_t>(seconds), static_cast<long>(rest)};
}

/// Where an object of the tree is made: the directory, open, and its name there.
struct Spot {
  Descriptor directory;
  std::string name;
};

class DirectoryTree final : public runtime::AsideTree {
 public:
  DirectoryTree(Pool& pool, std::string area, std::string directory, std::string partial, Descriptor above, Descriptor top)
      : pool_(pool),
        area_(std::move(area)),
        directory_(std::move(directory)),
        partial_(std::move(partial)),
        above_(std::move(above)),
        top_(std::move(top)) {}

  Task<Result<runtime::AsideRoom>> room() override {
    auto work = [this] { return look_at_room(); };
    co_return co_await pool_.run(work);
  }
  Task<Result<>> make_directory(std::string path) override {
    auto work = [this, &path] {
      return at(path, "make the directory", [](int fd, const char* name) { return ::mkdirat(fd, name, 0700); });
    };
    co_return co_await pool_.run(work);
  }
  Task<Result<>> make_file(std::string path) override {
    auto work = [this, &path] {
      file_ = Descriptor();
      unsynced_ = 0;
      file_path_ = path;
      return at(path, "make", [this](int fd, const char* name) {
        file_ = Descriptor(::openat(fd, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
        return file_ ? 0 : -1;
      });
    };
    co_return co_await pool_.run(work);
  }
  Task<Result<>> write(std::uint64_t offset, Bytes bytes) override {
    auto work = [this, offset, bytes] { return write_all(offset, bytes); };
    co_return co_await pool_.run(work);
  }
  Task<Result<>> append(std::string path, Bytes bytes) override {
    auto work = [this, &path, bytes]() -> Result<> {
      Descriptor file;
      const Result<> opened = at(path, "make", [&file](int fd, const char* name) {
        file = Descriptor(::openat(fd, name, O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW | O_CLOEXEC, 0600));
        return file ? 0 : -1;
      });
      return opened ? append_all(file.get(), path, bytes) : opened;
    };
    co_return co_await pool_.run(work);
  }
  Task<Result<>> set_size(std::uint64_t bytes) override {
    auto work = [this, bytes] {
      return ::ftruncate(file_.get(), static_cast<off_t>(bytes)) == 0 ? Result<>() : failed(errno, "set the size of", file_path_);
    };
    co_return co_await pool_.run(work);
  }
  Task<Result<>> make_symlink(std::string path, std::string target) override {
    auto work = [this, &path, &target] {
      return at(path, "make the symbolic link", [&](int fd, const char* name) { return ::symlinkat(target.c_str(), fd, name); });
    };
    co_return co_await pool_.run(work);
  }
  Task<Result<>> make_node(std::string path, std::uint32_t mode, std::uint32_t rdev) override {
    auto work = [this, &path, mode, rdev] {
      return at(path, "make", [&](int fd, const char* name) { return ::mknodat(fd, name, (mode & S_IFMT) | 0600, rdev); });
    };
    co_return co_await pool_.run(work);
  }
  Task<Result<>> make_link(std::string existing, std::string path) override {
    auto work = [this, &existing, &path]() -> Result<> {
      const Result<Spot> from = spot_of(existing);
      if (!from) return std::unexpected(from.error());
      return at(path, "make the link", [&](int fd, const char* name) { return ::linkat(from->directory.get(), from->name.c_str(), fd, name, 0); });
    };
    co_return co_await pool_.run(work);
  }
  Task<Result<std::size_t>> set_attributes(std::string path, runtime::AsideAttributes attributes) override {
    auto work = [this, &path, &attributes] { return put_attributes(path, attributes); };
    co_return co_await pool_.run(work);
  }
  Task<Result<std::string>> finish(std::string name) override {
    auto work = [this, &name] { return make_final(name); };
    co_return co_await pool_.run(work);
  }
  Task<Result<>> abandon() override {
    auto work = [this]() -> Result<> {
      file_ = Descriptor();
      std::error_code error;
      std::filesystem::remove_all(directory_ + "/" + partial_, error);
      return error ? io_error(error.value(), "remove", directory_ + "/" + partial_) : Result<>();
    };
    co_return co_await pool_.run(work);
  }

 private:
  [[nodiscard]] Result<> failed(int number, std::string_view what, const std::string& path) const {
    return io_error(number, what, directory_ + "/" + partial_ + "/" + path);
  }

  [[nodiscard]] Result<Spot> spot_of(std::string_view path) const {
    Spot spot{Descriptor(::openat(top_.get(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC)), {}};
    for (;;) {
      const std::size_t end = path.find('/');
      spot.name = path.substr(0, end);
      if (spot.name.empty() || spot.name == "." || spot.name == ".." || spot.name.find('\0') != std::string::npos) {
        return fail(Errc::invalid, fmt::format("'{}' is not the name of a file", spot.name));
      }
      if (!spot.directory) return std::unexpected(failed(errno, "open the directory above", spot.name).error());
      if (end == path.npos) return spot;
      path.remove_prefix(end + 1);
      spot.directory = Descriptor(::openat(spot.directory.get(), spot.name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    }
  }

  /// Calls make(fd of the directory, name in it), which answers as system calls do.
  template <class Make>
  [[nodiscard]] Result<> at(const std::string& path, std::string_view what, Make make) const {
    const Result<Spot> spot = spot_of(path);
    if (!spot) return std::unexpected(spot.error());
    return make(spot->directory.get(), spot->name.c_str()) == 0 ? Result<>() : failed(errno, what, path);
  }

  [[nodiscard]] Result<runtime::AsideRoom> look_at_room() const {
    struct statfs room {};
    struct stat here {}, area {};
    if (::fstatfs(top_.get(), &room) != 0 || ::fstat(top_.get(), &here) != 0) return io_error(errno, "look at the room in", directory_);
    if (::stat(area_.c_str(), &area) != 0) return io_error(errno, "look at", area_);
    return runtime::AsideRoom{.free = static_cast<std::uint64_t>(room.f_bavail) * static_cast<std::uint64_t>(room.f_bsize),
                              .of_area = here.st_dev == area.st_dev};
  }

  [[nodiscard]] Result<> write_all(std::uint64_t offset, Bytes bytes) {
    unsynced_ += bytes.size();
    while (!bytes.empty()) {
      const ssize_t n = ::pwrite(file_.get(), bytes.data(), bytes.size(), static_cast<off_t>(offset));
      if (n < 0 && errno == EINTR) continue;
      if (n <= 0) return failed(n < 0 ? errno : ENOSPC, "write to", file_path_);
      bytes = bytes.subspan(static_cast<std::size_t>(n));
      offset += static_cast<std::uint64_t>(n);
    }
    if (unsynced_ < kSyncEvery) return {};
    unsynced_ = 0;
    return ::fdatasync(file_.get()) == 0 ? Result<>() : failed(errno, "make stable what was written to", file_path_);
  }

  [[nodiscard]] Result<> append_all(int fd, const std::string& path, Bytes bytes) const {
    while (!bytes.empty()) {
      const ssize_t n = ::write(fd, bytes.data(), bytes.size());
      if (n < 0 && errno == EINTR) continue;
      if (n <= 0) return failed(n < 0 ? errno : ENOSPC, "write to", path);
      bytes = bytes.subspan(static_cast<std::size_t>(n));
    }
    return {};
  }

  [[nodiscard]] Result<std::size_t> put_attributes(const std::string& path, const runtime::AsideAttributes& wanted) const {
    const Result<Spot> spot = spot_of(path);
    if (!spot) return std::unexpected(spot.error());
    const int fd = spot->directory.get();
    const char* const name = spot->name.c_str();
    // Changing the owner takes attributes like security.capability away, and times change with everything else.
    if (::fchownat(fd, name, wanted.uid, wanted.gid, AT_SYMLINK_NOFOLLOW) != 0) {
      return std::unexpected(failed(errno, "set the owner of", path).error());
    }
    std::size_t not_taken = 0;
    const std::string by_descriptor = fmt::format("/proc/self/fd/{}/{}", fd, spot->name);
    for (const auto& [key, value] : wanted.xattrs) {
      if (::lsetxattr(by_descriptor.c_str(), key.c_str(), value.data(), value.size(), 0) == 0) continue;
      if (errno == EIO) return std::unexpected(failed(errno, "set extended attributes of", path).error());
      ++not_taken;
    }
    if (!S_ISLNK(wanted.mode) && ::fchmodat(fd, name, wanted.mode & 07777, 0) != 0) {
      return std::unexpected(failed(errno, "set the mode of", path).error());
    }
    const timespec times[2] = {timespec_of(wanted.atime), timespec_of(wanted.mtime)};
    if (::utimensat(fd, name, times, AT_SYMLINK_NOFOLLOW) != 0) return std::unexpected(failed(errno, "set the times of", path).error());
    return not_taken;
  }

  [[nodiscard]] Result<std::string> make_final(const std::string& name) {
    const std::string path = directory_ + "/" + name;
    file_ = Descriptor();
    if (::syncfs(top_.get()) != 0) return io_error(errno, "make stable", directory_ + "/" + partial_);
    if (::renameat2(above_.get(), partial_.c_str(), above_.get(), name.c_str(), RENAME_NOREPLACE) != 0) {
      return io_error(errno, "give its name to", path);
    }
    if (::fsync(above_.get()) != 0) return io_error(errno, "make stable the name of", path);
    return path;
  }

  Pool& pool_;
  const std::string area_, directory_, partial_;
  const Descriptor above_, top_;
  Descriptor file_;
  std::string file_path_;
  std::uint64_t unsynced_ = 0;
};

bool in_mount(int fd, const std::string& mount) {
  struct statfs kind {};
  struct stat here {}, there {};
  if (::fstatfs(fd, &kind) != 0 || kind.f_type != FUSE_SUPER_MAGIC) return false;
  return ::fstat(fd, &here) == 0 && ::stat(mount.c_str(), &there) == 0 && here.st_dev == there.st_dev;
}

/// Makes `name` in `above`, empty and with nobody's rights but this user's.
Result<Descriptor> make_top(int above, const std::string& directory, const std::string& name) {
  const std::string path = directory + "/" + name;
  std::error_code error;
  std::filesystem::remove_all(path, error);
  if (error) return io_error(error.value(), "remove what an earlier attempt left in", path);
  if (::mkdirat(above, name.c_str(), 0700) != 0) return io_error(errno, "make the directory", path);
  Descriptor top(::openat(above, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!top) return io_error(errno, "open the directory", path);
  return top;
}

}  // namespace

Task<Result<std::unique_ptr<runtime::AsideTree>>> DirectoryAside::begin(std::string directory, std::string partial) {
  auto work = [&]() -> Result<std::unique_ptr<runtime::AsideTree>> {
    if (!directory.starts_with('/')) return fail(Errc::refused, fmt::format("'{}' is no absolute path", directory));
    // Where its parent is in the mount this is not made, and the answer is the same.
    const std::string parent = std::filesystem::path(directory).parent_path();
    const Descriptor outer(::open(parent.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!outer) return io_error(errno, "open the directory", parent);
    if (in_mount(outer.get(), mount_)) return fail(Errc::refused, fmt::format("{} is in the volume itself; take a directory outside of it", directory));
    if (::mkdir(directory.c_str(), 0700) == 0) {
      if (::fsync(outer.get()) != 0) return io_error(errno, "make stable the directory", directory);
    } else if (errno != EEXIST) {
      return io_error(errno, "make the directory", directory);
    }
    Descriptor above(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!above) return io_error(errno, "open the directory", directory);
    if (in_mount(above.get(), mount_)) return fail(Errc::refused, fmt::format("{} is in the volume itself; take a directory outside of it", directory));
    Result<Descriptor> top = make_top(above.get(), directory, partial);
    if (!top) return std::unexpected(top.error());
    return std::make_unique<DirectoryTree>(pool_, area_, directory, partial, std::move(above), std::move(*top));
  };
  co_return co_await pool_.run(work);
}

}  // namespace lockstep::uring
