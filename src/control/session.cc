#include "control/session.h"

#include <fmt/format.h>

#include <algorithm>

namespace lockstep::control {

runtime::Task<bool> send_line(runtime::Connection& connection, std::string line) {
  Bytes rest = std::as_bytes(std::span(line));
  while (!rest.empty()) {
    const Result<std::size_t> taken = connection.try_send(std::span(&rest, 1));
    if (!taken) co_return false;
    rest = rest.subspan(*taken);
    if (rest.empty()) break;
    const Result<> ready = co_await connection.sendable();
    if (!ready) co_return false;
  }
  co_return true;
}

runtime::Task<void> Session::run(Commands& commands) {
  readers_.spawn(read_all());
  while (!closed_) {
    std::optional<std::string> line = lines_.take();
    if (line) {
      changed_.notify_all();  // there is room to receive again
      const bool go_on = co_await answer(std::move(*line), commands);
      if (!go_on) break;
    } else if (lines_.overlong()) {
      co_await refuse(fmt::format("the request is longer than {} bytes; send less", kRequestBytes));
      break;
    } else if (gone_.requested()) {
      break;
    } else {
      co_await changed_.wait();
    }
  }
  end();
  co_await readers_.join();
}

void Session::end() {
  closed_ = true;
  connection_->shutdown();
  gone_.request();
  changed_.notify_all();
}

runtime::Task<bool> Session::send(nlohmann::json line) {
  if (closed_) co_return false;
  const bool sent = co_await send_line(*connection_, to_line(line));
  if (!sent) end();
  co_return sent;
}

runtime::Task<void> Session::read_all() {
  while (!gone_.requested()) {
    if (lines_.has_line() || lines_.room() == 0) {
      co_await changed_.wait();
      continue;
    }
    const std::size_t room = std::min(received_.size(), lines_.room());
    const Result<std::size_t> count = co_await connection_->receive(MutableBytes(received_).first(room));
    if (!count || *count == 0) break;
    lines_.add(Bytes(received_).first(*count));
    changed_.notify_all();
  }
  // A client may close its sending side behind a request and still want the answer: what waits is told, sends go on.
  gone_.request();
  changed_.notify_all();
}

runtime::Task<bool> Session::answer(std::string line, Commands& commands) {
  Result<nlohmann::json> request = parse_request(line);
  if (!request) {
    co_await refuse(std::move(request.error().text));
    co_return false;
  }
  nlohmann::json result = co_await commands.execute(std::move(*request), *this);
  if (!result.is_object()) result = nlohmann::json::object();
  result["done"] = true;
  co_return co_await send(std::move(result));
}

runtime::Task<void> Session::refuse(std::string why) {
  nlohmann::json line;
  line["done"] = true;
  line["error"] = std::move(why);
  co_await send(std::move(line));
}

}  // namespace lockstep::control
