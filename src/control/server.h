// server.h - answers commands on the control socket.
//
//   client    {"command": ...}\n ------>
//             <------ {...}\n  ...  {..., "done": true}\n        then the next request, on the same connection
//
// Invariants:
//   (1) A connection runs one command at a time; its next line is looked at when the last answer is out.
//   (2) Memory is bounded: at most kConnections, each with one request of kRequestBytes and one line going out. Bytes beyond
//       that are not received, they wait in the client's socket. One connection too many is told so and closed.
//   (3) A connection that breaks the format is told why, then closed; nothing else notices.
//   (4) A client that is silent or does not read holds up nobody but itself; such waits end with the client or stop().
//
// It decides nothing about commands; that is what Commands is for.
#pragma once

#include <list>
#include <memory>
#include <string>

#include "control/commands.h"
#include "core/result.h"
#include "runtime/net.h"
#include "runtime/sync.h"

namespace lockstep::control {

inline constexpr std::size_t kConnections = 16;

class Session;

class Server {
 public:
  /// `commands` must outlive stop().
  Server(runtime::Scheduler& scheduler, runtime::Net& net, Commands& commands);
  ~Server();

  /// Listens on `address` ("unix:PATH") and answers from now on. Errc::refused names the address and the reason; nothing
  /// is running then. Requires: not started.
  Result<> start(const std::string& address);
  /// Tells running commands to end, closes all connections. Harmless when not started. Suspends until all have ended.
  runtime::Task<void> stop();

  [[nodiscard]] std::size_t connections() const { return sessions_.size(); }

 private:
  runtime::Task<void> accept_all();
  runtime::Task<void> serve(std::list<std::unique_ptr<Session>>::iterator session);
  runtime::Task<void> turn_away(std::unique_ptr<runtime::Connection> connection);

  runtime::Scheduler& scheduler_;
  runtime::Net& net_;
  Commands& commands_;
  std::unique_ptr<runtime::Listener> listener_;
  std::list<std::unique_ptr<Session>> sessions_;
  runtime::Scope scope_;
  bool stopping_ = false;
};

}  // namespace lockstep::control
