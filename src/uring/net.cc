#include "uring/net.h"

#include <fmt/format.h>
#include <netinet/in.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <atomic>
#include <cerrno>
#include <cstring>

#include "core/check.h"
#include "uring/connection.h"
#include "uring/descriptor.h"
#include "uring/ring_call.h"

namespace lockstep::uring {
namespace {

using runtime::Connection;
using runtime::Task;

constexpr int kBacklog = 128;

std::unexpected<Error> cannot(std::string_view what, std::string_view address, int error) {
  return fail(Errc::unavailable, fmt::format("cannot {} {}: {}", what, address, std::strerror(error)));
}

class SocketListener final : public runtime::Listener {
 public:
  SocketListener(Loop& loop, Descriptor fd, std::string address, NetOptions options)
      : loop_(loop), fd_(std::move(fd)), address_(std::move(address)), options_(options) {}
  ~SocketListener() override { CHECK(accepting_ == nullptr); }

  Task<Result<std::unique_ptr<Connection>>> accept() override {
    CHECK(accepting_ == nullptr);
    for (;;) {
      if (ended_) co_return stopped();
      RingCall call(loop_, RingRequest::accept(fd_.get()));
      accepting_ = &call;
      const int n = co_await call;
      accepting_ = nullptr;
      if (n >= 0 && !ended_) co_return accepted(Descriptor(n));
      if (n >= 0) Descriptor refused(n);
      if (ended_) co_return stopped();
      // What came and went again before it was taken is nothing.
      if (n == -EINTR || n == -EAGAIN || n == -ECONNABORTED || n == -EPROTO) continue;
      co_return cannot("accept at", address_, -n);
    }
  }

  void shutdown() override {
    if (std::exchange(ended_, true)) return;
    if (accepting_ != nullptr) accepting_->cancel();
  }

 private:
  std::unexpected<Error> stopped() const { return fail(Errc::stopped, "no longer listening at " + address_); }

  std::unique_ptr<Connection> accepted(Descriptor fd) {
    ++loop_.statistics().others;
    SocketAddress peer;
    peer.length = sizeof peer.storage;
    ::getpeername(fd.get(), reinterpret_cast<sockaddr*>(&peer.storage), &peer.length);
    set_up_socket(fd.get(), peer.family(), options_);
    std::string text = peer.family() == AF_UNIX ? "a process at " + address_ : peer.text();
    return std::make_unique<SocketConnection>(loop_, std::move(fd), std::move(text));
  }

