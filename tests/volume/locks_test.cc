#include "site.h"

#include <array>
#include <random>

#include "volume/lock_table.h"

using namespace lockstep;
using namespace lockstep::volume;
using wire::LockOwner;
using wire::LockRequest;
using wire::LockType;

namespace {

constexpr LockType kTypes[] = {LockType::unlock, LockType::read, LockType::write};

LockOwner owner(std::uint64_t id, std::uint8_t site = 0, std::uint64_t boot = 1) { return {SiteId{site}, boot, id}; }

LockRequest lock(LockOwner whose, LockType type, std::uint64_t first, std::uint64_t last, std::uint64_t ticket = 0) {
  LockRequest l;
  l.owner = whose;
  l.type = type;
  l.first = first;
  l.last = last;
  l.ticket = ticket;
  l.wait = ticket != 0;
  return l;
}

LockRequest whole(LockOwner whose, LockType type, std::uint64_t ticket = 0) {
  LockRequest l = lock(whose, type, 0, wire::kLockLastMax, ticket);
  l.whole = true;
  return l;
}

/// What each of three owners has of each of some bytes: what POSIX says, without any range.
struct ByteModel {
  static constexpr std::size_t kBytes = 6, kOwners = 3;
  std::array<std::array<LockType, kBytes>, kOwners> has{};

  [[nodiscard]] bool in_the_way(std::size_t who, LockType type, std::size_t first, std::size_t last) const {
    for (std::size_t other = 0; other < kOwners; ++other) {
      for (std::size_t b = first; b <= last; ++b) {
        if (other != who && type != LockType::unlock && has[other][b] != LockType::unlock && (type == LockType::write || has[other][b] == LockType::write))
          return true;
      }
    }
    return false;
  }
  void require_same(const FileLocks& locks) const {
    locks.check_invariants();
    for (std::size_t who = 0; who < kOwners; ++who) {
      for (std::size_t b = 0; b < kBytes; ++b) {
        for (const LockType type : {LockType::read, LockType::write}) {
          const LockRequest one = lock(owner(who), type, b, b);
          REQUIRE(locks.holds(one, false) == (has[who][b] == type));
          REQUIRE(locks.holds(one, true) == (has[who][b] == type || has[who][b] == LockType::write));
        }
      }
    }
  }
};

wire::Outcome ask(Pair& pair, InodeId inode, const LockRequest& wanted, wire::OpKind kind = wire::OpKind::lock) {
  wire::Operation op = Pair::op(kind, inode);
  op.lock = wanted;
  return pair.change(op);
}

}  // namespace

TEST_CASE("locks of bytes are what POSIX says, byte by byte, after every order of requests") {
  std::mt19937_64 random(7);
  for (int round = 0; round < 300; ++round) {
    FileLocks locks;
    ByteModel model;
    for (int step = 0; step < 60; ++step) {
      const std::size_t who = random() % ByteModel::kOwners;
      const LockType type = kTypes[random() % 3];
      const std::size_t first = random() % ByteModel::kBytes;
      const std::size_t last = first + random() % (ByteModel::kBytes - first);
      const LockRequest wanted = lock(owner(who), type, first, last);
      REQUIRE((locks.in_the_way(wanted) != nullptr) == model.in_the_way(who, type, first, last));
      if (locks.in_the_way(wanted) != nullptr) continue;
      locks.set(wanted);
      for (std::size_t b = first; b <= last; ++b) model.has[who][b] = type;
      model.require_same(locks);
      if (locks.empty()) continue;
      const Result<LocksValue> again = unpack_locks(pack_locks(locks.value()));
      REQUIRE(again);
      REQUIRE(FileLocks(*again) == locks);
    }
  }
}

TEST_CASE("all short orders of two owners agree with the bytes") {
  // Every sequence of three requests over three bytes.
  std::vector<std::tuple<std::size_t, LockType, std::size_t, std::size_t>> requests;
  for (std::size_t who = 0; who < 2; ++who) {
    for (const LockType type : kTypes) {
      for (std::size_t first = 0; first < 3; ++first) {
        for (std::size_t last = first; last < 3; ++last) requests.emplace_back(who, type, first, last);
      }
    }
  }
  for (const auto& a : requests) {
    for (const auto& b : requests) {
      for (const auto& c : requests) {
        FileLocks locks;
        ByteModel model;
        for (const auto& [who, type, first, last] : {a, b, c}) {
          const LockRequest wanted = lock(owner(who), type, first, last);
          const bool blocked = model.in_the_way(who, type, first, last);
          if ((locks.in_the_way(wanted) != nullptr) != blocked) FAIL("one says that it is in the way");
          if (blocked) continue;
          locks.set(wanted);
          for (std::size_t i = first; i <= last; ++i) model.has[who][i] = type;
        }
        model.require_same(locks);
      }
    }
  }
}

