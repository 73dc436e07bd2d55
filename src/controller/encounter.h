// encounter.h - what two sites that meet are to each other: a pure function of what their HELLOs say.
//
//   rule               when                                                              then
//   fresh pair         neither area was ever used                                        both in sync, the configured primary
//   new store          one area was never used, and another was known of its site        refused, until it is accepted
//   blank              one area was never used, and none was known of its site           it is the target
//   foreign store      an area that was used is not the one known of its site            refused
//   diskless           one has no area that lasts, the other is the only member          that one is the source, for good
//   no source          ... and the other one is not, or may miss acknowledged writes     refused, until it is
//   unrelated          no entry of the histories is the same                             refused
//   resume             same entry in force, both are members, both proven                catch up, the primary stays
//   proven first       ... one of them may miss acknowledged writes (M6)                 the other is the source
//   both lost power    ... both may                                                      the higher seq is the source
//   complete first     ... the keys of one are a mixture                                 the other is the source
//   both incomplete    ... of both                                                       refused
//   sole member        same entry in force, one is a member                              it is the source
//   behind             one knows later entries, and is a member of the last              it is the source
//   late               ... and so is the one that does not know them yet                 the proven one is the source
//   adopts             ... but only the one that does not know them yet is               that one is the source
//   rolled back        ... and its area is older than they say, with no loss of power    refused
//   fork, one side     both have entries of their own, one gave no effect in them, or    the other is the source
//                      an administrator said that they may go
//   fork, no change    ... neither did                                                   the one not forced, the later one
//   diverged           ... both did                                                      nobody serves before an administrator decides
//   diverged           an entry was forced without holding every acknowledged write,       nobody serves before an administrator decides
//                      and the other one gave effects in the common epoch
//
// Both sides decide the same: the function looks at the two in the order of their SiteIds.
#pragma once

#include <string_view>

#include "controller/membership.h"

namespace lockstep::controller {

/// What one site says of itself.
struct Party {
  SiteId site;
  Membership membership;
  Uuid store;                  ///< of its area
  std::vector<Uuid> stores;    ///< that it knows of, by SiteId; nil: none
  bool accepts_new_store = false;  ///< an administrator said so: the other site's new area is welcome
  bool diskless = false;       ///< it has no area that lasts (C7)
  bool unproven = false;
  bool incomplete = false;
  bool discards = false;       ///< an administrator said that what it has of its own may go
  Epoch wrote;                 ///< last epoch in which it gave effects, or acknowledged some alone
  Seq last;                    ///< last effect in its log or keys
};

enum class Rule {
  fresh_pair, new_store, blank, foreign_store, diskless, no_source, unrelated, resume, proven_first, both_lost_power, complete_first,
  both_incomplete, sole_member, behind, late, adopts, rolled_back, fork_one_side, fork_no_change, diverged,
};
[[nodiscard]] std::string_view name_of(Rule rule);

enum class Relation {
  refused,
  diverged,
  fresh,    ///< both begin: nothing to compare
  resume,   ///< both are members: what is on its way is completed
  resync,   ///< the target is made equal to the source
};

struct Encounter {
  Rule rule{};
  Relation relation = Relation::refused;
  SiteId source;  ///< fresh, resume: the primary; resync: the source, which is or becomes the primary
  Seq common;     ///< resync: the target's effects up to here are the source's too
};

/// Hosts of a site without an area can work through `site`: it is the only member, and misses nothing.
[[nodiscard]] bool carries(const Party& site);
/// Symmetric: decide(a, b) == decide(b, a).
[[nodiscard]] Encounter decide(const Party& mine, const Party& theirs);
/// What `mine` has above the answer came after the two parted. Requires: decide() said "diverged".
[[nodiscard]] Seq fork_of(const Party& mine, const Party& theirs);

}  // namespace lockstep::controller
