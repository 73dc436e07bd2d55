#include "uring/ring_call.h"

#include <liburing.h>
#include <sys/socket.h>

#include <algorithm>
#include <limits>

#include "core/check.h"

namespace lockstep::uring {
namespace {
// A longer request is answered in pieces anyway.
std::uint32_t length_of(MutableBytes into) {
  return static_cast<std::uint32_t>(std::min<std::size_t>(into.size(), std::size_t{1} << 30));
}
}  // namespace

RingRequest RingRequest::read(int fd, std::uint64_t offset, MutableBytes into) {
  return {.opcode = IORING_OP_READ, .fd = fd, .address = into.data(), .length = length_of(into), .offset = offset};
}

RingRequest RingRequest::data_sync(int fd, ByteRange range) {
  RingRequest r{.opcode = IORING_OP_FSYNC, .fd = fd, .call_flags = IORING_FSYNC_DATASYNC};
  if (range.length != 0 && range.length <= std::numeric_limits<std::uint32_t>::max()) {
    r.offset = range.offset;
    r.length = static_cast<std::uint32_t>(range.length);
  }
  return r;
}

RingRequest RingRequest::receive(int fd, MutableBytes into, bool poll_first) {
  return {.opcode = IORING_OP_RECV, .fd = fd, .address = into.data(), .length = length_of(into),
          .priority = static_cast<std::uint16_t>(poll_first ? IORING_RECVSEND_POLL_FIRST : 0)};
}

RingRequest RingRequest::accept(int fd) {
  return {.opcode = IORING_OP_ACCEPT, .fd = fd, .call_flags = SOCK_CLOEXEC};
}

RingRequest RingRequest::connect(int fd, const sockaddr* address, std::uint32_t length) {
  return {.opcode = IORING_OP_CONNECT, .fd = fd, .address = address, .offset = length};
}

RingRequest RingRequest::poll(int fd, std::uint32_t events) {
  return {.opcode = IORING_OP_POLL_ADD, .fd = fd, .call_flags = events};
}

RingCall::~RingCall() { CHECK(!waiter_); }

void RingCall::await_suspend(std::coroutine_handle<> h) {
  waiter_ = h;
  io_uring_sqe* const sqe = loop_.prepare(this);
  const std::uint64_t user_data = sqe->user_data;
  io_uring_prep_rw(request_.opcode, sqe, request_.fd, request_.address, request_.length, request_.offset);
  sqe->rw_flags = static_cast<int>(request_.call_flags);
  sqe->ioprio = request_.priority;
  sqe->user_data = user_data;
}

void RingCall::cancel() {
  if (waiter_) loop_.cancel(*this);
}

bool RingCall::more_to_receive() const { return (flags_ & IORING_CQE_F_SOCK_NONEMPTY) != 0; }

void RingCall::completed(int result, bool more, std::uint32_t flags) {
  CHECK(!more);
  result_ = result;
  flags_ = flags;
  loop_.post(std::exchange(waiter_, {}));
}

}  // namespace lockstep::uring
