#include "bin/simulator/history.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace lockstep::simulator {

Value History::write_began(const Block& block, Instant at) {
  writes_[block].push_back({.value = ++next_, .from = at, .to = std::nullopt});
  last_ = std::max(last_, at);
  return next_;
}

void History::write_ended(const Block& block, Value value, Instant at) {
  for (Write& w : writes_[block]) {
    if (w.value != value) continue;
    w.to = at;
    w.stable = always_stable_;
    // It began after what tore the block, and it is whole.
    if (const auto torn = torn_.find(block); torn != torn_.end() && w.from > torn->second) torn_.erase(torn);
  }
  last_ = std::max(last_, at);
  ++acknowledged_;
}

void History::write_refused(const Block& block, Value value) {
  for (Write& w : writes_[block]) {
    if (w.value == value) w.refused = true;
  }
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
    if (w->refused) return fmt::format("{} block {} holds {}, whose write was refused", block.first, block.second, value);
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

std::optional<std::string> History::read_torn(const Block& block, const std::vector<Value>& sectors, Instant from, Instant to) const {
  if (!torn_.contains(block)) return fmt::format("{} block {}: the sectors are of more than one write", block.first, block.second);
  for (const Value value : sectors) {
    if (auto wrong = read(block, value, from, to)) return wrong;
  }
  return std::nullopt;
}

std::uint64_t History::append_began(const std::string& file) {
  records_[file].push_back({.number = ++next_, .to = std::nullopt});
  return next_;
}

void History::append_ended(const std::string& file, std::uint64_t record, Instant at) {
  for (Record& r : records_[file]) {
    if (r.number != record) continue;
    r.to = at;
    r.stable = always_stable_;
  }
  ++acknowledged_;
}

void History::append_refused(const std::string& file, std::uint64_t record) {
  for (Record& r : records_[file]) {
    if (r.number == record) r.refused = true;
  }
}

std::optional<std::string> History::final_records(const std::string& file, const std::vector<std::uint64_t>& records) const {
  std::map<std::uint64_t, int> times;
  for (const std::uint64_t r : records) ++times[r];
  if (const auto found = records_.find(file); found != records_.end()) {
    for (const Record& record : found->second) {
      const auto t = times.find(record.number);
      const int n = t == times.end() ? 0 : t->second;
      if (n > 1) return fmt::format("record {} stands {} times in {}", record.number, n, file);
      if (n == 1 && record.refused) return fmt::format("record {} stands in {}, and its append was refused", record.number, file);
      if (n == 0 && record.to) return fmt::format("record {} was acknowledged and is not in {}", record.number, file);
      if (t != times.end()) times.erase(t);
    }
  }
  if (!times.empty()) return fmt::format("{} holds record {}, which nobody appended", file, times.begin()->first);
  return std::nullopt;
}

void History::created(const std::string& name, Told told, Instant at) {
  if (told == Told::nothing) return;
  Name& n = names_.at(name);
  --n.unanswered;
  if (told != Told::yes) return;
  ++n.told_yes;
  n.created_at = at;
  n.created_stable = always_stable_;
  ++acknowledged_;
}

void History::removed(const std::string& name, Instant at) {
  Name& n = names_.at(name);
  n.removed = true;
  n.removed_at = at;
  n.removed_stable = always_stable_;
  ++acknowledged_;
}

std::optional<std::string> History::final_name(const std::string& name, bool there) const {
  const auto found = names_.find(name);
  if (found == names_.end()) {
    if (there) return fmt::format("{} is there, and nobody created it", name);
    return std::nullopt;
  }
  const Name& n = found->second;
  if (n.told_yes > 1) return fmt::format("{} times a host was told that it made {}", n.told_yes, name);
  if (there && n.removed) return fmt::format("{} is there although its removal was acknowledged", name);
  if (there && n.told_yes == 0 && n.unanswered == 0) return fmt::format("{} is there although nobody was told so", name);
  if (!there && n.told_yes == 1 && !n.removing) return fmt::format("{} was created, acknowledged, and is gone", name);
  return std::nullopt;
}

void History::synced(const std::string& file, Instant from) {
  for (auto& [block, writes] : writes_) {
    if (block.first != file) continue;
    for (Write& w : writes) {
      if (w.to && *w.to <= from) w.stable = true;
    }
  }
  if (const auto found = records_.find(file); found != records_.end()) {
    for (Record& r : found->second) {
      if (r.to && *r.to <= from) r.stable = true;
    }
  }
  for (auto& [name, n] : names_) {
    if (n.told_yes > 0 && n.created_at <= from) n.created_stable = true;
    if (n.removed && n.removed_at <= from) n.removed_stable = true;
  }
}

void History::power_lost() {
  lost_power_ = true;
  for (auto& [block, writes] : writes_) {
    // What has no answer was under way just now; what was acknowledged and is not stable is where it was then.
    const bool any = std::ranges::any_of(writes, [](const Write& w) { return !w.stable && !w.refused; });
    for (Write& w : writes) {
      if (!w.stable) w.to.reset();
    }
    if (any) torn_[block] = last_;
  }
  for (auto& [file, records] : records_) {
    for (Record& r : records) {
      if (!r.stable) r.to.reset();
    }
  }
  for (auto& [name, n] : names_) {
    if (n.told_yes > 0 && !n.created_stable) {
      n.unanswered += std::exchange(n.told_yes, 0);
    }
    if (!n.removed_stable) n.removed = false;
  }
}

std::uint64_t History::blocks_of(const std::string& file) const {
  const auto behind = writes_.lower_bound({file, UINT64_MAX});
  if (behind == writes_.begin() || std::prev(behind)->first.first != file) return 0;
  return std::prev(behind)->first.second + 1;
}

std::vector<std::string> History::names() const {
  std::vector<std::string> all;
  for (const auto& [name, state] : names_) all.push_back(name);
  return all;
}

}  // namespace lockstep::simulator
