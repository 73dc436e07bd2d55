#include "peer/link.h"

#include "core/log.h"
#include "peer/handshake.h"

namespace lockstep::peer {
namespace {

constexpr std::size_t kStrangersMax = 16;  // connections without an accepted HELLO at one time

}  // namespace

Link::Link(runtime::World& world, LinkOptions options, LinkUser& user)
    : world_(world), options_(std::move(options)), user_(user), free_(world.scheduler), scope_(world.scheduler) {
  free_.set();
}

Link::~Link() { CHECK(scope_.running() == 0); }

Result<> Link::start() {
  if (!options_.listen_address.empty()) {
    Result<std::unique_ptr<runtime::Listener>> listener = world_.net.listen(options_.listen_address);
    if (!listener) return std::unexpected(listener.error());
    listener_ = std::move(*listener);
    scope_.spawn(accept_loop());
  } else {
    scope_.spawn(dial_loop());
  }
  return {};
}

void Link::end() {
  stop_.request();
  if (listener_) listener_->shutdown();
  if (current_ != nullptr) current_->shutdown();
}

runtime::Task<void> Link::stop() {
  end();
  co_await scope_.join();
}

runtime::Task<void> Link::accept_loop() {
  while (!stop_.requested()) {
    Result<std::unique_ptr<runtime::Connection>> accepted = co_await listener_->accept();
    if (!accepted) {
      if (accepted.error().code == Errc::stopped) co_return;
      log::warning("accepting a connection from {} failed: {}", options_.peer, accepted.error().text);
      co_await world_.clock.sleep_until(world_.clock.now() + options_.reconnect_first, stop_);
      continue;
    }
    if (strangers_ >= kStrangersMax) {
      (*accepted)->shutdown();
      continue;
    }
    scope_.spawn(incoming(std::move(*accepted)));
  }
}

runtime::Task<void> Link::incoming(std::unique_ptr<runtime::Connection> connection) {
  ++strangers_;
  co_await talk(std::move(connection));
}

runtime::Task<void> Link::dial_loop() {
  Duration pause = options_.reconnect_first;
  while (!stop_.requested()) {
    Result<std::unique_ptr<runtime::Connection>> connected =
        co_await world_.net.connect(options_.dial_address, options_.connect_timeout, stop_);
    if (connected) {
      const std::uint64_t before = sessions_;
      ++strangers_;
      co_await talk(std::move(*connected));
      if (sessions_ != before) pause = options_.reconnect_first;
    } else if (!stop_.requested()) {
      user_.not_connected(fmt::format("site {} can't be reached at {}: {}", options_.peer, options_.dial_address,
                                      connected.error().text));
    }
    // Some spread, so that two ends that fail in step do not stay in step.
    const Duration spread{static_cast<std::int64_t>(world_.random.next() % static_cast<std::uint64_t>(pause.count() / 4 + 1))};
    co_await world_.clock.sleep_until(world_.clock.now() + pause + spread, stop_);
    pause = std::min(pause * 2, options_.reconnect_max);
  }
}

runtime::Task<Result<wire::Hello>> Link::shake_hands(Session& session, wire::Hello& ours) {
  ours = user_.hello();
  session.send(ours);
  session.flush();
  Result<Incoming> first = co_await session.receive();
  if (!first) co_return std::unexpected(first.error());
  if (const auto* refused = std::get_if<wire::Refuse>(&first->message)) {
    co_return fail(Errc::refused, "it refuses this site: " + refused->reason);
  }
  auto* theirs = std::get_if<wire::Hello>(&first->message);
  if (theirs == nullptr) co_return fail(Errc::invalid, "its first message is no HELLO");
  if (const std::optional<std::string> reason = reason_to_refuse(ours, *theirs, options_.peer)) {
    session.send(wire::Refuse{*reason});
    session.flush();
    co_return fail(Errc::refused, *reason);
  }
  co_return std::move(*theirs);
}

runtime::Task<void> Link::deadline(Session& session, Duration after, runtime::Stop& stop) {
  const bool passed = co_await world_.clock.sleep_until(world_.clock.now() + after, stop);
  if (passed) session.shutdown();
}

runtime::Task<void> Link::talk(std::unique_ptr<runtime::Connection> connection) {
  Session session(world_.scheduler, std::move(connection));
  const std::string address = session.peer_address();
  runtime::Stop shaken;
  runtime::Scope guards(world_.scheduler);
  guards.spawn(deadline(session, options_.peer_timeout, shaken));
  wire::Hello ours;
  Result<wire::Hello> theirs = co_await shake_hands(session, ours);
  shaken.request();
  co_await guards.join();
  --strangers_;
  if (!theirs || stop_.requested()) {
    if (!theirs) {
      user_.not_connected(fmt::format("connection with {}: {}", address, theirs.error().text));
      log::warning("connection with {} closed: {}", address, theirs.error().text);
    }
    session.shutdown();
    co_await session.join();
    co_return;
  }
  while (current_ != nullptr) {
    log::info("a new connection from {} replaces the one there was", options_.peer);
    current_->shutdown();
    co_await free_.wait();
  }
  if (stop_.requested()) {
    session.shutdown();
    co_await session.join();
    co_return;
  }
  current_ = &session;
  free_.reset();
  ++sessions_;
  last_heard_ = echoed_at_ = world_.clock.now();
  ping_number_ = ping_echoed_ = their_ping_ = 0;
  pings_sent_.clear();
  runtime::Stop ended;
  guards.spawn(heartbeat(session, ended));
  co_await user_.serve(*this, session, std::move(ours), std::move(*theirs));
  ended.request();
  session.shutdown();
  co_await guards.join();
  co_await session.join();
  current_ = nullptr;
  free_.set();
}

void Link::ping(Session& session) {
  const Pulse pulse = user_.pulse();
  const Instant now = world_.clock.now();
  session.send(wire::Ping{++ping_number_, their_ping_, pulse.stable, pulse.waits_from, pulse.urgent, pulse.short_of_room});
  session.flush();
  pings_sent_.push_back(now);
  if (their_ping_ != 0) user_.answered(now);
}

void Link::ping_now() {
  if (current_ != nullptr && !current_->ended()) ping(*current_);
}

void Link::drop_session() {
  if (current_ != nullptr) current_->shutdown();
}

runtime::Task<void> Link::heartbeat(Session& session, runtime::Stop& stop) {
  while (!session.ended()) {
    ping(session);
    const bool slept = co_await world_.clock.sleep_until(world_.clock.now() + options_.heartbeat, stop);
    if (!slept) co_return;
    const Instant now = world_.clock.now();
    if (now - last_heard_ > options_.peer_timeout || now - echoed_at_ > options_.peer_timeout) {
      log::warning("site {} has not {} for {} ms: connection closed", options_.peer,
                   now - last_heard_ > options_.peer_timeout ? "been heard" : "heard this site",
                   std::chrono::duration_cast<std::chrono::milliseconds>(options_.peer_timeout).count());
      session.shutdown();
      co_return;
    }
  }
}

runtime::Task<Result<Incoming>> Link::receive(Session& session) {
  for (;;) {
    Result<Incoming> incoming = co_await session.receive();
    if (!incoming) {
      if (incoming.error().code == Errc::invalid) {
        log::error("site {} at {} sent bytes that break the protocol: {}; connection closed", options_.peer,
                   session.peer_address(), incoming.error().text);
      }
      co_return std::unexpected(incoming.error());
    }
    last_heard_ = world_.clock.now();
    const auto* ping = std::get_if<wire::Ping>(&incoming->message);
    if (ping == nullptr) co_return incoming;
    their_ping_ = ping->number;
    while (ping_echoed_ < ping->echo && !pings_sent_.empty()) {
      ++ping_echoed_;
      echoed_at_ = last_heard_;
      user_.heard(pings_sent_.front());
      pings_sent_.pop_front();
    }
    user_.pulse_of_peer(Pulse{ping->stable, ping->waits_from, ping->urgent, ping->short_of_room});
  }
}

}  // namespace lockstep::peer
