#include "area/blocks.h"

#include <cstring>
#include <map>

#include "area_world.h"
#include "core/checksum.h"

namespace lockstep::area {
namespace {

using wire::AreaWrite;

Area& formatted(TestWorld& w) {
  REQUIRE(w.format(small_area()));
  return w.open();
}

std::vector<std::byte> read(TestWorld& w, Area& area, BlockRange blocks) {
  std::vector<std::byte> out(blocks.count * kBlockBytes);
  Result<> done = w.run(area.read(blocks, out));
  if (!done) FAIL(done.error().text);
  return out;
}

/// compose and warm until there is an answer.
Result<Composed> compose(TestWorld& w, Area& area, const std::vector<AreaWrite>& writes, Bytes payload) {
  for (int i = 0; i < 100; ++i) {
    auto composed = area.compose(writes, payload);
    if (composed) return std::move(*composed);
    Result<> warmed = w.run(area.warm(writes));
    if (!warmed) return std::unexpected(warmed.error());
  }
  FAIL("compose never had what warm() was to bring");
  return fail(Errc::io, "");
}

void write(TestWorld& w, Area& area, const std::vector<AreaWrite>& writes, Bytes payload) {
  Result<Composed> composed = compose(w, area, writes, payload);
  if (!composed) FAIL(composed.error().text);
  std::vector<BlockRange> touched;
  for (const Composed::Part& part : composed->parts) touched.push_back(part.blocks);
  while (!area.suspects().cover(touched)) REQUIRE(w.run(area.suspects().mark(touched)));
  REQUIRE(area.write(*composed));
}

/// Reads blocks again and again, until `rounds` are over; the first error.
runtime::Task<Result<>> read_often(Blocks& area, BlockRange blocks, int rounds) {
  std::vector<std::byte> into(blocks.count * kBlockBytes);
  for (int i = 0; i < rounds; ++i) {
    Result<> done = co_await area.read(blocks, into);
    if (!done) co_return done;
  }
  co_return Result<>{};
}

runtime::Task<Result<>> write_often(sim::Process& process, Blocks& area, BlockRange blocks, int rounds) {
  std::vector<std::byte> data(blocks.count * kBlockBytes);
  for (int i = 0; i < rounds; ++i) {
    std::memset(data.data(), i, data.size());
    const std::vector<AreaWrite> writes{{blocks.first * kBlockBytes, data.size()}};
    auto composed = area.compose(writes, data);
    if (!composed) {
      Result<> warmed = co_await area.warm(writes);
      if (!warmed) co_return warmed;
      continue;
    }
    if (!*composed) co_return std::unexpected(composed->error());
    Result<> done = area.write(**composed);
    if (!done) co_return done;
    co_await process.delay(Duration(30'000));
  }
  co_return Result<>{};
}

/// A medium that takes what it reads long before it answers: whatever was written in between, the answer is old.
class OldAnswers final : public runtime::File {
 public:
  OldAnswers(sim::Process& process, std::unique_ptr<runtime::File> file) : process_(process), file_(std::move(file)) {}
  std::uint64_t bytes() const override { return file_->bytes(); }
  std::optional<Result<>> try_read(std::uint64_t offset, MutableBytes into) override { return file_->try_read(offset, into); }
  runtime::Task<Result<>> read(std::uint64_t offset, MutableBytes into) override {
    Result<> done = co_await file_->read(offset, into);
    co_await process_.delay(Duration(200'000));
    co_return done;
  }
  Result<> write_now(std::uint64_t offset, std::span<const Bytes> parts) override { return file_->write_now(offset, parts); }
  void start_write_back(ByteRange range) override { file_->start_write_back(range); }
  runtime::Task<Result<>> sync(ByteRange range) override { return file_->sync(range); }

 private:
  sim::Process& process_;
  std::unique_ptr<runtime::File> file_;
};

}  // namespace

TEST_CASE("a new area is zeros with the checksum of zeros") {
  TestWorld w;
  Area& area = formatted(w);
  CHECK(read(w, area, {0, 64}) == std::vector<std::byte>(64 * kBlockBytes));
  CHECK(area.stored_checksum(63) == zero_block_checksum());
  CHECK(area.counters().blocks_read == 64);
}

TEST_CASE("aligned writes are not copied") {
  TestWorld w;
  Area& area = formatted(w);
  const auto data = pattern(8 * kBlockBytes, 1);
  const auto composed = compose(w, area, {{3 * kBlockBytes, data.size()}}, data);
  REQUIRE(composed);
  CHECK(composed->edges.empty());
  REQUIRE(composed->parts.size() == 1);
  CHECK(composed->parts[0].blocks == BlockRange{3, 8});
  REQUIRE(composed->parts[0].bytes.size() == 1);
  CHECK(composed->parts[0].bytes[0].data() == data.data());
  CHECK(composed->parts[0].bytes[0].size() == data.size());
  REQUIRE(composed->checksums.size() == 8);
  CHECK(composed->checksums[7] == checksum(Bytes(data).subspan(7 * kBlockBytes)));
}

TEST_CASE("writes that lie side by side are one part") {
  TestWorld w;
  Area& area = formatted(w);
  const auto data = pattern(4 * kBlockBytes, 1);
  const auto composed = compose(w, area, {{0, kBlockBytes}, {kBlockBytes, 2 * kBlockBytes}, {9 * kBlockBytes, kBlockBytes}}, data);
  REQUIRE(composed);
  REQUIRE(composed->parts.size() == 2);
  CHECK(composed->parts[0].blocks == BlockRange{0, 3});
  CHECK(composed->parts[0].bytes.size() == 1);
}

TEST_CASE("fresh blocks are zeros around the data, others keep what stands there") {
  TestWorld w;
  Area& area = formatted(w);
  const auto old = pattern(2 * kBlockBytes, 2);
  write(w, area, {{0, old.size()}}, old);
  const auto data = pattern(10, 3);
  write(w, area, {{100, 10}}, data);
  write(w, area, {{kBlockBytes + 100, 10, true}}, data);
  auto expected = old;
  std::memcpy(expected.data() + 100, data.data(), 10);
  std::memset(expected.data() + kBlockBytes, 0, kBlockBytes);
  std::memcpy(expected.data() + kBlockBytes + 100, data.data(), 10);
  CHECK(read(w, area, {0, 2}) == expected);
}

TEST_CASE("what an effect's writes must not be is refused") {
  TestWorld w;
  Area& area = formatted(w);
  const std::uint64_t end = 64 * kBlockBytes;
  const auto data = pattern(8192, 1);
  const auto refused = [&](std::vector<AreaWrite> writes, std::size_t payload) {
    const auto composed = area.compose(writes, Bytes(data).first(payload));
    return composed && !*composed && composed->error().code == Errc::invalid;
  };
  CHECK(refused({{0, 0}}, 0));
  CHECK(refused({{end, 1}}, 1));
  CHECK(refused({{end - 1, 2}}, 2));
  CHECK(refused({{UINT64_MAX, 2}}, 2));
  CHECK(refused({{4096, UINT64_MAX}}, 1));
  CHECK(refused({{0, 10}}, 9));
  CHECK(refused({{0, 10}}, 11));
  CHECK(refused({{0, 10}, {10, 10}}, 20));
  CHECK(refused({{8192, 4096}, {0, 4096}, {8191, 1}}, 8193 - 1));
  CHECK(refused({{8192, 4096}, {4096, 4097 - 1}, {4096, 4096, false, true}}, 8192));
  CHECK_FALSE(refused({{8192, 4096}, {4096, 4096}}, 8192));
}

TEST_CASE("a bad block is named, where it is read, composed or only looked at") {
  TestWorld w;
  Area& area = formatted(w);
  w.storage().corrupt(kExtentsFile, {7 * kBlockBytes + 5, 1});
  std::vector<std::byte> into(10 * kBlockBytes);
  const auto read = w.run(area.read({0, 10}, into));
  REQUIRE_FALSE(read);
  CHECK(read.error().code == Errc::corrupt);
  CHECK(read.error().text == "block 7 does not match its checksum");
  CHECK(area.counters().bad_blocks == 1);
  for (std::optional<Result<>> tried; !tried;) {
    tried = area.try_read({7, 1}, std::span(into).first(kBlockBytes));
    if (tried) CHECK(tried->error().code == Errc::corrupt);
  }
  CHECK(w.run(area.read_raw({0, 10}, into)));
  const auto composed = compose(w, area, {{7 * kBlockBytes + 1, 1}}, Bytes(into).first(1));
  REQUIRE_FALSE(composed);
  CHECK(composed.error().code == Errc::corrupt);
  // A write of the whole block needs nothing of it and makes it good.
  write(w, area, {{7 * kBlockBytes, kBlockBytes}}, Bytes(into).first(kBlockBytes));
  CHECK(w.run(area.read({0, 10}, into)));
}

TEST_CASE("a read that races writes never reports a bad block") {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    TestWorld w(seed);
    REQUIRE(w.format(small_area()));
    auto extents = w.world().disk.open(kExtentsFile);
    auto table = w.world().disk.map(kChecksumsFile);
    REQUIRE(extents);
    REQUIRE(table);
    const LogPoint log;
    Blocks blocks(std::make_unique<OldAnswers>(*w.process, std::move(*extents)), std::move(*table), 64,
                  log, failure(w));
    w.storage().weather.miss_permille = 800;
    auto wrote = std::make_shared<std::optional<Result<>>>();
    w.process->spawn(keep_result(write_often(*w.process, blocks, {5, 3}, 200), wrote));
    const Result<> read = w.run(read_often(blocks, {4, 5}, 40));
    if (!read) FAIL(read.error().text);
    REQUIRE(w.universe.run_until([&] { return wrote->has_value(); }, std::chrono::minutes(1)));
    CHECK((*wrote)->has_value());
    CHECK(blocks.counters().bad_blocks == 0);
    // A block that is bad all the time is still found to be so.
    w.storage().corrupt(kExtentsFile, {4 * kBlockBytes, 1});
    CHECK(w.run(read_often(blocks, {4, 5}, 1)).error().code == Errc::corrupt);
  }
}

TEST_CASE("after a failed write or sync nothing more is written") {
  TestWorld w;
  Area& area = formatted(w);
  const auto data = pattern(kBlockBytes, 1);
  write(w, area, {{0, kBlockBytes}}, data);
  w.storage().weather.sync_error_permille = 1000;
  const auto synced = w.run(area.sync({{0, kBlockBytes}}, false));
  REQUIRE_FALSE(synced);
  CHECK(synced.error().code == Errc::io);
  w.storage().weather.sync_error_permille = 0;
  CHECK(w.run(area.sync({{0, kBlockBytes}}, false)).error().code == Errc::io);
  const auto composed = compose(w, area, {{0, kBlockBytes}}, data);
  REQUIRE(composed);
  CHECK(area.write(*composed).error().code == Errc::io);
  CHECK_FALSE(w.run(area.close()));
}

TEST_CASE("synced blocks survive loss of power with their checksums") {
  for (std::uint64_t seed = 1; seed <= 50; ++seed) {
    TestWorld w(seed);
    Area& area = formatted(w);
    const auto data = pattern(5 * kBlockBytes, seed);
    write(w, area, {{2 * kBlockBytes, data.size()}}, data);
    REQUIRE(w.run(area.sync({{2 * kBlockBytes + 1, 1}, {3 * kBlockBytes, 4 * kBlockBytes}}, false)));
    write(w, area, {{20 * kBlockBytes, data.size()}}, data);
    w.lose_power();
    CHECK(read(w, w.open(), {2, 5}) == data);
  }
}

TEST_CASE("random writes do what a plain array does") {
  for (std::uint64_t seed = 1; seed <= 30; ++seed) {
    TestWorld w(seed);
    Area* area = &formatted(w);
    sim::Prng prng(seed);
    std::vector<std::byte> model(64 * kBlockBytes);
    for (int i = 0; i < 60; ++i) {
      std::vector<AreaWrite> writes;
      std::uint64_t payload_bytes = 0;
      std::uint64_t at = prng.below(20) * kBlockBytes;
      for (std::uint64_t n = 1 + prng.below(3); n > 0 && at < 60 * kBlockBytes; --n) {
        AreaWrite one;
        one.address = at + (prng.chance(500) ? prng.below(kBlockBytes) : 0);
        one.length = prng.chance(300) ? kBlockBytes * (1 + prng.below(3)) : 1 + prng.below(3 * kBlockBytes);
        one.fresh = prng.chance(300);
        one.zeros = prng.chance(300);
        if (!one.zeros) payload_bytes += one.length;
        writes.push_back(one);
        at = (one.address + one.length + kBlockBytes - 1) / kBlockBytes * kBlockBytes + prng.below(3) * kBlockBytes;
      }
      if (prng.chance(500)) std::swap(writes.front(), writes.back());
      const auto payload = pattern(payload_bytes, prng.next());
      const auto composed = compose(w, *area, writes, payload);
      if (!composed) FAIL(composed.error().text);
      REQUIRE(w.run(area->suspects().mark_all()));
      REQUIRE(area->write(*composed));
      std::size_t used = 0;
      std::size_t sum = 0;
      for (const AreaWrite& one : writes) {
        const std::uint64_t first = one.address / kBlockBytes * kBlockBytes;
        const std::uint64_t end = (one.address + one.length + kBlockBytes - 1) / kBlockBytes * kBlockBytes;
        if (one.fresh) std::memset(model.data() + first, 0, end - first);
        if (one.zeros) {
          std::memset(model.data() + one.address, 0, one.length);
        } else {
          std::memcpy(model.data() + one.address, payload.data() + used, one.length);
          used += one.length;
        }
        for (std::uint64_t block = first; block < end; block += kBlockBytes)
          REQUIRE(composed->checksums.at(sum++) == checksum(Bytes(model).subspan(block, kBlockBytes)));
      }
      REQUIRE(sum == composed->checksums.size());
      if (i == 30) {
        // Nothing written is lost with the process.
        w.kill();
        area = &w.open();
      }
      if (i % 10 == 9) REQUIRE(read(w, *area, {0, 64}) == model);
    }
  }
}

}  // namespace lockstep::area
