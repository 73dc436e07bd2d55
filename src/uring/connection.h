// connection.h - one connected stream socket; private to this layer.
#pragma once

#include <string>

#include "runtime/net.h"
#include "uring/descriptor.h"
#include "uring/loop.h"
#include "uring/net.h"

namespace lockstep::uring {

/// Sets what a connected or listening socket needs. What fails here only costs speed.
void set_up_socket(int fd, int family, const NetOptions& options);

class SocketConnection final : public runtime::Connection {
 public:
  SocketConnection(Loop& loop, Descriptor fd, std::string peer) : loop_(loop), fd_(std::move(fd)), peer_(std::move(peer)) {}
  ~SocketConnection() override;
  [[nodiscard]] std::string peer_address() const override { return peer_; }
  runtime::Task<Result<std::size_t>> receive(MutableBytes into) override;
  Result<std::size_t> try_send(std::span<const Bytes> parts) override;
  runtime::Task<Result<>> sendable() override;
  void shutdown() override;

 private:
  [[nodiscard]] std::unexpected<Error> lost(int number) const;

  Loop& loop_;
  Descriptor fd_;
  std::string peer_;
  bool ended_ = false;       // shutdown() was called
  bool more_waits_ = false;  // the last receive left bytes in the socket
  bool receiving_ = false, waiting_to_send_ = false;
};

}  // namespace lockstep::uring