  Loop& loop_;
  Descriptor fd_;
  std::string address_;
  NetOptions options_;
  RingCall* accepting_ = nullptr;
  bool ended_ = false;
};

/// A listening socket; none, with errno.
Descriptor listen_at(const SocketAddress& at, const NetOptions& options) {
  // Blocking, though nothing ever blocks: the ring waits only for sockets that are not O_NONBLOCK.
  Descriptor fd(::socket(at.family(), SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!fd) return Descriptor();
  const int yes = 1, no = 0;
  if (at.family() != AF_UNIX) ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
  if (at.family() == AF_INET6) ::setsockopt(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, &no, sizeof no);
  set_up_socket(fd.get(), at.family(), options);
  // The socket's mode before bind() is the mode of the file that bind() makes.
  if (at.family() == AF_UNIX) ::fchmod(fd.get(), 0600);
  if (::bind(fd.get(), at.get(), at.length) == 0 && ::listen(fd.get(), kBacklog) == 0) return fd;
  const int error = errno;
  fd = Descriptor();
  errno = error;
  return fd;
}

/// Takes away a socket file that nobody listens on any more. Errc::refused: somebody does, or it is no socket.
Result<> clear_socket_file(const SocketAddress& at, const std::string& path) {
  struct stat st {};
  if (::lstat(path.c_str(), &st) != 0) return {};
  if (!S_ISSOCK(st.st_mode)) return fail(Errc::refused, fmt::format("{} exists and is no socket; remove it", path));
  const Descriptor probe(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (::connect(probe.get(), at.get(), at.length) == 0 || errno != ECONNREFUSED) {
    return fail(Errc::refused, fmt::format("another process listens at {}", path));
  }
  ::unlink(path.c_str());
  return {};
}

}  // namespace

/// What ends a connect early: the time limit or the stop.
class SocketNet::Limit final : public Timer, public runtime::Stop::Listener {
 public:
  Limit(Loop& loop, runtime::Stop& stop, Instant deadline) : loop_(loop), stop_(stop) {
    loop_.add(*this, deadline);
    stop_.add(*this);
  }
  ~Limit() {
    loop_.remove(*this);
    stop_.remove(*this);
  }
  [[nodiscard]] bool reached() const { return timed_out_ || stop_.requested(); }
  [[nodiscard]] std::unexpected<Error> error(const std::string& address) const {
    if (stop_.requested()) return fail(Errc::stopped, "stopped while connecting to " + address);
    return fail(Errc::unavailable, fmt::format("cannot connect to {}: no answer in time", address));
  }
  /// What is given up when the limit is reached.
  RingCall* call = nullptr;
  runtime::Event* event = nullptr;

 private:
  void fire() override {
    timed_out_ = true;
    give_up();
  }
  void stopped() override { give_up(); }
  void give_up() {
    if (call != nullptr) call->cancel();
    if (event != nullptr) event->notify_all();
  }
  Loop& loop_;
  runtime::Stop& stop_;
  bool timed_out_ = false;
};

/// A name that is being asked for: it outlives the connects that wait for it, and those that come later wait for it too.
class SocketNet::Resolution final : public Pool::Job {
 public:
  Resolution(SocketNet& net, std::string name, ParsedAddress parsed)
      : done(net.loop_), net_(&net), name_(std::move(name)), parsed_(std::move(parsed)) {
    net.resolver_.start(*this);
  }
  runtime::Event done;
  Result<std::vector<SocketAddress>> addresses;
  std::size_t users = 0;
  /// Away with it once it is done and nobody looks at it.
  void leave() {
    if (done.is_set() && users == 0) net_->resolving_.erase(std::string(name_));
  }
  /// The net goes away first: from here on it owns itself.
  void orphan() {
    net_ = nullptr;
    orphaned_ = true;
  }

 private:
  void work() override {
    if (!orphaned_) addresses = resolve(parsed_, Resolve::names, false);
  }
  void returned() override {
    if (net_ == nullptr) {
      delete this;
      return;
    }
    done.set();
    leave();
  }
  SocketNet* net_;
  std::string name_;
  ParsedAddress parsed_;
  std::atomic<bool> orphaned_ = false;
};

SocketNet::SocketNet(Loop& loop, NetOptions options) : loop_(loop), options_(options), resolver_(loop, 1, "ls-resolve") {}

SocketNet::~SocketNet() {
  for (auto& [name, resolution] : resolving_) {
    CHECK(resolution->users == 0);
    resolution.release()->orphan();
  }
}

Result<std::unique_ptr<runtime::Listener>> SocketNet::listen(const std::string& address) {
  auto parsed = parse_address(address);
  if (!parsed) return std::unexpected(parsed.error());
  auto found = resolve(*parsed, Resolve::names, true);
  if (!found) return fail(Errc::refused, fmt::format("cannot listen at {}: {}", address, found.error().text));
  if (found->empty()) return fail(Errc::refused, fmt::format("cannot listen at {}: it is no address of a host", address));
  if (found->front().family() == AF_UNIX) {
    if (auto ok = clear_socket_file(found->front(), parsed->unix_path); !ok) return std::unexpected(ok.error());
  }
  int error = 0;
  for (const SocketAddress& at : *found) {
    Descriptor fd = listen_at(at, options_);
    if (fd) return std::make_unique<SocketListener>(loop_, std::move(fd), address, options_);
    if (error == 0) error = errno;
  }
  return fail(Errc::refused, fmt::format("cannot listen at {}: {}", address, std::strerror(error)));
}

Task<Result<std::vector<SocketAddress>>> SocketNet::addresses_of(std::string address, Limit& limit) {
  auto parsed = parse_address(address);
  if (!parsed) co_return std::unexpected(parsed.error());
  auto numeric = resolve(*parsed, Resolve::numeric, false);
  if (!numeric || !numeric->empty()) co_return numeric;
  auto& entry = resolving_[address];
  if (entry == nullptr) entry = std::make_unique<Resolution>(*this, address, std::move(*parsed));
  Resolution& resolution = *entry;
  ++resolution.users;
  limit.event = &resolution.done;
  while (!resolution.done.is_set() && !limit.reached()) co_await resolution.done.wait();
  limit.event = nullptr;
  Result<std::vector<SocketAddress>> answer;
  if (resolution.done.is_set()) {
    answer = resolution.addresses;
  } else {
    answer = limit.error(address);
  }
  --resolution.users;
  resolution.leave();
  co_return answer;
}

Task<Result<std::unique_ptr<Connection>>> SocketNet::connect_to(SocketAddress address, Limit& limit) {
  loop_.statistics().others += 2;
  Descriptor fd(::socket(address.family(), SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!fd) co_return cannot("make a socket for", address.text(), errno);
  set_up_socket(fd.get(), address.family(), options_);
  RingCall call(loop_, RingRequest::connect(fd.get(), address.get(), address.length));
  limit.call = &call;
  const int n = co_await call;
  limit.call = nullptr;
  if (n == 0) co_return std::make_unique<SocketConnection>(loop_, std::move(fd), address.text());
  if (limit.reached()) co_return limit.error(address.text());
  co_return cannot("connect to", address.text(), -n);
}

Task<Result<std::unique_ptr<Connection>>> SocketNet::connect(std::string address, Duration timeout, runtime::Stop& stop) {
  if (stop.requested()) co_return fail(Errc::stopped, "stopped before connecting to " + address);
  Limit limit(loop_, stop, Loop::now() + timeout);
  auto addresses = co_await addresses_of(address, limit);
  if (!addresses) co_return std::unexpected(addresses.error());
  Result<std::unique_ptr<Connection>> answer = fail(Errc::unavailable, "no address stands for " + address);
  for (const SocketAddress& one : *addresses) {
    if (limit.reached()) co_return limit.error(address);
    answer = co_await connect_to(one, limit);
    if (answer) break;
  }
  co_return answer;
}

}  // namespace lockstep::uring
