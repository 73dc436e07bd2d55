#include "site.h"

using namespace lockstep;
using namespace lockstep::volume;

namespace {
constexpr std::uint32_t kNoReplace = 1, kExchange = 2, kWhiteout = 4;

bool drops(const wire::Effect& effect, wire::Drop::Kind kind, InodeId inode, const std::string& name = {}) {
  return std::any_of(effect.drops.begin(), effect.drops.end(),
                     [&](const wire::Drop& d) { return d.kind == kind && d.inode == inode && d.name == name; });
}
}  // namespace

TEST_CASE("a file that was created is found, with its attributes") {
  Pair pair;
  const wire::Outcome made = pair.create(kRootInode, "f", S_IFREG | 0640);
  REQUIRE(made.error == 0);
  REQUIRE_FALSE(made.existed);
  REQUIRE(made.attributes.mode == (S_IFREG | 0640));
  REQUIRE(made.attributes.links == 1);
  REQUIRE(pair.lookup(kRootInode, "f") == made.attributes.inode);
  REQUIRE(pair.attributes(kRootInode).mtime == pair.now);
  REQUIRE(drops(pair.last.effect, wire::Drop::Kind::listing, kRootInode));
  REQUIRE(pair.a.volume->statistics().files == 2);
  pair.require_equal();
}

TEST_CASE("every type of object can be created; a symlink has its target") {
  Pair pair;
  for (const std::uint32_t type : {S_IFREG, S_IFDIR, S_IFLNK, S_IFIFO, S_IFCHR, S_IFBLK, S_IFSOCK}) {
    const wire::Outcome made = pair.create(kRootInode, "t" + std::to_string(type), type | 0600);
    REQUIRE(made.error == 0);
    REQUIRE((made.attributes.mode & S_IFMT) == type);
  }
  const auto target = pair.a.get([&] { return pair.a.volume->symlink_target(pair.lookup(kRootInode, "t" + std::to_string(S_IFLNK))); });
  REQUIRE(target == "target");
  REQUIRE(pair.create(kRootInode, "bad", 0644).error == EINVAL);
}

TEST_CASE("creating what exists: EEXIST if exclusive, else the object") {
  Pair pair;
  const InodeId file = pair.file("f");
  REQUIRE(pair.create(kRootInode, "f").error == EEXIST);
  wire::Operation open = Pair::op(wire::OpKind::create, kRootInode, "f");
  open.mode = S_IFREG | 0600;
  const wire::Outcome found = pair.change(open);
  REQUIRE(found.existed);
  REQUIRE(found.attributes.inode == file);
  REQUIRE_FALSE(pair.last.changes);
  pair.directory(kRootInode, "d");
  REQUIRE(pair.create(kRootInode, "d", S_IFDIR | 0755).error == EEXIST);
}

TEST_CASE("a setgid directory hands down its group, and setgid to directories") {
  Pair pair;
  const InodeId d = pair.directory(kRootInode, "d");
  wire::Operation chmod = Pair::op(wire::OpKind::set_attributes, d);
  chmod.change.mode_set = chmod.change.gid_set = true;
  chmod.change.mode = 02775;
  chmod.change.gid = 42;
  REQUIRE(pair.change(chmod).error == 0);
  REQUIRE((pair.attributes(d).mode & 07777) == 02775);
  const wire::Outcome file = pair.create(d, "f", S_IFREG | 0644);
  const wire::Outcome sub = pair.create(d, "s", S_IFDIR | 0755);
  REQUIRE(file.attributes.gid == 42);
  REQUIRE((file.attributes.mode & S_ISGID) == 0);
  REQUIRE(sub.attributes.gid == 42);
  REQUIRE((sub.attributes.mode & S_ISGID) != 0);
}

TEST_CASE("names that can't be are refused") {
  Pair pair;
  REQUIRE(pair.create(kRootInode, std::string(256, 'x')).error == ENAMETOOLONG);
  REQUIRE(pair.create(kRootInode, std::string(255, 'x')).error == 0);
  REQUIRE(pair.create(kRootInode, "a/b").error == EINVAL);
  REQUIRE(pair.create(kRootInode, "..").error == EINVAL);
  REQUIRE(pair.create(kRootInode, "").error == ENOENT);
  const InodeId f = pair.file("f");
  REQUIRE(pair.create(f, "x").error == ENOTDIR);
  REQUIRE(pair.create(InodeId{999}, "x").error == ENOENT);
}

