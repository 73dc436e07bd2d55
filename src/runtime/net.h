// net.h - byte streams between sites.
#pragma once

#include <memory>
#include <string>

#include "core/result.h"
#include "core/types.h"
#include "runtime/sync.h"
#include "runtime/task.h"

namespace lockstep::runtime {

/// One connected stream: bytes arrive in order or not at all. At most one send and one receive at a time.
class Connection {
 public:
  virtual ~Connection() = default;  ///< requires that no call is under way
  [[nodiscard]] virtual std::string peer_address() const = 0;
  /// Gives up to `into.size()` bytes, at least one; 0: the other side closed. Errc::unavailable. Suspends.
  virtual Task<Result<std::size_t>> receive(MutableBytes into) = 0;
  /// Hands over what the transport takes at once, from the front of `parts`; the number of bytes, may be 0.
  virtual Result<std::size_t> try_send(std::span<const Bytes> parts) = 0;
  /// Suspends until try_send() may take more. Errc::unavailable.
  virtual Task<Result<>> sendable() = 0;
  /// Ends the stream both ways: calls under way and later ones answer Errc::unavailable. May be called at any time.
  virtual void shutdown() = 0;
};

class Listener {
 public:
  virtual ~Listener() = default;
  /// Errc::stopped after shutdown(). Suspends.
  virtual Task<Result<std::unique_ptr<Connection>>> accept() = 0;
  virtual void shutdown() = 0;
};

class Net {
 public:
  virtual ~Net() = default;
  /// `address` is HOST:PORT. Errc::refused names the address and the reason.
  virtual Result<std::unique_ptr<Listener>> listen(const std::string& address) = 0;
  /// Errc::unavailable; Errc::stopped when `stop` came first. Suspends, at most `timeout`.
  virtual Task<Result<std::unique_ptr<Connection>>> connect(std::string address, Duration timeout, Stop& stop) = 0;
};

}  // namespace lockstep::runtime
