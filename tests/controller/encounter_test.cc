// Every row of the table of encounters, and over all small cases: both sites decide the same, nobody is made equal to what
// may miss acknowledged writes, and two sites that both changed something apart never go on.
#include "controller/encounter.h"

#include "catch.h"
#include <functional>
#include <map>

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

Seq in_epoch(std::uint64_t epoch, std::uint64_t n) { return Seq{first_seq_of(Epoch{epoch}).value + n}; }

EpochEntry entry(std::uint64_t number, std::uint8_t name, SiteId primary, SiteSet in_sync, Seq base = {}, bool forced = false) {
  return {Epoch{number}, id(name), primary, in_sync, base, forced};
}

Membership made(std::vector<EpochEntry> history) {
  Result<Membership> m = Membership::make(std::move(history));
  REQUIRE(m);
  return *m;
}

const EpochEntry kFirst = entry(1, 1, kA, kBoth);
const EpochEntry kMet = entry(2, 2, kA, kBoth);

Party party(SiteId site, std::vector<EpochEntry> history, Seq last) {
  Party p{.site = site, .membership = made(std::move(history)), .store = id(static_cast<std::uint8_t>(100 + site.value)),
          .stores = {id(100), id(101)}, .wrote = {}, .last = last};
  return p;
}

/// What both decide, which must be the same.
Encounter both(const Party& a, const Party& b) {
  const Encounter one = decide(a, b), other = decide(b, a);
  REQUIRE(one.rule == other.rule);
  REQUIRE(one.relation == other.relation);
  REQUIRE(one.source == other.source);
  REQUIRE(one.common == other.common);
  return one;
}

}  // namespace

TEST_CASE("two fresh areas begin together") {
  Party a = party(kA, {kFirst}, {}), b = party(kB, {kFirst}, {});
  a.stores = b.stores = {};
  const Encounter e = both(a, b);
  REQUIRE(e.rule == Rule::fresh_pair);
  REQUIRE(e.relation == Relation::fresh);
  REQUIRE(e.source == kA);
}

TEST_CASE("a fresh area is a target where none was known, and refused where another was") {
  Party used = party(kA, {kFirst, kMet}, in_epoch(2, 5)), blank = party(kB, {kFirst}, {});
  blank.store = id(77);
  blank.stores = {};
  REQUIRE(both(used, blank).rule == Rule::new_store);
  REQUIRE(both(used, blank).relation == Relation::refused);
  used.accepts_new_store = true;
  REQUIRE(both(used, blank).rule == Rule::blank);
  used.accepts_new_store = false;
  used.stores[1] = Uuid{};
  const Encounter e = both(used, blank);
  REQUIRE(e.rule == Rule::blank);
  REQUIRE(e.relation == Relation::resync);
  REQUIRE(e.source == kA);
  REQUIRE(e.common == Seq{});
}

TEST_CASE("a used area that is not the one known of its site is refused") {
  const Party a = party(kA, {kFirst, kMet}, in_epoch(2, 5));
  Party b = party(kB, {kFirst, kMet}, in_epoch(2, 5));
  b.store = id(77);
  REQUIRE(both(a, b).rule == Rule::foreign_store);
}

