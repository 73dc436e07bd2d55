#include "bin/simulator/holds.h"

#include <fmt/format.h>

#include <algorithm>

namespace lockstep::simulator {
namespace {

bool below(const std::string& path, const std::string& tree) {
  return tree == "/" || path == tree || path.starts_with(tree + "/");
}


/// It may hold at some time from `from` to `to`.
bool possible(const Holds::Hold& hold, Instant from, Instant to) {
  return !hold.refused && hold.asked <= to && (hold.doubted || !hold.ended || *hold.ended >= from);
}

bool common(const Part& a, const Part& b) {
  if (a.tree || b.tree) return (a.tree && below(b.path, a.path)) || (b.tree && below(a.path, b.path));
  if (a.path != b.path) return false;
  if (a.count == 0 || b.count == 0) return true;
  return a.first < b.first + b.count && b.first < a.first + a.count;
}

}  // namespace

bool Part::covers(const std::string& other, std::optional<std::uint64_t> block) const {
  if (tree) return below(other, path);
  if (other != path) return false;
  return count == 0 || (block && *block >= first && *block < first + count);
}

std::string text_of(const Part& part) {
  if (part.count == 0) return part.path;
  return fmt::format("{} blocks {} to {}", part.path, part.first, part.first + part.count - 1);
}

Holds::Number Holds::asked(Site site, Part part, bool busy, Instant at) {
  all_.push_back({.site = site, .part = std::move(part), .busy = busy, .asked = at, .made = {}, .ending = {}, .ended = {}, .doubted = {}});
  return all_.size() - 1;
}

void Holds::doubt(Number number, Instant at) {
  if (!all_[number].doubted) all_[number].doubted = at;
}

void Holds::doubt_all(Instant at) {
  for (Hold& hold : all_) {
    if (!hold.refused && !hold.doubted) hold.doubted = at;
  }
}

/// Without blocks it is of every reservation of the object.
bool Holds::Release::of(const Hold& hold) const {
  if (part.path != hold.part.path || (site && *site != hold.site)) return false;
  return part.count == 0 || (part.first == hold.part.first && part.count == hold.part.count);
}

void Holds::made(Number number, Instant at) {
  Hold& hold = all_[number];
  hold.made = at;
  // A release that was under way at the same time may have come behind it.
  const bool released = std::ranges::any_of(releases_, [&](const Release& r) { return r.of(hold) && (!r.to || *r.to >= hold.asked); });
  if (released && !hold.ending) hold.ending = at;
}

Holds::Number Holds::releasing(Part part, std::optional<Site> site, Instant at) {
  if (!site) ++breaks_;
  releases_.push_back({.part = std::move(part), .site = site, .from = at, .to = {}});
  for (Hold& hold : all_) {
    if (releases_.back().of(hold) && !hold.ending) hold.ending = at;
  }
  return releases_.size() - 1;
}

void Holds::released(Number number, Instant at) {
  Release& release = releases_[number];
  release.to = at;
  for (Hold& hold : all_) {
    if (release.of(hold) && hold.made && *hold.made <= release.from && !hold.ended) hold.ended = at;
  }
}

void Holds::none_left(Instant at) {
  for (Hold& hold : all_) {
    if (!hold.ended) hold.ended = at;
  }
}

std::optional<std::string> Holds::changed(Site site, const std::string& path, std::optional<std::uint64_t> block, Instant from,
                                          Instant to) const {
  for (const Hold& hold : all_) {
    if (hold.site == site || !hold.part.covers(path, block) || !hold.certain(from, to)) continue;
    return fmt::format("{} block {} was changed from {} to {} ns by a host of site {}, and {} is reserved by the other one since {} ns", path,
                       block.value_or(0), from.ns, to.ns, site, text_of(hold.part), hold.made->ns);
  }
  return std::nullopt;
}

std::optional<std::string> Holds::told_busy(Site site, const std::string& path, std::optional<std::uint64_t> block, Instant from,
                                            Instant to) const {
  const bool may = std::ranges::any_of(all_, [&](const Hold& hold) {
    return hold.site != site && hold.busy && hold.part.covers(path, block) && possible(hold, from, to);
  });
  if (may) return std::nullopt;
  return fmt::format("a host of site {} was told EBUSY from {} to {} ns for {} block {}, which nobody had reserved like that", site, from.ns, to.ns,
                     path, block.value_or(0));
}

std::optional<std::string> Holds::told_reserved(Site site, const Part& part, Instant from, Instant to) const {
  const bool may = std::ranges::any_of(all_, [&](const Hold& hold) { return hold.site != site && common(hold.part, part) && possible(hold, from, to); });
  if (may) return std::nullopt;
  return fmt::format("site {} could not reserve {} from {} to {} ns, and the other one had reserved nothing of it", site, text_of(part), from.ns, to.ns);
}

}  // namespace lockstep::simulator
