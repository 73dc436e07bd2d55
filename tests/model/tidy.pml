// tidy.pml - states that no step can ever tell from each other become the same.
//
// Ids of memberships that somebody may still act on stay, with where their histories part and the first entries after that; the
// others go, and the numbers of the rest close up. seqs and bases keep their order, and what they are to those entries. That
// makes the number of states finite, with any number of memberships one after the other.

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
