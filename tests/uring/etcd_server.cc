#include "etcd_server.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>
#include <set>
#include <sstream>

#include "catch.h"
#include "uring/descriptor.h"

namespace lockstep::uring {
namespace {

constexpr const char* kEtcd = "/usr/bin/etcd";
constexpr int kTries = 300;  // of 100 ms each

sockaddr_in loopback(int port) {
  sockaddr_in at{};
  at.sin_family = AF_INET;
  at.sin_port = htons(static_cast<std::uint16_t>(port));
  at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return at;
}

/// A member tells of its health in HTTP; with TLS it is enough that it listens.
bool answers(int port, bool http) {
  const Descriptor fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const sockaddr_in at = loopback(port);
  if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&at), sizeof at) != 0) return false;
  if (!http) return true;
  const std::string request = "GET /health HTTP/1.0\r\n\r\n";
  if (::send(fd.get(), request.data(), request.size(), MSG_NOSIGNAL) < 0) return false;
  std::string answer(4096, '\0');
  std::size_t filled = 0;
  for (ssize_t n = 0; filled < answer.size(); filled += static_cast<std::size_t>(n))
    if (n = ::recv(fd.get(), answer.data() + filled, answer.size() - filled, 0); n <= 0) break;
  return answer.substr(0, filled).find("\"health\":\"true\"") != std::string::npos;
}

}  // namespace

int free_port() {
  static std::set<int> given;
  for (;;) {
    const Descriptor probe(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in at = loopback(0);
    socklen_t length = sizeof at;
    REQUIRE(::bind(probe.get(), reinterpret_cast<sockaddr*>(&at), length) == 0);
    REQUIRE(::getsockname(probe.get(), reinterpret_cast<sockaddr*>(&at), &length) == 0);
    if (given.insert(ntohs(at.sin_port)).second) return ntohs(at.sin_port);
  }
}

EtcdServer::EtcdServer(int members, const std::vector<std::string>& more, const std::string& scheme) {
  if (::access(kEtcd, X_OK) != 0) FAIL(kEtcd << " is not there; install the Debian package etcd-server");
  std::string peers;
  for (int i = 0; i < members; ++i) {
    ports_.push_back(free_port());
    endpoints_.push_back(fmt::format("{}://127.0.0.1:{}", scheme, ports_.back()));
    peer_urls_.push_back(fmt::format("http://127.0.0.1:{}", free_port()));
    peers += fmt::format("{}m{}={}", i == 0 ? "" : ",", i, peer_urls_.back());
  }
  for (std::size_t i = 0; i < endpoints_.size(); ++i) start(i, peers, more);
  for (std::size_t i = 0; i < endpoints_.size(); ++i) wait_until_it_answers(i, scheme);
}

EtcdServer::~EtcdServer() {
  for (std::size_t i = 0; i < pids_.size(); ++i) signal(i, SIGKILL);
}

void EtcdServer::signal(std::size_t member, int signal) {
  if (pids_[member] <= 0) return;
  ::kill(pids_[member], signal);
  if (signal == SIGSTOP) ::waitpid(pids_[member], nullptr, WUNTRACED);  // until it has really stopped
  if (signal != SIGKILL) return;
  ::waitpid(pids_[member], nullptr, 0);
  pids_[member] = -1;
}

void EtcdServer::start(std::size_t member, const std::string& peers, const std::vector<std::string>& more) {
  const std::string log = fmt::format("{}/m{}.log", directory_.path(), member);
  // Faster than its defaults, for elections to take tenths of seconds.
  std::vector<std::string> arguments{kEtcd,
                                     "--name", fmt::format("m{}", member),
                                     "--data-dir", fmt::format("{}/m{}", directory_.path(), member),
                                     "--listen-client-urls", endpoints_[member],
                                     "--advertise-client-urls", endpoints_[member],
                                     "--listen-peer-urls", peer_urls_[member],
                                     "--initial-advertise-peer-urls", peer_urls_[member],
                                     "--initial-cluster", peers,
                                     "--initial-cluster-token", directory_.path(),
                                     "--heartbeat-interval", "50",
                                     "--election-timeout", "500",
                                     "--logger", "zap"};
  arguments.insert(arguments.end(), more.begin(), more.end());
  std::vector<char*> argv;
  for (std::string& argument : arguments) argv.push_back(argument.data());
  argv.push_back(nullptr);
  const pid_t parent = ::getpid();
  const pid_t pid = ::fork();
  REQUIRE(pid >= 0);
  if (pid == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (::getppid() != parent) ::_exit(1);
    const int out = ::open(log.c_str(), O_CREAT | O_WRONLY | O_TRUNC, 0600);
    ::dup2(out, 1);
    ::dup2(out, 2);
    ::execv(kEtcd, argv.data());
    ::_exit(127);
  }
  pids_.push_back(pid);
}

void EtcdServer::wait_until_it_answers(std::size_t member, const std::string& scheme) {
  for (int i = 0; i < kTries; ++i) {
    if (answers(ports_[member], scheme == "http")) return;
    if (::waitpid(pids_[member], nullptr, WNOHANG) == pids_[member]) {
      pids_[member] = -1;
      break;
    }
    ::usleep(100'000);
  }
  FAIL("etcd does not start: " << log_of(member));
}

std::string EtcdServer::log_of(std::size_t member) const {
  std::ifstream in(fmt::format("{}/m{}.log", directory_.path(), member));
  std::ostringstream text;
  text << in.rdbuf();
  return text.str().substr(text.str().size() > 4000 ? text.str().size() - 4000 : 0);
}

}  // namespace lockstep::uring
