// alone.pml - faults, swaps of the register, and going on without the other site (alone.h).

// --- fate ---------------------------------------------------------------------------------------------------------------

inline cut() {
  MAY_FAIL sess != NONE ->
  sess = NONE; src = 0; said("the link is cut", A)
}

// A killed daemon starts again at once: being down for long is doing nothing for long.
inline crash(s) {
  MAY_FAIL 1 ->
  forget_memory(s);
  forget_proposal(s);
  said("%c is killed", s)
}

// The `n` latest unstable writes are lost.
inline lose_power(s, n) {
  MAY_FAIL (n < 1 || uns[s]) && (n < 2 || (uns[s] & (uns[s] - 1))) && (n < 3 || uns[s] == 7) ->
  forget_memory(s); unprov[s] = 1;
  forget_proposal(s);
  k = 0;
  do
  :: k < n ->
     last_of(uns[s], lim);
     j = 0;
     do
     :: !(HAS(uns[s], j) && seq[j] == lim) -> j++
     :: else -> break
     od;
     uns[s] = uns[s] & ~(1 << j);
     data[s] = data[s] & ~(1 << j);
     in_force(i);
     if
     :: HAS(acked, j) && !HAS(data[O(s)], j) -> excused = excused | (1 << j)
     :: HAS(acked, j) && !HAS(acked_both, j) && ins[i] == SET(s) -> excused = excused | (1 << j)
     :: else
     fi;
     k++
  :: else -> break
  od;
  k = 0; j = 0; lim = 0; i = 0;
  said("%c loses power", s)
}

inline lease_ends(s) {
  lease[s] && sess != IN_SYNC -> lease[s] = 0; said("lease of %c ends", s)
}

// --- the arbiter --------------------------------------------------------------------------------------------------------

// The swap of a proposal happens: now or long after its site stopped waiting for the answer, which may never come.
#ifdef BUG_VOLATILE_PROPOSAL
inline send(s) { FROZEN(s) && !moved[s] && flight[s] != prop[s] -> flight[s] = prop[s] }
inline swap_happens(s) {
  flight[s] != 0 ->
  reg = flight[s]; flight[A] = 0; flight[B] = 0; moved[A] = FROZEN(A); moved[B] = FROZEN(B);
  said("the register takes the proposal of %c", s)
}
#else
#ifdef BUG_NEVER_SENT_AGAIN
#define ARRIVES(s) !lost[s]
#else
#define ARRIVES(s) 1
#endif
inline swap_happens(s) {
  FROZEN(s) && !moved[s] && ARRIVES(s) ->
  reg = prop[s]; moved[A] = FROZEN(A); moved[B] = FROZEN(B);
  said("the register takes the proposal of %c", s)
}
#endif

// The site learns that the register is beyond the revision that it expected.
inline resolve(s) {
  FROZEN(s) && moved[s] ->
  if
#ifdef BUG_FORGETS_OWN
  :: reg == prop[s] -> adopt(s, prop[s]); start[s] = SOLE(s)
#else
  :: IN_HISTORY(prop[s], reg) -> adopt(s, prop[s]); start[s] = SOLE(s)
#endif
  :: else ->
     if :: sess == RECORDING || sess == HANDING -> sess = NONE; src = 0 :: else fi
  fi;
  prop[s] = 0; moved[s] = 0;
#ifdef BUG_NEVER_SENT_AGAIN
  lost[s] = 0;
#endif
  untidy = 1; said("%c learns what became of its proposal", s)
}

// It was made a member and never told.
inline read_register(s) {
  sess == NONE && !FROZEN(s) && reg != cur[s] && IN_HISTORY(cur[s], reg) && HAS(ins[reg], s) ->
  word[s] = 0;
  adopt(s, reg); untidy = 1; said("%c reads the register", s)
}

// --- alone (alone.h) ----------------------------------------------------------------------------------------------------

#ifdef NO_ARBITER
#ifdef BUG_ANYBODY_ALONE
#define BY_POLICY(s) 1
#else
#define BY_POLICY(s) PRIMARY(s)
#endif
#else
#define BY_POLICY(s) 1
#endif

inline go_alone(s) {
  sess == NONE && !FROZEN(s) && MEMBER(s) && !SOLE(s) && PROVEN(s) && WHOLE(s) && BY_POLICY(s) && MAY_SWAP(s) &&
#ifndef BUG_BROKEN_PROMISE
    !PROMISED(s) &&
#endif
    1 ->
  word[s] = 0;  // it has given up the connection, too
  record(s, s, SET(s)); untidy = 1; said("%c goes alone", s)
}

#ifdef ARMED
inline go_alone_armed() {
  armed && sess == NONE && !FROZEN(A) && MEMBER(A) && !SOLE(A) && PROVEN(A) && WHOLE(A) ->
  word[A] = 0;
  make_entry(A, A, SET(A)); adopt(A, entries - 1); start[A] = 1; lease[A] = 0; untidy = 1;
  said("%c goes alone, armed", A)
}

// The promise is recorded before what relies on it, and lifted after it: when B knows the entry that A may have made alone.
inline promise() { MAY_FAIL sess == IN_SYNC && !promised -> promised = 1; said("%c promises", B) }
#ifdef BUG_ARMED_UNPROMISED
inline arm() { MAY_FAIL sess == IN_SYNC && !armed -> armed = 1; said("%c is armed", A) }
#else
inline arm() { MAY_FAIL sess == IN_SYNC && !armed && promised -> armed = 1; said("%c is armed", A) }
#endif
inline disarm() { sess != NONE && armed -> armed = 0; said("%c is disarmed", A) }
#ifdef BUG_LIFTED_EARLY
#define MAY_LIFT 1
#else
#define MAY_LIFT (cur[A] == cur[B])
#endif
inline lift() { MAY_LIFT && sess != NONE && !armed && promised -> promised = 0; said("%c is free", B) }
#endif

// A sole member that was started records an entry of its own, in its area only, before it writes.
inline sole_start(s) {
  SOLE(s) && !start[s] && !FROZEN(s) && sess == NONE ->
#ifndef BUG_SAME_ENTRY
  make_entry(s, s, SET(s)); adopt(s, entries - 1);
#endif
  start[s] = 1; unprov[s] = 0; untidy = 1; said("%c starts as sole member", s)
}
