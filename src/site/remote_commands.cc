#include "site/remote_commands.h"

#include <fmt/format.h>

namespace lockstep::site {
namespace {

using nlohmann::json;

constexpr std::size_t kLinesKept = 1024;  // of an answer whose reader is slow; more are dropped

}  // namespace

/// Lines of an answer, on their way to the other site.
class RemoteCommands::Answers final : public control::Stream {
 public:
  Answers(RemoteCommands& owner, std::uint64_t number, std::uint64_t session) : owner_(owner), number_(number), session_(session) {}
  runtime::Task<bool> send(json line) override { co_return say(line.dump(), false); }
  runtime::Stop& gone() override { return owner_.stop_; }

  bool say(std::string text, bool last) {
    peer::Session* const session = owner_.controller_.session();
    if (session == nullptr || session_ != owner_.sessions_) return false;
    session->send(wire::CommandAnswer{number_, std::move(text), last});
    session->flush();
    return true;
  }

 private:
  RemoteCommands& owner_;
  std::uint64_t number_;
  std::uint64_t session_;
};

runtime::Task<json> RemoteCommands::ask(json request, control::Stream& stream) {
  peer::Session* const session = controller_.session();
  if (session == nullptr) co_return json{{"error", "the other site is not connected: " + controller_.problem()}};
  Asked asked(world_.scheduler);
  const std::uint64_t number = next_++;
  asked_[number] = &asked;
  session->send(wire::Command{number, request.dump()});
  session->flush();
  while (!asked.last && !asked.lost && !stop_.requested()) {
    for (const std::string& text : std::exchange(asked.lines, {})) {
      json line = json::parse(text, nullptr, false);
      if (line.is_object()) co_await stream.send(std::move(line));
    }
    if (!asked.last && !asked.lost && asked.lines.empty()) co_await asked.changed.wait();
  }
  asked_.erase(number);
  if (!asked.last) co_return json{{"error", "the connection with the other site ended before it had answered; look at status, then ask again"}};
  json answer = json::parse(*asked.last, nullptr, false);
  if (!answer.is_object()) co_return json{{"error", "the other site answered with something that is no JSON object"}};
  co_return answer;
}

runtime::Task<void> RemoteCommands::stop() {
  stop_.request();
  for (auto& [number, asked] : asked_) asked->changed.notify_all();
  co_await scope_.join();
}

void RemoteCommands::command(wire::Command command) {
  if (scope_.running() >= kRunning) {
    Answers(*this, command.number, sessions_).say(json{{"error", "the other site carries out too many commands already"}}.dump(), true);
    return;
  }
  scope_.spawn(carry_out(std::move(command), sessions_));
}

runtime::Task<void> RemoteCommands::carry_out(wire::Command command, std::uint64_t session) {
  Answers answers(*this, command.number, session);
  json request = json::parse(command.text, nullptr, false);
  json answer{{"error", "a command that is no JSON object"}};
  // What came from there is not sent back: it is carried out here or refused.
  if (request.is_object() && request.contains("command") && request["command"].is_string()) {
    request["remote"] = true;
    answer = co_await here_.execute(std::move(request), answers);
  }
  answers.say(answer.dump(), true);
}

void RemoteCommands::command_answered(wire::CommandAnswer answer) {
  const auto found = asked_.find(answer.number);
  if (found == asked_.end() || found->second->last) return;
  if (answer.last) {
    found->second->last = std::move(answer.text);
  } else if (found->second->lines.size() < kLinesKept) {
    found->second->lines.push_back(std::move(answer.text));
  }
  found->second->changed.notify_all();
}

void RemoteCommands::session_ended() {
  ++sessions_;
  for (auto& [number, asked] : asked_) {
    asked->lost = true;
    asked->changed.notify_all();
  }
}

}  // namespace lockstep::site
