// What the host's side makes of requests about advisory locks, over a volume and changes in the test's hand.
#include "fake_site.h"

using namespace lockstep;
using namespace lockstep::fuse;
using wire::LockType;
using wire::OpKind;

namespace {

HostRequest locking(HostOp op, InodeId inode, HostLock::Type type, std::uint64_t owner, std::uint64_t handle) {
  HostRequest request = FakeSite::request(op, inode);
  request.handle = handle;
  request.lock.type = type;
  request.lock.owner = owner;
  request.lock.last = wire::kLockLastMax;
  request.lock.pid = 55;
  return request;
}

HostRequest closing(HostOp op, InodeId inode, std::uint64_t owner, std::uint64_t handle) {
  HostRequest request = FakeSite::request(op, inode);
  request.handle = handle;
  request.lock.owner = owner;
  return request;
}

wire::LockRequest held(std::uint8_t site, std::uint64_t boot, std::uint64_t owner, LockType type) {
  wire::LockRequest lock;
  lock.owner = {SiteId{site}, boot, owner};
  lock.type = type;
  lock.last = wire::kLockLastMax;
  lock.pid = 77;
  return lock;
}

void put(FakeSite& s, InodeId inode, std::vector<wire::LockRequest> holding, std::vector<wire::LockRequest> waiting = {}) {
  volume::FileLocks locks;
  for (const wire::LockRequest& lock : holding) locks.set(lock);
  for (const wire::LockRequest& lock : waiting) locks.wait(lock);
  s.volume.table.replace(inode, std::move(locks));
  s.host.locks_changed(inode);
}

}  // namespace

TEST_CASE("a file without locks is closed without a word to anybody") {
  FakeSite s;
  const InodeId f = s.volume.add("f", S_IFREG | 0644);
  (void)s.lookup("f");
  const auto opened = s.ask_for<OpenReply>(s.request(HostOp::open, f));
  const auto again = s.ask_for<OpenReply>(s.request(HostOp::open, f));
  REQUIRE(opened.handle != again.handle);
  REQUIRE(s.ask(closing(HostOp::flush, f, 5, opened.handle)).error() == 0);
  REQUIRE(s.ask(closing(HostOp::release, f, 0, opened.handle)).error() == 0);
  REQUIRE(s.changes.asked.empty());
}

TEST_CASE("FLUSH gives a process's locks up before it is answered, once") {
  FakeSite s;
  const InodeId f = s.volume.add("f", S_IFREG | 0644);
  put(s, f, {held(0, 7, 5, LockType::write)});
  REQUIRE(s.ask(locking(HostOp::setlk, f, HostLock::Type::write, 5, 2)).error() == 0);
  REQUIRE(s.ask(closing(HostOp::flush, f, 6, 2)).error() == 0);  // another process's
  REQUIRE(s.changes.asked.size() == 1);
  s.changes.go.reset();
  auto& reply = s.send(closing(HostOp::flush, f, 5, 4));
  s.settle();
  REQUIRE_FALSE(reply);
  REQUIRE(s.changes.asked.size() == 2);
  REQUIRE(s.changes.asked[1].kind == OpKind::lock);
  REQUIRE(s.changes.asked[1].lock.type == LockType::unlock);
  REQUIRE(s.changes.asked[1].lock.owner == wire::LockOwner{SiteId{0}, 7, 5});
  REQUIRE((s.changes.asked[1].lock.first == 0 && s.changes.asked[1].lock.last == wire::kLockLastMax));
  put(s, f, {});
  s.changes.go.set();
  s.settle();
  REQUIRE(reply->error() == 0);
  REQUIRE(s.ask(closing(HostOp::flush, f, 5, 2)).error() == 0);
  REQUIRE(s.ask(closing(HostOp::release, f, 0, 2)).error() == 0);
  REQUIRE(s.changes.asked.size() == 2);
}

TEST_CASE("RELEASE gives up what was locked through its handle") {
  FakeSite s;
  const InodeId f = s.volume.add("f", S_IFREG | 0644);
  wire::LockRequest flock = held(0, 7, 100, LockType::write);
  flock.whole = true;
  put(s, f, {held(0, 7, 100, LockType::read), flock});
  REQUIRE(s.ask(locking(HostOp::setlk, f, HostLock::Type::read, 100, 2)).error() == 0);  // an open file's
  HostRequest whole = locking(HostOp::setlk, f, HostLock::Type::write, 100, 2);
  whole.lock.whole = true;
  REQUIRE(s.ask(whole).error() == 0);
  REQUIRE(s.ask(closing(HostOp::release, f, 0, 4)).error() == 0);
  REQUIRE(s.changes.asked.size() == 2);
  REQUIRE(s.ask(closing(HostOp::release, f, 0, 2)).error() == 0);
  s.settle();
  REQUIRE(s.changes.asked.size() == 4);
  REQUIRE(s.changes.asked[2].lock.type == LockType::unlock);
  REQUIRE(s.changes.asked[2].lock.whole != s.changes.asked[3].lock.whole);
}

