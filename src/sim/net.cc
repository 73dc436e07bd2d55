#include "sim/net.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "core/check.h"
#include "sim/machine.h"

namespace lockstep::sim {
namespace {

Machine* machine_of(Universe& universe, const std::string& address) {
  const std::string host = address.substr(0, address.rfind(':'));
  for (const auto& machine : universe.machines()) {
    if (machine->name() == host) return machine.get();
  }
  return nullptr;
}

/// One connect under way. It ends once, by whatever comes first; what the network does later finds it over.
struct Attempt final : runtime::Stop::Listener {
  enum class End { none, connected, refused, timeout, stopped };

  Attempt(Process& p, runtime::Stop& s) : process(p), stop(s) {}

  void finish(End how) {
    if (end != End::none || !process.alive()) return;
    end = how;
    process.universe().cancel(timer);
    if (how != End::stopped) stop.remove(*this);
    if (waiter) process.post(waiter);
  }
  void stopped() override { finish(End::stopped); }

  [[nodiscard]] bool over() const { return end != End::none || !process.alive(); }

  Process& process;
  runtime::Stop& stop;
  End end = End::none;
  Universe::EventId timer = 0;
  std::coroutine_handle<> waiter;
  std::shared_ptr<Stream> stream;
};

struct AttemptEnd {
  Attempt& attempt;
  explicit AttemptEnd(Attempt& a) : attempt(a) {}
  bool await_ready() const { return attempt.end != Attempt::End::none; }
  void await_suspend(std::coroutine_handle<> h) { attempt.waiter = h; }
  void await_resume() const {}
};

/// The call has reached the machine that is to listen.
void knock(Network& network, const std::shared_ptr<Attempt>& attempt, Machine& from, Machine& to,
           const std::string& address) {
  if (attempt->over() || network.blocked(from, to)) return;
  SimListener* listener = network.listener(address);
  std::shared_ptr<Stream> stream;
  if (listener != nullptr) {
    stream = network.open(attempt->process, listener->process(), address);
    listener->arrived(stream);
  }
  network.universe().after(network.draw_delay(to, from), nullptr, [&network, attempt, &from, &to, stream] {
    if (attempt->over() || network.blocked(to, from)) {
      if (stream != nullptr) network.close(stream, 0);
      return;
    }
    attempt->stream = stream;
    attempt->finish(stream != nullptr ? Attempt::End::connected : Attempt::End::refused);
  });
}

}  // namespace

SimConnection::SimConnection(Process& process, Network& network, std::shared_ptr<Stream> stream, int end)
    : process_(process), network_(network), stream_(std::move(stream)), end_(end), changed_(process) {
  mine().handle = this;
}

SimConnection::~SimConnection() {
  CHECK(changed_.waiters() == 0);
  mine().handle = nullptr;
  if (process_.alive()) network_.close(stream_, end_);
}

std::string SimConnection::peer_address() const {
  return end_ == 0 ? stream_->address : stream_->ends[0].machine->name() + ":connected";
}

std::unexpected<Error> SimConnection::gone() const {
  const char* why = mine().open ? "the connection was lost" : "the connection was closed here";
  return fail(Errc::unavailable, fmt::format("{}: {}", peer_address(), why));
}

runtime::Task<Result<std::size_t>> SimConnection::receive(MutableBytes into) {
  CHECK(!into.empty());
  while (true) {
    StreamEnd& end = mine();
    if (!end.open) co_return gone();
    if (!end.received.empty()) break;
    if (end.broken) co_return gone();
    if (end.peer_closed) co_return std::size_t{0};
    co_await changed_.wait();
  }
  std::string& received = mine().received;
  std::size_t n = std::min(into.size(), received.size());
  if (n > 1 && network_.prng().chance(network_.weather.short_receive_permille)) n = 1 + network_.prng().below(n);
  std::memcpy(into.data(), received.data(), n);
  received.erase(0, n);
  if (process_.alive()) network_.acknowledge(stream_, end_, n);
  co_return n;
}

Result<std::size_t> SimConnection::try_send(std::span<const Bytes> parts) {
  if (!mine().open || mine().broken) return gone();
  if (!process_.alive()) return std::size_t{0};
  return network_.send(stream_, end_, parts);
}

runtime::Task<Result<>> SimConnection::sendable() {
  while (true) {
    if (!mine().open || mine().broken) co_return gone();
    if (mine().outstanding < network_.weather.buffer_bytes) co_return Result<>{};
    co_await changed_.wait();
  }
}

void SimConnection::shutdown() {
  if (process_.alive()) network_.close(stream_, end_);
}

SimListener::~SimListener() { shutdown(); }

runtime::Task<Result<std::unique_ptr<runtime::Connection>>> SimListener::accept() {
  while (!stopped_ && waiting_.empty()) co_await changed_.wait();
  if (stopped_) co_return fail(Errc::stopped, "no longer listening");
  auto stream = std::move(waiting_.front());
  waiting_.pop_front();
  co_return std::unique_ptr<runtime::Connection>(
      std::make_unique<SimConnection>(process_, network_, std::move(stream), 1));
}

void SimListener::shutdown() {
  stopped_ = true;
  changed_.notify_all();
  if (!process_.alive()) return;
  network_.remove_listener(*this);
  for (const auto& stream : std::exchange(waiting_, {})) network_.close(stream, 1);
}

void SimListener::arrived(std::shared_ptr<Stream> stream) {
  waiting_.push_back(std::move(stream));
  changed_.notify_all();
}

std::string SimNet::full_address(const std::string& address) const {
  return address.starts_with("unix:") ? process_.machine().name() + "/" + address : address;
}

Result<std::unique_ptr<runtime::Listener>> SimNet::listen(const std::string& address) {
  if (!address.starts_with("unix:") && machine_of(process_.universe(), address) != &process_.machine()) {
    return fail(Errc::refused,
                fmt::format("can't listen on {}: that is not an address of {}", address, process_.machine().name()));
  }
  auto listener = std::make_unique<SimListener>(process_, network_);
  if (process_.alive() && !network_.add_listener(full_address(address), *listener)) {
    return fail(Errc::refused, fmt::format("can't listen on {}: it is in use", address));
  }
  return listener;
}

runtime::Task<Result<std::unique_ptr<runtime::Connection>>> SimNet::connect(std::string address, Duration timeout,
                                                                            runtime::Stop& stop) {
  if (stop.requested()) co_return fail(Errc::stopped, "stopping");
  Machine& from = process_.machine();
  Machine* to = address.starts_with("unix:") ? &from : machine_of(process_.universe(), address);
  const auto attempt = std::make_shared<Attempt>(process_, stop);
  stop.add(*attempt);
  Attempt* it = attempt.get();
  attempt->timer = process_.universe().after(timeout, &process_, [it] { it->finish(Attempt::End::timeout); });
  if (to != nullptr) {
    Network* network = &network_;
    Machine* source = &from;
    const std::string full = full_address(address);
    process_.universe().after(network_.draw_delay(from, *to), nullptr,
                              [network, attempt, source, to, full] { knock(*network, attempt, *source, *to, full); });
  } else {
    // An unknown name is found out soon.
    process_.universe().after(Duration(1000), nullptr, [attempt] { attempt->finish(Attempt::End::refused); });
  }
  co_await AttemptEnd(*attempt);
  switch (attempt->end) {
    case Attempt::End::connected:
      co_return std::unique_ptr<runtime::Connection>(
          std::make_unique<SimConnection>(process_, network_, attempt->stream, 0));
    case Attempt::End::refused: co_return fail(Errc::unavailable, fmt::format("{}: nobody listens there", address));
    case Attempt::End::stopped: co_return fail(Errc::stopped, "stopping");
    default:
      co_return fail(Errc::unavailable,
                     fmt::format("{}: no answer within {} ms", address, timeout.count() / 1'000'000));
  }
}

}  // namespace lockstep::sim
