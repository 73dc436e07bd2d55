// The fault "fork": two sites that an administrator lets go on apart, and what they do when they meet.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <functional>

#include "bin/simulator/faults.h"
#include "bin/simulator/unread.h"

namespace lockstep::simulator {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

/// Of a fork: how many in a seed, how long the sites may need to find out that they have met, how often an administrator says something again.
constexpr std::uint64_t kForksMax = 2;
constexpr Duration kMeetingLimit = seconds(60);
constexpr int kTries = 20;

/// Something that changes nothing was asked of the mount, and is not answered. A direct read of what a change has in exclusive status waits for
/// that: for a write of a host, or for a reservation that an administrator asked for (one of `requests` at the controller that no host waits for).
bool owes_a_look(const sim::Mount& mount, std::uint64_t requests) {
  using runtime::HostOp;
  constexpr std::array kLooks = {HostOp::lookup, HostOp::getattr, HostOp::open, HostOp::read, HostOp::opendir, HostOp::readdir};
  const auto waiting = mount.waiting();
  const auto looks = [&](const auto& asked) { return std::ranges::find(kLooks, asked.first) != kLooks.end(); };
  const bool reserving = requests > static_cast<std::uint64_t>(std::ranges::count_if(waiting, std::not_fn(looks)));
  return std::ranges::any_of(waiting, [&](const auto& asked) {
    const bool behind = reserving || std::ranges::find(waiting, std::pair(HostOp::write, asked.second)) != waiting.end();
    return looks(asked) && !(asked.first == HostOp::read && behind);
  });
}

runtime::Task<void> run_command(site::Site& site, nlohmann::json request, Unread& unread, std::shared_ptr<std::optional<nlohmann::json>> answer) {
  *answer = co_await site.execute(std::move(request), unread);
}

}  // namespace

/// An administrator makes the secondary go on although the primary may, too. Hosts of both go on; when the sites meet nothing is merged, and what
/// one of them has of its own goes, if an administrator says so.
void Faults::fork() {
  if (forks_ == kForksMax || !cluster_.in_sync() || cluster_.replacing() || taking_over_) return;
  const Instant began = cluster_.universe().now();
  if (part()) {
    const std::size_t primary = cluster_.site(0).controller().primary() != nullptr ? 0 : 1;
    run_some(seconds(8));
    if (apart_.chance(200)) lose_power_apart(1 - primary);
    const bool forced = force(1 - primary);
    // One that may not go on by itself can be told to as well.
    if (forced && !cluster_.arbitrated() && !cluster_.options().alone && added_.chance(700)) (void)force(primary);
    run_some(seconds(3));
    if (added_.chance(300)) kill_one_apart();
    if (apart_.chance(300)) lose_power_apart(apart_.below(2));
    meet_again();
  }
  stage_.idle = {};
  forking_ = false;
  make_up_for(began);
}

void Faults::run_some(Duration most) { cluster_.universe().run_for(added_.between({}, most)); }

/// Perhaps with hosts of one site, or of both, who change nothing from then on. False: something else struck meanwhile.
bool Faults::part() {
  if (added_.chance(350)) {
    const std::uint64_t who = added_.below(3);
    for (std::size_t i = 0; i < 2; ++i) stage_.idle[i] = who == i || who == 2;
    cluster_.universe().run_for(seconds(3));  // times that are written late, too
    if (!cluster_.in_sync()) return false;
  }
  ++forks_;
  forking_ = true;
  network().partition(east(), west(), true);
  stage_.part(cluster_.site(0).controller().primary() != nullptr ? 0 : 1, cluster_.universe().now());
  count("parted to fork");
  return true;
}

nlohmann::json Faults::ask(std::size_t which, nlohmann::json request) {
  auto answer = std::make_shared<std::optional<nlohmann::json>>();
  const std::string text = request.dump();
  sim::Process& process = cluster_.process(which);
  process.spawn(run_command(cluster_.site(which), std::move(request), process.make<Unread>(), answer));
  if (!cluster_.universe().run_until([&] { return answer->has_value(); }, std::chrono::minutes(1))) {
    stage_.fail(fmt::format("{} does not answer {}", kSites[which], text));
    return {{"error", "no answer"}};
  }
  if (stage_.verbose) fmt::print("{:>12} {} {}: {}\n", cluster_.universe().now().ns / 1000, kSites[which], text, (*answer)->dump());
  return **answer;
}