TEST_CASE("a site without an area works through the only member, and through nobody else") {
  const EpochEntry alone = entry(3, 3, kA, SiteSet{kA});
  Party whole = party(kA, {kFirst, kMet, alone}, in_epoch(3, 5)), bare = party(kB, {kFirst}, {});
  bare.diskless = true;
  bare.store = id(77);
  bare.stores = {};
  REQUIRE(both(whole, bare).rule == Rule::diskless);
  REQUIRE(both(whole, bare).relation == Relation::resync);
  REQUIRE(both(whole, bare).source == kA);
  REQUIRE(both(whole, bare).common == Seq{});
  SECTION("one that was told of the membership is brought up to date") {
    bare.membership = made({kFirst, kMet, alone});
    bare.last = in_epoch(3, 2);
    REQUIRE(both(whole, bare).rule == Rule::diskless);
    REQUIRE(both(whole, bare).common == in_epoch(3, 2));
    whole.membership = made({kFirst, kMet, alone, entry(4, 4, kA, SiteSet{kA}, in_epoch(3, 1))});
    REQUIRE(both(whole, bare).common == in_epoch(3, 1));
  }
  SECTION("not before the other one goes on alone") { whole.membership = made({kFirst, kMet}); }
  SECTION("not through one that is out itself") { whole.membership = made({kFirst, kMet, entry(3, 3, kB, SiteSet{kB})}); }
  SECTION("not through one that was never used") { whole.membership = made({kFirst}); }
  SECTION("not through one that may miss something") { whole.unproven = true; }
  SECTION("not through a mixture") { whole.incomplete = true; }
  SECTION("not through one that discards what it has") { whole.discards = true; }
  SECTION("not through another one without an area") { whole.diskless = true; }
  const bool refused = both(whole, bare).rule == Rule::no_source;
  REQUIRE(refused == !(carries(whole)));
  REQUIRE((both(whole, bare).relation == Relation::refused) == refused);
}

TEST_CASE("histories without a common entry are unrelated") {
  REQUIRE(both(party(kA, {kMet}, {}), party(kB, {entry(2, 9, kA, kBoth)}, {})).rule == Rule::unrelated);
}

TEST_CASE("two members in the same epoch") {
  Party a = party(kA, {kFirst, kMet}, in_epoch(2, 5)), b = party(kB, {kFirst, kMet}, in_epoch(2, 7));
  REQUIRE(both(a, b).rule == Rule::resume);
  REQUIRE(both(a, b).source == kA);
  a.unproven = true;
  REQUIRE(both(a, b).rule == Rule::proven_first);
  REQUIRE(both(a, b).source == kB);
  REQUIRE(both(a, b).common == in_epoch(2, 5));
  b.unproven = true;
  REQUIRE(both(a, b).rule == Rule::both_lost_power);
  REQUIRE(both(a, b).source == kB);  // it has more
  b.last = in_epoch(2, 5);
  REQUIRE(both(a, b).source == kA);  // a tie: the primary
  a.incomplete = true;
  REQUIRE(both(a, b).rule == Rule::complete_first);
  REQUIRE(both(a, b).source == kB);
  b.incomplete = true;
  REQUIRE(both(a, b).rule == Rule::both_incomplete);
}

TEST_CASE("the only member is the source, whatever happened to it") {
  const EpochEntry alone = entry(3, 3, kA, SiteSet{kA}, in_epoch(2, 5));
  Party a = party(kA, {kFirst, kMet, alone}, in_epoch(3, 1)), b = party(kB, {kFirst, kMet, alone}, in_epoch(2, 5));
  for (const bool unproven : {false, true}) {
    a.unproven = unproven;
    const Encounter e = both(a, b);
    REQUIRE(e.rule == Rule::sole_member);
    REQUIRE(e.source == kA);
    REQUIRE(e.common == in_epoch(2, 5));
  }
}

TEST_CASE("a site that was removed without knowing it takes back what the others never had") {
  const EpochEntry alone = entry(3, 3, kB, SiteSet{kB}, in_epoch(2, 5));
  const Party b = party(kB, {kFirst, kMet, alone}, in_epoch(3, 9));
  const Encounter more = both(party(kA, {kFirst, kMet}, in_epoch(2, 8)), b);
  REQUIRE(more.rule == Rule::behind);
  REQUIRE(more.source == kB);
  REQUIRE(more.common == in_epoch(2, 5));
  REQUIRE(both(party(kA, {kFirst, kMet}, in_epoch(2, 3)), b).common == in_epoch(2, 3));
}

