// client.h - the command line's end of the control socket: blocking, one connection, one command after the other.
#pragma once

#include <chrono>
#include <functional>
#include <optional>
#include <string>

#include <nlohmann/json.hpp>

#include "core/result.h"

namespace lockstep::control {

class Client {
 public:
  Client(Client&& other) noexcept;
  Client& operator=(Client&& other) noexcept;
  ~Client();

  /// Connects to the socket at `path`. Errc::unavailable: nobody answers there, and what to do.
  static Result<Client> connect(const std::string& path);

  /// Sends `request`, hands every line but the last to `on_line` (which may be empty), and returns the last one. It has
  /// "done"; an "error" in it is the daemon's refusal and is left to the caller. Errc::unavailable: the daemon went away, or
  /// said nothing for `patience` (nullopt: waits as long as it takes). Errc::invalid: it sent something that is no line
  /// of JSON.
  Result<nlohmann::json> call(const nlohmann::json& request, const std::function<void(const nlohmann::json&)>& on_line,
                              std::optional<std::chrono::milliseconds> patience);

 private:
  explicit Client(int socket, std::string path) : socket_(socket), path_(std::move(path)) {}
  Result<std::string> receive_line(std::optional<std::chrono::milliseconds> patience);

  int socket_ = -1;
  std::string path_;
  std::string received_;
};

}  // namespace lockstep::control
