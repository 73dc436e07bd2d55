// The register in a real etcd of three members, with TLS, and against servers that are none.
#include "uring/etcd_register.h"

#include <fmt/format.h>
#include <signal.h>
#include <stdlib.h>

#include <fstream>

#include "catch.h"
#include "etcd_server.h"
#include "real_world.h"

using namespace lockstep;
using namespace lockstep::uring;
using runtime::RegisterState;
using runtime::Stop;
using runtime::SwapResult;
using runtime::Task;
using namespace std::chrono_literals;

namespace {

constexpr Duration kLong = 10s;

std::unique_ptr<EtcdRegister> make_register(RealWorld& real, std::vector<std::string> endpoints, TlsFiles tls = TlsFiles()) {
  auto made = EtcdRegister::make(*real.loop, {.endpoints = std::move(endpoints), .key = "/lockstep/test", .tls = std::move(tls)});
  if (!made) FAIL(made.error().text);
  return std::move(*made);
}

Task<void> read_into(EtcdRegister& at, Duration timeout, Result<RegisterState>& result) {
  Stop stop;
  result = co_await at.read(timeout, stop);
}

Task<void> swap_into(EtcdRegister& at, std::uint64_t expected, std::string value, Duration timeout, Result<SwapResult>& result) {
  Stop stop;
  result = co_await at.swap(expected, std::move(value), timeout, stop);
}

Result<RegisterState> read(RealWorld& real, EtcdRegister& at, Duration timeout = kLong) {
  Result<RegisterState> result;
  real.run(read_into(at, timeout, result));
  return result;
}

Result<SwapResult> swap(RealWorld& real, EtcdRegister& at, std::uint64_t expected, std::string value, Duration timeout = kLong) {
  Result<SwapResult> result;
  real.run(swap_into(at, expected, std::move(value), timeout, result));
  return result;
}

RegisterState must_read(RealWorld& real, EtcdRegister& at) {
  const auto state = read(real, at);
  if (!state) FAIL(state.error().text);
  return *state;
}

/// As those do who ask an arbiter: members that elect a leader refuse, and are asked again.
RegisterState read_when_elected(RealWorld& real, EtcdRegister& at) {
  for (const Instant deadline = Loop::now() + kLong;;) {
    const auto state = read(real, at);
    if (state) return *state;
    if (state.error().code != Errc::unavailable || Loop::now() > deadline) FAIL(state.error().text);
  }
}

RegisterState must_swap(RealWorld& real, EtcdRegister& at, std::uint64_t expected, std::string value) {
  const auto result = swap(real, at, expected, std::move(value));
  if (!result) FAIL(result.error().text);
  REQUIRE(result->swapped);
  return result->now;
}

/// Answers every request with the same bytes, whatever they are, and closes.
class Server {
 public:
  Server(RealWorld& real, std::string answer)
      : real_(real), answer_(std::move(answer)), port_(free_port()), scope_(*real.loop) {
    auto listener = real_.net.listen(fmt::format("127.0.0.1:{}", port_));
    REQUIRE(listener.has_value());
    listener_ = std::move(*listener);
    scope_.spawn(serve());
  }
  ~Server() { real_.run(end()); }
  std::string url() const { return fmt::format("http://127.0.0.1:{}", port_); }
  std::vector<std::string> requests;  ///< first lines