/// Until it goes on. False: it could not be brought to that.
bool Faults::force(std::size_t which) {
  const auto alone = [&] { return ready(which) && cluster_.site(which).controller().primary() != nullptr && cluster_.site(which).controller().primary()->alone(); };
  for (int tries = 0; tries < kTries && !alone() && stage_.failure.empty(); ++tries) {
    if (ready(which) && !cluster_.site(which).controller().connected()) {
      const nlohmann::json told = ask(which, {{"command", "takeover"}});
      if (!told.contains("losses")) stage_.fail("takeover does not say what may be lost");
      const bool unproven = ready(which) && cluster_.site(which).controller().keeper().state().unproven;
      if (unproven && !told.dump().contains("this site lost power")) stage_.fail("takeover does not say that this site lost power");
      stage_.part_both(cluster_.universe().now());
      (void)ask(which, {{"command", "takeover"}, {"confirmed", true}});
      cluster_.universe().run_until(alone, seconds(6));
    } else {
      cluster_.universe().run_for(milliseconds(500));
    }
  }
  count(alone() ? "fork" : "fork that could not be forced");
  return alone();
}

void Faults::kill_one_apart() {
  const std::size_t which = added_.below(2);
  if (!cluster_.up(which)) return;
  cluster_.kill(which);
  run_some(seconds(3));
  if (!cluster_.up(which)) cluster_.start(which);
  count("kill while apart");
  if (added_.chance(700)) run_some(seconds(10));
}

/// What it had acknowledged by itself goes unless it is stable, and so does what both had, if it is the one whose history stays in the end.
void Faults::lose_power_apart(std::size_t which) {
  stage_.power_lost(which, cluster_.universe().now());
  cluster_.lose_power(which);
  crowd_.start(which);
  cluster_.universe().run_for(apart_.between({}, seconds(3)));
  if (!cluster_.up(which)) cluster_.start(which);
  count("loss of power while apart");
  if (apart_.chance(700)) cluster_.universe().run_for(apart_.between({}, seconds(10)));
}

void Faults::meet_again() {
  if (cluster_.arbitrated()) {
    cluster_.arbiter().set_available(true);
    for (std::size_t i = 0; i < 2; ++i) cluster_.arbiter().set_reachable(cluster_.machine(i), true);
  }
  for (std::size_t i = 0; i < 2; ++i) {
    down_until_[i] = {};
    if (!cluster_.up(i)) cluster_.start(i);
  }
  // What was sent before must not arrive now, at a daemon that has not noticed anything.
  network().cut(east(), west(), sim::CutNotice::both);
  forking_ = false;
  open_line();
  // It was not forced.
  if (gave_in(0) || gave_in(1)) return stage_.join(gave_in(0) ? 1 : 0, cluster_.universe().now());
  const auto settled = [&] { return gave_in(0) || gave_in(1) || (has_diverged(0) && has_diverged(1)); };
  if (!cluster_.universe().run_until(settled, kMeetingLimit)) return stage_.fail("two sites that were forced apart have met, and neither have diverged nor is one made equal");
  for (std::size_t i = 0; i < 2; ++i) {
    if (!gave_in(i)) continue;
    count("fork without a divergence");
    return stage_.join(1 - i, cluster_.universe().now());
  }
  count("divergence");
  run_some(seconds(1));
  compare_divergence();
  discard(added_.below(2));
}

