// The status table over all small cases: every sequence of up to five calls on two objects with few ranges.
#include "controller/status_table.h"

#include "catch.h"
#include <set>

using namespace lockstep;
using namespace lockstep::controller;

namespace {

wire::Turn blocks(std::uint64_t object, std::uint64_t first, std::uint64_t count) {
  wire::Turn turn;
  turn.object = InodeId{object};
  turn.first = first;
  turn.count = count;
  return turn;
}

/// A model that looks at everything: granted if no earlier claim that is still there conflicts.
struct Model {
  struct Item {
    ClaimId id;
    StatusTable::Claim claim;
  };
  std::vector<Item> items;

  static bool conflict(const StatusTable::Claim& a, const StatusTable::Claim& b) {
    for (const auto& x : a.turns) {
      for (const auto& y : b.turns) {
        if (overlap(x, y)) return true;
      }
    }
    return false;
  }
  [[nodiscard]] bool granted(std::size_t index) const {
    for (std::size_t i = 0; i < index; ++i) {
      if (conflict(items[i].claim, items[index].claim)) return false;
    }
    return true;
  }
  [[nodiscard]] std::set<ClaimId> all_granted() const {
    std::set<ClaimId> ids;
    for (std::size_t i = 0; i < items.size(); ++i) {
      if (granted(i)) ids.insert(items[i].id);
    }
    return ids;
  }
};

const std::vector<StatusTable::Claim>& kinds() {
  static const std::vector<StatusTable::Claim> all = {
      {{blocks(7, 0, 2)}},
      {{blocks(7, 1, 1)}},
      {{blocks(7, 0, ~0ull)}},
      {{blocks(7, 2, 2)}},
      {{blocks(7, 3, ~0ull), blocks(8, 0, 1)}},
      {{blocks(8, 0, ~0ull)}},
  };
  return all;
}

/// Runs calls: 0..5 take that kind, 6..8 release the (n-6)th claim in the table.
void run(const std::vector<int>& calls) {
  StatusTable table(16);
  Model model;
  for (const int call : calls) {
    const std::set<ClaimId> before = model.all_granted();
    if (call < 6) {
      const StatusTable::Claim& claim = kinds()[static_cast<std::size_t>(call)];
      const Result<StatusTable::Taken> taken = table.take(claim);
      REQUIRE(taken);
      model.items.push_back({taken->id, claim});
      REQUIRE((taken->verdict == Verdict::granted) == model.granted(model.items.size() - 1));
    } else {
      const std::size_t index = static_cast<std::size_t>(call - 6);
      if (index >= model.items.size()) return;
      const ClaimId id = model.items[index].id;
      const std::span<const ClaimId> woken = table.release(id);
      model.items.erase(model.items.begin() + static_cast<std::ptrdiff_t>(index));
      std::set<ClaimId> expected = model.all_granted();
      for (const ClaimId b : before) expected.erase(b);
      REQUIRE(std::set<ClaimId>(woken.begin(), woken.end()) == expected);
      REQUIRE(std::is_sorted(woken.begin(), woken.end()));
    }
    for (const Model::Item& item : model.items) {
      const std::size_t index = static_cast<std::size_t>(&item - model.items.data());
      REQUIRE(table.granted(item.id) == model.granted(index));
    }
    table.check_invariants();
  }
}

}  // namespace

TEST_CASE("every sequence of five calls grants in order and never two that conflict") {
  std::vector<int> calls(5);
  for (int code = 0; code < 9 * 9 * 9 * 9 * 9; ++code) {
    int rest = code;
    for (int& call : calls) {
      call = rest % 9;
      rest /= 9;
    }
    run(calls);
  }
}

TEST_CASE("status names what a range is") {
  StatusTable table(16);
  REQUIRE(table.status(blocks(7, 0, 1), SiteId{0}) == Status::neither);
  table.set_reservations({{.site = SiteId{1}, .object = InodeId{7}, .turns = {blocks(7, 0, 4)}}});
  REQUIRE(table.status(blocks(7, 0, 1), SiteId{0}) == Status::reserved);
  REQUIRE(table.status(blocks(7, 0, 1), SiteId{1}) == Status::neither);
  const auto exclusive = table.take({{blocks(7, 0, 1)}});
  REQUIRE(exclusive->verdict == Verdict::granted);
  REQUIRE(table.status(blocks(7, 0, 1), SiteId{0}) == Status::exclusive);
  REQUIRE(table.status(blocks(7, 1, 1), SiteId{0}) == Status::reserved);
  table.release(exclusive->id);
  REQUIRE(table.status(blocks(7, 0, 1), SiteId{0}) == Status::reserved);
  table.set_reservations({});
  REQUIRE(table.status(blocks(7, 0, 1), SiteId{0}) == Status::neither);
  REQUIRE(table.size() == 0);
}

TEST_CASE("a reservation holds back other sites where it overlaps, and one that refuses comes first") {
  // Every pair of reservations of up to two of four blocks, by either site, in either way, against every request.
  const auto each = [](const auto& use) {
    for (std::uint64_t first = 0; first < 4; ++first) {
      for (std::uint64_t count = 1; count <= 2; ++count) {
        for (std::uint8_t site = 0; site < 2; ++site) {
          for (const bool busy : {false, true}) {
            use(StatusTable::Reservation{.site = SiteId{site}, .object = InodeId{7}, .busy = busy, .turns = {blocks(7, first, count)}});
          }
        }
      }
    }
  };
  StatusTable table(16);
  each([&](const StatusTable::Reservation& one) {
    each([&](const StatusTable::Reservation& other) {
      table.set_reservations({one, other});
      for (std::uint8_t asker = 0; asker < 2; ++asker) {
        REQUIRE(table.reserved_by_others(SiteId{asker}) == (one.site != SiteId{asker} || other.site != SiteId{asker}));
        for (std::uint64_t at = 0; at < 5; ++at) {
          const std::vector<wire::Turn> touched{blocks(8, at, 1), blocks(7, at, 1)};
          const auto holds = [&](const StatusTable::Reservation& r) { return r.site != SiteId{asker} && overlap(r.turns[0], touched[1]); };
          const StatusTable::Reservation* found = table.reserved(touched, SiteId{asker});
          REQUIRE((found != nullptr) == (holds(one) || holds(other)));
          if (found == nullptr) continue;
          REQUIRE(found->site != SiteId{asker});
          REQUIRE(found->busy == ((holds(one) && one.busy) || (holds(other) && other.busy)));
        }
      }
    });
  });
}

TEST_CASE("reservations take no place in line") {
  StatusTable table(16);
  table.set_reservations({{.site = SiteId{1}, .object = InodeId{7}, .turns = {blocks(7, 0, 4)}}});
  const auto claim = table.take({{blocks(7, 0, 1)}});
  REQUIRE(claim->verdict == Verdict::granted);
  table.check_invariants();
  REQUIRE(table.release(claim->id).empty());
}

TEST_CASE("a full table says busy and changes nothing") {
  StatusTable table(1);
  REQUIRE(table.take({{blocks(7, 0, 1)}}));
  const auto second = table.take({{blocks(7, 9, 1)}});
  REQUIRE_FALSE(second);
  REQUIRE(second.error().code == Errc::busy);
  REQUIRE(table.size() == 1);
}

TEST_CASE("names and blocks of one inode number are different objects") {
  StatusTable table(16);
  wire::Turn name = blocks(7, 0, 1);
  name.kind = wire::Turn::Kind::names;
  REQUIRE(table.take({{blocks(7, 0, 1)}})->verdict == Verdict::granted);
  REQUIRE(table.take({{name}})->verdict == Verdict::granted);
}
