// session.h - one connection of the control socket, from accept to close.
//
// Two tasks: the reader receives (also while a command runs, so that it notices when the client goes), the runner takes
// line after line and carries it out. The reader stops receiving while a whole line waits.
#pragma once

#include <array>
#include <memory>
#include <string>

#include "control/commands.h"
#include "control/lines.h"
#include "runtime/net.h"
#include "runtime/sync.h"

namespace lockstep::control {

/// Sends all of `line`. False: the connection is gone. Suspends.
runtime::Task<bool> send_line(runtime::Connection& connection, std::string line);

class Session final : public Stream {
 public:
  Session(runtime::Scheduler& scheduler, std::unique_ptr<runtime::Connection> connection)
      : connection_(std::move(connection)), changed_(scheduler), readers_(scheduler) {}

  /// Serves requests until the client or the daemon ends the connection. Suspends.
  runtime::Task<void> run(Commands& commands);
  /// Ends it: what is under way answers, run() returns.
  void end();

  runtime::Task<bool> send(nlohmann::json line) override;
  runtime::Stop& gone() override { return gone_; }

 private:
  runtime::Task<void> read_all();
  runtime::Task<bool> answer(std::string line, Commands& commands);
  runtime::Task<void> refuse(std::string why);

  std::unique_ptr<runtime::Connection> connection_;
  LineBuffer lines_{kRequestBytes};
  std::array<std::byte, 4096> received_;
  runtime::Event changed_;  ///< notified when lines_ or gone_ changed
  runtime::Scope readers_;
  runtime::Stop gone_;    ///< nothing more comes from the client
  bool closed_ = false;   ///< nothing more goes to it
};

}  // namespace lockstep::control
