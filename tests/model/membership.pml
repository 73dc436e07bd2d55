// membership.pml - two sites, an arbiter, and who may acknowledge: the protocol of membership as a model for spin.
//
// One process that does one step of one site (or of the arbiter, or of fate) at a time. README.md says how to run it, what
// the names are in the code, what is left out, and which of the -D below plant a bug that has to be found.
//
// A daemon is killed, a host loses power, the link is cut, the roles are changed: any number of times, at any moment. The only
// bound is on WRITES. ENTRIES has to be enough, or an assertion says so: what no site can tell from another past is tidied
// away. A site that does nothing may be slow, or down, or cut from the arbiter: that needs no step of its own.
#ifndef WRITES
#define WRITES 2
#endif
#ifndef ENTRIES
#define ENTRIES 10
#endif

#define A 0
#define B 1
#define O(s) (1 - (s))
#define SET(s) (1 + (s))
#define BOTH 3
#define HAS(set, s) (((set) >> (s)) & 1)

#include "state.pml"
#include "tidy.pml"
#include "alone.pml"
#include "meeting.pml"
#include "writes.pml"

#if WRITES > 2
#define THIRD_WRITE(s) \
  :: d_step { mirror(s, 2) } \
  :: d_step { acknowledge(s, 2) } \
  :: d_step { lose_power(s, 3) }
#else
#define THIRD_WRITE(s)
#endif
#ifdef NO_ARBITER
#define OF_ARBITER(s)
#else
#define OF_ARBITER(s) \
  :: d_step { swap_happens(s) } \
  :: d_step { resolve(s) } \
  :: d_step { read_register(s) } \
  SENDS(s)
#ifdef BUG_VOLATILE_PROPOSAL
#define SENDS(s) :: d_step { send(s) }
#else
#define SENDS(s)
#endif
#endif
#define OF_SITE(s) \
  :: d_step { give(s) } \
  :: d_step { give_there_first(s) } \
  :: d_step { write_here(s) } \
  :: d_step { mirror(s, 0) } \
  :: d_step { mirror(s, 1) } \
  :: d_step { acknowledge(s, 0) } \
  :: d_step { acknowledge(s, 1) } \
  :: d_step { go_alone(s) } \
  :: d_step { sole_start(s) } \
  :: d_step { give_up(s) } \
  :: d_step { hear_it(s) } \
  :: d_step { lease_ends(s) } \
  :: d_step { crash(s) } \
  :: d_step { lose_power(s, 0) } \
  :: d_step { lose_power(s, 1) } \
  :: d_step { lose_power(s, 2) } \
  THIRD_WRITE(s) \
  OF_ARBITER(s)

#define SETTLED (sess == IN_SYNC && cur[A] == cur[B] && ins[cur[A]] == BOTH && !unprov[A] && !unprov[B] && data[A] == data[B])

init {
  d_step {
    hist[0] = 1; num[0] = 1; ins[0] = BOTH; prim[0] = A;
    hist[1] = 3; num[1] = 2; ins[1] = BOTH; prim[1] = A;
    cur[A] = 1; cur[B] = 1
#ifdef NO_ARBITER
    ; reg = 0
#endif
  }
  do
  :: atomic {
       if
       OF_SITE(A)
       OF_SITE(B)
       :: d_step { cut() }
       :: d_step { meet() }
       :: d_step { begin_copy() }
       :: d_step { end_copy() }
       :: d_step { record_both() }
       :: d_step { say_it() }
#ifdef ARMED
       :: d_step { go_alone_armed() }
       :: d_step { promise() }
       :: d_step { arm() }
       :: d_step { disarm() }
       :: d_step { lift() }
#endif
#ifdef LIVE
       :: d_step { !calm -> calm = 1; said("no more faults from here, says %c", A) }
       :: d_step { calm && !settled && SETTLED -> settled = 1; said("settled, says %c", A) }
#endif
       fi;
       d_step {
         if :: untidy -> tidy() :: else fi;
         show_state(); check()
       }
     }
  od
}
