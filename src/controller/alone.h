// alone.h - whether a site that can't reach the other one may go on without it: a pure function (M2, M4, M5, M6).
//
//   finding        when                                                              then
//   not a member   it is not in the in-sync set                                      waits for the other site
//   unproven       it lost power, and the other member may have more                 waits for the other site
//   left           it was stopped while the other one was there, which may go on      waits for the other site
//   diverged       an administrator has to decide                                    waits
//   sole           it is the only member already                                     goes on, after the fence
//   promised       there is an arbiter, and the other site is armed                  waits for the other site, or for a forced takeover
//   waiting        the other site has not been away long enough                      asks again at `until`
//   armed          there is an arbiter, and it may do without (arms.h)               records it, then goes on
//   ask arbiter    there is an arbiter                                               swaps the other one out, then goes on
//   by policy      there is no arbiter, it is the primary, alone = "primary"         records it, then goes on
//   policy forbids there is no arbiter, and it is the secondary, or alone = "never"  waits, or for a forced takeover
//
// "Goes on" means: as primary and only member, recorded first, and not before the fence is over (lease.h).
#pragma once

#include <string_view>

#include "core/types.h"

namespace lockstep::controller {

struct AloneInput {
  bool member = false;
  bool sole = false;
  bool primary = false;          ///< of the entry in force
  bool unproven = false;
  bool left = false;
  bool diverged = false;
  bool arbiter = false;          ///< one is configured
  bool policy_primary = true;    ///< alone = "primary"
  bool armed = false;            ///< M5: as SiteState has it; only a primary is
  bool promised = false;
  Instant away_since;            ///< when the other site was lost, or this one started
  Instant now;
  Duration peer_timeout{};       ///< detection
  Duration takeover_delay{};     ///< a secondary asks the arbiter so much later
};

enum class AloneFinding { not_a_member, unproven, left, diverged, sole, promised, waiting, armed, ask_arbiter, by_policy, policy_forbids };
[[nodiscard]] std::string_view name_of(AloneFinding finding);

struct Alone {
  AloneFinding finding{};
  Instant until;                 ///< waiting: when to ask again
  bool operator==(const Alone&) const = default;
};

[[nodiscard]] Alone decide_alone(const AloneInput& input);

}  // namespace lockstep::controller
