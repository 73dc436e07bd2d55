#include "area/area.h"

#include "area/slots.h"
#include "area_world.h"

namespace lockstep::area {
namespace {

wire::Effect effect(std::uint64_t seq, const std::string& value) {
  wire::Effect e;
  e.epoch = Epoch{1};
  e.seq = Seq{seq};
  e.request = {SiteId{1}, 77, seq};
  e.batch.push_back({"key" + std::to_string(seq), value});
  e.writes.push_back({seq * kBlockBytes, 10, true, false});
  e.checksums.push_back(seq * 3);
  e.allocated.push_back({seq, 1});
  return e;
}

}  // namespace

TEST_CASE("format makes an area, open finds what it was given") {
  TestWorld w;
  FormatOptions options = small_area();
  options.bytes += 100;
  options.log_bytes += 1;
  const auto id = w.format(options);
  REQUIRE(id);
  CHECK(id->blocks == 64);
  CHECK(id->log_bytes == kBlockBytes * 32);
  CHECK_FALSE(id->store.is_nil());
  CHECK(w.storage().peek(kExtentsFile).size() == 64 * kBlockBytes);
  Area& area = w.open();
  CHECK(area.identity().volume == "data");
  CHECK(area.identity().volume_id == options.volume_id);
  CHECK(area.identity().site == "north");
  CHECK(area.identity().store == id->store);
  CHECK_FALSE(area.unclean());
}

TEST_CASE("what was not closed is unclean, what was closed is not") {
  TestWorld w;
  REQUIRE(w.format(small_area()));
  w.open();
  w.kill();
  Area& again = w.open();
  CHECK(again.unclean());
  REQUIRE(w.run(again.close()));
  w.lose_power();
  CHECK_FALSE(w.open().unclean());
  w.lose_power();
  CHECK(w.open().unclean());
}

TEST_CASE("format refuses what is in use, and says what it found") {
  TestWorld w;
  const auto first = w.format(small_area());
  REQUIRE(first);
  const auto refused = w.format(small_area());
  REQUIRE_FALSE(refused);
  CHECK(refused.error().code == Errc::refused);
  CHECK(refused.error().text.find("a storage area of volume data, site north") != std::string::npos);
  CHECK(refused.error().text.find("--force") != std::string::npos);
  FormatOptions forced = small_area();
  forced.force = true;
  forced.site = "south";
  const auto second = w.format(forced);
  REQUIRE(second);
  CHECK(second->store != first->store);
  CHECK(w.open().identity().site == "south");
}

TEST_CASE("format with force leaves files alone that are not an area's") {
  TestWorld w;
  REQUIRE(w.run(w.world().disk.create("letters", 10, nullptr, nullptr)));
  REQUIRE(w.run(w.world().disk.create("meta", 10, nullptr, nullptr)));
  const auto refused = w.format(small_area());
  REQUIRE_FALSE(refused);
  CHECK(refused.error().text.find("2 files (letters, meta)") != std::string::npos);
  FormatOptions forced = small_area();
  forced.force = true;
  REQUIRE(w.format(forced));
  CHECK(w.storage().has("letters"));
  CHECK_FALSE(w.storage().has("meta"));
}

TEST_CASE("format refuses options that make no area") {
  TestWorld w;
  for (int i = 0; i < 5; ++i) {
    FormatOptions options = small_area();
    if (i == 0) options.volume = "";
    if (i == 1) options.site = std::string(256, 'x');
    if (i == 2) options.bytes = kBlockBytes - 1;
    if (i == 3) options.log_bytes = 0;
    if (i == 4) options.log_bytes = 15 * kBlockBytes;
    CHECK(w.format(options).error().code == Errc::invalid);
  }
  CHECK_FALSE(w.storage().has(kExtentsFile));
}

TEST_CASE("a format that was interrupted leaves no area, and force mends it") {
  for (std::uint64_t seed = 1; seed <= 30; ++seed) {
    TestWorld w(seed);
    w.process->spawn(keep_result(Area::format(w.world().disk, w.world().random, small_area(), nullptr, nullptr),
                                 std::make_shared<std::optional<Result<Identity>>>()));
    w.universe.run_for(Duration(static_cast<std::int64_t>(seed) * 500'000));
    w.lose_power();
    const auto opened = w.try_open();
    if (opened) continue;
    FormatOptions forced = small_area();
    forced.force = true;
    REQUIRE(w.format(forced));
    CHECK(w.open().identity().blocks == 64);
  }
}

TEST_CASE("what is no area, or shorter than it was, is refused by name") {
  TestWorld w;
  const auto none = w.try_open();
  REQUIRE_FALSE(none);
  CHECK(none.error().code == Errc::refused);
  CHECK(none.error().text.find("lockstep format") != std::string::npos);
  for (const char* name : {kExtentsFile, kChecksumsFile, kInFlightFile, kLogFile}) {
    FormatOptions options = small_area();
    options.force = true;
    REQUIRE(w.format(options));
    const std::uint64_t bytes = w.storage().peek(name).size();
    REQUIRE(w.world().disk.remove(name));
    REQUIRE(w.run(w.world().disk.create(name, bytes - 1, nullptr, nullptr)));
    const auto cut = w.try_open();
    REQUIRE_FALSE(cut);
    CHECK(cut.error().code == Errc::refused);
    CHECK(cut.error().text.find(std::to_string(bytes) + " bytes expected, " + std::to_string(bytes - 1) + " found") !=
          std::string::npos);
    CHECK(cut.error().text.find(name) != std::string::npos);
  }
}

TEST_CASE("an area is open in one process only") {
  TestWorld w;
  REQUIRE(w.format(small_area()));
  w.open();
  sim::Process& other = w.machine.start("other");
  w.process = &other;
  CHECK(w.try_open().error().code == Errc::refused);
}

TEST_CASE("a sync of nothing but the log makes pending records stable") {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    TestWorld w(seed);
    REQUIRE(w.format(small_area()));
    Area& area = w.open();
    REQUIRE(area.log().append(effect(1, "x")));
    REQUIRE(w.run(area.sync({}, true)));
    w.lose_power();
    CHECK(w.open().log().last() == Seq{1});
  }
}

TEST_CASE("effects come back from the log as they were appended") {
  TestWorld w;
  REQUIRE(w.format(small_area()));
  Log& log = w.open().log();
  for (std::uint64_t seq = 1; seq <= 50; ++seq) REQUIRE(log.append(effect(seq, std::string(seq, 'v'))));
  REQUIRE(log.flush());
  w.kill();
  Log& next = w.open().log();
  CHECK(next.last() == Seq{50});
  CHECK(next.first() == Seq{1});
  const auto read = w.run(next.read_after(Seq{20}, 1u << 20));
  REQUIRE(read);
  REQUIRE(read->size() == 30);
  for (std::size_t i = 0; i < read->size(); ++i) {
    const wire::Effect expected = effect(21 + i, std::string(21 + i, 'v'));
    const wire::Effect& found = (*read)[i];
    CHECK(found.seq == expected.seq);
    CHECK(found.epoch == expected.epoch);
    CHECK(found.request == expected.request);
    CHECK(found.batch == expected.batch);
    CHECK(found.writes == expected.writes);
    CHECK(found.checksums == expected.checksums);
    CHECK(found.allocated == expected.allocated);
  }
}

}  // namespace lockstep::area
