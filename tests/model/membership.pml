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

// --- memberships: an entry has an id, and stands for itself and all before it (the register and HELLO carry histories) ---

byte entries = 2;        // ids given so far; 0 and 1 are there from the start
short hist[ENTRIES];     // ids of its history, itself included; a later one in a history has a higher id
byte num[ENTRIES];
byte ins[ENTRIES];       // in_sync
bit prim[ENTRIES];
byte base[ENTRIES];

// --- the arbiter's register ---------------------------------------------------------------------------------------------

byte reg;                // the entry it holds: 0 at first, older than what the sites have made without it

// --- on a site's disk, stable -------------------------------------------------------------------------------------------

byte cur[2];             // the entry in force
byte prop[2];            // proposal whose outcome is not known; 0: none
bit moved[2];            // the register is beyond the revision that it expected
bit unprov[2];
bit incomp[2];
byte data[2];            // writes it holds
byte uns[2];             // ... of which these are lost with the power

// --- in a site's memory -------------------------------------------------------------------------------------------------

bit lease[2];            // it may serve reads because the other one answered not long ago
bit start[2];            // sole member: has recorded an entry since it started
byte mirr[2];            // primary: writes that the other one said it has written, in the entry in force

// The connection: none, in sync, or a resynchronisation from `src` and how far it is.
#define NONE 0
#define IN_SYNC 1
#define MET 2            // both know who is the source
#define COPYING 3        // the target is a mixture
#define EQUAL 4          // the target is equal, and takes part in every write
#define RECORDING 5      // the entry with both is proposed, then recorded at the source
#define HANDING 6        // the primary gives up: the entry with the other one as primary is proposed, then recorded
#define TELLING 7        // that is on its way to the other site
byte sess;
bit src;

// The last message of a connection may arrive after its sender has given the connection up.
byte word[2];            // to a site: that this entry is recorded; 0: none

#ifdef BUG_NEVER_SENT_AGAIN
bit lost[2];             // the swap was lost before the register had it
#endif
#ifdef ARMED
bit armed;               // on the disk of A: it may go on without the arbiter (M5)
bit promised;            // on the disk of B: it does not use the arbiter against A
#endif
#ifdef BUG_VOLATILE_PROPOSAL
byte flight[2];          // a swap that is on its way with the revision that the register has
#endif

// --- what happened ------------------------------------------------------------------------------------------------------

byte writes;
byte seq[WRITES];        // of each write, see NEXT_SEQ
byte acked;
byte acked_both;         // ... as written by both
byte excused;            // acknowledged, and lost with the power of every site that had to hold it
#ifdef LIVE
bit calm;                // no more faults, and everything is reachable
bit settled;
ltl settles { [] (calm -> <> settled) }
#endif

byte i, j, k, w, lim, s1, s2, nseq[WRITES];  // scratch: 0 between steps
short live, keep, fork;
bit untidy;

#define FROZEN(s) (prop[s] != 0)
#define MEMBER(s) HAS(ins[cur[s]], s)
#define SOLE(s) (ins[cur[s]] == SET(s))
#define IN_HISTORY(e, of) HAS(hist[of], e)
#define PRIMARY(s) (prim[cur[s]] == (s))
#define LIVE_WRITES (acked & ~excused)

#ifdef BUG_INCOMPLETE_ACTS
#define WHOLE(s) 1
#else
#define WHOLE(s) (!incomp[s])
#endif
#ifdef BUG_UNPROVEN_ACTS
#define PROVEN(s) 1
#else
#define PROVEN(s) (!unprov[s])
#endif
#ifdef BUG_FROZEN_SERVES
#define SERVES(s) (lease[s] || (SOLE(s) && start[s]))
#else
#define SERVES(s) (lease[s] || (SOLE(s) && start[s] && !FROZEN(s)))
#endif

#ifdef ARMED
#define PROMISED(s) ((s) == B && promised)
#else
#define PROMISED(s) 0
#endif
#ifdef NO_ARBITER
#define MAY_SWAP(s) 1
#else
#ifdef BUG_FOREIGN_SWAP
#define MAY_SWAP(s) 1
#else
#define MAY_SWAP(s) IN_HISTORY(reg, cur[s])
#endif
#endif

