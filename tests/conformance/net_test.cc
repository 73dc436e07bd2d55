#include <algorithm>

#include "catch.h"
#include "conformance/world_maker.h"

using namespace lockstep;
using namespace lockstep::conformance;
using runtime::Connection;
using runtime::Stop;
using runtime::Task;
using namespace std::chrono_literals;

namespace {

using Link = std::unique_ptr<Connection>;

Task<void> accept_one(runtime::Listener& listener, Link& link) {
  auto accepted = co_await listener.accept();
  REQUIRE(accepted.has_value());
  link = std::move(*accepted);
}

/// Connects two ends within this process.
Task<void> make_pair(WorldMaker& maker, Link& near, Link& far) {
  const std::string address = maker.free_address();
  auto listener = maker.world().net.listen(address);
  REQUIRE(listener.has_value());
  runtime::Scope scope(maker.world().scheduler);
  scope.spawn(accept_one(**listener, far));
  Stop stop;
  auto connected = co_await maker.world().net.connect(address, 5s, stop);
  REQUIRE(connected.has_value());
  near = std::move(*connected);
  scope.close();
  co_await scope.join();
  (*listener)->shutdown();
}

Task<bool> send_all(Connection& link, std::string_view text) {
  Bytes rest = std::as_bytes(std::span(text));
  while (!rest.empty()) {
    const Bytes parts[] = {rest.first(rest.size() / 2), rest.subspan(rest.size() / 2)};
    const auto sent = link.try_send(parts);
    if (!sent.has_value()) co_return false;
    rest = rest.subspan(*sent);
    if (*sent != 0) continue;
    const auto ready = co_await link.sendable();
    if (!ready.has_value()) co_return false;
  }
  co_return true;
}

/// Until the other side closes, or `enough` bytes came.
Task<std::string> receive_all(Connection& link, std::size_t enough) {
  std::string all;
  std::vector<std::byte> buffer(1000);
  while (all.size() < enough) {
    const auto room = std::span(buffer).first(std::min(buffer.size(), enough - all.size()));
    const auto n = co_await link.receive(room);
    REQUIRE(n.has_value());
    REQUIRE(*n <= room.size());
    if (*n == 0) break;
    all.append(reinterpret_cast<const char*>(buffer.data()), *n);
  }
  co_return all;
}

Task<void> receive_into(Connection& link, std::size_t enough, std::string& into) {
  into = co_await receive_all(link, enough);
}

Task<void> bytes_arrive_in_order(WorldMaker& maker) {
  Link near, far;
  co_await make_pair(maker, near, far);
  CHECK(!near->peer_address().empty());
  CHECK(!far->peer_address().empty());
  std::string text;
  for (int i = 0; i < 2000; ++i) text += std::to_string(i) + ' ';
  std::string arrived;
  runtime::Scope scope(maker.world().scheduler);
  scope.spawn(receive_into(*far, text.size(), arrived));
  const bool sent = co_await send_all(*near, text);
  CHECK(sent);
  scope.close();
  co_await scope.join();
  CHECK(arrived == text);
  const bool answered = co_await send_all(*far, "and back");
  CHECK(answered);
  const std::string back = co_await receive_all(*near, 8);
  CHECK(back == "and back");
}

/// Counts what the transport takes from one who sends and sends while nobody reads.
Task<void> fill(WorldMaker& maker, Connection& link, std::uint64_t& taken) {
  const std::string chunk(64 << 10, 'x');
  const Bytes parts[] = {std::as_bytes(std::span(chunk))};
  int refusals = 0;
  Stop stop;
  while (refusals < 20 && taken < (1u << 30)) {
    const auto sent = link.try_send(parts);
    REQUIRE(sent.has_value());
    taken += *sent;
    refusals = *sent == 0 ? refusals + 1 : 0;
    if (*sent == 0) co_await maker.world().clock.sleep_until(maker.world().clock.now() + 10ms, stop);
  }
}

Task<void> the_transport_is_bounded(WorldMaker& maker) {
  Link near, far;
  co_await make_pair(maker, near, far);
  std::uint64_t taken = 0;
  co_await fill(maker, *near, taken);
  CHECK(taken > 0);
  CHECK(taken < (1u << 30));
  // Once it is read, there is room again.
  std::string arrived;
  runtime::Scope scope(maker.world().scheduler);
  scope.spawn(receive_into(*far, taken, arrived));
  const auto ready = co_await near->sendable();
  CHECK(ready.has_value());
  const Bytes parts[] = {std::as_bytes(std::span("y", 1))};
  const auto sent = near->try_send(parts);
  REQUIRE(sent.has_value());
  CHECK(*sent == 1);
  scope.close();
  co_await scope.join();
  CHECK(arrived.size() == taken);
  const bool unchanged = arrived == std::string(taken, 'x');  // megabytes, which nobody wants printed
  CHECK(unchanged);
  const std::string last = co_await receive_all(*far, 1);
  CHECK(last == "y");
}

Task<void> a_shutdown_is_seen_behind_the_data(WorldMaker& maker) {
  Link near, far;
  co_await make_pair(maker, near, far);
  const bool sent = co_await send_all(*near, "last words");
  CHECK(sent);
  near->shutdown();
  const std::string all = co_await receive_all(*far, ~std::size_t{0});
  CHECK(all == "last words");
  std::vector<std::byte> buffer(10);
  const auto own = co_await near->receive(buffer);
  REQUIRE(!own.has_value());
  CHECK(own.error().code == Errc::unavailable);
  const Bytes parts[] = {Bytes(buffer)};
  CHECK(near->try_send(parts).error().code == Errc::unavailable);
  const auto ready = co_await near->sendable();
  REQUIRE(!ready.has_value());
  CHECK(ready.error().code == Errc::unavailable);
}

Task<void> receive_and_note(Connection& link, std::optional<Errc>& code) {
  std::vector<std::byte> buffer(10);
  const auto n = co_await link.receive(buffer);
  REQUIRE(!n.has_value());
  code = n.error().code;
}

Task<void> a_shutdown_ends_calls_under_way(WorldMaker& maker) {
  Link near, far;
  co_await make_pair(maker, near, far);
  std::optional<Errc> code;
  runtime::Scope scope(maker.world().scheduler);
  scope.spawn(receive_and_note(*near, code));
  near->shutdown();
  CHECK(!code);
  scope.close();
  co_await scope.join();
  CHECK(code == Errc::unavailable);
  near->shutdown();
}

Task<void> a_destroyed_end_is_closed(WorldMaker& maker) {
  Link near, far;
  co_await make_pair(maker, near, far);
  near.reset();
  const std::string all = co_await receive_all(*far, 1);
  CHECK(all.empty());
}

Task<void> accept_and_note(runtime::Listener& listener, std::optional<Errc>& code) {
  const auto accepted = co_await listener.accept();
  REQUIRE(!accepted.has_value());
  code = accepted.error().code;
}

Task<void> a_listener_stops(WorldMaker& maker) {
  auto listener = maker.world().net.listen(maker.free_address());
  REQUIRE(listener.has_value());
  std::optional<Errc> code;
  runtime::Scope scope(maker.world().scheduler);
  scope.spawn(accept_and_note(**listener, code));
  (*listener)->shutdown();
  scope.close();
  co_await scope.join();
  CHECK(code == Errc::stopped);
  std::optional<Errc> again;
  co_await accept_and_note(**listener, again);
  CHECK(again == Errc::stopped);
}

Task<void> nobody_there(WorldMaker& maker) {
  Stop stop;
  const auto connected = co_await maker.world().net.connect(maker.dead_address(), 5s, stop);
  REQUIRE(!connected.has_value());
  CHECK(connected.error().code == Errc::unavailable);
  CHECK(connected.error().text.find(maker.dead_address()) != std::string::npos);
  stop.request();
  const auto stopped = co_await maker.world().net.connect(maker.dead_address(), 5s, stop);
  REQUIRE(!stopped.has_value());
  CHECK(stopped.error().code == Errc::stopped);
}

Task<void> many_ends(WorldMaker& maker) {
  const std::string address = maker.free_address();
  auto listener = maker.world().net.listen(address);
  REQUIRE(listener.has_value());
  Stop stop;
  std::vector<Link> near(5), far(5);
  for (Link& link : near) {
    auto connected = co_await maker.world().net.connect(address, 5s, stop);
    REQUIRE(connected.has_value());
    link = std::move(*connected);
  }
  for (Link& link : far) co_await accept_one(**listener, link);
  for (std::size_t i = 0; i < near.size(); ++i) {
    const bool sent = co_await send_all(*near[i], std::to_string(i));
    CHECK(sent);
  }
  std::vector<std::string> texts;
  for (Link& link : far) {
    const std::string text = co_await receive_all(*link, 1);
    texts.push_back(text);
  }
  std::sort(texts.begin(), texts.end());
  const std::vector<std::string> expected{"0", "1", "2", "3", "4"};
  CHECK(texts == expected);
}

}  // namespace

