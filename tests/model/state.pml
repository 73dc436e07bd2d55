// state.pml - what there is, what must be true of it after every step, and small pieces that several steps use.

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
byte seq[WRITES];        // of each write, see next_seq
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
  printf("     %c: entry %d (in_sync %d, primary %d) prop %d moved %d unproven %d incomplete %d",
         'A' + s, cur[s], ins[cur[s]], prim[cur[s]], prop[s], moved[s], unprov[s], incomp[s]);
  printf(" data %x unstable %x lease %d start %d mirrored %x\n", data[s], uns[s], lease[s], start[s], mirr[s])
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
  // Some member of the membership in force has every acknowledged write.
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
  adopt(s, entries - 1); start[s] = SOLE(s)
#else
  prop[s] = entries - 1; moved[s] = 0
#endif
}
