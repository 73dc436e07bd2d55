// unwritten_test.cc - after a loss of power no block shows what another file had left there, and none loses what was synced (C4).
#include "area/unwritten.h"

#include <cstring>
#include <map>

#include "area_world.h"
#include "core/checksum.h"

namespace lockstep::area {
namespace {

Area& formatted(TestWorld& w) {
  REQUIRE(w.format(small_area()));
  Area& area = w.open();
  REQUIRE(w.run(area.suspects().mark_all()));
  // What the tests lose, they lose on purpose.
  w.storage().weather.write_back_permille = 0;
  return area;
}

/// Puts whole blocks in force, with a record if it is the first write of the file (`fresh`) or changes the metadata (`logged`).
void write(TestWorld& w, Area& area, std::uint64_t seq, BlockRange blocks, Bytes bytes, bool fresh, bool logged) {
  wire::Effect e;
  e.epoch = Epoch{1};
  e.seq = Seq{seq};
  e.request = {SiteId{1}, 1, seq};
  e.batch.push_back({"key", "value"});
  e.writes.push_back({blocks.first * kBlockBytes, blocks.count * kBlockBytes, fresh, false});
  auto composed = area.compose(e.writes, bytes);
  while (!composed) {
    REQUIRE(w.run(area.warm(e.writes)));
    composed = area.compose(e.writes, bytes);
  }
  REQUIRE(*composed);
  e.checksums = (*composed)->checksums;
  if (logged) REQUIRE(area.log().append(e));
  REQUIRE(area.write(**composed));
  REQUIRE(area.log().flush());
}

void sync_blocks(TestWorld& w, Area& area, BlockRange blocks, bool log_too) {
  std::vector<ByteRange> ranges{{blocks.first * kBlockBytes, blocks.count * kBlockBytes}};
  REQUIRE(w.run(area.sync(std::move(ranges), log_too)));
}

std::vector<std::byte> raw(TestWorld& w, Area& area, BlockRange blocks) {
  std::vector<std::byte> out(blocks.count * kBlockBytes);
  REQUIRE(w.run(area.read_raw(blocks, out)));
  return out;
}

/// Puts `bytes` on the medium at once: as if the kernel had written them back.
void store(TestWorld& w, const char* name, std::uint64_t offset, Bytes bytes) {
  auto file = w.world().disk.open(name);
  REQUIRE(file);
  const std::array<Bytes, 1> parts{bytes};
  REQUIRE((*file)->write_now(offset, parts));
  REQUIRE(w.run((*file)->sync({offset, bytes.size()})));
}

const std::vector<std::byte> kZeros(kBlockBytes);

}  // namespace

TEST_CASE("a new block whose data was lost becomes zeros, one whose data came stays") {
  TestWorld w;
  Area& area = formatted(w);
  const auto old = pattern(2 * kBlockBytes, 1);
  const auto fresh = pattern(2 * kBlockBytes, 2);
  write(w, area, 1, {5, 2}, old, true, true);
  sync_blocks(w, area, {0, 64}, true);
  write(w, area, 2, {5, 2}, fresh, true, true);
  REQUIRE(w.run(area.sync({}, true)));  // the record is stable, the blocks and the table are not
  store(w, kExtentsFile, 6 * kBlockBytes, Bytes(fresh).last(kBlockBytes));
  w.lose_power();
  // Whichever of the two the medium had taken:
  Area& after = w.open();
  const auto found = raw(w, after, {5, 2});
  const Bytes first = Bytes(found).first(kBlockBytes);
  const Bytes second = Bytes(found).last(kBlockBytes);
  CHECK(std::ranges::equal(second, Bytes(fresh).last(kBlockBytes)));
  const bool zeroed = std::ranges::equal(first, kZeros);
  const bool came = std::ranges::equal(first, Bytes(fresh).first(kBlockBytes));
  CHECK((zeroed || came));
  CHECK(after.counters().zeroed == (zeroed ? 1u : 0u));
  if (zeroed) CHECK(after.stored_checksum(5) == zero_block_checksum());
}

TEST_CASE("what stood in a block before is never shown, though it matches its checksum in the table") {
  std::uint64_t zeroed = 0;
  for (std::uint64_t seed = 1; seed <= 60; ++seed) {
    TestWorld w(seed);
    Area& area = formatted(w);
    const auto secret = pattern(kBlockBytes, 1);
    const auto mine = pattern(kBlockBytes, 2);
    write(w, area, 1, {5, 1}, secret, true, true);
    sync_blocks(w, area, {0, 64}, true);
    write(w, area, 2, {5, 1}, mine, true, true);
    REQUIRE(w.run(area.sync({}, true)));
    w.lose_power();
    Area& after = w.open();
    const auto found = raw(w, after, {5, 1});
    REQUIRE((found == mine || found == kZeros));
    zeroed += after.counters().zeroed;
  }
  CHECK(zeroed > 10);
}

TEST_CASE("an overwrite that was synced is kept: its checksum is in the table only") {
  for (std::uint64_t seed = 1; seed <= 60; ++seed) {
    TestWorld w(seed);
    Area& area = formatted(w);
    const auto old = pattern(kBlockBytes, 1);
    write(w, area, 1, {5, 1}, old, true, true);
    sync_blocks(w, area, {0, 64}, true);
    write(w, area, 2, {5, 1}, pattern(kBlockBytes, 2), true, true);
    // Be it the very bytes that another file had there.
    const auto last = seed % 2 == 0 ? old : pattern(kBlockBytes, 3);
    write(w, area, 3, {5, 1}, last, false, false);
    sync_blocks(w, area, {5, 1}, true);
    w.lose_power();
    Area& after = w.open();
    REQUIRE(raw(w, after, {5, 1}) == last);
    REQUIRE(after.counters().zeroed == 0);
  }
}

TEST_CASE("a checksum that a process stored which was killed before its record was written vouches for nothing later") {
  std::uint64_t zeroed = 0;
  for (std::uint64_t seed = 1; seed <= 40; ++seed) {
    TestWorld w(seed);
    Area* area = &formatted(w);
    const auto secret = pattern(kBlockBytes, 1);
    write(w, *area, 1, {5, 1}, secret, true, true);
    sync_blocks(w, *area, {0, 64}, true);
    // A neighbour in the same sector of the table; the record is appended and never written.
    wire::Effect lost;
    lost.seq = Seq{2};
    lost.batch.push_back({"k", std::string(500, 'v')});
    REQUIRE(area->log().append(lost));
    const std::vector<wire::AreaWrite> writes{{9 * kBlockBytes, kBlockBytes}};
    const auto bytes = pattern(kBlockBytes, 4);
    const auto composed = area->compose(writes, bytes);
    REQUIRE((composed && *composed));
    REQUIRE(area->write(**composed));
    w.kill();
    area = &w.open();
    sync_blocks(w, *area, {9, 1}, false);
    write(w, *area, 2, {5, 1}, pattern(kBlockBytes, 2), true, true);
    REQUIRE(w.run(area->sync({}, true)));
    w.lose_power();
    Area& after = w.open();
    REQUIRE(raw(w, after, {5, 1}) != secret);
    zeroed += after.counters().zeroed;
  }
  CHECK(zeroed > 5);
}

TEST_CASE("what an fsync promised is not made zeros because of a later write that reached the medium alone") {
  for (std::uint64_t seed = 1; seed <= 40; ++seed) {
    TestWorld w(seed);
    Area& area = formatted(w);
    auto data = pattern(kBlockBytes, 1);
    write(w, area, 1, {5, 1}, data, true, true);
    if (seed % 3 == 0) {
      // Be it that a daemon was killed in between.
      w.kill();
      Area& again = w.open();
      sync_blocks(w, again, {5, 1}, true);
    } else {
      sync_blocks(w, area, {5, 1}, true);
    }
    // The file grows within its last block; neither record nor checksum become stable, the block does.
    const auto longer = pattern(kBlockBytes / 2, 2);
    std::ranges::copy(longer, data.begin() + kBlockBytes / 2);
    store(w, kExtentsFile, 5 * kBlockBytes, data);
    w.lose_power();
    Area& after = w.open();
    REQUIRE(after.counters().zeroed == 0);
    REQUIRE(raw(w, after, {5, 1}) == data);
  }
}

TEST_CASE("a note says nothing of a block that became new behind it, or while its sync ran") {
  std::uint64_t zeroed = 0;
  for (std::uint64_t seed = 1; seed <= 60; ++seed) {
    TestWorld w(seed);
    Area& area = formatted(w);
    const auto secret = pattern(kBlockBytes, 1);
    write(w, area, 1, {5, 1}, secret, true, true);
    auto synced = std::make_shared<std::optional<Result<>>>();
    std::vector<ByteRange> ranges{{0, 10 * kBlockBytes}};
    w.process->spawn(keep_result(area.sync(std::move(ranges), true), synced));
    w.universe.run_for(Duration(static_cast<std::int64_t>(seed) * 50'000));
    write(w, area, 2, {5, 1}, pattern(kBlockBytes, 2), true, true);
    REQUIRE(w.universe.run_until([&] { return synced->has_value(); }, std::chrono::seconds(1)));
    REQUIRE(w.run(area.log().sync()));
    w.lose_power();
    Area& after = w.open();
    REQUIRE(raw(w, after, {5, 1}) != secret);
    zeroed += after.counters().zeroed;
  }
  CHECK(zeroed > 5);
}

TEST_CASE("a sync of blocks that are not new makes blocks and log stable side by side") {
  TestWorld w;
  Area& area = formatted(w);
  w.storage().weather.sync_min = w.storage().weather.sync_max = std::chrono::milliseconds(1);
  const auto data = pattern(kBlockBytes, 1);
  const auto time_of_sync = [&] {
    const Instant begin = w.universe.now();
    sync_blocks(w, area, {5, 1}, true);
    return w.universe.now() - begin;
  };
  write(w, area, 1, {5, 1}, data, true, true);
  CHECK(time_of_sync() > std::chrono::microseconds(1900));
  write(w, area, 2, {5, 1}, data, false, true);
  CHECK(time_of_sync() < std::chrono::microseconds(1900));
}

TEST_CASE("any later record of a block vouches for its bytes, an earlier one does not") {
  TestWorld w;
  Area& area = formatted(w);
  const auto one = pattern(kBlockBytes, 1), two = pattern(kBlockBytes, 2), three = pattern(kBlockBytes, 3);
  for (const std::uint64_t block : {5, 6, 7}) {
    write(w, area, block * 10, {block, 1}, one, true, true);
    write(w, area, block * 10 + 1, {block, 1}, two, true, true);
    write(w, area, block * 10 + 2, {block, 1}, three, false, true);
  }
  // No note says that they are stable: the log is not part of it.
  sync_blocks(w, area, {0, 64}, false);
  REQUIRE(w.run(area.log().sync()));
  // The table has the checksum of `three` for all of them.
  store(w, kExtentsFile, 5 * kBlockBytes, one);
  store(w, kExtentsFile, 6 * kBlockBytes, two);
  w.lose_power();
  Area& after = w.open();
  CHECK(raw(w, after, {5, 1}) == kZeros);
  CHECK(raw(w, after, {6, 1}) == two);
  CHECK(raw(w, after, {7, 1}) == three);
  CHECK(after.counters().zeroed == 1);
}

TEST_CASE("blocks that are not new, or not suspect, are left as they are") {
  TestWorld w;
  Area& area = formatted(w);
  const auto one = pattern(kBlockBytes, 1), torn = pattern(kBlockBytes, 9);
  write(w, area, 1, {5, 1}, one, false, true);
  write(w, area, 2, {6, 1}, one, true, true);
  sync_blocks(w, area, {0, 64}, true);
  store(w, kExtentsFile, 5 * kBlockBytes, torn);
  SECTION("not new") {}
  SECTION("not suspect") {
    write(w, area, 3, {6, 1}, one, true, true);
    REQUIRE(w.run(area.log().sync()));
    store(w, kExtentsFile, 6 * kBlockBytes, torn);
    // As if it had been cleared.
    std::vector<std::byte> none(8);
    store(w, kSuspectFile, 0, none);
  }
  w.lose_power();
  Area& after = w.open();
  CHECK(raw(w, after, {5, 1}) == torn);
  CHECK(raw(w, after, {6, 1}) == (after.suspects().count() == 0 ? torn : one));
  CHECK(after.counters().zeroed == 0);
}

TEST_CASE("a new block that can't be read stays an error") {
  TestWorld w;
  Area& area = formatted(w);
  write(w, area, 1, {5, 3}, pattern(3 * kBlockBytes, 1), true, true);
  sync_blocks(w, area, {0, 64}, false);
  REQUIRE(w.run(area.log().sync()));
  w.storage().make_unreadable(kExtentsFile, {6 * kBlockBytes, 512});
  w.lose_power();
  Area& after = w.open();
  CHECK(after.counters().zeroed == 0);
  std::vector<std::byte> into(kBlockBytes);
  CHECK(w.run(after.read({6, 1}, into)).error().code == Errc::io);
  CHECK(w.run(after.read({7, 1}, into)));
}

TEST_CASE("a kill zeroes nothing, and zeros of a loss of power are stable") {
  TestWorld w(3);
  Area& area = formatted(w);
  write(w, area, 1, {5, 4}, pattern(4 * kBlockBytes, 1), true, true);
  sync_blocks(w, area, {0, 64}, false);
  REQUIRE(w.run(area.log().sync()));
  store(w, kExtentsFile, 6 * kBlockBytes, pattern(kBlockBytes, 2));
  w.kill();
  CHECK(w.open().counters().zeroed == 0);
  w.lose_power();
  CHECK(w.open().counters().zeroed == 1);
  w.lose_power();
  Area& after = w.open();
  CHECK(after.counters().zeroed == 0);
  std::vector<std::byte> into(4 * kBlockBytes);
  CHECK(w.run(after.read({5, 4}, into)));
}

TEST_CASE("power lost at any write or sync of the open that looks for new blocks: the next one has the same answer") {
  for (std::uint64_t seed = 1; seed <= 60; ++seed) {
    TestWorld w(seed);
    Area& area = formatted(w);
    const auto one = pattern(kBlockBytes, 1), secret = pattern(kBlockBytes, 2);
    write(w, area, 1, {5, 1}, one, true, true);
    write(w, area, 2, {7, 1}, one, true, true);
    write(w, area, 3, {9, 1}, one, true, true);
    sync_blocks(w, area, {0, 64}, false);
    REQUIRE(w.run(area.log().sync()));
    store(w, kExtentsFile, 5 * kBlockBytes, secret);
    store(w, kExtentsFile, 9 * kBlockBytes, secret);
    w.lose_power();
    auto opened = std::make_shared<std::optional<Result<std::unique_ptr<Area>>>>();
    const bool at_sync = seed % 2 == 0;
    const std::uint64_t at = (at_sync ? w.storage().syncs() : w.storage().writes()) + 1 + seed / 2 % 12;
    w.storage().before_write = [&](std::uint64_t n) {
      if (!at_sync && n == at) w.machine.lose_power();
    };
    w.process->spawn(keep_result(Area::open(w.world(), w.machine.boot_id()), opened));
    w.universe.run_until(
        [&] { return w.machine.processes().empty() || opened->has_value() || (at_sync && w.storage().syncs() >= at); },
        std::chrono::minutes(1));
    w.storage().before_write = nullptr;
    if (opened->has_value()) w.process->keep(std::make_shared<std::unique_ptr<Area>>(std::move(***opened)));
    w.lose_power();
    Area& after = w.open();
    std::vector<std::byte> into(5 * kBlockBytes);
    REQUIRE(w.run(after.read({5, 5}, into)));
    CHECK(raw(w, after, {5, 1}) == kZeros);
    CHECK(raw(w, after, {7, 1}) == one);
    CHECK(raw(w, after, {9, 1}) == kZeros);
  }
}

TEST_CASE("random files on reused blocks, and losses of power at any time") {
  // Each file is one block. What is read after a loss of power is something that was written to that file, or zeros; at least
  // what was synced last.
  std::uint64_t zeroed = 0;
  std::uint64_t kept = 0;
  for (std::uint64_t seed = 1; seed <= 120; ++seed) {
    TestWorld w(seed);
    Area* area = &formatted(w);
    w.storage().weather.write_back_permille = 200;
    sim::Prng prng(seed);
    struct File {
      std::uint64_t made = 0;                      // seq of the record that made it
      std::vector<std::vector<std::byte>> written;
      std::size_t synced = 0;                      // written[synced - 1] is stable
    };
    std::map<std::uint64_t, File> files;  // by block
    std::uint64_t seq = 0;
    for (int life = 0; life < 4; ++life) {
      for (std::uint64_t i = 0, steps = prng.below(40); i < steps; ++i) {
        const std::uint64_t block = prng.below(6);
        File& file = files[block];
        const bool fresh = file.written.empty() || prng.chance(200);
        if (prng.chance(700)) {
          if (fresh) {
            // Freed, and taken again: not before all is stable (C3).
            std::vector<ByteRange> everything{{0, area->identity().blocks * kBlockBytes}};
            REQUIRE(w.run(area->sync(std::move(everything), true)));
            for (auto& [b, f] : files) f.synced = f.written.size();
            file = File{};
            file.made = seq + 1;
          }
          // Few contents, so that the same ones come again.
          file.written.push_back(pattern(kBlockBytes, prng.below(5)));
          write(w, *area, ++seq, {block, 1}, file.written.back(), fresh, fresh || prng.chance(300));
        } else {
          sync_blocks(w, *area, {block, 1}, true);
          file.synced = file.written.size();
        }
      }
      w.lose_power();
      area = &w.open();
      zeroed += area->counters().zeroed;
      const Seq last = area->log().last();
      for (auto it = files.begin(); it != files.end();) {
        auto& [block, file] = *it;
        if (file.made > last.value) {
          REQUIRE(file.synced == 0);
          it = files.erase(it);
          continue;
        }
        const auto found = raw(w, *area, {block, 1});
        const bool matches = checksum(found) == area->stored_checksum(block);
        const auto from = file.written.begin() + static_cast<std::ptrdiff_t>(file.synced == 0 ? 0 : file.synced - 1);
        const bool of_file = std::find(from, file.written.end(), found) != file.written.end();
        const bool last_synced = file.synced == file.written.size();
        // What was synced never becomes zeros, whatever was written to it since.
        if (file.synced != 0 && std::find(from, file.written.end(), kZeros) == file.written.end()) REQUIRE(found != kZeros);
        INFO("seed " << seed << " block " << block << " synced " << file.synced << " of " << file.written.size());
        if (last_synced && file.synced != 0) REQUIRE((of_file && matches));
        // A mixture of two writes to one file is found by C2: it does not match. It is no new block of which nothing is known.
        if (matches && !last_synced) REQUIRE((of_file || found == kZeros));
        kept += of_file ? 1 : 0;
        ++it;
      }
      seq = std::max(seq, last.value);
      REQUIRE(w.run(area->adopt({0, 64})));
      std::vector<ByteRange> everything{{0, area->identity().blocks * kBlockBytes}};
      REQUIRE(w.run(area->sync(std::move(everything), true)));
      for (auto& [block, file] : files) {
        file.written = {raw(w, *area, {block, 1})};
        file.synced = 1;
      }
    }
  }
  CHECK(zeroed > 20);
  CHECK(kept > 200);
}

TEST_CASE("check says which blocks do not match, and adopt makes them match") {
  TestWorld w;
  Area& area = formatted(w);
  const auto data = pattern(10 * kBlockBytes, 1);
  write(w, area, 1, {20, 10}, data, true, true);
  w.storage().corrupt(kExtentsFile, {22 * kBlockBytes + 7, 1});
  w.storage().corrupt(kChecksumsFile, {checksum_place(25), 1});
  w.storage().make_unreadable(kExtentsFile, {28 * kBlockBytes, 1});
  std::vector<std::byte> into(12 * kBlockBytes, std::byte{1});
  const auto bad = w.run(area.check({19, 12}, into));
  REQUIRE(bad);
  std::vector<bool> expected(12);
  expected[3] = expected[6] = expected[9] = true;
  CHECK(*bad == expected);
  CHECK(std::ranges::equal(Bytes(into).subspan(kBlockBytes, 2 * kBlockBytes), Bytes(data).first(2 * kBlockBytes)));
  CHECK(std::ranges::equal(Bytes(into).subspan(9 * kBlockBytes, kBlockBytes), kZeros));
  CHECK(std::to_integer<int>(into[3 * kBlockBytes + 7]) == (std::to_integer<int>(data[2 * kBlockBytes + 7]) ^ 0xFF));
  CHECK(w.run(area.adopt({20, 10})).error().code == Errc::io);
  const auto adopted = w.run(area.adopt({19, 8}));
  REQUIRE(adopted);
  CHECK(*adopted + 0 <= 2);
  std::vector<std::byte> eight(8 * kBlockBytes);
  CHECK(w.run(area.read({19, 8}, eight)));
  CHECK(*w.run(area.adopt({19, 8})) == 0);
}

TEST_CASE("check refuses too many blocks, and blocks that are not there") {
  TestWorld w;
  REQUIRE(w.format(large_area(2)));
  Area& area = w.open();
  std::vector<std::byte> into((kCheckBlocksMax + 1) * kBlockBytes);
  CHECK(w.run(area.check({0, kCheckBlocksMax + 1}, into)).error().code == Errc::invalid);
  CHECK(w.run(area.check({0, kCheckBlocksMax}, MutableBytes(into).first(kCheckBlocksMax * kBlockBytes))));
  CHECK(w.run(area.check({kCheckBlocksMax, 2}, MutableBytes(into).first(2 * kBlockBytes))).error().code == Errc::invalid);
}

TEST_CASE("the bytes of the table stay what they are") {
  TestWorld w;
  Area& area = formatted(w);
  const auto data = pattern(3 * kBlockBytes, 1);
  REQUIRE(w.storage().peek(kChecksumsFile).size() == 1024);
  write(w, area, 1, {61, 3}, data, true, true);
  std::array<std::uint64_t, 128> table{};
  std::memcpy(table.data(), w.storage().peek(kChecksumsFile).data(), sizeof table);
  CHECK(table[60] == zero_block_checksum());
  CHECK(table[61] == checksum(Bytes(data).first(kBlockBytes)));
  CHECK(table[64] == checksum(Bytes(data).subspan(kBlockBytes, kBlockBytes)));
  CHECK(table[65] == checksum(Bytes(data).last(kBlockBytes)));
  CHECK(table[62] == 1);                       // run
  CHECK(table[63] == area.log().bytes_used());  // position
  CHECK(table[126] == 1);
}

}  // namespace lockstep::area
