// storage.h - the open files and mappings of a DirectoryDisk; private to this layer.
#pragma once

#include <boost/interprocess/mapped_region.hpp>
#include <memory>
#include <string>

#include "runtime/disk.h"
#include "uring/descriptor.h"
#include "uring/loop.h"
#include "uring/pool.h"

namespace lockstep::uring {

/// The kernel keeps what one call writes in as few folios as it can, and goes through all blocks of a folio, one by one, at each later write to
/// it: 22 us for 4 KiB where 1 MiB was written before, 7 where that was done in pieces of 64 KiB, at the same speed.
inline constexpr std::uint64_t kPieceBytes = 64 << 10;

/// Error of call `what` on `path`, from errno.
std::unexpected<Error> io_error(int number, std::string_view what, const std::string& path);

/// Size of a regular file or block device. Errc::refused: it is something else.
Result<std::uint64_t> size_of(int fd, const std::string& path);

class StoredFile final : public runtime::File {
 public:
  StoredFile(Loop& loop, Descriptor fd, std::string path, std::uint64_t bytes)
      : loop_(loop), fd_(std::move(fd)), path_(std::move(path)), bytes_(bytes) {}
  ~StoredFile() override;
  [[nodiscard]] std::uint64_t bytes() const override { return bytes_; }
  [[nodiscard]] std::optional<Result<>> try_read(std::uint64_t offset, MutableBytes into) override;
  runtime::Task<Result<>> read(std::uint64_t offset, MutableBytes into) override;
  [[nodiscard]] Result<> write_now(std::uint64_t offset, std::span<const Bytes> parts) override;
  void start_write_back(ByteRange range) override;
  runtime::Task<Result<>> sync(ByteRange range) override;

 private:
  [[nodiscard]] Result<> inside(std::uint64_t offset, std::uint64_t length, std::string_view what) const;

  Loop& loop_;
  Descriptor fd_;
  std::string path_;
  std::uint64_t bytes_;
};

class StoredMapping final : public runtime::Mapping {
 public:
  static Result<std::unique_ptr<runtime::Mapping>> make(Loop& loop, Pool& pool, Descriptor fd, std::string path,
                                                        std::uint64_t bytes);
  ~StoredMapping() override;
  [[nodiscard]] MutableBytes bytes() override {
    return {static_cast<std::byte*>(region_.get_address()), region_.get_size()};
  }
  runtime::Task<Result<>> prepare(ByteRange range) override;
  runtime::Task<Result<>> sync(ByteRange range) override;

 private:
  /// A piece that was seen in memory at `when`.
  struct Seen {
    std::uint64_t piece = ~std::uint64_t{0};
    Instant when{};
  };

  StoredMapping(Loop& loop, Pool& pool, Descriptor fd, std::string path, boost::interprocess::mapped_region region);
  [[nodiscard]] bool resident(ByteRange range);

  Loop& loop_;
  Pool& pool_;
  Descriptor fd_;
  std::string path_;
  boost::interprocess::mapped_region region_;
  bool locked_ = false;
  std::vector<Seen> seen_;
};

}  // namespace lockstep::uring
