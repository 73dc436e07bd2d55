// writes.pml - effects, and when they are acknowledged.

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
