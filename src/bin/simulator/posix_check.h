// posix_check.h - whether what concurrent calls of both sites' hosts said can be explained by one order of them (posix_tree.h).
//
// A call takes effect at one moment between its beginning and its answer; one whose answer never came (its daemon was killed) at some
// moment, or never. What a call just sees (also an error, or a success that changes nothing) may be the state of any moment in its time, but
// what was acknowledged before it began is there (R2, R3): the other site may still see the state before a change that has no answer yet.
//
// For each way in which all answers so far can be explained there is a world. An answer that fits no world, even if calls that have no answer
// yet took effect before it, is wrong. A call walks its paths before it acts: each walk may have seen another moment.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "bin/simulator/posix_tree.h"

namespace lockstep::simulator::posix {

class Check {
 public:
  using Id = std::uint64_t;
  /// More worlds than this, or more that were tried, for one answer or for all, and nothing more is judged.
  static constexpr std::size_t kWorldsMax = 100, kTriesMax = 2000, kAllTriesMax = 20'000;
  /// Changes that may take effect at any time, or never: each multiplies the worlds.
  static constexpr std::size_t kLostMax = 3;

  /// Names of the whole tree that exists before the first call, made one by one.
  explicit Check(const std::vector<Call>& before = {});

  /// A call begins.
  Id began(const Call& call);
  /// It said this: why that can't be, or nullopt.
  [[nodiscard]] std::optional<std::string> ended(Id id, const Answer& answer);
  /// The same of a list: `names` are there.
  [[nodiscard]] std::optional<std::string> listed(Id id, const std::set<std::string>& names);
  /// Its answer never comes.
  void lost(Id id);
  /// It has done nothing, for a reason that is not of POSIX: no space, a reservation.
  void refused(Id id);
  /// Whatever took effect so far, and has an answer or will never get one, is seen by everybody: nothing is in flight between the sites. The kernel of
  /// who waits for his answer knows of it when that comes.
  void seen_by_all();
  /// What has no answer yet may be undone, also if somebody has seen it, who is lost as well or sees something else now: the site that had ordered it is
  /// lost before the other one had it. Nothing more is judged if somebody has.
  void may_be_undone();
  /// What was acknowledged may be gone: nothing more is judged.
  void stop() { stopped_ = true; }

  [[nodiscard]] bool stopped() const { return stopped_; }
  [[nodiscard]] bool gave_up() const { return gave_up_; }
  /// It is better to begin with another tree: there is little left to judge in this one, or nothing.
  [[nodiscard]] bool spent() const { return stopped_ || lost_.size() >= kLostMax; }
  [[nodiscard]] std::uint64_t judged() const { return judged_; }
  [[nodiscard]] std::size_t worlds() const { return worlds_.size(); }

 private:
  /// Names that a list may show, and those of them that it may lack.
  struct Shown {
    std::set<std::string> there, absent;
    auto operator<=>(const Shown&) const = default;
  };
  /// What the names of a path may have led to, one after the other, each at a moment of its own; the first one is the root.
  using Walk = std::vector<std::set<Number>>;
  /// A call without an answer, as it stands in a world.
  struct Waiting {
    bool done = false;                  ///< it took effect
    Id behind = 0;                      ///< it began when this step had its answer; 0: all such steps are in the first one
    Walk first, second;                 ///< of its paths
    bool directory = false;             ///< the first one led to one
    std::set<Answer> may_say;           ///< while it has changed nothing
    std::size_t said_of_gone = 0;       ///< so many answers were known when all that its object had been was added as what is left of it
    std::map<Number, Shown> lists;
    auto operator<=>(const Waiting&) const = default;
  };
  struct Step {
    Id by;          ///< of the first one: whatever has an answer
    Places places;
    std::shared_ptr<const Tree> after;
    bool answered = false;
    bool operator==(const Step& other) const { return by == other.by && places == other.places && answered == other.answered && *after == *other.after; }
  };
  /// What took effect, in its order. steps[0] is the tree with all that has an answer, up to the first step that has none: not everybody sees that
  /// yet, be it that a later one, which got its answer, would not have been possible without it.
  struct World {
    std::vector<Step> steps;
    std::map<Id, std::shared_ptr<const Waiting>> waiting;
    bool operator==(const World& other) const;
  };

  /// Calls that have not taken effect meet this moment.
  void observe(World& world, const Tree& tree) const;
  void observe(Waiting& waiting, Id id, const Tree& tree) const;
  static void of_gone(Waiting& waiting, const Call& call);
  static void observe_names(Waiting& waiting, Number directory, const Tree& tree);
  /// Names and objects that a call works on, as far as a world tells: calls that share none can change places.
  struct Footprint {
    std::set<std::pair<Number, std::string>> names;
    std::set<Number> objects, directories;
  };
  [[nodiscard]] Footprint footprint(const World& world, Id id) const;
  [[nodiscard]] static bool meet(const Footprint& one, const Footprint& other);
  /// Calls without an answer that may have to take effect before `id` says what it said.
  [[nodiscard]] std::vector<Id> before(const World& world, Id id) const;
  /// Every world in which `id` takes effect behind all steps of `world`, or before some of them where that makes a difference. `from` is the
  /// one that the present answer found.
  void take_effect(const World& world, const World& from, Id id, std::vector<World>& into);
  [[nodiscard]] std::optional<World> with_step(const World& world, Id id, Places places, std::size_t position) const;
  template <class Fits>
  std::optional<std::string> answered(Id id, bool may_have_changed, const std::string& said, Fits fits);
  /// The paths of `id` may have led to `places` in `from`, or do so before the step at `position` of `world`.
  [[nodiscard]] bool led_to(const World& world, const World& from, Id id, Places places, std::size_t position) const;
  /// Between `from` and `world`, in which `id` took effect, another call did that may as well do so later: that is found later.
  [[nodiscard]] bool needless(const World& world, const World& from, Id id) const;
  /// A walk along `path` without its last `without` names meets a moment. `errors`: how it may end there.
  static void go_on(Walk& walk, const Path& path, std::size_t without, const Tree& tree, std::set<int>& errors);
  /// In the moments of `steps` all names of `path` but the last `without` lead to `where`.
  [[nodiscard]] static bool leads(const Path& path, std::size_t without, Number where, std::span<const Step> steps);
  /// Moves the step at `at` behind the one at `last` where everything in between happens all the same. False: it can't be.
  bool put_behind(std::vector<Step>& steps, std::size_t at, std::size_t last) const;
  /// What everybody sees becomes the first step.
  void fold(World& world) const;
  void forget_calls();
  /// `id` has its answer.
  void finish(World& world, Id id) const;
  void keep(std::vector<World> worlds);
  [[nodiscard]] std::string explain(Id id, const std::string& said) const;

  std::map<Id, Call> calls_;  ///< without an answer, or before one that has none
  std::vector<World> worlds_;
  Id next_ = 1;
  std::set<Id> lost_;
  std::uint64_t judged_ = 0, tries_ = 0, all_tries_ = 0;
  bool stopped_ = false, gave_up_ = false;
};

}  // namespace lockstep::simulator::posix
