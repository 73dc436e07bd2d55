#include "controller/controller.h"

#include <fmt/format.h>

#include <cerrno>

#include "controller/kept_results.h"
#include "core/log.h"

namespace lockstep::controller {

Controller::Controller(runtime::World& world, volume::Volume& volume, area::Area& area, ControllerOptions options)
    : options_(std::move(options)),
      replica_(world, volume, area, options_.self, options_.stable),
      keeper_(world, area, options_.keeper),
      lease_({.read_lease = options_.read_lease, .takeover = options_.takeover}, world.clock.now()),
      role_changed_(world.scheduler),
      repairs_changed_(world.scheduler),
      gate_changed_(world.scheduler),
      gate_closed_(world.scheduler),
      arms_changed_(world.scheduler),
      failed_(world.scheduler),
      away_since_(world.clock.now() + options_.start_patience),
      lone_changed_(world.scheduler),
      scope_(world.scheduler) {
  boot_ = boot_of(options_.start);
  replica_.on_failure = [this] { failed_.set(); };
  keeper_.on_failure = [this](const Error& error) { replica_.fail_area("writing down the membership", error); };
}

Controller::~Controller() { CHECK(inbox_.empty()); }

runtime::Task<Result<>> Controller::open() {
  const Result<> opened = keeper_.open();
  if (!opened) co_return opened;
  if (replica_.area.log().last() < replica_.volume.applied()) {
    log::warning("the metadata holds more than the log: whoever catches up from here gets a comparison of all keys");
    const Result<> anew = co_await replica_.begin_anew(replica_.volume.applied(), Replica::Anew::log_lost);
    if (!anew) co_return anew;
  }
  const Result<> noted = replica_.area.power_lost() ? co_await note_power_loss() : Result<>{};
  co_return noted ? co_await recall_results() : noted;
}

runtime::Task<Result<>> Controller::note_power_loss() {
  // M6: what was acknowledged and not flushed may be missing here. The only member has nobody who could have it.
  const bool alone = keeper_.membership().sole(options_.self);
  log::warning("the machine lost power while this site was in use: {}",
               alone ? "it is the only member, and goes on with what is on the medium" : "it waits for the other site, which may have more");
  bool written = true;
  if (alone) {
    written = co_await keeper_.note_data_lost(replica_.area.log().last());
  } else if (!keeper_.membership().fresh()) {
    written = co_await keeper_.give_up(std::nullopt);
  }
  if (!written) {
    co_return fail(Errc::io, "that this site lost power can't be written into its area; check the medium");
  }
  co_return co_await replica_.area.power_loss_recorded();
}

void Controller::start(HostCaches& caches, HostGate& gate, peer::Link& link) {
  replica_.caches = &caches;
  gate_ = &gate;
  link_ = &link;
  replica_.pulse_now = [this] { link_->ping_now(); };
  replica_.put_answers = [this](Seq through) { return put_answers_to(through); };
  replica_.start();
  scope_.spawn(detach_watch());
  scope_.spawn(lone_watch());
  scope_.spawn(gate_loop());
  scope_.spawn(lease_watch());
  scope_.spawn(room_watch());
  scope_.spawn(slow_watch());
  if (keeper_.has_arbiter()) scope_.spawn(publish_loop());
  if (keeper_.has_arbiter()) scope_.spawn(arms_watch());
}

runtime::Task<void> Controller::stop() {
  stopping_ = true;
  stop_.request();
  role_changed_.notify_all();
  lone_changed_.notify_all();
  arms_changed_.notify_all();
  failed_.notify_all();
  gate_changed_.notify_all();
  gate_closed_.notify_all();
  keeper_.changed().notify_all();
  co_await scope_.join();
  co_await end_role();
  role_changed_.notify_all();
  while (!inbox_.empty()) co_await role_changed_.wait();
  co_await replica_.stop();
}

// --- requests of this site's host --------------------------------------------------------------------------------------

runtime::Task<wire::Outcome> Controller::change(wire::Operation operation, Bytes payload,
                                                std::shared_ptr<runtime::Lease> lease, Waiter* waiter) {
  Asked asked;
  asked.id = {options_.self, boot_, next_request(waiter)};
  asked.waiter = waiter;
  asked.operation = std::move(operation);
  asked.payload = payload;
  asked.keep = std::move(lease);
  asked.since = inbox_.at(asked.id.n).since;
  wire::Outcome outcome;
  for (;;) {
    Fate fate = Fate::role_over;
    const auto discarded = [&] { return asked.id.n < discarded_before_; };
    if (primary_ && !discarded()) {
      fate = co_await primary_->change(asked, outcome);
    } else if (secondary_ && !discarded()) {
      fate = co_await secondary_->change(asked, outcome);
    }
    if (fate == Fate::answered) break;
    if (stopping_ || discarded()) {
      // The mount goes away, or has: with the daemon, whether the request takes effect the other site decides; else it was of a history that
      // is discarded, and what it names is something else now.
      outcome.error = ENOTCONN;
      break;
    }
    if (asked.given_up() && !asked.sent) {
      outcome.error = EINTR;
      break;
    }
    asked.own_payload();
    co_await role_changed_.wait();
  }
  request_ended(asked.id.n);
  co_return outcome;
}

void Controller::waiter_went() {
  if (primary_) primary_->waiter_went();
  if (secondary_) secondary_->waiter_went();
  role_changed_.notify_all();
}

bool Controller::binds(const RequestId& id) {
  if (id.site != options_.self || id.boot != boot_) return false;
  const auto found = inbox_.find(id.n);
  if (found == inbox_.end()) return false;
  Waiter* const waiter = found->second.waiter;
  if (waiter == nullptr) return true;
  if (!waiter->gone) waiter->bound = true;
  return waiter->bound;
}

std::uint64_t Controller::next_request(Waiter* waiter) {
  inbox_.emplace(next_request_, Waits{replica_.world.clock.now(), waiter});
  return next_request_++;
}

void Controller::request_ended(std::uint64_t n) {
  inbox_.erase(n);
  replica_.results.waits_from(options_.self, boot_, waits_from());
  if (stopping_) role_changed_.notify_all();
}

std::uint64_t Controller::waits_from() const { return inbox_.empty() ? next_request_ : inbox_.begin()->first; }

runtime::Task<void> Controller::wait_readable(InodeId inode, ByteRange range) {
  wire::Turn turn;
  turn.kind = wire::Turn::Kind::data;
  turn.object = inode;
  turn.first = range.offset / kBlockBytes;
  turn.count = (range.end() + kBlockBytes - 1) / kBlockBytes - turn.first;
  if (replica_.table.status(turn, options_.self) != Status::exclusive) co_return;
  std::vector<wire::Turn> turns{turn};
  co_await replica_.wait_until_neither(std::move(turns));
}

void Controller::orphan_closed(InodeId inode) {
  if (primary_) primary_->orphan_closed(inode);
  if (secondary_) secondary_->orphan_closed(inode);
}

bool Controller::readable_here(BlockRange blocks) const {
  if (secondary_) return secondary_->readable_here(blocks);
  // Between roles, and while the daemon stops, what a site holds counts only if it holds everything.
  const wire::SiteState& state = keeper_.state();
  return primary_ || (keeper_.membership().has(options_.self) && !state.unproven && !state.left && !state.incomplete);
}

runtime::Task<Result<>> Controller::read_elsewhere(BlockRange blocks, MutableBytes into) {
  while (!stopping_) {
    Result<std::vector<std::byte>> bytes = fail(Errc::unavailable, {});
    if (primary_ && primary_->in_sync()) {
      bytes = co_await primary_->fetch(blocks);
    } else if (secondary_ && secondary_->live()) {
      bytes = co_await secondary_->fetch(blocks);
    } else if (primary_ && primary_->sole_member()) {
      const Result<> adopted = co_await primary_->adopt_torn(blocks);
      const Result<> read = adopted ? co_await replica_.area.read(blocks, into) : Result<>(std::unexpected(adopted.error()));
      if (read || read.error().code != Errc::unavailable) co_return read;
    }
    if (bytes) {
      CHECK(bytes->size() == into.size());
      std::copy(bytes->begin(), bytes->end(), into.begin());
      co_return Result<>{};
    }
    if (bytes.error().code != Errc::unavailable) co_return std::unexpected(bytes.error());
    co_await role_changed_.wait();
  }
  co_return fail(Errc::stopped, "this daemon is stopping");
}

runtime::Task<Result<>> Controller::repair(BlockRange blocks) {
  while (!repairs_.begin(blocks)) co_await repairs_changed_.wait();
  Result<> done = fail(Errc::unavailable, "this site has no role just now");
  if (primary_) {
    done = co_await primary_->repair(blocks);
  } else if (secondary_) {
    done = co_await secondary_->repair(blocks);
  }
  repairs_.end(blocks);
  repairs_changed_.notify_all();
  co_return done;
}

// --- the link ----------------------------------------------------------------------------------------------------------

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
  hello.state = keeper_.state();
  hello.accepts_new_store = accepts_new_store_;
  hello.diskless = options_.diskless;
  replica_.flush_log();
  hello.logged = replica_.logged();
  hello.applied = replica_.applied();
  hello.waits_from = waits_from();
  if (secondary_) secondary_->say(hello);
  return hello;
}

