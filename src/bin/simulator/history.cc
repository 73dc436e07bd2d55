#include "bin/simulator/history.h"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <utility>

#include "core/check.h"

namespace lockstep::simulator {
namespace {

constexpr Instant kNotYet{INT64_MAX};

/// The one with this number, which are given in order; null: none.
template <class All, class Number>
auto* find_numbered(All& all, std::uint64_t number, Number of) {
  const auto found = std::ranges::lower_bound(all, number, {}, of);
  return found == all.end() || std::invoke(of, *found) != number ? nullptr : &*found;
}

}  // namespace

History::Stands History::stands(const Change& change, Site site) const {
  if (change.gone || change.refused) return Stands::no;
  if (change.lost[site]) return Stands::maybe;
  if (!apart_ || change.site == site) return change.to ? Stands::yes : Stands::maybe;
  if (change.to && *change.to < own_[change.site]) return Stands::yes;
  return change.from >= parted_ ? Stands::no : Stands::maybe;
}

void History::acknowledge(Change& change, Instant at, Unstable& unstable) {
  change.to = at;
  change.stable = always_stable_;
  if (!change.stable) unstable.push_back(&change);
  last_ = std::max(last_, at);
  ++acknowledged_;
}

template <class Do>
void History::for_all(Do what) {
  for (auto& [block, writes] : writes_) {
    for (Write& w : writes) what(w);
  }
  for (auto& [file, records] : records_) {
    for (Record& r : records) what(r);
  }
  for (auto& [name, n] : names_) {
    for (Change& c : n.creations) what(c);
    if (n.removal) what(*n.removal);
  }
}

Value History::write_began(const Block& block, Site site, Instant at) {
  writes_[block].push_back({{.site = site, .from = at, .to = std::nullopt}, ++next_});
  last_ = std::max(last_, at);
  return next_;
}

void History::write_ended(const Block& block, Value value, Instant at) {
  Write* const w = find_numbered(writes_[block], value, &Write::value);
  if (w == nullptr) return;
  acknowledge(*w, at, unstable_[block.first]);
  // It began after what tore the block, and it is whole.
  for (Site site = 0; site < 2; ++site) {
    const auto torn = torn_[site].find(block);
    if (torn != torn_[site].end() && w->from > torn->second && stands(*w, site) == Stands::yes) torn_[site].erase(torn);
  }
}

void History::write_refused(const Block& block, Value value) {
  if (Write* const w = find_numbered(writes_[block], value, &Write::value)) w->refused = true;
}

std::optional<History::Origin> History::origin(const Block& block, Value value) const {
  const auto found = writes_.find(block);
  if (found == writes_.end()) return std::nullopt;
  const Write* const w = find_numbered(found->second, value, &Write::value);
  if (w == nullptr) return std::nullopt;
  return Origin{w->site, w->from, w->to.has_value()};
}

std::optional<std::string> History::read(const Block& block, Value value, Site site, Instant from, Instant to) const {
  static const std::deque<Write> none;
  const auto found = writes_.find(block);
  const std::deque<Write>& writes = found == writes_.end() ? none : found->second;
  Instant acknowledged;  // of the value that was read; its zero: from the beginning
  bool has_end = true;
  const bool meanwhile = from <= parted_;  // the sites parted or met while it was under way
  if (value != 0) {
    const Write* const w = find_numbered(writes, value, &Write::value);
    if (w == nullptr) return fmt::format("{} block {} holds {}, which nobody wrote there", block.first, block.second, value);
    if (w->refused) return fmt::format("{} block {} holds {}, whose write was refused", block.first, block.second, value);
    if (w->from > to) return fmt::format("{} block {} holds {} before it was written", block.first, block.second, value);
    if (meanwhile) return std::nullopt;
    if (w->gone) return fmt::format("{} block {} holds {}, which was discarded", block.first, block.second, value);
    const Stands stand = stands(*w, site);
    if (stand == Stands::no) {
      return fmt::format("{} block {} holds {}, which was written at the other site at {} ns while the two were apart, since {} ns", block.first,
                         block.second, value, w->from.ns, parted_.ns);
    }
    has_end = stand == Stands::yes;
    if (has_end) acknowledged = *w->to;
  }
  if (!has_end || meanwhile) return std::nullopt;
  // They stand in the order in which they began.
  for (auto other = std::ranges::upper_bound(writes, acknowledged, {}, &Write::from); other != writes.end() && other->from < from; ++other) {
    if (other->value == value || stands(*other, site) != Stands::yes) continue;
    if (*other->to < from) {
      return fmt::format("{} block {}: a read from {} to {} ns saw {}, acknowledged at {}, although {} was written from {} to {} ns",
                         block.first, block.second, from.ns, to.ns, value, acknowledged.ns, other->value, other->from.ns, other->to->ns);
    }
  }
  return std::nullopt;
}

std::optional<std::string> History::read_torn(const Block& block, const std::vector<Value>& sectors, Site site, Instant from,
                                              Instant to) const {
  if (!torn_[site].contains(block)) return fmt::format("{} block {}: the sectors are of more than one write", block.first, block.second);
  for (const Value value : sectors) {
    if (auto wrong = read(block, value, site, from, to)) return wrong;
  }
  return std::nullopt;
}

std::uint64_t History::append_began(const std::string& file, Site site, Instant at) {
  records_[file].push_back({{.site = site, .from = at, .to = std::nullopt}, ++next_});
  return next_;
}

void History::append_ended(const std::string& file, std::uint64_t record, Instant at) {
  if (Record* const r = find_numbered(records_[file], record, &Record::number)) acknowledge(*r, at, unstable_[file]);
}

void History::append_refused(const std::string& file, std::uint64_t record) {
  if (Record* const r = find_numbered(records_[file], record, &Record::number)) r->refused = true;
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
      if (n == 1 && record.gone) return fmt::format("record {} stands in {}, and was discarded", record.number, file);
      if (n == 0 && record.to && !record.gone) return fmt::format("record {} was acknowledged and is not in {}", record.number, file);
      if (t != times.end()) times.erase(t);
    }
  }
  if (!times.empty()) return fmt::format("{} holds record {}, which nobody appended", file, times.begin()->first);
  return std::nullopt;
}

