#include "site.h"

#include "volume/draft.h"

using namespace lockstep;
using namespace lockstep::volume;

namespace {
constexpr std::uint64_t kChunk = 8 * kMiB;
constexpr std::uint64_t kTiB = std::uint64_t{1} << 40;

/// One block in each of `n` chunks.
void scatter(Pair& pair, InodeId file, std::uint64_t n) {
  for (std::uint64_t i = 0; i < n; ++i) REQUIRE(pair.write(file, i * kChunk, "chunk").error == 0);
}
}  // namespace

TEST_CASE("files may be 2 PiB large") {
  Pair pair;
  const InodeId f = pair.file("f");
  REQUIRE(pair.truncate(f, kFileBytesMax).error == 0);
  REQUIRE(pair.truncate(f, kFileBytesMax + 1).error == EFBIG);
  REQUIRE(pair.write(f, kFileBytesMax - 1, "x").error == 0);
  REQUIRE(pair.write(f, kFileBytesMax - 1, "xy").error == EFBIG);
  REQUIRE(pair.append(f, "x").error == EFBIG);
  REQUIRE(pair.read(f, kFileBytesMax - 3, 10) == std::string("\0\0x", 3));
  REQUIRE(pair.allocate(f, kFileBytesMax, 1, 0).error == EFBIG);
  REQUIRE(pair.unlink(kRootInode, "f").error == 0);
  pair.reap();
  REQUIRE(pair.keys_of('R') == 0);
}

TEST_CASE("a write of more than 1 MiB is refused") {
  Pair pair;
  const InodeId f = pair.file("f");
  REQUIRE(pair.write(f, 0, std::string(kMiB, 'x')).error == 0);
  REQUIRE(pair.write(f, 0, std::string(kMiB + 1, 'x')).error == EINVAL);
}

TEST_CASE("a huge file is cut short at once, its space given back in steps") {
  Pair pair;
  const std::uint64_t free = pair.a.volume->statistics().blocks_free;
  const InodeId f = pair.file("f");
  scatter(pair, f, 600);
  REQUIRE(pair.write(f, 16 * kTiB, "far").error == 0);
  const wire::Outcome cut = pair.truncate(f, 5 * kChunk + 3);
  REQUIRE(cut.error == 0);
  REQUIRE(cut.value == 1);
  REQUIRE(cut.attributes.size == 5 * kChunk + 3);
  // What was cut is zeros, whether trimmed or not.
  REQUIRE(pair.truncate(f, 17 * kTiB).error == 0);
  REQUIRE(pair.read(f, 5 * kChunk, 10) == std::string("chu\0\0\0\0\0\0\0", 10));
  REQUIRE(pair.read(f, 6 * kChunk, 5) == std::string(5, '\0'));
  REQUIRE(pair.read(f, 16 * kTiB, 3) == std::string(3, '\0'));
  REQUIRE(pair.write(f, 300 * kChunk + 2, "new").error == 0);
  int steps = 0;
  while (pair.change(Pair::op(wire::OpKind::trim, f)).value == 1) ++steps;
  REQUIRE(steps >= 1);
  REQUIRE(pair.read(f, 300 * kChunk, 6) == std::string("\0\0new", 5) + '\0');
  REQUIRE(pair.read(f, 5 * kChunk, 5) == std::string("chu\0\0", 5));
  REQUIRE(pair.attributes(f).blocks == 7 * 8);
  REQUIRE(pair.a.volume->statistics().blocks_free == free - 7);
  pair.require_equal();
}

