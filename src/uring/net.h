// net.h - TCP and local stream sockets.
//
// A receive is one call of the ring that lies armed in the caller's buffer: its completion carries the bytes, so that
// receiving costs no system call but the loop's own. A send is an inline sendmsg that never waits.
//
// Sockets have TCP_NODELAY (frames are gathered above), TCP_USER_TIMEOUT and keepalives: what was sent and not confirmed
// for `silence_max` ends the connection. Sessions have their own, shorter limits.
//
// Names are resolved on a thread of their own, one at a time; numeric addresses at once.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "runtime/net.h"
#include "uring/address.h"
#include "uring/loop.h"
#include "uring/pool.h"

namespace lockstep::uring {

struct NetOptions {
  Duration silence_max = std::chrono::seconds(20);
  int buffer_bytes = 4 << 20;  ///< of each direction, where this process may ask for so much (CAP_NET_ADMIN)
};

class SocketNet final : public runtime::Net {
 public:
  explicit SocketNet(Loop& loop, NetOptions options = NetOptions());
  /// Requires that no connect is under way; waits for the resolver.
  ~SocketNet() override;

  /// May wait for a name to be resolved. A socket file gets mode 0600; one that nobody listens on any more is replaced.
  Result<std::unique_ptr<runtime::Listener>> listen(const std::string& address) override;
  runtime::Task<Result<std::unique_ptr<runtime::Connection>>> connect(std::string address, Duration timeout,
                                                                      runtime::Stop& stop) override;

 private:
  class Resolution;
  class Limit;
  runtime::Task<Result<std::vector<SocketAddress>>> addresses_of(std::string address, Limit& limit);
  runtime::Task<Result<std::unique_ptr<runtime::Connection>>> connect_to(SocketAddress address, Limit& limit);

  Loop& loop_;
  NetOptions options_;
  Pool resolver_;
  std::map<std::string, std::unique_ptr<Resolution>> resolving_;
};

}  // namespace lockstep::uring