TEST_CASE("a directory's links count its subdirectories") {
  Pair pair;
  const InodeId d = pair.directory(kRootInode, "d");
  REQUIRE(pair.attributes(d).links == 2);
  pair.directory(d, "1");
  pair.directory(d, "2");
  REQUIRE(pair.create(d, "file").error == 0);
  REQUIRE(pair.attributes(d).links == 4);
  REQUIRE(pair.rmdir(d, "1").error == 0);
  REQUIRE(pair.attributes(d).links == 3);
  REQUIRE(pair.rmdir(kRootInode, "d").error == ENOTEMPTY);
}

TEST_CASE("link: EPERM for directories, EEXIST, EMLINK at 65000") {
  Pair pair;
  const InodeId d = pair.directory(kRootInode, "d");
  const InodeId f = pair.file("f");
  REQUIRE(pair.link(kRootInode, "x", d).error == EPERM);
  REQUIRE(pair.link(kRootInode, "d", f).error == EEXIST);
  REQUIRE(pair.link(d, "g", f).error == 0);
  REQUIRE(pair.attributes(f).links == 2);
  REQUIRE(drops(pair.last.effect, wire::Drop::Kind::attributes, f));
  REQUIRE(pair.unlink(kRootInode, "f").error == 0);
  REQUIRE(orphans_made(pair.last.effect).empty());
  REQUIRE(pair.attributes(f).links == 1);
  REQUIRE(pair.lookup(d, "g") == f);

  Result<Inode> inode = unpack_inode(f, pair.a.machine().key_store().keys().at(inode_key(f)));
  REQUIRE(inode);
  inode->links = 65000;
  wire::Effect effect;
  effect.batch.push_back({inode_key(f), pack_inode(*inode)});
  pair.put_into_force(effect, {});
  REQUIRE(pair.link(kRootInode, "y", f).error == EMLINK);
}

TEST_CASE("unlink and rmdir tell files from directories") {
  Pair pair;
  pair.directory(kRootInode, "d");
  pair.file("f");
  REQUIRE(pair.unlink(kRootInode, "d").error == EISDIR);
  REQUIRE(pair.rmdir(kRootInode, "f").error == ENOTDIR);
  REQUIRE(pair.unlink(kRootInode, "none").error == ENOENT);
  REQUIRE(pair.rmdir(kRootInode, "none").error == ENOENT);
}

