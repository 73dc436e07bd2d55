#include "bin/asking.h"

#include <fmt/format.h>

#include <cstdio>

#include "control/client.h"
#include "control/members.h"

namespace lockstep::cli {

void complain(std::string_view text) { fmt::print(stderr, "lockstep: {}\n", text); }

void print(std::string_view text) { std::fwrite(text.data(), 1, text.size(), stdout); }

nlohmann::json ask(const std::string& control, const nlohmann::json& request,
                   const std::function<void(const nlohmann::json&)>& on_line, std::optional<std::chrono::milliseconds> patience) {
  Result<control::Client> client = control::Client::connect(control);
  if (!client) {
    complain(client.error().text);
    return nullptr;
  }
  Result<nlohmann::json> answer = client->call(request, on_line, patience);
  if (!answer) {
    complain(answer.error().text);
    return nullptr;
  }
  if (answer->contains("error")) {
    complain(control::text(*answer, "error"));
    return nullptr;
  }
  return std::move(*answer);
}

bool confirmed(std::string_view question) {
  fmt::print(stderr, "{} Type \"yes\" to go on: ", question);
  std::fflush(stderr);
  char answer[16] = {};
  if (std::fgets(answer, sizeof answer, stdin) != nullptr && std::string_view(answer) == "yes\n") return true;
  complain("nothing was changed");
  return false;
}

}  // namespace lockstep::cli
