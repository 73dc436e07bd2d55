// What the judge of the simulator lets pass, and what not (history.h).
#include "bin/simulator/history.h"

#include "../catch.h"

using namespace lockstep;
using namespace lockstep::simulator;

namespace {

constexpr std::size_t kEast = 0, kWest = 1;
const History::Block kBlock{"/data", 0};
Instant at(std::int64_t n) { return Instant{n}; }

/// A history in which `site` has written and was told so, from `from` to `from` + 1.
Value written(History& history, std::size_t site, std::int64_t from) {
  const Value value = history.write_began(kBlock, site, at(from));
  history.write_ended(kBlock, value, at(from + 1));
  return value;
}

bool may_be_read(const History& history, std::size_t site, Value value, std::int64_t from) {
  return !history.read(kBlock, value, site, at(from), at(from + 1)).has_value();
}

}  // namespace

TEST_CASE("an older value than the last acknowledged one must not be read", "[history]") {
  History history;
  const Value first = written(history, kEast, 10), second = written(history, kWest, 20);
  CHECK(may_be_read(history, kEast, second, 30));
  CHECK_FALSE(may_be_read(history, kEast, first, 30));
  CHECK(may_be_read(history, kEast, first, 20));  // it began before the other one was acknowledged
  CHECK_FALSE(may_be_read(history, kWest, 0, 30));
}

TEST_CASE("a loss of power at both takes what was not stable, and nothing else", "[history]") {
  History history;
  const Value first = written(history, kEast, 10);
  history.synced("/data", kEast, at(15));
  const Value second = written(history, kEast, 20);
  history.power_lost();
  CHECK(may_be_read(history, kWest, first, 30));
  CHECK(may_be_read(history, kWest, second, 30));
  CHECK_FALSE(may_be_read(history, kWest, 0, 30));
  CHECK_FALSE(history.read_torn(kBlock, {first, second}, kWest, at(30), at(31)).has_value());
}

TEST_CASE("apart, each site has what it acknowledged, and a loss of power is that of one of them", "[history]") {
  History history;
  const Value common = written(history, kEast, 10);
  history.part(kEast, at(20));
  history.part_both(at(20));
  const Value of_east = written(history, kEast, 30), of_west = written(history, kWest, 30);
  CHECK(may_be_read(history, kEast, of_east, 40));
  CHECK_FALSE(may_be_read(history, kEast, of_west, 40));
  CHECK_FALSE(may_be_read(history, kEast, common, 40));
  history.power_lost(kEast);
  CHECK(may_be_read(history, kEast, common, 50));
  CHECK(may_be_read(history, kEast, 0, 50));
  CHECK(may_be_read(history, kWest, of_west, 50));
  CHECK_FALSE(may_be_read(history, kWest, common, 50));
  CHECK_FALSE(history.read_torn(kBlock, {common, of_east}, kEast, at(50), at(51)).has_value());
  CHECK(history.read_torn(kBlock, {of_west, of_west, common}, kWest, at(50), at(51)).has_value());

  SECTION("the one that lost it is discarded: nothing else is missing") {
    CHECK(history.discard(kEast, at(60), at(61)) == 0);
    CHECK(may_be_read(history, kEast, of_west, 70));
    CHECK_FALSE(may_be_read(history, kEast, common, 70));
    CHECK_FALSE(may_be_read(history, kEast, of_east, 70));
  }
  SECTION("the other one is discarded: what was not stable may be missing at both") {
    CHECK(history.discard(kWest, at(60), at(61)) == 0);
    CHECK(may_be_read(history, kWest, of_east, 70));
    CHECK(may_be_read(history, kWest, common, 70));
    CHECK(may_be_read(history, kWest, 0, 70));
    CHECK_FALSE(may_be_read(history, kWest, of_west, 70));
  }
}

TEST_CASE("apart, an fsync makes stable what its site has of its own", "[history]") {
  History history;
  written(history, kWest, 10);
  history.part(kEast, at(20));
  history.part_both(at(20));
  const Value kept = written(history, kEast, 30);
  history.synced("/data", kEast, at(35));
  history.power_lost(kEast);
  CHECK(may_be_read(history, kEast, kept, 40));
  CHECK_FALSE(may_be_read(history, kEast, 0, 40));
  const Value lost = written(history, kEast, 50);
  CHECK_FALSE(may_be_read(history, kEast, kept, 60));
  history.power_lost(kEast);
  history.synced("/data", kEast, at(60));  // too late for what is gone
  history.join(kEast, at(70));
  CHECK(may_be_read(history, kWest, lost, 80));
  CHECK(may_be_read(history, kWest, kept, 80));
  CHECK_FALSE(may_be_read(history, kWest, 0, 80));
}

TEST_CASE("a name may be missing only if it was not stable when power was lost", "[history]") {
  History history;
  const auto create = [&](const std::string& name, std::int64_t from) {
    history.created(name, history.create_began(name, kEast, at(from)), History::Told::yes, at(from + 1));
  };
  create("stable", 10);
  history.synced("/data", kEast, at(15));
  create("lost", 20);
  CHECK_FALSE(history.may_be_missing("lost", kEast));
  history.power_lost();
  create("new", 30);
  for (const std::size_t site : {kEast, kWest}) {
    CHECK(history.may_be_missing("lost", site));
    CHECK_FALSE(history.may_be_missing("stable", site));
    CHECK_FALSE(history.may_be_missing("new", site));
    CHECK_FALSE(history.may_be_missing("/data", site));
  }
}

TEST_CASE("a record that was acknowledged stands in its file once", "[history]") {
  History history;
  const std::uint64_t record = history.append_began("/records", kEast, at(1));
  CHECK_FALSE(history.final_records("/records", {}).has_value());
  history.append_ended("/records", record, at(2));
  CHECK(history.final_records("/records", {}).has_value());
  CHECK_FALSE(history.final_records("/records", {record}).has_value());
  CHECK(history.final_records("/records", {record, record}).has_value());
  CHECK(history.final_records("/records", {record, record + 1}).has_value());
}

TEST_CASE("a medium that failed in the middle of a write may have torn its block, and no other", "[history]") {
  History history;
  const History::Block other{"/data", 1};
  const Value first = written(history, kEast, 10);
  const Value second = history.write_began(kBlock, kEast, at(20));
  const Value of_other = history.write_began(other, kEast, at(20));
  history.write_ended(other, of_other, at(21));
  history.write_failed();
  CHECK_FALSE(history.read_torn(kBlock, {second, first}, kEast, at(30), at(31)).has_value());
  CHECK_FALSE(history.read_torn(kBlock, {second, first}, kWest, at(30), at(31)).has_value());  // made equal to it
  CHECK(history.read_torn(other, {of_other, 0}, kEast, at(30), at(31)).has_value());
  const Value third = written(history, kWest, 40);
  CHECK(history.read_torn(kBlock, {third, first}, kEast, at(50), at(51)).has_value());
}
