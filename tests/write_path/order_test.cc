// The orders that the claims state, step by step, with a look into both areas at every step.
#include <algorithm>

#include "scene.h"

using namespace lockstep;
using namespace lockstep::write_path;

namespace {

/// The steps of one request, at both sites in one order of time.
class Steps {
 public:
  explicit Steps(std::vector<Seen> seen) : seen_(std::move(seen)) {}

  /// Without `dropped` of the primary: when its kernel lets go of pages is not fixed, see require_dropped_before_the_answer().
  [[nodiscard]] std::vector<std::string> at(std::size_t site) const {
    std::vector<std::string> names;
    for (const Seen& s : seen_) {
      if (s.site == site && !(site == kEast && s.event.step == Step::dropped)) names.emplace_back(controller::name_of(s.event.step));
    }
    return names;
  }
  /// Place of the one such step in the order of time.
  [[nodiscard]] std::size_t place(std::size_t site, Step step) const {
    const auto is = [&](const Seen& s) { return s.site == site && s.event.step == step; };
    INFO(kSites[site] << " " << controller::name_of(step));
    REQUIRE(std::count_if(seen_.begin(), seen_.end(), is) == 1);
    return static_cast<std::size_t>(std::find_if(seen_.begin(), seen_.end(), is) - seen_.begin());
  }
  [[nodiscard]] const Seen& the(std::size_t site, Step step) const { return seen_[place(site, step)]; }
  [[nodiscard]] const std::vector<Seen>& all() const { return seen_; }

  /// At every step the area of `site` held all new blocks if it had been written by then, else none.
  void require_written_only_at_its_step(std::size_t site, std::uint64_t blocks) const {
    const std::size_t written = place(site, Step::area_written);
    for (std::size_t i = 0; i < seen_.size(); ++i) {
      INFO("step " << i << ": " << controller::name_of(seen_[i].event.step) << " at " << kSites[seen_[i].site] << ", area of " << kSites[site]);
      REQUIRE(seen_[i].new_blocks[site] == (i < written ? 0 : blocks));
    }
  }
  /// R3: a site publishes, then its kernel forgets the old, then the host has its answer.
  void require_dropped_before_the_answer(std::size_t asked_at) const {
    for (std::size_t site : {kEast, kWest}) {
      if (site == kEast && asked_at == kEast) continue;  // the kernel that asked keeps what it wrote
      REQUIRE(place(site, Step::published) < place(site, Step::dropped));
      REQUIRE(place(site, Step::dropped) < place(site, Step::released));
      REQUIRE(place(site, Step::dropped) < place(asked_at, Step::acknowledged));
    }
  }
  /// The table of `site` says exclusive from the step of that name to `released`, and neither before and after.
  void require_exclusive_until_released(std::size_t site) const {
    const std::size_t from = place(site, Step::exclusive), to = place(site, Step::released);
    for (std::size_t i = 0; i < seen_.size(); ++i) {
      // Between the change of the table and the note of it nothing runs, so only the steps themselves are told apart.
      INFO("step " << i << ": " << controller::name_of(seen_[i].event.step) << " at " << kSites[seen_[i].site] << ", table of " << kSites[site]);
      REQUIRE(seen_[i].status[site] == (i >= from && i < to ? Status::exclusive : Status::neither));
    }
  }

 private:
  std::vector<Seen> seen_;
};

/// Runs one call at `site` in a world of its own.
struct Run {
  Run(std::uint64_t seed, std::size_t site, Call call) : scene(seed) {
    scene.record();
    scene.start(site, call, answer);
    REQUIRE(scene.run_until_answered(answer));
    scene.universe().run_for(std::chrono::milliseconds(100));
    REQUIRE(answer.made);
  }
  [[nodiscard]] Steps steps() const { return Steps(scene.steps_of_request()); }
  Scene scene;
  Answer answer;
};

using Names = std::vector<std::string>;

}  // namespace

TEST_CASE("a write of the primary's host (claims 1, 5, 8, 11, 15, 17, 20-28, 33, 36, 39, 43, 45, 48-54)", "[order]") {
  const std::uint64_t seed = GENERATE(range(1, 9));
  const auto [call, blocks] = GENERATE(table<Call, std::uint64_t>({{Call::overwrite, 1}, {Call::append, 8}}));
  INFO("seed " << seed << ", " << name_of(call));
  Run run(seed, kEast, call);
  const Steps steps = run.steps();
  REQUIRE(steps.at(kEast) == Names{"asked", "exclusive", "planned", "mirror-sent", "area-written", "published",
                                   "mirrored-received", "released", "acknowledged"});
  REQUIRE(steps.at(kWest) == Names{"mirror-received", "exclusive", "area-written", "published", "dropped", "released",
                                   "mirrored-sent"});
  steps.require_written_only_at_its_step(kEast, blocks);
  steps.require_written_only_at_its_step(kWest, blocks);
  steps.require_exclusive_until_released(kEast);
  steps.require_exclusive_until_released(kWest);
  steps.require_dropped_before_the_answer(kEast);
  // Forward before any local write: the whole message is with the network by then.
  REQUIRE(steps.the(kEast, Step::area_written).sent_to_secondary >=
          steps.the(kEast, Step::planned).sent_to_secondary + blocks * kBlockBytes);
  // The primary's range stays exclusive for as long as the secondary's, and longer.
  REQUIRE(steps.place(kEast, Step::exclusive) < steps.place(kWest, Step::exclusive));
  REQUIRE(steps.place(kWest, Step::released) < steps.place(kEast, Step::released));
  // The host has its answer when both areas hold the data and nobody keeps the old.
  REQUIRE(steps.place(kEast, Step::acknowledged) == steps.all().size() - 1);
  REQUIRE(run.answer.at >= steps.the(kEast, Step::acknowledged).event.at);
}

