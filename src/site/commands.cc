// What the control socket answers: status, verify, trace. lockstep(1), "CONTROL SOCKET", lists the members.
#include "control/members.h"
#include "core/log.h"
#include "site/profile.h"
#include "site/site.h"

namespace lockstep::site {
namespace {

using nlohmann::json;

constexpr std::size_t kTraceLines = 512;         // steps looked at in one go
constexpr Duration kTracePause = std::chrono::milliseconds(100);

std::string hex(const Uuid& id) {
  std::string text;
  for (const std::uint8_t b : id.bytes) text += fmt::format("{:02x}", b);
  return text;
}

std::int64_t ms(Duration d) { return std::chrono::duration_cast<std::chrono::milliseconds>(d).count(); }

}  // namespace

runtime::Task<json> Site::execute(json request, control::Stream& stream) {
  const std::string command = request.at("command").get<std::string>();
  if (command == "status") co_return status();
  if (command == "verify") co_return co_await run_verify(stream);
  if (command == "trace") co_return co_await run_trace(std::move(request), stream);
  co_return json{{"error", fmt::format("there is no command \"{}\"; commands are status, verify, trace", command)}};
}

json Site::status() {
  using State = controller::Controller::State;
  controller::Controller& c = *controller_;
  const State state = c.state();
  const SiteId other = config_.other(self_);
  const bool in_sync = state == State::in_sync;
  const controller::Controller::Load load = c.load();
  const volume::Statistics space = volume_->statistics();
  const Instant now = world_.clock.now();

  std::string word = in_sync ? "in-sync" : state == State::catching_up ? "catching-up" : "suspended";
  if (!c.peer() && state == State::connecting) word = "connecting";
  if (stopping_) word = "stopping";

  json sites = json::array();
  for (std::size_t i = 0; i < config_.sites.size(); ++i) {
    const SiteId id{static_cast<std::uint8_t>(i)};
    json one{{"name", config_.at(id).name}, {"address", config_.at(id).address.text()}};
    one["role"] = id == config_.primary ? "primary" : "secondary";
    if (id == self_) {
      one["connected"] = true;
      one["in_sync"] = in_sync;
      one["store"] = hex(area_->identity().store);
      one["applied_seq"] = c.seq().value;
      one["since_seconds"] = ms(now - since_) / 1000;
    } else {
      one["connected"] = c.connected();
      one["in_sync"] = in_sync;
      if (c.peer()) {
        one["store"] = hex(c.peer()->store);
        one["last_seen_ms"] = ms(now - link_->last_heard());
      }
    }
    sites.push_back(std::move(one));
  }
  json members = json::array();
  for (const config::Site& site : config_.sites) members.push_back(site.name);

  const area::Area::Counters& blocks = area_->counters();
  json counters{{"blocks_read", blocks.blocks_read}, {"blocks_written", blocks.blocks_written},
                {"bad_blocks", blocks.bad_blocks}, {"syncs", blocks.syncs}, {"sessions", link_->sessions()}};
  peer::Session* session = c.primary() != nullptr ? c.primary()->session() : c.secondary()->session();
  if (session != nullptr) {
    const peer::Session::Counters& wire = session->counters();
    counters["wire"] = {{"frames_sent", wire.frames_sent}, {"bytes_sent", wire.bytes_sent},
                        {"payload_sent", wire.payload_sent}, {"frames_received", wire.frames_received},
                        {"bytes_received", wire.bytes_received}, {"sends", wire.sends}};
  }
  if (surroundings_.loop_counters) counters["loop"] = surroundings_.loop_counters();

  json answer{{"volume", config_.volume},
              {"site", config_.at(self_).name},
              {"state", word},
              {"reason", c.problem()},
              {"epoch", c.epoch().value},
              {"primary", config_.at(config_.primary).name},
              {"role", c.primary() != nullptr ? "primary" : "secondary"},
              {"peer", config_.at(other).name},
              {"in_sync", std::move(members)},
              {"sites", std::move(sites)},
              {"seq", c.seq().value},
              {"requests_pending", load.requests},
              {"oldest_pending_ms", ms(load.oldest)},
              {"window_effects", load.effects},
              {"window_bytes", load.bytes},
              {"log", {{"used", area_->log().bytes_used()}, {"bytes", area_->log().bytes()}}},
              {"area", {{"blocks", space.blocks}, {"free_blocks", space.blocks_free},
                        {"bytes", space.blocks * kBlockBytes}, {"free_bytes", space.blocks_free * kBlockBytes},
                        {"files", space.files}}},
              {"counters", std::move(counters)}};
  if (surroundings_.memory_bytes) answer["memory_bytes"] = surroundings_.memory_bytes();
  return answer;
}

runtime::Task<json> Site::run_verify(control::Stream& stream) {
  if (!verify_) {
    co_return json{{"error", fmt::format("verify runs at the primary: lockstep --site {} verify",
                                         config_.at(config_.primary).name)}};
  }
  const Seq seq = controller_->seq();
  const resync::VerifyReport report = co_await verify_->run({});
  if (!report.complete) co_return json{{"error", "verify ended early: " + report.problem}};
  json first = json::array();
  for (const std::string& key : report.keys_named) first.push_back("key " + key);
  for (const std::uint64_t block : report.blocks_named) first.push_back(fmt::format("block {}", block));
  const std::string& here = config_.at(self_).name;
  const std::string& there = config_.at(config_.other(self_)).name;
  for (const std::uint64_t block : report.bad_here) {
    if (first.size() < 32) first.push_back(fmt::format("block {} at {}: does not match its checksum", block, here));
  }
  for (const std::uint64_t block : report.bad_there) {
    if (first.size() < 32) first.push_back(fmt::format("block {} at {}: does not match its checksum", block, there));
  }
  co_return json{{"equal", report.equal()},
                 {"seq", seq.value},
                 {"blocks", report.blocks},
                 {"bytes", report.blocks * kBlockBytes},
                 {"keys", report.keys},
                 {"keys_differ", report.keys_differ},
                 {"blocks_differ", report.blocks_differ},
                 {"differences", report.keys_differ + report.blocks_differ + report.bad_here.size() + report.bad_there.size()},
                 {"first_differences", std::move(first)}};
}

json Site::step_line(const controller::StepEvent& event) const {
  json line{{"at_us", event.at.ns / 1000},
            {"request", fmt::format("{}-{}", site_name(event.request.site), event.request.n)},
            {"site", config_.at(self_).name},
            {"step", controller::name_of(event.step)}};
  if (event.object != kNoInode) {
    const bool names = event.kind == wire::Turn::Kind::names;
    line["object"] = fmt::format("inode {}", event.object.value);
    line["range"] = names ? fmt::format("name {:016x}", event.first)
                    : event.count == ~std::uint64_t{0}
                        ? fmt::format("blocks {}-", event.first)
                        : fmt::format("blocks {}-{}", event.first, event.first + event.count - (event.count > 0 ? 1 : 0));
    line["status"] = event.status == controller::Status::exclusive  ? "exclusive"
                     : event.status == controller::Status::reserved ? "reserved"
                                                                    : "neither";
  }
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
