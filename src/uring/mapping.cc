#include <fmt/format.h>
#include <fcntl.h>
#include <linux/mman.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <boost/interprocess/exceptions.hpp>
#include <boost/interprocess/file_mapping.hpp>
#include <cerrno>
#include <cstring>

#include "uring/ring_call.h"
#include "uring/storage.h"

namespace lockstep::uring {
namespace {

namespace ipc = boost::interprocess;

constexpr std::uint64_t kLockedMax = 64 << 20;
constexpr std::uint64_t kPage = 4096;
constexpr std::uint64_t kPiece = 64 << 10;
constexpr std::size_t kPiecesSeen = 1024;
// What was in memory a moment ago is hardly gone; if it is, the store waits for the medium once.
constexpr Duration kStaysFor = std::chrono::seconds(1);

/// Makes the page cache hold `fd` in single pages. What was written or read in one piece may lie there in folios of up to 2 MiB, and
/// ext4 writes a whole folio back when a mapping stored a byte in it. Best effort: it is a matter of speed.
void keep_in_single_pages(int fd) {
  (void)::fdatasync(fd);  // what is dirty can't be dropped
  (void)::posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
}

}  // namespace

StoredMapping::StoredMapping(Loop& loop, Pool& pool, Descriptor fd, std::string path, ipc::mapped_region region)
    : loop_(loop), pool_(pool), fd_(std::move(fd)), path_(std::move(path)), region_(std::move(region)) {}

StoredMapping::~StoredMapping() = default;

Result<std::unique_ptr<runtime::Mapping>> StoredMapping::make(Loop& loop, Pool& pool, Descriptor fd, std::string path,
                                                              std::uint64_t bytes) {
  if (bytes == 0) return fail_io(EINVAL, fmt::format("cannot map {}: it is empty", path));
  keep_in_single_pages(fd.get());
  // Reads ahead page by page, which faults would not.
  if (bytes <= kLockedMax) (void)::posix_fadvise(fd.get(), 0, static_cast<off_t>(bytes), POSIX_FADV_WILLNEED);
  ipc::mapped_region region;
  try {
    const ipc::file_mapping file(path.c_str(), ipc::read_write);
    region = ipc::mapped_region(file, ipc::read_write, 0, bytes);
  } catch (const ipc::interprocess_exception& e) {
    return io_error(e.get_native_error(), "map", path);
  }
  // NOLINTNEXTLINE: the constructor is private
  std::unique_ptr<StoredMapping> mapping(
      new StoredMapping(loop, pool, std::move(fd), std::move(path), std::move(region)));
  const MutableBytes memory = mapping->bytes();
  ::madvise(memory.data(), memory.size(), MADV_RANDOM);
  if (bytes <= kLockedMax) {
    mapping->locked_ = ::mlock(memory.data(), memory.size()) == 0;
    // Best effort: where it fails, prepare() loads.
    if (!mapping->locked_) ::madvise(memory.data(), memory.size(), MADV_POPULATE_READ);
  }
  if (!mapping->locked_) mapping->seen_.resize(kPiecesSeen);
  return mapping;
}

bool StoredMapping::resident(ByteRange range) {
  std::array<unsigned char, kPiece / kPage> pages{};
  ++loop_.statistics().others;
  const std::size_t count = (range.length + kPage - 1) / kPage;
  if (::mincore(bytes().data() + range.offset, range.length, pages.data()) != 0) return false;
  return std::all_of(pages.begin(), pages.begin() + static_cast<std::ptrdiff_t>(count),
                     [](unsigned char page) { return (page & 1) != 0; });
}

runtime::Task<Result<>> StoredMapping::prepare(ByteRange range) {
  const std::uint64_t size = bytes().size();
  if (range.offset > size || range.length > size - range.offset) {
    co_return fail_io(EINVAL, fmt::format("{} bytes at {} lie outside of {}", range.length, range.offset, path_));
  }
  if (locked_ || range.empty()) co_return Result<>();
  const Instant now = Loop::now();
  for (std::uint64_t piece = range.offset / kPiece; piece * kPiece < range.end(); ++piece) {
    const Seen& seen = seen_[piece % kPiecesSeen];
    if (seen.piece == piece && now - seen.when < kStaysFor) continue;
    const ByteRange whole{piece * kPiece, std::min(kPiece, size - piece * kPiece)};
    if (!resident(whole)) {
      std::byte* const from = bytes().data() + whole.offset;
      auto populate = [from, length = whole.length] {
        return ::madvise(from, length, MADV_POPULATE_READ) == 0 ? 0 : errno;
      };
      const int error = co_await pool_.run(populate);
      if (error != 0) co_return io_error(error, fmt::format("read at {} of", whole.offset), path_);
    }
    seen_[piece % kPiecesSeen] = Seen{piece, now};
  }
  co_return Result<>();
}

runtime::Task<Result<>> StoredMapping::sync(ByteRange range) {
  if (range.empty()) co_return Result<>();
  for (;;) {
    RingCall call(loop_, RingRequest::data_sync(fd_.get(), range));
    const int n = co_await call;
    if (n == -EINTR) continue;
    if (n < 0) co_return io_error(-n, "make stable what was stored to", path_);
    co_return Result<>();
  }
}

}  // namespace lockstep::uring