 private:
  Task<void> serve() {
    for (;;) {
      auto link = co_await listener_->accept();
      if (!link) co_return;
      co_await answer_one(**link);
    }
  }
  Task<void> answer_one(runtime::Connection& link) {
    std::string request;
    std::vector<std::byte> buffer(4096);
    // The body is the last thing, and JSON: complete with the brace that closes it.
    while (!request.ends_with("}]}") && !request.ends_with("\"}")) {
      const auto n = co_await link.receive(buffer);
      if (!n || *n == 0) co_return;
      request.append(reinterpret_cast<const char*>(buffer.data()), *n);
    }
    requests.push_back(request.substr(0, request.find("\r\n")));
    Bytes rest = std::as_bytes(std::span(answer_));
    while (!rest.empty()) {
      const Bytes parts[] = {rest};
      const auto sent = link.try_send(parts);
      if (!sent) co_return;
      rest = rest.subspan(*sent);
      if (rest.empty()) break;
      const auto ready = co_await link.sendable();
      if (!ready) co_return;
    }
    link.shutdown();
  }
  Task<void> end() {
    listener_->shutdown();
    scope_.close();
    co_await scope_.join();
  }
  RealWorld& real_;
  std::string answer_;
  int port_;
  std::unique_ptr<runtime::Listener> listener_;
  runtime::Scope scope_;
};

std::string http(std::string_view status, std::string_view body) {
  return fmt::format("HTTP/1.1 {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{}", status, body.size(), body);
}

std::string dead_url() { return fmt::format("http://127.0.0.1:{}", free_port()); }

constexpr const char* kNothingThere = R"({"header":{"cluster_id":"1"}})";

}  // namespace

TEST_CASE("of three members one may be killed, and another hang for a while") {
  EtcdServer server(3);
  TemporaryDirectory directory;
  RealWorld real(directory.path());
  const auto at = make_register(real, server.endpoints());
  RegisterState state = must_swap(real, *at, 0, "three");

  server.signal(0, SIGKILL);
  CHECK(read_when_elected(real, *at) == state);
  state = must_swap(real, *at, state.revision, "two");
  const auto fresh = make_register(real, server.endpoints());  // asks the dead one first
  state = must_swap(real, *fresh, state.revision, "two again");

  server.signal(1, SIGSTOP);  // one of three is no majority
  const auto unread = read(real, *at, 500ms);
  REQUIRE_FALSE(unread);
  CHECK(unread.error().code == Errc::unavailable);
  const auto swapped = swap(real, *at, state.revision, "one", 500ms);
  REQUIRE_FALSE(swapped);
  CHECK((swapped.error().code == Errc::unknown || swapped.error().code == Errc::unavailable));

  server.signal(1, SIGCONT);
  RegisterState after = read_when_elected(real, *at);
  if (after != state) {
    CHECK(swapped.error().code == Errc::unknown);
    CHECK(after.value == "one");
  }
}

TEST_CASE("a read does not wait long for a member that hangs") {
  EtcdServer server(3);
  TemporaryDirectory directory;
  RealWorld real(directory.path());
  const auto at = make_register(real, server.endpoints());
  const RegisterState state = must_swap(real, *at, 0, "x");
  server.signal(0, SIGSTOP);
  const Instant start = Loop::now();
  const auto answered = read(real, *at, 6s);
  if (!answered) FAIL(answered.error().text);
  CHECK(*answered == state);
  CHECK(Loop::now() - start < 4s);
  // Who answered is asked first from then on: the swap does not run into the one that hangs.
  must_swap(real, *at, state.revision, "y");
  server.signal(0, SIGCONT);
}

TEST_CASE("an endpoint may be a name") {
  EtcdServer server(1);
  TemporaryDirectory directory;
  RealWorld real(directory.path());
  const std::string endpoint = server.endpoints().front();
  const auto at = make_register(real, {"http://localhost:" + endpoint.substr(endpoint.rfind(':') + 1)});
  must_swap(real, *at, 0, "x");
  const auto nobody = make_register(real, {"http://no-such-host.invalid:2379"});
  const auto unread = read(real, *nobody, 1s);
  REQUIRE_FALSE(unread);
  CHECK(unread.error().code == Errc::unavailable);
  CHECK(unread.error().text.find("http://no-such-host.invalid:2379") != std::string::npos);
}

TEST_CASE("a proxy of the environment is not used") {
  ::setenv("http_proxy", "http://127.0.0.1:1", 1);
  ::setenv("ALL_PROXY", "http://127.0.0.1:1", 1);
  TemporaryDirectory directory;
  RealWorld real(directory.path());
  const Server server(real, http("200 OK", kNothingThere));
  const auto at = make_register(real, {server.url()});
  CHECK(must_read(real, *at) == RegisterState{});
  ::unsetenv("http_proxy");
  ::unsetenv("ALL_PROXY");
}