TEST_CASE("a lock that reaches the end has no byte behind it") {
  FileLocks locks;
  locks.set(lock(owner(1), LockType::write, 10, wire::kLockLastMax));
  locks.set(lock(owner(1), LockType::unlock, wire::kLockLastMax, wire::kLockLastMax));
  REQUIRE(locks.held().size() == 1);
  REQUIRE(locks.held()[0].last == wire::kLockLastMax - 1);
  locks.set(lock(owner(1), LockType::write, wire::kLockLastMax, wire::kLockLastMax));
  REQUIRE(locks.held().size() == 1);
  locks.check_invariants();
}

TEST_CASE("locks of bytes and whole ones do not meet") {
  FileLocks locks;
  locks.set(whole(owner(1), LockType::write));
  REQUIRE(locks.in_the_way(lock(owner(2), LockType::write, 0, 5)) == nullptr);
  REQUIRE(locks.in_the_way(whole(owner(2), LockType::read)) != nullptr);
}

TEST_CASE("who waits is granted in order, as soon as nobody is in the way") {
  FileLocks locks;
  locks.set(lock(owner(1), LockType::write, 0, 9));
  locks.wait(lock(owner(2), LockType::write, 0, 4, 1));
  locks.wait(lock(owner(3), LockType::read, 3, 9, 2));
  locks.wait(lock(owner(4), LockType::read, 5, 9, 3));
  locks.grant();
  REQUIRE(locks.waiting().size() == 3);
  locks.set(lock(owner(1), LockType::unlock, 5, 9));
  locks.grant();
  REQUIRE(locks.waiting().size() == 2);  // the third one's bytes are free
  REQUIRE_FALSE(locks.waits(owner(4), 3));
  locks.set(lock(owner(1), LockType::unlock, 0, 9));
  locks.grant();
  REQUIRE_FALSE(locks.waits(owner(2), 1));
  REQUIRE(locks.waits(owner(3), 2));  // behind the writer
  REQUIRE(locks.cancel(owner(3), 2));
  REQUIRE_FALSE(locks.cancel(owner(3), 2));
  locks.check_invariants();
}

TEST_CASE("a damaged value of locks is refused, never believed") {
  FileLocks locks;
  locks.set(lock(owner(1), LockType::read, 3, 4));
  locks.wait(lock(owner(2), LockType::write, 3, 4, 9));
  const std::string good = pack_locks(locks.value());
  REQUIRE(unpack_locks(good));
  for (std::size_t n = 0; n < good.size(); ++n) REQUIRE_FALSE(unpack_locks(good.substr(0, n)));
  REQUIRE_FALSE(unpack_locks(good + '\0'));
  REQUIRE_FALSE(unpack_locks(std::string("\1\0\0\0\0", 5)));
  const auto spoiled = [&](std::size_t at, char byte) {
    std::string bad = good;
    bad[at] = byte;
    return bad;
  };
  REQUIRE_FALSE(unpack_locks(spoiled(0, 2)));      // version
  REQUIRE_FALSE(unpack_locks(spoiled(5, 99)));     // site
  REQUIRE_FALSE(unpack_locks(spoiled(22, 0)));     // type
  REQUIRE_FALSE(unpack_locks(spoiled(22, 3)));
  REQUIRE_FALSE(unpack_locks(spoiled(27, 5)));     // begins behind its end
  REQUIRE_FALSE(unpack_locks(spoiled(42, '\x80')));  // ends behind the last byte that a lock may have
  REQUIRE_FALSE(unpack_locks(spoiled(43, 1)));     // held, with a ticket
}

TEST_CASE("a circle of waits is a deadlock, over files and owners; anything else is not") {
  LockTable table;
  const InodeId a{10}, b{11}, c{12};
  const auto put = [&](InodeId inode, std::initializer_list<LockRequest> held, std::initializer_list<LockRequest> waiting) {
    FileLocks locks;
    for (const LockRequest& l : held) locks.set(l);
    for (const LockRequest& l : waiting) locks.wait(l);
    table.replace(inode, std::move(locks));
  };
  put(a, {lock(owner(1), LockType::write, 0, 0)}, {lock(owner(2), LockType::write, 0, 0, 1)});
  put(b, {lock(owner(2), LockType::write, 0, 0)}, {lock(owner(3), LockType::read, 0, 0, 1)});
  put(c, {lock(owner(3), LockType::read, 0, 5)}, {});
  REQUIRE(table.size() == 5);
  REQUIRE(table.deadlock(c, lock(owner(1), LockType::write, 0, 0, 2)));       // 1 -> 3 -> 2 -> 1
  REQUIRE_FALSE(table.deadlock(c, lock(owner(1), LockType::read, 0, 0, 2)));  // would not wait
  REQUIRE_FALSE(table.deadlock(c, lock(owner(1), LockType::write, 6, 9, 2))); // other bytes
  REQUIRE_FALSE(table.deadlock(c, lock(owner(4), LockType::write, 0, 0, 2)));
  REQUIRE_FALSE(table.deadlock(c, lock(owner(1, 1), LockType::write, 0, 0, 2)));  // of the same number at another site
  put(b, {lock(owner(2), LockType::write, 0, 0)}, {});
  REQUIRE_FALSE(table.deadlock(c, lock(owner(1), LockType::write, 0, 0, 2)));
  REQUIRE(table.size() == 4);
}

