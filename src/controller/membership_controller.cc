// Who is a member and who is primary: meeting the other site, going on without it, and what an administrator asks.
#include <fmt/format.h>

#include "controller/controller.h"
#include "controller/kept_results.h"
#include "core/log.h"
#include "core/planted.h"
#include "core/probe.h"

namespace lockstep::controller {
namespace {

Probe one_changed("sites met after a fork, and one had changed nothing");
Probe none_changed("sites met after a fork, and neither had changed anything");
Probe both_changed("sites met that had diverged");
Probe went_armed("a primary went on alone without the arbiter, because it was armed");

constexpr Duration kLookAgain = std::chrono::milliseconds(100);
constexpr Duration kAskAgain = std::chrono::milliseconds(500);
constexpr Duration kPublishEvery = std::chrono::seconds(1);
/// So often it is looked whether the arbiter is still there, and knows what it was told.
constexpr Duration kLookEvery = std::chrono::seconds(5);
constexpr Duration kLeavePatience = std::chrono::seconds(3);
/// What stays as it is and hinders is logged again so often.
constexpr Duration kSayAgain = std::chrono::minutes(10);

std::string names(SiteSet set, const std::vector<std::string>& all) {
  std::string text;
  for (std::uint8_t i = 0; i < all.size(); ++i) {
    if (set.has(SiteId{i})) text += (text.empty() ? "" : ", ") + all[i];
  }
  return text;
}

/// The base of an entry that is recorded behind `epoch`. Overwrites leave no record in the log: a member that has them can't show that it does
/// after a restart, and does not have to.
Seq base_behind(const Replica& replica, Epoch epoch) { return std::max(replica.logged(), Seq{first_seq_of(epoch).value - 1}); }

}  // namespace

// --- meeting -----------------------------------------------------------------------------------------------------------

Result<Party> Controller::party_of(SiteId site, const wire::Hello& hello, bool accepted) const {
  Result<Membership> membership = Membership::make(hello.state.history);
  if (!membership) return std::unexpected(membership.error());
  Party party{.site = site, .membership = std::move(*membership), .store = hello.store, .stores = hello.state.stores};
  // `accepted`: what this party says of the other one's new area.
  party.accepts_new_store = accepted;
  party.diskless = hello.diskless;
  party.unproven = hello.state.unproven;
  party.incomplete = hello.state.incomplete;
  party.discards = hello.state.discards;
  party.wrote = hello.state.wrote;
  party.last = std::max(hello.logged, hello.applied);
  return party;
}

void Controller::refuse(peer::Session& session, const std::string& reason) {
  problem_ = reason;
  if (!met_as_before_) log::error("{}", reason);
  session.send(wire::Refuse{reason});
  session.flush();
}

runtime::Task<void> Controller::meet(peer::Link& link, peer::Session& session, wire::Hello ours, wire::Hello theirs) {
  const Result<Party> me = party_of(options_.self, ours, ours.accepts_new_store);
  const Result<Party> other = party_of(options_.peer, theirs, theirs.accepts_new_store);
  if (!me || !other) co_return refuse(session, "what a site says of its membership is no history: " + (me ? other : me).error().text);
  if (keeper_.state().armed && !theirs.state.promised) co_await keeper_.set({.armed = false});
  const Encounter e = decide(*me, *other);
  encounter_ = e;
  if (e.rule == Rule::fork_one_side) one_changed.hit();
  if (e.rule == Rule::fork_no_change) none_changed.hit();
  if (e.rule == Rule::diverged) both_changed.hit();
  const bool source = e.source == options_.self;
  const std::string met = fmt::format("met {}: {} (epochs {} here, {} there; last effects {}, {}){}", options_.peer_name, name_of(e.rule),
                                      me->membership.in_force().number.value, other->membership.in_force().number.value, me->last.value, other->last.value,
                                      e.relation == Relation::resync ? source ? "; it is made equal to this site" : "; this site is made equal to it" : "");
  // Two that can't work together meet several times a second, until somebody does something about it.
  const bool in_vain = e.relation == Relation::refused || e.relation == Relation::diverged;
  const Instant now = replica_.world.clock.now();
  met_as_before_ = in_vain && met == met_ && now < met_at_ + kSayAgain;
  if (!met_as_before_) {
    log::info("{}", met);
    met_ = met;
    met_at_ = now;
  }
  switch (e.relation) {
    case Relation::refused:
      if (e.rule == Rule::new_store) {
        co_return refuse(session, fmt::format("one of the two areas is a new one: to copy the volume into it, say so at the site that has it: "
                                              "lockstep replace NAME, with the name of the site that is new"));
      }
      co_return refuse(session, fmt::format("the two areas do not belong together ({}): check that each site has the area it had; an "
                                            "area that is to be filled anew is formatted first", name_of(e.rule)));
    case Relation::diverged:
      fork_ = fork_of(*me, *other);
      // Whoever goes on alone goes on, so that both versions can be read; nothing is merged.
      co_return refuse(session, "the sites have DIVERGED: both were changed apart, after a takeover by force. Decide which site's "
                                "changes go (lockstep divergence says at each site which it has), and say so there: lockstep resolve "
                                "--discard NAME, at the site of that name");
    case Relation::fresh:
      if (source) {
        SiteSet both{options_.self, options_.peer};
        std::vector<Uuid> stores = keeper_.stores_with(options_.peer, theirs.store);
        stores.at(options_.self.value) = replica_.area.identity().store;
        co_await keeper_.record(keeper_.next(options_.self, both, replica_.last()), std::move(stores), true, stop_);
        co_await become_primary();
        primary_->go_on(epoch());
        co_return co_await primary_->serve_member(link, session, std::move(theirs), true);
      }
      co_await become_secondary();
      co_return co_await secondary_->serve_member(link, session, std::move(theirs), ours);
    case Relation::resume:
      if (source) {
        co_await become_primary();
        co_return co_await primary_->serve_member(link, session, std::move(theirs), false);
      }
      co_await become_secondary();
      co_return co_await secondary_->serve_member(link, session, std::move(theirs), ours);
    case Relation::resync: break;
  }
  if (source) {
    if (e.rule == Rule::adopts) {
      const Result<> adopted = co_await keeper_.adopt(other->membership.history(), theirs.state.stores, false, false);
      if (!adopted) co_return refuse(session, adopted.error().text);
    }
    // From here on a blank area is known, be it interrupted before it has caught up: it will not be blank any more then.
    if (e.rule == Rule::blank) co_await keeper_.know_store(options_.peer, theirs.store);
    co_await become_primary();
    co_return co_await primary_->serve_target(link, session, std::move(theirs), e.common);
  }
  co_await close_gate();
  if (keeper_.membership().has(options_.self)) co_await keeper_.set({.unproven = true});
  if (e.rule == Rule::blank || e.rule == Rule::diskless) {
    const Result<> marked = co_await replica_.area.suspects().mark_all();
    if (!marked) co_await replica_.halt("marking granules as suspect", marked.error());
  }
  co_await end_role();  // whatever was pending is looked up anew when this site has caught up
  co_await become_secondary();
  const Result<bool> dropped = co_await drop_results(replica_.world.keys);  // from here on nothing is kept, see put_answers_to()
  if (!dropped) co_await replica_.halt("dropping what became of the other site's requests", dropped.error());
  if (*dropped) co_await replica_.make_stable();
  co_await secondary_->serve_as_target(link, session, std::move(theirs), e.common);
}

runtime::Task<void> Controller::end_role() {
  if (primary_) {
    co_await primary_->stop(stopping_);
    primary_.reset();
  }
  if (secondary_) {
    co_await secondary_->stop();
    secondary_.reset();
  }
}

runtime::Task<void> Controller::become_primary() {
  if (primary_) co_return;
  co_await end_role();
  PrimaryOptions p;
  p.epoch = epoch();
  p.peer = options_.peer;
  p.window_bytes = options_.window_bytes;
  p.requests_max = options_.requests_max;
  p.resync_rate = options_.resync_rate;
  p.settle = options_.settle;
  p.boot = boot_;
  p.lock_grace = options_.lock_grace;
  primary_.emplace(replica_, keeper_, static_cast<RoleUser&>(*this), p);
  primary_->start();
  role_changed_.notify_all();
}

runtime::Task<void> Controller::become_secondary() {
  if (secondary_) co_return;
  co_await end_role();
  SecondaryOptions s;
  s.boot = boot_;
  s.inline_limit = options_.inline_limit;
  s.requests_max = options_.requests_max;
  secondary_.emplace(replica_, keeper_, static_cast<RoleUser&>(*this), s);
  secondary_->comparison = comparison;
  role_changed_.notify_all();
}

// --- what a session changes --------------------------------------------------------------------------------------------

/// What an earlier start knew of the other site's requests.
runtime::Task<Result<>> Controller::recall_results() {
  Result<Seq> through = Seq{};
  // Written down before it went alone; if that did not come about, the other site may still have the last word on blocks in flight.
  if (keeper_.membership().sole(options_.self)) through = co_await recall_kept(replica_.world.keys, replica_.results, options_.peer);
  if (!through) co_return std::unexpected(through.error());
  const Seq lost = keeper_.state().data_lost;
  const auto happened = [this, lost](const wire::Effect& effect) { return effect.seq > lost || !replica_.lost_data(effect); };
  co_return co_await recall_logged(replica_.area.log(), replica_.results, options_.peer, *through, happened);
}

runtime::Task<void> Controller::keep_answers() {
  co_await replica_.make_stable();
  // What an earlier start kept, and did not go alone with: nobody has taken it back since.
  const Result<Seq> recalled = co_await recall_kept(replica_.world.keys, replica_.results, options_.peer);
  if (!recalled) co_await replica_.halt("reading what became of the other site's requests", recalled.error());
  const bool changed = co_await put_answers(replica_.last());
  if (changed) co_await replica_.make_stable();
}

/// Of the only member, also when it stops: its log forgets what the other site may lack. True: the keys have changed.
runtime::Task<bool> Controller::put_answers_to(Seq through) {
  if (secondary_ || !keeper_.membership().sole(options_.self)) co_return false;
  co_return co_await put_answers(through);
}

runtime::Task<bool> Controller::put_answers(Seq through) {
  answers_through_ = std::max(answers_through_, through);
  const Result<bool> put = co_await put_results(replica_.world.keys, replica_.results, options_.peer, answers_through_);
  if (!put) co_await replica_.halt("writing down what became of the other site's requests", put.error());
  co_return *put;
}

runtime::Task<Keeper::Recorded> Controller::record_alone(bool consented, bool forced, Epoch above) {
  co_await keep_answers();
  // Forced by a site that may lack acknowledged writes: what counts of earlier epochs is not known.
  const bool whole = keeper_.membership().has(options_.self) && !keeper_.state().unproven && !keeper_.state().incomplete;
  const Seq base = forced && !whole ? Seq{0} : base_behind(replica_, epoch());
  const EpochEntry entry = keeper_.next(options_.self, SiteSet{options_.self}, base, forced, above);
  std::vector<Uuid> stores = keeper_.stores_with(options_.self, replica_.area.identity().store);
  const Keeper::Recorded done = co_await keeper_.record(entry, std::move(stores), consented, stop_);
  if (done == Keeper::Recorded::yes) {
    recorded_here_ = true;
    // What is lost is of the other site, which may have been ahead, or of this one before it lost its power.
    replica_.volume.pass_over_lost_inodes(epoch());
    log::warning("recorded: epoch {}, this site is the only member", epoch().value);
  }
  co_return done;
}

runtime::Task<bool> Controller::target_yielded(Epoch above) {
  const EpochEntry& now = keeper_.membership().in_force();
  const bool as_it_is = recorded_here_ && now.in_sync == SiteSet{options_.self} && now.primary == options_.self && above < now.number;
  if (!as_it_is) {
    primary_->hold();
    const Keeper::Recorded done = co_await record_alone(true, false, above);
    if (done != Keeper::Recorded::yes) co_return false;
  }
  primary_->go_on(epoch());
  co_return true;
}

runtime::Task<bool> Controller::take_in() {
  primary_->hold();
  const SiteSet both{options_.self, options_.peer};
  const EpochEntry entry = keeper_.next(options_.self, both, base_behind(replica_, epoch()));
  std::vector<Uuid> stores = keeper_.stores_with(options_.peer, peer_->store);
  stores.at(options_.self.value) = replica_.area.identity().store;
  const Keeper::Recorded done = co_await keeper_.record(entry, std::move(stores), true, stop_);
  primary_->go_on(epoch());
  accepts_new_store_ = false;
  problem_.clear();
  role_changed_.notify_all();  // readers that wait for blocks of the other site
  co_return done == Keeper::Recorded::yes;
}

runtime::Task<void> Controller::let_go(std::string reason) {
  log::info("site {} leaves: {}", options_.peer_name, reason);
  if (!primary_ || !primary_->in_sync() || leaving_) co_return;
  primary_->hold();
  const bool drained = co_await primary_->drained();
  if (drained && primary_->in_sync() && !deciding_ && !leaving_) {
    const Keeper::Recorded done = co_await record_alone(true, false, {});
    if (done == Keeper::Recorded::yes) co_await primary_->say_membership();
  }
  if (primary_) primary_->go_on(epoch());
  link_->drop_session();
}

runtime::Task<Result<>> Controller::told(wire::Membership membership, bool has_own) {
  const bool member = membership.history.back().in_sync.has(options_.self);
  // With its history goes where this site parted from it: what it has of its own can't be told from the source's by its seq any more.
  const Result<> adopted = co_await keeper_.adopt(membership.history, membership.stores, keeper_.state().incomplete || has_own, false);
  if (!adopted) co_return adopted;
  const EpochEntry& now = keeper_.membership().in_force();
  log::info("recorded: epoch {}, primary {}, in sync: {}", now.number.value, options_.keeper.names[now.primary.value],
            names(now.in_sync, options_.keeper.names));
  if (member) problem_.clear();
  co_return Result<>{};
}

// --- alone -------------------------------------------------------------------------------------------------------------

AloneInput Controller::alone_input() const {
  const Membership& membership = keeper_.membership();
  AloneInput in;
  in.member = !membership.fresh() && membership.has(options_.self) && !keeper_.state().incomplete && !keeper_.state().discards;
  in.sole = in.member && membership.sole(options_.self);
  in.primary = membership.in_force().primary == options_.self;
  in.unproven = keeper_.state().unproven;
  in.left = keeper_.state().left;
  in.diverged = encounter_ && encounter_->relation == Relation::diverged;
  in.arbiter = keeper_.has_arbiter();
  in.policy_primary = options_.alone;
  in.armed = keeper_.state().armed;
  in.promised = keeper_.state().promised && !planted(Planted::break_promise);
  in.away_since = away_since_;
  in.now = replica_.world.clock.now();
  in.peer_timeout = options_.peer_timeout;
  in.takeover_delay = options_.takeover_delay;
  return in;
}

runtime::Task<void> Controller::lone_watch() {
  while (!stop_.requested()) {
    // deciding_: an administrator forces a takeover just now.
    if (connected_ || deciding_ || discarding_ || replica_.failed() || (primary_ && primary_->alone())) {
      removing_slow_ = removing_slow_ && connected_;
      co_await lone_changed_.wait();
      continue;
    }
    if (keeper_.frozen()) {
      deciding_ = true;
      co_await keeper_.resolve(stop_);
      deciding_ = false;
      continue;
    }
    const Alone alone = decide_alone(alone_input());
    if (alone.finding != finding_) log::info("without the other site: {}", name_of(alone.finding));
    finding_ = alone.finding;
    deciding_ = true;
    const Duration pause = co_await lone_step(alone);
    deciding_ = false;  // the other site may come back, or an administrator decide, before this one looks again
    co_await replica_.world.clock.sleep_until(replica_.world.clock.now() + pause, stop_);
  }
}

/// Gives how long to wait before it is looked at again.
runtime::Task<Duration> Controller::lone_step(const Alone& alone) {
  switch (alone.finding) {
    case AloneFinding::not_a_member:
    case AloneFinding::unproven:
    case AloneFinding::left:
    case AloneFinding::promised:
    case AloneFinding::policy_forbids: removing_slow_ = false; co_return kLookAgain;
    case AloneFinding::waiting: co_return kLookAgain;
    case AloneFinding::diverged:
      // What this site has can be read, so that an administrator can compare; writes wait.
      if (!keeper_.membership().sole(options_.self) || primary_) co_return kLookAgain;
      co_await become_primary();
      primary_->hold();
      admitted_ = true;
      update_gate();
      co_return kLookAgain;
    case AloneFinding::armed:
    case AloneFinding::ask_arbiter:
    case AloneFinding::by_policy: {
      const bool armed = alone.finding == AloneFinding::armed;
      const Keeper::Recorded done = co_await record_alone(armed, false, {});
      if (armed && done == Keeper::Recorded::yes) went_armed.hit();
      if (done == Keeper::Recorded::yes) co_return kLookAgain;
      problem_ = keeper_.problem();
      removing_slow_ = false;
      co_return kAskAgain;
    }
    case AloneFinding::sole: break;
  }
  if (!recorded_here_) {
    const Keeper::Recorded done = co_await record_alone(true, false, {});
    if (done != Keeper::Recorded::yes) co_return kLookAgain;
  }
  if (replica_.world.clock.now() < lease_.fence_over()) co_return kLookAgain;  // the other site may still answer reads
  co_await keep_answers();  // those of a target that was served until just now, too
  co_await become_primary();
  primary_->go_on(epoch());
  replica_.peer_is_member(false);
  co_await primary_->go_alone();
  removing_slow_ = false;
  admitted_ = true;
  problem_.clear();
  log::warning("this site goes on alone in epoch {}", epoch().value);
  update_gate();
  role_changed_.notify_all();
  co_return kLookAgain;
}

/// The arbiter is told of what was recorded without it, and looked at, so that status can say that it is away.
runtime::Task<void> Controller::publish_loop() {
  while (co_await replica_.world.clock.sleep_until(replica_.world.clock.now() + kPublishEvery, stop_)) {
    const Instant now = replica_.world.clock.now();
    if (!deciding_ && !keeper_.frozen() && now >= look_at_arbiter_) {
      look_at_arbiter_ = now + kLookEvery;
      co_await keeper_.look_at_arbiter(stop_);
    }
    const bool may = (primary_ && (primary_->in_sync() || primary_->alone())) && !deciding_ && !keeper_.frozen();
    if (may && !keeper_.published()) co_await keeper_.publish(stop_);
    arms_changed_.notify_all();
  }
}

void Controller::arbiter_replaced() {
  keeper_.arbiter_replaced();
  look_at_arbiter_ = {};
}

// --- administration ----------------------------------------------------------------------------------------------------

runtime::Task<std::string> Controller::switch_over() {
  if (!primary_ || !primary_->in_sync()) co_return "the sites are not in sync: " + problem();
  primary_->hold();
  const bool drained = co_await primary_->drained();
  if (!drained || !primary_ || !primary_->in_sync()) {
    if (primary_) primary_->go_on(epoch());
    co_return "the other site went away meanwhile; nothing was changed";
  }
  const SiteSet both{options_.self, options_.peer};
  co_await keeper_.record(keeper_.next(options_.peer, both, base_behind(replica_, epoch())), keeper_.state().stores, true, stop_);
  update_gate();  // from here on only for as long as the lease lasts
  if (!primary_) co_return "this daemon is stopping; who is the primary is settled when the sites meet again";
  const Result<> told = co_await primary_->say_membership();
  link_->drop_session();
  if (!told) co_return "the other site went away before it had recorded that it is the primary; it is settled when they meet again";
  log::info("handed over to {} in epoch {}", options_.peer_name, epoch().value);
  co_return std::string();
}

std::vector<std::string> Controller::losses_of_takeover() const {
  std::vector<std::string> losses;
  const Membership& membership = keeper_.membership();
  if (membership.fresh()) losses.push_back("this area was never used with the other site: if that one holds data, it is lost when this one becomes its source");
  if (!membership.has(options_.self)) {
    losses.push_back(fmt::format("this site was not in sync in epoch {}: what was written at {} since then is missing here. If it was being made equal, "
                                 "it may be here in part: files may hold older data, or what stood in the area before",
                                 epoch().value, options_.peer_name));
  }
  if (keeper_.state().incomplete) losses.push_back("the metadata here are a mixture of two states: files may be missing or damaged");
  if (keeper_.state().unproven) losses.push_back("this site lost power: what was acknowledged last and not flushed may be missing here");
  if (keeper_.state().left) {
    losses.push_back(fmt::format("this site was stopped while {} was there: what was written at {} since then is missing here", options_.peer_name, options_.peer_name));
  }
  losses.push_back(fmt::format("if {} still runs and goes on, the two will diverge: one side's changes will have to be discarded", options_.peer_name));
  return losses;
}

runtime::Task<std::string> Controller::take_over_forced() {
  if (discarding_) co_return "what this site has of its own is being kept aside, before it is discarded; wait for the end of that, or interrupt it";
  if (primary_ && (primary_->alone() || primary_->in_sync())) co_return "this site is the primary, and writable";
  if (connected_) co_return "the other site is connected; use switchover, or wait until the two are in sync";
  if (deciding_ || keeper_.frozen()) co_return "this site is just deciding about its membership; try again in a moment";
  if (keeper_.state().incomplete) {
    co_return "the metadata here are a mixture of two states and can't be served; let this site be made equal to the other one";
  }
  deciding_ = true;
  Keeper::Recorded done = co_await record_alone(false, true, {});
  // The administrator knows what the arbiter does not: its word is recorded here, and told to the arbiter when it can be.
  if (done != Keeper::Recorded::yes && !keeper_.frozen()) done = co_await record_alone(true, true, {});
  if (encounter_ && encounter_->relation == Relation::diverged) encounter_.reset();
  deciding_ = false;
  lone_changed_.notify_all();
  co_return done == Keeper::Recorded::yes ? std::string() : "it could not be recorded: " + keeper_.problem();
}

runtime::Task<std::string> Controller::begin_discard() {
  if (!fork()) co_return "the sites have not diverged, or have not met since this daemon started";
  if (replica_.failed()) co_return "the area of this site has failed: " + replica_.failure();
  if (discarding_) co_return "what this site has of its own is being kept aside already, for somebody else who said resolve";
  if (deciding_ || connected_ || keeper_.frozen()) co_return "this site is just deciding about its membership; try again in a moment";
  discarding_ = true;
  peer_discards_ = false;
  if (!primary_ || !primary_->alone()) co_return std::string();  // what waits for the other site waits on; nothing changes here
  primary_->hold();
  const bool drained = co_await primary_->drained();
  if (drained && !stopping_) co_return std::string();
  keep_own();
  co_return "this daemon is stopping";
}

runtime::Task<std::string> Controller::discard() {
  if (stopping_ || replica_.failed()) {
    keep_own();
    co_return "this daemon is stopping; nothing was discarded";
  }
  if (peer_discards_) {
    keep_own();
    co_return fmt::format("somebody said meanwhile that what {} has of its own goes: nothing was discarded here, and {} is made equal to this site", options_.peer_name,
                          options_.peer_name);
  }
  co_await keeper_.set({.discards = true});
  encounter_.reset();
  if (stopping_) co_return std::string();
  scope_.spawn(leave_own());
  // Whoever is told that it is done may write: that belongs to what both sites will have.
  while (discarding_ && !stopping_) co_await lone_changed_.wait();
  co_return std::string();
}

/// After discard(): what would be acknowledged now would go, too.
runtime::Task<void> Controller::leave_own() {
  co_await close_gate();
  co_await end_role();
  discarded_before_ = next_request_;
  role_changed_.notify_all();
  if (!stop_.requested()) co_await gate_->renew();
  discarding_ = false;
  link_->drop_session();
  lone_changed_.notify_all();
}

void Controller::keep_own() {
  discarding_ = false;
  if (primary_ && primary_->alone() && !stopping_) primary_->go_on(epoch());
  lone_changed_.notify_all();
}

runtime::Task<void> Controller::leave() {
  const bool alone_is_allowed = keeper_.has_arbiter() || options_.alone;
  if (!alone_is_allowed || !connected_) co_return;
  leaving_ = true;
  if (session() == nullptr) co_return;
  runtime::Clock& clock = replica_.world.clock;
  const Instant until = clock.now() + kLeavePatience;
  if (secondary_ && secondary_->in_sync()) {
    // What is sent now may be heard, and what comes of it not: then this site must not go on before it has met the other one. It has every
    // acknowledged write, so if the other one loses its power instead, this one is the source.
    const bool written = co_await keeper_.note_leaving();
    peer::Session* const with = session();
    if (!written || with == nullptr) co_return;
    with->send(wire::Leave{"it is being stopped"});
    with->flush();
    const auto both = [&] { return keeper_.membership().has(options_.self) && !keeper_.membership().sole(options_.self); };
    while (connected_ && both() && clock.now() < until) {
      co_await clock.sleep_until(clock.now() + std::chrono::milliseconds(5), stop_);
    }
    co_return;
  }
  if (!primary_ || !primary_->in_sync() || deciding_) co_return;
  primary_->hold();
  session()->send(wire::Leave{"it is being stopped"});
  session()->flush();
  const bool drained = co_await primary_->drained();
  if (!drained || !primary_->in_sync()) co_return;
  co_await replica_.make_stable();
  const EpochEntry entry = keeper_.next(options_.peer, SiteSet{options_.peer}, base_behind(replica_, epoch()));
  co_await keeper_.record(entry, keeper_.state().stores, true, stop_);
  const Result<> told = co_await primary_->say_membership();
  if (told) log::info("{} goes on alone in epoch {}", options_.peer_name, epoch().value);
}

}  // namespace lockstep::controller
