#include "uring/disk.h"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>

#include "uring/storage.h"

namespace lockstep::uring {
namespace {

constexpr char kLockName[] = "lock";
constexpr std::uint64_t kZeros = 1 << 20;
constexpr std::uint64_t kSyncEvery = 64 << 20;

Result<> check_name(std::string_view name) {
  if (!name.empty() && name != "." && name != ".." && name.find('/') == name.npos && name.find('\0') == name.npos) {
    return {};
  }
  return fail(Errc::invalid, fmt::format("'{}' is not the name of a file", name));
}

/// Writes zeros to [offset, offset + length). 0 or errno.
int write_zeros(int fd, std::uint64_t offset, std::uint64_t length) {
  static std::array<std::byte, kPieceBytes> zeros;  // never written: costs no memory but the one page of zeros
  while (length > 0) {
    const ssize_t n = ::pwrite(fd, zeros.data(), std::min<std::uint64_t>(length, zeros.size()),
                               static_cast<off_t>(offset));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return errno;
    if (n == 0) return ENOSPC;  // the end of a device
    offset += static_cast<std::uint64_t>(n);
    length -= static_cast<std::uint64_t>(n);
  }
  return 0;
}

std::string holder_of(int fd) {
  std::array<char, 32> text{};
  const ssize_t n = ::pread(fd, text.data(), text.size() - 1, 0);
  std::string_view pid(text.data(), n > 0 ? static_cast<std::size_t>(n) : 0);
  pid = pid.substr(0, pid.find_first_not_of("0123456789"));
  return pid.empty() ? "another process" : fmt::format("process {}", pid);
}

}  // namespace

Result<std::unique_ptr<DirectoryDisk>> DirectoryDisk::open_directory(Loop& loop, Pool& pool, std::string path) {
  Descriptor fd(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd) {
    const int error = errno;
    if (error == ENOENT) return fail(Errc::absent, fmt::format("there is no directory {}", path));
    return io_error(error, "open the directory", path);
  }
  return std::unique_ptr<DirectoryDisk>(new DirectoryDisk(loop, pool, std::move(path), std::move(fd)));
}

Result<> DirectoryDisk::lock() {
  if (lock_) return {};
  const std::string path = path_of(kLockName);
  Descriptor fd(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!fd) return io_error(errno, "open", path);
  // Of the open file, not of the process: closing another descriptor of the same file doesn't lose it.
  struct flock all {};
  all.l_type = F_WRLCK;
  all.l_whence = SEEK_SET;
  if (::fcntl(fd.get(), F_OFD_SETLK, &all) != 0) {
    if (errno != EAGAIN && errno != EACCES) return io_error(errno, "lock", path);
    return fail(Errc::refused, fmt::format("{} is in use by {}; stop it first", path_, holder_of(fd.get())));
  }
  const std::string pid = fmt::format("{}\n", ::getpid());
  if (::ftruncate(fd.get(), 0) != 0 || ::pwrite(fd.get(), pid.data(), pid.size(), 0) < 0) {
    return io_error(errno, "write", path);
  }
  lock_ = std::move(fd);
  return {};
}

Result<std::vector<std::string>> DirectoryDisk::list() {
  std::error_code error;
  std::vector<std::string> names;
  std::filesystem::directory_iterator entry(path_, error);
  for (; !error && entry != std::filesystem::directory_iterator(); entry.increment(error)) {
    names.push_back(entry->path().filename().string());
  }
  if (error) return io_error(error.value(), "list", path_);
  std::erase(names, kLockName);
  std::sort(names.begin(), names.end());
  return names;
}

Result<Descriptor> DirectoryDisk::open_to_fill(const std::string& name, std::uint64_t bytes, bool& made) {
  const std::string path = path_of(name);
  struct stat st {};
  const bool device = ::stat(path.c_str(), &st) == 0 && S_ISBLK(st.st_mode);
  made = !device;
  // O_EXCL of a device: nothing else may have it mounted or in use.
  const int flags = O_RDWR | O_CLOEXEC | O_EXCL | (device ? 0 : O_CREAT);
  Descriptor fd(::open(path.c_str(), flags, 0600));
  if (!fd) {
    const int error = errno;
    if (device && error == EBUSY) {
      return fail(Errc::refused, fmt::format("{} is a device in use (mounted, or part of a volume); nothing was written", path));
    }
    return io_error(error, "make", path);
  }
  if (device) {
    auto size = size_of(fd.get(), path);
    if (!size) return std::unexpected(size.error());
    if (*size < bytes) {
      return fail(Errc::refused, fmt::format("{} has {} bytes, {} are needed; nothing was written", path, *size, bytes));
    }
  } else if (bytes > 0 && ::fallocate(fd.get(), 0, 0, static_cast<off_t>(bytes)) != 0 && errno != EOPNOTSUPP) {
    // Space first, in one piece if there is one; and a disk that is too small says so now, not after hours.
    const int error = errno;
    ::unlink(path.c_str());
    return io_error(error, fmt::format("allocate {} bytes for", bytes), path);
  }
  return fd;
}

runtime::Task<Result<>> DirectoryDisk::create(std::string name, std::uint64_t bytes,
                                              void (*progress)(void*, std::uint64_t), void* with) {
  if (auto ok = check_name(name); !ok) co_return ok;
  bool made = false;
  auto opened = open_to_fill(name, bytes, made);
  if (!opened) co_return std::unexpected(opened.error());
  const int fd = opened->get();
  const std::string path = path_of(name);
  int error = 0;
  for (std::uint64_t at = 0; at < bytes && error == 0;) {
    const std::uint64_t length = std::min(kZeros, bytes - at);
    const bool sync = (at + length) % kSyncEvery == 0;  // a few dirty pages at a time, and failures early
    auto write = [fd, at, length, sync] {
      const int failed = write_zeros(fd, at, length);
      return failed != 0 || !sync || ::fdatasync(fd) == 0 ? failed : errno;
    };
    error = co_await pool_.run(write);
    at += length;
    if (error == 0 && progress != nullptr) progress(with, at);
  }
  if (error == 0) {
    auto sync = [fd, directory = directory_.get()] { return ::fsync(fd) == 0 && ::fsync(directory) == 0 ? 0 : errno; };
    error = co_await pool_.run(sync);
  }
  if (error == 0) co_return Result<>();
  if (made) ::unlink(path.c_str());
  co_return io_error(error, fmt::format("write {} bytes of zeros to", bytes), path);
}

Result<> DirectoryDisk::remove(std::string_view name) {
  if (auto ok = check_name(name); !ok) return ok;
  std::error_code error;
  const std::string path = path_of(name);
  if (std::filesystem::is_block_file(path, error)) return {};
  const auto removed = std::filesystem::remove_all(path, error);
  if (error) return io_error(error.value(), "remove", path);
  if (removed == 0) return fail(Errc::absent, fmt::format("there is no {}", path));
  if (::fsync(directory_.get()) != 0) return io_error(errno, "make stable the removal from", path_);
  return {};
}

Result<std::unique_ptr<runtime::File>> DirectoryDisk::open(std::string_view name) {
  if (auto ok = check_name(name); !ok) return std::unexpected(ok.error());
  const std::string path = path_of(name);
  Descriptor fd(::open(path.c_str(), O_RDWR | O_CLOEXEC));
  if (!fd) {
    const int error = errno;
    if (error == ENOENT) return fail(Errc::absent, fmt::format("there is no {}", path));
    return io_error(error, "open", path);
  }
  auto bytes = size_of(fd.get(), path);
  if (!bytes) return std::unexpected(bytes.error());
  return std::make_unique<StoredFile>(loop_, std::move(fd), path, *bytes);
}

Result<std::unique_ptr<runtime::Mapping>> DirectoryDisk::map(std::string_view name) {
  if (auto ok = check_name(name); !ok) return std::unexpected(ok.error());
  const std::string path = path_of(name);
  Descriptor fd(::open(path.c_str(), O_RDWR | O_CLOEXEC));
  if (!fd) {
    const int error = errno;
    if (error == ENOENT) return fail(Errc::absent, fmt::format("there is no {}", path));
    return io_error(error, "open", path);
  }
  auto bytes = size_of(fd.get(), path);
  if (!bytes) return std::unexpected(bytes.error());
  return StoredMapping::make(loop_, pool_, std::move(fd), path, *bytes);
}

}  // namespace lockstep::uring
