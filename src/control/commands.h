// commands.h - what a daemon can be asked over its control socket, as the server sees it.
//
// A request is one JSON object with at least {"command": NAME}. The answer is any number of lines sent through the
// Stream, then the object that execute() returns. A failure is an "error" in that object: one line that says what
// happened, to what, and what to do. lockstep(1), "CONTROL SOCKET", lists commands and members.
#pragma once

#include <nlohmann/json.hpp>

#include "runtime/sync.h"
#include "runtime/task.h"

namespace lockstep::control {

/// The way back to one client while its command runs.
class Stream {
 public:
  /// Sends one line. False: the client has gone, or the daemon is stopping; the command should end. Waits for a client that
  /// reads slowly, so whoever produces lines must bound what it keeps meanwhile. Suspends.
  virtual runtime::Task<bool> send(nlohmann::json line) = 0;
  /// Requested when the client has closed its side or the daemon is stopping: a command that waits for something else
  /// then answers with what it has.
  [[nodiscard]] virtual runtime::Stop& gone() = 0;

 protected:
  ~Stream() = default;
};

class Commands {
 public:
  /// Carries out `request` and gives its last line; the server adds "done": true. `request` is an object with a string
  /// "command", everything else in it is unchecked. `stream` lives until the task ends. Suspends.
  virtual runtime::Task<nlohmann::json> execute(nlohmann::json request, Stream& stream) = 0;

 protected:
  ~Commands() = default;
};

}  // namespace lockstep::control