TEST_CASE("a member that has not heard of it yet") {
  const EpochEntry alone = entry(3, 3, kA, SiteSet{kA}, in_epoch(2, 5)), again = entry(4, 4, kA, kBoth, in_epoch(3, 6));
  Party a = party(kA, {kFirst, kMet, alone, again}, in_epoch(3, 6)), b = party(kB, {kFirst, kMet, alone}, in_epoch(3, 6));
  REQUIRE(both(a, b).rule == Rule::late);
  REQUIRE(both(a, b).source == kA);
  a.unproven = true;
  REQUIRE(both(a, b).rule == Rule::proven_first);
  REQUIRE(both(a, b).source == kB);
}

TEST_CASE("a site takes over what the arbiter recorded of it, unless its area is older than that") {
  const EpochEntry alone = entry(3, 3, kA, SiteSet{kA}, in_epoch(2, 5));
  const Party b = party(kB, {kFirst, kMet, alone}, in_epoch(2, 5));
  REQUIRE(both(party(kA, {kFirst, kMet}, in_epoch(2, 6)), b).rule == Rule::adopts);
  REQUIRE(both(party(kA, {kFirst, kMet}, in_epoch(2, 6)), b).source == kA);
  REQUIRE(both(party(kA, {kFirst, kMet}, in_epoch(2, 4)), b).rule == Rule::rolled_back);
}

TEST_CASE("an entry of an epoch without effects says nothing of the area of whom it leaves") {
  // B recorded at its orderly end that A goes on; in epoch 4 nobody had given an effect, so its base is none of them.
  const EpochEntry again = entry(4, 4, kB, kBoth, in_epoch(3, 6)), left = entry(5, 5, kA, SiteSet{kA}, Seq{first_seq_of(Epoch{4}).value - 1});
  const EpochEntry alone = entry(3, 3, kB, SiteSet{kB}, in_epoch(2, 5));
  const Party b = party(kB, {kFirst, kMet, alone, again, left}, in_epoch(3, 6));
  REQUIRE(both(party(kA, {kFirst, kMet, alone, again}, in_epoch(3, 6)), b).rule == Rule::adopts);
  REQUIRE(both(party(kA, {kFirst, kMet, alone, again}, in_epoch(3, 5)), b).rule == Rule::rolled_back);
  const EpochEntry forced = entry(5, 6, kA, SiteSet{kA}, Seq{0}, true);
  REQUIRE(both(party(kA, {kFirst, kMet, alone, again}, in_epoch(3, 5)), party(kB, {kFirst, kMet, alone, again, forced}, in_epoch(3, 6))).rule ==
          Rule::adopts);
}

TEST_CASE("forks") {
  const EpochEntry a_alone = entry(3, 3, kA, SiteSet{kA}, in_epoch(2, 5));
  const EpochEntry b_alone = entry(3, 4, kB, SiteSet{kB}, in_epoch(2, 5), true);
  Party a = party(kA, {kFirst, kMet, a_alone}, in_epoch(2, 5)), b = party(kB, {kFirst, kMet, b_alone}, in_epoch(2, 5));
  a.wrote = b.wrote = Epoch{2};
  REQUIRE(both(a, b).rule == Rule::fork_no_change);
  REQUIRE(both(a, b).source == kA);  // the other one was forced
  b.wrote = Epoch{3};
  b.last = in_epoch(3, 2);
  REQUIRE(both(a, b).rule == Rule::fork_one_side);
  REQUIRE(both(a, b).source == kB);
  a.wrote = Epoch{3};
  a.last = in_epoch(3, 1);
  REQUIRE(both(a, b).rule == Rule::diverged);
  REQUIRE(both(a, b).relation == Relation::diverged);
}

