#include "uring/memory_disk.h"

#include <fmt/format.h>
#include <sys/mman.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace lockstep::uring {

using runtime::Task;

/// Pages come when they are first written.
class MemoryDisk::Memory {
 public:
  /// Errc::io (ENOMEM).
  static Result<std::shared_ptr<Memory>> make(std::uint64_t bytes, bool keeps) {
    void* const at = ::mmap(nullptr, std::max<std::uint64_t>(bytes, 1), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (at == MAP_FAILED) return fail_io(errno, fmt::format("no address space for {} bytes: {}", bytes, std::strerror(errno)));
    return std::make_shared<Memory>(static_cast<std::byte*>(at), bytes, keeps);
  }
  Memory(std::byte* at, std::uint64_t bytes, bool keeps) : at_(at), bytes_(bytes), keeps_(keeps) {}
  ~Memory() { ::munmap(at_, std::max<std::uint64_t>(bytes_, 1)); }
  Memory(const Memory&) = delete;
  [[nodiscard]] MutableBytes bytes() const { return {at_, bytes_}; }
  [[nodiscard]] bool keeps() const { return keeps_; }

 private:
  std::byte* const at_;
  const std::uint64_t bytes_;
  const bool keeps_;
};

class MemoryDisk::OpenFile final : public runtime::File {
 public:
  explicit OpenFile(std::shared_ptr<Memory> memory) : memory_(std::move(memory)) {}
  [[nodiscard]] std::uint64_t bytes() const override { return memory_->bytes().size(); }
  [[nodiscard]] std::optional<Result<>> try_read(std::uint64_t offset, MutableBytes into) override {
    if (offset > bytes() || into.size() > bytes() - offset) return fail_io(EINVAL, "a read behind the end of a file in memory");
    if (memory_->keeps()) {
      std::ranges::copy(memory_->bytes().subspan(offset, into.size()), into.begin());
    } else {
      std::ranges::fill(into, std::byte{0});
    }
    return Result<>{};
  }
  Task<Result<>> read(std::uint64_t offset, MutableBytes into) override { co_return *try_read(offset, into); }
  [[nodiscard]] Result<> write_now(std::uint64_t offset, std::span<const Bytes> parts) override {
    for (const Bytes part : parts) {
      if (offset > bytes() || part.size() > bytes() - offset) return fail_io(EINVAL, "a write behind the end of a file in memory");
      if (memory_->keeps()) std::ranges::copy(part, memory_->bytes().begin() + static_cast<std::ptrdiff_t>(offset));
      offset += part.size();
    }
    return {};
  }
  void start_write_back(ByteRange) override {}
  Task<Result<>> sync(ByteRange) override { co_return Result<>{}; }

 private:
  std::shared_ptr<Memory> memory_;
};

class MemoryDisk::OpenMapping final : public runtime::Mapping {
 public:
  explicit OpenMapping(std::shared_ptr<Memory> memory) : memory_(std::move(memory)) {}
  [[nodiscard]] MutableBytes bytes() override { return memory_->bytes(); }
  Task<Result<>> prepare(ByteRange) override { co_return Result<>{}; }
  Task<Result<>> sync(ByteRange) override { co_return Result<>{}; }

 private:
  std::shared_ptr<Memory> memory_;
};

Result<std::vector<std::string>> MemoryDisk::list() {
  std::vector<std::string> names;
  for (const auto& [name, memory] : files_) names.push_back(name);
  return names;
}

Task<Result<>> MemoryDisk::create(std::string name, std::uint64_t bytes, void (*progress)(void*, std::uint64_t), void* with) {
  if (files_.contains(name)) co_return fail_io(EEXIST, fmt::format("{}: {} is there already", where_, name));
  Result<std::shared_ptr<Memory>> memory = Memory::make(bytes, !keep_nothing_.contains(name));
  if (!memory) co_return std::unexpected(memory.error());
  files_.emplace(std::move(name), std::move(*memory));
  if (progress != nullptr) progress(with, bytes);
  co_return Result<>{};
}

Result<> MemoryDisk::remove(std::string_view name) {
  const auto it = files_.find(name);
  if (it == files_.end()) return fail(Errc::absent, fmt::format("{} has no {}", where_, name));
  files_.erase(it);
  return {};
}

Result<std::shared_ptr<MemoryDisk::Memory>> MemoryDisk::find(std::string_view name) {
  const auto it = files_.find(name);
  if (it == files_.end()) return fail(Errc::absent, fmt::format("{} has no {}", where_, name));
  return it->second;
}

Result<std::unique_ptr<runtime::File>> MemoryDisk::open(std::string_view name) {
  Result<std::shared_ptr<Memory>> memory = find(name);
  if (!memory) return std::unexpected(memory.error());
  return std::make_unique<OpenFile>(std::move(*memory));
}

Result<std::unique_ptr<runtime::Mapping>> MemoryDisk::map(std::string_view name) {
  Result<std::shared_ptr<Memory>> memory = find(name);
  if (!memory) return std::unexpected(memory.error());
  return std::make_unique<OpenMapping>(std::move(*memory));
}

}  // namespace lockstep::uring