TEST_CASE("two readers that both want to write: the second is told of the deadlock") {
  Pair pair;
  const InodeId f = pair.file("f");
  REQUIRE(ask(pair, f, lock(owner(1), LockType::read, 0, 0)).error == 0);
  REQUIRE(ask(pair, f, lock(owner(2), LockType::read, 0, 0)).error == 0);
  REQUIRE(ask(pair, f, lock(owner(1), LockType::write, 0, 0, 5)).value == 1);
  REQUIRE(ask(pair, f, lock(owner(2), LockType::write, 0, 0, 6)).error == EDEADLK);
}

TEST_CASE("a lock is the same at both sites, and outlives a daemon") {
  Pair pair;
  const InodeId f = pair.file("f");
  const LockRequest mine = lock(owner(1), LockType::write, 0, 9);
  REQUIRE(ask(pair, f, mine).error == 0);
  REQUIRE(ask(pair, f, lock(owner(2, 1), LockType::read, 9, 9)).error == EAGAIN);
  REQUIRE_FALSE(pair.last.changes);
  REQUIRE(ask(pair, f, lock(owner(2, 1), LockType::read, 9, 9, 3)).value == 1);
  for (Site* site : {&pair.a, &pair.b}) {
    REQUIRE(site->volume->locks().of(f).holds(mine, false));
    REQUIRE(site->volume->locks().of(f).waits(owner(2, 1), 3));
    site->restart();
    REQUIRE(site->volume->locks().of(f).holds(mine, false));
    REQUIRE(site->volume->locks().of(f).waits(owner(2, 1), 3));
  }
}

TEST_CASE("asked again under its ticket, a request changes nothing and says what became of it") {
  Pair pair;
  const InodeId f = pair.file("f");
  REQUIRE(ask(pair, f, lock(owner(1), LockType::write, 0, 9)).error == 0);
  const LockRequest wanted = lock(owner(2), LockType::write, 0, 0, 3);
  REQUIRE(ask(pair, f, wanted).value == 1);
  REQUIRE(ask(pair, f, wanted).value == 1);
  REQUIRE_FALSE(pair.last.changes);
  REQUIRE(ask(pair, f, lock(owner(1), LockType::unlock, 0, wire::kLockLastMax)).error == 0);
  REQUIRE(pair.b.volume->locks().of(f).holds(lock(owner(2), LockType::write, 0, 0), false));  // granted by the unlock itself
  const wire::Outcome outcome = ask(pair, f, wanted);
  REQUIRE((outcome.error == 0 && outcome.value == 0));
  REQUIRE_FALSE(pair.last.changes);
  REQUIRE(ask(pair, f, wanted, wire::OpKind::cancel_lock).value == 0);
}

TEST_CASE("a wait that is cancelled is granted to nobody") {
  Pair pair;
  const InodeId f = pair.file("f");
  REQUIRE(ask(pair, f, lock(owner(1), LockType::write, 0, 9)).error == 0);
  const LockRequest wanted = lock(owner(2), LockType::write, 0, 0, 3);
  REQUIRE(ask(pair, f, wanted).value == 1);
  REQUIRE(ask(pair, f, wanted, wire::OpKind::cancel_lock).value == 1);
  REQUIRE(ask(pair, f, lock(owner(1), LockType::unlock, 0, 9)).error == 0);
  REQUIRE(pair.a.volume->locks().of(f).empty());
  REQUIRE(pair.a.get([&] { return pair.a.volume->attributes(f); }));
}