TEST_CASE("the last name's removal makes an orphan, which reap removes with all its keys") {
  Pair pair;
  const std::uint64_t free = pair.a.volume->statistics().blocks_free;
  const auto keys = pair.a.machine().key_store().keys().size();
  const InodeId f = pair.file("f");
  REQUIRE(pair.write(f, 0, pattern(100'000, 1)).error == 0);
  REQUIRE(pair.set_xattr(f, "user.a", "b").error == 0);
  REQUIRE(pair.unlink(kRootInode, "f").error == 0);
  REQUIRE(orphans_made(pair.last.effect) == std::vector{f});
  REQUIRE(drops(pair.last.effect, wire::Drop::Kind::name, kRootInode, "f"));
  REQUIRE(pair.attributes(f).links == 0);
  REQUIRE(pair.read(f, 0, 10) == pattern(100'000, 1).substr(0, 10));
  pair.reap();
  REQUIRE(orphans_ended(pair.last.effect) == std::vector{f});
  REQUIRE(pair.a.volume->statistics().blocks_free == free);
  REQUIRE(pair.a.volume->statistics().files == 1);
  // The site's own seq stays.
  REQUIRE(pair.a.machine().key_store().keys().size() == keys + 1);
  const auto gone = pair.a.get([&] { return pair.a.volume->attributes(f); });
  REQUIRE(gone.error().posix == ESTALE);
  pair.require_equal();
}

TEST_CASE("reap leaves alone what has a name") {
  Pair pair;
  const InodeId f = pair.file("f");
  REQUIRE(pair.change(Pair::op(wire::OpKind::reap, f)).error == 0);
  REQUIRE_FALSE(pair.last.changes);
  REQUIRE(pair.lookup(kRootInode, "f") == f);
}

TEST_CASE("nothing is created in a directory that was removed") {
  Pair pair;
  const InodeId d = pair.directory(kRootInode, "d");
  REQUIRE(pair.rmdir(kRootInode, "d").error == 0);
  REQUIRE(pair.create(d, "f").error == ENOENT);
  const InodeId f = pair.file("f");
  REQUIRE(pair.rename(kRootInode, "f", d, "f").error == ENOENT);
  REQUIRE(pair.link(d, "f", f).error == ENOENT);
}

TEST_CASE("an object made without a name is an orphan until it is linked") {
  Pair pair;
  wire::Operation make = Pair::op(wire::OpKind::create, kRootInode);
  make.mode = S_IFREG | 0600;
  make.anonymous = true;
  const InodeId f = Pair::made(pair.change(make));
  REQUIRE(orphans_made(pair.last.effect) == std::vector{f});
  REQUIRE(pair.link(kRootInode, "f", f).error == 0);
  REQUIRE(orphans_ended(pair.last.effect) == std::vector{f});
  REQUIRE(pair.attributes(f).links == 1);
  REQUIRE(pair.unlink(kRootInode, "f").error == 0);
  REQUIRE(pair.link(kRootInode, "g", f).error == ENOENT);
}

TEST_CASE("rename moves a name; over an existing file that loses its own") {
  Pair pair;
  const InodeId a = pair.file("a"), b = pair.file("b");
  const InodeId d = pair.directory(kRootInode, "d");
  REQUIRE(pair.rename(kRootInode, "a", d, "a").error == 0);
  REQUIRE(pair.lookup(kRootInode, "a") == kNoInode);
  REQUIRE(pair.lookup(d, "a") == a);
  REQUIRE(pair.rename(d, "a", kRootInode, "b").error == 0);
  REQUIRE(pair.lookup(kRootInode, "b") == a);
  REQUIRE(orphans_made(pair.last.effect) == std::vector{b});
  REQUIRE(drops(pair.last.effect, wire::Drop::Kind::name, kRootInode, "b"));
  REQUIRE(drops(pair.last.effect, wire::Drop::Kind::name, d, "a"));
  REQUIRE(pair.attributes(d).size == 0);
  pair.require_equal();
}

TEST_CASE("a rename over a file with other names says which one it replaced") {
  Pair pair;
  const InodeId b = pair.file("b");
  pair.file("a");
  pair.file("c");
  REQUIRE(pair.link(kRootInode, "b too", b).error == 0);
  CHECK(pair.rename(kRootInode, "a", kRootInode, "b").value == b.value);
  CHECK(pair.attributes(b).links == 1);
  CHECK(pair.rename(kRootInode, "c", kRootInode, "b too").value == 0);
  CHECK(orphans_made(pair.last.effect) == std::vector{b});
  CHECK(pair.rename(kRootInode, "b too", kRootInode, "new").value == 0);
}

TEST_CASE("rename of directories moves links and the parent") {
  Pair pair;
  const InodeId d = pair.directory(kRootInode, "d"), e = pair.directory(kRootInode, "e");
  const InodeId sub = pair.directory(d, "sub");
  REQUIRE(pair.attributes(d).links == 3);
  REQUIRE(pair.rename(d, "sub", e, "sub").error == 0);
  REQUIRE(pair.attributes(d).links == 2);
  REQUIRE(pair.attributes(e).links == 3);
  REQUIRE(pair.a.get([&] { return pair.a.volume->parent(sub); }) == e);
  // Over an empty directory.
  REQUIRE(pair.rename(kRootInode, "d", e, "sub").error == 0);
  REQUIRE(pair.attributes(e).links == 3);
  REQUIRE(pair.attributes(kRootInode).links == 3);
  REQUIRE(pair.attributes(sub).links == 0);
}

TEST_CASE("a directory that is there is not taken for one that was removed", "[expects]") {
  Pair pair;
  const InodeId f = pair.file("f"), g = pair.file("g");
  const InodeId d = pair.directory(kRootInode, "d"), e = pair.directory(kRootInode, "e"), full = pair.directory(kRootInode, "full");
  REQUIRE(pair.create(full, "x").error == 0);
  wire::Outcome outcome;
  const auto change = [&](wire::OpKind kind, const std::string& name, InodeId expects, const std::string& text = "", InodeId other = kNoInode,
                          std::uint32_t flags = 0) {
    wire::Operation it = pair.op(kind, kRootInode, name);
    it.expects = expects;
    it.text = text;
    if (kind == wire::OpKind::rename) it.other = kRootInode;
    it.other_expects = other;
    it.flags = flags;
    outcome = pair.change(it);
    return outcome.error;
  };
  using enum wire::OpKind;
  // What it is counts before what it is taken for.
  CHECK(change(rmdir, "none", d) == ENOENT);
  CHECK(change(rmdir, "f", d) == ENOTDIR);
  CHECK(change(rmdir, "full", d) == ENOTEMPTY);
  CHECK(change(rename, "d", d, "full", e) == ENOTEMPTY);

  CHECK(change(rmdir, "d", e) == ESTALE);
  CHECK(change(rmdir, "d", wire::kSomethingElse) == ESTALE);
  CHECK(change(rename, "d", d, "e", full) == ESTALE);
  CHECK(change(rename, "d", d, "e", wire::kSomethingElse) == ESTALE);
  CHECK(change(rename, "d", d, "free", full) == ESTALE);
  CHECK(change(rename, "f", f, "f", e) == ESTALE);  // also where nothing happens
  CHECK(change(rename, "d", wire::kSomethingElse, "d", d) == ESTALE);

  // An exchange removes nothing; what went may be taken for removed.
  CHECK((change(rename, "d", d, "e", full, 2) == 0 && outcome.unexpected));
  CHECK((change(rename, "d", e, "e", d, 2) == 0 && !outcome.unexpected));
  CHECK((change(rmdir, "e", kNoInode) == 0 && !outcome.unexpected));
  CHECK((change(rmdir, "d", e) == 0 && outcome.unexpected));

  // Of files only links are counted.
  CHECK((change(rename, "f", g, "new", f) == 0 && outcome.unexpected));
  CHECK((change(rename, "new", f, "g", g) == 0 && !outcome.unexpected));
  CHECK(pair.attributes(g).links == 0);
  CHECK((change(unlink, "g", g) == 0 && outcome.unexpected));
}

TEST_CASE("rename: what it refuses") {
  Pair pair;
  const InodeId d = pair.directory(kRootInode, "d"), e = pair.directory(kRootInode, "e");
  const InodeId sub = pair.directory(d, "sub");
  const InodeId f = pair.file("f");
  REQUIRE(pair.create(e, "x").error == 0);
  REQUIRE(pair.rename(kRootInode, "d", sub, "d").error == EINVAL);
  REQUIRE(pair.rename(kRootInode, "d", d, "d").error == EINVAL);
  REQUIRE(pair.rename(kRootInode, "d", kRootInode, "e").error == ENOTEMPTY);
  REQUIRE(pair.rename(kRootInode, "d", kRootInode, "f").error == ENOTDIR);
  REQUIRE(pair.rename(kRootInode, "f", kRootInode, "d").error == EISDIR);
  REQUIRE(pair.rename(kRootInode, "none", kRootInode, "d").error == ENOENT);
  REQUIRE(pair.rename(kRootInode, "f", kRootInode, "e", kNoReplace).error == EEXIST);
  REQUIRE(pair.rename(kRootInode, "f", kRootInode, "none", kExchange).error == ENOENT);
  REQUIRE(pair.rename(kRootInode, "f", kRootInode, "g", 8).error == EINVAL);
  REQUIRE(pair.rename(kRootInode, "f", kRootInode, "e", kExchange | kWhiteout).error == EINVAL);
  REQUIRE(pair.rename(kRootInode, "f", kRootInode, "g", 3).error == EINVAL);
  REQUIRE(pair.lookup(kRootInode, "f") == f);
}

TEST_CASE("rename of one object's two names does nothing") {
  Pair pair;
  const InodeId f = pair.file("f");
  REQUIRE(pair.link(kRootInode, "g", f).error == 0);
  REQUIRE(pair.rename(kRootInode, "f", kRootInode, "g").error == 0);
  REQUIRE_FALSE(pair.last.changes);
  REQUIRE(pair.lookup(kRootInode, "f") == f);
  REQUIRE(pair.rename(kRootInode, "f", kRootInode, "g", kNoReplace).error == EEXIST);
}

TEST_CASE("exchange swaps the two names, also of a file and a directory") {
  Pair pair;
  const InodeId d = pair.directory(kRootInode, "d");
  const InodeId sub = pair.directory(d, "sub");
  const InodeId f = pair.file("f");
  REQUIRE(pair.rename(kRootInode, "f", d, "sub", kExchange).error == 0);
  REQUIRE(pair.lookup(kRootInode, "f") == sub);
  REQUIRE(pair.lookup(d, "sub") == f);
  REQUIRE(pair.attributes(d).links == 2);
  REQUIRE(pair.attributes(kRootInode).links == 4);
  REQUIRE(pair.attributes(d).size == 1);
  REQUIRE(pair.a.get([&] { return pair.a.volume->parent(sub); }) == kRootInode);
  REQUIRE(pair.rename(d, "sub", kRootInode, "d", kExchange).error == EINVAL);
  pair.require_equal();
}

TEST_CASE("a rename can leave a whiteout at the old name, in the same effect") {
  Pair pair;
  const InodeId d = pair.directory(kRootInode, "d");
  const InodeId f = pair.file("f");
  pair.file("g");
  REQUIRE(pair.rename(kRootInode, "f", d, "f", kWhiteout).error == 0);
  REQUIRE(pair.lookup(d, "f") == f);
  const InodeId whiteout = pair.lookup(kRootInode, "f");
  REQUIRE(whiteout != f);
  const auto is = pair.attributes(whiteout);
  REQUIRE(is.mode == S_IFCHR);
  REQUIRE(is.rdev == 0);
  REQUIRE(is.links == 1);
  REQUIRE(pair.attributes(kRootInode).size == 3);
  REQUIRE(pair.attributes(d).size == 1);
  // Over an object, which goes; and where nothing may be.
  REQUIRE(pair.rename(d, "f", kRootInode, "g", kWhiteout).error == 0);
  REQUIRE(pair.lookup(kRootInode, "g") == f);
  REQUIRE(pair.attributes(pair.lookup(d, "f")).mode == S_IFCHR);
  REQUIRE(pair.rename(kRootInode, "g", kRootInode, "f", kWhiteout | kNoReplace).error == EEXIST);
  REQUIRE(pair.rename(kRootInode, "none", kRootInode, "x", kWhiteout).error == ENOENT);
  // A directory as well: its place in the tree is the new one.
  REQUIRE(pair.rename(kRootInode, "d", kRootInode, "e", kWhiteout).error == 0);
  REQUIRE(pair.lookup(kRootInode, "e") == d);
  REQUIRE(pair.attributes(pair.lookup(kRootInode, "d")).mode == S_IFCHR);
  REQUIRE(pair.attributes(kRootInode).links == 3);
  pair.require_equal();
}

TEST_CASE("a listing gives every entry once, in pages of any size") {
  Pair pair;
  const InodeId d = pair.directory(kRootInode, "d");
  std::set<std::string> names;
  for (int i = 0; i < 100; ++i) {
    names.insert("n" + std::to_string(i));
    REQUIRE(pair.create(d, "n" + std::to_string(i)).error == 0);
  }
  for (const std::size_t limit : {1u, 7u, 100u, 1000u}) {
    std::set<std::string> seen;
    std::uint64_t cookie = 0;
    for (;;) {
      const auto page = pair.a.run(pair.a.volume->list(d, cookie, limit));
      REQUIRE(page);
      if (page->empty()) break;
      for (const Entry& entry : *page) {
        REQUIRE(seen.insert(entry.name).second);
        REQUIRE(entry.cookie > cookie);
        REQUIRE(entry.inode == pair.lookup(d, entry.name));
        REQUIRE(entry.type == S_IFREG);
        cookie = entry.cookie;
      }
      // Cookies stay valid whatever else changes.
      if (limit == 7) REQUIRE(pair.unlink(d, page->front().name).error == 0);
      if (limit == 7) REQUIRE(pair.create(d, page->front().name).error == 0);
    }
    REQUIRE(seen == names);
  }
}
