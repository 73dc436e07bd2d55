#include "bin/simulator/history.h"

#include <fmt/format.h>

#include <algorithm>

namespace lockstep::simulator {

Value History::write_began(const Block& block, Instant at) {
  writes_[block].push_back({++next_, at, std::nullopt});
  return next_;
}

void History::write_ended(const Block& block, Value value, Instant at) {
  for (Write& w : writes_[block]) {
    if (w.value == value) w.to = at;
  }
  ++acknowledged_;
}

std::optional<std::string> History::read(const Block& block, Value value, Instant from, Instant to) const {
  static const std::vector<Write> none;
  const auto found = writes_.find(block);
  const std::vector<Write>& writes = found == writes_.end() ? none : found->second;
  Instant acknowledged;  // of the value that was read; its zero: from the beginning
  bool has_end = true;
  if (value != 0) {
    const auto w = std::find_if(writes.begin(), writes.end(), [&](const Write& x) { return x.value == value; });
    if (w == writes.end()) return fmt::format("{} block {} holds {}, which nobody wrote there", block.first, block.second, value);
    if (w->from > to) return fmt::format("{} block {} holds {} before it was written", block.first, block.second, value);
    has_end = w->to.has_value();
    if (has_end) acknowledged = *w->to;
  }
  if (!has_end) return std::nullopt;
  for (const Write& other : writes) {
    if (other.value == value || !other.to) continue;
    if (other.from > acknowledged && *other.to < from) {
      return fmt::format("{} block {}: a read from {} to {} ns saw {}, acknowledged at {}, although {} was written from {} to {} ns",
                         block.first, block.second, from.ns, to.ns, value, acknowledged.ns, other.value, other.from.ns, other.to->ns);
    }
  }
  return std::nullopt;
}

void History::append_ended(const std::string& file, std::uint64_t record) {
  for (auto& [answered, number] : appended_[file]) {
    if (number == record) answered = true;
  }
  ++acknowledged_;
}

std::optional<std::string> History::final_records(const std::string& file, const std::vector<std::uint64_t>& records) const {
  const auto found = appended_.find(file);
  std::map<std::uint64_t, int> times;
  for (const std::uint64_t r : records) ++times[r];
  if (found != appended_.end()) {
    for (const auto& [answered, number] : found->second) {
      const auto t = times.find(number);
      const int n = t == times.end() ? 0 : t->second;
      if (n > 1) return fmt::format("record {} stands {} times in {}", number, n, file);
      if (answered && n == 0) return fmt::format("record {} was acknowledged and is not in {}", number, file);
      if (t != times.end()) times.erase(t);
    }
  }
  if (!times.empty()) return fmt::format("{} holds record {}, which nobody appended", file, times.begin()->first);
  return std::nullopt;
}

void History::created(const std::string& name, Told told) {
  if (told == Told::nothing) return;
  --names_.at(name).unanswered;
  if (told == Told::yes) ++names_.at(name).told_yes;
  if (told == Told::yes) ++acknowledged_;
}

void History::removed(const std::string& name, Told told) {
  if (told == Told::yes) names_[name].removed = true;
  if (told == Told::yes) ++acknowledged_;
}

std::optional<std::string> History::final_name(const std::string& name, bool there) const {
  const auto found = names_.find(name);
  if (found == names_.end()) {
    if (there) return fmt::format("{} is there, and nobody created it", name);
    return std::nullopt;
  }
  const Name& n = found->second;
  if (n.told_yes > 1) return fmt::format("{} was told {} times that it made {}", "a host", n.told_yes, name);
  if (there && n.removed) return fmt::format("{} is there although its removal was acknowledged", name);
  if (there && n.told_yes == 0 && n.unanswered == 0) return fmt::format("{} is there although nobody was told so", name);
  if (!there && n.told_yes == 1 && !n.removing) return fmt::format("{} was created, acknowledged, and is gone", name);
  return std::nullopt;
}

std::vector<History::Block> History::blocks() const {
  std::vector<Block> all;
  for (const auto& [block, writes] : writes_) all.push_back(block);
  return all;
}

std::vector<std::string> History::files_appended() const {
  std::vector<std::string> all;
  for (const auto& [file, records] : appended_) all.push_back(file);
  return all;
}

std::vector<std::string> History::names() const {
  std::vector<std::string> all;
  for (const auto& [name, state] : names_) all.push_back(name);
  return all;
}

}  // namespace lockstep::simulator
