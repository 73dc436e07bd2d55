#include "control/server.h"

#include <fmt/format.h>

#include "control/session.h"
#include "core/log.h"

namespace lockstep::control {

Server::Server(runtime::Scheduler& scheduler, runtime::Net& net, Commands& commands)
    : scheduler_(scheduler), net_(net), commands_(commands), scope_(scheduler) {}

Server::~Server() { CHECK(sessions_.empty()); }

Result<> Server::start(const std::string& address) {
  CHECK(!listener_);
  Result<std::unique_ptr<runtime::Listener>> listener = net_.listen(address);
  if (!listener) return std::unexpected(std::move(listener.error()));
  listener_ = std::move(*listener);
  scope_.spawn(accept_all());
  return {};
}

runtime::Task<void> Server::stop() {
  stopping_ = true;
  if (listener_) listener_->shutdown();
  for (const std::unique_ptr<Session>& session : sessions_) session->end();
  co_await scope_.join();
  listener_.reset();
}

runtime::Task<void> Server::accept_all() {
  while (!stopping_) {
    Result<std::unique_ptr<runtime::Connection>> accepted = co_await listener_->accept();
    if (!accepted) {
      if (accepted.error().code != Errc::stopped) {
        log::error("control socket: can't accept connections any more ({}); commands will get no answer until lockstepd is restarted",
                   accepted.error().text);
      }
      co_return;
    }
    if (stopping_) co_return;
    if (sessions_.size() >= kConnections) {
      scope_.spawn(turn_away(std::move(*accepted)));
      continue;
    }
    sessions_.push_back(std::make_unique<Session>(scheduler_, std::move(*accepted)));
    scope_.spawn(serve(std::prev(sessions_.end())));
  }
}

runtime::Task<void> Server::serve(std::list<std::unique_ptr<Session>>::iterator session) {
  co_await (*session)->run(commands_);
  sessions_.erase(session);
}

runtime::Task<void> Server::turn_away(std::unique_ptr<runtime::Connection> connection) {
  nlohmann::json line;
  line["done"] = true;
  line["error"] = fmt::format("{} clients are connected to the control socket already; end one (a trace?) and try again", kConnections);
  // One call without waiting: a line this short fits an empty socket, and a client that is turned away holds nothing here.
  const std::string text = to_line(line);
  const Bytes bytes = std::as_bytes(std::span(text));
  static_cast<void>(connection->try_send(std::span(&bytes, 1)));
  connection->shutdown();
  co_return;
}

}  // namespace lockstep::control