peer::Pulse Controller::pulse() {
  replica_.area.log().told();
  return {.stable = replica_.stable(), .waits_from = waits_from(), .urgent = replica_.wants_stable(),
          .short_of_room = short_here_};
}

void Controller::pulse_of_peer(const peer::Pulse& pulse) {
  replica_.peer_stable(pulse.stable);
  if (peer_) {
    replica_.results.waits_from(options_.peer, boot_of(peer_->start), pulse.waits_from);
  }
  if (pulse.short_of_room != short_there_) note_room(short_here_, pulse.short_of_room);
  if (pulse.urgent) replica_.sync_soon([this] { link_->ping_now(); });
}

runtime::Task<void> Controller::serve(peer::Link& link, peer::Session& session, wire::Hello ours, wire::Hello theirs) {
  if (replica_.failed()) {
    not_connected_ = "the area of this site has failed";
    co_return;
  }
  if (stopping_ || deciding_ || removing_slow_ || recording_arms_ || keeper_.frozen() || ours.state != keeper_.state()) {
    // What this site said of itself is not true any more, or may change: they greet each other again.
    not_connected_ = keeper_.frozen() ? keeper_.problem() : "this site decides about its membership";
    co_return;
  }
  if (discarding_) {
    peer_discards_ = theirs.state.discards;
    not_connected_ = "what this site has of its own is being kept aside, before it is discarded";
    co_return;
  }
  if (ours.diskless || theirs.diskless) {
    // Nothing of this is a sign of life of a member: the other one may have to be taken out of the in-sync set first.
    const Result<Party> whole = ours.diskless ? party_of(options_.peer, theirs, false) : party_of(options_.self, ours, false);
    if (fork()) {
      not_connected_ = fmt::format("{} has no area: its hosts are served when an administrator has decided what becomes of the divergence", options_.peer_name);
      co_return;
    }
    if (whole && !carries(*whole)) {
      not_connected_ = ours.diskless ? fmt::format("this site has no area, and {} does not go on alone yet", options_.peer_name)
                                     : fmt::format("{} has no area: its hosts are served when this site goes on alone", options_.peer_name);
      co_return;
    }
  }
  peer_ = theirs;
  arms_ = {.peer_armed = theirs.state.armed};
  connected_ = true;
  not_connected_.clear();
  co_await meet(link, session, std::move(ours), std::move(theirs));
  connected_ = false;
  away_since_ = replica_.world.clock.now();
  if (short_there_) note_room(short_here_, false);  // whoever goes on alone needs no room there
  if (commands != nullptr) commands->session_ended();
  if (!gate_open_) admitted_ = false;
  update_gate();
  lone_changed_.notify_all();
}