#ifdef LIVE
#define MAY_FAIL !calm &&
#else
#define MAY_FAIL
#endif

// What a trail says.
#define said(what, s) printf(what, 'A' + (s))
inline show_site(s) {
  printf("     %c: entry %d (in_sync %d, primary %d) prop %d moved %d unproven %d incomplete %d data %x unstable %x lease %d start %d mirrored %x\n",
         'A' + s, cur[s], ins[cur[s]], prim[cur[s]], prop[s], moved[s], unprov[s], incomp[s], data[s], uns[s], lease[s], start[s], mirr[s])
}
inline show_state() {
  printf(": sess %d src %d reg %d acked %x excused %x\n", sess, src, reg, acked, excused);
  show_site(A); show_site(B)
}

// --- properties, after every step ---------------------------------------------------------------------------------------

// The membership in force: the latest one that is recorded anywhere.
inline in_force(e) {
  e = reg;
  if :: num[cur[A]] > num[e] -> e = cur[A] :: else fi;
  if :: num[cur[B]] > num[e] -> e = cur[B] :: else fi
}

inline check() {
  // Who serves reads has every acknowledged write.
  assert(!SERVES(A) || (LIVE_WRITES & ~data[A]) == 0);
  assert(!SERVES(B) || (LIVE_WRITES & ~data[B]) == 0);
  // A member of the membership in force has every acknowledged write.
  in_force(i);
  assert((HAS(ins[i], A) && (LIVE_WRITES & ~data[A]) == 0) || (HAS(ins[i], B) && (LIVE_WRITES & ~data[B]) == 0));
  i = 0
}

// --- small pieces -------------------------------------------------------------------------------------------------------

// The highest seq among `set`.
inline last_of(set, to) {
  to = 0; w = 0;
  do
  :: w < WRITES -> if :: HAS(set, w) && seq[w] > to -> to = seq[w] :: else fi; w++
  :: else -> break
  od;
  w = 0
}

inline forget_memory(s) {
  lease[s] = 0; start[s] = 0; mirr[s] = 0; word[s] = 0; sess = NONE; src = 0
}

inline forget_proposal(s) {
#ifdef BUG_VOLATILE_PROPOSAL
  prop[s] = 0; moved[s] = 0;
#endif
#ifdef BUG_NEVER_SENT_AGAIN
  lost[s] = FROZEN(s);
#endif
  skip
}

inline adopt(s, e) {
  cur[s] = e; mirr[s] = 0; start[s] = 0
}

// Everything of `s` is stable, then the entry after the one in force there is made. Its id is `entries - 1` then.
inline make_entry(s, primary, in_sync) {
  assert(entries < ENTRIES);
#ifndef BUG_UNSTABLE_RECORD
  uns[s] = 0;
#endif
  hist[entries] = hist[cur[s]] | (1 << entries);
  num[entries] = num[cur[s]] + 1;
  ins[entries] = in_sync;
  prim[entries] = primary;
  last_of(data[s], base[entries]);
  entries++
}

// Recorded: without an arbiter, here; with one, when a swap that is persisted first has happened.
inline record(s, primary, in_sync) {
  make_entry(s, primary, in_sync);
  lease[s] = 0;
#ifdef NO_ARBITER
  adopt(s, entries - 1); start[s] = 1
#else
  prop[s] = entries - 1; moved[s] = 0
#endif
}

// --- tidying: states that no step can ever tell from each other become the same ------------------------------------------

inline is_live(e) { live = live | (1 << (e)) }

// The highest id of `set`.
inline highest(set, to) {
  to = entries - 1;
  do
  :: !HAS(set, to) -> to--
  :: else -> break
  od
}
inline count(set, to) {
  to = 0; w = 0;
  do
  :: w < entries -> if :: HAS(set, w) -> to++ :: else fi; w++
  :: else -> break
  od;
  w = 0
}

