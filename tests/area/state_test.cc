#include "area/state_file.h"

#include <cstring>

#include "area_world.h"
#include "core/checksum.h"

namespace lockstep::area {
namespace {

Area& formatted(TestWorld& w) {
  REQUIRE(w.format(small_area()));
  return w.open();
}

std::string text(std::size_t bytes, std::uint64_t seed) {
  const auto raw = pattern(bytes, seed);
  return {reinterpret_cast<const char*>(raw.data()), raw.size()};
}

}  // namespace

TEST_CASE("nothing is saved after format, and what was saved last is there after loss of power") {
  TestWorld w;
  Area& area = formatted(w);
  CHECK(area.saved_state().empty());
  for (const std::size_t bytes : {std::size_t{5}, kStateBytesMax, std::size_t{1}, std::size_t{0}, std::size_t{700}}) {
    REQUIRE(w.run(area.save_state(text(bytes, bytes))));
    CHECK(area.saved_state() == text(bytes, bytes));
  }
  w.lose_power();
  CHECK(w.open().saved_state() == text(700, 700));
}

TEST_CASE("a state that is too large is refused and changes nothing") {
  TestWorld w;
  Area& area = formatted(w);
  REQUIRE(w.run(area.save_state("one")));
  CHECK(w.run(area.save_state(std::string(kStateBytesMax + 1, 'x'))).error().code == Errc::invalid);
  CHECK(area.saved_state() == "one");
  CHECK_FALSE(area.failure());
}

TEST_CASE("saves that are asked for at the same time are carried out in order") {
  TestWorld w;
  Area& area = formatted(w);
  std::vector<std::shared_ptr<std::optional<Result<>>>> done;
  for (const char* bytes : {"a", "bb", "ccc"}) {
    done.push_back(std::make_shared<std::optional<Result<>>>());
    w.process->spawn(keep_result(area.save_state(bytes), done.back()));
  }
  REQUIRE(w.universe.run_until([&] { return done.back()->has_value(); }, std::chrono::minutes(1)));
  for (const auto& one : done) REQUIRE((one->has_value() && one->value()));
  CHECK(area.saved_state() == "ccc");
  w.kill();
  CHECK(w.open().saved_state() == "ccc");
}

TEST_CASE("one copy of the state that went bad is mended from the other") {
  for (const std::uint64_t copy : {0u, 1u}) {
    for (const std::uint64_t byte : {0u, 9u, 17u, 25u, 32u}) {
      TestWorld w;
      Area& area = formatted(w);
      REQUIRE(w.run(area.save_state("first")));
      REQUIRE(w.run(area.save_state("second")));
      w.storage().corrupt(kStateFile, {copy * kStateCopyBytes + byte, 1});
      w.kill();
      REQUIRE(w.open().saved_state() == "second");
      // The other one may go bad now.
      w.storage().corrupt(kStateFile, {(1 - copy) * kStateCopyBytes + byte, 1});
      w.lose_power();
      REQUIRE(w.open().saved_state() == "second");
    }
  }
}

TEST_CASE("an unreadable copy of the state is mended from the other") {
  TestWorld w;
  Area& area = formatted(w);
  REQUIRE(w.run(area.save_state("it")));
  w.storage().make_unreadable(kStateFile, {0, kBlockBytes});
  w.kill();
  CHECK(w.open().saved_state() == "it");
}

TEST_CASE("a state that could not be written is the area's failure, and none is written after it") {
  TestWorld w;
  Area& area = formatted(w);
  REQUIRE(w.run(area.save_state("before")));
  w.storage().weather.write_error_permille = 1000;
  REQUIRE(w.run(area.save_state("lost")).error().code == Errc::io);
  w.storage().weather.write_error_permille = 0;
  REQUIRE(area.failure());
  CHECK(w.run(area.save_state("later")).error().text == area.failure()->text);
  CHECK(area.saved_state() == "before");
}

TEST_CASE("two bad copies of the state are an error that says what to do") {
  TestWorld w;
  REQUIRE(w.format(small_area()));
  w.storage().corrupt(kStateFile, {0, 1});
  w.storage().corrupt(kStateFile, {kStateCopyBytes + 30, 1});
  const auto opened = w.try_open();
  REQUIRE_FALSE(opened);
  CHECK(opened.error().code == Errc::corrupt);
  CHECK(opened.error().text.find("format this site's area again") != std::string::npos);
}

TEST_CASE("the bytes of a state stay what they are") {
  TestWorld w;
  Area& area = formatted(w);
  REQUIRE(w.run(area.save_state("abc")));
  const Bytes copy = w.storage().peek(kStateFile).first(35);
  StateHeader header;
  std::memcpy(&header, copy.data(), sizeof header);
  CHECK(std::string(header.magic.data(), 8) == "LKSTSTAT");
  CHECK(header.generation == 4);
  CHECK(header.length == 3);
  CHECK(std::memcmp(copy.data() + 32, "abc", 3) == 0);
  CHECK(header.checksum == checksum(copy.subspan(8)));
}

TEST_CASE("power lost before any write of a save, or at any time of it: the last state that was saved, or the one after it") {
  for (std::uint64_t seed = 1; seed <= 200; ++seed) {
    TestWorld w(seed);
    Area& area = formatted(w);
    auto saved = std::make_shared<std::uint64_t>(0);
    sim::Process& process = *w.process;
    process.keep(saved);
    const auto work = [](sim::Process& p, Area& a, std::uint64_t& last) -> runtime::Task<void> {
      for (std::uint64_t n = 1;; ++n) {
        Result<> done = co_await a.save_state(text(n * 3000, n));
        REQUIRE(done);
        if (!p.alive()) co_return;
        last = n;
      }
    };
    process.spawn(work(process, area, *saved));
    if (seed % 2 == 0) {
      const std::uint64_t at = w.storage().writes() + 1 + seed / 2 % 12;
      w.storage().before_write = [&w, at](std::uint64_t n) {
        if (n == at) w.machine.lose_power();
      };
      REQUIRE(w.universe.run_until([&] { return w.machine.processes().empty(); }, std::chrono::minutes(1)));
      w.storage().before_write = nullptr;
      w.process = &w.machine.start();
    } else {
      w.universe.run_for(Duration(static_cast<std::int64_t>(seed) * 150'000));
      w.lose_power();
    }
    const std::uint64_t last = *saved;
    const std::string found = w.open().saved_state();
    const bool next = found == text((last + 1) * 3000, last + 1);
    const bool same = last == 0 ? found.empty() : found == text(last * 3000, last);
    REQUIRE((same || next));
    // What open() found stays: it was told to others.
    w.lose_power();
    REQUIRE(w.open().saved_state() == found);
  }
}

}  // namespace lockstep::area