TEST_CASE("what a site has of its own since a fork") {
  const EpochEntry a_alone = entry(3, 3, kA, SiteSet{kA}, in_epoch(2, 5));
  const EpochEntry b_forced = entry(3, 4, kB, SiteSet{kB}, Seq{0}, true);
  const Party a = party(kA, {kFirst, kMet, a_alone}, in_epoch(3, 1)), b = party(kB, {kFirst, kMet, b_forced}, in_epoch(3, 2));
  REQUIRE(fork_of(a, b) == in_epoch(2, 5));
  REQUIRE(fork_of(b, a).value == first_seq_of(Epoch{3}).value - 1);  // what of earlier epochs it lacks is not known
  const Party behind = party(kA, {kFirst, kMet}, in_epoch(2, 5));
  REQUIRE(fork_of(behind, b).value == first_seq_of(Epoch{2}).value - 1);
}

TEST_CASE("what the common epoch had is not taken back for one who was forced without having all of it") {
  const EpochEntry alone = entry(3, 3, kA, SiteSet{kA}, in_epoch(2, 5));
  const EpochEntry forced = entry(4, 4, kB, SiteSet{kB}, Seq{0}, true);
  Party a = party(kA, {kFirst, kMet, alone}, in_epoch(3, 2)), b = party(kB, {kFirst, kMet, alone, forced}, in_epoch(2, 5));
  a.wrote = Epoch{2};
  REQUIRE(both(a, b).rule == Rule::behind);
  a.wrote = Epoch{3};
  REQUIRE(both(a, b).rule == Rule::diverged);
  b.discards = true;
  REQUIRE(both(a, b).rule == Rule::fork_one_side);
  REQUIRE(both(a, b).source == kA);
  REQUIRE(both(a, b).common == Seq{0});
  a.incomplete = true;
  REQUIRE(both(a, b).rule == Rule::diverged);
  a.incomplete = false;
  a.discards = true;
  REQUIRE(both(a, b).rule == Rule::behind);
  REQUIRE(both(a, b).source == kB);
}

TEST_CASE("what an administrator discards counts as not written") {
  Party a = party(kA, {kFirst, kMet, entry(3, 3, kA, SiteSet{kA}, in_epoch(2, 5))}, in_epoch(3, 5));
  Party b = party(kB, {kFirst, kMet, entry(3, 4, kB, SiteSet{kB}, in_epoch(2, 5), true)}, in_epoch(3, 2));
  a.wrote = b.wrote = Epoch{3};
  REQUIRE(both(a, b).rule == Rule::diverged);
  a.discards = true;
  REQUIRE(both(a, b).rule == Rule::fork_one_side);
  REQUIRE(both(a, b).source == kB);
}

TEST_CASE("the common point is the lowest of all that the source's later entries count") {
  const EpochEntry third = entry(3, 3, kA, SiteSet{kA}, in_epoch(2, 5)), fourth = entry(4, 4, kA, SiteSet{kA}, in_epoch(2, 3));
  const Party a = party(kA, {kFirst, kMet, third, fourth}, in_epoch(4, 1)), b = party(kB, {kFirst, kMet}, in_epoch(2, 8));
  REQUIRE(both(a, b).common == in_epoch(2, 3));
}

TEST_CASE("the common point of a fork is no higher than what the target had when it went on by itself") {
  // The source has one effect of the common epoch more, which counts: it was the primary, and completed it alone.
  Party source = party(kA, {kFirst, kMet, entry(3, 3, kA, SiteSet{kA}, in_epoch(2, 6))}, in_epoch(3, 4));
  Party target = party(kB, {kFirst, kMet, entry(3, 4, kB, SiteSet{kB}, in_epoch(2, 5), true)}, in_epoch(3, 9));
  source.wrote = target.wrote = Epoch{3};
  target.discards = true;
  const Encounter e = both(source, target);
  REQUIRE(e.rule == Rule::fork_one_side);
  REQUIRE(e.source == kA);
  REQUIRE(e.common == in_epoch(2, 5));
}