TEST_CASE("where nobody listens a read and a swap are unavailable, and name every endpoint") {
  TemporaryDirectory directory;
  RealWorld real(directory.path());
  const std::string a = dead_url(), b = dead_url();
  const auto at = make_register(real, {a, b});
  const Instant start = Loop::now();
  const auto unread = read(real, *at);
  REQUIRE_FALSE(unread);
  CHECK(unread.error().code == Errc::unavailable);
  const auto swapped = swap(real, *at, 0, "x");
  REQUIRE_FALSE(swapped);
  CHECK(swapped.error().code == Errc::unavailable);
  CHECK(Loop::now() - start < kLong);
  for (const std::string& text : {unread.error().text, swapped.error().text}) {
    CHECK(text.starts_with("the arbiter can't be reached: "));
    CHECK(text.find(a) != std::string::npos);
    CHECK(text.find(b) != std::string::npos);
  }
}

TEST_CASE("a swap that was sent and not answered is unknown, and sent nowhere else") {
  TemporaryDirectory directory;
  RealWorld real(directory.path());
  const Server other(real, http("200 OK", kNothingThere));
  for (const std::string& answer :
       {std::string(), std::string("HTTP/1.1 200 OK\r\n"), http("503 Service Unavailable", R"({"message":"x","code":14})"),
        http("200 OK", "{}"), std::string("SSH-2.0-x\r\n"), http("200 OK", kNothingThere).substr(0, 90),
        http("307 Temporary Redirect\r\nLocation: " + other.url() + "/v3/kv/txn", "")}) {
    INFO(answer);
    const Server server(real, answer);
    const auto at = make_register(real, {server.url(), other.url()});
    const auto swapped = swap(real, *at, 0, "x");
    REQUIRE_FALSE(swapped);
    CHECK(swapped.error().code == Errc::unknown);
    CHECK(swapped.error().text.find(server.url()) != std::string::npos);
    CHECK(server.requests == std::vector<std::string>{"POST /v3/kv/txn HTTP/1.1"});
  }
  CHECK(other.requests.empty());
}

TEST_CASE("a swap that was not sent, or clearly refused, goes to the next endpoint") {
  EtcdServer etcd(1);
  TemporaryDirectory directory;
  RealWorld real(directory.path());
  const Server absent(real, http("404 Not Found", "Not Found\n"));
  const Server full(real, http("429 Too Many Requests", R"({"message":"etcdserver: too many requests","code":8})"));
  const auto at = make_register(real, {dead_url(), absent.url(), full.url(), etcd.endpoints().front()});
  must_swap(real, *at, 0, "x");
  CHECK(absent.requests.size() == 1);
  CHECK(full.requests.size() == 1);
}

TEST_CASE("a read takes the first endpoint that answers as etcd does") {
  EtcdServer etcd(1);
  TemporaryDirectory directory;
  RealWorld real(directory.path());
  const Server closes(real, ""), talks(real, "220 mail.example.org\r\n"), is_absent(real, http("404 Not Found", "")),
      is_long(real, http("200 OK", std::string(1 << 20, ' '))), is_ill(real, http("503 Service Unavailable", "{}"));
  const auto at = make_register(real, {dead_url(), closes.url(), talks.url(), is_absent.url(), is_long.url(), is_ill.url(),
                                       etcd.endpoints().front()});
  CHECK(must_read(real, *at) == RegisterState{});
  CHECK(is_ill.requests.size() == 1);
  CHECK(must_read(real, *at) == RegisterState{});
  CHECK(is_ill.requests.size() == 1);  // the one that answered is asked first
}