std::size_t History::create_began(const std::string& name, Site site, Instant at) {
  std::deque<Change>& all = names_[name].creations;
  all.push_back({.site = site, .from = at, .to = std::nullopt});
  return all.size() - 1;
}

void History::created(const std::string& name, std::size_t number, Told told, Instant at) {
  Change& c = names_.at(name).creations.at(number);
  c.refused = told == Told::no;
  if (told == Told::yes) acknowledge(c, at, unstable_names_);
}

void History::remove_began(const std::string& name, Site site, Instant at) {
  names_[name].removal = Change{.site = site, .from = at, .to = std::nullopt};
}

void History::removed(const std::string& name, Told told, Instant at) {
  Change& r = *names_.at(name).removal;
  r.refused = told == Told::no;
  if (told == Told::yes) acknowledge(r, at, unstable_names_);
}

std::optional<std::string> History::final_name(const std::string& name, bool there) const {
  const auto found = names_.find(name);
  if (found == names_.end()) {
    if (there) return fmt::format("{} is there, and nobody created it", name);
    return std::nullopt;
  }
  const Name& n = found->second;
  const auto count = [&](auto what) { return std::ranges::count_if(n.creations, [&](const Change& c) { return !c.gone && !c.refused && what(c); }); };
  const auto told_yes = count([](const Change& c) { return c.to.has_value(); });
  const auto unanswered = count([](const Change& c) { return !c.to.has_value(); });
  const bool removing = n.removal && !n.removal->gone && !n.removal->refused;
  const bool removed = removing && n.removal->to;
  if (told_yes > 1) return fmt::format("{} times a host was told that it made {}", told_yes, name);
  if (there && removed) return fmt::format("{} is there although its removal was acknowledged", name);
  if (there && told_yes == 0 && unanswered == 0) return fmt::format("{} is there although nobody was told so, or what was told was discarded", name);
  if (!there && told_yes == 1 && !removing) return fmt::format("{} was created, acknowledged, and is gone", name);
  return std::nullopt;
}

bool History::may_be_missing(const std::string& name, Site site) const {
  const auto found = names_.find(name);
  if (found == names_.end() || !lost_power_) return false;
  return std::ranges::none_of(found->second.creations, [&](const Change& c) { return stands(c, site) == Stands::yes; });
}

void History::synced(Unstable& unstable, Site site, Instant from) {
  std::erase_if(unstable, [&](Change* change) {
    // Apart, only what is this site's own, and was not lost, is certainly here; whatever else is stable here may be discarded with it.
    const bool elsewhere = apart_ && (change->site != site || change->from < parted_ || change->lost[site]);
    if (!elsewhere && change->to && *change->to <= from) change->stable = true;
    return change->stable || !change->to;
  });
}

void History::synced(const std::string& file, Site site, Instant from) {
  if (from <= parted_) return;
  synced(unstable_[file], site, from);
  synced(unstable_names_, site, from);
}

void History::tear(Site site) {
  for (auto& [block, writes] : writes_) {
    // What has no answer was under way just now; what was acknowledged and is not stable is where it was then.
    const bool any = std::ranges::any_of(writes, [&](const Write& w) { return !w.stable && stands(w, site) != Stands::no; });
    if (any) torn_[site][block] = last_;
  }
}

void History::write_failed() {
  for (auto& [block, writes] : writes_) {
    if (!std::ranges::any_of(writes, [](const Write& w) { return !w.to && !w.refused; })) continue;
    for (auto& torn : torn_) torn[block] = last_;
  }
}

void History::power_lost() {
  CHECK(!apart_);
  lost_power_ = true;
  for (Site site = 0; site < 2; ++site) tear(site);
  for_all([](Change& change) {
    if (!change.stable) doubt(change);
  });
}

void History::power_lost(Site site) {
  CHECK(apart_);
  lost_power_ = true;
  tear(site);
  for_all([&](Change& change) { change.lost[site] = change.lost[site] || (change.to && !change.stable && stands(change, site) == Stands::yes); });
}

void History::part(Site primary, Instant at) {
  CHECK(!apart_);
  apart_ = true;
  parted_ = at;
  own_[primary] = at;
  own_[1 - primary] = kNotYet;
}

void History::part_both(Instant at) {
  for (Instant& own : own_) own = std::min(own, at);
}

void History::end_apart(Site survivor, Instant at) {
  for_all([&](Change& change) {
    if (change.lost[survivor]) doubt(change);
    change.lost = {};
  });
  torn_[1 - survivor] = torn_[survivor];
  apart_ = false;
  parted_ = at;
}

void History::join(Site survivor, Instant at) {
  CHECK(apart_);
  end_apart(survivor, at);
}

std::uint64_t History::discard(Site site, Instant said, Instant at) {
  CHECK(apart_);
  std::uint64_t after = 0;
  for_all([&](Change& change) {
    if (change.site != site || !change.to || *change.to < own_[site]) return;
    if (change.from >= parted_) {
      change.gone = true;
      ++gone_;
      after += change.from > said;
    } else {
      doubt(change);  // it was under way when they parted: the other one may have it, too
    }
  });
  end_apart(1 - site, at);
  discarded_[site] = true;
  return after;
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
