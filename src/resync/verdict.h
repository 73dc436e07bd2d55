// verdict.h - which of two copies of a block counts (C6, C8): a pure function.
//
//   bytes      here (primary)    there             then
//   equal      good              good              nothing to do
//   any        good              does not match    the primary's copy goes there
//   any        does not match    good              the other site's copy goes here
//   different  good              good              the primary's copy goes there, and people are told
//   any        does not match    does not match    neither is known to be right: both stay
//
// Good: the bytes match the checksum that this site has for them.
#pragma once

namespace lockstep::resync {

struct Copies {
  bool equal = false;
  bool good_here = false;
  bool good_there = false;
};

enum class Verdict { same, ours, theirs, conflict, neither };
[[nodiscard]] Verdict decide(Copies copies);

}  // namespace lockstep::resync
