// verify, scrub, and what status says of bad blocks.
#include "control/members.h"
#include "core/log.h"
#include "resync/places.h"
#include "site/site.h"

namespace lockstep::site {
namespace {

using nlohmann::json;

constexpr std::size_t kNamedMax = 32;
constexpr Duration kLookAgain = std::chrono::milliseconds(100);
constexpr Duration kKeysPatience = std::chrono::seconds(30);  // until the other site begins to take the keys over

json numbers_of(const resync::ScrubReport& report) {
  return {{"blocks", report.blocks}, {"of", report.of}, {"bad", report.bad}, {"repaired", report.repaired}};
}

class ScrubStream final : public resync::Scrub::Watcher {
 public:
  explicit ScrubStream(control::Stream& stream) : stream_(stream) {}
  runtime::Task<bool> progress(const resync::ScrubReport& so_far) override {
    json line{{"progress", numbers_of(so_far)}};
    const bool there = co_await stream_.send(std::move(line));
    co_return there;
  }

 private:
  control::Stream& stream_;
};

}  // namespace

runtime::Task<json> Site::run_scrub(json request, control::Stream& stream) {
  const std::string& here = config_.at(self_).name;
  ScrubStream watcher(stream);
  log::info("scrub: begun");
  const resync::ScrubReport report = co_await scrub_->run(control::number(request, "rate"), watcher, stream.gone());
  log::info("scrub: {} blocks read, {} bad, {} repaired{}", report.blocks, report.bad, report.repaired,
            report.complete ? "" : "; it ended early: " + report.problem);
  if (!report.complete) co_return json{{"error", fmt::format("scrub of {} ended early, {} blocks were read: {}", here, report.blocks, report.problem)}};
  const std::vector<resync::Place> still_bad = co_await resync::places_of(world_.keys, report.named);
  json left = json::array();
  for (const resync::Place& place : still_bad) left.push_back(place.text());
  json answer = numbers_of(report);
  answer["site"] = here;
  answer["good"] = report.good();
  answer["bytes"] = report.blocks * kBlockBytes;
  answer["left"] = report.bad - report.repaired;
  answer["first_left"] = std::move(left);
  answer["why"] = report.why;
  answer["unknown"] = report.unknown;
  co_return answer;
}

runtime::Task<json> Site::run_verify(json request, control::Stream& stream) {
  const bool repair = control::is_true(request, "repair");
  const Seq seq = controller_->seq();
  resync::VerifyReport report = co_await verify_->run(repair, {});
  std::uint64_t keys_repaired = 0;
  if (repair && report.complete && report.keys_differ > 0) {
    if (control::is_true(request, "remote")) {
      co_return json{{"error", fmt::format("{} keys differ; the connection between the sites is renewed while they are taken over, so say it at "
                                           "the primary: lockstep --site {} verify --repair", report.keys_differ, config_.at(self_).name)}};
    }
    const std::string failed = co_await retake_keys(stream);
    if (!failed.empty()) co_return json{{"error", failed}};
    keys_repaired = report.keys_differ;
    resync::VerifyReport again = co_await verify_->run(true, {});
    again.repaired_here += report.repaired_here;
    again.repaired_there += report.repaired_there;
    again.conflicts_met += report.conflicts_met;
    again.conflicts.insert(again.conflicts.begin(), report.conflicts.begin(), report.conflicts.end());
    report = std::move(again);
  }
  if (!report.complete) co_return json{{"error", "verify ended early: " + report.problem}};
  const std::string& here = config_.at(self_).name;
  const std::string& there = config_.at(config_.other(self_)).name;
  std::vector<std::uint64_t> blocks = report.blocks_named;
  std::vector<std::string> what(blocks.size(), "differs");
  const auto add = [&](const std::vector<std::uint64_t>& bad, const std::string& text) {
    for (const std::uint64_t block : bad) {
      if (blocks.size() >= kNamedMax) break;
      blocks.push_back(block);
      what.push_back(text);
    }
  };
  add(report.bad_here, "does not match its checksum at " + here);
  add(report.bad_there, "does not match its checksum at " + there);
  json first = json::array();
  for (const std::string& key : report.keys_named) first.push_back("key " + key);
  const std::vector<resync::Place> places = co_await resync::places_of(world_.keys, std::move(blocks));
  for (std::size_t i = 0; i < places.size(); ++i) first.push_back(places[i].text() + ": " + what[i]);
  const std::vector<resync::Place> in_conflict = co_await resync::places_of(world_.keys, report.conflicts);
  json conflicts = json::array();
  for (const resync::Place& place : in_conflict) conflicts.push_back(place.text());
  co_return json{{"equal", report.equal()},
                 {"seq", seq.value},
                 {"blocks", report.blocks},
                 {"bytes", report.blocks * kBlockBytes},
                 {"keys", report.keys},
                 {"keys_differ", report.keys_differ},
                 {"blocks_differ", report.blocks_differ},
                 {"differences", report.keys_differ + report.blocks_differ + report.bad_here.size() + report.bad_there.size()},
                 {"first_differences", std::move(first)},
                 {"repair", repair},
                 {"repaired", {{here, report.repaired_here}, {there, report.repaired_there}, {"keys", keys_repaired}}},
                 {"conflicts", report.conflicts_met},
                 {"first_conflicts", std::move(conflicts)}};
}

/// The other site takes all keys over again. Empty: the two are in sync again; else why not, for people.
runtime::Task<std::string> Site::retake_keys(control::Stream& stream) {
  const Epoch before = controller_->epoch();
  const Instant limit = world_.clock.now() + kKeysPatience;
  // It ends the connection to begin, which may lose its answer.
  const json answer = co_await remote_->ask(json{{"command", "mistrust-keys"}}, stream);
  while (controller_->epoch() == before) {
    const bool waits = world_.clock.now() < limit && co_await world_.clock.sleep_until(world_.clock.now() + kLookAgain, stream.gone());
    if (!waits) co_return "keys differ, and the other site did not begin to take them over: " + control::text(answer, "error");
  }
  while (controller_->state() != controller::Controller::State::in_sync) {
    const bool waits = co_await world_.clock.sleep_until(world_.clock.now() + kLookAgain, stream.gone());
    if (!waits) co_return "interrupted; the other site takes the keys over all the same, see status, then verify again";
  }
  co_return std::string();
}

runtime::Task<json> Site::mistrust_keys() {
  controller::Secondary* const secondary = controller_->secondary();
  if (secondary == nullptr) co_return json{{"error", "this site is not the secondary"}};
  const Result<> begun = co_await secondary->mistrust_keys();
  if (!begun) co_return json{{"error", begun.error().text}};
  co_return json{{"ok", true}};
}

void Site::say_integrity(json& status) const {
  const controller::Replica::Mends& mends = controller_->replica().mends();
  status["counters"]["blocks_repaired"] = mends.repaired;
  status["counters"]["blocks_not_repaired"] = mends.left;
  if (scrub_->running() != nullptr) status["scrub"] = numbers_of(*scrub_->running());
  json damage = json::array();
  for (const resync::Damage::Event& event : damage_->events()) {
    damage.push_back(event.place.text() + ": " + (event.why.empty() ? std::string("repaired") : event.why));
  }
  status["damage"] = std::move(damage);
}

}  // namespace lockstep::site
