#include "resync/verdict.h"

namespace lockstep::resync {

Verdict decide(Copies copies) {
  if (!copies.good_here && !copies.good_there) return Verdict::neither;
  if (!copies.good_here) return Verdict::theirs;
  if (!copies.good_there) return Verdict::ours;
  return copies.equal ? Verdict::same : Verdict::conflict;
}

}  // namespace lockstep::resync
