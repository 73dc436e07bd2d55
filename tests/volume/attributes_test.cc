#include "site.h"

using namespace lockstep;
using namespace lockstep::volume;

namespace {

wire::Operation set(InodeId inode) { return Pair::op(wire::OpKind::set_attributes, inode); }

}  // namespace

TEST_CASE("chmod changes the bits and not the type") {
  Pair pair;
  const InodeId f = pair.file("f");
  wire::Operation op = set(f);
  op.change.mode_set = true;
  op.change.mode = S_IFDIR | 07777;
  REQUIRE(pair.change(op).error == 0);
  REQUIRE(pair.attributes(f).mode == (S_IFREG | 07777u));
  REQUIRE(pair.attributes(f).ctime == pair.now);
}

TEST_CASE("chown takes setuid and setgid from files, not from directories") {
  Pair pair;
  const InodeId f = Pair::made(pair.create(kRootInode, "f", S_IFREG | 06755));
  const InodeId g = Pair::made(pair.create(kRootInode, "g", S_IFREG | 06745));  // mandatory locking, not setgid
  const InodeId d = Pair::made(pair.create(kRootInode, "d", S_IFDIR | 06755));
  REQUIRE(pair.set_xattr(f, "security.capability", "cap").error == 0);
  for (const InodeId inode : {f, g, d}) {
    wire::Operation op = set(inode);
    op.change.uid_set = true;
    op.change.uid = 5;
    REQUIRE(pair.change(op).error == 0);
  }
  REQUIRE((pair.attributes(f).mode & 07777) == 0755);
  REQUIRE((pair.attributes(g).mode & 07777) == 02745);
  REQUIRE((pair.attributes(d).mode & 07777) == 06755);
  REQUIRE(pair.a.get([&] { return pair.a.volume->xattr(f, "security.capability"); }).error().posix == ENODATA);
}

TEST_CASE("a write says whether it takes setuid away") {
  Pair pair;
  const InodeId f = Pair::made(pair.create(kRootInode, "f", S_IFREG | 04755));
  REQUIRE(pair.write(f, 0, "x").error == 0);
  REQUIRE((pair.attributes(f).mode & 07777) == 04755);
  wire::Operation op = Pair::op(wire::OpKind::write, f);
  op.length = 1;
  op.kill_suid_gid = true;
  REQUIRE(pair.change(op, "y").error == 0);
  REQUIRE((pair.attributes(f).mode & 07777) == 0755);
}

TEST_CASE("times are set as asked, to the nanosecond") {
  Pair pair;
  const InodeId f = pair.file("f");
  wire::Operation op = set(f);
  op.change.atime_set = op.change.mtime_set = true;
  op.change.atime = WallTime{-5};
  op.change.mtime = WallTime{123456789};
  REQUIRE(pair.change(op).error == 0);
  REQUIRE(pair.attributes(f).atime == WallTime{-5});
  REQUIRE(pair.attributes(f).mtime == WallTime{123456789});
  REQUIRE(pair.attributes(f).ctime == pair.now);
  op = set(f);
  op.change.atime_set = op.change.atime_now = true;
  REQUIRE(pair.change(op).error == 0);
  REQUIRE(pair.attributes(f).atime == pair.now);
  REQUIRE(pair.attributes(f).mtime == WallTime{123456789});
}

TEST_CASE("the times of overwrites stay in memory until they are settled, at both sites") {
  Pair pair;
  const InodeId f = pair.file("f");
  REQUIRE(pair.write(f, 0, pattern(5000, 1)).error == 0);
  REQUIRE(pair.write(f, 10, "abc").error == 0);
  REQUIRE(pair.last.effect.batch.empty());
  REQUIRE(pair.last.effect.times.mtime == pair.now);
  for (Site* site : {&pair.a, &pair.b}) {
    REQUIRE(site->get([&] { return site->volume->attributes(f); })->mtime == pair.now);
    REQUIRE(site->volume->unsettled(10).size() == 1);
  }
  const WallTime written = pair.now;
  REQUIRE(pair.change(Pair::op(wire::OpKind::settle, kNoInode)).value == 0);
  REQUIRE(pair.a.volume->unsettled(10).empty());
  REQUIRE(pair.b.volume->unsettled(10).empty());
  REQUIRE(pair.attributes(f).mtime == written);
  REQUIRE(pair.attributes(f).size == 5000);
  REQUIRE(pair.change(Pair::op(wire::OpKind::settle, kNoInode)).value == 0);
  REQUIRE_FALSE(pair.last.changes);
  pair.require_equal();
}

TEST_CASE("a later change of the inode carries the times along") {
  Pair pair;
  const InodeId f = pair.file("f");
  REQUIRE(pair.write(f, 0, "12345").error == 0);
  REQUIRE(pair.write(f, 0, "1").error == 0);
  const WallTime written = pair.now;
  REQUIRE(pair.link(kRootInode, "g", f).error == 0);
  REQUIRE(pair.a.volume->unsettled(1).empty());
  REQUIRE(pair.attributes(f).mtime == written);
  REQUIRE(pair.attributes(f).ctime == pair.now);
}

TEST_CASE("xattrs are set, replaced, listed and removed") {
  Pair pair;
  const InodeId f = pair.file("f");
  const auto value = [&](const std::string& name) { return pair.a.get([&] { return pair.a.volume->xattr(f, name); }); };
  REQUIRE(pair.set_xattr(f, "user.a", "1", 2).error == ENODATA);
  REQUIRE(pair.set_xattr(f, "user.a", "1", 1).error == 0);
  REQUIRE(pair.set_xattr(f, "user.a", "2", 1).error == EEXIST);
  REQUIRE(pair.set_xattr(f, "user.a", "3").error == 0);
  REQUIRE(pair.set_xattr(f, "user.b", "").error == 0);
  REQUIRE(value("user.a") == "3");
  REQUIRE(value("user.b") == "");
  REQUIRE(pair.a.run(pair.a.volume->xattr_names(f)) == std::string("user.a\0user.b\0", 14));
  REQUIRE(pair.change(Pair::op(wire::OpKind::remove_xattr, f, "user.a")).error == 0);
  REQUIRE(pair.change(Pair::op(wire::OpKind::remove_xattr, f, "user.a")).error == ENODATA);
  REQUIRE(value("user.a").error().posix == ENODATA);
  pair.require_equal();
}

TEST_CASE("xattrs have limits") {
  Pair pair;
  const InodeId f = pair.file("f");
  REQUIRE(pair.set_xattr(f, "user." + std::string(250, 'x'), "").error == 0);
  REQUIRE(pair.set_xattr(f, "user." + std::string(251, 'x'), "").error == ERANGE);
  REQUIRE(pair.set_xattr(f, "user.v", std::string(65536, 'x')).error == 0);
  REQUIRE(pair.set_xattr(f, "user.w", std::string(65537, 'x')).error == E2BIG);
  REQUIRE(pair.set_xattr(f, "user.", "x").error == EINVAL);
  REQUIRE(pair.set_xattr(f, "system.other", "x").error == EOPNOTSUPP);
  int n = 0;
  while (pair.set_xattr(f, "user.n" + std::to_string(n), std::string(65536, 'x')).error == 0) REQUIRE(++n < 100);
  REQUIRE(pair.last.effect.outcome.error == ENOSPC);
  // Replacing needs no more room.
  REQUIRE(pair.set_xattr(f, "user.v", std::string(65536, 'y')).error == 0);
}
