#include "catch.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "conformance/world_maker.h"
#include "control/lines.h"
#include "control/members.h"
#include "control/server.h"

using namespace lockstep;
using namespace lockstep::control;
using conformance::make_world;
using conformance::WorldMaker;
using nlohmann::json;
using runtime::Task;
using namespace std::chrono_literals;

namespace {

using Link = std::unique_ptr<runtime::Connection>;

/// echo: the request again. count: {"n": 1} ... {"n": of}. wait: until the client has gone.
class Fake final : public Commands {
 public:
  explicit Fake(runtime::World& world) : world_(world) {}
  Task<json> execute(json request, Stream& stream) override {
    const std::string command = text(request, "command");
    if (command == "count") {
      for (std::uint64_t n = 1; n <= number(request, "of"); ++n) {
        const bool there = co_await stream.send({{"n", n}});
        if (!there) break;
        ++sent;
      }
    } else if (command == "wait") {
      ++waiting;
      while (!stream.gone().requested()) co_await world_.clock.sleep_until(world_.clock.now() + 1s, stream.gone());
      --waiting;
    }
    co_return json{{"echo", request}};
  }
  std::uint64_t sent = 0;
  int waiting = 0;

 private:
  runtime::World& world_;
};

struct Fixture {
  explicit Fixture(WorldMaker& m)
      : maker(m), commands(m.world()), server(m.world().scheduler, m.world().net, commands) {}
  WorldMaker& maker;
  Fake commands;
  Server server;
};

const std::string kAddress = "unix:/run/test.sock";

Task<Link> connect(Fixture& f) {
  runtime::Stop stop;
  auto link = co_await f.maker.world().net.connect(kAddress, 5s, stop);
  REQUIRE(link.has_value());
  co_return std::move(*link);
}

Task<void> send(runtime::Connection& link, std::string_view text) {
  Bytes rest = std::as_bytes(std::span(text));
  while (!rest.empty()) {
    const auto sent = link.try_send(std::span(&rest, 1));
    if (!sent.has_value()) co_return;
    rest = rest.subspan(*sent);
    if (rest.empty()) co_return;
    const auto ready = co_await link.sendable();
    if (!ready.has_value()) co_return;
  }
}

/// Lines until `count` of them came or the server closed.
Task<std::vector<json>> receive(runtime::Connection& link, std::size_t count) {
  std::vector<json> lines;
  LineBuffer buffer(1 << 20);
  std::vector<std::byte> bytes(777);
  while (lines.size() < count) {
    const auto n = co_await link.receive(bytes);
    if (!n.has_value() || *n == 0) break;
    buffer.add(Bytes(bytes).first(*n));
    while (const auto line = buffer.take()) lines.push_back(json::parse(*line));
  }
  co_return lines;
}

Task<bool> closed(runtime::Connection& link) {
  std::vector<std::byte> bytes(10);
  const auto n = co_await link.receive(bytes);
  co_return !n.has_value() || *n == 0;
}

Task<void> pause(Fixture& f) {
  runtime::Stop stop;
  co_await f.maker.world().clock.sleep_until(f.maker.world().clock.now() + 1s, stop);
}

/// Runs `steps` against a started server, and stops it.
void with_server(Task<void> (*steps)(Fixture&)) {
  struct Run {
    static Task<void> all(Fixture& f, Task<void> (*steps)(Fixture&)) {
      const Result<> started = f.server.start(kAddress);
      REQUIRE(started.has_value());
      co_await steps(f);
      co_await f.server.stop();
      REQUIRE(f.server.connections() == 0);
    }
  };
  const auto maker = make_world();
  Fixture fixture(*maker);
  maker->run(Run::all(fixture, steps));
}

Task<void> several_requests(Fixture& f) {
  const Link link = co_await connect(f);
  co_await send(*link, "{\"command\": \"a\"}\n{\"command\": \"count\", \"of\": 3}\n{\"command\":");
  const std::vector<json> first = co_await receive(*link, 5);
  REQUIRE(first.size() == 5);
  REQUIRE(first[0]["echo"]["command"] == "a");
  REQUIRE(first[0]["done"] == true);
  for (int n = 1; n <= 3; ++n) REQUIRE(first[n] == json{{"n", n}});
  REQUIRE(first[4]["done"] == true);
  co_await send(*link, " \"b\"}\n");
  const std::vector<json> second = co_await receive(*link, 1);
  REQUIRE(second.size() == 1);
  REQUIRE(second[0]["echo"]["command"] == "b");
}
TEST_CASE("Requests of one connection are answered in order, however they are cut") { with_server(several_requests); }

Task<void> garbage(Fixture& f) {
  for (const std::string bytes : {"x\n", "{}\n", "[1]\n", "\xff\n"}) {
    const Link link = co_await connect(f);
    co_await send(*link, bytes);
    const std::vector<json> lines = co_await receive(*link, 2);
    REQUIRE(lines.size() == 1);
    REQUIRE(lines[0]["done"] == true);
    REQUIRE(!text(lines[0], "error").empty());
    const bool ended = co_await closed(*link);
    REQUIRE(ended);
  }
  const Link link = co_await connect(f);
  co_await send(*link, std::string(kRequestBytes, ' '));
  const std::vector<json> lines = co_await receive(*link, 1);
  REQUIRE(lines.size() == 1);
  REQUIRE(text(lines[0], "error").find("longer") != std::string::npos);
}
TEST_CASE("What is no request is answered with an error, and the connection is closed") { with_server(garbage); }

Task<void> client_leaves(Fixture& f) {
  Link link = co_await connect(f);
  co_await send(*link, "{\"command\": \"wait\"}\n");
  co_await pause(f);
  REQUIRE(f.commands.waiting == 1);
  link->shutdown();
  co_await pause(f);
  REQUIRE(f.commands.waiting == 0);
  REQUIRE(f.server.connections() == 0);
}
TEST_CASE("A command that waits ends when its client goes") { with_server(client_leaves); }

Task<void> stop_ends_commands(Fixture& f) {
  const Link link = co_await connect(f);
  co_await send(*link, "{\"command\": \"wait\"}\n");
  co_await pause(f);
  REQUIRE(f.commands.waiting == 1);
  co_await f.server.stop();
  REQUIRE(f.commands.waiting == 0);
}
TEST_CASE("Stopping ends commands that wait") { with_server(stop_ends_commands); }

Task<void> too_many(Fixture& f) {
  std::vector<Link> held;
  for (std::size_t i = 0; i < kConnections; ++i) {
    Link link = co_await connect(f);
    held.push_back(std::move(link));
  }
  co_await pause(f);
  REQUIRE(f.server.connections() == kConnections);
  const Link extra = co_await connect(f);
  const std::vector<json> lines = co_await receive(*extra, 2);
  REQUIRE(lines.size() == 1);
  REQUIRE(!text(lines[0], "error").empty());
  held.pop_back();
  co_await pause(f);
  const Link next = co_await connect(f);
  co_await send(*next, "{\"command\": \"a\"}\n");
  const std::vector<json> answer = co_await receive(*next, 1);
  REQUIRE(answer.size() == 1);
  REQUIRE(answer[0].contains("echo"));
}
TEST_CASE("One connection too many is told so; a place that was left is taken again") { with_server(too_many); }

Task<void> slow_reader(Fixture& f) {
  const Link slow = co_await connect(f);
  co_await send(*slow, "{\"command\": \"count\", \"of\": 10000000}\n");
  co_await pause(f);
  const std::uint64_t sent = f.commands.sent;
  co_await pause(f);
  REQUIRE(f.commands.sent == sent);  // it waits, and keeps nothing
  REQUIRE(sent < 10000000);
  const Link other = co_await connect(f);
  co_await send(*other, "{\"command\": \"a\"}\n");
  const std::vector<json> answer = co_await receive(*other, 1);
  REQUIRE(answer.size() == 1);
}
TEST_CASE("A client that does not read holds up nobody but itself") { with_server(slow_reader); }

}  // namespace
