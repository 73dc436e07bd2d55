#include "uring/key_files.h"

#include <rocksdb/file_system.h>

#include <algorithm>
#include <utility>

namespace lockstep::uring {
namespace {

using rocksdb::FileOptions;
using rocksdb::FSWritableFile;
using rocksdb::IODebugContext;
using rocksdb::IOOptions;
using rocksdb::IOStatus;
using rocksdb::Slice;

/// So much is given at least: an append is up to 1 MiB, and the file system writes something beside it.
constexpr std::uint64_t kPieceBytes = 1 << 20;
constexpr std::uint64_t kBesideBytes = 256 << 10;

/// Not for tables.
constexpr std::uint64_t kRestBytes = 4 << 20;

std::uint64_t rest_for(const std::string& name) { return name.ends_with(".sst") ? kRestBytes : 0; }

/// Does what `what` does, with room from `spare` where there is none; `rest` is left there.
template <class F>
IOStatus with_room(SpareRoom& spare, std::uint64_t bytes, std::uint64_t rest, F what) {
  IOStatus done = what();
  while (done.IsNoSpace() && spare.give(std::max(bytes, kPieceBytes) + kBesideBytes, rest)) done = what();
  return done;
}

class RoomyFile final : public rocksdb::FSWritableFileOwnerWrapper {
 public:
  RoomyFile(std::unique_ptr<FSWritableFile>&& file, std::shared_ptr<SpareRoom> spare, std::uint64_t rest)
      : FSWritableFileOwnerWrapper(std::move(file)), spare_(std::move(spare)), rest_(rest) {}

  IOStatus Append(const Slice& data, const IOOptions& options, IODebugContext* debug) override {
    const IOStatus room = have_room(data.size(), options, debug);
    return room.ok() ? target()->Append(data, options, debug) : room;
  }
  IOStatus Append(const Slice& data, const IOOptions& options, const rocksdb::DataVerificationInfo& sums, IODebugContext* debug) override {
    const IOStatus room = have_room(data.size(), options, debug);
    return room.ok() ? target()->Append(data, options, sums, debug) : room;
  }

 private:
  /// An append that stopped half way could not be tried again: what it needs is there before it begins.
  IOStatus have_room(std::uint64_t bytes, const IOOptions& options, IODebugContext* debug) {
    if (bytes == 0) return IOStatus::OK();
    const std::uint64_t end = target()->GetFileSize(options, debug);
    const IOStatus room = with_room(*spare_, bytes, rest_, [&] { return target()->Allocate(end, bytes, options, debug); });
    // What can't be allocated ahead, or not now, is written as it is; the append says what is wrong.
    return room.IsNoSpace() ? room : IOStatus::OK();
  }

  const std::shared_ptr<SpareRoom> spare_;
  const std::uint64_t rest_;
};

class RoomyFiles final : public rocksdb::FileSystemWrapper {
 public:
  explicit RoomyFiles(std::shared_ptr<SpareRoom> spare)
      : FileSystemWrapper(rocksdb::FileSystem::Default()), spare_(std::move(spare)) {}

  [[nodiscard]] const char* Name() const override { return "LockstepKeyFiles"; }

  IOStatus NewWritableFile(const std::string& name, const FileOptions& options, std::unique_ptr<FSWritableFile>* file,
                           IODebugContext* debug) override {
    return roomy(name, file, with_room(*spare_, 0, rest_for(name), [&] { return target()->NewWritableFile(name, options, file, debug); }));
  }
  IOStatus ReopenWritableFile(const std::string& name, const FileOptions& options, std::unique_ptr<FSWritableFile>* file,
                              IODebugContext* debug) override {
    return roomy(name, file, with_room(*spare_, 0, rest_for(name), [&] { return target()->ReopenWritableFile(name, options, file, debug); }));
  }
  IOStatus ReuseWritableFile(const std::string& name, const std::string& old_name, const FileOptions& options,
                             std::unique_ptr<FSWritableFile>* file, IODebugContext* debug) override {
    return roomy(name, file, with_room(*spare_, 0, rest_for(name), [&] { return target()->ReuseWritableFile(name, old_name, options, file, debug); }));
  }
  IOStatus RenameFile(const std::string& from, const std::string& to, const IOOptions& options, IODebugContext* debug) override {
    return with_room(*spare_, 0, 0, [&] { return target()->RenameFile(from, to, options, debug); });
  }

 private:
  IOStatus roomy(const std::string& name, std::unique_ptr<FSWritableFile>* file, IOStatus opened) {
    if (opened.ok()) *file = std::make_unique<RoomyFile>(std::move(*file), spare_, rest_for(name));
    return opened;
  }

  const std::shared_ptr<SpareRoom> spare_;
};

}  // namespace

std::unique_ptr<rocksdb::Env> files_with_room(std::shared_ptr<SpareRoom> spare) {
  return rocksdb::NewCompositeEnv(std::make_shared<RoomyFiles>(std::move(spare)));
}

}  // namespace lockstep::uring
