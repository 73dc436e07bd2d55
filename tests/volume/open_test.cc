#include "site.h"

using namespace lockstep;
using namespace lockstep::volume;

TEST_CASE("after a kill everything that was logged is there again") {
  for (std::uint64_t seed = 1; seed <= 10; ++seed) {
    Pair pair(seed);
    const InodeId d = pair.directory(kRootInode, "d");
    const InodeId f = Pair::made(pair.create(d, "f"));
    REQUIRE(pair.append(f, pattern(9000, 1)).error == 0);
    REQUIRE(pair.append(f, pattern(9000, 2)).error == 0);
    REQUIRE(pair.create(d, "gone").error == 0);
    REQUIRE(pair.unlink(d, "gone").error == 0);
    const Statistics before = pair.a.volume->statistics();
    pair.a.restart();
    REQUIRE(pair.a.volume->applied() == Seq{pair.seq});
    REQUIRE(pair.read(f, 0, 1 << 20) == pattern(9000, 1) + pattern(9000, 2));
    const Statistics after = pair.a.volume->statistics();
    REQUIRE(after.blocks_free == before.blocks_free);
    REQUIRE(after.files == before.files);
    REQUIRE(pair.a.run(pair.a.volume->orphans())->size() == 1);
    // No inode number is used twice.
    const InodeId g = pair.file("g");
    REQUIRE(g.value > f.value + 1);
    REQUIRE(pair.append(g, pattern(100'000, 3)).error == 0);
    REQUIRE(pair.read(f, 0, 1 << 20) == pattern(9000, 1) + pattern(9000, 2));
    pair.require_equal();
  }
}

TEST_CASE("inode numbers go on behind the bound that was written") {
  Pair pair;
  for (int i = 0; i < 1100; ++i) {
    REQUIRE(pair.create(kRootInode, "f" + std::to_string(i)).error == 0);
    const bool wrote_bound = std::any_of(pair.last.effect.batch.begin(), pair.last.effect.batch.end(),
                                         [](const runtime::KeyChange& c) { return c.key == kNextInodeKey; });
    REQUIRE(wrote_bound == (i % 1024 == 0));
  }
  pair.require_equal();
}

TEST_CASE("a volume without its counters is refused") {
  Pair pair;
  const auto open_fails = [&](const std::string& key) {
    REQUIRE(pair.a.world().keys.apply({{key, std::nullopt}}));
    const auto opened = pair.a.run(Volume::open(pair.a.world(), *pair.a.area));
    REQUIRE_FALSE(opened);
    REQUIRE(opened.error().code == Errc::corrupt);
  };
  SECTION("N") { open_fails("N"); }
  SECTION("G") { open_fails(group_key(0)); }
}

TEST_CASE("damaged metadata are an error, not an answer") {
  Pair pair;
  const InodeId f = pair.file("f");
  REQUIRE(pair.write(f, 0, pattern(9000, 1)).error == 0);
  wire::Effect effect;
  SECTION("inode") { effect.batch.push_back({inode_key(f), "nonsense"}); }
  SECTION("extents") { effect.batch.push_back({chunk_key(f, 0), "nonsense"}); }
  pair.put_into_force(effect, {});
  const auto read = pair.a.get([&] { return pair.a.volume->map(f, {0, 100}); });
  REQUIRE(read.error().code == Errc::corrupt);
  wire::Operation write = Pair::op(wire::OpKind::write, f);
  write.length = 1;
  const auto planned = pair.a.get([&] { return pair.a.volume->plan(write, pair.now); });
  REQUIRE(planned.error().code == Errc::corrupt);
}

TEST_CASE("an effect that does not fit this site is refused") {
  Pair pair;
  wire::Effect effect;
  effect.seq = Seq{1};
  SECTION("a key of one site") { effect.batch.push_back({std::string("\0x", 2), "1"}); }
  SECTION("other counters") { effect.batch.push_back({group_key(0), pack_u32(5)}); }
  SECTION("blocks outside the area") {
    effect.batch.push_back({"x", "1"});
    effect.allocated.push_back({1u << 30, 1});
  }
  SECTION("freeing what is free") {
    effect.batch.push_back({"x", "1"});
    effect.freed.push_back({0, 100000});
  }
  REQUIRE_FALSE(pair.a.volume->apply(effect));
}