/// Both say it, and what each has of its own, and can be read.
void Faults::compare_divergence() {
  for (std::size_t i = 0; i < 2 && stage_.failure.empty(); ++i) {
    if (!has_diverged(i)) continue;  // it is just meeting the other one again
    const nlohmann::json status = ask(i, {{"command", "status"}});
    const std::string reason = status.value("reason", "");
    if (status.value("state", "") != "diverged" && reason.find("DIVERGED") == std::string::npos) {
      stage_.fail(fmt::format("{} does not say that the sites have diverged: {}, {}", kSites[i], status.value("state", ""), reason));
    }
    const nlohmann::json own = ask(i, {{"command", "divergence"}});
    if (own.contains("error")) stage_.fail(fmt::format("{} does not say what it has of its own: {}", kSites[i], own["error"].get<std::string>()));
    else if (!own.value("complete", false)) stage_.fail(fmt::format("{} does not know all that it has of its own", kSites[i]));
    if (!cluster_.site(i).controller().serving()) continue;
    Look& look = crowd_.at(i).make<Look>(Look{.when = fmt::format("diverged, at {}", kSites[i])});  // outlives this
    crowd_.at(i).spawn(look_at_files(crowd_.at(i), stage_, look));
    const bool read = cluster_.universe().run_until([&] { return look.done; }, seconds(20));
    look.over = true;  // who waits behind a writer may wait until the mount is made again
    // A write that waits for the decision keeps its page locked in the kernel of its host, and a reader of that page waits there.
    if (!read && owes_a_look(*cluster_.machine(i).mount(), cluster_.site(i).controller().load().requests)) stage_.fail(fmt::format("{}, which has diverged, can't be read", kSites[i]));
    ++counts_[read ? "diverged site read" : "diverged site read as far as its writers let"];
  }
}

void Faults::discard(std::size_t which) {
  bool said = false;
  nlohmann::json request{{"command", "resolve"}, {"discard", kSites[which]}};
  if (added_.chance(300)) request["keep"] = "none";
  for (int tries = 0; tries < kTries && !said && stage_.failure.empty(); ++tries) {
    const nlohmann::json answer = ask(which, request);
    said = !answer.contains("error");
    if (answer.contains("kept")) count("kept aside");
    if (said) break;
    const std::string error = answer["error"];
    if (error.contains("incomplete")) return stage_.fail(fmt::format("{} does not know all that it has of its own: {}", kSites[which], error));
    if (error.starts_with("nothing was discarded")) request["keep"] = "none";
    cluster_.universe().run_for(milliseconds(300));
  }
  if (!said) return stage_.fail(fmt::format("what {} has of its own can't be discarded", kSites[which]));
  const Instant since = cluster_.universe().now();
  if (apart_.chance(200)) return discard_the_other_too(which, since);
  if (added_.chance(200)) {
    cluster_.kill(which);
    run_some(seconds(1));
    if (!cluster_.up(which)) cluster_.start(which);
    count("kill while discarding");
  }
  if (!cluster_.universe().run_until([&] { return gave_in(which); }, kMeetingLimit)) {
    return stage_.fail(fmt::format("{} is not made equal although what it has of its own may go", kSites[which]));
  }
  stage_.discard(which, since, cluster_.universe().now());
  count("discarded");
}

/// Another administrator says the same of the other site. One of the two stays as it is.
void Faults::discard_the_other_too(std::size_t first, Instant since) {
  const nlohmann::json answer = ask(1 - first, {{"command", "resolve"}, {"discard", kSites[1 - first]}, {"keep", "none"}});
  count(answer.contains("error") ? "discarded, the other one refused to" : "discarded at both");
  // One may have begun to be made equal to the other one as that was told, too.
  const auto stays = [&](std::size_t i) {
    return gave_in(1 - i) && ready(i) && cluster_.site(i).controller().primary() != nullptr && (cluster_.site(i).controller().progress() != nullptr || cluster_.in_sync());
  };
  if (!cluster_.universe().run_until([&] { return stays(0) || stays(1); }, kMeetingLimit)) {
    return stage_.fail("no site is made equal although what both have of their own may go");
  }
  const std::size_t gone = stays(first) ? 1 - first : first;
  if (gone != first && answer.contains("error")) return stage_.fail(fmt::format("{} refused to discard what it has, and is made equal", kSites[gone]));
  stage_.discard(gone, since, cluster_.universe().now());
}

}  // namespace lockstep::simulator
