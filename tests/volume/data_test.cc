#include "site.h"

using namespace lockstep;
using namespace lockstep::volume;

TEST_CASE("what was written is read back, at both sites") {
  Pair pair;
  const InodeId f = pair.file("f");
  const std::string text = pattern(300'000, 1);
  const wire::Outcome outcome = pair.write(f, 0, text);
  REQUIRE(outcome.error == 0);
  REQUIRE(outcome.value == text.size());
  REQUIRE(outcome.attributes.size == text.size());
  REQUIRE(outcome.attributes.blocks == 74 * 8);
  REQUIRE(pair.read(pair.a, f, 0, 1 << 20) == text);
  REQUIRE(pair.read(pair.b, f, 0, 1 << 20) == text);
  REQUIRE(pair.read(f, 299'990, 100) == text.substr(299'990));
  REQUIRE(pair.read(f, 300'000, 100).empty());
  pair.require_equal();
}

TEST_CASE("an overwrite has no batch and drops just its pages") {
  Pair pair;
  const InodeId f = pair.file("f");
  REQUIRE(pair.write(f, 0, pattern(20000, 1)).error == 0);
  REQUIRE(pair.write(f, 5000, "hello").error == 0);
  const wire::Effect& effect = pair.last.effect;
  REQUIRE(effect.batch.empty());
  REQUIRE(effect.allocated.empty());
  REQUIRE(effect.writes.size() == 1);
  REQUIRE_FALSE(effect.writes[0].fresh);
  REQUIRE(effect.drops.size() == 1);
  REQUIRE(effect.drops[0].range == ByteRange{5000, 5});
  std::string expected = pattern(20000, 1);
  expected.replace(5000, 5, "hello");
  REQUIRE(pair.read(f, 0, 20000) == expected);
}

TEST_CASE("a write behind the end leaves a hole of zeros and drops what was behind the end") {
  Pair pair;
  const InodeId f = pair.file("f");
  REQUIRE(pair.write(f, 0, "abc").error == 0);
  REQUIRE(pair.write(f, 10000, "xyz").error == 0);
  REQUIRE(pair.last.effect.drops[0].range == ByteRange{3, 10000});
  REQUIRE(pair.read(f, 0, 20000) == "abc" + std::string(9997, '\0') + "xyz");
  REQUIRE(pair.attributes(f).blocks == 2 * 8);
  const auto pieces = pair.a.get([&] { return pair.a.volume->map(f, {0, 1 << 20}); });
  REQUIRE(pieces->size() == 3);
  REQUIRE((*pieces)[1].hole);
}

TEST_CASE("appends stand one behind the other and say where") {
  Pair pair;
  const InodeId f = pair.file("f");
  std::string expected;
  for (int i = 0; i < 50; ++i) {
    const std::string text = pattern(1 + i * 97, i);
    const wire::Outcome outcome = pair.append(f, text);
    REQUIRE(outcome.offset == expected.size());
    expected += text;
  }
  REQUIRE(pair.read(f, 0, 1 << 20) == expected);
  REQUIRE(pair.read(pair.b, f, 0, 1 << 20) == expected);
  pair.require_equal();
}

TEST_CASE("space ahead: none at first, then more each time, given back by trim; appends into it change one key") {
  Pair pair;
  const std::uint64_t free = pair.a.volume->statistics().blocks_free;
  const InodeId f = pair.file("f");
  REQUIRE(pair.append(f, pattern(4096, 1)).error == 0);
  REQUIRE(pair.attributes(f).blocks == 8);
  REQUIRE(pair.append(f, pattern(4096, 2)).error == 0);
  REQUIRE(pair.attributes(f).blocks == (2 + 16) * 8);
  for (int i = 0; i < 16; ++i) {
    REQUIRE(pair.append(f, pattern(4096, 3)).error == 0);
    REQUIRE(pair.last.effect.batch.size() == 1);
    REQUIRE(pair.last.effect.batch[0].key == inode_key(f));
    REQUIRE(pair.last.effect.writes[0].fresh);
  }
  REQUIRE(pair.append(f, pattern(4096, 3)).error == 0);
  REQUIRE(pair.attributes(f).blocks == (19 + 32) * 8);
  REQUIRE(pair.keys_of('R') == 1);  // one extent, contiguous
  pair.trim(f);
  REQUIRE(pair.attributes(f).blocks == 19 * 8);
  REQUIRE(pair.a.volume->statistics().blocks_free == free - 19);
  REQUIRE(pair.change(Pair::op(wire::OpKind::trim, f)).error == 0);
  REQUIRE_FALSE(pair.last.changes);
  pair.require_equal();
}

TEST_CASE("space ahead that the end moves over reads as zeros") {
  Pair pair;
  const InodeId f = pair.file("f");
  const std::string first = pattern(4096, 1), second = pattern(100, 2);
  const auto fill_ahead = [&] {
    REQUIRE(pair.append(f, first).error == 0);
    REQUIRE(pair.append(f, second).error == 0);
    // What stands in the blocks ahead is somebody's old data.
    const auto pieces = pair.a.get([&] { return pair.a.volume->map(f, {4096, 100}); });
    const std::uint64_t block = (*pieces)[0].address / kBlockBytes;
    wire::Effect effect;
    effect.writes.push_back({(block + 1) * kBlockBytes, 8 * kBlockBytes, false, false});
    effect.times = {f, pair.now, pair.now};
    pair.put_into_force(effect, std::string(8 * kBlockBytes, 'Z'));
  };
  fill_ahead();
  std::string expected = first + second;
  SECTION("truncated up") {
    REQUIRE(pair.truncate(f, 20000).error == 0);
    expected.resize(20000);
  }
  SECTION("a write behind it") {
    REQUIRE(pair.write(f, 20000, "x").error == 0);
    expected.resize(20000);
    expected += "x";
  }
  SECTION("fallocate") {
    REQUIRE(pair.allocate(f, 0, 20000, 0).value == 20000);
    expected.resize(20000);
  }
  SECTION("a small append into it") {
    REQUIRE(pair.write(f, 8192 + 5, "x").error == 0);
    expected.resize(8192 + 5);
    expected += "x";
    REQUIRE(pair.truncate(f, 12288).error == 0);
    expected.resize(12288);
  }
  REQUIRE(pair.read(f, 0, 1 << 20) == expected);
  REQUIRE(pair.read(pair.b, f, 0, 1 << 20) == expected);
}

TEST_CASE("truncation cuts, and what is cut never comes back") {
  Pair pair;
  const InodeId f = pair.file("f");
  const std::string text = pattern(20000, 1);
  REQUIRE(pair.write(f, 0, text).error == 0);
  REQUIRE(pair.truncate(f, 5000).error == 0);
  REQUIRE(pair.last.effect.drops[0].range == ByteRange{5000, 0});
  REQUIRE(pair.attributes(f).size == 5000);
  REQUIRE(pair.attributes(f).blocks == 2 * 8);
  REQUIRE(pair.truncate(f, 20000).error == 0);
  REQUIRE(pair.read(f, 0, 30000) == text.substr(0, 5000) + std::string(15000, '\0'));
  REQUIRE(pair.read(pair.b, f, 0, 30000) == text.substr(0, 5000) + std::string(15000, '\0'));
  REQUIRE(pair.truncate(f, 0).error == 0);
  REQUIRE(pair.keys_of('R') == 0);
  REQUIRE(pair.keys_of('E') == 0);
  pair.require_equal();
}

TEST_CASE("directories and devices have no size to set") {
  Pair pair;
  REQUIRE(pair.truncate(kRootInode, 0).error == EISDIR);
  const InodeId fifo = Pair::made(pair.create(kRootInode, "p", S_IFIFO | 0644));
  REQUIRE(pair.truncate(fifo, 0).error == EINVAL);
  REQUIRE(pair.write(kRootInode, 0, "x").error == EISDIR);
}

TEST_CASE("fallocate reserves blocks that read as zeros until they are written") {
  Pair pair;
  const InodeId f = pair.file("f");
  REQUIRE(pair.write(f, 0, "abc").error == 0);
  REQUIRE(pair.allocate(f, 0, 100'000, 0).value == 100'000);
  REQUIRE(pair.attributes(f).size == 100'000);
  REQUIRE(pair.attributes(f).blocks == 25 * 8);
  REQUIRE(pair.read(f, 0, 100'000) == "abc" + std::string(99'997, '\0'));
  REQUIRE(pair.write(f, 50'000, "x").error == 0);
  REQUIRE(pair.last.effect.allocated.empty());
  REQUIRE(pair.last.effect.writes[0].fresh);
  std::string expected = "abc" + std::string(99'997, '\0');
  expected[50'000] = 'x';
  REQUIRE(pair.read(f, 0, 100'000) == expected);
  REQUIRE(pair.keys_of('R') == 1);  // the blocks stand one behind the other
}

TEST_CASE("fallocate with KEEP_SIZE stays behind the end, through trim and appends") {
  Pair pair;
  const InodeId f = pair.file("f");
  REQUIRE(pair.allocate(f, 0, 40960, kKeepSizeFlag).value == 40960);
  REQUIRE(pair.attributes(f).size == 0);
  REQUIRE(pair.attributes(f).blocks == 10 * 8);
  pair.trim(f);
  REQUIRE(pair.attributes(f).blocks == 10 * 8);
  REQUIRE(pair.append(f, "abc").error == 0);
  REQUIRE(pair.last.effect.allocated.empty());
  REQUIRE(pair.truncate(f, 40960).error == 0);
  REQUIRE(pair.read(f, 0, 1 << 20) == "abc" + std::string(40957, '\0'));
}

TEST_CASE("punching gives blocks back and zeros the edges") {
  Pair pair;
  const InodeId f = pair.file("f");
  const std::string text = pattern(40960, 1);
  REQUIRE(pair.write(f, 0, text).error == 0);
  std::string expected = text;
  const auto punch = [&](std::uint64_t offset, std::uint64_t length) {
    REQUIRE(pair.allocate(f, offset, length, kPunchHoleFlag | kKeepSizeFlag).value == length);
    for (std::uint64_t i = offset; i < std::min<std::uint64_t>(offset + length, expected.size()); ++i) expected[i] = '\0';
    REQUIRE(pair.read(pair.a, f, 0, 1 << 20) == expected);
    REQUIRE(pair.read(pair.b, f, 0, 1 << 20) == expected);
  };
  punch(100, 200);
  REQUIRE(pair.attributes(f).blocks == 80);
  punch(4000, 8292);  // 4000 .. 12292: two whole blocks
  REQUIRE(pair.attributes(f).blocks == 64);
  punch(4096, 4096);
  punch(39000, 5000);  // beyond the end
  REQUIRE(pair.attributes(f).size == 40960);
  punch(0, 1 << 20);
  REQUIRE(pair.attributes(f).blocks == 0);
  REQUIRE(pair.keys_of('E') == 0);
  pair.require_equal();
}

TEST_CASE("zeroing keeps the blocks") {
  Pair pair;
  const InodeId f = pair.file("f");
  const std::string text = pattern(40960, 1);
  REQUIRE(pair.write(f, 0, text).error == 0);
  REQUIRE(pair.allocate(f, 5000, 10000, kZeroRangeFlag).error == 0);
  std::string expected = text;
  expected.replace(5000, 10000, 10000, '\0');
  REQUIRE(pair.read(f, 0, 1 << 20) == expected);
  REQUIRE(pair.attributes(f).blocks == 80);
  REQUIRE(pair.allocate(f, 40000, 10000, kZeroRangeFlag).error == 0);
  REQUIRE(pair.attributes(f).size == 50000);
  expected.resize(40000);
  expected.resize(50000);
  REQUIRE(pair.read(f, 0, 1 << 20) == expected);
  REQUIRE(pair.allocate(f, 0, 4096, 8).error == EOPNOTSUPP);
  REQUIRE(pair.allocate(f, 0, 4096, 32).error == EOPNOTSUPP);
  REQUIRE(pair.allocate(f, 0, 4096, kPunchHoleFlag).error == EOPNOTSUPP);
  REQUIRE(pair.allocate(f, 0, 0, 0).error == EINVAL);
}

TEST_CASE("seek finds data and holes; unwritten blocks are holes") {
  Pair pair;
  const InodeId f = pair.file("f");
  REQUIRE(pair.write(f, 8192, pattern(4096, 1)).error == 0);
  REQUIRE(pair.allocate(f, 12288, 8192, 0).error == 0);
  REQUIRE(pair.write(f, 300 * kMiB, "x").error == 0);
  const auto seek = [&](std::uint64_t offset, bool data) -> std::int64_t {
    const auto found = pair.a.get([&] { return pair.a.volume->seek(f, offset, data); });
    return found ? static_cast<std::int64_t>(*found) : -found.error().posix;
  };
  REQUIRE(seek(0, true) == 8192);
  REQUIRE(seek(9000, true) == 9000);
  REQUIRE(seek(0, false) == 0);
  REQUIRE(seek(9000, false) == 12288);
  REQUIRE(seek(12288, true) == 300 * static_cast<std::int64_t>(kMiB));
  REQUIRE(seek(300 * kMiB, false) == 300 * static_cast<std::int64_t>(kMiB) + 1);
  REQUIRE(seek(300 * kMiB + 1, true) == -ENXIO);
  REQUIRE(pair.truncate(f, 600 * kMiB).error == 0);
  REQUIRE(seek(301 * kMiB, true) == -ENXIO);
  REQUIRE(seek(301 * kMiB, false) == 301 * static_cast<std::int64_t>(kMiB));
}

TEST_CASE("sync names what was written since the last one, and only that") {
  const std::uint64_t seed = GENERATE(range(1, 9));  // how much of the log is applied again after the kill
  Pair pair(seed);
  const InodeId f = pair.file("f"), g = pair.file("g");
  REQUIRE(pair.write(f, 0, pattern(100'000, 1)).error == 0);
  REQUIRE(pair.write(g, 0, pattern(100'000, 1)).error == 0);
  REQUIRE(pair.change(Pair::op(wire::OpKind::sync, f)).error == 0);
  REQUIRE(pair.last.effect.sync.size() == 1);
  REQUIRE(pair.last.effect.sync[0].length == 25 * kBlockBytes);
  REQUIRE(pair.change(Pair::op(wire::OpKind::sync, f)).error == 0);
  REQUIRE(pair.last.effect.sync.empty());
  REQUIRE(pair.last.effect.sync_all);
  REQUIRE(pair.write(f, 8192, "x").error == 0);
  REQUIRE(pair.change(Pair::op(wire::OpKind::sync, f)).error == 0);
  REQUIRE(pair.last.effect.sync.size() == 1);
  REQUIRE(pair.last.effect.sync[0].length == kBlockBytes);
  // After a start nobody knows: all of the file.
  pair.a.restart();
  REQUIRE(pair.change(Pair::op(wire::OpKind::sync, f)).error == 0);
  REQUIRE(pair.last.effect.sync.size() == 1);
  REQUIRE(pair.last.effect.sync[0].length == 25 * kBlockBytes);
}

TEST_CASE("fsync writes the times that are only in memory, fdatasync does not") {
  Pair pair;
  const InodeId f = pair.file("f");
  REQUIRE(pair.write(f, 0, "12345").error == 0);
  REQUIRE(pair.write(f, 0, "1").error == 0);
  const WallTime written = pair.now;
  wire::Operation sync = Pair::op(wire::OpKind::sync, f);
  sync.data_only = true;
  REQUIRE(pair.change(sync).error == 0);
  REQUIRE(pair.last.effect.batch.empty());
  sync.data_only = false;
  REQUIRE(pair.change(sync).error == 0);
  REQUIRE(pair.last.effect.batch.size() == 1);
  REQUIRE(pair.a.volume->unsettled(1).empty());
  REQUIRE(pair.attributes(f).mtime == written);
}

TEST_CASE("turns: appends and truncations take all that follows, names their hash") {
  Pair pair;
  wire::Operation write = Pair::op(wire::OpKind::write, InodeId{5});
  write.offset = 4000;
  write.length = 200;
  using Turns = std::vector<Turn>;
  REQUIRE(pair.a.volume->turns(write) == Turns{{Turn::Kind::data, InodeId{5}, 0, 2}});
  write.append = true;
  REQUIRE(pair.a.volume->turns(write) == Turns{{Turn::Kind::data, InodeId{5}, 0, ~0ull}});
  wire::Operation size = Pair::op(wire::OpKind::set_attributes, InodeId{5});
  size.change.size_set = true;
  size.change.size = 9000;
  REQUIRE(pair.a.volume->turns(size) == Turns{{Turn::Kind::names, InodeId{5}, 0, 1}, {Turn::Kind::data, InodeId{5}, 2, ~0ull}});
  const wire::Operation unlink = Pair::op(wire::OpKind::unlink, InodeId{1}, "x");
  REQUIRE(pair.a.volume->turns(unlink) == Turns{{Turn::Kind::names, InodeId{1}, name_hash("x"), 1}});
  wire::Operation hostile = Pair::op(wire::OpKind::allocate, InodeId{5});
  hostile.offset = hostile.length = ~0ull;
  REQUIRE(pair.a.volume->turns(hostile).size() == 1);
}
