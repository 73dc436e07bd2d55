// What changes_of() reads from the effects of operations.
#include "site.h"

#include "volume/changes.h"

using namespace lockstep;
using namespace lockstep::volume;
using Kind = Change::Kind;
using wire::OpKind;

namespace {

constexpr std::uint32_t kExchange = 2, kWhiteout = 4;

/// The changes of the last operation.
std::vector<Change> told(const Pair& pair) { return changes_of(pair.last.effect); }
/// The only one.
Change one(const Pair& pair) {
  const std::vector<Change> all = told(pair);
  REQUIRE(all.size() == 1);
  return all.front();
}
void require_about(const Change& change, Kind kind, InodeId object) {
  CHECK(change.kind == kind);
  CHECK(change.object == object);
}
void require_written(const Pair& pair, InodeId file, std::uint64_t offset, std::uint64_t length) {
  const Change change = one(pair);
  require_about(change, Kind::written, file);
  CHECK(change.bytes == ByteRange{offset, length});
}

}  // namespace

TEST_CASE("a name that comes or goes is one change, with its object and type", "[changes]") {
  Pair pair;
  const InodeId d = pair.directory(kRootInode, "d");
  require_about(one(pair), Kind::created, d);
  CHECK(one(pair).type == S_IFDIR);
  CHECK(one(pair).at == NamePlace{kRootInode, "d"});
  const InodeId f = pair.file("f");
  require_about(one(pair), Kind::created, f);
  CHECK(one(pair).type == S_IFREG);
  REQUIRE(pair.link(d, "g", f).error == 0);
  require_about(one(pair), Kind::linked, f);
  CHECK(one(pair).at == NamePlace{d, "g"});
  REQUIRE(pair.unlink(kRootInode, "f").error == 0);
  require_about(one(pair), Kind::removed, f);
  CHECK(one(pair).at == NamePlace{kRootInode, "f"});
  CHECK(one(pair).type == S_IFREG);
  REQUIRE(pair.unlink(d, "g").error == 0);
  require_about(one(pair), Kind::removed, f);
  REQUIRE(pair.rmdir(kRootInode, "d").error == 0);
  require_about(one(pair), Kind::removed, d);
  CHECK(one(pair).type == S_IFDIR);
}

TEST_CASE("an object made without a name is created when it gets one", "[changes]") {
  Pair pair;
  wire::Operation make = Pair::op(OpKind::create, kRootInode);
  make.mode = S_IFREG | 0600;
  make.anonymous = true;
  const InodeId f = Pair::made(pair.change(make));
  CHECK(told(pair).empty());
  REQUIRE(pair.link(kRootInode, "f", f).error == 0);
  require_about(one(pair), Kind::created, f);
}

TEST_CASE("rename: one change, with what it replaced; an exchange is two", "[changes]") {
  Pair pair;
  const InodeId d = pair.directory(kRootInode, "d");
  const InodeId f = pair.file("f"), g = pair.file("g");
  REQUIRE(pair.rename(kRootInode, "f", d, "f2").error == 0);
  require_about(one(pair), Kind::renamed, f);
  CHECK(one(pair).at == NamePlace{kRootInode, "f"});
  CHECK(one(pair).to == NamePlace{d, "f2"});
  CHECK(one(pair).replaced == kNoInode);
  REQUIRE(pair.rename(d, "f2", kRootInode, "g").error == 0);
  require_about(one(pair), Kind::renamed, f);
  CHECK(one(pair).replaced == g);
  REQUIRE(pair.rename(kRootInode, "g", d, "w", kWhiteout).error == 0);
  const auto with_whiteout = told(pair);
  REQUIRE(with_whiteout.size() == 2);
  require_about(with_whiteout[0], Kind::renamed, f);
  CHECK(with_whiteout[0].at == NamePlace{kRootInode, "g"});
  CHECK(with_whiteout[0].to == NamePlace{d, "w"});
  require_about(with_whiteout[1], Kind::created, pair.lookup(kRootInode, "g"));
  REQUIRE(pair.rename(d, "w", kRootInode, "g").error == 0);
  const InodeId e = pair.directory(kRootInode, "e");
  REQUIRE(pair.rename(kRootInode, "d", kRootInode, "e").error == 0);
  CHECK(one(pair).replaced == e);
  REQUIRE(pair.rename(kRootInode, "g", kRootInode, "e", kExchange).error == 0);
  const std::vector<Change> both = told(pair);
  REQUIRE(both.size() == 2);
  require_about(both[0], Kind::renamed, f);
  CHECK(both[0].at == NamePlace{kRootInode, "g"});
  CHECK(both[0].to == NamePlace{kRootInode, "e"});
  require_about(both[1], Kind::renamed, d);
  CHECK(both[1].to == NamePlace{kRootInode, "g"});
}

