// meeting.pml - what two sites are to each other (encounter.h), resynchronisation, and planned switchover.

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
  :: sess == TELLING -> lease[A] = 1; lease[B] = 1; unprov[src] = 0; sess = IN_SYNC; src = 0
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