TEST_CASE("a write of the secondary's host (claims 1-20, 23, 26, 28-30, 32-34, 36-48, 51, 53)",
          "[order]") {
  const std::uint64_t seed = GENERATE(range(1, 17));
  INFO("seed " << seed);
  Run run(seed, kWest, Call::overwrite);
  const Steps steps = run.steps();
  REQUIRE(steps.at(kEast) == Names{"forward-received", "exclusive", "planned", "area-written", "published",
                                   "commit-sent", "mirrored-received", "released"});
  REQUIRE(steps.at(kWest) == Names{"asked", "forward-sent", "commit-received", "exclusive", "area-written", "published",
                                   "dropped", "released", "mirrored-sent", "acknowledged"});
  steps.require_written_only_at_its_step(kEast, 1);
  steps.require_written_only_at_its_step(kWest, 1);
  steps.require_exclusive_until_released(kEast);
  steps.require_exclusive_until_released(kWest);
  steps.require_dropped_before_the_answer(kWest);
  // Nothing is written at either site before the primary was asked; the primary writes first and hands the request back.
  REQUIRE(steps.place(kWest, Step::forward_sent) < steps.place(kEast, Step::forward_received));
  REQUIRE(steps.place(kEast, Step::forward_received) < steps.place(kEast, Step::area_written));
  REQUIRE(steps.place(kEast, Step::commit_sent) < steps.place(kWest, Step::commit_received));
  REQUIRE(steps.place(kWest, Step::area_written) < steps.place(kWest, Step::acknowledged));
  REQUIRE(steps.place(kWest, Step::mirrored_sent) < steps.place(kEast, Step::released));
  REQUIRE(run.answer.at >= steps.the(kWest, Step::acknowledged).event.at);
}

TEST_CASE("large data of the secondary's host travels after the primary has exclusive status (claims 31, 35)", "[order]") {
  const std::uint64_t seed = GENERATE(range(1, 17));
  INFO("seed " << seed);
  Run run(seed, kWest, Call::append);
  const Steps steps = run.steps();
  REQUIRE(steps.at(kEast) == Names{"forward-received", "exclusive", "grant-sent", "data-received", "planned", "area-written",
                                   "published", "commit-sent", "mirrored-received", "released"});
  REQUIRE(steps.at(kWest) == Names{"asked", "forward-sent", "grant-received", "data-sent", "commit-received", "exclusive",
                                   "area-written", "published", "dropped", "released", "mirrored-sent", "acknowledged"});
  steps.require_written_only_at_its_step(kEast, 8);
  steps.require_written_only_at_its_step(kWest, 8);
  steps.require_exclusive_until_released(kEast);
  steps.require_exclusive_until_released(kWest);
  steps.require_dropped_before_the_answer(kWest);
  REQUIRE(steps.place(kEast, Step::grant_sent) < steps.place(kWest, Step::grant_received));
  REQUIRE(steps.place(kWest, Step::data_sent) < steps.place(kEast, Step::data_received));
}

TEST_CASE("the same orders hold for names", "[order]") {
  const std::size_t site = GENERATE(kEast, kWest);
  const Call call = GENERATE(Call::create, Call::rename);
  const std::uint64_t seed = GENERATE(range(1, 5));
  INFO(name_of(call) << " at " << kSites[site] << ", seed " << seed);
  Run run(seed, site, call);
  const Steps steps = run.steps();
  REQUIRE(steps.place(kEast, Step::exclusive) < steps.place(kEast, Step::published));
  REQUIRE(steps.place(kEast, Step::published) < steps.place(kWest, Step::published));
  REQUIRE(steps.place(kEast, Step::exclusive) < steps.place(kWest, Step::exclusive));
  REQUIRE(steps.place(kWest, Step::exclusive) < steps.place(kWest, Step::published));
  REQUIRE(steps.place(kWest, Step::published) < steps.place(kWest, Step::dropped));
  REQUIRE(steps.place(kWest, Step::dropped) < steps.place(kWest, Step::mirrored_sent));
  steps.require_dropped_before_the_answer(site);
  REQUIRE(steps.place(kWest, Step::published) < steps.place(site, Step::acknowledged));
  steps.require_exclusive_until_released(kEast);
  steps.require_exclusive_until_released(kWest);
}
