#include "controller/primary.h"

#include <algorithm>

#include "core/log.h"
#include "core/planted.h"

namespace lockstep::controller {
namespace {

/// What an effect costs the window besides its data.
constexpr std::uint64_t kEffectCost = 1024;
constexpr std::size_t kReapAtOnce = 64;

/// For hosts whose mount is going away with the daemon: whether the request takes effect, the other site decides.
wire::Outcome stopped_outcome() {
  wire::Outcome outcome;
  outcome.error = ENOTCONN;
  return outcome;
}

}  // namespace

bool AreaGuard::holds(std::span<const wire::AreaWrite> writes) const {
  if (blocks_.count == 0) return false;
  for (const BlockRange& range : blocks_of(writes)) {
    if (range.overlaps(blocks_)) return true;
  }
  return false;
}

Primary::Primary(Replica& replica, PrimaryOptions options)
    : replica_(replica),
      options_(options),
      guard_(replica.world.scheduler),
      seq_(replica.logged()),
      budget_(replica.world.scheduler, options.window_bytes),
      window_changed_(replica.world.scheduler),
      reap_(replica.world.scheduler),
      ready_(replica.world.scheduler),
      met_(replica.world.scheduler),
      problem_("the other site has not been met yet"),
      scope_(replica.world.scheduler) {}

Primary::~Primary() { CHECK(requests_.empty()); }

void Primary::start() {
  scope_.spawn(settle_loop());
  scope_.spawn(reap_loop());
}

runtime::Task<void> Primary::stop() {
  stop_.request();
  reap_.notify_all();
  ready_.notify_all();
  for (auto& [id, request] : requests_) replica_.withdraw(request->claim);
  for (auto& [seq, entry] : window_) {
    if (!entry->left.given()) entry->left.give(false);
  }
  co_await scope_.join();
}

void Primary::end_of_pass() {
  if (session_ != nullptr) session_->flush();
  replica_.flush_log();
}

void Primary::own_payload(Request& request) {
  if (request.keep || request.payload.empty()) return;
  auto copy = std::make_shared<std::vector<std::byte>>(request.payload.begin(), request.payload.end());
  request.payload = *copy;
  request.keep = std::move(copy);
}

// --- one request -----------------------------------------------------------------------------------------------------

runtime::Task<wire::Outcome> Primary::change(wire::Operation operation, Bytes payload, std::shared_ptr<void> keep) {
  Request request;
  request.id = {replica_.self, options_.boot, next_request_++};
  request.operation = std::move(operation);
  request.payload = payload;
  request.keep = std::move(keep);
  request.turns = replica_.volume.turns(request.operation);
  request.since = replica_.world.clock.now();
  requests_.emplace(request.id, &request);
  Steps& steps = replica_.steps;
  steps.note(Step::asked, request.id, {}, request.turns, Status::neither);

  const StatusTable::Taken taken = replica_.take(replica_.self, request.turns);
  request.claim = taken.id;
  if (taken.verdict == Verdict::queued) {
    steps.note(Step::queued, request.id, {}, request.turns, Status::exclusive);
    const bool granted = co_await replica_.turn(taken.id);
    if (!granted) {
      requests_.erase(request.id);
      co_return stopped_outcome();
    }
  }
  steps.note(Step::exclusive, request.id, {}, request.turns, Status::exclusive);

  wire::Outcome outcome;
  Seq seq;
  const Fate fate = co_await execute(request, outcome, seq);
  CHECK(fate != Fate::gone);
  if (fate == Fate::refused) {
    replica_.release(request.claim);
    steps.note(Step::refused, request.id, {}, request.turns, Status::neither);
  } else {
    const auto found = window_.find(seq);
    CHECK(found != window_.end());
    InFlight& entry = *found->second;
    if (planted(Planted::acknowledge_before_mirror)) {
      outcome = entry.effect.outcome;
      requests_.erase(request.id);
      co_return outcome;
    }
    const bool everywhere = co_await entry.left.take();
    outcome = everywhere ? std::move(entry.effect.outcome) : stopped_outcome();
    window_.erase(seq);
  }
  requests_.erase(request.id);
  steps.note(Step::acknowledged, request.id, seq, request.turns, Status::neither);
  co_return outcome;
}

runtime::Task<Primary::Fate> Primary::execute(Request& request, wire::Outcome& refused, Seq& seq) {
  const std::uint64_t cost = kEffectCost + (request.forwarded ? 0 : request.payload.size());
  if (!budget_.try_take(cost)) {
    own_payload(request);
    co_await budget_.take(cost);
  }
  Fate fate = Fate::refused;
  for (;;) {
    if (!request.forwarded && stop_.requested()) {
      refused = stopped_outcome();
      break;
    }
    if (!request.forwarded && !ready_.is_set()) {
      co_await ready_.wait();
      continue;
    }
    if (request.forwarded && (request.session != sessions_ || session_ == nullptr)) {
      fate = Fate::gone;
      break;
    }
    volume::Attempt<volume::Planned> attempt = replica_.volume.plan(request.operation, replica_.world.clock.wall());
    if (volume::Miss* miss = attempt.miss()) {
      own_payload(request);
      const Result<> loaded = co_await replica_.volume.load(std::move(*miss));
      if (!loaded) {
        log::error("reading metadata for a request failed: {}", loaded.error().text);
        refused.error = EIO;
        break;
      }
      continue;
    }
    if (const Error* error = attempt.error()) {
      if (error->code != Errc::posix) log::error("planning a request failed: {}", error->text);
      refused.error = error->code == Errc::posix ? error->posix : EIO;
      break;
    }
    volume::Planned& planned = *attempt.value();
    if (planned.space_waits || (planned.effect.outcome.error == ENOSPC && reaping_)) {
      // Blocks that were freed may be used again when the effect that freed them has left the window.
      own_payload(request);
      co_await window_changed_.wait();
      continue;
    }
    if (!planned.changes) {
      refused = std::move(planned.effect.outcome);
      break;
    }
    wire::Effect& effect = planned.effect;
    std::vector<BlockRange> touched = blocks_of(effect.writes);
    if (!replica_.area.suspects().cover(touched)) {
      own_payload(request);
      const Result<> covered = co_await replica_.cover(std::move(touched));
      if (!covered) replica_.fatal("marking blocks as suspect", covered.error());
      continue;
    }
    std::optional<Result<area::Composed>> composed = replica_.area.compose(effect.writes, request.payload);
    if (!composed) {
      own_payload(request);
      const Result<> warmed = co_await replica_.area.warm(effect.writes);
      if (!warmed) {
        log::error("reading the edge of a write failed: {}", warmed.error().text);
        refused.error = EIO;
        break;
      }
      continue;
    }
    if (!*composed) {
      log::error("a write was refused: {}", composed->error().text);
      refused.error = EIO;
      break;
    }
    if (guard_.holds(effect.writes)) {
      own_payload(request);
      co_await guard_.changed().wait();
      continue;
    }
    const std::optional<Seq> committed = commit(request, effect, **composed);
    if (!committed) {
      own_payload(request);
      if (replica_.area.log().bytes_used() > replica_.area.log().bytes() / 2) {
        co_await replica_.log_room();
      } else {
        co_await window_changed_.wait();
      }
      continue;
    }
    seq = *committed;
    window_.at(seq)->cost = cost;
    co_return Fate::committed;
  }
  budget_.give_back(cost);
  co_return fate;
}

/// Gives the effect its seq and puts it into force here; nullopt: no room in the log or the in-flight ring, nothing changed.
std::optional<Seq> Primary::commit(Request& request, wire::Effect& effect, area::Composed& composed) {
  const Seq seq{seq_.value + 1};
  effect.seq = seq;
  effect.epoch = options_.epoch;
  effect.request = request.id;
  effect.turns = request.turns;
  effect.checksums = composed.checksums;
  const std::vector<BlockRange> blocks = blocks_of(effect.writes);
  if (!blocks.empty() && !replica_.area.in_flight().mark(seq, blocks)) return std::nullopt;
  if (!replica_.append(effect)) {
    if (!blocks.empty()) replica_.area.in_flight().clear(seq);
    return std::nullopt;
  }
  seq_ = seq;
  Steps& steps = replica_.steps;
  steps.note(Step::planned, request.id, seq, request.turns, Status::exclusive);

  auto made = std::make_unique<InFlight>(replica_.world.scheduler);
  InFlight& entry = *made;
  entry.effect = std::move(effect);
  entry.claim = request.claim;
  entry.forwarded = request.forwarded;
  entry.since = request.since;
  window_.emplace(seq, std::move(made));
  note_orphans(entry.effect);

  if (!request.forwarded) send_effect(request, entry);
  replica_.put_into_force(entry.effect, composed);
  if (!blocks.empty()) steps.note(Step::area_written, request.id, seq, request.turns, Status::exclusive);
  steps.note(Step::published, request.id, seq, request.turns, Status::exclusive);
  if (request.forwarded) {
    entry.dropped = entry.effect.drops.empty() || replica_.caches->drop_now(entry.effect.drops);
    if (entry.dropped) steps.note(Step::dropped, request.id, seq, request.turns, Status::exclusive);
    send_effect(request, entry);
    if (!entry.dropped) scope_.spawn(drop_here(seq, entry.effect.drops));
  }
  if (replica_.must_sync(entry.effect)) {
    entry.stable = false;
    scope_.spawn(sync_here(seq));
  }
  replica_.world.scheduler.at_end_of_pass(*this);
  return seq;
}

void Primary::send_effect(Request& request, InFlight& entry) {
  if (session_ == nullptr) return;  // it goes with what the next session catches up
  Steps& steps = replica_.steps;
  const Seq seq = entry.effect.seq;
  if (request.forwarded) {
    wire::Message message = wire::Commit{std::move(entry.effect), entry.dropped};
    session_->send(message);
    entry.effect = std::move(std::get<wire::Commit>(message).effect);
    steps.note(Step::commit_sent, request.id, seq, request.turns, Status::exclusive);
  } else {
    wire::Message message = wire::Mirror{std::move(entry.effect)};
    session_->send(message, request.payload, request.keep);
    entry.effect = std::move(std::get<wire::Mirror>(message).effect);
    steps.note(Step::mirror_sent, request.id, seq, request.turns, Status::exclusive);
    if (!request.payload.empty()) session_->flush();  // before the local write: both sites write at the same time
  }
}

runtime::Task<void> Primary::drop_here(Seq seq, std::vector<wire::Drop> drops) {
  co_await replica_.caches->drop(std::move(drops));
  InFlight& entry = *window_.at(seq);
  entry.dropped = true;
  replica_.steps.note(Step::dropped, entry.effect.request, seq, entry.effect.turns, Status::exclusive);
  if (session_ != nullptr) {
    session_->send(wire::DroppedAt{seq});
    replica_.world.scheduler.at_end_of_pass(*this);
  }
  leave_if_done(seq);
}

runtime::Task<void> Primary::sync_here(Seq seq) {
  replica_.flush_log();
  co_await replica_.sync(window_.at(seq)->effect);
  window_.at(seq)->stable = true;
  leave_if_done(seq);
}

/// Ends an effect that every site has answered: its turns are neither again, its freed blocks may be used.
void Primary::leave_if_done(Seq seq) {
  InFlight& entry = *window_.at(seq);
  if (!entry.mirrored || !entry.dropped || !entry.stable || entry.left.given()) return;
  if (!entry.effect.writes.empty()) replica_.area.in_flight().clear(seq);
  replica_.volume.release(entry.effect.freed);
  replica_.release(entry.claim);
  replica_.steps.note(Step::released, entry.effect.request, seq, entry.effect.turns, Status::neither);
  budget_.give_back(entry.cost);
  window_changed_.notify_all();
  entry.left.give(true);
  if (entry.forwarded || planted(Planted::acknowledge_before_mirror)) window_.erase(seq);
}

Result<> Primary::mirrored(const wire::Mirrored& message) {
  const auto found = window_.find(message.seq);
  if (found == window_.end() || found->second->mirrored) return {};  // of a record that had been answered before
  InFlight& entry = *found->second;
  entry.mirrored = true;
  replica_.steps.note(Step::mirrored_received, entry.effect.request, message.seq, entry.effect.turns, Status::exclusive);
  for (const InodeId inode : message.orphans_open) {
    if (const auto orphan = orphans_.find(inode); orphan != orphans_.end()) orphan->second.second = true;
  }
  std::vector<InodeId> made = volume::orphans_made(entry.effect);
  leave_if_done(message.seq);
  for (const InodeId inode : made) reap_if_closed(inode);
  return {};
}

// --- forwarded requests ----------------------------------------------------------------------------------------------

runtime::Task<void> Primary::forwarded(wire::Forward forward, Bytes payload, std::uint64_t session) {
  Request request;
  request.id = forward.request;
  request.operation = std::move(forward.operation);
  request.payload = payload;
  request.forwarded = true;
  request.session = session;
  request.turns = replica_.volume.turns(request.operation);
  request.since = replica_.world.clock.now();
  requests_.emplace(request.id, &request);
  Steps& steps = replica_.steps;
  steps.note(Step::forward_received, request.id, {}, request.turns, Status::neither);

  const StatusTable::Taken taken = replica_.take(options_.peer, request.turns);
  request.claim = taken.id;
  bool have_payload = forward.with_payload || request.operation.length == 0 || request.operation.kind != wire::OpKind::write;
  bool gone = false;
  if (taken.verdict == Verdict::queued) {
    // Its data is not kept while it waits: the secondary has it, and sends it after the GRANT.
    if (request.operation.kind == wire::OpKind::write && request.operation.length > 0) have_payload = false;
    request.payload = {};
    steps.note(Step::queued, request.id, {}, request.turns, Status::exclusive);
    gone = !co_await replica_.turn(taken.id);
  }
  bool claimed = !gone;
  if (!gone && request.session != sessions_) gone = true;
  if (!gone) steps.note(Step::exclusive, request.id, {}, request.turns, Status::exclusive);
  if (!gone && !have_payload) {
    runtime::OneShot<bool> data(replica_.world.scheduler);
    waiting_for_data_[request.id] = {&request, &data};
    session_->send(wire::Grant{request.id});
    steps.note(Step::grant_sent, request.id, {}, request.turns, Status::exclusive);
    replica_.world.scheduler.at_end_of_pass(*this);
    gone = !co_await data.take();
    waiting_for_data_.erase(request.id);
  }
  wire::Outcome refused;
  Seq seq;
  Fate fate = Fate::gone;
  if (!gone) fate = co_await execute(request, refused, seq);
  if (fate != Fate::committed && claimed) replica_.release(request.claim);
  if (fate == Fate::refused && session_ != nullptr && request.session == sessions_) {
    session_->send(wire::Refusal{request.id, std::move(refused)});
    steps.note(Step::refused, request.id, {}, request.turns, Status::neither);
    replica_.world.scheduler.at_end_of_pass(*this);
  }
  requests_.erase(request.id);
  if (request.session == sessions_ && forwarded_in_work_ > 0) --forwarded_in_work_;
}

void Primary::data_received(const wire::Data& data, Bytes payload) {
  const auto found = waiting_for_data_.find(data.request);
  if (found == waiting_for_data_.end() || found->second.second->given()) return;
  Request& request = *found->second.first;
  request.payload = payload;
  own_payload(request);
  replica_.steps.note(Step::data_received, request.id, {}, request.turns, Status::exclusive);
  found->second.second->give(true);
}

// --- objects without a name, times in memory --------------------------------------------------------------------------

void Primary::note_orphans(const wire::Effect& effect) {
  for (const InodeId inode : volume::orphans_made(effect)) orphans_[inode] = {replica_.caches->is_open(inode), false};
  for (const InodeId inode : volume::orphans_ended(effect)) orphans_.erase(inode);
}

void Primary::reap_if_closed(InodeId inode) {
  const auto found = orphans_.find(inode);
  if (found == orphans_.end() || found->second.first || found->second.second) return;
  to_reap_.push_back(inode);
  reaping_ = true;
  reap_.notify_all();
}

void Primary::orphan_closed(InodeId inode) {
  const auto found = orphans_.find(inode);
  if (found == orphans_.end() || !found->second.first) return;
  found->second.first = false;
  reap_if_closed(inode);
}

runtime::Task<void> Primary::reap_loop() {
  while (!stop_.requested()) {
    if (to_reap_.empty() || !ready_.is_set()) {
      co_await reap_.wait();
      continue;
    }
    std::vector<InodeId> some;
    while (!to_reap_.empty() && some.size() < kReapAtOnce) {
      some.push_back(to_reap_.back());
      to_reap_.pop_back();
    }
    wire::Operation reap = volume::reap_of(some);
    reaping_ = true;
    const wire::Outcome outcome = co_await change(std::move(reap), {}, nullptr);
    if (outcome.error == 0 && outcome.value != 0) to_reap_.insert(to_reap_.end(), some.begin(), some.end());
    reaping_ = !to_reap_.empty();
    window_changed_.notify_all();
    if (outcome.error != 0) log::error("removing {} objects without a name failed: errno {}", some.size(), outcome.error);
  }
}

runtime::Task<void> Primary::settle_loop() {
  while (co_await replica_.world.clock.sleep_until(replica_.world.clock.now() + options_.settle, stop_)) {
    co_await settle_times();
  }
}

runtime::Task<void> Primary::settle_times() {
  while (ready_.is_set() && !stop_.requested() && !replica_.volume.unsettled(1).empty()) {
    wire::Operation settle;
    settle.kind = wire::OpKind::settle;
    const wire::Outcome outcome = co_await change(std::move(settle), {}, nullptr);
    if (outcome.error != 0) break;
  }
}

// --- what people ask ---------------------------------------------------------------------------------------------------

Primary::Load Primary::load() const {
  Load load;
  load.effects = window_.size();
  load.bytes = budget_.used();
  load.requests = requests_.size();
  for (const auto& [id, request] : requests_) {
    if (load.oldest == Instant{} || request->since < load.oldest) load.oldest = request->since;
  }
  for (const auto& [seq, entry] : window_) {
    if (load.oldest == Instant{} || entry->since < load.oldest) load.oldest = entry->since;
  }
  return load;
}

runtime::Task<bool> Primary::settled(BlockRange blocks) {
  for (;;) {
    if (!ready_.is_set()) co_return false;
    const bool busy = std::any_of(window_.begin(), window_.end(), [&](const auto& item) {
      const std::vector<BlockRange> touched = blocks_of(item.second->effect.writes);
      return std::any_of(touched.begin(), touched.end(), [&](const BlockRange& r) { return r.overlaps(blocks); });
    });
    if (!busy) co_return true;
    co_await window_changed_.wait();
  }
}

}  // namespace lockstep::controller
