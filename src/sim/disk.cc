#include "sim/disk.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "core/check.h"

namespace lockstep::sim {
namespace {

constexpr std::uint64_t kCreateStepBytes = 16u << 20;

Result<> outcome(int error, std::string_view what, const StoredFile& file, ByteRange range) {
  if (error == 0) return {};
  return fail_io(error, fmt::format("{} of {} bytes at {} of {} failed: {}", what, range.length, range.offset,
                                    file.name, std::strerror(error)));
}

Duration wait_of(Storage& storage, Duration low, Duration high) {
  return storage.prng().between(low, high) + storage.weather.slow;
}

runtime::Task<Result<>> sync_file(Process& process, Storage& storage, std::shared_ptr<StoredFile> file,
                                  ByteRange range) {
  const SyncCopy copy = storage.begin_sync(*file, range);
  co_await process.delay(wait_of(storage, storage.weather.sync_min, storage.weather.sync_max));
  co_return outcome(storage.end_sync(*file, copy), "sync", *file, range);
}

class SimFile final : public runtime::File {
 public:
  SimFile(Process& process, Storage& storage, std::shared_ptr<StoredFile> file)
      : process_(process), storage_(storage), file_(std::move(file)) {}

  [[nodiscard]] std::uint64_t bytes() const override { return file_->bytes; }

  std::optional<Result<>> try_read(std::uint64_t offset, MutableBytes into) override {
    if (storage_.prng().chance(storage_.weather.miss_permille)) return std::nullopt;
    return outcome(storage_.read(*file_, offset, into), "read", *file_, {offset, into.size()});
  }

  runtime::Task<Result<>> read(std::uint64_t offset, MutableBytes into) override {
    co_await process_.delay(wait_of(storage_, storage_.weather.read_min, storage_.weather.read_max));
    co_return outcome(storage_.read(*file_, offset, into), "read", *file_, {offset, into.size()});
  }

  Result<> write_now(std::uint64_t offset, std::span<const Bytes> parts) override {
    std::uint64_t length = 0;
    for (const Bytes part : parts) length += part.size();
    return outcome(storage_.write(process_, *file_, offset, parts), "write", *file_, {offset, length});
  }

  void start_write_back(ByteRange range) override {
    CHECK(range.end() <= file_->bytes);
    if (process_.alive()) storage_.write_back(*file_, range);
  }

  runtime::Task<Result<>> sync(ByteRange range) override { return sync_file(process_, storage_, file_, range); }

 private:
  Process& process_;
  Storage& storage_;
  std::shared_ptr<StoredFile> file_;
};

class SimMapping final : public runtime::Mapping {
 public:
  SimMapping(Process& process, Storage& storage, std::shared_ptr<StoredFile> file)
      : process_(process), storage_(storage), file_(std::move(file)), pages_(file_->visible) {}

  MutableBytes bytes() override { return {pages_->data(), file_->bytes}; }

  runtime::Task<Result<>> prepare(ByteRange range) override {
    CHECK(range.end() <= file_->bytes);
    for (const ByteRange& bad : file_->unreadable) {
      if (bad.offset < range.end() && range.offset < bad.end()) co_return outcome(EIO, "read", *file_, range);
    }
    if (storage_.prng().chance(storage_.weather.miss_permille)) {
      co_await process_.delay(wait_of(storage_, storage_.weather.read_min, storage_.weather.read_max));
    }
    co_return Result<>{};
  }

  runtime::Task<Result<>> sync(ByteRange range) override { return sync_file(process_, storage_, file_, range); }

 private:
  Process& process_;
  Storage& storage_;
  std::shared_ptr<StoredFile> file_;
  std::shared_ptr<Pages> pages_;
};

}  // namespace

SimDisk::~SimDisk() {
  if (storage_.holder() == &process_) storage_.set_holder(nullptr);
}

Result<> SimDisk::lock() {
  if (storage_.holder() != nullptr && storage_.holder() != &process_) {
    return fail(Errc::refused, fmt::format("{} is in use by {}: stop it first", where(), storage_.holder()->name()));
  }
  if (process_.alive()) storage_.set_holder(&process_);
  return {};
}

Result<std::vector<std::string>> SimDisk::list() {
  std::vector<std::string> names;
  for (const auto& [name, file] : storage_.files()) names.push_back(name);
  return names;
}

runtime::Task<Result<>> SimDisk::create(std::string name, std::uint64_t bytes, void (*progress)(void*, std::uint64_t),
                                        void* with) {
  if (storage_.has(name)) co_return fail_io(EEXIST, fmt::format("{} exists already in {}", name, where()));
  if (storage_.weather.full) {
    co_return fail_io(ENOSPC, fmt::format("no room for {} bytes of {} in {}", bytes, name, where()));
  }
  const auto file = std::make_shared<StoredFile>(name, bytes);
  file->bytes = 0;
  if (process_.alive()) storage_.files().emplace(name, file);
  while (file->bytes < bytes) {
    co_await process_.delay(wait_of(storage_, storage_.weather.sync_min, storage_.weather.sync_max));
    file->bytes += std::min(bytes - file->bytes, kCreateStepBytes);
    if (progress != nullptr) progress(with, file->bytes);
  }
  co_await process_.delay(wait_of(storage_, storage_.weather.sync_min, storage_.weather.sync_max));
  co_return Result<>{};
}

Result<> SimDisk::remove(std::string_view name) {
  const auto it = storage_.files().find(name);
  if (it == storage_.files().end()) return fail(Errc::absent, fmt::format("no file {} in {}", name, where()));
  if (process_.alive()) storage_.files().erase(it);
  return {};
}

Result<std::unique_ptr<runtime::File>> SimDisk::open(std::string_view name) {
  const auto it = storage_.files().find(name);
  if (it == storage_.files().end()) return fail(Errc::absent, fmt::format("no file {} in {}", name, where()));
  return std::make_unique<SimFile>(process_, storage_, it->second);
}

Result<std::unique_ptr<runtime::Mapping>> SimDisk::map(std::string_view name) {
  const auto it = storage_.files().find(name);
  if (it == storage_.files().end()) return fail(Errc::absent, fmt::format("no file {} in {}", name, where()));
  it->second->mapped = true;
  for (std::uint64_t page = 0; page * kPageBytes < it->second->bytes; ++page) it->second->touched.insert(page);
  it->second->mapped_by.insert(&process_);
  return std::make_unique<SimMapping>(process_, storage_, it->second);
}

}  // namespace lockstep::sim
