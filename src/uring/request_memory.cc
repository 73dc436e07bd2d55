#include "uring/request_memory.h"

#include <atomic>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <utility>
#include <vector>

#include "core/check.h"
#include "uring/fuse_protocol.h"

namespace lockstep::uring {
namespace {

constexpr std::size_t kPage = 4096;
/// Page before the data, for the header; the data; and what a request with names may have behind it.
constexpr std::size_t kLargeBytes = kPage + kTransferBytesMax + kPage;
/// Where a request begins, so that the data of a WRITE begins at the next page.
constexpr std::size_t kLead = kPage - kWriteHeaderBytes;
constexpr std::size_t kClassBytes[] = {512, 2 * kPage, 17 * kPage, 65 * kPage, kLargeBytes};
constexpr std::size_t kClasses = std::size(kClassBytes);
/// Requests up to this length have no data that wants a page of its own.
constexpr std::size_t kNoDataBytes = kClassBytes[0];
/// Free buffers of a class that are kept.
constexpr std::size_t kKeptFree[kClasses] = {256, 128, 16, 8, 8};

std::size_t class_for(std::size_t length) {
  if (length <= kNoDataBytes) return 0;
  std::size_t c = 1;
  while (kLead + length > kClassBytes[c]) ++c;
  return c;
}

}  // namespace

/// Free memory by class; outlives RequestMemory as long as a lease does.
struct RequestMemory::Pool {
  Pool(std::size_t limit, std::size_t more, std::function<void()> f)
      : bytes_max(limit), reserve(more), room_again(std::move(f)) {}
  ~Pool() {
    for (auto& list : free_) {
      for (std::byte* p : list) std::free(p);
    }
  }
  std::byte* allocate(std::size_t c) {
    {
      const std::scoped_lock lock(mutex);
      if (!free_[c].empty()) {
        std::byte* p = free_[c].back();
        free_[c].pop_back();
        return p;
      }
    }
    auto* p = static_cast<std::byte*>(std::aligned_alloc(c == 0 ? 64 : kPage, kClassBytes[c]));
    CHECK(p != nullptr);
    return p;
  }
  void give_back(std::size_t c, std::byte* p) {
    const std::scoped_lock lock(mutex);
    if (free_[c].size() < kKeptFree[c]) {
      free_[c].push_back(p);
    } else {
      std::free(p);
    }
  }
  [[nodiscard]] bool full(bool with_reserve) const { return leased >= bytes_max + (with_reserve ? reserve : 0); }
  void lease_ended(std::size_t bytes) {
    leased -= bytes;
    if (!starving.exchange(false)) return;
    const std::scoped_lock lock(mutex);
    if (room_again) room_again();
  }

  const std::size_t bytes_max, reserve;
  std::atomic<std::size_t> leased = 0;
  std::atomic<bool> starving = false;
  std::mutex mutex;
  std::function<void()> room_again;
  std::vector<std::byte*> free_[kClasses];
};

class RequestMemory::Held final : public runtime::Lease {
 public:
  Held(std::shared_ptr<Pool> pool, std::size_t c, std::byte* p) : pool_(std::move(pool)), class_(c), memory_(p) {
    pool_->leased += kClassBytes[class_];
  }
  ~Held() override {
    pool_->give_back(class_, memory_);
    pool_->lease_ended(kClassBytes[class_]);
  }

 private:
  std::shared_ptr<Pool> pool_;
  std::size_t class_;
  std::byte* memory_;
};

RequestMemory::RequestMemory(std::size_t bytes_max, std::size_t reserve, std::function<void()> room_again)
    : pool_(std::make_shared<Pool>(bytes_max, reserve, std::move(room_again))) {}

RequestMemory::~RequestMemory() {
  if (next_ != nullptr) pool_->give_back(kClasses - 1, next_);
  const std::scoped_lock lock(pool_->mutex);
  pool_->room_again = nullptr;
}

std::byte* RequestMemory::next(bool with_reserve) {
  if (pool_->full(with_reserve)) {
    pool_->starving = true;
    if (pool_->full(with_reserve)) return nullptr;  // looked again: the last lease may have ended in between
  }
  if (next_ == nullptr) next_ = pool_->allocate(kClasses - 1);
  return next_ + kLead;
}

std::size_t RequestMemory::room() { return kLargeBytes - kLead; }

RequestMemory::Request RequestMemory::take(std::size_t length) {
  CHECK(next_ != nullptr && length <= room());
  const std::size_t c = class_for(length);
  if (c == kClasses - 1) {
    std::byte* large = std::exchange(next_, nullptr);
    return Request{large + kLead, length, std::make_shared<Held>(pool_, c, large)};
  }
  std::byte* small = pool_->allocate(c);
  std::byte* at = c == 0 ? small : small + kLead;
  std::memcpy(at, next_ + kLead, length);
  return Request{at, length, std::make_shared<Held>(pool_, c, small)};
}

std::size_t RequestMemory::bytes_leased() const { return pool_->leased; }

}  // namespace lockstep::uring
