// area_world.h - one simulated machine, and areas on it, for the tests of this layer.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "area/area.h"
#include "area/failure.h"
#include "area/superblocks.h"
#include "sim/machine.h"
#include "sim/process.h"
#include "sim/storage.h"
#include "sim/universe.h"

// Both have a CHECK; in tests it is Catch's. Headers that use the other come before this.
#undef CHECK
#include <catch2/catch.hpp>

namespace lockstep::area {

template <class T>
runtime::Task<void> keep_result(runtime::Task<T> task, std::shared_ptr<std::optional<T>> out) {
  T result = co_await task;
  out->emplace(std::move(result));
}

/// A machine and the process that runs on it now.
struct TestWorld {
  explicit TestWorld(std::uint64_t seed = 1) : universe(seed), machine(universe.add_machine("a")), process(&machine.start()) {}

  /// Runs `task` to its end.
  template <class T>
  T run(runtime::Task<T> task) {
    auto out = std::make_shared<std::optional<T>>();
    process->spawn(keep_result(std::move(task), out));
    REQUIRE(universe.run_until([&] { return out->has_value(); }, std::chrono::hours(1)));
    return std::move(**out);
  }
  /// The process dies; a new one starts.
  void kill() {
    machine.kill(*process);
    process = &machine.start();
  }
  void lose_power() {
    machine.lose_power();
    process = &machine.start();
  }
  runtime::World& world() { return process->world(); }
  sim::Storage& storage() { return machine.storage(); }

  Result<Identity> format(FormatOptions options) {
    return run(Area::format(world().disk, world().random, std::move(options), nullptr, nullptr));
  }
  /// Lives in the process: a kill abandons it.
  Result<Area*> try_open() {
    Result<std::unique_ptr<Area>> opened = run(Area::open(world(), machine.boot_id()));
    if (!opened) return std::unexpected(opened.error());
    std::shared_ptr<Area> shared = std::move(*opened);
    process->keep(shared);
    return shared.get();
  }
  Area& open() {
    Result<Area*> opened = try_open();
    if (!opened) FAIL(opened.error().text);
    return **opened;
  }

  sim::Universe universe;
  sim::Machine& machine;
  sim::Process* process;
};

/// Of the process that runs now.
inline Failure& failure(TestWorld& w) {
  auto made = std::make_shared<Failure>();
  w.process->keep(made);
  return *made;
}

inline FormatOptions small_area() {
  FormatOptions options;
  options.volume = "data";
  options.volume_id.bytes.fill(0x11);
  options.site = "north";
  options.bytes = 64 * kBlockBytes;
  options.log_bytes = kBlockBytes * 32;
  return options;
}

/// An area of so many granules, the last one with one block only.
inline FormatOptions large_area(std::uint64_t granules) {
  FormatOptions options = small_area();
  options.bytes = (granules - 1) * kGranuleBytes + kBlockBytes;
  return options;
}

/// The blocks of one granule, or some of them.
inline BlockRange in_granule(std::uint64_t granule, std::uint64_t count = 1) { return {granule * kGranuleBlocks, count}; }

inline std::vector<std::byte> pattern(std::size_t bytes, std::uint64_t seed) {
  std::vector<std::byte> out(bytes);
  sim::Prng prng(seed);
  for (std::byte& b : out) b = static_cast<std::byte>(prng.next());
  return out;
}

}  // namespace lockstep::area
