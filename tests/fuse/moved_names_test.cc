// A rename of another site between the two lookups of a rename here: the kernel must not take both for names of one object.

#include "fake_site.h"

namespace lockstep::fuse {

using Kind = wire::Drop::Kind;

namespace {

constexpr std::uint32_t kThread = 17, kOther = 18;

/// What the thread is told when it looks `name` up; 0: the object.
int told(FakeSite& s, std::string_view name, std::uint32_t thread) {
  HostRequest request = FakeSite::request(HostOp::lookup, kRootInode, name);
  request.caller.pid = thread;
  const std::optional<OwnedReply>& reply = s.send(std::move(request));
  REQUIRE(s.universe.run_until([&] { return reply.has_value(); }, 1s));
  return reply->error();
}

/// An object that the kernel knows, which another site is moving.
struct Scene {
  FakeSite s;
  const InodeId a = s.volume.add("a", S_IFREG | 0644);
  const std::vector<wire::Drop> drops{{Kind::attributes, a, {}, ""}, {Kind::name, kRootInode, {}, "old"}};
  bool done = false;
  Scene() {
    s.volume.add("b", S_IFREG | 0644);
    s.lookup("a");
    s.lookup("b");
  }
};

}  // namespace

TEST_CASE("who finds an object whose names are being dropped is told to begin again, once") {
  Scene scene;
  FakeSite& s = scene.s;
  REQUIRE(!s.host.drop_now(scene.drops));
  CHECK(told(s, "a", kThread) == ESTALE);
  CHECK(told(s, "a", kThread) == 0);
  CHECK(told(s, "a", kOther) == ESTALE);
  CHECK(told(s, "b", kThread) == 0);
  CHECK(s.host.counters().asked_again == 2);
}

TEST_CASE("a thread that nobody knows is never told to begin again") {
  Scene scene;
  REQUIRE(!scene.s.host.drop_now(scene.drops));
  CHECK(told(scene.s, "a", 0) == 0);
}

TEST_CASE("a thread that found nothing since may be told again") {
  Scene scene;
  FakeSite& s = scene.s;
  REQUIRE(!s.host.drop_now(scene.drops));
  CHECK(told(s, "a", kThread) == ESTALE);
  CHECK(told(s, "nothing", kThread) == ENOENT);
  CHECK(told(s, "a", kThread) == ESTALE);
}

TEST_CASE("when the names were dropped the object is found as ever") {
  Scene scene;
  FakeSite& s = scene.s;
  REQUIRE(!s.host.drop_now(scene.drops));
  s.drop(scene.drops, scene.done);
  s.settle();
  REQUIRE(scene.done);
  CHECK(told(s, "a", kThread) == 0);
}

TEST_CASE("names that were moved again meanwhile are waited for, too") {
  Scene scene;
  FakeSite& s = scene.s;
  REQUIRE(!s.host.drop_now(scene.drops));
  s.drop(scene.drops, scene.done);
  s.universe.run_for(1us);
  REQUIRE(!s.host.drop_now(scene.drops));
  s.settle();
  REQUIRE(scene.done);
  CHECK(told(s, "a", kThread) == ESTALE);
}

TEST_CASE("a call that holds the directory may have the old name for a while after the drop was late") {
  Scene scene;
  FakeSite& s = scene.s;
  const auto lock = s.kernel().mounted()->find(kRootInode)->lock;
  lock->lock(true, [] {});
  REQUIRE(!s.host.drop_now(scene.drops));
  s.drop(scene.drops, scene.done);
  s.settle();
  REQUIRE(scene.done);
  CHECK(s.host.counters().epochs == 1);
  CHECK(told(s, "a", kThread) == ESTALE);
  // All names have just been dropped: the next change has none to drop, and the call may still go on.
  s.settle(MovedNames::kCallMax - 50ms);
  CHECK(told(s, "a", kOther) == ESTALE);
  CHECK(told(s, "b", kOther) == 0);
  s.settle(MovedNames::kCallMax);
  CHECK(told(s, "a", kThread) == 0);
  lock->unlock(true);
  s.settle();
}

}  // namespace lockstep::fuse
