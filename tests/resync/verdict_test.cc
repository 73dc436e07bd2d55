#include "catch.h"
#include "resync/verdict.h"

using namespace lockstep::resync;

TEST_CASE("which of two copies of a block counts: all rows") {
  struct Row {
    Copies copies;
    Verdict verdict;
  };
  const Row rows[] = {
      {{.equal = true, .good_here = true, .good_there = true}, Verdict::same},
      {{.equal = false, .good_here = true, .good_there = true}, Verdict::conflict},
      {{.equal = true, .good_here = true, .good_there = false}, Verdict::ours},
      {{.equal = false, .good_here = true, .good_there = false}, Verdict::ours},
      {{.equal = true, .good_here = false, .good_there = true}, Verdict::theirs},
      {{.equal = false, .good_here = false, .good_there = true}, Verdict::theirs},
      {{.equal = true, .good_here = false, .good_there = false}, Verdict::neither},
      {{.equal = false, .good_here = false, .good_there = false}, Verdict::neither},
  };
  for (const Row& row : rows) {
    INFO("equal " << row.copies.equal << ", good here " << row.copies.good_here << ", there " << row.copies.good_there);
    CHECK(decide(row.copies) == row.verdict);
  }
}
