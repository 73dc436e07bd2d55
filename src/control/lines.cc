#include "control/lines.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "core/check.h"

namespace lockstep::control {

void LineBuffer::add(Bytes bytes) {
  CHECK(bytes.size() <= room());
  bytes_.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
}

std::optional<std::string> LineBuffer::take() {
  const std::size_t end = bytes_.find('\n');
  if (end == std::string::npos) return std::nullopt;
  std::string line = bytes_.substr(0, end);
  bytes_.erase(0, end + 1);
  return line;
}

Result<nlohmann::json> parse_request(std::string_view line) {
  bool too_deep = false;
  const auto watch_depth = [&](int depth, nlohmann::json::parse_event_t, nlohmann::json&) {
    too_deep = too_deep || depth > kRequestDepth;
    return !too_deep;
  };
  nlohmann::json request = nlohmann::json::parse(line, watch_depth, /*allow_exceptions=*/false);
  if (too_deep) {
    return fail(Errc::invalid, fmt::format("the request has objects in each other more than {} deep; send a flat one", kRequestDepth));
  }
  if (!request.is_object()) {
    return fail(Errc::invalid, R"(the request is not one JSON object; send a line like {"command": "status"})");
  }
  const auto command = request.find("command");
  if (command == request.end() || !command->is_string()) {
    return fail(Errc::invalid, R"(the request has no text "command"; send a line like {"command": "status"})");
  }
  return request;
}

std::string to_line(const nlohmann::json& object) {
  return object.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + '\n';
}

}  // namespace lockstep::control
