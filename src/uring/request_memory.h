// request_memory.h - the memory that requests of a mount are read into.
//
// A request is read into a large buffer, laid out so that the data of a WRITE begins at a page. A request that fills
// little of it is copied into memory of its size; a large one takes the buffer with it. So a pending 4 KiB write pins
// 8 KiB. All leases together are bounded: where the bound is reached, reading stops until one is given back. A reserve on top is for those who can't wait for that.
//
// Leases may be dropped on any thread; everything else is the loop's.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>

#include "runtime/kernel.h"

namespace lockstep::uring {

class RequestMemory {
 public:
  /// One request: its bytes, and who holds them.
  struct Request {
    std::byte* bytes = nullptr;
    std::size_t length = 0;
    std::shared_ptr<runtime::Lease> lease;
  };

  /// `room_again` is called, on any thread, when a lease came back after next() had none to give.
  RequestMemory(std::size_t bytes_max, std::size_t reserve, std::function<void()> room_again);
  ~RequestMemory();
  RequestMemory(const RequestMemory&) = delete;

  /// Where the next request is to be read, nullptr while the bound is reached. The same until take() is called.
  /// `with_reserve`: the bound is higher by the reserve.
  [[nodiscard]] std::byte* next(bool with_reserve = false);
  /// Room at next().
  [[nodiscard]] static std::size_t room();
  /// Makes a lease of the `length` bytes read at next().
  [[nodiscard]] Request take(std::size_t length);

  [[nodiscard]] std::size_t bytes_leased() const;

 private:
  struct Pool;
  class Held;
  std::shared_ptr<Pool> pool_;
  std::byte* next_ = nullptr;  ///< start of the large buffer that is free for reading
};

}  // namespace lockstep::uring
