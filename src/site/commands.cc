// What the control socket answers. lockstep(1), "CONTROL SOCKET", lists the members.
#include "control/members.h"
#include "core/log.h"
#include "site/profile.h"
#include "site/site.h"
#include "volume/reservations.h"

namespace lockstep::site {
namespace {

using nlohmann::json;

constexpr std::size_t kTraceLines = 512;         // steps looked at in one go
constexpr Duration kSwitchoverPatience = std::chrono::seconds(5);
constexpr Duration kArbiterPatience = std::chrono::seconds(15);
constexpr Duration kTracePause = std::chrono::milliseconds(100);

std::string hex(const Uuid& id) {
  std::string text;
  for (const std::uint8_t b : id.bytes) text += fmt::format("{:02x}", b);
  return text;
}

const char* word_of(controller::Controller::State state) {
  using State = controller::Controller::State;
  switch (state) {
    case State::connecting: return "connecting";
    case State::catching_up: return "catching-up";
    case State::in_sync: return "in-sync";
    case State::alone: return "alone";
    case State::alone_resync: return "alone-resync";
    case State::resync: return "resync";
    case State::diskless: return "diskless";
    case State::suspended: return "suspended";
    case State::diverged: return "diverged";
    case State::detached: return "detached";
  }
  return "?";
}

std::int64_t ms(Duration d) { return std::chrono::duration_cast<std::chrono::milliseconds>(d).count(); }

}  // namespace

runtime::Task<json> Site::execute(json request, control::Stream& stream) {
  const std::string command = request.at("command").get<std::string>();
  if (command == "status") co_return status();
  if (command == "trace") co_return co_await run_trace(std::move(request), stream);
  if (ReserveCommands::knows(command)) co_return co_await reserve_->execute(std::move(request), stream);
  if (command == "watch") co_return co_await watch_->execute(std::move(request), stream);
  if (command == "takeover") co_return co_await take_over(std::move(request));
  if (command == "mount") co_return co_await mount();
  if (command == "replace") co_return co_await replace(std::move(request));
  if (command == "replace-arbiter") co_return co_await replace_arbiter(std::move(request), stream);
  if (command == "resolve") co_return co_await resolve(std::move(request), stream);
  if (command == "divergence") co_return co_await list_divergence(stream);
  if (command == "scrub") co_return co_await run_scrub(std::move(request), stream);
  if (command == "mistrust-keys" && control::is_true(request, "remote")) co_return co_await mistrust_keys();
  if (command == "locks") co_return co_await list_locks(std::move(request), stream);
  if (command == "locks-break") co_return co_await break_locks(std::move(request));
  if (command == "verify" || command == "switchover") {
    // Carried out by the primary, whoever was asked.
    if (controller_->primary() == nullptr) {
      if (control::is_true(request, "remote")) co_return json{{"error", "neither site is the primary just now; look at status"}};
      json answer = co_await remote_->ask(request, stream);
      // Handing over ends the session, and may do so before the answer is here: the membership says it then.
      if (command == "switchover" && answer.contains("error")) co_return co_await after_switchover(std::move(answer), stream);
      co_return answer;
    }
    if (command == "verify") co_return co_await run_verify(std::move(request), stream);
    co_return co_await switch_over(std::move(request), stream);
  }
  co_return json{{"error", fmt::format("there is no command \"{}\"; commands are status, verify, scrub, trace, mount, switchover, takeover, "
                                       "replace, replace-arbiter, resolve, divergence, locks, locks-break, reserve, release, reservations, watch", command)}};
}

json Site::status() {
  using State = controller::Controller::State;
  controller::Controller& c = *controller_;
  const State state = c.state();
  const SiteId other = config_.other(self_);
  const controller::Controller::Load load = c.load();
  const volume::Statistics space = volume_->statistics();
  const controller::EpochEntry& entry = c.keeper().membership().in_force();
  const Instant now = world_.clock.now();

  json sites = json::array();
  for (std::size_t i = 0; i < config_.sites.size(); ++i) {
    const SiteId id{static_cast<std::uint8_t>(i)};
    json one{{"name", config_.at(id).name}, {"address", config_.at(id).address.text()}};
    one["short_of_room"] = id == self_ ? c.short_here() : c.short_there();
    one["role"] = id == entry.primary ? "primary" : "secondary";
    // The other site is in sync as far as it is known: a member that is connected, or is not known to have been left behind.
    one["in_sync"] = entry.in_sync.has(id) && state != State::diverged && (id == self_ ? !c.keeper().state().incomplete : true);
    if (id == self_) {
      one["connected"] = true;
      one["diskless"] = !surroundings_.without_area.empty();
      one["store"] = hex(area_->identity().store);
      one["applied_seq"] = c.seq().value;
      one["since_seconds"] = ms(now - since_) / 1000;
    } else {
      one["connected"] = c.connected();
      one["diskless"] = c.primary() != nullptr && c.primary()->carries();
      if (c.peer()) {
        one["store"] = hex(c.peer()->store);
        one["last_seen_ms"] = ms(now - link_->last_heard());
      }
    }
    sites.push_back(std::move(one));
  }
  json members = json::array();
  for (std::size_t i = 0; i < config_.sites.size(); ++i) {
    if (entry.in_sync.has(SiteId{static_cast<std::uint8_t>(i)})) members.push_back(config_.sites[i].name);
  }

  const area::Area::Counters& blocks = area_->counters();
  json counters{{"blocks_read", blocks.blocks_read}, {"blocks_written", blocks.blocks_written},
                {"bad_blocks", blocks.bad_blocks}, {"syncs", blocks.syncs}, {"sessions", link_->sessions()}};
  if (peer::Session* session = c.session(); session != nullptr) {
    const peer::Session::Counters& wire = session->counters();
    counters["wire"] = {{"frames_sent", wire.frames_sent}, {"bytes_sent", wire.bytes_sent},
                        {"payload_sent", wire.payload_sent}, {"frames_received", wire.frames_received},
                        {"bytes_received", wire.bytes_received}, {"sends", wire.sends}};
  }
  const fuse::HostCounters& host = host_side_->counters();
  counters["host"] = {{"requests", host.requests}, {"writes", host.writes},
                      {"dropped_attributes", host.dropped_attributes}, {"dropped_listings", host.dropped_listings},
                      {"dropped_pages", host.dropped_pages}, {"dropped_names", host.dropped_names},
                      {"dropped_all_names", host.epochs}, {"drops_needless", host.drops_needless},
                      {"drops_waited", host.helper_hops}, {"sizes_late", host.shrinks_late}};
  if (surroundings_.loop_counters) counters["loop"] = surroundings_.loop_counters();

  json answer{{"volume", config_.volume},
              {"site", config_.at(self_).name},
              {"state", stopping_ ? "stopping" : word_of(state)},
              {"reason", c.problem()},
              {"epoch", entry.number.value},
              {"primary", config_.at(entry.primary).name},
              {"role", entry.primary == self_ ? "primary" : "secondary"},
              {"peer", config_.at(other).name},
              {"in_sync", std::move(members)},
              {"serving", c.serving()},
              {"writable", c.serving() && c.writable()},
              {"sites", std::move(sites)},
              {"seq", c.seq().value},
              {"requests_pending", load.requests},
              {"oldest_pending_ms", ms(load.oldest)},
              {"window_effects", load.effects},
              {"window_bytes", load.bytes},
              {"suspect_granules", area_->suspects().count()},
              {"log", {{"used", area_->log().bytes_used()}, {"bytes", area_->log().bytes()}}},
              {"area", {{"blocks", space.blocks}, {"free_blocks", space.blocks_free},
                        {"bytes", space.blocks * kBlockBytes}, {"free_bytes", space.blocks_free * kBlockBytes},
                        {"files", space.files},
                        {"metadata", {{"bytes", c.room().used}, {"free_bytes", c.room().free}, {"short", c.short_here()}}}}},
              {"counters", std::move(counters)}};
  if (const controller::ResyncProgress* progress = c.progress(); progress != nullptr) {
    const double seconds = std::max<double>(0.001, static_cast<double>(ms(now - progress->since)) / 1000);
    const std::uint64_t left = progress->granules - std::min(progress->granules, progress->granules_done);
    const double rate = static_cast<double>(progress->granules_done) / seconds;
    json resync{{"stage", progress->stage}, {"granules", progress->granules}, {"granules_done", progress->granules_done},
                {"bytes_compared", progress->granules_done * area::kGranuleBytes}, {"bytes_copied", progress->bytes_copied},
                {"keys", progress->keys}, {"records", progress->records}, {"seconds", seconds},
                {"bytes_per_second", static_cast<std::uint64_t>(rate * static_cast<double>(area::kGranuleBytes))},
                {"idle_ms", ms(now - progress->moved)}};
    if (rate > 0) resync["seconds_left"] = static_cast<std::uint64_t>(static_cast<double>(left) / rate);
    answer["resync"] = std::move(resync);
  }
  if (json reservations = reserve_->summary(); !reservations.is_null()) answer["reservations"] = std::move(reservations);
  if (config_.arbiter) {
    answer["arbiter"] = {{"reachable", !c.keeper().arbiter_away()}, {"up_to_date", c.keeper().published()},
                         {"frozen", c.keeper().frozen()}, {"problem", c.keeper().problem()},
                         {"armed", c.keeper().state().armed}, {"promised", c.keeper().state().promised}};
  }
  const wire::SiteState& remembered = c.keeper().state();
  answer["mount"] = {{"path", config_.at(self_).mount}, {"mounted", host_side_->mounted()}, {"problem", host_side_->mount_problem()}};
  answer["unproven"] = remembered.unproven;
  answer["left"] = remembered.left;
  answer["incomplete"] = remembered.incomplete;
  answer["diverged"] = c.fork().has_value();
  if (c.replica().failed()) answer["failure"] = c.replica().failure();
  if (!c.connected()) answer["alone"] = std::string(controller::name_of(c.finding()));
  say_integrity(answer);
  say_discarded(answer);
  if (surroundings_.memory_bytes) answer["memory_bytes"] = surroundings_.memory_bytes();
  return answer;
}

runtime::Task<json> Site::mount() {
  const std::string& path = config_.at(self_).mount;
  if (host_side_->mounted()) co_return json{{"ok", true}, {"text", fmt::format("the volume is mounted at {}", path)}};
  const Result<> mounted = co_await host_side_->mount();
  if (!mounted) co_return json{{"error", mounted.error().text}};
  log::info("mounted at {} again, as an administrator said", path);
  co_return json{{"ok", true}, {"text", fmt::format("the volume is mounted at {} again", path)}};
}

runtime::Task<json> Site::switch_over(json request, control::Stream&) {
  const std::string to = control::text(request, "to");
  if (!to.empty() && to == config_.at(self_).name) co_return json{{"ok", true}, {"text", to + " is the primary already"}};
  const std::string failed = co_await controller_->switch_over();
  if (!failed.empty()) co_return json{{"error", failed}};
  co_return json{{"ok", true}, {"text", config_.at(config_.other(self_)).name + " is the primary now"}};
}

runtime::Task<json> Site::after_switchover(json answer, control::Stream& stream) {
  const Instant until = world_.clock.now() + kSwitchoverPatience;
  while (world_.clock.now() < until && !stream.gone().requested()) {
    if (controller_->state() == controller::Controller::State::in_sync) {
      if (controller_->primary() == nullptr) break;
      co_return json{{"ok", true}, {"text", config_.at(self_).name + " is the primary now"}};
    }
    co_await world_.clock.sleep_until(world_.clock.now() + kTracePause, stream.gone());
  }
  co_return answer;
}

/// Without "confirmed" nothing is done: the answer says what may be lost.
runtime::Task<json> Site::take_over(json request) {
  if (!surroundings_.without_area.empty()) {
    co_return json{{"error", "this site works without an area, and has no data of its own: it can't go on alone"}};
  }
  if (!control::is_true(request, "confirmed")) co_return json{{"losses", controller_->losses_of_takeover()}};
  const std::string failed = co_await controller_->take_over_forced();
  if (!failed.empty()) co_return json{{"error", failed}};
  co_return json{{"ok", true}, {"text", config_.at(self_).name + " goes on alone as primary, as soon as the other site can't serve reads any more"}};
}

runtime::Task<json> Site::replace(json request) {
  const std::string name = control::text(request, "site");
  if (name != config_.at(config_.other(self_)).name) {
    co_return json{{"error", fmt::format("\"{}\" is not the other site, seen from {}: say replace at the site that has the volume, with the name of "
                                         "the one whose area is new", name, config_.at(self_).name)}};
  }
  if (controller_->keeper().membership().fresh()) co_return json{{"error", "this area was never used: it can't be the one that the other is filled from"}};
  controller_->accept_new_store();
  co_return json{{"ok", true}, {"text", fmt::format("the new area of {} is welcome: it is filled as soon as its daemon connects; lockstep status shows how far it is", name)}};
}

/// An administrator has put another etcd in the place of the arbiter's: both sites accept it, the primary tells it who is a member.
runtime::Task<json> Site::replace_arbiter(json request, control::Stream& stream) {
  if (!config_.arbiter) co_return json{{"error", "there is no [arbiter] in the configuration of " + config_.at(self_).name}};
  if (controller_->state() != controller::Controller::State::in_sync) {
    co_return json{{"error", "the arbiter is replaced while both sites are in sync, so that nobody relies on what the old one knew; they are not: " +
                                 controller_->problem()}};
  }
  const bool asked_there = control::is_true(request, "remote");
  if (!asked_there) {
    json there = co_await remote_->ask(request, stream);
    if (there.contains("error")) co_return there;
  }
  controller_->arbiter_replaced();
  const controller::Keeper& keeper = controller_->keeper();
  const Instant until = world_.clock.now() + kArbiterPatience;
  while (!asked_there && !keeper.published() && world_.clock.now() < until && !stream.gone().requested()) {
    co_await world_.clock.sleep_until(world_.clock.now() + kTracePause, stream.gone());
  }
  if (asked_there) co_return json{{"ok", true}};
  if (!keeper.published()) {
    co_return json{{"error", "both sites accept it, but it was not told of the membership yet: " + keeper.problem() +
                                 "; it is told as soon as it answers"}};
  }
  co_return json{{"ok", true}, {"text", fmt::format("the new arbiter knows of epoch {}", keeper.membership().in_force().number.value)}};
}

json Site::step_line(const controller::StepEvent& event) const {
  json line{{"at_us", event.at.ns / 1000},
            {"request", fmt::format("{}-{}", site_name(event.request.site), event.request.n)},
            {"site", config_.at(self_).name},
            {"step", controller::name_of(event.step)}};
  if (event.object != kNoInode) {
    line["object"] = fmt::format("inode {}", event.object.value);
    line["range"] = volume::text_of({event.kind, event.object, event.first, event.count});
    line["status"] = event.status == controller::Status::exclusive  ? "exclusive"
                     : event.status == controller::Status::reserved ? "reserved"
                                                                    : "neither";
  }
  if (event.step == controller::Step::held) line["reserved_by"] = site_name(event.holder);
  if (event.seq != Seq{0}) line["seq"] = event.seq.value;
  return line;
}

/// Sends steps as they happen until `count` were sent, the client goes or (without follow) none came for a moment.
runtime::Task<json> Site::run_trace(json request, control::Stream& stream) {
  controller::Steps& steps = controller_->replica().steps;
  const bool profiling = control::is_true(request, "profile");
  const bool follow = control::is_true(request, "follow") || profiling;
  std::uint64_t left = control::number(request, "count");
  if (profiling && left == 0) left = 1000;
  const bool bounded = left > 0;
  if (profiling && surroundings_.costs != nullptr) steps.probe(surroundings_.costs, surroundings_.costs_with);
  std::uint64_t seen = follow ? steps.last() : 0;
  Profile profile(config_.at(self_).name);
  std::uint64_t sent = 0;
  bool going = true;
  while (going) {
    const std::vector<controller::StepEvent> events = steps.since(seen, kTraceLines);
    for (const controller::StepEvent& event : events) {
      if (event.number > seen + 1 && seen != 0 && !profiling) {
        going = co_await stream.send(json{{"missed", event.number - seen - 1}});
      }
      seen = event.number;
      if (profiling) {
        profile.add(event);
        going = profile.requests() < left;
      } else {
        going = co_await stream.send(json{{"trace", step_line(event)}});
        ++sent;
        if (bounded && --left == 0) going = false;
      }
      if (!going) break;
    }
    if (!going || stream.gone().requested() || (!follow && events.empty())) break;
    if (events.empty()) co_await world_.clock.sleep_until(world_.clock.now() + kTracePause, stream.gone());
  }
  if (profiling) {
    steps.probe(nullptr, nullptr);
    for (json& row : profile.rows()) {
      const bool there = co_await stream.send(json{{"profile", std::move(row)}});
      if (!there) break;
    }
  }
  co_return json{{"steps", sent}};
}

}  // namespace lockstep::site
