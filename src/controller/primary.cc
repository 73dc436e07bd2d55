#include "controller/primary.h"

#include <algorithm>
#include <cerrno>

#include "core/log.h"
#include "core/planted.h"
#include "core/probe.h"

namespace lockstep::controller {
namespace {

/// What an effect costs the window besides its data.
constexpr std::uint64_t kEffectCost = 1024;
/// So often the edges of one write are taken from the other site: a medium may not keep what is written.
constexpr unsigned kEdgeRepairsMax = 2;

Probe waited_for_space("a request waited for space that others free");
Probe waited_for_budget("a request waited for room in the window");
Probe done_between("a forwarded request was done between the two SYNCED");

}  // namespace

bool AreaGuard::holds(std::span<const wire::AreaWrite> writes) const {
  if (blocks_.count == 0) return false;
  for (const BlockRange& range : blocks_of(writes)) {
    if (range.overlaps(blocks_)) return true;
  }
  return false;
}

Primary::Primary(Replica& replica, Keeper& keeper, RoleUser& user, PrimaryOptions options)
    : RoleHook(replica.world.scheduler),
      replica_(replica),
      keeper_(keeper),
      user_(user),
      options_(options),
      guard_(replica.world.scheduler),
      seq_(std::max(replica.last(), Seq{first_seq_of(options.epoch).value - 1})),
      budget_(replica.world.scheduler, options.window_bytes),
      reap_(replica.world.scheduler),
      ready_(replica.world.scheduler),
      session_changed_(replica.world.scheduler),
      problem_("the other site has not been met yet"),
      callers_(replica.world.scheduler),
      scope_(replica.world.scheduler) {}

Primary::~Primary() { CHECK(requests_.empty()); }

void Primary::start() {
  scope_.spawn(settle_loop());
  scope_.spawn(reap_loop());
  scope_.spawn(clear_loop());
}

runtime::Task<void> Primary::stop(bool daemon_ends) {
  CHECK(session_ == nullptr);
  stop_.request();
  reap_.notify_all();
  ready_.notify_all();
  session_changed_.notify_all();
  replica_.changed.notify_all();
  replica_.wake_held();
  guard_.changed().notify_all();
  for (auto& [id, request] : requests_) replica_.withdraw(request->claim);
  // What was committed and not answered is found by its id when the next role is asked for it.
  for (auto& [seq, entry] : window_) {
    if (entry->left.given()) continue;
    budget_.give_back(entry->cost);
    entry->left.give(false);
    to_release_.push_back(entry->claim);
  }
  co_await scope_.join();
  co_await callers_.idle();
  for (const auto& [seq, entry] : window_) {
    // What the other site did not answer may differ there, and the next start must know; in another role all suspect blocks are compared.
    if (!daemon_ends || entry->mirrored) replica_.area.in_flight().clear(seq);
    replica_.hold_freed(seq, entry->effect.freed);
  }
  for (const ClaimId claim : std::exchange(to_release_, {})) replica_.release(claim);
  window_.clear();
  co_await hook_settled();
}

void Primary::pass_ends() {
  if (session_ != nullptr) session_->flush();
  replica_.flush_log();
  if (replica_.failed()) return;
  // Alone: what is in the log is complete.
  for (const Seq seq : std::exchange(left_at_end_of_pass_, {})) {
    if (window_.contains(seq)) leave_if_done(seq);
  }
}

void Primary::update_ready() {
  const bool ready = !held_ && (live_ || alone_);
  if (ready && !ready_.is_set()) {
    ready_.set();
    reap_.notify_all();  // what was to be removed meanwhile
  }
  if (!ready) ready_.reset();
}

void Primary::hold() {
  held_ = true;
  update_ready();
}

void Primary::go_on(Epoch epoch) {
  options_.epoch = epoch;
  seq_ = std::max(seq_, Seq{first_seq_of(epoch).value - 1});
  held_ = false;
  update_ready();
}

runtime::Task<void> Primary::go_alone() {
  const runtime::Inside inside(callers_);
  CHECK(!live_);
  const bool incomplete = std::any_of(window_.begin(), window_.end(), [](const auto& item) { return !item.second->mirrored; });
  if (incomplete) co_await keeper_.set({.wrote = options_.epoch});
  if (live_ || stop_.requested()) co_return;
  alone_ = true;
  problem_.clear();
  std::vector<Seq> all;
  for (auto& [seq, entry] : window_) all.push_back(seq);
  for (const Seq seq : all) {
    window_.at(seq)->mirrored = true;
    leave_if_done(seq);
  }
  update_ready();
  reap_.notify_all();
  scope_.spawn(locks_left_behind());
  if (!looked_for_orphans_) co_await look_for_orphans({});
}

// --- one request -----------------------------------------------------------------------------------------------------

runtime::Task<Fate> Primary::change(Asked& asked, wire::Outcome& outcome) {
  const runtime::Inside inside(callers_);
  if (const Results::Entry* done = replica_.results.find(asked.id)) {
    // It took effect, and its answer got lost with an earlier role: it may be given once this role may acknowledge.
    const wire::Outcome known = done->outcome;
    asked.own_payload();
    while (!ready_.is_set() && !stop_.requested()) co_await ready_.wait();
    if (stop_.requested()) co_return Fate::role_over;
    outcome = known;
    co_return Fate::answered;
  }
  Request request;
  static_cast<Asked&>(request) = std::move(asked);
  request.turns = replica_.volume.turns(request.operation);
  Steps& steps = replica_.steps;
  steps.note(Step::asked, request.id, {}, request.turns, Status::neither);
  const auto hand_back = [&] {
    asked = static_cast<Asked&>(request);
    requests_.erase(request.id);
    return Fate::role_over;
  };

  Seq seq;
  Made made = Made::held;
  while (made == Made::held) {
    const Replica::Passage passage = co_await replica_.pass(request, request.turns, 0, user_, stop_);
    asked.id = request.id;
    if (passage == Replica::Passage::stopped) co_return hand_back();
    if (passage != Replica::Passage::free) {
      outcome.error = Replica::error_of(passage);
      steps.note(Step::refused, request.id, {}, request.turns, Status::reserved);
      co_return Fate::answered;
    }
    CHECK(requests_.emplace(request.id, &request).second);
    const StatusTable::Taken taken = replica_.take(request.turns);
    request.claim = taken.id;
    if (taken.verdict == Verdict::queued) {
      steps.note(Step::queued, request.id, {}, request.turns, Status::exclusive);
      request.own_payload();
      const bool granted = co_await replica_.turn(taken.id);
      if (!granted && request.given_up() && !stop_.requested()) {
        outcome.error = EINTR;
        requests_.erase(request.id);
        co_return Fate::answered;
      }
      if (!granted) co_return hand_back();
    }
    steps.note(Step::exclusive, request.id, {}, request.turns, Status::exclusive);
    made = co_await execute(request, outcome, seq);
    if (made != Made::committed) replica_.release(request.claim);
    if (made == Made::held) requests_.erase(request.id);
  }
  if (made == Made::gone) co_return hand_back();
  if (made == Made::refused) {
    steps.note(Step::refused, request.id, {}, request.turns, Status::neither);
  } else {
    const auto found = window_.find(seq);
    CHECK(found != window_.end());
    InFlight& entry = *found->second;
    if (planted(Planted::acknowledge_before_mirror)) {
      outcome = entry.effect.outcome;
      requests_.erase(request.id);
      co_return Fate::answered;
    }
    const bool everywhere = co_await entry.left.take();
    if (!everywhere) co_return hand_back();
    outcome = std::move(entry.effect.outcome);
    window_.erase(seq);
  }
  requests_.erase(request.id);
  steps.note(Step::acknowledged, request.id, seq, request.turns, Status::neither);
  co_return Fate::answered;
}

void Primary::waiter_went() {
  for (auto& [id, request] : requests_) {
    if (request->given_up()) replica_.withdraw(request->claim);  // if it is in line
  }
  replica_.wake_held();
  ready_.notify_all();
  replica_.changed.notify_all();
}

runtime::Task<Primary::Made> Primary::execute(Request& request, wire::Outcome& refused, Seq& seq) {
  const std::uint64_t cost = kEffectCost + (request.forwarded ? 0 : request.payload.size());
  bool paid = false, edges_adopted = false;
  Made made = Made::refused;
  unsigned repairs = 0;
  for (;;) {
    if (stop_.requested() || (request.forwarded && over(request.session))) {
      made = Made::gone;
      break;
    }
    if (request.given_up()) {
      refused.error = EINTR;
      break;
    }
    if (!paid) {
      paid = budget_.try_take(cost);
      if (!paid) {
        request.own_payload();
        waited_for_budget.hit();
        co_await budget_.take(cost);
        paid = true;
        continue;
      }
    }
    if (!ready_.is_set()) {
      request.own_payload();
      co_await ready_.wait();
      continue;
    }
    if (replica_.failed()) {  // whoever goes on answers it
      request.own_payload();
      co_await replica_.changed.wait();
      continue;
    }
    if (keeper_.state().wrote < options_.epoch) {
      request.own_payload();
      co_await keeper_.set({.wrote = options_.epoch});
      continue;
    }
    volume::Attempt<const StatusTable::Reservation*> reserved = replica_.reserved(request.id.site, request.operation);
    if (volume::Miss* miss = reserved.miss()) {
      request.own_payload();
      const Result<> loaded = co_await replica_.volume.load(std::move(*miss));
      if (!loaded) {
        log::error("reading metadata for a request failed: {}", loaded.error().text);
        refused.error = EIO;
        break;
      }
      continue;
    }
    if (const Error* error = reserved.error()) {
      log::error("a request can't be compared with what is reserved: {}", error->text);
      refused.error = EIO;
      break;
    }
    if (const StatusTable::Reservation* by = *reserved.value(); by != nullptr) {
      if (by->busy) refused.error = EBUSY;
      made = by->busy ? Made::refused : Made::held;
      break;
    }
    volume::Attempt<volume::Planned> attempt =
        replica_.volume.plan(request.operation, replica_.world.clock.wall(), request.id.site);
    if (volume::Miss* miss = attempt.miss()) {
      request.own_payload();
      const Result<> loaded = co_await replica_.volume.load(std::move(*miss));
      if (!loaded && in_sync()) replica_.fail_area("reading the metadata", loaded.error());  // the other site can
      if (!loaded && !replica_.failed()) {
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
    if (planned.space_waits || (planned.effect.outcome.error == ENOSPC && !planned.growth_held && (reaping_ || replica_.holds_freed()))) {
      // Blocks that were freed may be used again when the effect that freed them has left the window. Whatever frees some may need
      // the budget meanwhile.
      waited_for_space.hit();
      budget_.give_back(cost);
      paid = false;
      request.own_payload();
      replica_.want_stable();
      co_await replica_.changed.wait();
      continue;
    }
    if (!planned.changes) {
      refused = std::move(planned.effect.outcome);
      break;
    }
    wire::Effect& effect = planned.effect;
    std::optional<Result<area::Composed>> composed = replica_.area.compose(effect.writes, request.payload);
    if (!composed || !*composed) {
      request.own_payload();
      Result<> warmed;
      if (composed) {
        warmed = std::unexpected(composed->error());
      } else {
        warmed = co_await replica_.area.warm(effect.writes);
      }
      const bool bad = !warmed && (warmed.error().code == Errc::corrupt || warmed.error().code == Errc::io);
      if (bad && sole_member() && !std::exchange(edges_adopted, true)) {
        for (const std::uint64_t edge : area::edges_of(effect.writes)) {
          if (replica_.doubtful({edge, 1})) (void)co_await adopt_torn({edge, 1});
        }
        continue;
      }
      if (bad && repairs++ < kEdgeRepairsMax) {
        warmed = co_await repair_edges(effect.writes);
        if (!warmed && warmed.error().code == Errc::unavailable && !ready_.is_set()) continue;
      }
      if (warmed || replica_.failed()) continue;
      log::error("a write was refused, the host got EIO: {}", warmed.error().text);
      refused.error = EIO;
      break;
    }
    if (guard_.holds(effect.writes)) {
      request.own_payload();
      co_await guard_.changed().wait();
      continue;
    }
    if (!replica_.suspected(effect)) {
      request.own_payload();
      co_await replica_.suspect(effect);
      continue;
    }
    const std::optional<Seq> committed = commit(request, effect, **composed, cost);
    if (!committed) {
      request.own_payload();
      if (!replica_.failed() && replica_.must_say_stable(effect)) {
        co_await replica_.say_stable();
      } else if (replica_.area.log().bytes_used() > replica_.area.log().bytes() / 2) {
        co_await replica_.log_room();
      } else {
        co_await replica_.changed.wait();
      }
      continue;
    }
    seq = *committed;
    co_return Made::committed;
  }
  if (paid) budget_.give_back(cost);
  co_return made;
}

/// Gives the effect its seq and puts it into force here; nullopt: no room in the log or the in-flight ring, nothing changed.
std::optional<Seq> Primary::commit(Request& request, wire::Effect& effect, area::Composed& composed, std::uint64_t cost) {
  if (replica_.failed() || replica_.must_say_stable(effect)) return std::nullopt;
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
  entry.cost = cost;
  entry.forwarded = request.forwarded;
  entry.since = request.since;
  entry.mirrored = !live_;
  if (!blocks.empty()) ++committed_with_data_;
  window_.emplace(seq, std::move(made));
  note_orphans(entry.effect);

  // A reservation waits for what was committed before it.
  const bool reserves = request.operation.kind == wire::OpKind::reserve && in_flight_before(seq);
  if (reserves) entry.dropped = false;
  if (!request.forwarded) send_effect(request, entry);
  if (!request.forwarded) (void)user_.binds(request.id);
  replica_.put_into_force(entry.effect, composed);
  if (replica_.failed()) return seq;  // a forwarded request is made again by whoever goes on
  if (!blocks.empty()) steps.note(Step::area_written, request.id, seq, request.turns, Status::exclusive);
  steps.note(Step::published, request.id, seq, request.turns, Status::exclusive);
  entry.stable = !replica_.must_sync(entry.effect);
  if (request.forwarded) {
    entry.dropped = !reserves && (entry.effect.drops.empty() || replica_.caches->drop_now(entry.effect.drops));
    if (entry.dropped) steps.note(Step::dropped, request.id, seq, request.turns, Status::exclusive);
    send_effect(request, entry);
    if (!entry.dropped && !reserves) {
      ++dropping_;
      scope_.spawn(drop_here(seq, entry.effect.drops));
    }
  }
  if (reserves) scope_.spawn(earlier_left(seq));
  if (!entry.stable) scope_.spawn(sync_here(seq));
  at_end_of_pass();
  if (!live_) left_at_end_of_pass_.push_back(seq);
  return seq;
}

void Primary::send_effect(Request& request, InFlight& entry) {
  if (!live_) return;  // it goes with what the next session catches up
  entry.given = true;
  Steps& steps = replica_.steps;
  const Seq seq = entry.effect.seq;
  if (request.forwarded) {
    wire::Message message = wire::Commit{std::move(entry.effect), entry.done_here()};
    session_->send(message);
    entry.effect = std::move(std::get<wire::Commit>(message).effect);
    steps.note(Step::commit_sent, request.id, seq, request.turns, Status::exclusive);
  } else {
    wire::Message message = wire::Mirror{std::move(entry.effect)};
    session_->send(message, request.payload, request.keep);
    entry.effect = std::move(std::get<wire::Mirror>(message).effect);
    steps.note(Step::mirror_sent, request.id, seq, request.turns, Status::exclusive);
    // Before it is put into force here: both sites do that at the same time. Among others a change of metadata waits for the end of the
    // pass, when all leave in one call.
    if (!request.payload.empty() || window_.size() == 1) session_->flush();
  }
}

runtime::Task<void> Primary::drop_here(Seq seq, std::vector<wire::Drop> drops) {
  co_await replica_.caches->drop(std::move(drops));
  --dropping_;
  dropped(seq);
  if (dropping_ == 0 && !live_) replica_.changed.notify_all();
}

runtime::Task<void> Primary::nothing_to_drop() {
  while (dropping_ != 0) co_await replica_.changed.wait();
}

bool Primary::in_flight_before(Seq seq) const {
  return std::any_of(window_.begin(), window_.lower_bound(seq), [](const auto& item) { return !item.second->left.given(); });
}

/// A reservation is acknowledged when whatever was committed before it is: the holder meets nothing that is still under way.
runtime::Task<void> Primary::earlier_left(Seq seq) {
  while (!stop_.requested() && in_flight_before(seq)) co_await replica_.changed.wait();
  dropped(seq);
}

/// This site's kernel keeps nothing of what was before the effect.
void Primary::dropped(Seq seq) {
  InFlight& entry = *window_.at(seq);
  entry.dropped = true;
  if (entry.left.given()) return;  // the role ends
  replica_.steps.note(Step::dropped, entry.effect.request, seq, entry.effect.turns, Status::exclusive);
  say_done(seq);
  leave_if_done(seq);
}

/// The host of a forwarded request is answered only when this site has done all that it owes it. What is done before SYNCED, that says.
void Primary::say_done(Seq seq) {
  const InFlight& entry = *window_.at(seq);
  if ((!live_ && !synced_sent_) || !entry.forwarded || !entry.done_here()) return;
  if (!live_) done_between.hit();
  session_->send(wire::DroppedAt{seq});
  at_end_of_pass();
}

runtime::Task<void> Primary::sync_here(Seq seq) {
  replica_.flush_log();
  co_await replica_.sync(window_.at(seq)->effect);
  InFlight& entry = *window_.at(seq);
  entry.stable = true;
  if (entry.left.given()) co_return;  // the role ends
  say_done(seq);
  leave_if_done(seq);
}

/// Ends an effect that every site has answered: its turns are neither again, its freed blocks may be used.
void Primary::leave_if_done(Seq seq) {
  InFlight& entry = *window_.at(seq);
  if (!entry.mirrored || !entry.dropped || !entry.stable || entry.left.given()) return;
  if (replica_.failed() && !completed_forward_) return;
  const std::vector<InodeId> without_name = volume::orphans_made(entry.effect);
  if (!entry.effect.writes.empty()) replica_.area.in_flight().clear(seq);
  replica_.hold_freed(seq, entry.effect.freed);
  replica_.release(entry.claim);
  replica_.steps.note(Step::released, entry.effect.request, seq, entry.effect.turns, Status::neither);
  budget_.give_back(entry.cost);
  entry.left.give(true);
  if (entry.forwarded || planted(Planted::acknowledge_before_mirror)) window_.erase(seq);
  replica_.changed.notify_all();
  for (const InodeId inode : without_name) {
    if (const auto orphan = orphans_.find(inode); orphan != orphans_.end()) orphan->second.answered = true;
    reap_if_closed(inode);
  }
}

Result<> Primary::mirrored(const wire::Mirrored& message) {
  const auto found = window_.find(message.seq);
  if (found == window_.end() || found->second->mirrored) return {};  // of a record that had been answered before
  InFlight& entry = *found->second;
  entry.mirrored = true;
  if (!entry.effect.batch.empty()) logged_there_ = std::max(logged_there_, message.seq);
  replica_.steps.note(Step::mirrored_received, entry.effect.request, message.seq, entry.effect.turns, Status::exclusive);
  for (const InodeId inode : message.orphans_open) {
    if (const auto orphan = orphans_.find(inode); orphan != orphans_.end()) orphan->second.there = true;
  }
  leave_if_done(message.seq);
  return {};
}

// --- what people ask ---------------------------------------------------------------------------------------------------

Primary::Load Primary::load() const {
  Load load;
  load.effects = window_.size();
  load.bytes = budget_.used();
  for (const auto& [seq, entry] : window_) {
    if (load.oldest == Instant{} || entry->since < load.oldest) load.oldest = entry->since;
  }
  return load;
}

void Primary::complete_forward() {
  completed_forward_ = true;
  std::vector<Seq> given;
  for (const auto& [seq, entry] : window_) {
    if (entry->given) given.push_back(seq);
  }
  for (const Seq seq : given) {
    window_.at(seq)->mirrored = window_.at(seq)->stable = true;
    leave_if_done(seq);
  }
}

runtime::Task<bool> Primary::drained() {
  const runtime::Inside inside(callers_);
  const std::uint64_t session = sessions_;
  const bool with = session_ != nullptr;
  const auto in_flight = [](const auto& item) { return !item.second->left.given(); };
  while (std::any_of(window_.begin(), window_.end(), in_flight)) {
    if (stop_.requested() || (with && over(session))) co_return false;
    co_await replica_.changed.wait();
  }
  co_return true;
}

}  // namespace lockstep::controller
