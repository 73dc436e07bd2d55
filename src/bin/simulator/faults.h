// faults.h - what breaks in a seed, when, and for how long; and that it is whole again in the end.
//
// Each seed draws which kinds of fault it has; trouble() then strikes with one after the other. What lasts (a partition, a slow disk) ends
// by itself while others strike, so faults overlap. Power that goes while the other site does not hold everything takes with
// it what was not stable: the history is told.
#pragma once

#include <array>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "bin/simulator/cluster.h"
#include "bin/simulator/crowd.h"
#include "bin/simulator/hosts.h"

namespace lockstep::simulator {

class Faults {
 public:
  /// Counts what it does in `counts`. All must outlive the universe of `cluster`.
  /// `added`, `apart`: what faults that came later draw, so that a seed keeps those that it had.
  Faults(Cluster& cluster, Stage& stage, Crowd& crowd, sim::Prng& prng, sim::Prng& added, sim::Prng& apart, std::map<std::string, std::uint64_t>& counts);

  /// Which kinds this seed has, the weather, the clocks. Before the daemons are started first. `rare`: RunOptions::rare.
  void draw(unsigned rare);
  /// From here on the arbiter may fail.
  void begin();
  /// Strikes until this seed's time is over, or something may not be.
  void trouble();
  /// Nothing is broken any more, both daemons are up.
  void heal();

 private:
  struct Kind {
    const char* name;
    unsigned permille;  ///< of the seeds have it
    void (Faults::*strike)();
    bool stops = false;  ///< a daemon stops uncleanly: not where blocks go bad, for what nobody else has is taken as it is then
  };
  static const std::vector<Kind> kKinds;
  static const std::vector<Kind> kAdded;

  // One of each kind.
  void cut();
  void cut_half_open();
  void cut_at_a_byte();
  void storm();
  void partition();
  void partition_one_way();
  void slow_link();
  void slow_disk();
  void kill();
  void kill_both();
  void stop_signal();
  void absence();
  void orderly_stop();
  void lose_power();
  void lose_power_of_both();
  void lose_area();
  void jump_of_calendar();
  void switchover();
  void verify();
  void rot();
  void arbiter_away();
  void arbiter_out_of_reach();
  void rest();
  void failing_disk();
  void forced_takeover();
  void fork();
  void lose_arbiter_first();
  void work_without_area();
  void fill_log();
  void end_programs();

  // Of a fork: fork_faults.cc.
  bool part();
  bool force(std::size_t which);
  void kill_one_apart();
  void lose_power_apart(std::size_t which);
  void meet_again();
  void compare_divergence();
  void discard(std::size_t which);
  void discard_the_other_too(std::size_t first, Instant since);
  [[nodiscard]] bool ready(std::size_t which) { return cluster_.up(which) && cluster_.site(which).ready(); }
  [[nodiscard]] bool has_diverged(std::size_t which) { return ready(which) && cluster_.site(which).controller().fork().has_value(); }
  [[nodiscard]] bool gave_in(std::size_t which) { return ready(which) && cluster_.site(which).controller().secondary() != nullptr; }
  // Of the loss of the arbiter: arms_faults.cc.
  void strike_without_arbiter();
  [[nodiscard]] bool is_armed(std::size_t which);

  // Of a failed area: diskless_faults.cc.
  void strike_without_area(std::size_t which);
  void end_without_area(std::size_t which);

  [[nodiscard]] nlohmann::json ask(std::size_t which, nlohmann::json request);
  void run_some(Duration most);
  void open_line();

  void count(const std::string& fault);
  void lasts(Duration time, std::function<void()> end);
  void longer(Duration time);
  void make_up_for(Instant began);
  void start_what_is_down();
  void tend_failing_disk();
  void tend_takeover();
  void mend_disk(std::size_t which);
  void power_gone(std::size_t which);
  void down_for(std::size_t which, Duration time);
  [[nodiscard]] Duration draw_between(Duration least, Duration most);
  [[nodiscard]] sim::Machine& east() { return cluster_.machine(0); }
  [[nodiscard]] sim::Machine& west() { return cluster_.machine(1); }
  [[nodiscard]] sim::Network& network() { return cluster_.universe().network(); }

  static constexpr Instant kNever = Instant{} + std::chrono::hours(1'000'000);

  Cluster& cluster_;
  Stage& stage_;
  Crowd& crowd_;
  sim::Prng& prng_;
  sim::Prng& added_;
  sim::Prng& apart_;        ///< what strikes sites that are apart
  std::map<std::string, std::uint64_t>& counts_;
  std::uint64_t filled_ = 0;  // logs
  std::vector<const Kind*> mix_;
  Duration length_{};
  Instant end_, last_end_;
  Duration delay_max_{};
  bool rots_ = false;
  std::size_t rotten_ = 0;  ///< the site whose blocks go bad
  std::array<Instant, 2> down_until_{};
  std::optional<std::size_t> failing_;    ///< the site whose disk fails
  Instant failing_until_;                 ///< if nobody has noticed by then, it works again
  bool forking_ = false;                    ///< nobody opens the line
  std::uint64_t forks_ = 0;
  std::optional<std::size_t> taking_over_;  ///< the site that an administrator makes primary, the other one being down
};

}  // namespace lockstep::simulator
