// What only real sockets can show: addresses, socket files, names, and what a round trip costs in system calls.
#include "catch.h"

#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>

#include "real_world.h"
#include "uring/address.h"

namespace lockstep::uring {
namespace {

using runtime::Connection;
using runtime::Task;
using namespace std::chrono_literals;

TEST_CASE("addresses are parsed or refused with the reason") {
  struct Row {
    const char* text;
    const char* host;
    const char* port;
  };
  for (const Row& row : {Row{"alpha:7410", "alpha", "7410"}, Row{"[::1]:1", "::1", "1"}, Row{"*:80", "", "80"},
                         Row{":80", "", "80"}, Row{"10.0.0.1:65535", "10.0.0.1", "65535"}}) {
    const auto parsed = parse_address(row.text);
    REQUIRE(parsed.has_value());
    CHECK(parsed->host == row.host);
    CHECK(parsed->port == row.port);
  }
  CHECK(parse_address("unix:/run/x").value().unix_path == "/run/x");
  const std::string zero_byte("al\0pha:1", 8);
  for (const std::string& bad : {std::string("alpha"), std::string("alpha:"), std::string("alpha:http"), std::string("::1:80"),
                                 std::string("alpha:65536"), std::string("alpha:-1"), std::string("[]:1"), std::string("unix:"),
                                 "unix:/" + std::string(200, 'x'), zero_byte, std::string()}) {
    const auto parsed = parse_address(bad);
    REQUIRE(!parsed.has_value());
    CHECK(parsed.error().code == Errc::refused);
  }
}

using Link = std::unique_ptr<Connection>;

Task<void> accept_one(runtime::Listener& listener, Link& link) {
  auto accepted = co_await listener.accept();
  REQUIRE(accepted.has_value());
  link = std::move(*accepted);
}

Task<void> say_hello(RealWorld& world, std::string listen_at, std::string connect_to) {
  auto listener = world.net.listen(listen_at);
  if (!listener) FAIL(listener.error().text);
  Link near, far;
  runtime::Scope scope(*world.loop);
  scope.spawn(accept_one(**listener, far));
  runtime::Stop stop;
  auto connected = co_await world.net.connect(connect_to, 5s, stop);
  if (!connected) FAIL(connected.error().text);
  near = std::move(*connected);
  co_await scope.join();
  const Bytes hello[] = {std::as_bytes(std::span("hello", 5))};
  REQUIRE(far->try_send(hello).value() == 5);
  std::array<std::byte, 16> buffer{};
  auto n = co_await near->receive(buffer);
  REQUIRE(n.has_value());
  CHECK(*n == 5);
}

TEST_CASE("a socket file is private, and that of a dead daemon is replaced") {
  const TemporaryDirectory directory;
  RealWorld world(directory.path());
  const std::string path = directory.path() + "/socket", address = "unix:" + path;
  world.run(say_hello(world, address, address));
  struct stat st {};
  REQUIRE(::stat(path.c_str(), &st) == 0);
  CHECK((st.st_mode & 0777) == 0600);
  world.run(say_hello(world, address, address));  // the file is still there; its listener is gone
  auto living = world.net.listen(address);
  REQUIRE(living.has_value());
  const auto second = world.net.listen(address);
  REQUIRE(!second.has_value());
  CHECK(second.error().code == Errc::refused);
  std::ofstream(directory.path() + "/file") << "x";
  CHECK(world.net.listen("unix:" + directory.path() + "/file").error().code == Errc::refused);
  CHECK(world.net.listen("unix:" + directory.path() + "/none/socket").error().code == Errc::refused);
}

TEST_CASE("names are resolved, and numbers of either kind taken as they are") {
  const TemporaryDirectory directory;
  RealWorld world(directory.path());
  const std::string port = std::to_string(20'000 + ::getpid() % 20'000);
  world.run(say_hello(world, "127.0.0.1:" + port, "127.0.0.1:" + port));
  world.run(say_hello(world, "*:" + port, "localhost:" + port));
  CHECK(world.loop->statistics().pool_hops == 1);
}

Task<void> connect_nowhere(RealWorld& world, std::string address, Duration timeout, Error& error) {
  runtime::Stop stop;
  auto connected = co_await world.net.connect(address, timeout, stop);
  REQUIRE(!connected.has_value());
  error = connected.error();
}

TEST_CASE("a name that does not exist is unavailable, and the error names it") {
  const TemporaryDirectory directory;
  RealWorld world(directory.path());
  Error error;
  world.run(connect_nowhere(world, "no-such-host.invalid:80", 10s, error));
  CHECK(error.code == Errc::unavailable);
  CHECK_THAT(error.text, Catch::Contains("no-such-host.invalid"));
  // A time limit ends the wait for a name too; the resolver ends by itself.
  world.run(connect_nowhere(world, "no-such-host-either.invalid:80", 0s, error));
  CHECK(error.code == Errc::unavailable);
}

Task<void> echo(Loop& loop, runtime::Net& net, std::string address) {
  runtime::Stop stop;
  auto connected = co_await net.connect(address, 5s, stop);
  if (!connected) co_return;
  std::array<std::byte, 4096> buffer{};
  for (;;) {
    auto n = co_await (*connected)->receive(buffer);
    if (!n || *n == 0) co_return;
    const Bytes parts[] = {Bytes(buffer).first(*n)};
    if (!(*connected)->try_send(parts)) co_return;
  }
}

Task<void> ask_often(RealWorld& world, runtime::Listener& listener, std::uint64_t turns, Statistics& spent) {
  Link link;
  co_await accept_one(listener, link);
  std::array<std::byte, 100> buffer{};
  const Bytes parts[] = {Bytes(buffer)};
  const Statistics before = world.loop->statistics();
  for (std::uint64_t i = 0; i < turns; ++i) {
    REQUIRE(link->try_send(parts).value() == buffer.size());
    auto n = co_await link->receive(buffer);
    REQUIRE(n.has_value());
    REQUIRE(*n == buffer.size());
  }
  const Statistics& after = world.loop->statistics();
  spent.sends = after.sends - before.sends;
  spent.enters = after.enters - before.enters;
  spent.reads = after.reads - before.reads;
  spent.others = after.others - before.others;
}

TEST_CASE("a request and its reply cost one send and at most two entries into the kernel for the loop") {
  const TemporaryDirectory directory;
  const std::string address = "unix:" + directory.path() + "/socket";
  std::array<int, 2> ready{};
  REQUIRE(::pipe(ready.data()) == 0);
  const pid_t child = ::fork();
  if (child == 0) {
    char byte = 0;
    ::read(ready[0], &byte, 1);
    auto loop = Loop::make().value();
    SocketNet net(*loop);
    loop->run(echo(*loop, net, address));
    ::_exit(0);
  }
  RealWorld world(directory.path());
  auto listener = world.net.listen(address);
  REQUIRE(listener.has_value());
  REQUIRE(::write(ready[1], "r", 1) == 1);
  Statistics spent;
  world.run(ask_often(world, **listener, 1000, spent));
  ::waitpid(child, nullptr, 0);
  CHECK(spent.sends == 1000);
  CHECK(spent.reads == 0);
  CHECK(spent.others == 0);
  CHECK(spent.enters <= 2010);
  ::close(ready[0]);
  ::close(ready[1]);
}

}  // namespace
}  // namespace lockstep::uring
