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

TEST_CASE("power lost at any write of an open or of recording it is not forgotten") {
  for (std::uint64_t seed = 1; seed <= 120; ++seed) {
    TestWorld w(seed);
    REQUIRE(w.format(small_area()));
    w.open();
    w.lose_power();
    auto recorded = std::make_shared<std::optional<Result<>>>();
    const auto work = [](sim::Process& p, runtime::World& world, Uuid boot) -> runtime::Task<Result<>> {
      Result<std::unique_ptr<Area>> area = co_await Area::open(world, boot);
      if (!area) co_return std::unexpected(area.error());
      std::shared_ptr<Area> kept = std::move(*area);
      p.keep(kept);
      REQUIRE(kept->power_lost());
      co_return co_await kept->power_loss_recorded();
    };
    const std::uint64_t at = w.storage().writes() + 1 + seed % 6;
    sim::Process& process = *w.process;
    const bool power = seed % 2 == 0;
    w.storage().before_write = [&w, &process, at, power](std::uint64_t n) {
      if (n != at) return;
      power ? w.machine.lose_power() : w.machine.kill(process);
    };
    process.spawn(keep_result(work(process, w.world(), w.machine.boot_id()), recorded));
    w.universe.run_until([&] { return w.machine.processes().empty() || recorded->has_value(); }, std::chrono::minutes(1));
    w.storage().before_write = nullptr;
    const bool ended = recorded->has_value() && !w.machine.processes().empty();
    if (!w.machine.processes().empty()) w.machine.kill(process);
    w.process = &w.machine.start();
    if (ended) {
      CHECK_FALSE(w.open().power_lost());
    } else {
      CHECK(w.open().power_lost());
    }
  }
}

}  // namespace lockstep::area