// Ids that somebody may still act on, where their histories part, and the first entries after that; all else goes.
inline what_to_keep() {
  is_live(cur[A]); is_live(cur[B]);
  if :: word[A] -> is_live(word[A]) :: else fi;
  if :: word[B] -> is_live(word[B]) :: else fi;
#ifndef NO_ARBITER
  is_live(reg);
  if :: FROZEN(A) -> is_live(prop[A]) :: else fi;
  if :: FROZEN(B) -> is_live(prop[B]) :: else fi;
#ifdef BUG_VOLATILE_PROPOSAL
  if :: flight[A] -> is_live(flight[A]) :: else fi;
  if :: flight[B] -> is_live(flight[B]) :: else fi;
#endif
#endif
  i = 0;
  do
  :: i < entries && !HAS(live, i) -> i++
  :: i < entries && HAS(live, i) ->
     j = 0;
     do
     :: j <= i ->
        if
        :: HAS(live, j) -> highest((hist[i] & hist[j]), k); fork = fork | (1 << k)
        :: else
        fi;
        j++
     :: else -> break
     od;
     i++
  :: else -> break
  od;
  keep = live | fork;
  i = 1;
  do
  :: i < entries ->
     if
     :: hist[i] != 0 && (hist[i] & ~(1 << i)) != 0 ->
        highest((hist[i] & ~(1 << i)), k);
        if
        :: HAS(fork, k) ->
           // Only what a live one has in its history.
           j = 0;
           do
           :: j < entries && !(HAS(live, j) && IN_HISTORY(i, j)) -> j++
           :: else -> break
           od;
           if :: j < entries -> keep = keep | (1 << i) :: else fi
        :: else -> base[i] = 0
        fi
     :: else -> base[i] = 0
     fi;
     if :: !HAS(live, i) -> ins[i] = 0; prim[i] = 0 :: else fi;
     i++
  :: else -> break
  od;
  i = 0; j = 0; k = 0
}

// seqs and bases keep their order; those of entries that go lie between those of entries that stay.
inline renumber_writes() {
  i = 0;
  do
  :: i < entries ->  // a base becomes the number of the last write that it includes
     lim = 0; k = 0;
     w = 0;
     do
     :: w < writes -> if :: seq[w] <= base[i] && seq[w] > lim -> lim = seq[w]; k = w + 1 :: else fi; w++
     :: else -> break
     od;
     base[i] = k; i++
  :: else -> break
  od;
  lim = 0;
  j = 0;
  do
  :: j < writes ->
     i = 0; k = ENTRIES;  // the last entry that stays and is not after it
     do
     :: i < entries ->
        if
        :: HAS(keep, i) && num[i] <= seq[j] / 8 && (k == ENTRIES || num[i] > num[k]) -> k = i
        :: else
        fi;
        i++
     :: else -> break
     od;
     w = 0; lim = 1;
     do
     :: w < writes -> if :: seq[w] < seq[j] -> lim++ :: else fi; w++
     :: else -> break
     od;
     if
     :: k == ENTRIES -> nseq[j] = 8 + lim
     :: else ->
        s1 = (num[k] == seq[j] / 8);
        count((hist[k] & keep), i);
        nseq[j] = (s1 -> 16 * i + seq[j] % 8 : 16 * i + 8 + lim)
     fi;
     j++
  :: else -> break
  od;
  j = 0;
  do
  :: j < writes -> seq[j] = nseq[j]; nseq[j] = 0; j++
  :: else -> break
  od;
  i = 0;
  do
  :: i < entries -> if :: base[i] -> base[i] = seq[base[i] - 1] :: else fi; i++
  :: else -> break
  od;
  i = 0; j = 0; k = 0; w = 0; lim = 0; s1 = 0
}

inline shift(id) { if :: id > i -> id-- :: else fi }

inline drop_entries() {
  i = entries;
  do
  :: i > 0 ->
     i--;
     if
     :: !HAS(keep, i) ->
        j = i;
        do
        :: j + 1 < entries ->
           hist[j] = hist[j + 1]; ins[j] = ins[j + 1]; prim[j] = prim[j + 1]; base[j] = base[j + 1];
           j++
        :: else -> break
        od;
        entries--;
        hist[entries] = 0; ins[entries] = 0; prim[entries] = 0; base[entries] = 0;
        j = 0;
        do
        :: j < entries -> hist[j] = (hist[j] & ((1 << i) - 1)) | ((hist[j] >> (i + 1)) << i); j++
        :: else -> break
        od;
        shift(cur[A]); shift(cur[B]); shift(reg); shift(prop[A]); shift(prop[B]); shift(word[A]); shift(word[B]);
#ifdef BUG_VOLATILE_PROPOSAL
        shift(flight[A]); shift(flight[B])
#endif
     :: else
     fi
  :: else -> break
  od;
  i = 0;
  do
  :: i < entries -> count(hist[i], k); num[i] = 2 * k; i++
  :: i >= entries && i < ENTRIES -> num[i] = 0; i++
  :: else -> break
  od;
  base[0] = 0;
  i = 0; j = 0; k = 0
}

