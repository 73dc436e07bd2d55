#include "uring/connection.h"

#include <fmt/format.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "core/check.h"
#include "uring/ring_call.h"

namespace lockstep::uring {
namespace {

constexpr std::size_t kPartsAtOnce = 256;

void set_option(int fd, int level, int name, int value) { ::setsockopt(fd, level, name, &value, sizeof value); }

}  // namespace

void set_up_socket(int fd, int family, const NetOptions& options) {
  // Beyond the limits of the system, which takes a privilege. Without it TCP is left alone: it sizes its own buffers
  // better than those limits would.
  set_option(fd, SOL_SOCKET, SO_SNDBUFFORCE, options.buffer_bytes);
  set_option(fd, SOL_SOCKET, SO_RCVBUFFORCE, options.buffer_bytes);
  if (family == AF_UNIX) return;
  const auto silence = std::chrono::duration_cast<std::chrono::milliseconds>(options.silence_max).count();
  set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1);
  set_option(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, static_cast<int>(silence));
  set_option(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
  set_option(fd, IPPROTO_TCP, TCP_KEEPIDLE, std::max(1, static_cast<int>(silence / 2000)));
  set_option(fd, IPPROTO_TCP, TCP_KEEPINTVL, std::max(1, static_cast<int>(silence / 8000)));
}

SocketConnection::~SocketConnection() {
  CHECK(!receiving_ && !waiting_to_send_);
  ++loop_.statistics().others;
}

std::unexpected<Error> SocketConnection::lost(int number) const {
  return fail(Errc::unavailable, fmt::format("connection with {} is lost: {}", peer_,
                                             number == 0 ? "it was ended here" : std::strerror(number)));
}

runtime::Task<Result<std::size_t>> SocketConnection::receive(MutableBytes into) {
  CHECK(!receiving_ && !into.empty());
  for (;;) {
    if (ended_) co_return lost(0);
    receiving_ = true;
    RingCall call(loop_, RingRequest::receive(fd_.get(), into, !more_waits_));
    const int n = co_await call;
    receiving_ = false;
    if (ended_) co_return lost(0);
    if (n == -EINTR || n == -EAGAIN) continue;
    if (n < 0) co_return lost(-n);
    more_waits_ = call.more_to_receive();
    co_return static_cast<std::size_t>(n);
  }
}

Result<std::size_t> SocketConnection::try_send(std::span<const Bytes> parts) {
  if (ended_) return lost(0);
  std::array<iovec, kPartsAtOnce> vectors;
  std::size_t sent = 0;
  while (!parts.empty()) {
    std::size_t count = 0, bytes = 0;
    for (const Bytes part : parts.first(std::min(parts.size(), vectors.size()))) {
      vectors[count++] = {const_cast<std::byte*>(part.data()), part.size()};
      bytes += part.size();
    }
    msghdr message{};
    message.msg_iov = vectors.data();
    message.msg_iovlen = count;
    ++loop_.statistics().sends;
    const ssize_t n = ::sendmsg(fd_.get(), &message, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && (errno == EAGAIN || errno == ENOBUFS)) break;
    if (n < 0) return lost(errno);
    sent += static_cast<std::size_t>(n);
    if (static_cast<std::size_t>(n) < bytes) break;
    parts = parts.subspan(count);
  }
  return sent;
}

runtime::Task<Result<>> SocketConnection::sendable() {
  CHECK(!waiting_to_send_);
  if (ended_) co_return lost(0);
  waiting_to_send_ = true;
  RingCall call(loop_, RingRequest::poll(fd_.get(), POLLOUT));
  const int events = co_await call;
  waiting_to_send_ = false;
  if (ended_) co_return lost(0);
  if (events < 0) co_return lost(-events);
  if ((events & (POLLERR | POLLHUP)) != 0) {
    int error = 0;
    socklen_t length = sizeof error;
    ::getsockopt(fd_.get(), SOL_SOCKET, SO_ERROR, &error, &length);
    co_return lost(error == 0 ? EPIPE : error);
  }
  co_return Result<>();
}

void SocketConnection::shutdown() {
  if (std::exchange(ended_, true)) return;
  ++loop_.statistics().others;
  ::shutdown(fd_.get(), SHUT_RDWR);  // completes what is under way
}

}  // namespace lockstep::uring
