// Access control lists: what they are made of, set, followed by chmod, inherited.
#include "volume/acl.h"

#include "../acl_bytes.h"
#include "site.h"

using namespace lockstep;
using namespace lockstep::volume;

namespace {

const std::string kAccess{kAccessAcl}, kDefault{kDefaultAcl};

std::string named(std::uint16_t mask, std::uint16_t others = 0, std::uint32_t user = 1234) {
  return acl_bytes({{kAclOwner, 7}, {kAclUser, 6, user}, {kAclOwningGroup, 5}, {kAclMask, mask}, {kAclOthers, others}});
}
std::string plain(std::uint16_t owner, std::uint16_t group, std::uint16_t others) {
  return acl_bytes({{kAclOwner, owner}, {kAclOwningGroup, group}, {kAclOthers, others}});
}

struct World : Pair {
  Result<std::string> value(InodeId inode, const std::string& name) {
    return b.get([&] { return b.volume->xattr(inode, name); });
  }
  bool has(InodeId inode, const std::string& name) { return value(inode, name).has_value(); }
  std::uint32_t mode(InodeId inode) { return attributes(inode).mode & 07777; }
  /// As a program asked for `mode` under `umask`.
  InodeId make(InodeId directory, const std::string& name, std::uint32_t type, std::uint32_t mode, std::uint32_t umask) {
    wire::Operation it = op(wire::OpKind::create, directory, name);
    it.mode = type | (mode & ~umask);
    it.flags = mode & umask & 0777;
    it.exclusive = true;
    if (type == S_IFLNK) it.text = "target";
    it.anonymous = name.empty();
    return made(change(it));
  }
};

}  // namespace

TEST_CASE("the bytes of a list are those of the kernel, and only of valid lists") {
  for (const std::string& good : {plain(7, 5, 0), named(7), acl_bytes({{kAclOwner, 0}, {kAclUser, 1, 2}, {kAclUser, 1, 3}, {kAclOwningGroup, 7},
                                                                        {kAclGroup, 2, 0}, {kAclMask, 0}, {kAclOthers, 7}})}) {
    const auto acl = Acl::unpack(good);
    REQUIRE(acl);
    REQUIRE(acl->pack() == good);
    for (std::size_t n = 0; n < good.size(); ++n) REQUIRE_FALSE(Acl::unpack(good.substr(0, n)));
  }
  const std::string bad[] = {
      "", "x", acl_bytes({}), acl_bytes({{kAclOwner, 7}, {kAclOwningGroup, 5}}), acl_bytes({{kAclOthers, 7}, {kAclOwningGroup, 5}, {kAclOwner, 0}}),
      acl_bytes({{kAclOwner, 7}, {kAclOwner, 7}, {kAclOwningGroup, 5}, {kAclOthers, 0}}),
      acl_bytes({{kAclOwner, 8}, {kAclOwningGroup, 5}, {kAclOthers, 0}}), acl_bytes({{kAclOwner, 7}, {kAclUser, 7, 1}, {kAclOwningGroup, 5}, {kAclOthers, 0}}),
      acl_bytes({{kAclOwner, 7}, {kAclUser, 7}, {kAclOwningGroup, 5}, {kAclMask, 7}, {kAclOthers, 0}}),
      acl_bytes({{64, 7}, {kAclOwner, 7}, {kAclOwningGroup, 5}, {kAclOthers, 0}}),
      acl_bytes({{kAclOwner, 7}, {kAclOwningGroup, 5}, {kAclMask, 7}, {kAclMask, 7}, {kAclOthers, 0}}),
      acl_bytes({{kAclOwner, 7}, {kAclOwningGroup, 5}, {kAclOthers, 0}}, 1)};
  for (const std::string& text : bad) REQUIRE_FALSE(Acl::unpack(text));
  // Ids of entries that have none do not count.
  REQUIRE(Acl::unpack(acl_bytes({{kAclOwner, 7, 3}, {kAclOwningGroup, 5, 4}, {kAclOthers, 0, 0}}))->pack() == plain(7, 5, 0));
}

TEST_CASE("an access list gives its object the mode, and is stored if it says more than that") {
  World w;
  const InodeId f = w.file("f");
  REQUIRE(w.set_xattr(f, kAccess, named(6, 4)).error == 0);
  REQUIRE(w.mode(f) == 0764);
  REQUIRE(w.value(f, kAccess) == named(6, 4));
  REQUIRE(w.set_xattr(f, kAccess, plain(6, 4, 0)).error == 0);
  REQUIRE(w.mode(f) == 0640);
  REQUIRE_FALSE(w.has(f, kAccess));
  REQUIRE(w.set_xattr(f, kAccess, plain(7, 0, 0)).error == 0);
  REQUIRE(w.mode(f) == 0700);
  REQUIRE(w.set_xattr(f, kAccess, named(6)).error == 0);
  REQUIRE(w.change(Pair::op(wire::OpKind::remove_xattr, f, kAccess)).error == 0);
  REQUIRE(w.mode(f) == 0760);
  REQUIRE(w.change(Pair::op(wire::OpKind::remove_xattr, f, kAccess)).error == ENODATA);
  w.require_equal();
}

