#include "controller/encounter.h"

#include <algorithm>
#include <ranges>

#include "core/check.h"
#include "core/planted.h"

namespace lockstep::controller {
namespace {

enum class Known { none, same, other };

/// What `p` knows of the area of `other`.
Known knows(const Party& p, const Party& other) {
  if (other.site.value >= p.stores.size() || p.stores[other.site.value].is_nil()) return Known::none;
  return p.stores[other.site.value] == other.store ? Known::same : Known::other;
}

Encounter refused(Rule rule) { return {.rule = rule, .relation = Relation::refused, .source = {}, .common = {}}; }

/// The source has entries behind the common one that an administrator forced although the site that took over did not hold every
/// acknowledged write (their base says so: 0). Whatever the target gave in the common epoch may have been acknowledged.
bool loses_silently(const Party& source, const Party& target, const Membership::Common& common) {
  const auto& history = source.membership.history();
  for (std::size_t i = common.here + 1; i < history.size(); ++i) {
    if (history[i].forced && history[i].base == Seq{0} && target.wrote >= history[common.here].number && !target.discards) return true;
  }
  return false;
}

Encounter resync(Rule rule, const Party& source, const Party& target) {
  const auto common = source.membership.last_common(target.membership);
  CHECK(common.has_value());
  if (loses_silently(source, target, *common)) {
    if (source.discards && !target.incomplete) return resync(Rule::fork_one_side, target, source);
    return {.rule = Rule::diverged, .relation = Relation::diverged, .source = {}, .common = {}};
  }
  // What the target had when the source's history went on without it, or what the source has left of the same epoch; and what the target had
  // when it went on by itself: its later effects say nothing of what it has of the common epoch.
  Seq limit = source.last;
  const auto up_to_base = [&limit](const std::vector<EpochEntry>& history, std::size_t common_entry) {
    for (std::size_t i = common_entry + 1; i < history.size(); ++i) limit = std::min(limit, history[i].base);
  };
  up_to_base(source.membership.history(), common->here);
  up_to_base(target.membership.history(), common->there);
  return {.rule = rule, .relation = Relation::resync, .source = source.site, .common = std::min(target.last, limit)};
}

/// The two are members of the entry that is in force for `a`, for `b` or for both.
Encounter both_members(const Party& a, const Party& b, bool same, const EpochEntry& entry) {
  const Party& primary = a.site == entry.primary ? a : b;
  const Party& secondary = a.site == entry.primary ? b : a;
  if (a.incomplete && b.incomplete) return refused(Rule::both_incomplete);
  if (a.incomplete != b.incomplete) return resync(Rule::complete_first, a.incomplete ? b : a, a.incomplete ? a : b);
  if (a.unproven != b.unproven) return resync(Rule::proven_first, a.unproven ? b : a, a.unproven ? a : b);
  if (a.unproven) {
    const bool swap = secondary.last > primary.last;
    return resync(Rule::both_lost_power, swap ? secondary : primary, swap ? primary : secondary);
  }
  if (same) return {.rule = Rule::resume, .relation = Relation::resume, .source = entry.primary, .common = {}};
  // Only the one that knows the entry may act on it.
  const bool a_knows = a.membership.in_force().id == entry.id;
  return resync(Rule::late, a_knows ? a : b, a_knows ? b : a);
}

/// The last effect that whoever is in the entry in force must have; 0: not known. An entry whose base has no count follows an epoch in
/// which no effect was given: what an earlier one says is still true then.
Seq last_that_counts(const Membership& membership) {
  for (const EpochEntry& entry : std::views::reverse(membership.history())) {
    if (entry.forced && entry.base == Seq{0}) break;
    if (entry.base >= first_seq_of(epoch_of(entry.base))) return entry.base;
  }
  return Seq{0};
}

Encounter one_is_ahead(const Party& ahead, const Party& behind) {
  const EpochEntry& entry = ahead.membership.in_force();
  const bool ahead_in = entry.in_sync.has(ahead.site), behind_in = entry.in_sync.has(behind.site);
  if (ahead_in && behind_in) return both_members(ahead, behind, false, entry);
  if (ahead_in) return resync(Rule::behind, ahead, behind);
  if (!behind_in) return refused(Rule::unrelated);
  // What it lost with its power was not stable, and there is nobody else who counts.
  if (last_that_counts(ahead.membership) > behind.last && !behind.unproven) return refused(Rule::rolled_back);
  return {.rule = Rule::adopts, .relation = Relation::resync, .source = behind.site, .common = std::min(ahead.last, behind.last)};
}

Encounter forked(const Party& a, const Party& b, Epoch common) {
  const auto where = a.membership.last_common(b.membership);
  const bool a_changed = !a.discards && (a.wrote > common || loses_silently(b, a, {where->there, where->here}));
  const bool b_changed = !b.discards && (b.wrote > common || loses_silently(a, b, *where));
  if (a_changed && b_changed) return {.rule = Rule::diverged, .relation = Relation::diverged, .source = {}, .common = {}};
  if (a_changed || b_changed) return resync(Rule::fork_one_side, a_changed ? a : b, a_changed ? b : a);
  const EpochEntry& ea = a.membership.in_force();
  const EpochEntry& eb = b.membership.in_force();
  const bool a_first = ea.forced != eb.forced ? !ea.forced : ea.number != eb.number ? ea.number > eb.number : a.site < b.site;
  return resync(Rule::fork_no_change, a_first ? a : b, a_first ? b : a);
}

Encounter one_is_diskless(const Party& whole, const Party& bare) {
  if (!carries(whole)) return refused(Rule::no_source);
  if (bare.membership.fresh() || !whole.membership.last_common(bare.membership)) {
    return {.rule = Rule::diskless, .relation = Relation::resync, .source = whole.site, .common = {}};
  }
  return resync(Rule::diskless, whole, bare);
}

Encounter decide_in_order(const Party& a, const Party& b) {
  if (a.diskless || b.diskless) return a.diskless ? one_is_diskless(b, a) : one_is_diskless(a, b);
  const bool a_fresh = a.membership.fresh(), b_fresh = b.membership.fresh();
  const auto common = a.membership.last_common(b.membership);
  if (!common) return refused(Rule::unrelated);
  if (a_fresh && b_fresh) {
    return {.rule = Rule::fresh_pair, .relation = Relation::fresh, .source = a.membership.in_force().primary, .common = {}};
  }
  if (a_fresh != b_fresh) {
    const Party& used = a_fresh ? b : a;
    const Party& blank = a_fresh ? a : b;
    if (knows(used, blank) == Known::other && !used.accepts_new_store) return refused(Rule::new_store);
    return {.rule = Rule::blank, .relation = Relation::resync, .source = used.site, .common = {}};
  }
  if (knows(a, b) == Known::other || knows(b, a) == Known::other) return refused(Rule::foreign_store);
  const bool a_ends = planted(Planted::skip_epoch_check) || common->here + 1 == a.membership.history().size();
  const bool b_ends = planted(Planted::skip_epoch_check) || common->there + 1 == b.membership.history().size();
  if (!a_ends && !b_ends) return forked(a, b, a.membership.history()[common->here].number);
  if (!a_ends) return one_is_ahead(a, b);
  if (!b_ends) return one_is_ahead(b, a);
  const EpochEntry& entry = a.membership.in_force();
  if (entry.in_sync.has(a.site) && entry.in_sync.has(b.site)) return both_members(a, b, true, entry);
  if (entry.in_sync.has(a.site)) return resync(Rule::sole_member, a, b);
  if (entry.in_sync.has(b.site)) return resync(Rule::sole_member, b, a);
  return refused(Rule::unrelated);
}

}  // namespace

bool carries(const Party& site) {
  return !site.diskless && !site.membership.fresh() && site.membership.sole(site.site) && !site.unproven && !site.incomplete && !site.discards;
}

Encounter decide(const Party& mine, const Party& theirs) {
  CHECK(mine.site != theirs.site);
  return mine.site < theirs.site ? decide_in_order(mine, theirs) : decide_in_order(theirs, mine);
}

Seq fork_of(const Party& mine, const Party& theirs) {
  const auto common = mine.membership.last_common(theirs.membership);
  CHECK(common.has_value());
  const auto& history = mine.membership.history();
  const std::size_t own = common->here + 1;
  const auto before = [](Epoch epoch) { return Seq{first_seq_of(epoch).value - 1}; };
  // The other one took over by force: whatever this site gave in the common entry may be its own.
  if (own == history.size()) return before(history.back().number);
  return history[own].base == Seq{0} ? before(history[own].number) : history[own].base;
}

std::string_view name_of(Rule rule) {
  switch (rule) {
    case Rule::fresh_pair: return "fresh pair";
    case Rule::new_store: return "new store";
    case Rule::blank: return "blank";
    case Rule::foreign_store: return "foreign store";
    case Rule::diskless: return "diskless";
    case Rule::no_source: return "no source";
    case Rule::unrelated: return "unrelated";
    case Rule::resume: return "resume";
    case Rule::proven_first: return "proven first";
    case Rule::both_lost_power: return "both lost power";
    case Rule::complete_first: return "complete first";
    case Rule::both_incomplete: return "both incomplete";
    case Rule::sole_member: return "sole member";
    case Rule::behind: return "behind";
    case Rule::late: return "late";
    case Rule::adopts: return "adopts";
    case Rule::rolled_back: return "rolled back";
    case Rule::fork_one_side: return "fork, one side";
    case Rule::fork_no_change: return "fork, no change";
    case Rule::diverged: return "diverged";
  }
  return "?";
}

}  // namespace lockstep::controller
