// Room that is set aside on a file system that others fill to the last byte. On a small tmpfs of its own: needs root.
#include "catch.h"

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cerrno>
#include <random>

#include "real_world.h"
#include "uring/descriptor.h"
#include "uring/spare_room.h"

namespace lockstep::uring {
namespace {

using runtime::Task;

constexpr std::uint64_t kMiB = 1 << 20;

/// A file system of its own, of 64 MiB.
class SmallMedium {
 public:
  SmallMedium() {
    INFO("mounting needs root");
    REQUIRE(::mount("tmpfs", directory_.path().c_str(), "tmpfs", 0, "size=64m") == 0);
  }
  ~SmallMedium() { ::umount2(directory_.path().c_str(), MNT_DETACH); }
  [[nodiscard]] const std::string& path() const { return directory_.path(); }
  [[nodiscard]] std::uint64_t free() const {
    struct statvfs below {};
    REQUIRE(::statvfs(path().c_str(), &below) == 0);
    return std::uint64_t{below.f_bavail} * below.f_frsize;
  }
  /// Somebody else takes what is free but for `left`.
  void take(std::uint64_t left = 0) {
    const Descriptor file(::open((path() + "/of-others").c_str(), O_CREAT | O_WRONLY, 0600));
    struct stat before {};
    REQUIRE(::fstat(file.get(), &before) == 0);
    REQUIRE(::fallocate(file.get(), 0, before.st_size, static_cast<off_t>(free() - left)) == 0);
    REQUIRE(free() == left);
  }

 private:
  TemporaryDirectory directory_;
};

TEST_CASE("room is set aside up to what is asked, and no more than what is left for others") {
  const SmallMedium medium;
  SpareRoom spare(medium.path() + "/spare");
  auto room = spare.keep(16 * kMiB);
  REQUIRE(room.has_value());
  CHECK(room->spare == 16 * kMiB);
  CHECK(room->free == medium.free());
  CHECK(room->free < 48 * kMiB + 1);
  room = spare.keep(60 * kMiB);
  REQUIRE(room.has_value());
  CHECK(room->spare <= room->free);
  CHECK(room->spare > 30 * kMiB);
  room = spare.keep(8 * kMiB);
  REQUIRE(room.has_value());
  CHECK(room->spare == 8 * kMiB);
}

TEST_CASE("what is set aside stays when others take the rest, and is given piece by piece until it is used up") {
  SmallMedium medium;
  SpareRoom spare(medium.path() + "/spare");
  REQUIRE(spare.keep(4 * kMiB).has_value());
  medium.take();
  const auto room = spare.keep(4 * kMiB);
  REQUIRE(room.has_value());
  CHECK(room->free == 0);
  CHECK(room->spare == 4 * kMiB);
  CHECK(spare.give(3 * kMiB));
  CHECK(medium.free() == 3 * kMiB);
  CHECK_FALSE(spare.give(3 * kMiB, kMiB));  // that much is to be left
  CHECK(spare.give(3 * kMiB));
  CHECK(medium.free() == 4 * kMiB);
  CHECK_FALSE(spare.give(1));
}

TEST_CASE("nothing is given where nothing was set aside") {
  const SmallMedium medium;
  SpareRoom spare(medium.path() + "/spare");
  CHECK_FALSE(spare.give(1));
}

std::string value_of(int n) {
  std::mt19937_64 random(static_cast<std::uint64_t>(n));
  std::string value(4000, ' ');
  for (char& c : value) c = static_cast<char>(random());
  return value;
}

/// `some` keys with values that can't be packed.
Task<void> change_and_flush(KeyStore& keys, int from, int some, Result<>& flushed) {
  for (int n = from; n < from + some; ++n) {
    const Result<> applied = keys.apply({{"key" + std::to_string(n), value_of(n)}});
    REQUIRE(applied.has_value());
  }
  flushed = co_await keys.flush();
}

Task<void> set_aside(KeyStore& keys, std::uint64_t bytes) {
  const auto room = co_await keys.room(bytes);
  REQUIRE(room.has_value());
}

Task<void> expect_keys(KeyStore& keys, int count) {
  for (int n = 0; n < count; ++n) {
    const auto value = co_await keys.get("key" + std::to_string(n));
    REQUIRE(value.has_value());
    REQUIRE(*value == value_of(n));
  }
}

TEST_CASE("keys are written into the room set aside for them, also by a store that is opened on a full file system") {
  SmallMedium medium;
  {
    RealWorld here(medium.path());
    here.run(set_aside(*here.keys, 24 * kMiB));
    medium.take();
    Result<> flushed;
    here.run(change_and_flush(*here.keys, 0, 1000, flushed));
    CHECK(flushed.has_value());
    here.run(expect_keys(*here.keys, 1000));
    if (medium.free() != 0) medium.take();
  }
  RealWorld again(medium.path());
  again.run(expect_keys(*again.keys, 1000));
  Result<> flushed;
  again.run(change_and_flush(*again.keys, 1000, 1000, flushed));
  CHECK(flushed.has_value());
  again.run(expect_keys(*again.keys, 2000));
}

TEST_CASE("a flush fails with ENOSPC when what was set aside does not suffice, and the store can be opened after that") {
  SmallMedium medium;
  {
    RealWorld here(medium.path());
    here.run(set_aside(*here.keys, 6 * kMiB));
    Result<> flushed;
    here.run(change_and_flush(*here.keys, 0, 10, flushed));
    REQUIRE(flushed.has_value());
    medium.take();
    here.run(change_and_flush(*here.keys, 10, 2000, flushed));
    REQUIRE(!flushed.has_value());
    CHECK(flushed.error().posix == ENOSPC);
  }
  medium.take();
  RealWorld again(medium.path());
  again.run(expect_keys(*again.keys, 10));
}

TEST_CASE("a store on a file system without any room is not opened, and says why") {
  SmallMedium medium;
  { const RealWorld here(medium.path()); }
  medium.take();
  auto loop = Loop::make().value();
  Pool pool(*loop, 1, "ls-test");
  const auto refused = KeyStore::open(*loop, pool, medium.path() + "/keys");
  REQUIRE(!refused.has_value());
  CHECK(refused.error().posix == ENOSPC);
  CHECK_THAT(refused.error().text, Catch::Contains("the file system is full"));
}

}  // namespace
}  // namespace lockstep::uring
