// host_file.cc - system calls on open files.
#include <fcntl.h>

#include <algorithm>
#include <cerrno>

#include "sim/host.h"
#include "sim/storage.h"

namespace lockstep::sim {

using runtime::HostAttributes;
using runtime::HostOp;
using runtime::Task;

namespace {

constexpr std::uint64_t kWriteMax = 1 << 20;

std::unexpected<Error> error_of(const OwnedReply& reply) {
  return fail_posix(reply.error() != 0 ? reply.error() : EIO);
}

std::uint64_t size_of(const FileHandle& file) {
  const KnownInode* known = file->mount->find(file->inode);
  return known == nullptr ? 0 : known->attributes.size;
}

/// Puts what is written into the pages that are there, and makes those that it fills. The page whose lock the WRITE
/// must hold: written in part and not there.
void fill_page(KnownInode& known, std::uint64_t number, std::uint64_t from, std::string_view bytes) {
  const auto it = known.pages.find(number);
  if (it != known.pages.end() && it->second.uptodate) {
    it->second.bytes.replace(from, bytes.size(), bytes);
  } else if (bytes.size() == kPageBytes) {
    known.pages[number] = CachedPage{std::string(bytes), true, false};
  }
}

bool is_there(const KnownInode& known, std::uint64_t number) {
  const auto it = known.pages.find(number);
  return it != known.pages.end() && it->second.uptodate;
}

}  // namespace

Task<Result<HostAttributes>> Host::fstat(FileHandle file) { co_return co_await attributes(file->mount, file->inode); }

Task<Result<>> Host::close(FileHandle file) {
  const auto synced = co_await msync(file);
  Request flush;
  flush.op = HostOp::flush;
  flush.inode = file->inode;
  flush.handle = file->how.handle;
  flush.lock.owner = lock_owner_;
  co_await ask(file->mount, flush);
  Request request;
  request.op = HostOp::release;
  request.inode = file->inode;
  request.handle = file->how.handle;
  request.flags = file->flags;
  co_await ask(file->mount, request);
  if (KnownInode* known = file->mount->find(file->inode); known != nullptr && known->references > 0)
    --known->references;
  co_return synced;
}

Task<Result<std::string>> Host::page(FileHandle file, std::uint64_t number) {
  KnownInode* known = file->mount->find(file->inode);
  if (known == nullptr) co_return fail_posix(ESTALE);
  if (is_there(*known, number)) co_return known->pages[number].bytes;
  const auto lock = file->mount->page_lock(file->inode, number);
  co_await LockTurn(process_, lock, true);
  known = file->mount->find(file->inode);
  if (is_there(*known, number)) {
    lock->unlock(true);
    co_return known->pages[number].bytes;
  }
  const std::uint64_t version = known->changed_at;
  Request request;
  request.op = HostOp::read;
  request.inode = file->inode;
  request.handle = file->how.handle;
  request.flags = file->flags;
  request.offset = number * kPageBytes;
  request.size = kPageBytes;
  request.from_cache = true;
  const OwnedReply reply = co_await ask(file->mount, request);
  if (reply.bytes == nullptr) {
    lock->unlock(true);
    co_return error_of(reply);
  }
  std::string bytes = reply.bytes->substr(0, kPageBytes);
  known = file->mount->find(file->inode);
  const std::uint64_t end = request.offset + bytes.size();
  if (bytes.size() < kPageBytes && end < known->attributes.size && version == known->changed_at)
    known->attributes.size = end;
  bytes.resize(kPageBytes, '\0');
  known->pages[number] = CachedPage{bytes, true, false};
  lock->unlock(true);
  co_return bytes;
}

Task<Result<std::string>> Host::read(FileHandle file, std::uint64_t offset, std::uint64_t size) {
  if (file->how.direct) {
    const auto synced = co_await msync(file);
    if (!synced.has_value()) co_return std::unexpected(synced.error());
    Request request;
    request.op = HostOp::read;
    request.inode = file->inode;
    request.handle = file->how.handle;
    request.flags = file->flags;
    request.offset = offset;
    request.size = size;
    const OwnedReply reply = co_await ask(file->mount, request);
    if (reply.bytes == nullptr) co_return error_of(reply);
    co_return *reply.bytes;
  }
  // The size that is kept is believed unless the read goes past it.
  if (offset + size > size_of(file)) {
    const auto fresh = co_await attributes(file->mount, file->inode);
    if (!fresh.has_value()) co_return std::unexpected(fresh.error());
  }
  std::string bytes;
  while (bytes.size() < size && offset + bytes.size() < size_of(file)) {
    const std::uint64_t at = offset + bytes.size();
    const auto got = co_await page(file, at / kPageBytes);
    if (!got.has_value()) {
      if (bytes.empty()) co_return got;
      break;
    }
    const std::uint64_t end = size_of(file);
    if (at >= end) break;
    const std::uint64_t n = std::min({size - bytes.size(), kPageBytes - at % kPageBytes, end - at});
    bytes += got->substr(at % kPageBytes, n);
  }
  co_return bytes;
}

Task<Result<std::uint64_t>> Host::write_chunk(FileHandle file, std::uint64_t offset, std::string bytes) {
  const std::uint64_t end = offset + bytes.size();
  std::vector<std::shared_ptr<KernelLock>> held;
  for (std::uint64_t number = offset / kPageBytes; number * kPageBytes < end; ++number) {
    const std::uint64_t from = std::max(offset, number * kPageBytes);
    const std::uint64_t to = std::min(end, (number + 1) * kPageBytes);
    const auto lock = file->mount->page_lock(file->inode, number);
    co_await LockTurn(process_, lock, true);
    KnownInode& known = *file->mount->find(file->inode);
    if (file->how.direct) {
      if (const auto it = known.pages.find(number); it != known.pages.end() && !it->second.dirty) known.pages.erase(it);
    } else {
      fill_page(known, number, from % kPageBytes, std::string_view(bytes).substr(from - offset, to - from));
    }
    if (file->how.direct || is_there(known, number)) {
      lock->unlock(true);
    } else {
      held.push_back(lock);
    }
  }
  Request request;
  request.op = HostOp::write;
  request.inode = file->inode;
  request.handle = file->how.handle;
  request.flags = file->flags;
  request.offset = offset;
  request.size = bytes.size();
  request.data = std::as_bytes(std::span(bytes));
  const OwnedReply reply = co_await ask(file->mount, request);
  KnownInode& known = *file->mount->find(file->inode);
  const auto* count = std::get_if<runtime::CountReply>(&reply.reply);
  if (count == nullptr || count->count < bytes.size()) {
    // What did not get through is read again.
    for (std::uint64_t number = offset / kPageBytes; number * kPageBytes < end; ++number) known.pages.erase(number);
  }
  for (const auto& lock : held) lock->unlock(true);
  if (count == nullptr) co_return error_of(reply);
  file->mount->distrust(file->inode);
  known.attributes.size = std::max(known.attributes.size, offset + count->count);
  co_return count->count;
}

Task<Result<std::uint64_t>> Host::write(FileHandle file, std::uint64_t offset, std::string bytes) {
  KnownInode* known = file->mount->find(file->inode);
  if (known == nullptr) co_return fail_posix(ESTALE);
  const auto lock = known->lock;
  const bool exclusive = !(file->how.direct && file->how.parallel_direct && offset + bytes.size() <= size_of(file));
  co_await LockTurn(process_, lock, exclusive);
  if ((file->flags & O_APPEND) != 0) offset = size_of(file);
  std::uint64_t done = 0;
  Result<std::uint64_t> result = done;
  while (done < bytes.size()) {
    result = co_await write_chunk(file, offset + done, bytes.substr(done, kWriteMax));
    if (!result.has_value() || *result == 0) break;
    done += *result;
  }
  lock->unlock(exclusive);
  if (!result.has_value() && done == 0) co_return result;
  co_return done;
}

Task<Result<>> Host::store(FileHandle file, std::uint64_t offset, std::string bytes) {
  std::size_t done = 0;
  while (done < bytes.size()) {
    const std::uint64_t at = offset + done;
    const std::uint64_t number = at / kPageBytes;
    const auto got = co_await page(file, number);
    if (!got.has_value()) co_return std::unexpected(got.error());
    // It may have been dropped before we came to run: then the access faults again.
    KnownInode& known = *file->mount->find(file->inode);
    if (!is_there(known, number)) continue;
    const std::size_t n = std::min<std::size_t>(bytes.size() - done, kPageBytes - at % kPageBytes);
    known.pages[number].bytes.replace(at % kPageBytes, n, bytes, done, n);
    known.pages[number].dirty = true;
    done += n;
  }
  co_return Result<>{};
}

Task<Result<>> Host::msync(FileHandle file) {
  KnownInode* known = file->mount->find(file->inode);
  if (known == nullptr) co_return Result<>{};
  std::vector<std::uint64_t> numbers;
  for (const auto& [number, cached] : known->pages) {
    if (cached.dirty) numbers.push_back(number);
  }
  Result<> result;
  for (const std::uint64_t number : numbers) {
    const auto lock = file->mount->page_lock(file->inode, number);
    co_await LockTurn(process_, lock, true);
    const OwnedReply reply = co_await write_dirty_page(process_, file->mount, file->inode, number);
    lock->unlock(true);
    if (reply.error() != 0) result = fail_posix(reply.error());
  }
  co_return result;
}

Task<Result<>> Host::lock(FileHandle file, runtime::HostLock lock) {
  Request request;
  request.op = HostOp::setlk;
  request.inode = file->inode;
  request.handle = file->how.handle;
  request.lock = lock;
  request.lock.owner = lock_owner_;
  const OwnedReply reply = co_await ask(file->mount, request);
  if (reply.error() != 0) co_return fail_posix(reply.error());
  co_return Result<>{};
}

Task<Result<>> Host::fsync(FileHandle file, bool data_only) {
  const auto synced = co_await msync(file);
  if (!synced.has_value()) co_return synced;
  Request request;
  request.op = HostOp::fsync;
  request.inode = file->inode;
  request.handle = file->how.handle;
  request.data_only = data_only;
  const OwnedReply reply = co_await ask(file->mount, request);
  if (reply.error() != 0) co_return fail_posix(reply.error());
  co_return Result<>{};
}

}  // namespace lockstep::sim
