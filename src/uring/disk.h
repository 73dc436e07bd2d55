// disk.h - a directory as the storage of a site.
//
// What runs where (4 KiB, ext4): write_now is an inline pwritev into blocks that were written before (9 us; through the
// ring ext4 and block devices always hand it to a worker: 84 us). try_read is an inline preadv2(RWF_NOWAIT). read and
// sync are calls of the ring; several syncs may be under way side by side.
//
// A file may be a symbolic link to a block device.
//
// A mapping of up to 64 MiB is locked in memory if the limit (RLIMIT_MEMLOCK) allows it, and prepare() then costs nothing.
// Of a larger one prepare() asks the kernel (mincore) once a second for each 64 KiB, and loads what is missing on the
// pool. sync() of a mapping is the fdatasync of its file: a shared mapping's pages are the file's pages, and the first
// store into a clean one told the kernel that it is dirty.
#pragma once

#include <memory>
#include <string>

#include "runtime/disk.h"
#include "uring/descriptor.h"
#include "uring/loop.h"
#include "uring/pool.h"

namespace lockstep::uring {

class DirectoryDisk final : public runtime::Disk {
 public:
  /// The directory must exist. Errc::absent, Errc::io.
  static Result<std::unique_ptr<DirectoryDisk>> open_directory(Loop& loop, Pool& pool, std::string path);

  [[nodiscard]] std::string where() const override { return path_; }
  /// An OFD lock on the file `lock`, in which the holder's process id stands.
  Result<> lock() override;
  /// The file `lock` is left out.
  Result<std::vector<std::string>> list() override;
  /// A name that is a link to a block device counts as absent: the device's first `bytes` are overwritten. Errc::refused:
  /// the device is mounted or too small.
  runtime::Task<Result<>> create(std::string name, std::uint64_t bytes, void (*progress)(void*, std::uint64_t),
                                 void* with) override;
  /// A directory is removed with everything in it; of a link only the link; a link to a block device stays.
  Result<> remove(std::string_view name) override;
  Result<std::unique_ptr<runtime::File>> open(std::string_view name) override;
  Result<std::unique_ptr<runtime::Mapping>> map(std::string_view name) override;

 private:
  DirectoryDisk(Loop& loop, Pool& pool, std::string path, Descriptor directory)
      : loop_(loop), pool_(pool), path_(std::move(path)), directory_(std::move(directory)) {}
  [[nodiscard]] std::string path_of(std::string_view name) const { return path_ + "/" + std::string(name); }
  Result<Descriptor> open_to_fill(const std::string& name, std::uint64_t bytes, bool& made);

  Loop& loop_;
  Pool& pool_;
  std::string path_;
  Descriptor directory_;
  Descriptor lock_;
};

}  // namespace lockstep::uring