TEST_CASE("a write is told with the bytes that it wrote, wherever they stand; so is what fallocate makes zeros", "[changes]") {
  Pair pair;
  const InodeId f = pair.file("f");
  pair.write(f, 0, pattern(5000, 1));
  require_written(pair, f, 0, 5000);
  pair.append(f, "abc");
  require_written(pair, f, 5000, 3);
  pair.write(f, 100, "xyz");  // an overwrite: no batch
  REQUIRE(pair.last.effect.batch.empty());
  require_written(pair, f, 100, 3);
  pair.write(f, 100'000, "far");  // over a hole
  require_written(pair, f, 100'000, 3);
  REQUIRE(pair.allocate(f, 4096, 8192, kPunchHoleFlag | kKeepSizeFlag).error == 0);
  require_written(pair, f, 4096, 8192);
  REQUIRE(pair.allocate(f, 10, 20, kZeroRangeFlag).error == 0);
  require_written(pair, f, 10, 20);
}

TEST_CASE("truncation is told with the size, also when space is left to a trim, which is not told", "[changes]") {
  Pair pair(1, 16384);
  const InodeId f = pair.file("f");
  pair.write(f, 0, pattern(10'000, 1));
  pair.truncate(f, 10);
  require_about(one(pair), Kind::resized, f);
  CHECK(one(pair).size == 10);
  pair.truncate(f, 1 << 20);
  CHECK(one(pair).size == 1 << 20);
  for (int i = 0; i < 6; ++i) pair.append(f, pattern(5000, 2));  // takes space ahead
  REQUIRE(pair.change(Pair::op(OpKind::trim, f)).error == 0);
  REQUIRE(pair.last.changes);
  CHECK(told(pair).empty());
}

TEST_CASE("attributes and extended attributes", "[changes]") {
  Pair pair;
  const InodeId f = pair.file("f");
  wire::Operation chmod = Pair::op(OpKind::set_attributes, f);
  chmod.change.mode_set = true;
  chmod.change.mode = 0600;
  REQUIRE(pair.change(chmod).error == 0);
  require_about(one(pair), Kind::attributes, f);
  wire::Operation touch = Pair::op(OpKind::set_attributes, kRootInode);
  touch.change.mtime_now = touch.change.atime_now = true;
  REQUIRE(pair.change(touch).error == 0);
  require_about(one(pair), Kind::attributes, kRootInode);
  REQUIRE(pair.set_xattr(f, "user.a", "1").error == 0);
  require_about(one(pair), Kind::xattr_set, f);
  CHECK(one(pair).xattr == "user.a");
  REQUIRE(pair.change(Pair::op(OpKind::remove_xattr, f, "user.a")).error == 0);
  require_about(one(pair), Kind::xattr_removed, f);
  CHECK(one(pair).xattr == "user.a");
}

TEST_CASE("what nobody changed is not told: settled and handed-over times, sync, reap, locks, reservations", "[changes]") {
  Pair pair;
  const InodeId f = pair.file("f");
  pair.write(f, 0, pattern(10'000, 1));
  REQUIRE(pair.set_xattr(f, "user.a", "1").error == 0);
  pair.write(f, 0, "over");
  const auto quiet = [&](const wire::Operation& operation) {
    REQUIRE(pair.change(operation).error == 0);
    CHECK(pair.last.changes);
    CHECK(told(pair).empty());
  };
  quiet(Pair::op(OpKind::settle, kNoInode));
  pair.write(f, 0, "over");
  quiet(Pair::op(OpKind::sync, f));
  wire::Operation times = Pair::op(OpKind::set_attributes, f);
  times.change.mtime_set = times.change.ctime_set = true;
  quiet(times);
  wire::Operation lock = Pair::op(OpKind::lock, f);
  lock.lock.type = wire::LockType::write;
  lock.lock.last = wire::kLockLastMax;
  lock.lock.owner.boot = lock.lock.owner.id = 1;
  quiet(lock);
  quiet(Pair::op(OpKind::reserve, f));
  quiet(Pair::op(OpKind::release, f));
  REQUIRE(pair.unlink(kRootInode, "f").error == 0);
  CHECK(one(pair).kind == Kind::removed);
  const InodeId gone[] = {f};
  quiet(reap_of(gone));
}

TEST_CASE("changes are the same from the record of the log, which has no turns", "[changes]") {
  Pair pair;
  const InodeId f = pair.file("f");
  pair.write(f, 0, "text");
  auto records = pair.a.run(pair.a.area->log().read_after(Seq{0}, 1u << 20));
  REQUIRE(records);
  REQUIRE(records->size() == 2);
  REQUIRE(changes_of(records->at(0)).size() == 1);
  require_about(changes_of(records->at(0)).front(), Kind::created, f);
  REQUIRE(changes_of(records->at(1)) == told(pair));
}

TEST_CASE("bytes that no operation makes give no crash", "[changes]") {
  wire::Effect effect;
  effect.drops.push_back({wire::Drop::Kind::listing, kRootInode, {}, {}});
  effect.batch = {{"D", ""}, {"D12345678", "x"}, {entry_key(kRootInode, "a"), "bad"}, {"X", ""}, {"X123", std::nullopt}, {"I", "x"}};
  CHECK(changes_of(effect).empty());
  effect.batch = {{entry_key(kRootInode, "a"), std::nullopt}, {entry_key(kRootInode, "b"), std::nullopt}, {entry_key(kRootInode, "c"), std::nullopt}};
  CHECK(changes_of(effect).size() == 3);
}
