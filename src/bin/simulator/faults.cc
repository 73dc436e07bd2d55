#include "bin/simulator/faults.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "bin/simulator/checks.h"
#include "bin/simulator/log_filler.h"
#include "bin/simulator/unread.h"
#include "sim/key_value.h"
#include "sim/storage.h"

namespace lockstep::simulator {
namespace {

using std::chrono::hours;
using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr Duration kLongerMax = seconds(15);

/// How often a site that is lost is looked after at the end, every 100 ms.
constexpr int kTendingRounds = 1200;

runtime::Task<void> hand_over(site::Site& site) { co_await site.controller().switch_over(); }
runtime::Task<void> take_over(site::Site& site) { co_await site.controller().take_over_forced(); }

runtime::Task<void> run_verify(site::Site& site, Unread& unread, Stage& stage) {
  const nlohmann::json answer = co_await site.execute({{"command", "verify"}}, unread);
  if (answer.contains("equal") && !answer["equal"].get<bool>() && !stage.rot) stage.fail("verify: " + answer.dump());
  if (answer.contains("equal")) ++stage.verified;
}

runtime::Task<void> fill_a_log(sim::Process& process, std::string path) {
  // What stops it is no fault: others are judged. That it ends is.
  (void)co_await fill_log(process, std::move(path));
}

}  // namespace

const std::vector<Faults::Kind> Faults::kKinds = {
    {"cut", 500, &Faults::cut},
    {"cut, half open", 150, &Faults::cut_half_open},
    {"cut at a byte", 300, &Faults::cut_at_a_byte},
    {"storm of cuts", 100, &Faults::storm},
    {"partition", 300, &Faults::partition},
    {"partition one way", 200, &Faults::partition_one_way},
    {"slow link", 150, &Faults::slow_link},
    {"slow disk", 150, &Faults::slow_disk},
    {"kill", 400, &Faults::kill, true},
    {"kill of both", 150, &Faults::kill_both, true},
    {"stop signal", 200, &Faults::stop_signal},
    {"long absence", 200, &Faults::absence, true},
    {"orderly stop", 150, &Faults::orderly_stop},
    {"loss of power", 250, &Faults::lose_power, true},
    {"loss of power of both", 150, &Faults::lose_power_of_both, true},
    {"area lost and replaced", 80, &Faults::lose_area, true},
    {"jump of the calendar", 100, &Faults::jump_of_calendar},
    {"switchover", 300, &Faults::switchover},
    {"verify", 200, &Faults::verify},
    {"arbiter away or back", 400, &Faults::arbiter_away},
    {"arbiter out of reach or back", 400, &Faults::arbiter_out_of_reach},
    {"rest", 100, &Faults::rest},
    {"silent corruption", 100, &Faults::rot},
    {"failing disk", 100, &Faults::failing_disk, true},
    {"forced takeover", 500, &Faults::forced_takeover, true},
};

const std::vector<Faults::Kind> Faults::kAdded = {
    {"fork", 120, &Faults::fork, true},
    {"arbiter lost before a site", 250, &Faults::lose_arbiter_first, true},
    {"work without an area", 100, &Faults::work_without_area, true},
    {"a log filled", 120, &Faults::fill_log},
    {"programs ended", 250, &Faults::end_programs},
};

Faults::Faults(Cluster& cluster, Stage& stage, Crowd& crowd, sim::Prng& prng, sim::Prng& added, sim::Prng& apart, std::map<std::string, std::uint64_t>& counts)
    : cluster_(cluster), stage_(stage), crowd_(crowd), prng_(prng), added_(added), apart_(apart), counts_(counts) {}

Duration Faults::draw_between(Duration least, Duration most) {
  return least + Duration(prng_.below(static_cast<std::uint64_t>((most - least).count()) + 1));
}

void Faults::draw(unsigned rare) {
  for (const Kind& kind : kKinds) {
    if (prng_.chance(kind.permille)) mix_.push_back(&kind);
  }
  for (const Kind& kind : kAdded) {
    if (added_.chance(std::min(1000u, kind.permille * rare))) mix_.push_back(&kind);
  }
  rots_ = std::ranges::any_of(mix_, [](const Kind* kind) { return kind->strike == &Faults::rot; });
  if (rots_) std::erase_if(mix_, [](const Kind* kind) { return kind->stops; });
  rotten_ = prng_.below(2);
  stage_.rot = rots_;
  length_ = draw_between(milliseconds(500), milliseconds(4500));
  sim::NetWeather& net = network().weather;
  net.delay_min = draw_between(microseconds(20), microseconds(520));
  net.delay_max = delay_max_ = net.delay_min + draw_between({}, milliseconds(5));
  net.short_send_permille = static_cast<unsigned>(prng_.below(300));
  for (std::size_t i = 0; i < 2; ++i) {
    cluster_.machine(i).storage().weather.miss_permille = static_cast<unsigned>(prng_.below(400));
    sim::ClockSettings& clock = cluster_.machine(i).clock_settings();
    clock.offset = draw_between({}, hours(1000));
    clock.drift_ppm = static_cast<std::int64_t>(prng_.below(4001)) - 2000;
  }
}

void Faults::begin() {
  if (!cluster_.arbitrated() || !prng_.chance(700)) return;
  sim::ArbiterWeather& weather = cluster_.arbiter().weather;
  weather.refused_permille = static_cast<unsigned>(prng_.below(200));
  weather.lost_permille = static_cast<unsigned>(prng_.below(100));
  weather.late_permille = static_cast<unsigned>(prng_.below(100));
  weather.unanswered_permille = static_cast<unsigned>(prng_.below(200));
}

void Faults::trouble() {
  end_ = cluster_.universe().now() + length_;
  last_end_ = end_ + kLongerMax;
  while (cluster_.universe().now() < end_ && stage_.failure.empty()) {
    cluster_.universe().run_for(draw_between(microseconds(500), milliseconds(300)));
    start_what_is_down();
    // Whoever has not left yet may be the last one to hold what it cannot write any more.
    if (failing_) continue;
    if (const auto wrong = armed_without_promise(cluster_)) stage_.fail(*wrong);
    if (!mix_.empty()) (this->*mix_[prng_.below(mix_.size())]->strike)();
    if (!cluster_.replacing() && !rots_) {
      if (const auto wrong = not_suspect(cluster_)) stage_.fail(*wrong);
    }
  }
}

/// More records at once than a log holds, faster than heartbeats say what may be forgotten.
void Faults::fill_log() {
  const std::size_t site = added_.below(2);
  if (!cluster_.up(site)) return;
  crowd_.at(site).spawn(fill_a_log(crowd_.at(site), fmt::format("/filling{}", filled_++)));
  count("a log filled");
}

void Faults::heal() {
  if (cluster_.arbitrated()) {
    cluster_.arbiter().weather = {};
    cluster_.arbiter().set_available(true);
    for (std::size_t i = 0; i < 2; ++i) cluster_.arbiter().set_reachable(cluster_.machine(i), true);
  }
  network().partition(east(), west(), false);
  network().weather.delay_max = delay_max_;
  for (std::size_t i = 0; i < 2; ++i) cluster_.machine(i).storage().weather.slow = {};
  stage_.resting = false;
  // A site whose area failed hands over first, which may take until the other one is heard again.
  const auto leaving = [this] {
    return std::ranges::any_of(std::array<std::size_t, 2>{0, 1}, [this](std::size_t i) { return cluster_.up(i) && cluster_.site(i).failed(); });
  };
  const auto tended = [&] {
    start_what_is_down();
    return !failing_ && !taking_over_ && !leaving();
  };
  for (int round = 0; !tended() && stage_.failure.empty(); ++round) {
    if (round == kTendingRounds) return stage_.fail("an administrator can't get a lost site replaced");
    cluster_.universe().run_for(milliseconds(100));
  }
  down_until_ = {};
  start_what_is_down();
}

void Faults::count(const std::string& fault) {
  ++counts_[fault];
  if (stage_.verbose) fmt::print("{:>12} FAULT {}\n", cluster_.universe().now().ns / 1000, fault);
}

/// A fault of some time: `end` makes it whole again.
void Faults::lasts(Duration time, std::function<void()> end) { cluster_.universe().after(time, nullptr, std::move(end)); }

/// What takes effect only after a while gets it.
void Faults::longer(Duration time) { end_ = std::min(last_end_, std::max(end_, cluster_.universe().now() + time)); }

/// What took long by itself leaves the other faults their time.
void Faults::make_up_for(Instant began) {
  const Duration time = cluster_.universe().now() - began;
  end_ = end_ + time;
  last_end_ = last_end_ + time;
}

void Faults::start_what_is_down() {
  tend_failing_disk();
  tend_takeover();
  for (std::size_t i = 0; i < 2; ++i) {
    if (!cluster_.up(i) && cluster_.universe().now() >= down_until_[i]) cluster_.start(i);
  }
}

/// Unless it is down for good, until somebody sees to it.
void Faults::down_for(std::size_t which, Duration time) {
  if (down_until_[which] != kNever) down_until_[which] = cluster_.universe().now() + time;
}

void Faults::open_line() {
  if (!forking_) network().partition(east(), west(), false);
}

void Faults::cut() {
  network().cut(east(), west(), sim::CutNotice::both);
  count("cut");
}

void Faults::cut_half_open() {
  network().cut(east(), west(), prng_.chance(500) ? sim::CutNotice::first : sim::CutNotice::second);
  count("cut, half open");
}

void Faults::cut_at_a_byte() {
  const bool to_west = prng_.chance(500);
  network().cut_next_after(to_west ? east() : west(), to_west ? west() : east(), prng_.below(20'000));
  network().cut(east(), west(), sim::CutNotice::both);
  count("cut at a byte");
}

void Faults::storm() {
  for (std::uint64_t left = 5 + prng_.below(20); left > 0; --left) {
    network().cut(east(), west(), sim::CutNotice::both);
    count("cut in a storm");
    cluster_.universe().run_for(draw_between(milliseconds(1), milliseconds(400)));
  }
}

void Faults::partition() {
  network().partition(east(), west(), true);
  const Duration time = draw_between(milliseconds(1), seconds(12));
  lasts(time, [this] { open_line(); });
  if (prng_.chance(300)) longer(time);
  count("partition");
}

void Faults::partition_one_way() {
  const bool to_west = prng_.chance(500);
  network().block(to_west ? east() : west(), to_west ? west() : east(), true);
  const Duration time = draw_between(milliseconds(1), seconds(12));
  lasts(time, [this] { open_line(); });
  if (prng_.chance(300)) longer(time);
  count("partition one way");
}

void Faults::slow_link() {
  network().weather.delay_max = draw_between(milliseconds(10), milliseconds(800));
  lasts(draw_between(milliseconds(50), seconds(3)), [this] { network().weather.delay_max = delay_max_; });
  count("slow link");
}

void Faults::slow_disk() {
  sim::Machine& machine = cluster_.machine(prng_.below(2));
  machine.storage().weather.slow = draw_between(milliseconds(1), milliseconds(300));
  lasts(draw_between(milliseconds(50), seconds(3)), [&machine] { machine.storage().weather.slow = {}; });
  count("slow disk");
}

void Faults::kill() {
  const std::size_t which = prng_.below(2);
  if (!cluster_.up(which)) return;
  cluster_.kill(which);
  down_for(which, draw_between({}, milliseconds(600)));
  count("kill");
}

void Faults::kill_both() {
  for (std::size_t i = 0; i < 2; ++i) {
    if (cluster_.up(i)) cluster_.kill(i);
    down_for(i, draw_between({}, milliseconds(600)));
  }
  count("kill of both");
}

void Faults::stop_signal() {
  const std::size_t which = prng_.below(2);
  if (!cluster_.up(which)) return;
  const Duration time = draw_between(milliseconds(5), prng_.chance(500) ? milliseconds(500) : seconds(12));
  cluster_.process(which).pause(time);
  if (prng_.chance(300)) longer(time + seconds(1));
  count("stop signal");
}

void Faults::absence() {
  const std::size_t which = prng_.below(2);
  if (!cluster_.up(which) || !cluster_.up(1 - which)) return;
  cluster_.kill(which);
  const Duration time = draw_between(seconds(2), seconds(16));
  down_for(which, time);
  longer(time + seconds(1));
  count("long absence");
}

void Faults::orderly_stop() {
  const std::size_t which = prng_.below(2);
  if (!cluster_.up(which) || !cluster_.site(which).ready()) return;
  if (!cluster_.stop(which)) return stage_.fail(cluster_.problem());
  down_for(which, draw_between({}, seconds(2)));
  count("orderly stop");
}

/// What the other site does not hold goes, unless it is stable.
void Faults::power_gone(std::size_t which) {
  if (taking_over_ == which) {  // now it may lack what the other one has, which comes back
    down_until_[1 - which] = {};
    taking_over_.reset();
  }
  if (!cluster_.in_sync()) stage_.power_lost(cluster_.universe().now());
  stage_.names_may_be_undone();
  cluster_.lose_power(which);
  crowd_.start(which);
  down_for(which, draw_between({}, seconds(1)));
}

void Faults::lose_power() {
  power_gone(prng_.below(2));
  count("loss of power");
}

void Faults::lose_power_of_both() {
  stage_.power_lost(cluster_.universe().now());
  for (std::size_t i = 0; i < 2; ++i) power_gone(i);
  count("loss of power of both");
}

/// Of a machine whose partner holds everything: a new area takes its place, and an administrator says that it is welcome.
void Faults::lose_area() {
  const std::size_t which = prng_.below(2);
  if (!cluster_.in_sync() || cluster_.replacing()) return;
  stage_.names_may_be_undone();
  cluster_.lose_power(which);
  crowd_.start(which);
  if (!cluster_.replace(which)) return stage_.fail(cluster_.problem());
  count("area lost and replaced");
}

/// Some of those who wait for an answer are ended by a signal, for others one comes that they handle.
void Faults::end_programs() {
  for (std::size_t i = 0; i < kSites.size(); ++i) {
    const std::shared_ptr<sim::Mount>& mount = cluster_.machine(i).mount();
    if (!cluster_.up(i) || mount == nullptr || mount->gone()) continue;
    for (const auto& [program, pid] : mount->programs()) {
      if (!added_.chance(500)) continue;
      if (added_.chance(800)) cluster_.process(i).kernel().ending.insert(pid);
      mount->signal(program);
      count("program ended, or told");
    }
  }
}

void Faults::jump_of_calendar() {
  sim::ClockSettings& clock = cluster_.machine(prng_.below(2)).clock_settings();
  clock.wall_offset = draw_between(-hours(50'000), hours(50'000));
  count("jump of the calendar");
}

void Faults::switchover() {
  for (std::size_t i = 0; i < 2; ++i) {
    if (!cluster_.up(i) || !cluster_.site(i).ready() || cluster_.site(i).controller().primary() == nullptr) continue;
    cluster_.process(i).spawn(hand_over(cluster_.site(i)));
    count("switchover");
    return;
  }
}

void Faults::verify() {
  const std::size_t which = prng_.below(2);
  if (!cluster_.up(which) || !cluster_.site(which).ready()) return;
  sim::Process& process = cluster_.process(which);
  process.spawn(run_verify(cluster_.site(which), process.make<Unread>(), stage_));
  count("verify");
}

/// Bytes of a block change on the medium of one site, which nobody is told. Not of one that the other site does not have as well: a write
/// that waits for a site that is stopped, say, and is acknowledged when that one is taken out.
void Faults::rot() {
  if (!cluster_.in_sync()) return;
  sim::Storage& storage = cluster_.machine(rotten_).storage();
  const Bytes bytes = storage.peek("extents");
  const Bytes theirs = cluster_.machine(1 - rotten_).storage().peek("extents");
  const std::uint64_t blocks = bytes.size() / kBlockBytes;
  // Files begin at the start of the area.
  const std::uint64_t block = prng_.below(prng_.chance(800) ? std::min<std::uint64_t>(blocks, 64) : blocks);
  const std::uint64_t at = prng_.below(kBlockBytes - 16);
  const std::uint64_t length = 1 + prng_.below(16);
  const auto of_block = [block](Bytes area) { return area.subspan(block * kBlockBytes, kBlockBytes); };
  if (!std::ranges::equal(of_block(bytes), of_block(theirs))) return;
  storage.corrupt("extents", {block * kBlockBytes + at, length});
  count("silent corruption");
}

void Faults::arbiter_away() {
  if (!cluster_.arbitrated()) return;
  sim::Arbiter& arbiter = cluster_.arbiter();
  arbiter.set_available(!arbiter.available());
  count(arbiter.available() ? "arbiter back" : "arbiter away");
}

void Faults::arbiter_out_of_reach() {
  if (!cluster_.arbitrated()) return;
  sim::Arbiter& arbiter = cluster_.arbiter();
  const sim::Machine& machine = cluster_.machine(prng_.below(2));
  arbiter.set_reachable(machine, !arbiter.reachable(machine));
  count(arbiter.reachable(machine) ? "arbiter reached again" : "arbiter out of reach");
}

/// What is written or made stable there fails from now on. The site leaves, and its area is replaced.
void Faults::failing_disk() {
  if (!cluster_.in_sync() || cluster_.replacing() || taking_over_) return;
  const std::size_t which = prng_.below(2);
  sim::DiskWeather& disk = cluster_.machine(which).storage().weather;
  sim::KeyWeather& keys = cluster_.machine(which).key_store().weather;
  switch (prng_.below(4)) {
    case 0: disk.write_error_permille = 1000; break;
    case 1: disk.sync_error_permille = 1000; break;
    case 2: keys.apply_error_permille = 1000; break;
    case 3: disk.write_error_permille = disk.sync_error_permille = keys.apply_error_permille = keys.flush_error_permille = 1000; break;
  }
  failing_ = which;
  failing_until_ = cluster_.universe().now() + seconds(1);
  count("failing disk");
}

void Faults::mend_disk(std::size_t which) {
  sim::DiskWeather& disk = cluster_.machine(which).storage().weather;
  sim::KeyWeather& keys = cluster_.machine(which).key_store().weather;
  disk.write_error_permille = disk.sync_error_permille = keys.apply_error_permille = keys.flush_error_permille = 0;
}

void Faults::tend_failing_disk() {
  // What was under way when the disk worked again may fail all the same.
  for (std::size_t i = 0; i < 2 && !failing_; ++i) {
    if (cluster_.up(i) && cluster_.area_failed(i)) failing_ = i;
  }
  if (!failing_) return;
  const std::size_t which = *failing_;
  if (cluster_.area_failed(which)) {
    ++counts_["left with a failed area"];
    down_until_[which] = kNever;
    if (!cluster_.leave(which)) return stage_.fail(cluster_.problem());
  }
  if (cluster_.up(which)) {
    if (cluster_.universe().now() < failing_until_) return;
    mend_disk(which);
    failing_.reset();
  } else if (down_until_[which] == kNever && cluster_.up(1 - which)) {
    mend_disk(which);
    failing_.reset();
    if (!cluster_.replace(which)) return stage_.fail(cluster_.problem());
    down_until_[which] = {};
  }
}

/// The primary is down, and no rule lets the other site go on: an administrator says that it may. It holds everything.
void Faults::forced_takeover() {
  if (cluster_.arbitrated() || cluster_.options().alone || !cluster_.in_sync() || cluster_.replacing() || taking_over_) return;
  const std::size_t which = cluster_.site(0).controller().primary() != nullptr ? 0 : 1;
  cluster_.kill(which);
  down_until_[which] = kNever;
  taking_over_ = 1 - which;
  longer(seconds(8));
  count("forced takeover");
}

void Faults::tend_takeover() {
  if (!taking_over_ || !cluster_.up(*taking_over_) || !cluster_.site(*taking_over_).ready()) return;
  site::Site& site = cluster_.site(*taking_over_);
  if (site.controller().primary() == nullptr) return cluster_.process(*taking_over_).spawn(take_over(site)), void();
  ++counts_["taken over by force"];
  down_until_[1 - *taking_over_] = cluster_.universe().now() + draw_between({}, seconds(2));
  taking_over_.reset();
}

/// Nobody writes for so long that suspect granules are cleared.
void Faults::rest() {
  stage_.resting = true;
  const Duration time = draw_between(seconds(10), seconds(30));
  lasts(time, [this] { stage_.resting = false; });
  longer(time + milliseconds(200));
  count("rest");
}

}  // namespace lockstep::simulator
