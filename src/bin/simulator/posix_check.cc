#include "bin/simulator/posix_check.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "core/check.h"

namespace lockstep::simulator::posix {
namespace {

using What = Call::What;

/// It goes by what its path leads to, and by no name there.
bool by_object(What what) { return what == What::look || what == What::truncate || what == What::set_mode; }

/// How many names at the end of `path` (of `to`: `second`) a call does not walk along.
std::size_t not_walked(What what, bool second) {
  switch (what) {
    case What::look:
    case What::list:
    case What::truncate:
    case What::set_mode: return 0;
    case What::link: return second ? 1 : 0;
    default: return 1;
  }
}

}  // namespace

Check::Check(const std::vector<Call>& before) {
  World first;
  Tree tree;
  for (const Call& call : before) {
    int error = 0;
    const std::optional<Number> directory = tree.walk(call.path, 1, error);
    CHECK(directory && tree.carry_out(call, {*directory, kRoot}, next_++).changes);
  }
  first.steps.push_back({0, {}, std::make_shared<const Tree>(std::move(tree)), false});
  worlds_.push_back(std::move(first));
}

bool Check::World::operator==(const World& other) const {
  return steps == other.steps && std::ranges::equal(waiting, other.waiting, [](const auto& one, const auto& two) {
    return one.first == two.first && (one.second == two.second || *one.second == *two.second);
  });
}

void Check::observe(World& world, const Tree& tree) const {
  for (auto& [id, waiting] : world.waiting) {
    if (waiting->done) continue;
    Waiting seen = *waiting;
    observe(seen, id, tree);
    if (seen != *waiting) waiting = std::make_shared<const Waiting>(std::move(seen));
  }
}

void Check::go_on(Walk& walk, const Path& path, std::size_t without, const Tree& tree, std::set<int>& errors) {
  const std::size_t names = path.empty() ? 0 : path.size() - without;
  walk.resize(names + 1);
  walk.front().insert(kRoot);
  for (std::size_t i = 0; i <= names; ++i) {
    for (const Number at : walk[i]) {
      const bool last = i == names;
      if (tree.has(at) && !tree.is_directory(at) && (!last || without != 0)) errors.insert(ENOTDIR);
      if (last) continue;
      const auto* entries = tree.names_in(at);
      if (entries == nullptr) errors.insert(ESTALE);
      if (entries == nullptr || (tree.is_directory(at) && !entries->contains(path[i]))) errors.insert(ENOENT);
      if (entries != nullptr && entries->contains(path[i])) walk[i + 1].insert(entries->at(path[i]));
    }
  }
}

void Check::observe(Waiting& waiting, Id id, const Tree& tree) const {
  const Call& call = calls_.at(id);
  std::set<int> errors;
  go_on(waiting.first, call.path, not_walked(call.what, false), tree, errors);
  go_on(waiting.second, call.to, not_walked(call.what, true), tree, errors);
  // Of a call on two names each may be seen at a moment of its own.
  if (call.what == What::link || (call.what == What::rename && call.flags == kNoReplace)) {
    for (const Number at : waiting.second.back()) {
      const auto* entries = tree.names_in(at);
      if (entries != nullptr && entries->contains(call.to.back())) errors.insert(EEXIST);
    }
  }
  // A directory stays one for who found it, also when it is removed before the second path leads anywhere.
  for (const Number at : waiting.first.back()) waiting.directory = waiting.directory || tree.is_directory(at);
  if (call.what == What::link && waiting.directory && !waiting.second.back().empty()) errors.insert(EPERM);
  for (const int error : errors) waiting.may_say.insert({error, std::nullopt});
  for (const Number first : waiting.first.back()) {
    for (const Number second : waiting.second.back()) {
      Tree after = tree;
      const Tree::Outcome outcome = after.carry_out(call, {first, second}, id);
      for (const int number : outcome.errors) waiting.may_say.insert({number, std::nullopt});
      if (by_object(call.what) && !tree.has(first)) of_gone(waiting, call);
      if (outcome.errors.empty() && !outcome.changes && call.what != What::list) waiting.may_say.insert({0, outcome.attributes});
    }
    if (call.what == What::list) observe_names(waiting, first, tree);
  }
}

void Check::of_gone(Waiting& waiting, const Call& call) {
  // It was found before it went, and is still there for who did.
  if (call.what != What::look) waiting.may_say.insert({0, std::nullopt});
  if (waiting.may_say.size() == waiting.said_of_gone) return;
  std::vector<Answer> last;
  for (const Answer& answer : waiting.may_say) {
    if (answer.attributes) last.push_back(answer);
  }
  for (Answer& answer : last) {
    answer.attributes->links = 0;
    waiting.may_say.insert(answer);
  }
  waiting.said_of_gone = waiting.may_say.size();
}

void Check::observe_names(Waiting& waiting, Number directory, const Tree& tree) {
  if (!waiting.lists.contains(directory) && !tree.is_directory(directory)) return;
  const auto [list, first_look] = waiting.lists.try_emplace(directory);
  auto& [there, absent] = list->second;
  static const std::map<std::string, Number> nothing;
  const auto* of_directory = tree.names_in(directory);  // null: it was removed, and lists as empty
  const auto& names = of_directory == nullptr ? nothing : *of_directory;
  for (const auto& [name, number] : names) {
    if (there.insert(name).second && !first_look) absent.insert(name);
  }
  for (const std::string& name : there) {
    if (!names.contains(name)) absent.insert(name);
  }
}

Check::Id Check::began(const Call& call) {
  const Id id = next_++;
  if (stopped_) return id;
  calls_[id] = call;
  for (World& world : worlds_) {
    Waiting waiting;
    for (const Step& step : world.steps) {
      observe(waiting, id, *step.after);
      if (step.answered) waiting.behind = step.by;
    }
    world.waiting[id] = std::make_shared<const Waiting>(std::move(waiting));
  }
  return id;
}

std::optional<Check::World> Check::with_step(const World& world, Id id, Places places, std::size_t position) const {
  static const auto done = std::make_shared<const Waiting>(Waiting{.done = true, .behind = 0, .first = {}, .second = {}, .directory = false, .may_say = {}, .said_of_gone = 0, .lists = {}});
  std::vector<Step> steps = world.steps;
  steps.insert(steps.begin() + static_cast<std::ptrdiff_t>(position), Step{id, places, nullptr, false});
  for (std::size_t i = position; i < steps.size(); ++i) {  // what took effect before takes effect still
    Tree after = *steps[i - 1].after;
    if (!after.carry_out(calls_.at(steps[i].by), steps[i].places, steps[i].by).changes) return std::nullopt;
    steps[i].after = std::make_shared<const Tree>(std::move(after));
  }
  World made{std::move(steps), world.waiting};
  made.waiting.at(id) = done;
  for (std::size_t i = position; i < made.steps.size(); ++i) observe(made, *made.steps[i].after);
  return made;
}

Check::Footprint Check::footprint(const World& world, Id id) const {
  Footprint print;
  const Call& call = calls_.at(id);
  const Waiting& waiting = *world.waiting.at(id);
  const auto add = [&](const Path& path, bool second, const Walk& walk) {
    const bool last_name = not_walked(call.what, second) != 0;
    for (std::size_t i = 0; i < walk.size(); ++i) {
      for (const Number at : walk[i]) {
        if (i < path.size()) print.names.emplace(at, path[i]);  // on the way, too: another call may make it lead elsewhere
      }
    }
    for (const Number at : walk.back()) {
      (last_name ? print.directories : print.objects).insert(at);
      for (const Step& step : world.steps) {
        const auto* entries = last_name ? step.after->names_in(at) : nullptr;
        if (entries != nullptr && entries->contains(path.back())) print.objects.insert(entries->at(path.back()));
      }
    }
  };
  add(call.path, false, waiting.first);
  if (!call.to.empty()) add(call.to, true, waiting.second);
  return print;
}

bool Check::meet(const Footprint& one, const Footprint& other) {
  const auto any = [](const auto& of, const auto& in) { return std::ranges::any_of(of, [&](const auto& it) { return in.contains(it); }); };
  return any(one.names, other.names) || any(one.objects, other.objects) || any(one.objects, other.directories) || any(one.directories, other.objects);
}

std::vector<Check::Id> Check::before(const World& world, Id id) const {
  std::vector<Id> open{id}, met;
  std::map<Id, Footprint> left;
  for (const auto& [other, waiting] : world.waiting) {
    if (other != id && !waiting->done && !calls_.at(other).reads()) left.emplace(other, footprint(world, other));
  }
  while (!open.empty() && !left.empty()) {
    const Footprint print = footprint(world, open.back());
    open.pop_back();
    for (auto it = left.begin(); it != left.end();) {
      if (!meet(print, it->second)) {
        ++it;
        continue;
      }
      met.push_back(it->first);
      open.push_back(it->first);
      it = left.erase(it);
    }
  }
  return met;
}

bool Check::led_to(const World& world, const World& from, Id id, Places places, std::size_t position) const {
  const Waiting& before = *from.waiting.at(id);
  const Call& call = calls_.at(id);
  const auto steps = std::span(world.steps).first(position);
  if (before.done) return true;
  return (before.first.back().contains(places.first) || leads(call.path, not_walked(call.what, false), places.first, steps)) &&
         (before.second.back().contains(places.second) || leads(call.to, not_walked(call.what, true), places.second, steps));
}

void Check::take_effect(const World& world, const World& from, Id id, std::vector<World>& into) {
  const Waiting& waiting = *world.waiting.at(id);
  for (const Number first : waiting.first.back()) {
    for (const Number second : waiting.second.back()) {
      std::vector<std::shared_ptr<const Tree>> ends;
      for (std::size_t position = 1; position <= world.steps.size(); ++position) {
        if (!led_to(world, from, id, {first, second}, position)) continue;
        if (++tries_ > kTriesMax) return;
        std::optional<World> made = with_step(world, id, {first, second}, position);
        const auto same_end = [&](const auto& end) { return *end == *made->steps.back().after; };
        if (!made || std::ranges::any_of(ends, same_end)) continue;
        ends.push_back(made->steps.back().after);
        into.push_back(std::move(*made));
      }
    }
  }
}

bool Check::leads(const Path& path, std::size_t without, Number where, std::span<const Step> steps) {
  Walk walk;
  std::set<int> errors;
  for (const Step& step : steps) go_on(walk, path, without, *step.after, errors);
  return walk.back().contains(where);
}

bool Check::put_behind(std::vector<Step>& steps, std::size_t at, std::size_t last) const {
  std::vector<Step> moved = steps;
  std::rotate(moved.begin() + static_cast<std::ptrdiff_t>(at), moved.begin() + static_cast<std::ptrdiff_t>(at) + 1,
              moved.begin() + static_cast<std::ptrdiff_t>(last) + 1);
  for (std::size_t i = at; i <= last; ++i) {
    const Call& call = calls_.at(moved[i].by);
    const auto before = std::span(moved).first(i);
    const bool there = leads(call.path, not_walked(call.what, false), moved[i].places.first, before) &&
                       leads(call.to, not_walked(call.what, true), moved[i].places.second, before);
    if (i < last && !moved[i].answered && !there) return false;
    Tree after = *moved[i - 1].after;
    if (!after.carry_out(call, moved[i].places, moved[i].by).changes) return false;
    moved[i].after = std::make_shared<const Tree>(std::move(after));
  }
  if (*moved[last].after != *steps[last].after) return false;
  steps = std::move(moved);
  return true;
}

void Check::fold(World& world) const {
  std::size_t seen = 0;
  while (seen + 1 < world.steps.size() && world.steps[seen + 1].answered) ++seen;
  if (seen == 0) return;
  world.steps.erase(world.steps.begin(), world.steps.begin() + static_cast<std::ptrdiff_t>(seen));
  world.steps.front() = {0, {}, world.steps.front().after, false};
}

void Check::finish(World& world, Id id) const {
  const auto step = std::ranges::find(world.steps, id, &Step::by);
  if (step != world.steps.end()) {
    // What has no answer yet is not seen by everybody: it stays behind what has one, where that makes no difference.
    auto at = static_cast<std::size_t>(step - world.steps.begin());
    for (std::size_t i = at - 1; i >= 1; --i) {
      if (!world.steps[i].answered && put_behind(world.steps, i, at)) --at;
    }
    world.steps[at].answered = true;
    fold(world);
  }
  world.waiting.erase(id);
}

bool Check::needless(const World& world, const World& from, Id id) const {
  bool behind = false;
  for (std::size_t i = 1; i < world.steps.size(); ++i) {
    const Id other = world.steps[i].by;
    behind = behind || other == id;
    if (other == id || world.steps[i].answered || from.waiting.at(other)->done) continue;
    if (behind) return true;
    Tree tree = *world.steps[i - 1].after;
    bool possible = true;
    for (std::size_t j = i + 1; j <= world.steps.size() && possible; ++j) {
      const Step& next = j < world.steps.size() ? world.steps[j] : world.steps[i];
      // Its path may lead there only because `other` took effect.
      possible = (j == world.steps.size() || next.answered || led_to(world, from, next.by, next.places, i)) && tree.carry_out(calls_.at(next.by), next.places, next.by).changes;
    }
    if (possible && tree == *world.steps.back().after) return true;
  }
  return false;
}

void Check::keep(std::vector<World> worlds) {
  worlds_.clear();
  for (World& world : worlds) {
    if (std::ranges::find(worlds_, world) == worlds_.end()) worlds_.push_back(std::move(world));
  }
  if (worlds_.size() > kWorldsMax) stopped_ = gave_up_ = true;
}

template <class Fits>
std::optional<std::string> Check::answered(Id id, bool may_have_changed, const std::string& said, Fits fits) {
  if (stopped_) return std::nullopt;
  ++judged_;
  std::vector<World> good;
  tries_ = 0;
  for (const World& begin : worlds_) {
    std::vector<World> open{begin};
    while (!open.empty()) {
      World world = std::move(open.back());
      open.pop_back();
      const Waiting& waiting = *world.waiting.at(id);
      const bool done = waiting.done;
      if (done ? may_have_changed && !needless(world, begin, id) : fits(waiting)) {
        good.push_back(world);
        finish(good.back(), id);
        // What just sees something needs no more to have happened than what it saw. Of two changes the order may matter.
        if (!may_have_changed) continue;
      }
      if (done) continue;
      if (may_have_changed) take_effect(world, begin, id, open);
      for (const Id other : before(world, id)) take_effect(world, begin, other, open);
    }
  }
  all_tries_ += tries_;
  if (tries_ > kTriesMax || all_tries_ > kAllTriesMax) stopped_ = gave_up_ = true;
  if (gave_up_) return std::nullopt;
  if (good.empty()) {
    stopped_ = true;
    return explain(id, said);
  }
  keep(std::move(good));
  forget_calls();
  return std::nullopt;
}

void Check::forget_calls() {
  std::set<Id> needed;
  for (const World& world : worlds_) {
    for (const Step& step : world.steps) needed.insert(step.by);
    for (const auto& [id, waiting] : world.waiting) needed.insert(id);
  }
  std::erase_if(calls_, [&](const auto& call) { return !needed.contains(call.first); });
}

std::optional<std::string> Check::ended(Id id, const Answer& answer) {
  if (stopped_) return std::nullopt;
  const bool may_change = answer.error == 0 && !calls_.at(id).reads();
  return answered(id, may_change, text_of(answer), [&](const Waiting& waiting) { return waiting.may_say.contains(answer); });
}

std::optional<std::string> Check::listed(Id id, const std::set<std::string>& names) {
  return answered(id, false, fmt::format("{}", fmt::join(names, " ")), [&](const Waiting& waiting) {
    return std::ranges::any_of(waiting.lists, [&](const auto& list) {
      const Shown& shown = list.second;
      const bool all_there = std::ranges::all_of(names, [&](const auto& name) { return shown.there.contains(name); });
      return all_there && std::ranges::all_of(shown.there, [&](const auto& name) { return names.contains(name) || shown.absent.contains(name); });
    });
  });
}

void Check::lost(Id id) {
  if (stopped_) return;
  if (calls_.at(id).reads()) return refused(id);
  lost_.insert(id);
}

void Check::seen_by_all() {
  for (World& world : worlds_) {
    for (std::size_t i = 1; i < world.steps.size(); ++i) world.steps[i].answered = world.steps[i].answered || lost_.contains(world.steps[i].by);
    fold(world);
  }
}

void Check::may_be_undone() {
  const auto unanswered = [](const World& world) { return std::ranges::any_of(world.steps.begin() + 1, world.steps.end(), [](const Step& step) { return !step.answered; }); };
  if (std::ranges::any_of(worlds_, unanswered)) stop();
}

void Check::refused(Id id) {
  if (stopped_) return;
  std::vector<World> left;
  for (World& world : worlds_) {
    if (world.waiting.at(id)->done) continue;
    world.waiting.erase(id);
    left.push_back(std::move(world));
  }
  // Something saw what it did before it was refused: ended() says so of the next answer, for no world is left.
  calls_.erase(id);
  keep(std::move(left));
}

std::string Check::explain(Id id, const std::string& said) const {
  std::string text = fmt::format("POSIX: {} said: {}", text_of(calls_.at(id)), said);
  if (worlds_.empty()) return text + "; a change was seen that was refused";
  const World& world = worlds_.front();
  std::vector<std::string> could;
  for (const Answer& answer : world.waiting.at(id)->may_say) could.push_back(text_of(answer));
  for (const auto& [directory, shown] : world.waiting.at(id)->lists) {
    could.push_back(fmt::format("names {}, without some of {}", fmt::join(shown.there, " "), fmt::join(shown.absent, " ")));
  }
  text += fmt::format("; in one of {} worlds it could say: {}; there is {}", worlds_.size(), fmt::join(could, ", or "), world.steps.back().after->text());
  for (const auto& [other, waiting] : world.waiting) {
    if (other != id) text += fmt::format("; under way: {}{}", text_of(calls_.at(other)), waiting->done ? " (done)" : "");
  }
  return text;
}

}  // namespace lockstep::simulator::posix