TEST_CASE("a file that is cut again and again before its space is given back keeps what is before each cut") {
  Pair pair;
  const InodeId f = pair.file("f");
  scatter(pair, f, 900);
  REQUIRE(pair.truncate(f, 10 * kChunk).value == 1);
  REQUIRE(pair.write(f, 20 * kChunk, "kept!").error == 0);
  REQUIRE(pair.write(f, 700 * kChunk, "gone!").error == 0);
  REQUIRE(pair.truncate(f, 30 * kChunk).value == 1);
  REQUIRE(pair.truncate(f, 1000 * kChunk).error == 0);
  REQUIRE(pair.read(f, 20 * kChunk, 5) == "kept!");
  REQUIRE(pair.read(f, 25 * kChunk, 5) == std::string(5, '\0'));
  REQUIRE(pair.read(f, 700 * kChunk, 5) == std::string(5, '\0'));
  pair.trim(f);
  REQUIRE(pair.read(f, 9 * kChunk, 5) == "chunk");
  REQUIRE(pair.read(f, 20 * kChunk, 5) == "kept!");
  REQUIRE(pair.read(f, 700 * kChunk, 5) == std::string(5, '\0'));
  REQUIRE(pair.attributes(f).blocks == 11 * 8);
  pair.require_equal();
}

TEST_CASE("a huge file is reaped in bounded steps") {
  Pair pair;
  const std::uint64_t free = pair.a.volume->statistics().blocks_free;
  const InodeId f = pair.file("f");
  scatter(pair, f, 700);
  REQUIRE(pair.unlink(kRootInode, "f").error == 0);
  const auto orphans = pair.a.run(pair.a.volume->orphans());
  int steps = 0;
  while (pair.change(reap_of(*orphans)).value == 1) {
    ++steps;
    REQUIRE(pair.last.effect.freed.size() <= 2 * kChunksPerEffect);
  }
  REQUIRE(steps >= 2);
  REQUIRE(pair.a.volume->statistics().blocks_free == free);
  REQUIRE(pair.keys_of('E') == 0);
  REQUIRE(pair.keys_of('O') == 0);
  pair.require_equal();
}

TEST_CASE("many orphans are reaped by one effect") {
  Pair pair;
  for (int i = 0; i < 300; ++i) {
    const std::string name = "f" + std::to_string(i);
    REQUIRE(pair.write(pair.file(name), 0, "x").error == 0);
    REQUIRE(pair.unlink(kRootInode, name).error == 0);
  }
  const auto orphans = pair.a.run(pair.a.volume->orphans());
  REQUIRE(orphans->size() == 300);
  int effects = 0;
  do ++effects;
  while (pair.change(reap_of(*orphans)).value == 1);
  REQUIRE(effects <= 2);
  REQUIRE(pair.keys_of('I') == 1);
}

TEST_CASE("orphans whose keys must be scanned are reaped a few at a time") {
  Pair pair;
  for (int i = 0; i < 50; ++i) {
    const std::string name = "f" + std::to_string(i);
    const InodeId f = pair.file(name);
    REQUIRE(pair.set_xattr(f, "user.x", "y").error == 0);
    REQUIRE(pair.write(f, 20 * kChunk, "x").error == 0);
    REQUIRE(pair.unlink(kRootInode, name).error == 0);
  }
  pair.a.restart();
  pair.reap();
  REQUIRE(pair.keys_of('I') == 1);
  REQUIRE(pair.keys_of('X') == 0);
}

TEST_CASE("fallocate of a large range says how far it came") {
  Pair pair;
  const InodeId f = pair.file("f");
  std::uint64_t offset = 1000, left = 10000 * kMiB;
  int steps = 0;
  while (left > 0) {
    const wire::Outcome done = pair.allocate(f, offset, left, kPunchHoleFlag | kKeepSizeFlag);
    REQUIRE(done.error == 0);
    REQUIRE(done.value > 0);
    REQUIRE(done.value <= left);
    offset += done.value;
    left -= done.value;
    ++steps;
  }
  REQUIRE(steps == 10);
}

TEST_CASE("when too many times wait, they are written with the data") {
  Pair pair;
  const InodeId f = pair.file("f");
  REQUIRE(pair.write(f, 0, "abc").error == 0);
  for (std::uint64_t i = 0; i < kLazyTimesMax; ++i) {
    wire::Effect effect;
    effect.times = {InodeId{1'000'000 + i}, pair.now, pair.now};
    REQUIRE(pair.a.volume->apply(effect));
  }
  REQUIRE(pair.write(f, 0, "x").error == 0);
  REQUIRE(pair.last.effect.batch.size() == 1);
  REQUIRE(pair.last.effect.times.inode == kNoInode);
  REQUIRE(pair.attributes(f).mtime == pair.now);
}