TEST_CASE("over all small cases both sites decide the same, and never against the promises") {
  // Histories: up to two entries behind the common one, made by either site, each with any in-sync set.
  std::vector<std::vector<EpochEntry>> histories;
  const std::vector<SiteSet> sets = {SiteSet{kA}, SiteSet{kB}, kBoth};
  histories.push_back({kFirst});
  histories.push_back({kFirst, kMet});
  std::uint8_t name = 10;
  for (const SiteSet& first : sets) {
    for (const SiteId primary : {kA, kB}) {
      if (!first.has(primary)) continue;
      const EpochEntry third = entry(3, name++, primary, first, in_epoch(2, 4));
      histories.push_back({kFirst, kMet, third});
      for (const SiteSet& second : sets) {
        const SiteId next = second.has(primary) ? primary : primary == kA ? kB : kA;
        histories.push_back({kFirst, kMet, third, entry(4, name++, next, second, in_epoch(3, 4))});
      }
    }
  }
  const std::vector<Seq> lasts = {Seq{}, in_epoch(2, 3), in_epoch(2, 4), in_epoch(2, 6), in_epoch(3, 4), in_epoch(4, 1)};
  std::map<Rule, int> met;
  for (const auto& ha : histories) {
    for (const auto& hb : histories) {
      for (const Seq last_a : lasts) {
        for (const Seq last_b : lasts) {
          for (int bits = 0; bits < 64; ++bits) {
            Party a = party(kA, ha, last_a), b = party(kB, hb, last_b);
            a.unproven = bits & 1;
            b.unproven = bits & 2;
            a.incomplete = bits & 4;
            b.incomplete = bits & 8;
            a.wrote = bits & 16 ? ha.back().number : Epoch{2};
            b.wrote = bits & 32 ? hb.back().number : Epoch{2};
            const Encounter one = decide(a, b), other = decide(b, a);
            const bool same = one.rule == other.rule && one.relation == other.relation && one.source == other.source &&
                              one.common == other.common;
            if (!same) FAIL("the two sites decide differently: " << name_of(one.rule) << ", " << name_of(other.rule));
            ++met[one.rule];
            const bool both_members = ha.back().id == hb.back().id && ha.back().in_sync == kBoth;
            if (one.relation == Relation::resync) {
              const Party& source = one.source == kA ? a : b;
              const Party& target = one.source == kA ? b : a;
              // M6: between two members the one that may miss acknowledged writes is no source of the one that does not.
              if (both_members && source.unproven && !target.unproven && !target.incomplete) FAIL("an unproven source");
              if (both_members && source.incomplete) FAIL("an incomplete source");
              // Nobody is made equal to one who is no member of the newest entry that either knows, but for forks.
              const bool fork = one.rule == Rule::fork_one_side || one.rule == Rule::fork_no_change;
              const auto& newest = ha.back().number > hb.back().number ? ha.back() : hb.back();
              if (!fork && one.rule != Rule::blank && !newest.in_sync.has(source.site)) FAIL("a source that is no member");
              if (one.common > target.last) FAIL("common is more than the target has");
            }
            if (one.relation == Relation::resume && !(both_members && !a.unproven && !b.unproven)) FAIL("resumed");
            const auto common = a.membership.last_common(b.membership);
            const bool forked = common && common->here + 1 < ha.size() && common->there + 1 < hb.size();
            if (forked && ha.size() > 1 && hb.size() > 1) {
              const Epoch at = ha[common->here].number;
              if ((a.wrote > at && b.wrote > at) != (one.relation == Relation::diverged)) FAIL("a fork");
            }
          }
        }
      }
    }
  }
  for (const Rule rule : {Rule::fresh_pair, Rule::blank, Rule::resume, Rule::proven_first, Rule::both_lost_power,
                          Rule::complete_first, Rule::both_incomplete, Rule::sole_member, Rule::behind, Rule::late, Rule::adopts,
                          Rule::rolled_back, Rule::fork_one_side, Rule::fork_no_change, Rule::diverged}) {
    INFO(name_of(rule));
    CHECK(met[rule] > 0);
  }
}