TEST_CASE("an answer that does not end is given up at its bound") {
  TemporaryDirectory directory;
  RealWorld real(directory.path());
  const Server server(real, "HTTP/1.1 200 OK\r\n\r\n" + std::string(8 << 20, ' '));
  const auto at = make_register(real, {server.url()});
  const auto unread = read(real, *at);
  REQUIRE_FALSE(unread);
  CHECK(unread.error().text.find("its answer has more than 131072 bytes") != std::string::npos);
}

TEST_CASE("members of another etcd are no arbiter") {
  TemporaryDirectory directory;
  RealWorld real(directory.path());
  EtcdServer etcd(1);
  auto server = std::make_unique<Server>(real, http("200 OK", kNothingThere));
  const auto at = make_register(real, {server->url(), etcd.endpoints().front()});
  CHECK(must_read(real, *at) == RegisterState{});
  server.reset();
  const auto unread = read(real, *at);
  REQUIRE_FALSE(unread);
  CHECK(unread.error().code == Errc::unavailable);
  CHECK(unread.error().text.find(etcd.endpoints().front() + " belongs to the etcd with cluster_id ") != std::string::npos);
  const auto swapped = swap(real, *at, 0, "elsewhere");
  REQUIRE_FALSE(swapped);
  CHECK(swapped.error().code == Errc::unknown);
}

namespace {

/// A certification authority in `directory`, with a certificate for 127.0.0.1.
void make_certificates(const std::string& directory) {
  std::ofstream(directory + "/make.sh") << R"(set -e
cd "$1"
for ca in ca other; do openssl req -x509 -newkey rsa:2048 -nodes -keyout $ca.key -out $ca.pem -subj /CN=$ca -days 2; done
openssl req -newkey rsa:2048 -nodes -keyout site.key -out site.csr -subj /CN=site
printf 'subjectAltName=IP:127.0.0.1\nextendedKeyUsage=serverAuth,clientAuth\n' >site.ext
openssl x509 -req -in site.csr -CA ca.pem -CAkey ca.key -CAcreateserial -out site.pem -days 2 -extfile site.ext
)";
  const std::string command = fmt::format("sh {0}/make.sh {0} >{0}/make.log 2>&1", directory);
  if (std::system(command.c_str()) != 0) FAIL("openssl makes no certificates; is the Debian package openssl installed?");
}

}  // namespace

TEST_CASE("an arbiter may ask for certificates, and has to show one") {
  TemporaryDirectory certificates;
  const std::string at_path = certificates.path();
  make_certificates(at_path);
  EtcdServer etcd(1, {"--cert-file", at_path + "/site.pem", "--key-file", at_path + "/site.key", "--client-cert-auth",
                      "--trusted-ca-file", at_path + "/ca.pem"}, "https");
  TemporaryDirectory directory;
  RealWorld real(directory.path());
  const TlsFiles right{at_path + "/ca.pem", at_path + "/site.pem", at_path + "/site.key"};
  const auto at = make_register(real, etcd.endpoints(), right);
  const RegisterState state = must_swap(real, *at, 0, "secret");
  CHECK(must_read(real, *at) == state);

  const auto wary = make_register(real, etcd.endpoints(), {at_path + "/other.pem", right.certificate, right.private_key});
  const auto not_sent = swap(real, *wary, state.revision, "x");
  REQUIRE_FALSE(not_sent);
  CHECK(not_sent.error().code == Errc::unavailable);
  const auto nameless = make_register(real, etcd.endpoints(), {.ca = right.ca});
  const auto unread = read(real, *nameless);
  REQUIRE_FALSE(unread);
  CHECK(unread.error().code == Errc::unavailable);
  CHECK(must_read(real, *at) == state);
}

TEST_CASE("files of certificates that can't be read are told at once") {
  TemporaryDirectory directory;
  RealWorld real(directory.path());
  const auto made = EtcdRegister::make(*real.loop, {.endpoints = {"https://a:1"}, .key = "k", .tls = {.ca = "/no/such/ca.pem"}});
  REQUIRE_FALSE(made);
  CHECK(made.error().code == Errc::invalid);
  CHECK(made.error().text == "arbiter.ca: /no/such/ca.pem can't be read: No such file or directory");
}
