// planted.h - bugs that the simulator must find: one proof that its checkers can fail.
//
// They exist only in builds with -Dplanted=true; elsewhere planted() is false at compile time and nothing of them remains.
#pragma once

namespace lockstep {

enum class Planted {
  none,
  acknowledge_before_mirror,  ///< the primary answers its host before the secondary has
  drop_before_publish,        ///< caches are dropped before reads give the new
  apply_twice,                ///< an effect sent again after a reconnection is not recognised
  write_before_exclusive,     ///< a secondary writes its area before the primary was asked
  lose_log_record,            ///< a record is not written to the log now and then
};

#ifdef LOCKSTEP_PLANTED
inline Planted planted_bug = Planted::none;
inline bool planted(Planted bug) { return planted_bug == bug; }
#else
constexpr bool planted(Planted) { return false; }
#endif

}  // namespace lockstep
