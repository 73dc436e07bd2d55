// worlds.h - short ways to say what the tests of the simulation say often.
#pragma once

#include <string>
#include <string_view>

#include "catch.h"
#include "runtime/task.h"
#include "sim/disk.h"
#include "sim/machine.h"
#include "sim/process.h"
#include "sim/universe.h"

namespace lockstep::sim {

/// Runs `task` in `process` to its end.
inline void run(Process& process, runtime::Task<void> task) {
  process.spawn(std::move(task));
  REQUIRE(process.universe().run_until([&] { return process.idle(); }, std::chrono::hours(1)));
}

inline runtime::Task<void> make_file(runtime::Disk& disk, std::string name, std::uint64_t bytes) {
  const auto made = co_await disk.create(name, bytes, nullptr, nullptr);
  REQUIRE(made.has_value());
}

inline void write_text(runtime::File& file, std::uint64_t offset, std::string_view text) {
  const Bytes part = std::as_bytes(std::span(text));
  REQUIRE(file.write_now(offset, std::span(&part, 1)).has_value());
}

inline std::string text_of(Bytes bytes) { return {reinterpret_cast<const char*>(bytes.data()), bytes.size()}; }

}  // namespace lockstep::sim