TEST_CASE("bytes arrive in order, both ways") {
  const auto maker = make_world();
  maker->run(bytes_arrive_in_order(*maker));
}

TEST_CASE("a transport that nobody reads from takes only so much, and more later") {
  const auto maker = make_world();
  maker->run(the_transport_is_bounded(*maker));
}

TEST_CASE("a shutdown is seen by the other end behind the data") {
  const auto maker = make_world();
  maker->run(a_shutdown_is_seen_behind_the_data(*maker));
}

TEST_CASE("a shutdown ends calls under way, and may come twice") {
  const auto maker = make_world();
  maker->run(a_shutdown_ends_calls_under_way(*maker));
}

TEST_CASE("a destroyed connection is closed for the other end") {
  const auto maker = make_world();
  maker->run(a_destroyed_end_is_closed(*maker));
}

TEST_CASE("a listener that was shut down accepts nothing") {
  const auto maker = make_world();
  maker->run(a_listener_stops(*maker));
}

TEST_CASE("a connect to nobody is unavailable, and ends when stopped") {
  const auto maker = make_world();
  maker->run(nobody_there(*maker));
}

TEST_CASE("several connections to one listener are accepted one by one") {
  const auto maker = make_world();
  maker->run(many_ends(*maker));
}

TEST_CASE("an address is listened on once, and the refusal names it") {
  const auto maker = make_world();
  const std::string address = maker->free_address();
  const auto first = maker->world().net.listen(address);
  REQUIRE(first.has_value());
  const auto second = maker->world().net.listen(address);
  REQUIRE(!second.has_value());
  CHECK(second.error().code == Errc::refused);
  CHECK(second.error().text.find(address) != std::string::npos);
}
