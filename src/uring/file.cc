#include <fmt/format.h>
#include <linux/fs.h>
#include <liburing.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/uio.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "core/check.h"
#include "uring/ring_call.h"
#include "uring/storage.h"

namespace lockstep::uring {
namespace {

constexpr Duration kSlowWrite = std::chrono::milliseconds(2);
constexpr std::size_t kPartsAtOnce = 64;

}  // namespace

std::unexpected<Error> io_error(int number, std::string_view what, const std::string& path) {
  return fail_io(number, fmt::format("cannot {} {}: {}", what, path, std::strerror(number)));
}

Result<std::uint64_t> size_of(int fd, const std::string& path) {
  struct stat st {};
  if (::fstat(fd, &st) != 0) return io_error(errno, "look at", path);
  if (S_ISREG(st.st_mode)) return static_cast<std::uint64_t>(st.st_size);
  if (!S_ISBLK(st.st_mode)) return fail(Errc::refused, path + " is neither a file nor a block device");
  std::uint64_t bytes = 0;
  if (::ioctl(fd, BLKGETSIZE64, &bytes) != 0) return io_error(errno, "ask for the size of", path);
  return bytes;
}

StoredFile::~StoredFile() { loop_.submit(); }  // a write-back that was asked for names the descriptor

Result<> StoredFile::inside(std::uint64_t offset, std::uint64_t length, std::string_view what) const {
  if (offset <= bytes_ && length <= bytes_ - offset) return {};
  return fail_io(EIO, fmt::format("cannot {} {} bytes at {} of {}: it has {} bytes", what, length, offset, path_, bytes_));
}

std::optional<Result<>> StoredFile::try_read(std::uint64_t offset, MutableBytes into) {
  if (auto ok = inside(offset, into.size(), "read"); !ok) return ok;
  while (!into.empty()) {
    const iovec part{into.data(), into.size()};
    ++loop_.statistics().reads;
    const ssize_t n = ::preadv2(fd_.get(), &part, 1, static_cast<off_t>(offset), RWF_NOWAIT);
    if (n > 0 && static_cast<std::size_t>(n) == into.size()) return Result<>();
    if (n > 0) {  // the rest may be there too, or not: the next call tells
      into = into.subspan(static_cast<std::size_t>(n));
      offset += static_cast<std::uint64_t>(n);
      continue;
    }
    if (n == 0) return io_error(EIO, fmt::format("read at {} of (it has become shorter)", offset), path_);
    if (errno == EINTR) continue;
    if (errno == EAGAIN || errno == EOPNOTSUPP) return std::nullopt;
    return io_error(errno, fmt::format("read at {} of", offset), path_);
  }
  return Result<>();
}

runtime::Task<Result<>> StoredFile::read(std::uint64_t offset, MutableBytes into) {
  if (auto ok = inside(offset, into.size(), "read"); !ok) co_return ok;
  while (!into.empty()) {
    RingCall call(loop_, RingRequest::read(fd_.get(), offset, into));
    const int n = co_await call;
    if (n == -EINTR || n == -EAGAIN) continue;
    if (n < 0) co_return io_error(-n, fmt::format("read at {} of", offset), path_);
    if (n == 0) co_return io_error(EIO, fmt::format("read at {} of (it has become shorter)", offset), path_);
    into = into.subspan(static_cast<std::size_t>(n));
    offset += static_cast<std::uint64_t>(n);
  }
  co_return Result<>();
}

Result<> StoredFile::write_now(std::uint64_t offset, std::span<const Bytes> parts) {
  std::uint64_t length = 0;
  for (const Bytes part : parts) length += part.size();
  if (auto ok = inside(offset, length, "write"); !ok) return ok;
  const Instant start = Loop::now();
  std::array<iovec, kPartsAtOnce> vectors;
  std::size_t skip = 0;  // bytes of parts.front() that were written already
  while (!parts.empty()) {
    int count = 0;
    std::uint64_t room = kPieceBytes - offset % kPieceBytes;
    for (const Bytes part : parts.first(std::min(parts.size(), vectors.size()))) {
      const std::size_t from = count == 0 ? skip : 0;
      const std::size_t bytes = std::min(part.size() - from, room);
      vectors[count++] = {const_cast<std::byte*>(part.data()) + from, bytes};
      room -= bytes;
      if (room == 0) break;
    }
    ++loop_.statistics().writes;
    const ssize_t n = ::pwritev(fd_.get(), vectors.data(), count, static_cast<off_t>(offset));
    if (n < 0) {
      if (errno == EINTR) continue;
      return io_error(errno, fmt::format("write at {} of", offset), path_);
    }
    offset += static_cast<std::uint64_t>(n);
    std::size_t done = skip + static_cast<std::size_t>(n);
    while (!parts.empty() && done >= parts.front().size()) {
      done -= parts.front().size();
      parts = parts.subspan(1);
    }
    skip = done;
    if (n == 0 && !parts.empty()) return io_error(EIO, fmt::format("write at {} of", offset), path_);
  }
  if (Loop::now() - start > kSlowWrite) ++loop_.statistics().slow_writes;
  return {};
}

void StoredFile::start_write_back(ByteRange range) {
  // The kernel takes 32 bits of length. Nobody waits for the result: what fails to be written fails the next sync.
  constexpr std::uint64_t kPiece = std::uint64_t{1} << 30;
  while (!range.empty()) {
    const auto length = static_cast<unsigned>(std::min(range.length, kPiece));
    io_uring_sqe* const sqe = loop_.prepare(nullptr);
    io_uring_prep_sync_file_range(sqe, fd_.get(), length, range.offset, SYNC_FILE_RANGE_WRITE);
    io_uring_sqe_set_data(sqe, nullptr);
    range = ByteRange{range.offset + length, range.length - length};
  }
}

runtime::Task<Result<>> StoredFile::sync(ByteRange range) {
  if (range.empty()) co_return Result<>();
  for (;;) {
    RingCall call(loop_, RingRequest::data_sync(fd_.get(), range));
    const int n = co_await call;
    if (n == -EINTR) continue;
    if (n < 0) co_return io_error(-n, "make stable what was written to", path_);
    co_return Result<>();
  }
}

}  // namespace lockstep::uring
