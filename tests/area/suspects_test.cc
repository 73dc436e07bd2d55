#include "area/suspect_map.h"

#include <set>

#include "area/recent_granules.h"
#include "area_world.h"

namespace lockstep::area {
namespace {

constexpr std::uint64_t kGranules = 12;
constexpr std::uint64_t kLast = kGranules - 1;

Area& formatted(TestWorld& w, std::uint64_t granules = kGranules) {
  REQUIRE(w.format(large_area(granules)));
  return w.open();
}

void mark(TestWorld& w, Area& area, std::vector<BlockRange> blocks) { REQUIRE(w.run(area.suspects().mark(std::move(blocks)))); }

bool covered(Area& area, BlockRange blocks) { return area.suspects().cover(std::span(&blocks, 1)); }

Result<> sync_all(TestWorld& w, Area& area) {
  std::vector<ByteRange> everything{{0, area.identity().blocks * kBlockBytes}};
  return w.run(area.sync(std::move(everything), true));
}

/// A sync of the whole area, begun and not waited for.
std::shared_ptr<std::optional<Result<>>> begin_sync(TestWorld& w, Area& area) {
  auto done = std::make_shared<std::optional<Result<>>>();
  std::vector<ByteRange> everything{{0, area.identity().blocks * kBlockBytes}};
  w.process->spawn(keep_result(area.sync(std::move(everything), true), done));
  w.universe.run_for(Duration(100'000));
  REQUIRE_FALSE(done->has_value());
  return done;
}

void wait_for(TestWorld& w, const std::shared_ptr<std::optional<Result<>>>& done) {
  REQUIRE(w.universe.run_until([&] { return done->has_value(); }, std::chrono::minutes(1)));
  REQUIRE(**done);
}

}  // namespace

TEST_CASE("a formatted area has no suspect granule, a marked one is suspect and may be written") {
  TestWorld w;
  Area& area = formatted(w);
  Suspects& s = area.suspects();
  CHECK(s.granules() == kGranules);
  CHECK(s.count() == 0);
  CHECK_FALSE(covered(area, in_granule(3)));
  mark(w, area, {{4 * kGranuleBlocks - 1, 2}, in_granule(kLast)});
  CHECK(s.count() == 3);
  CHECK((s.suspect(3) && s.suspect(4) && s.suspect(kLast)));
  CHECK_FALSE((s.suspect(2) || s.suspect(5)));
  CHECK(covered(area, {3 * kGranuleBlocks, 2 * kGranuleBlocks}));
  CHECK_FALSE(covered(area, {3 * kGranuleBlocks, 2 * kGranuleBlocks + 1}));
  CHECK(covered(area, in_granule(kLast)));
  CHECK(s.counters().marks == 3);
  CHECK(s.counters().syncs == 1);
  mark(w, area, {in_granule(3), in_granule(4)});
  CHECK(s.counters().syncs == 1);
}

TEST_CASE("blocks that are not in the area are never covered, and marking them is refused") {
  TestWorld w;
  Area& area = formatted(w);
  const std::uint64_t blocks = area.identity().blocks;
  REQUIRE(w.run(area.suspects().mark_all()));
  for (const BlockRange outside : {BlockRange{blocks, 1}, BlockRange{blocks - 1, 2}, BlockRange{1, UINT64_MAX}, BlockRange{UINT64_MAX, 1}}) {
    CHECK_FALSE(covered(area, outside));
    CHECK(w.run(area.suspects().mark({outside})).error().code == Errc::invalid);
  }
  CHECK(w.run(area.suspects().clear({3, kGranules})).error().code == Errc::invalid);
  CHECK(area.suspects().count() == kGranules);
}

TEST_CASE("a granule is covered only once its bit is on the medium") {
  for (std::uint64_t seed = 1; seed <= 50; ++seed) {
    TestWorld w(seed);
    Area& area = formatted(w);
    sim::Prng prng(seed);
    std::set<std::uint64_t> promised;
    for (int i = 0; i < 12; ++i) {
      const std::uint64_t g = prng.below(kGranules);
      w.process->spawn(keep_result(area.suspects().mark({in_granule(g)}), std::make_shared<std::optional<Result<>>>()));
      w.universe.run_for(Duration(static_cast<std::int64_t>(prng.below(3'000'000))));
      for (std::uint64_t one = 0; one < kGranules; ++one) {
        if (covered(area, in_granule(one))) promised.insert(one);
      }
    }
    w.lose_power();
    const Suspects& found = w.open().suspects();
    for (const std::uint64_t g : promised) REQUIRE(found.suspect(g));
  }
}

TEST_CASE("marks of several callers share one sync, and one that comes during a sync gets the next") {
  TestWorld w;
  Area& area = formatted(w);
  w.storage().weather.sync_min = w.storage().weather.sync_max = Duration(1'000'000);
  std::vector<std::shared_ptr<std::optional<Result<>>>> done;
  const auto spawn = [&](std::uint64_t granule) {
    done.push_back(std::make_shared<std::optional<Result<>>>());
    w.process->spawn(keep_result(area.suspects().mark({in_granule(granule)}), done.back()));
  };
  for (std::uint64_t g = 0; g < 5; ++g) spawn(g);
  w.universe.run_for(Duration(500'000));
  spawn(0);   // in the sync that is running
  spawn(kLast);  // these are not
  spawn(1);
  CHECK_FALSE(covered(area, in_granule(0)));
  w.universe.run_for(Duration(10'000'000));
  for (const auto& one : done) REQUIRE((one->has_value() && one->value()));
  // The first call began alone; the four that came meanwhile and the later ones went together.
  CHECK(area.suspects().counters().syncs <= 3);
  CHECK(covered(area, in_granule(kLast)));
}

TEST_CASE("marks survive a kill at once, and are stable when the next process goes on") {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    TestWorld w(seed);
    Area& area = formatted(w);
    w.process->spawn(keep_result(area.suspects().mark({in_granule(7)}), std::make_shared<std::optional<Result<>>>()));
    w.universe.run_for(Duration(100'000));
    w.kill();
    Area& next = w.open();
    CHECK(covered(next, in_granule(7)));
    w.lose_power();
    CHECK(w.open().suspects().suspect(7));
  }
}

TEST_CASE("mark_all makes every granule suspect, and no bit behind the last") {
  TestWorld w;
  Area& area = formatted(w, 70);
  mark(w, area, {in_granule(9)});
  REQUIRE(w.run(area.suspects().mark_all()));
  CHECK(area.suspects().count() == 70);
  CHECK(covered(area, {0, area.identity().blocks}));
  w.lose_power();
  CHECK(w.open().suspects().count() == 70);
  const Bytes file = w.storage().peek(kSuspectFile);
  REQUIRE(file.size() == 16);
  CHECK(std::to_integer<int>(file[8]) == 0x3F);
  CHECK(std::to_integer<int>(file[9]) == 0);
}

TEST_CASE("what was touched since the round began is not cleared") {
  TestWorld w;
  Area& area = formatted(w);
  mark(w, area, {in_granule(1), in_granule(2), in_granule(3)});
  const auto offered = area.suspects().begin_clearing(100, true);
  CHECK(offered == std::vector<std::uint64_t>{1, 2, 3});
  CHECK(covered(area, in_granule(2)));  // a write between the two
  REQUIRE(sync_all(w, area));
  REQUIRE(w.run(area.suspects().clear(offered)));
  CHECK(area.suspects().count() == 1);
  CHECK(area.suspects().suspect(2));
  CHECK_FALSE(covered(area, in_granule(1)));
  CHECK(area.suspects().counters().cleared == 2);
}

TEST_CASE("nothing is cleared that no sync of the whole area has made stable since its last touch") {
  TestWorld w;
  Area& area = formatted(w);
  mark(w, area, {in_granule(1), in_granule(2)});
  REQUIRE(w.run(area.suspects().clear({1, 2})));  // no sync at all
  CHECK(area.suspects().count() == 2);
  REQUIRE(w.run(area.sync({{0, kBlockBytes}}, true)));  // not of everything
  REQUIRE(w.run(area.suspects().clear({1, 2})));
  CHECK(area.suspects().count() == 2);
  const auto done = begin_sync(w, area);
  CHECK(covered(area, in_granule(2)));  // during the sync
  REQUIRE(w.run(area.suspects().clear({1, 2})));
  CHECK(area.suspects().count() == 2);
  wait_for(w, done);
  REQUIRE(w.run(area.suspects().clear({1, 2})));
  CHECK(area.suspects().bits(0, 8) == std::string(1, '\x04'));
}

TEST_CASE("a sync that failed makes nothing clearable") {
  TestWorld w;
  Area& area = formatted(w);
  mark(w, area, {in_granule(1)});
  w.storage().weather.sync_error_permille = 1000;
  CHECK_FALSE(sync_all(w, area));
  w.storage().weather.sync_error_permille = 0;
  CHECK(w.run(area.suspects().clear({1})).error().code == Errc::io);
  CHECK(area.suspects().suspect(1));
}

TEST_CASE("a round ends with the first sync of the whole area after its clear") {
  TestWorld w;
  Area& area = formatted(w);
  mark(w, area, {in_granule(1)});
  REQUIRE(area.suspects().begin_clearing(100, true).size() == 1);
  CHECK(covered(area, in_granule(1)));
  REQUIRE(sync_all(w, area));
  REQUIRE(w.run(area.suspects().clear({1})));
  CHECK(area.suspects().count() == 1);
  // From now on another site begins the rounds.
  REQUIRE(sync_all(w, area));
  REQUIRE(w.run(area.suspects().clear({1})));
  CHECK(area.suspects().count() == 0);
}

TEST_CASE("a mark whose sync has not ended is not cleared") {
  TestWorld w;
  Area& area = formatted(w);
  auto done = std::make_shared<std::optional<Result<>>>();
  w.storage().weather.sync_min = w.storage().weather.sync_max = std::chrono::seconds(1);
  w.process->spawn(keep_result(area.suspects().mark({in_granule(1)}), done));
  w.universe.run_for(Duration(100'000));
  CHECK(area.suspects().begin_clearing(10, true).empty());
  w.storage().weather.sync_min = w.storage().weather.sync_max = Duration(1000);
  REQUIRE(sync_all(w, area));
  REQUIRE(w.run(area.suspects().clear({1})));
  CHECK(area.suspects().suspect(1));
  wait_for(w, done);
  CHECK(covered(area, in_granule(1)));
}

TEST_CASE("what was cleared is marked anew before it is covered again, whatever was lost in between") {
  for (std::uint64_t seed = 1; seed <= 50; ++seed) {
    TestWorld w(seed);
    Area& area = formatted(w);
    mark(w, area, {in_granule(1), in_granule(2)});
    REQUIRE(sync_all(w, area));
    REQUIRE(w.run(area.suspects().clear({1, 2})));
    mark(w, area, {in_granule(2)});
    REQUIRE(covered(area, in_granule(2)));
    w.lose_power();
    const Suspects& s = w.open().suspects();
    CHECK(s.suspect(2));
    CHECK_FALSE(s.suspect(3));
  }
}

TEST_CASE("granules touched last are not offered, and a steady writer costs no sync") {
  constexpr std::uint64_t kMany = kKeptGranules + 10;
  TestWorld w;
  const std::uint64_t blocks = kMany * kGranuleBlocks;
  REQUIRE(w.run(w.world().disk.create(kSuspectFile, SuspectMap::file_bytes(blocks), nullptr, nullptr)));
  auto opened = w.run(SuspectMap::open(std::move(*w.world().disk.map(kSuspectFile)), blocks, w.world().scheduler, failure(w)));
  REQUIRE(opened);
  SuspectMap& s = **opened;
  for (std::uint64_t g = 0; g < kMany; ++g) REQUIRE(w.run(s.mark({in_granule(g)})));
  const auto whole_sync = [&s] {
    REQUIRE(s.whole_sync_begins());
    s.whole_sync_ended(true);
  };
  std::vector<std::uint64_t> offered = s.begin_clearing(1000, false);
  CHECK(offered == std::vector<std::uint64_t>{0, 1, 2, 3, 4, 5, 6, 7, 8, 9});
  whole_sync();
  REQUIRE(w.run(s.clear(offered)));
  CHECK(s.count() == kKeptGranules);
  const std::uint64_t syncs = s.counters().syncs;
  sim::Prng prng(1);
  for (int i = 0; i < 20'000; ++i) {
    const BlockRange blocks_of_write = in_granule(10 + prng.below(kKeptGranules), 2);
    REQUIRE(s.cover(std::span(&blocks_of_write, 1)));
    if (i % 1000 != 0) continue;
    offered = s.begin_clearing(1000, false);
    whole_sync();
    REQUIRE(w.run(s.clear(offered)));
  }
  CHECK(s.counters().syncs == syncs);
  CHECK(s.begin_clearing(kMany, true).size() == kKeptGranules);
}

TEST_CASE("a stream waits for one sync in so many granules, and what was marked ahead of it is cleared like the rest") {
  TestWorld w;
  constexpr std::uint64_t kBehind = 4;
  constexpr std::uint64_t kAll = 3 * (kMarkedAhead + 1) + kBehind;
  Area& area = formatted(w, kAll);
  for (std::uint64_t g = 0; g < kAll; ++g) {
    if (!covered(area, in_granule(g))) mark(w, area, {in_granule(g)});
    REQUIRE(covered(area, in_granule(g)));
  }
  CHECK(area.suspects().counters().syncs == 5);  // the first one, three times so many and one, the rest
  CHECK(area.suspects().count() == kAll);

  TestWorld next;
  Area& other = formatted(next, kAll);
  mark(next, other, {in_granule(0)});
  mark(next, other, {in_granule(1)});
  CHECK(other.suspects().count() == 2 + kMarkedAhead);
  CHECK(covered(other, in_granule(1 + kMarkedAhead)));
  CHECK_FALSE(covered(other, in_granule(2 + kMarkedAhead)));
  REQUIRE(sync_all(next, other));
  REQUIRE(next.run(other.suspects().clear(other.suspects().begin_clearing(100, true))));
  REQUIRE(sync_all(next, other));
  REQUIRE(next.run(other.suspects().clear(other.suspects().begin_clearing(100, true))));
  CHECK(other.suspects().count() == 0);
}

TEST_CASE("a stream that is marked ahead of in time waits where it begins, and nowhere else") {
  TestWorld w;
  constexpr std::uint64_t kAll = 10 * kMarkedAhead + 3;
  Area& area = formatted(w, kAll);
  int waits = 0;
  for (std::uint64_t g = 0; g < kAll; ++g) {
    while (!covered(area, in_granule(g))) {
      mark(w, area, {in_granule(g)});
      ++waits;
    }
    if (area.suspects().runs_out()) {
      REQUIRE(w.run(area.suspects().mark_ahead()));
      CHECK_FALSE(area.suspects().runs_out());
    }
  }
  CHECK(waits == 2);
  CHECK(area.suspects().count() == kAll);
  CHECK(area.suspects().counters().syncs <= 12);
}

TEST_CASE("what was marked ahead and never touched goes with any clear, whatever the other site offers") {
  TestWorld w;
  constexpr std::uint64_t kAll = 3 * kMarkedAhead;
  Area& area = formatted(w, kAll);
  Suspects& s = area.suspects();
  mark(w, area, {in_granule(0)});
  mark(w, area, {in_granule(1)});
  REQUIRE(s.count() == 2 + kMarkedAhead);
  CHECK(covered(area, in_granule(3)));  // the stream has come to here
  REQUIRE(w.run(s.clear({})));
  CHECK(s.count() == 3);
  CHECK((s.suspect(0) && s.suspect(1) && s.suspect(3)));
  CHECK_FALSE(covered(area, in_granule(4)));
  mark(w, area, {in_granule(4)});  // and goes on
  CHECK(s.count() == 4 + kMarkedAhead);
  REQUIRE(w.run(s.mark_all()));
  REQUIRE(w.run(s.clear({})));
  CHECK(s.count() == kAll);
  w.lose_power();
  CHECK(w.open().suspects().count() == kAll);
}

TEST_CASE("a granule by itself is no stream") {
  TestWorld w;
  Area& area = formatted(w);
  for (const std::uint64_t g : {5, 0, 9, 2}) {
    mark(w, area, {in_granule(g)});
    CHECK(covered(area, in_granule(g)));
    CHECK_FALSE(area.suspects().runs_out());
  }
  CHECK(area.suspects().count() == 4);
}

TEST_CASE("rounds with a limit come to every suspect granule") {
  TestWorld w;
  Area& area = formatted(w);
  REQUIRE(w.run(area.suspects().mark_all()));
  std::set<std::uint64_t> offered;
  for (int i = 0; i < 4; ++i) {
    const auto some = area.suspects().begin_clearing(3, true);
    REQUIRE(some.size() == 3);
    offered.insert(some.begin(), some.end());
  }
  CHECK(offered.size() == kGranules);
}

TEST_CASE("the granules touched last are those of a plain list") {
  RecentGranules recent;
  std::vector<std::uint64_t> model;
  sim::Prng prng(7);
  for (int i = 0; i < 40'000; ++i) {
    const std::uint64_t g = prng.below(kKeptGranules + kKeptGranules / 4);
    recent.touch(g);
    std::erase(model, g);
    model.push_back(g);
    if (model.size() > kKeptGranules) model.erase(model.begin());
  }
  for (std::uint64_t g = 0; g < kKeptGranules + kKeptGranules / 4; ++g)
    REQUIRE(recent.contains(g) == (std::ranges::find(model, g) != model.end()));
}

TEST_CASE("a failed sync of the bits is the area's failure") {
  TestWorld w;
  Area& area = formatted(w);
  CHECK_FALSE(area.failure());
  w.storage().weather.sync_error_permille = 1000;
  CHECK(w.run(area.suspects().mark({in_granule(1)})).error().code == Errc::io);
  w.storage().weather.sync_error_permille = 0;
  CHECK_FALSE(covered(area, in_granule(1)));
  REQUIRE(area.failure());
  const std::string first = area.failure()->text;
  CHECK(w.run(area.suspects().mark({in_granule(2)})).error().text == first);
  CHECK(w.run(area.save_state("x")));  // so that a site can write down that it is none any more
  CHECK(w.run(area.log().sync()).error().text == first);
  CHECK(area.log().append(wire::Effect{.seq = Seq{1}}).error().text == first);
  CHECK(sync_all(w, area).error().text == first);
  CHECK(w.run(area.close()).error().text == first);
}

TEST_CASE("a suspect map of another length is refused, with what to do") {
  for (const std::uint64_t bytes : {8ull, 24ull}) {
    TestWorld w;
    REQUIRE(w.format(large_area(70)));
    REQUIRE(w.world().disk.remove(kSuspectFile));
    REQUIRE(w.run(w.world().disk.create(kSuspectFile, bytes, nullptr, nullptr)));
    const auto opened = w.try_open();
    REQUIRE_FALSE(opened);
    CHECK(opened.error().code == Errc::refused);
    CHECK(opened.error().text.find("suspect: 16 bytes expected, " + std::to_string(bytes) + " found") != std::string::npos);
    CHECK(opened.error().text.find("format this site's area again") != std::string::npos);
  }
}

TEST_CASE("power lost at any point of marks and clears: what was covered and not cleared is suspect") {
  std::uint64_t points = 0;
  for (std::uint64_t seed = 1; seed <= 60; ++seed) {
    TestWorld w(seed);
    Area& area = formatted(w);
    struct Model {
      std::set<std::uint64_t> promised;  // covered, and no clear was asked for since
      std::uint64_t steps = 0;
    };
    auto model = std::make_shared<Model>();
    sim::Process& process = *w.process;
    process.keep(model);
    const auto work = [](sim::Process& p, Area& a, Model& m, std::uint64_t s) -> runtime::Task<void> {
      sim::Prng prng(s);
      std::vector<ByteRange> everything{{0, a.identity().blocks * kBlockBytes}};
      for (;; ++m.steps) {
        const std::uint64_t g = prng.below(kGranules);
        const BlockRange blocks = in_granule(g);
        if (prng.chance(700)) {
          while (!a.suspects().cover(std::span(&blocks, 1))) {
            Result<> marked = co_await a.suspects().mark({blocks});
            REQUIRE(marked);
          }
          m.promised.insert(g);
        } else {
          std::vector<std::uint64_t> offered = a.suspects().begin_clearing(8, true);
          Result<> synced = co_await a.sync(everything, true);
          REQUIRE(synced);
          if (!p.alive()) co_return;
          for (const std::uint64_t one : offered) m.promised.erase(one);
          Result<> cleared = co_await a.suspects().clear(std::move(offered));
          REQUIRE(cleared);
          for (std::uint64_t one = 0; one < kGranules; ++one) {
            const BlockRange there = in_granule(one);
            if (a.suspects().suspect(one) && a.suspects().cover(std::span(&there, 1))) m.promised.insert(one);
          }
        }
        co_await p.delay(Duration(1000));
      }
    };
    process.spawn(work(process, area, *model, seed));
    // At the begin of some sync, or between two.
    const std::uint64_t at = w.storage().syncs() + 1 + seed % 40;
    REQUIRE(w.universe.run_until([&] { return w.storage().syncs() >= at; }, std::chrono::minutes(1)));
    if (seed % 2 == 0) w.universe.run_for(Duration(static_cast<std::int64_t>(seed) * 37'000));
    const std::set<std::uint64_t> promised = model->promised;
    points += model->steps;
    w.lose_power();
    const Suspects& found = w.open().suspects();
    for (const std::uint64_t g : promised) REQUIRE(found.suspect(g));
  }
  CHECK(points > 500);
}

}  // namespace lockstep::area