void Controller::command(wire::Command command) {
  if (commands != nullptr) commands->command(std::move(command));
}

void Controller::command_answered(wire::CommandAnswer answer) {
  if (commands != nullptr) commands->command_answered(std::move(answer));
}

// --- what people ask ---------------------------------------------------------------------------------------------------

peer::Session* Controller::session() {
  if (primary_) return primary_->session();
  return secondary_ ? secondary_->session() : nullptr;
}

const ResyncProgress* Controller::progress() const {
  if (primary_) return primary_->progress();
  return secondary_ && state() != State::diskless ? secondary_->progress() : nullptr;
}

Controller::State Controller::state() const {
  if (replica_.failed()) return State::detached;
  if (primary_ && primary_->in_sync()) return State::in_sync;
  if (secondary_ && secondary_->in_sync()) return State::in_sync;
  if (fork() && (discarding_ || !(primary_ && primary_->alone()))) return State::diverged;
  if (primary_ && (primary_->alone() || primary_->live())) return primary_->progress() != nullptr ? State::alone_resync : State::alone;
  if (secondary_ && options_.diskless && secondary_->live()) return State::diskless;
  if (secondary_ && secondary_->progress() != nullptr) return State::resync;
  if (connected_) return State::catching_up;
  return peer_ || finding_ != AloneFinding::waiting ? State::suspended : State::connecting;
}

bool Controller::writable() const {
  if (replica_.failed() || discarding_) return false;
  return (primary_ && (primary_->live() || primary_->alone())) || (secondary_ && secondary_->live());
}

std::string Controller::problem() const {
  const State now = state();
  if (now != State::detached && (short_here_ || short_there_)) return short_of_room();
  if (now == State::in_sync) return keeper_.has_arbiter() && !keeper_.problem().empty() ? keeper_.problem() : std::string();
  if (now == State::diskless) return options_.diskless_why;
  if (now == State::detached) {
    return fmt::format("{}; mend the medium, then start lockstepd of this site again{}", replica_.failure(),
                       keeper_.membership().sole(options_.self) ? "" : fmt::format(
                           ": it is made equal to {}. If the area is lost, format it anew and say at {}: lockstep replace", options_.peer_name, options_.peer_name));
  }
  if (!problem_.empty()) return problem_;
  if (!connected_ && !not_connected_.empty()) return not_connected_;
  if (primary_ && !primary_->problem().empty()) return primary_->problem();
  return secondary_ ? secondary_->problem() : std::string();
}

Controller::Load Controller::load() {
  Load load;
  load.requests = inbox_.size();
  if (!inbox_.empty()) load.oldest = replica_.world.clock.now() - inbox_.begin()->second.since;
  if (primary_) {
    const Primary::Load l = primary_->load();
    load.effects = l.effects;
    load.bytes = l.bytes;
    if (l.oldest != Instant{}) load.oldest = std::max(load.oldest, replica_.world.clock.now() - l.oldest);
  }
  return load;
}

Seq Controller::seq() const { return primary_ ? primary_->last_seq() : replica_.last(); }

}  // namespace lockstep::controller