TEST_CASE("flock: a change that has to wait gives the old lock up, one that does not wait keeps it") {
  Pair pair;
  const InodeId f = pair.file("f");
  REQUIRE(ask(pair, f, whole(owner(1), LockType::read)).error == 0);
  REQUIRE(ask(pair, f, whole(owner(2), LockType::read)).error == 0);
  REQUIRE(ask(pair, f, whole(owner(1), LockType::write)).error == EAGAIN);
  REQUIRE(pair.a.volume->locks().of(f).holds(whole(owner(1), LockType::read), false));
  REQUIRE(ask(pair, f, whole(owner(1), LockType::write, 4)).value == 1);
  REQUIRE_FALSE(pair.a.volume->locks().of(f).holds(whole(owner(1), LockType::read), true));
  // Both want to write: with locks of bytes that is a deadlock, here the second goes on.
  REQUIRE(ask(pair, f, whole(owner(2), LockType::write, 5)).value == 0);
  REQUIRE(ask(pair, f, whole(owner(2), LockType::unlock)).error == 0);
  REQUIRE(pair.a.volume->locks().of(f).holds(whole(owner(1), LockType::write), false));
}

TEST_CASE("a weaker lock lets readers in that wait") {
  Pair pair;
  const InodeId f = pair.file("f");
  REQUIRE(ask(pair, f, lock(owner(1), LockType::write, 0, 9)).error == 0);
  REQUIRE(ask(pair, f, lock(owner(2), LockType::read, 0, 9, 3)).value == 1);
  REQUIRE(ask(pair, f, lock(owner(1), LockType::read, 0, 9)).error == 0);
  REQUIRE(pair.a.volume->locks().of(f).holds(lock(owner(2), LockType::read, 0, 9), false));
}

TEST_CASE("locks of a site, or of its earlier starts, are broken; others get what they waited for") {
  Pair pair;
  const InodeId f = pair.file("f"), g = pair.file("g");
  REQUIRE(ask(pair, f, lock(owner(1, 1, 5), LockType::write, 0, 9)).error == 0);
  REQUIRE(ask(pair, g, lock(owner(2, 1, 6), LockType::write, 0, 9)).error == 0);
  REQUIRE(ask(pair, f, lock(owner(3, 0), LockType::write, 0, 9, 1)).value == 1);
  REQUIRE(ask(pair, f, lock(owner(4, 1, 5), LockType::write, 0, 9, 1)).value == 1);
  LockRequest gone;
  gone.owner = {SiteId{1}, 6, 0};
  SECTION("of earlier starts") {
    REQUIRE(ask(pair, kNoInode, gone, wire::OpKind::break_locks).value == 2);
    REQUIRE(pair.b.volume->locks().of(f).holds(lock(owner(3, 0), LockType::write, 0, 9), false));
    REQUIRE(pair.b.volume->locks().of(f).size() == 1);
    REQUIRE(pair.b.volume->locks().of(g).size() == 1);
  }
  SECTION("waits only") {
    gone.wait = true;
    REQUIRE(ask(pair, kNoInode, gone, wire::OpKind::break_locks).value == 1);
    REQUIRE(pair.b.volume->locks().of(f).size() == 2);
  }
  SECTION("of one file") {
    gone.owner.boot = 0;
    REQUIRE(ask(pair, g, gone, wire::OpKind::break_locks).value == 1);
    REQUIRE(pair.b.volume->locks().of(g).empty());
    REQUIRE(pair.b.volume->locks().of(f).size() == 3);
  }
  gone.owner.boot = 0;
  gone.wait = false;
  while (ask(pair, kNoInode, gone, wire::OpKind::break_locks).value > 0) continue;
  for (const auto& [inode, locks] : pair.a.volume->locks().files()) {
    for (const LockRequest& held : locks.held()) REQUIRE(held.owner.site == SiteId{0});
  }
}

TEST_CASE("locks end with their file, and there are only so many") {
  Pair pair;
  const InodeId f = pair.file("f");
  REQUIRE(ask(pair, InodeId{4711}, lock(owner(1), LockType::read, 0, 0)).error == ESTALE);
  for (std::uint64_t i = 0; i < kLocksPerFileMax; ++i) REQUIRE(ask(pair, f, lock(owner(1), LockType::read, 2 * i, 2 * i)).error == 0);
  REQUIRE(ask(pair, f, lock(owner(2), LockType::read, 0, 0)).error == ENOLCK);
  REQUIRE(ask(pair, f, lock(owner(2), LockType::write, 0, 0, 1)).error == ENOLCK);
  REQUIRE(ask(pair, f, lock(owner(1), LockType::unlock, 0, 0)).error == 0);
  REQUIRE(ask(pair, f, lock(owner(2), LockType::write, 0, 0)).error == 0);
  REQUIRE(pair.change(Pair::op(wire::OpKind::unlink, kRootInode, "f")).error == 0);
  REQUIRE(pair.change(reap_of(std::array{f})).error == 0);
  REQUIRE(pair.a.volume->locks().files().empty());
  REQUIRE(pair.b.volume->locks().size() == 0);
  pair.a.restart();
  REQUIRE(pair.a.volume->locks().files().empty());
}
