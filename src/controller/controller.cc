#include "controller/controller.h"

#include <fmt/format.h>

namespace lockstep::controller {

Controller::Controller(runtime::World& world, volume::Volume& volume, area::Area& area, ControllerOptions options)
    : options_(std::move(options)), replica_(world, volume, area, options_.self, options_.stable) {
  std::uint64_t boot = 0;
  for (std::size_t i = 0; i < 8; ++i) boot = boot << 8 | options_.start.bytes[i];
  if (options_.primary) {
    PrimaryOptions p;
    p.epoch = epoch();
    p.boot = boot;
    p.peer = options_.peer;
    p.window_bytes = options_.window_bytes;
    p.requests_max = options_.requests_max;
    p.settle = options_.settle;
    primary_.emplace(replica_, p);
  } else {
    SecondaryOptions s;
    s.boot = boot;
    s.inline_limit = options_.inline_limit;
    s.requests_max = options_.requests_max;
    secondary_.emplace(replica_, s);
  }
}

void Controller::start(HostCaches& caches) {
  replica_.caches = &caches;
  if (primary_) primary_->start();
}

runtime::Task<void> Controller::stop() {
  stopping_ = true;
  (primary_ ? primary_->met() : secondary_->met()).notify_all();
  if (primary_) co_await primary_->stop();
  if (secondary_) co_await secondary_->stop();
  co_await replica_.stop();
}

runtime::Task<wire::Outcome> Controller::change(wire::Operation operation, Bytes payload,
                                                std::shared_ptr<runtime::Lease> lease) {
  if (primary_) return primary_->change(std::move(operation), payload, std::move(lease));
  return secondary_->change(std::move(operation), payload, std::move(lease));
}

runtime::Task<void> Controller::wait_readable(InodeId inode, ByteRange range) {
  wire::Turn turn;
  turn.kind = wire::Turn::Kind::data;
  turn.object = inode;
  turn.first = range.offset / kBlockBytes;
  turn.count = (range.end() + kBlockBytes - 1) / kBlockBytes - turn.first;
  if (replica_.table.status(turn, options_.self) != Status::exclusive) co_return;
  std::vector<wire::Turn> turns{turn};
  co_await replica_.wait_until_neither(options_.self, std::move(turns));
}

runtime::Task<bool> Controller::wait_serving() {
  runtime::Event& met = primary_ ? primary_->met() : secondary_->met();
  while (!met.is_set() && !stopping_) co_await met.wait();
  co_return met.is_set();
}

void Controller::orphan_closed(InodeId inode) {
  if (primary_) primary_->orphan_closed(inode);
  if (secondary_) secondary_->orphan_closed(inode);
}

runtime::Task<Result<>> Controller::read_elsewhere(BlockRange blocks, MutableBytes) {
  co_return fail(Errc::corrupt, fmt::format("block {} can't be read at the other site", blocks.first));
}

wire::Hello Controller::hello() {
  const area::Identity& identity = replica_.area.identity();
  wire::Hello hello;
  hello.volume = identity.volume;
  hello.volume_id = identity.volume_id;
  hello.site = identity.site;
  hello.store = identity.store;
  hello.start = options_.start;
  hello.host_boot = options_.host_boot;
  hello.settings = options_.settings;
  hello.settings_digest = options_.settings_digest;
  hello.logged = replica_.logged();
  if (primary_) hello.applied = primary_->last_seq();
  if (secondary_) secondary_->say(hello);
  return hello;
}

runtime::Task<void> Controller::serve(peer::Link& link, peer::Session& session, wire::Hello theirs) {
  peer_ = theirs;
  connected_ = true;
  not_connected_.clear();
  if (primary_) co_await primary_->serve(link, session, std::move(theirs));
  if (secondary_) co_await secondary_->serve(link, session, std::move(theirs));
  connected_ = false;
}

Controller::State Controller::state() const {
  if (primary_ ? primary_->in_sync() : secondary_->in_sync()) return State::in_sync;
  return connected_ ? State::catching_up : State::connecting;
}

std::string Controller::problem() const {
  if (state() == State::in_sync) return {};
  if (!connected_ && !not_connected_.empty()) return not_connected_;
  return primary_ ? primary_->problem() : secondary_->problem();
}

Controller::Load Controller::load() {
  Load load;
  Instant oldest;
  if (primary_) {
    const Primary::Load l = primary_->load();
    load.requests = l.requests;
    load.effects = l.effects;
    load.bytes = l.bytes;
    oldest = l.oldest;
  } else {
    const Secondary::Load l = secondary_->load();
    load.requests = l.requests;
    oldest = l.oldest;
  }
  if (oldest != Instant{}) load.oldest = replica_.world.clock.now() - oldest;
  return load;
}

Seq Controller::seq() const { return primary_ ? primary_->last_seq() : secondary_->applied(); }

}  // namespace lockstep::controller
