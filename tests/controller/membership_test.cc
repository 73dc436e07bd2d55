// Histories of memberships: what is one, and what two of them have in common.
#include "controller/membership.h"

#include "catch.h"

using namespace lockstep;
using namespace lockstep::controller;

namespace {

const SiteId kA{0}, kB{1};
const SiteSet kBoth{kA, kB};

Uuid id(std::uint8_t n) {
  Uuid uuid;
  uuid.bytes[0] = n;
  return uuid;
}

EpochEntry entry(std::uint64_t number, std::uint8_t name, SiteId primary = kA, SiteSet in_sync = kBoth, Seq base = {}) {
  return {Epoch{number}, id(name), primary, in_sync, base, false};
}

Membership made(std::vector<EpochEntry> history) {
  Result<Membership> m = Membership::make(std::move(history));
  REQUIRE(m);
  return *m;
}

}  // namespace

TEST_CASE("seqs of a later epoch are above all of an earlier one") {
  for (std::uint64_t e = 1; e < 100; ++e) {
    REQUIRE(epoch_of(first_seq_of(Epoch{e})) == Epoch{e});
    REQUIRE(first_seq_of(Epoch{e + 1}).value - first_seq_of(Epoch{e}).value == std::uint64_t{1} << kSeqEpochShift);
    REQUIRE(epoch_of(Seq{first_seq_of(Epoch{e + 1}).value - 2}) == Epoch{e});
  }
}

TEST_CASE("a set of sites holds what was added") {
  for (std::uint32_t bits = 0; bits < 16; ++bits) {
    SiteSet set;
    for (std::uint8_t i = 0; i < 4; ++i) {
      if (bits >> i & 1) set.add(SiteId{i});
    }
    REQUIRE(set.bits() == bits);
    REQUIRE(set.empty() == (bits == 0));
    for (std::uint8_t i = 0; i < 40; ++i) REQUIRE(set.has(SiteId{i}) == (i < 4 && (bits >> i & 1)));
    set.remove(SiteId{1});
    REQUIRE(set == SiteSet::from_bits(bits & ~2u));
  }
}

TEST_CASE("a fresh history is the same at every site") {
  const Membership a = Membership::fresh(id(9), kA, kBoth), b = Membership::fresh(id(9), kA, kBoth);
  REQUIRE(a.history() == b.history());
  REQUIRE(a.fresh());
  REQUIRE(a.has(kA));
  REQUIRE(a.has(kB));
  REQUIRE_FALSE(a.sole(kA));
}

TEST_CASE("what is no history is refused") {
  REQUIRE_FALSE(Membership::make({}));
  REQUIRE_FALSE(Membership::make({entry(2, 1), entry(2, 2)}));
  REQUIRE_FALSE(Membership::make({entry(3, 1), entry(2, 2)}));
  REQUIRE_FALSE(Membership::make({entry(0, 1)}));
  REQUIRE_FALSE(Membership::make({entry(1, 0)}));
  REQUIRE_FALSE(Membership::make({entry(1, 1, kB, SiteSet{kA})}));
  REQUIRE_FALSE(Membership::make({entry(std::uint64_t{1} << 24, 1)}));
  REQUIRE_FALSE(Membership::make({entry(2, 1, kA, kBoth, first_seq_of(Epoch{2}))}));
  REQUIRE(Membership::make({entry(2, 1, kA, kBoth, Seq{first_seq_of(Epoch{2}).value - 1})}));
  REQUIRE_FALSE(Membership::make(std::vector<EpochEntry>(kHistoryMax + 1)));
}

TEST_CASE("the next entry follows the one in force, and the oldest go first") {
  Membership m = Membership::fresh(id(9), kA, kBoth);
  for (std::size_t i = 0; i < kHistoryMax + 5; ++i) {
    m.append(m.next(id(static_cast<std::uint8_t>(i % 200 + 1)), kB, SiteSet{kB}, Seq{i}));
    REQUIRE(m.history().size() == std::min(i + 2, kHistoryMax));
  }
  REQUIRE(m.in_force().number == Epoch{kHistoryMax + 6});
  REQUIRE(m.sole(kB));
  REQUIRE(Membership::make(m.history()));
}

TEST_CASE("the last common entry is found whatever stands behind it") {
  const Membership trunk = made({entry(1, 1), entry(2, 2), entry(5, 5)});
  const auto same = trunk.last_common(trunk);
  REQUIRE(same);
  REQUIRE(same->here == 2);
  REQUIRE(same->there == 2);
  const auto longer = trunk.last_common(made({entry(1, 1), entry(2, 2), entry(5, 5), entry(6, 6), entry(7, 7)}));
  REQUIRE(longer);
  REQUIRE(longer->here == 2);
  REQUIRE(longer->there == 2);
  const auto fork = trunk.last_common(made({entry(1, 1), entry(2, 2), entry(5, 15), entry(6, 16)}));
  REQUIRE(fork);
  REQUIRE(fork->here == 1);
  REQUIRE(fork->there == 1);
  const auto trimmed = trunk.last_common(made({entry(2, 2), entry(3, 13)}));
  REQUIRE(trimmed);
  REQUIRE(trimmed->here == 1);
  REQUIRE(trimmed->there == 0);
  REQUIRE_FALSE(trunk.last_common(made({entry(1, 31), entry(2, 32)})));
  REQUIRE_FALSE(trunk.last_common(made({entry(6, 6)})));
}
