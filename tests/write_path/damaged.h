// damaged.h - a scene whose /data has blocks that are damaged on the medium of one site, and readers past the kernel's cache.
#pragma once

#include <fcntl.h>

#include <cstring>

#include "core/checksum.h"
#include "scene.h"
#include "sim/storage.h"

namespace lockstep::write_path {

inline constexpr std::uint64_t kBlock = 5;  // of /data, the one that is damaged

struct Reading {
  std::optional<std::string> text;
  std::optional<int> error;
};

inline runtime::Task<void> read_past_cache(sim::Process& process, std::uint64_t block, Reading& reading) {
  sim::Host host(process);
  const Result<sim::FileHandle> file = co_await host.open("/data", O_RDONLY | O_DIRECT, 0);
  if (!file) co_return;
  const Result<std::string> bytes = co_await host.read(*file, block * kBlockBytes, kBlockBytes);
  if (bytes) {
    reading.text = *bytes;
  } else {
    reading.error = bytes.error().posix;
  }
  co_await host.close(*file);
}

inline runtime::Task<void> write_at(sim::Process& process, std::uint64_t offset, std::string bytes, Answer& answer) {
  sim::Host host(process);
  const Result<sim::FileHandle> file = co_await host.open("/data", O_RDWR | O_DIRECT, 0);
  if (!file) co_return;
  const Result<std::uint64_t> written = co_await host.write(*file, offset, std::move(bytes));
  answer.made = written.has_value();
  if (!written) answer.error = written.error();
  answer.count = 1;
  co_await host.close(*file);
}

struct Damaged : Scene {
  explicit Damaged(std::uint64_t seed) : Scene(seed) {
    auto mapped = cluster.site(kEast).volume().map(data_turn(0, 1).object, {0, kDataBlocks * kBlockBytes});
    REQUIRE(mapped.value() != nullptr);
    REQUIRE(mapped.value()->size() == 1);
    first = mapped.value()->front().address / kBlockBytes;
  }
  [[nodiscard]] ByteRange place(std::uint64_t block) const { return {(first + block) * kBlockBytes, kBlockBytes}; }
  void corrupt(std::size_t site, std::uint64_t block) { cluster.machine(site).storage().corrupt("extents", place(block)); }
  void make_unreadable(std::size_t site, std::uint64_t block) { cluster.machine(site).storage().make_unreadable("extents", place(block)); }

  [[nodiscard]] Bytes stored(std::size_t site, std::uint64_t block) {
    return cluster.machine(site).storage().peek("extents").subspan(place(block).offset, kBlockBytes);
  }
  [[nodiscard]] bool good(std::size_t site, std::uint64_t block) {
    return checksum(stored(site, block)) == replica(site).area.stored_checksum(first + block);
  }
  void start_reading(std::size_t site, std::uint64_t block, Reading& reading) {
    applications(site).spawn(read_past_cache(applications(site), block, reading));
  }
  Reading read(std::size_t site, std::uint64_t block) {
    Reading reading;
    start_reading(site, block, reading);
    REQUIRE(universe().run_until([&] { return reading.text || reading.error; }, std::chrono::minutes(1)));
    return reading;
  }
  /// 100 bytes in the middle of `block`, which has to be read for that.
  void write_part(std::size_t site, std::uint64_t block) {
    Answer answer;
    applications(site).spawn(write_at(applications(site), block * kBlockBytes + 1000, std::string(100, 'n'), answer));
    REQUIRE(run_until_answered(answer));
    REQUIRE(answer.made);
    settle();
    std::string expected = text_of(kOld, kBlockBytes);
    expected.replace(1000, 100, std::string(100, 'n'));
    for (const std::size_t at : {kEast, kWest}) {
      CHECK(std::memcmp(stored(at, block).data(), expected.data(), kBlockBytes) == 0);
      CHECK(good(at, block));
    }
  }
  std::uint64_t first = 0;
};

}  // namespace lockstep::write_path