TEST_CASE("setgid goes with an access list when who sets it is not of the group") {
  World w;
  const InodeId f = w.made(w.create(kRootInode, "f", S_IFREG | 06755));
  REQUIRE(w.set_xattr(f, kAccess, named(5, 5)).error == 0);
  REQUIRE(w.mode(f) == 06755);
  wire::Operation it = Pair::op(wire::OpKind::set_xattr, f, kAccess);
  it.text = named(5, 5);
  it.kill_suid_gid = true;
  REQUIRE(w.change(it).error == 0);
  REQUIRE(w.mode(f) == 04755);
}

TEST_CASE("lists are refused where they mean nothing") {
  World w;
  const InodeId f = w.file("f"), d = w.directory(kRootInode, "d"), s = Pair::made(w.create(kRootInode, "s", S_IFLNK | 0777));
  REQUIRE(w.set_xattr(f, kAccess, "nonsense").error == EINVAL);
  REQUIRE(w.set_xattr(d, kDefault, "").error == EINVAL);
  REQUIRE(w.set_xattr(f, kDefault, named(7)).error == EACCES);
  REQUIRE(w.set_xattr(s, kAccess, named(7)).error == EOPNOTSUPP);
  REQUIRE(w.set_xattr(f, kAccess, named(7) + std::string(kAclBytesMax, 'x')).error == E2BIG);
  REQUIRE(w.set_xattr(f, "system.other", "x").error == EOPNOTSUPP);
  REQUIRE(w.keys_of('X') == 0);
}

TEST_CASE("chmod changes what the list says of owner, mask and others") {
  World w;
  const InodeId f = w.file("f");
  REQUIRE(w.set_xattr(f, kAccess, named(7, 7)).error == 0);
  wire::Operation chmod = Pair::op(wire::OpKind::set_attributes, f);
  chmod.change.mode_set = true;
  chmod.change.mode = 01514;
  REQUIRE(w.change(chmod).error == 0);
  REQUIRE(w.mode(f) == 01514);
  REQUIRE(w.value(f, kAccess) == acl_bytes({{kAclOwner, 5}, {kAclUser, 6, 1234}, {kAclOwningGroup, 5}, {kAclMask, 1}, {kAclOthers, 4}}));
  w.require_equal();
}

TEST_CASE("what is made in a directory inherits its default list, and then no umask counts") {
  World w;
  const InodeId d = w.directory(kRootInode, "d");
  REQUIRE(w.set_xattr(d, kDefault, named(7, 4)).error == 0);
  REQUIRE(w.mode(d) == 0755);
  const InodeId file = w.make(d, "file", S_IFREG, 0666, 0077);
  REQUIRE(w.mode(file) == 0664);
  REQUIRE(w.value(file, kAccess) == acl_bytes({{kAclOwner, 6}, {kAclUser, 6, 1234}, {kAclOwningGroup, 5}, {kAclMask, 6}, {kAclOthers, 4}}));
  REQUIRE_FALSE(w.has(file, kDefault));
  const InodeId sub = w.make(d, "sub", S_IFDIR, 01777, 0077);
  REQUIRE(w.mode(sub) == 01774);
  REQUIRE(w.value(sub, kAccess) == named(7, 4));
  REQUIRE(w.value(sub, kDefault) == named(7, 4));
  REQUIRE(w.attributes(w.make(sub, "below", S_IFIFO, 0604, 0)).mode == (S_IFIFO | 0604));
  const InodeId link = w.make(d, "link", S_IFLNK, 0777, 0022);
  REQUIRE_FALSE(w.has(link, kAccess));
  REQUIRE(w.mode(link) == 0777);
  const InodeId nameless = w.make(d, "", S_IFREG, 0600, 0777);
  REQUIRE(w.mode(nameless) == 0600);
  REQUIRE(w.has(nameless, kAccess));
  w.reap();
  w.require_equal();
}

TEST_CASE("a default list that is a mode gives modes only; without one the umask has counted") {
  World w;
  const InodeId d = w.directory(kRootInode, "d");
  REQUIRE(w.set_xattr(d, kDefault, plain(7, 7, 0)).error == 0);
  const InodeId file = w.make(d, "file", S_IFREG, 0666, 0022);
  REQUIRE(w.mode(file) == 0660);
  REQUIRE_FALSE(w.has(file, kAccess));
  REQUIRE(w.change(Pair::op(wire::OpKind::remove_xattr, d, kDefault)).error == 0);
  REQUIRE(w.set_xattr(d, "user.other", "x").error == 0);
  REQUIRE(w.mode(w.make(d, "later", S_IFREG, 0666, 0022)) == 0644);
  REQUIRE(w.mode(w.make(d, "dir", S_IFDIR, 0777, 0027)) == 0750);
}

TEST_CASE("to make something in a directory without attributes no attribute is read") {
  World w;
  const InodeId d = w.directory(kRootInode, "d");
  w.a.restart();
  wire::Operation it = Pair::op(wire::OpKind::create, d, "f");
  it.mode = S_IFREG | 0644;
  for (;;) {
    auto planned = w.a.volume->plan(it, w.now);
    if (planned.value() != nullptr) break;
    REQUIRE(planned.miss() != nullptr);
    for (const std::string& key : planned.miss()->keys) REQUIRE(key[0] != 'X');
    REQUIRE(w.a.run(w.a.volume->load(std::move(*planned.miss()))));
  }
}
