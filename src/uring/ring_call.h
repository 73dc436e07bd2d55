// ring_call.h - one system call made through the ring, as something to co_await.
//
//   const int n = co_await RingCall(loop, RingRequest::read(fd, offset, into));
//
// What it points to belongs to the kernel until it was awaited.
#pragma once

#include <coroutine>
#include <cstdint>

#include "core/types.h"
#include "uring/loop.h"

struct sockaddr;

namespace lockstep::uring {

/// The fields of a submission that the calls here need.
struct RingRequest {
  std::uint8_t opcode = 0;
  int fd = -1;
  const void* address = nullptr;
  std::uint32_t length = 0;
  std::uint64_t offset = 0;
  std::uint32_t call_flags = 0;
  std::uint16_t priority = 0;  ///< of receive and accept: their own flags

  static RingRequest read(int fd, std::uint64_t offset, MutableBytes into);
  /// The range as the kernel takes it: above 4 GiB all of the file.
  static RingRequest data_sync(int fd, ByteRange range);
  /// `poll_first`: nothing is there yet, so don't try before it is.
  static RingRequest receive(int fd, MutableBytes into, bool poll_first);
  static RingRequest accept(int fd);
  static RingRequest connect(int fd, const sockaddr* address, std::uint32_t length);
  static RingRequest poll(int fd, std::uint32_t events);
};

class RingCall final : private Operation {
 public:
  RingCall(Loop& loop, const RingRequest& request) : loop_(loop), request_(request) {}
  RingCall(const RingCall&) = delete;
  ~RingCall() override;  ///< requires that it is not under way

  bool await_ready() const noexcept { return false; }
  void await_suspend(std::coroutine_handle<> h);
  /// What the call returns, or -errno.
  int await_resume() const noexcept { return result_; }

  /// Gives up, if it is under way; the awaiter then gets -ECANCELED or what it came to.
  void cancel();
  /// More bytes lie in the socket (of receive, once it was awaited).
  [[nodiscard]] bool more_to_receive() const;

 private:
  void completed(int result, bool more, std::uint32_t flags) override;

  Loop& loop_;
  RingRequest request_;
  std::coroutine_handle<> waiter_;
  int result_ = 0;
  std::uint32_t flags_ = 0;
};

}  // namespace lockstep::uring
