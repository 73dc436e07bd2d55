// planted.h - bugs that the simulator must find: one proof that its checkers can fail.
//
// They exist only in builds with -Dplanted=true; elsewhere planted() is false at compile time and nothing of them remains.
#pragma once

#include <utility>

namespace lockstep {

enum class Planted {
  none,
  acknowledge_before_mirror,  ///< the primary answers its host before the secondary has
  drop_before_publish,        ///< caches are dropped before reads give the new
  apply_twice,                ///< an effect sent again after a reconnection is not recognised
  write_before_exclusive,     ///< a secondary writes its area before the primary was asked
  lose_log_record,            ///< a record is not written to the log now and then
  clear_suspect_early,        ///< a granule is no longer suspect although it was written since its last sync
  skip_epoch_check,           ///< two sites that meet take their last epochs for the same
  reuse_freed_early,          ///< what a removal freed is given out before its record is stable
  break_promise,              ///< a site that promised to wait for an armed one asks the arbiter all the same
};

#ifdef LOCKSTEP_PLANTED
inline constexpr std::pair<Planted, const char*> kPlantedBugs[] = {
    {Planted::acknowledge_before_mirror, "acknowledge before mirror"},
    {Planted::drop_before_publish, "drop before publish"},
    {Planted::apply_twice, "apply twice"},
    {Planted::write_before_exclusive, "write before exclusive"},
    {Planted::lose_log_record, "lose a log record"},
    {Planted::clear_suspect_early, "clear a suspect bit early"},
    {Planted::skip_epoch_check, "skip an epoch check"},
    {Planted::reuse_freed_early, "reuse freed space early"},
    {Planted::break_promise, "break a promise"},
};
inline Planted planted_bug = Planted::none;
inline bool planted(Planted bug) { return planted_bug == bug; }
#else
constexpr bool planted(Planted) { return false; }
#endif

}  // namespace lockstep
