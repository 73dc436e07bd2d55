// power_test.cc - what an area knows of losses of power.
#include "area_world.h"

namespace lockstep::area {

TEST_CASE("a kill is no loss of power, a new boot of the machine is one if the area was not closed") {
  TestWorld w;
  REQUIRE(w.format(small_area()));
  CHECK_FALSE(w.open().power_lost());
  w.kill();
  CHECK_FALSE(w.open().power_lost());
  w.lose_power();
  Area& after = w.open();
  CHECK(after.power_lost());
  CHECK(after.unclean());
  REQUIRE(w.run(after.power_loss_recorded()));
  CHECK(after.power_lost());
  REQUIRE(w.run(after.close()));
  w.lose_power();
  CHECK_FALSE(w.open().power_lost());
}

TEST_CASE("a loss of power is reported by every open until it was recorded, be the area closed in between") {
  for (const bool closed : {false, true}) {
    TestWorld w;
    REQUIRE(w.format(small_area()));
    w.open();
    w.lose_power();
    for (int i = 0; i < 3; ++i) {
      Area& area = w.open();
      REQUIRE(area.power_lost());
      if (closed) REQUIRE(w.run(area.close()));
      w.kill();
    }
    Area& area = w.open();
    REQUIRE(area.power_lost());
    REQUIRE(w.run(area.power_loss_recorded()));
    w.kill();
    CHECK_FALSE(w.open().power_lost());
  }
}

TEST_CASE("power lost at any write or sync of an open or of recording it is not forgotten") {
  std::uint64_t ended_well = 0;
  for (std::uint64_t seed = 1; seed <= 180; ++seed) {
    TestWorld w(seed);
    REQUIRE(w.format(small_area()));
    w.open();
    w.lose_power();
    auto recorded = std::make_shared<std::optional<Result<>>>();
    auto asked = std::make_shared<bool>(false);
    const auto work = [](sim::Process& p, runtime::World& world, Uuid boot, std::shared_ptr<bool> began) -> runtime::Task<Result<>> {
      Result<std::unique_ptr<Area>> area = co_await Area::open(world, boot);
      if (!area) co_return std::unexpected(area.error());
      std::shared_ptr<Area> kept = std::move(*area);
      p.keep(kept);
      REQUIRE(kept->power_lost());
      *began = true;
      co_return co_await kept->power_loss_recorded();
    };
    // At a write, or while a sync runs.
    const bool at_sync = seed % 3 == 0;
    const std::uint64_t at = (at_sync ? w.storage().syncs() : w.storage().writes()) + 1 + seed / 6 % 10;
    sim::Process& process = *w.process;
    const bool power = seed % 2 == 0;
    w.storage().before_write = [&w, &process, at, at_sync, power](std::uint64_t n) {
      if (at_sync || n != at) return;
      power ? w.machine.lose_power() : w.machine.kill(process);
    };
    process.spawn(keep_result(work(process, w.world(), w.machine.boot_id(), asked), recorded));
    w.universe.run_until(
        [&] { return w.machine.processes().empty() || recorded->has_value() || (at_sync && w.storage().syncs() >= at); },
        std::chrono::minutes(1));
    w.storage().before_write = nullptr;
    const bool ended = recorded->has_value() && !w.machine.processes().empty();
    ended_well += ended ? 1 : 0;
    if (!w.machine.processes().empty()) ended || !power ? w.machine.kill(process) : w.machine.lose_power();
    w.process = &w.machine.start();
    const bool reported = w.open().power_lost();
    // Who asks for it has written the loss down already: in the middle of it either will do.
    if (ended) CHECK_FALSE(reported);
    if (!*asked) CHECK(reported);
  }
  CHECK(ended_well > 10);
  CHECK(ended_well < 170);
}

}  // namespace lockstep::area