inline tidy() {
  what_to_keep();
  renumber_writes();
  drop_entries();
  live = 0; keep = 0; fork = 0; untidy = 0
}

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
  reg = flight[s]; flight[A] = 0; flight[B] = 0; moved[A] = FROZEN(A); moved[B] = FROZEN(B); said("the register takes the proposal of %c", s)
}
#else
#ifdef BUG_NEVER_SENT_AGAIN
#define ARRIVES(s) !lost[s]
#else
#define ARRIVES(s) 1
#endif
inline swap_happens(s) {
  FROZEN(s) && !moved[s] && ARRIVES(s) ->
  reg = prop[s]; moved[A] = FROZEN(A); moved[B] = FROZEN(B); said("the register takes the proposal of %c", s)
}
#endif

// The site learns that the register is beyond the revision that it expected.
inline resolve(s) {
  FROZEN(s) && moved[s] ->
  if
#ifdef BUG_FORGETS_OWN
  :: reg == prop[s] -> adopt(s, prop[s]); start[s] = 1
#else
  :: IN_HISTORY(prop[s], reg) -> adopt(s, prop[s]); start[s] = 1
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

// --- the two meet (encounter.h) -----------------------------------------------------------------------------------------

// What the target keeps up to `common` and gets after it is what the source has.
inline equal_by_common(s) {
  i = 0;  // the last common entry
  j = 1;
  do
  :: j < entries -> if :: IN_HISTORY(j, cur[A]) && IN_HISTORY(j, cur[B]) -> i = j :: else fi; j++
  :: else -> break
  od;
  j = i + 1;
  do
  :: j < entries && !IN_HISTORY(j, cur[s]) -> j++
  :: else -> break
  od;
  if :: j < entries -> lim = base[j] :: else -> last_of(data[s], lim) fi;
  last_of(data[O(s)], k);
  if :: k < lim -> lim = k :: else fi;
  w = 0;
  do
  :: w < writes ->
     assert(incomp[O(s)] || seq[w] > lim || HAS(data[A], w) == HAS(data[B], w));
     w++
  :: else -> break
  od;
  i = 0; j = 0; k = 0; w = 0; lim = 0
}

inline resync_from(s) {
  assert(!incomp[s]);
  equal_by_common(s);
  sess = MET; src = s;
  lease[O(s)] = 0; mirr[O(s)] = 0
}

// Both are members of `e`.
inline both_members(e, same) {
  last_of(data[A], i); last_of(data[B], j);
  assert(!(incomp[A] && incomp[B]));
  if
#ifndef BUG_INCOMPLETE_SOURCE
  :: incomp[A] != incomp[B] -> s1 = incomp[A]
#endif
#ifdef BUG_UNPROVEN_SOURCE
  :: else -> if :: unprov[A] || unprov[B] || !same -> s1 = prim[e] :: else -> s2 = 1 fi
#else
  :: else ->
     if
     :: unprov[A] != unprov[B] -> s1 = unprov[A]
     :: unprov[A] && unprov[B] ->
        s1 = prim[e];
        if :: (s1 == A && j > i) || (s1 == B && i > j) -> s1 = O(s1) :: else fi
     :: !unprov[A] && !unprov[B] && same -> s2 = 1
     :: else -> // late: the one that does not know the entry has nothing beyond its base, is told, and then they resume
#ifdef BUG_LATE_IS_TARGET
        s1 = (cur[B] == e)
#else
        last_of(data[(cur[A] == e -> B : A)], i);
        assert(i <= base[e]);
        s2 = 1
#endif
     fi
#endif
  fi;
  i = 0; j = 0;
  if
  :: s2 ->  // resume: what is on its way is completed
     i = data[A] | data[B];
     j = 0;
     do
     :: j < WRITES ->
        k = j + 1;
        do
        :: k < WRITES -> assert(!HAS(i, j) || !HAS(i, k) || seq[j] != seq[k]); k++
        :: else -> break
        od;
        j++
     :: else -> break
     od;
     uns[A] = uns[A] | (i & ~data[A]);
     uns[B] = uns[B] | (i & ~data[B]);
     data[A] = i; data[B] = i; mirr[prim[e]] = i;
     lease[A] = 1; lease[B] = 1; sess = IN_SYNC;
     i = 0; j = 0; k = 0
  :: else ->
     resync_from(s1)
  fi;
  if :: cur[A] != e -> adopt(A, e) :: else fi;  // the one that did not know it is told
  if :: cur[B] != e -> adopt(B, e) :: else fi;
  s1 = 0; s2 = 0
}

inline one_is_ahead(s) {
  if
  :: ins[cur[s]] == BOTH -> both_members(cur[s], 0)
  :: ins[cur[s]] == SET(s) -> resync_from(s)
  :: else -> assert(false)  // adopts
  fi
}

inline meet() {
  sess == NONE && !FROZEN(A) && !FROZEN(B) && (!SOLE(A) || start[A]) && (!SOLE(B) || start[B]) ->
  word[A] = 0; word[B] = 0;
  if
  :: cur[A] == cur[B] ->
     if
     :: ins[cur[A]] == BOTH -> both_members(cur[A], 1)
     :: ins[cur[A]] == SET(A) -> resync_from(A)
     :: ins[cur[A]] == SET(B) -> resync_from(B)
     fi
  :: else ->
     if
     :: IN_HISTORY(cur[B], cur[A]) -> one_is_ahead(A)
     :: else ->
        assert(IN_HISTORY(cur[A], cur[B]));  // else: a fork
        one_is_ahead(B)
     fi
  fi;
  untidy = 1; said("they meet", A)
}

// --- resynchronisation --------------------------------------------------------------------------------------------------

inline begin_copy() {
  sess == MET ->
#ifndef BUG_UNSTABLE_SOURCE
  uns[src] = 0;  // before the other copy of what it has is given up
#endif
  incomp[O(src)] = 1;
  data[O(src)] = data[A] & data[B]; uns[O(src)] = uns[O(src)] & data[O(src)];
  sess = COPYING; said("copying to %c begins", O(src))
}

inline end_copy() {
  sess == COPYING ->
  data[O(src)] = data[src]; uns[O(src)] = 0;
  incomp[O(src)] = 0; adopt(O(src), cur[src]);
#ifdef BUG_PROVEN_UNTOLD
  unprov[O(src)] = 0;
#endif
  sess = EQUAL; untidy = 1; said("%c is equal", O(src))
}

inline record_both() {
#ifdef BUG_RECORDS_EARLY
  sess == EQUAL && !FROZEN(src) && !PROMISED(src) && MAY_SWAP(src) ->
#else
  sess == EQUAL && data[A] == data[B] && !FROZEN(src) && !PROMISED(src) && MAY_SWAP(src) ->
#endif
  uns[O(src)] = 0;
  record(src, src, BOTH); sess = RECORDING; untidy = 1; said("%c records both", src)
}

// From here on the source counts the other one as serving.
inline say_it() {
  (sess == RECORDING || sess == HANDING) && !FROZEN(src) ->
  word[O(src)] = cur[src]; lease[O(src)] = 1;
  sess = TELLING; said("%c says what is recorded", src)
}

inline hear_it(s) {
  word[s] != 0 ->
  assert(!FROZEN(s) && IN_HISTORY(cur[s], word[s]));
  adopt(s, word[s]); word[s] = 0;
  unprov[s] = 0;
  if
  :: sess == TELLING -> lease[src] = 1; unprov[src] = 0; sess = IN_SYNC; src = 0
  :: else
  fi;
  untidy = 1; said("%c is told", s)
}

// --- planned switchover -------------------------------------------------------------------------------------------------

inline give_up(s) {
  MAY_FAIL sess == IN_SYNC && PRIMARY(s) && data[A] == data[B] && MAY_SWAP(s) &&
#ifndef BUG_PROMISE_TO_TAKE_OVER_ONLY
    !PROMISED(s) &&
#endif
    1 ->
  uns[O(s)] = 0;
  record(s, O(s), BOTH); sess = HANDING; src = s; untidy = 1; said("%c gives up", s)
}

// --- writes -------------------------------------------------------------------------------------------------------------

#define GIVES_BOTH(s) (PRIMARY(s) && ins[cur[s]] == BOTH && !unprov[s] && !incomp[s])
#define GIVES_SOLE(s) (SOLE(s) && start[s])

inline next_seq(s) {
  last_of(data[s], seq[writes]);
  if
  :: seq[writes] / 8 == num[cur[s]] -> seq[writes] = seq[writes] + 1
  :: else -> seq[writes] = 8 * num[cur[s]] + 1
  fi
}

// An effect, written here first. The primary may not have noticed yet that the other site is gone.
inline give(s) {
  writes < WRITES && !FROZEN(s) && (mirr[s] & ~data[s]) == 0 &&
    (GIVES_SOLE(s) || (GIVES_BOTH(s) && (sess == IN_SYNC || (sess == NONE && lease[s])))) ->
  next_seq(s);
  data[s] = data[s] | (1 << writes); uns[s] = uns[s] | (1 << writes);
  writes++; said("%c gives an effect", s)
}

// An effect, written there first.
inline give_there_first(s) {
  writes < WRITES && !FROZEN(s) && GIVES_BOTH(s) && sess == IN_SYNC && data[A] == data[B] ->
  next_seq(s);
  data[O(s)] = data[O(s)] | (1 << writes); uns[O(s)] = uns[O(s)] | (1 << writes); mirr[s] = mirr[s] | (1 << writes);
  writes++; said("%c gives an effect, written there first", s)
}
inline write_here(s) {
  !FROZEN(s) && (mirr[s] & ~data[s]) != 0 ->
  uns[s] = uns[s] | (mirr[s] & ~data[s]); data[s] = data[s] | mirr[s]; said("%c writes here what is there", s)
}

// The other site writes effect `n`, in order; seqs rise with n among what it lacks.
inline mirror(s, n) {
  PRIMARY(s) && !FROZEN(s) && HAS(data[s] & ~data[O(s)], n) && (data[s] & ~data[O(s)] & ((1 << n) - 1)) == 0 &&
    (sess == IN_SYNC || (sess == EQUAL && src == s)) ->
  data[O(s)] = data[O(s)] | (1 << n); uns[O(s)] = uns[O(s)] | (1 << n);
  if :: sess == IN_SYNC -> mirr[s] = mirr[s] | (1 << n) :: else fi;
  said("%c mirrors", s)
}

#ifdef BUG_NO_FENCE
#define FENCE_OVER(s) 1
#else
#define FENCE_OVER(s) (!lease[O(s)])
#endif
#ifdef BUG_ACK_UNMIRRORED
#define MIRRORED(s, n) 1
#else
#define MIRRORED(s, n) HAS(mirr[s], n)
#endif
#ifdef BUG_ACK_UNRECORDED
#define MAY_ACK_SOLE(s) ((GIVES_SOLE(s) && !FROZEN(s)) || (FROZEN(s) && ins[prop[s]] == SET(s)))
#else
#define MAY_ACK_SOLE(s) (GIVES_SOLE(s) && !FROZEN(s))
#endif
#define MAY_ACK_BOTH(s, n) (GIVES_BOTH(s) && !FROZEN(s) && MIRRORED(s, n))

inline acknowledge(s, n) {
  HAS(data[s], n) && !HAS(acked, n) &&
    (MAY_ACK_BOTH(s, n) || (MAY_ACK_SOLE(s) && FENCE_OVER(s) && !(sess == EQUAL && !HAS(data[O(s)], n)))) ->
  // All acknowledgements are given in the line that leads to the membership in force, and alone by the one who is alone in it.
  in_force(i);
  assert(IN_HISTORY(cur[s], i));
  assert(MAY_ACK_BOTH(s, n) || ins[i] == SET(s));
  i = 0;
  acked = acked | (1 << n);
  if :: ins[cur[s]] == BOTH -> acked_both = acked_both | (1 << n) :: else fi;
  said("%c acknowledges", s)
}

// --- all of it ----------------------------------------------------------------------------------------------------------

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