TEST_CASE("who is in the way is answered from what this site has; a process of another site has no number here") {
  FakeSite s;
  const InodeId f = s.volume.add("f", S_IFREG | 0644);
  const auto nobody = s.ask_for<LockReply>(locking(HostOp::getlk, f, HostLock::Type::write, 5, 2));
  REQUIRE(nobody.lock.type == HostLock::Type::unlock);
  put(s, f, {held(1, 9, 5, LockType::read)});
  const auto other = s.ask_for<LockReply>(locking(HostOp::getlk, f, HostLock::Type::write, 5, 2));
  REQUIRE((other.lock.type == HostLock::Type::read && other.lock.pid == 0));
  REQUIRE(s.ask_for<LockReply>(locking(HostOp::getlk, f, HostLock::Type::read, 5, 2)).lock.type == HostLock::Type::unlock);
  put(s, f, {held(0, 7, 6, LockType::write)});
  REQUIRE(s.ask_for<LockReply>(locking(HostOp::getlk, f, HostLock::Type::read, 5, 2)).lock.pid == 77);
  REQUIRE(s.changes.asked.empty());
}

TEST_CASE("a lock that is gone fences the handle that it was taken on, until that is closed") {
  FakeSite s;
  const InodeId f = s.volume.add("f", S_IFREG | 0644, 10);
  put(s, f, {held(0, 7, 5, LockType::write)});
  REQUIRE(s.ask(locking(HostOp::setlk, f, HostLock::Type::write, 5, 2)).error() == 0);
  HostRequest read = FakeSite::read(f, 0, 5);
  read.handle = 2;
  REQUIRE(s.ask(read).error() == 0);
  put(s, f, {});
  REQUIRE(s.ask(read).error() == EIO);
  std::string text = "x";
  HostRequest write = FakeSite::write(f, 0, text);
  write.handle = 2;
  REQUIRE(s.ask(write).error() == EIO);
  REQUIRE(s.ask(locking(HostOp::setlk, f, HostLock::Type::write, 5, 2)).error() == EIO);
  read.handle = 4;
  REQUIRE(s.ask(read).error() == 0);
  const std::size_t asked = s.changes.asked.size();
  REQUIRE(s.ask(closing(HostOp::flush, f, 5, 2)).error() == 0);
  REQUIRE(s.changes.asked.size() == asked + 1);  // whatever else it holds
  REQUIRE(s.ask(closing(HostOp::release, f, 0, 2)).error() == 0);
  read.handle = 2;
  REQUIRE(s.ask(read).error() == 0);
}

TEST_CASE("who waits for more is told, too, that a lock it has is gone; a weaker one that it waits for is no loss") {
  FakeSite s;
  const InodeId f = s.volume.add("f", S_IFREG | 0644, 10);
  wire::LockRequest first = held(0, 7, 5, LockType::write);
  first.last = 9;
  HostRequest lock = locking(HostOp::setlk, f, HostLock::Type::write, 5, 2);
  lock.lock.last = 9;
  put(s, f, {first});
  REQUIRE(s.ask(lock).error() == 0);
  // It wants to read more than it has; somebody holds the rest.
  s.changes.in_line = true;
  wire::LockRequest wanted = held(0, 7, 5, LockType::read);
  wanted.ticket = 1;
  wire::LockRequest other = held(1, 9, 5, LockType::write);
  other.first = 10;
  put(s, f, {first, other}, {wanted});
  HostRequest more = locking(HostOp::setlk, f, HostLock::Type::read, 5, 2);
  more.lock.wait = true;
  auto& reply = s.send(more);
  s.settle();
  REQUIRE_FALSE(reply);
  s.changes.in_line = false;
  HostRequest read = FakeSite::read(f, 0, 5);
  read.handle = 2;
  SECTION("granted") {
    put(s, f, {held(0, 7, 5, LockType::read)});
    s.settle();
    REQUIRE(reply->error() == 0);
    REQUIRE(s.ask(read).error() == 0);
  }
  SECTION("broken") {
    put(s, f, {other}, {wanted});
    REQUIRE(s.ask(read).error() == EIO);
    put(s, f, {held(0, 7, 5, LockType::read)});
    s.settle();
    REQUIRE(reply->error() == EIO);
  }
}

TEST_CASE("a signal ends a request for a lock that waits until hosts are served") {
  FakeSite s;
  const InodeId f = s.volume.add("f", S_IFREG | 0644);
  s.process.spawn(s.host.close());
  s.settle();
  HostRequest wanted = locking(HostOp::setlk, f, HostLock::Type::write, 5, 2);
  wanted.lock.wait = true;
  auto& interrupted = s.send(wanted);
  s.settle();
  REQUIRE_FALSE(interrupted);
  s.kernel().mounted()->signal();
  s.settle();
  REQUIRE(interrupted);
  REQUIRE(interrupted->error() == EINTR);
  auto& later = s.send(wanted);
  s.settle();
  REQUIRE_FALSE(later);
  REQUIRE(s.changes.asked.empty());
  put(s, f, {held(0, 7, 5, LockType::write)});
  s.host.open();
  s.settle();
  REQUIRE(later->error() == 0);
  REQUIRE(s.changes.asked.size() == 1);
}

TEST_CASE("a lock that was lost while hosts were not served is noticed when they are again") {
  FakeSite s;
  const InodeId f = s.volume.add("f", S_IFREG | 0644, 10);
  put(s, f, {held(0, 7, 5, LockType::read)});
  REQUIRE(s.ask(locking(HostOp::setlk, f, HostLock::Type::read, 5, 2)).error() == 0);
  s.process.spawn(s.host.close());
  s.settle();
  s.volume.table.replace(f, {});
  s.host.open();
  HostRequest read = FakeSite::read(f, 0, 5);
  read.handle = 2;
  REQUIRE(s.ask(read).error() == EIO);
}
