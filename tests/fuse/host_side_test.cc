// Requests of hosts: what is answered from here, and what becomes a change.

#include "fake_site.h"

namespace lockstep::fuse {
namespace {

Task<void> close_and_say(HostSide& host, bool& closed) {
  co_await host.close();
  closed = true;
}

}  // namespace

TEST_CASE("names are found, absent ones are not kept, what is missing is loaded") {
  FakeSite s;
  const InodeId a = s.volume.add("a", S_IFREG | 0644, 5);
  s.volume.not_loaded = {a};
  const auto entry = s.ask_for<EntryReply>(s.request(HostOp::lookup, kRootInode, "a"));
  CHECK(entry.attributes.size == 5);
  CHECK(entry.entry_valid == 1h);
  CHECK(s.volume.loads == 1);
  CHECK(s.ask(s.request(HostOp::lookup, kRootInode, "b")).error() == ENOENT);
  CHECK(s.host.inodes() == 2);
  CHECK(s.kernel().mounted()->forget(a));
  s.settle();
  CHECK(s.host.inodes() == 1);
}

TEST_CASE("a read gives data up to the end of file, zeros for holes, and needs no wait in memory") {
  FakeSite s;
  const InodeId a = s.volume.add("a", S_IFREG | 0644);
  s.ask_for<CountReply>(s.write(a, 4090, "hello, world"));
  CHECK(s.read_text(a, 4090, 100) == "hello, world");
  CHECK(s.read_text(a, 4097, 3) == "wor");
  CHECK(s.read_text(a, 5000, 10).empty());
  CHECK(s.host.counters().reads_inline == 3);
  s.volume.holes = {a};
  CHECK(s.read_text(a, 4090, 3) == std::string(3, '\0'));
  s.volume.holes.clear();
  s.area.in_memory = false;
  CHECK(s.read_text(a, 4090, 5) == "hello");
  CHECK(s.area.reads == 1);
  CHECK(s.host.counters().reads_waited == 1);
}

TEST_CASE("a bad block is an error for whoever reads it, and nobody else") {
  FakeSite s;
  const InodeId a = s.volume.add("a", S_IFREG | 0644, 3 * kBlockBytes);
  s.area.bad = {a.value * FakeArea::kFileBytes / kBlockBytes + 1};
  CHECK(s.ask(s.read(a, 0, 2 * kBlockBytes)).error() == EIO);
  CHECK(s.ask(s.read(a, 0, kBlockBytes)).error() == 0);
  s.area.in_memory = false;
  CHECK(s.ask(s.read(a, kBlockBytes, 10)).error() == EIO);
  CHECK(s.host.counters().bad_reads == 2);
}

TEST_CASE("a direct read waits for its turn, one that fills pages of a mapping does not") {
  FakeSite s;
  const InodeId a = s.volume.add("a", S_IFREG | 0644, 100);
  s.lookup("a");
  s.changes.readable.reset();
  CHECK(s.ask(s.read(a, 0, 10)).error() == 0);
  auto& direct = s.send(s.read(a, 0, 10, O_DIRECT));
  s.settle();
  CHECK(!direct.has_value());
  HostRequest mapped = s.read(a, 0, 10, O_DIRECT);
  mapped.from_cache = true;
  CHECK(s.ask(mapped).error() == 0);
  s.changes.readable.set();
  s.settle();
  CHECK(direct.has_value());
}

TEST_CASE("opens say how a file is cached") {
  FakeSite s;
  const InodeId a = s.volume.add("a", S_IFREG | 0644);
  HostRequest open = s.request(HostOp::open, a);
  open.flags = O_RDWR;
  OpenReply reply = s.ask_for<OpenReply>(open);
  CHECK((reply.keep_cache && !reply.direct));
  open.flags = O_WRONLY | O_APPEND;
  reply = s.ask_for<OpenReply>(open);
  CHECK((reply.direct && !reply.parallel_direct));
  open.flags = O_RDWR | O_DIRECT;
  reply = s.ask_for<OpenReply>(open);
  CHECK((reply.direct && reply.parallel_direct));
  CHECK(s.host.is_open(a));
  open.flags = O_WRONLY | O_TRUNC;
  s.volume.objects[a].size = 100;
  s.ask_for<OpenReply>(open);
  CHECK(s.volume.objects[a].size == 0);
}

TEST_CASE("an object without a name opens only where it is open") {
  FakeSite s;
  const InodeId a = s.volume.add("", S_IFREG | 0644);
  HostRequest open = s.request(HostOp::open, a);
  CHECK(s.ask(open).error() == ESTALE);
  CHECK(s.ask(s.request(HostOp::open, InodeId{99})).error() == ESTALE);
  s.volume.objects[a].links = 1;
  s.ask_for<OpenReply>(open);
  s.volume.objects[a].links = 0;
  s.ask_for<OpenReply>(open);
  s.ask(s.request(HostOp::release, a));
  CHECK(s.changes.closed.empty());
  s.ask(s.request(HostOp::release, a));
  CHECK(s.changes.closed == std::vector{a});
  CHECK(!s.host.is_open(a));
}

TEST_CASE("create makes and opens; what exists is opened by those who plainly may") {
  FakeSite s;
  HostRequest create = s.request(HostOp::create, kRootInode, "a");
  create.mode = 0600;
  create.flags = O_RDWR | O_CREAT;
  create.caller.uid = 7;
  const auto made = s.ask_for<CreateReply>(create);
  CHECK(made.entry.attributes_valid == 1h);
  CHECK(made.entry.entry_valid == 1h);
  CHECK(s.host.is_open(made.entry.attributes.inode));
  CHECK(s.changes.asked.back().mode == (S_IFREG | 0600));
  CHECK(s.ask(create).error() == ESTALE);  // the file is root's here: its rights are for the kernel to check
  create.caller.uid = 0;
  const auto again = s.ask_for<CreateReply>(create);
  CHECK(again.entry.attributes.inode == made.entry.attributes.inode);
  CHECK(again.entry.attributes_valid == Duration::zero());
  create.flags |= O_EXCL;
  CHECK(s.ask(create).error() == EEXIST);
}

TEST_CASE("a creation says what the umask took, which counts but under a default access control list") {
  FakeSite s;
  HostRequest create = s.request(HostOp::create, kRootInode, "a");
  create.mode = 04666;
  create.caller.umask = 01026;
  s.ask_for<CreateReply>(create);
  CHECK(s.changes.asked.back().mode == (S_IFREG | 04640));
  CHECK(s.changes.asked.back().flags == 026);
  HostRequest mkdir = s.request(HostOp::mkdir, kRootInode, "d");
  mkdir.mode = 0755;
  mkdir.caller.umask = 022;
  s.ask_for<EntryReply>(mkdir);
  CHECK(s.changes.asked.back().mode == (S_IFDIR | 0755));
  CHECK(s.changes.asked.back().flags == 0);
}

TEST_CASE("a handle's object is found again by \".\", its directory by \"..\"") {
  FakeSite s;
  const InodeId a = s.volume.add("a", S_IFREG | 0644);
  CHECK(s.ask_for<EntryReply>(s.request(HostOp::lookup, a, ".")).attributes.inode == a);
  CHECK(s.ask_for<EntryReply>(s.request(HostOp::lookup, kRootInode, "..")).attributes.inode == kRootInode);
  s.volume.objects[a].links = 0;
  CHECK(s.ask(s.request(HostOp::lookup, a, ".")).error() == ESTALE);
  CHECK(s.ask(s.request(HostOp::lookup, InodeId{99}, ".")).error() == ESTALE);
}

TEST_CASE("what lost its last name is told of as long as the kernel knows it") {
  FakeSite s;
  const InodeId a = s.volume.add("a", S_IFIFO | 0644), b = s.volume.add("b", S_IFIFO | 0644);
  s.lookup("a");
  HostAttributes last = s.volume.objects[a];
  last.links = 0;
  s.host.lost_last_name(last);
  s.host.lost_last_name(s.volume.objects[b]);  // not known here: nothing to be told of
  s.volume.objects.erase(a);
  s.volume.objects.erase(b);
  const auto told = s.ask_for<AttributesReply>(s.request(HostOp::getattr, a));
  CHECK(told.attributes.links == 0);
  CHECK(told.valid == Duration::zero());
  CHECK(s.ask(s.request(HostOp::getattr, b)).error() == ESTALE);
  s.host.forget(a, 1);
  CHECK(s.ask(s.request(HostOp::getattr, a)).error() == ESTALE);
}

TEST_CASE("what was removed while it was made is not handed out for long") {
  FakeSite s;
  HostRequest mkdir = s.request(HostOp::mkdir, kRootInode, "d");
  mkdir.mode = 0755;
  s.changes.go.reset();
  auto& reply = s.send(mkdir);
  s.settle();
  CHECK(!reply.has_value());
  s.changes.go.set();
  s.settle();
  REQUIRE(reply.has_value());
  CHECK(std::get<EntryReply>(reply->reply).entry_valid == 1h);
  HostRequest link = s.request(HostOp::link, kRootInode, "other");
  link.other = InodeId{2};
  s.ask(link);
  CHECK(s.changes.asked.back().other == InodeId{2});
}

TEST_CASE("a nameless file counts as open while it is made") {
  FakeSite s;
  HostRequest request = s.request(HostOp::tmpfile, kRootInode);
  request.flags = O_RDWR;
  request.mode = 0600;
  s.changes.go.reset();
  auto& reply = s.send(request);
  s.settle();
  CHECK(s.host.is_open(InodeId{2}));
  CHECK(s.host.is_open(InodeId{9}));
  s.changes.go.set();
  s.settle();
  REQUIRE(reply.has_value());
  CHECK(std::get<CreateReply>(reply->reply).entry.attributes.inode == InodeId{2});
  CHECK(s.host.is_open(InodeId{2}));
  CHECK(s.changes.closed == std::vector{InodeId{9}});
}

TEST_CASE("a file whose name another site takes away before its maker has the answer is open, and made once") {
  FakeSite s;
  const InodeId before = s.volume.add("before", S_IFREG | 0644);
  s.changes.made = [&](InodeId inode) {
    s.volume.names.clear();
    s.volume.objects.at(inode).links = 0;
    CHECK(s.host.is_open(inode));
    CHECK(!s.host.is_open(before));
  };
  HostRequest request = s.request(HostOp::create, kRootInode, "a");
  request.flags = O_RDWR | O_CREAT | O_EXCL;
  request.mode = 0600;
  auto& reply = s.send(request);
  s.settle();
  REQUIRE(reply.has_value());
  const auto& created = std::get<CreateReply>(reply->reply);
  CHECK(created.entry.attributes.links == 0);
  CHECK(created.entry.entry_valid == Duration::zero());
  CHECK(s.changes.count(wire::OpKind::create) == 1);
  CHECK(s.changes.closed.empty());
  CHECK(s.host.is_open(created.entry.attributes.inode));
  s.ask(s.request(HostOp::release, created.entry.attributes.inode));
  s.settle();
  CHECK(!s.host.is_open(created.entry.attributes.inode));
  CHECK(s.changes.closed == std::vector{created.entry.attributes.inode});
}

TEST_CASE("space ahead is given back at the last close of a file that grew more than once") {
  FakeSite s;
  const InodeId a = s.volume.add("a", S_IFREG | 0644);
  s.ask_for<OpenReply>(s.request(HostOp::open, a));
  s.ask(s.write(a, 0, "one"));
  s.ask(s.request(HostOp::release, a));
  s.settle();
  CHECK(s.changes.count(wire::OpKind::trim) == 0);
  s.ask_for<OpenReply>(s.request(HostOp::open, a));
  s.ask(s.write(a, 3, "two"));
  s.ask(s.write(a, 6, "three"));
  s.ask(s.write(a, 0, "over"));
  s.ask(s.request(HostOp::release, a));
  s.settle();
  CHECK(s.changes.count(wire::OpKind::trim) == 1);
}

TEST_CASE("listings go on where they stopped; with attributes each entry taken is counted") {
  FakeSite s;
  for (int i = 0; i < 40; ++i) s.volume.add(fmt::format("file{:02}", i), S_IFREG | 0644, 1);
  const auto handle = s.ask_for<OpenReply>(s.request(HostOp::opendir, kRootInode)).handle;
  for (const bool plus : {false, true}) {
    std::vector<std::string> names;
    HostRequest readdir = s.request(HostOp::readdir, kRootInode);
    readdir.handle = handle;
    readdir.plus = plus;
    readdir.size = 1024;
    s.volume.lists = 0;
    for (;;) {
      const auto listing = s.ask_for<ListingReply>(readdir);
      if (listing.entries.empty()) break;
      for (const ListedEntry& e : listing.entries) names.push_back(e.name);
      readdir.offset = listing.entries.back().cookie;
    }
    REQUIRE(names.size() == 42);
    CHECK(names[0] == ".");
    CHECK(names[1] == "..");
    CHECK(names[41] == "file39");
    CHECK(s.volume.lists == 2);
    CHECK(s.host.inodes() == (plus ? 41 : 1));
  }
  CHECK(s.kernel().mounted()->forget_all() == 40);
  s.settle();
  CHECK(s.host.inodes() == 1);
}

TEST_CASE("a name that went while its page was kept is not made again by a listing") {
  FakeSite s;
  for (int i = 0; i < 20; ++i) s.volume.add(fmt::format("file{:02}", i), S_IFREG | 0644, 1);
  HostRequest readdir = s.request(HostOp::readdir, kRootInode);
  readdir.plus = true;
  readdir.size = 1024;
  const auto first = s.ask_for<ListingReply>(readdir);
  s.volume.names.erase({kRootInode, "file10"});
  std::set<std::string> rest;
  for (readdir.offset = first.entries.back().cookie;;) {
    const auto more = s.ask_for<ListingReply>(readdir);
    if (more.entries.empty()) break;
    for (const auto& e : more.entries) rest.insert(e.name);
    readdir.offset = more.entries.back().cookie;
  }
  CHECK(!rest.contains("file10"));
  CHECK(rest.contains("file19"));
}

TEST_CASE("extended attributes, links and space") {
  FakeSite s;
  const InodeId a = s.volume.add("a", S_IFREG | 0644);
  HostRequest get = s.request(HostOp::getxattr, a, "user.a");
  CHECK(s.ask_for<CountReply>(get).count == 5);
  get.size = 4;
  CHECK(s.ask(get).error() == ERANGE);
  get.size = 5;
  CHECK(*s.ask(get).bytes == "value");
  CHECK(s.ask(s.request(HostOp::getxattr, a, "user.b")).error() == ENODATA);
  CHECK(s.ask_for<CountReply>(s.request(HostOp::listxattr, a)).count == 7);
  CHECK(*s.ask(s.request(HostOp::readlink, a)).bytes == "target");
  CHECK(s.ask_for<StatfsReply>(s.request(HostOp::statfs, kRootInode)).blocks_free == 400);
  HostRequest set = s.request(HostOp::setxattr, a, "user.c");
  const std::string value = "text";
  set.data = std::as_bytes(std::span(value));
  CHECK(s.ask(set).error() == 0);
  CHECK(s.changes.asked.back().text == "text");
}

TEST_CASE("the attribute for reservations is a change, and never one that is stored") {
  FakeSite s;
  const InodeId a = s.volume.add("a", S_IFREG | 0644);
  const std::string value = "0-4095 busy", wrong = "now";
  HostRequest set = s.request(HostOp::setxattr, a, "user.lockstep.reserve");
  set.data = std::as_bytes(std::span(wrong));
  CHECK(s.ask(set).error() == EINVAL);
  set.data = std::as_bytes(std::span(value));
  set.flags = 1;
  CHECK(s.ask(set).error() == EINVAL);
  CHECK(s.changes.asked.empty());
  set.flags = 0;
  CHECK(s.ask(set).error() == 0);
  CHECK(s.changes.asked.back().kind == wire::OpKind::reserve);
  CHECK(s.changes.asked.back().length == 4096);
  CHECK(s.ask(s.request(HostOp::removexattr, a, "user.lockstep.reserve")).error() == 0);
  CHECK(s.changes.asked.back().kind == wire::OpKind::release);
  HostRequest get = s.request(HostOp::getxattr, a, "user.lockstep.reserve");
  get.size = 64;
  CHECK(s.ask(get).error() == ENODATA);
  s.volume.reserved.put({.object = a, .site = SiteId{1}});
  CHECK(*s.ask(get).bytes == "site-1 all wait\n");
  CHECK(s.ask_for<CountReply>(s.request(HostOp::listxattr, a)).count == 7);
}

TEST_CASE("a copy is read here and written to its target, up to the end of its source") {
  FakeSite s;
  const InodeId from = s.volume.add("from", S_IFREG | 0644, 10'000), to = s.volume.add("to", S_IFREG | 0644, 50);
  std::memset(s.area.bytes.data() + from.value * FakeArea::kFileBytes, 'x', 10'000);
  const auto copy = [&](std::uint64_t offset, std::uint64_t size) {
    HostRequest r = s.request(HostOp::copy_file_range, from);
    r.other = to;
    r.offset = offset;
    r.other_offset = 100;
    r.size = size;
    return r;
  };
  CHECK(s.ask_for<CountReply>(copy(9000, 1u << 30)).count == 1000);
  CHECK(s.changes.asked.back().kind == wire::OpKind::write);
  CHECK(s.changes.asked.back().inode == to);
  CHECK(s.volume.objects[to].size == 1100);
  CHECK(s.read_text(to, 100, 3) == "xxx");
  CHECK(s.ask_for<CountReply>(copy(10'000, 10)).count == 0);
  CHECK(s.changes.asked.size() == 1);
  CHECK(s.ask(copy(~std::uint64_t{0} - 5, 10)).error() == EINVAL);
  // It waits for its turn, as a direct read does, and says what became of the write.
  s.changes.readable.reset();
  s.changes.error = ENOSPC;
  auto& waits = s.send(copy(0, 10));
  s.settle();
  CHECK(!waits.has_value());
  s.changes.readable.set();
  s.settle();
  REQUIRE(waits.has_value());
  CHECK(waits->error() == ENOSPC);
}

TEST_CASE("what lost one of its names has its links counted anew") {
  FakeSite s;
  const InodeId b = s.volume.add("b", S_IFREG | 0644);
  REQUIRE(s.lookup("b") == b);
  const auto counted_anew = [&](HostOp op) {
    HostRequest request = s.request(op, kRootInode, "a");
    request.other = kRootInode;
    request.other_name = "b";
    const std::size_t before = s.notifications(Notification::Kind::attributes).size();
    CHECK(s.ask(std::move(request)).error() == s.changes.error);
    const auto after = s.notifications(Notification::Kind::attributes);
    return after.size() == before ? kNoInode : after.back().inode;
  };
  s.changes.unlinked.inode = s.changes.replaced = b;
  CHECK(counted_anew(HostOp::unlink) == kNoInode);  // that was its last name
  CHECK(counted_anew(HostOp::rename) == b);
  s.changes.unlinked.links = 1;
  CHECK(counted_anew(HostOp::unlink) == b);
  s.changes.replaced = kNoInode;
  CHECK(counted_anew(HostOp::rename) == kNoInode);
  s.changes.error = EIO;
  CHECK(counted_anew(HostOp::unlink) == kNoInode);
}

TEST_CASE("a name that another site has changed since a thread looked it up is for the kernel something else", "[changed-names]") {
  FakeSite s;
  const InodeId a = s.volume.add("a", S_IFREG | 0644), b = s.volume.add("b", S_IFREG | 0644);
  constexpr std::uint32_t kThread = 7, kOther = 8;
  const auto by = [](std::uint32_t thread, HostRequest request) {
    request.caller.pid = thread;
    return request;
  };
  const auto look = [&](std::uint32_t thread, std::string_view name) { return s.ask(by(thread, s.request(HostOp::lookup, kRootInode, name))).error(); };
  const auto renaming = [&] {
    HostRequest request = s.request(HostOp::rename, kRootInode, "a");
    request.other = kRootInode;
    request.other_name = "b";
    return by(kThread, request);
  };
  const auto expected = [&](HostRequest request) {
    CHECK(s.ask(std::move(request)).error() == 0);
    return std::pair(s.changes.asked.back().expects, s.changes.asked.back().other_expects);
  };
  const auto changed = [&](std::string name) { (void)s.host.drop_now(std::vector{wire::Drop{wire::Drop::Kind::name, kRootInode, {}, std::move(name)}}); };
  // As the kernel knows them, whoever looked them up.
  look(kOther, "a");
  look(kOther, "b");
  CHECK(expected(renaming()) == std::pair(a, b));

  // The drop waits for the kernel's lock, or is not needed. Another thread may confirm a name without that lock.
  changed("a");
  look(kOther, "a");
  CHECK(expected(by(kThread, s.request(HostOp::rmdir, kRootInode, "a"))).first == wire::kSomethingElse);
  // That one had the lock: no other call did so before the change, and is still under way.
  CHECK(expected(renaming()) == std::pair(a, b));
  changed("b");
  CHECK(expected(renaming()) == std::pair(a, wire::kSomethingElse));
  changed("b");
  look(kThread, "b");
  CHECK(expected(renaming()) == std::pair(a, b));
  changed("a");
  s.ask(by(kOther, s.request(HostOp::mkdir, kRootInode, "new")));
  CHECK(expected(renaming()) == std::pair(a, b));
  changed("a");
  HostRequest listing = by(kOther, s.request(HostOp::readdir, kRootInode));
  listing.handle = s.ask_for<OpenReply>(s.request(HostOp::opendir, kRootInode)).handle;
  listing.size = 4096;
  s.ask_for<ListingReply>(listing);
  CHECK(expected(renaming()) == std::pair(a, b));

  // That it is gone says as much.
  s.volume.names.erase({kRootInode, "b"});
  changed("b");
  CHECK(look(kThread, "b") == ENOENT);
  CHECK(expected(renaming()) == std::pair(a, kNoInode));

  // The drop of the name had the lock: nothing older is left.
  changed("a");
  bool done = false;
  s.drop({{wire::Drop::Kind::name, kRootInode, {}, "a"}}, done);
  s.settle();
  REQUIRE(done);
  CHECK(expected(renaming()) == std::pair(a, kNoInode));
}

TEST_CASE("the kernel is not left with what it took names for", "[changed-names]") {
  FakeSite s;
  const InodeId a = s.volume.add("a", S_IFREG | 0644), b = s.volume.add("b", S_IFREG | 0644);
  s.lookup("a");
  s.lookup("b");
  const auto dropped = [&] {
    std::vector<InodeId> inodes;
    for (const Notification& n : s.notifications(Notification::Kind::attributes)) inodes.push_back(n.inode);
    return inodes;
  };
  HostRequest renaming = s.request(HostOp::rename, kRootInode, "a");
  renaming.other = kRootInode;
  renaming.other_name = "b";
  CHECK(s.ask(renaming).error() == 0);
  CHECK(s.notifications(Notification::Kind::all_names).empty());
  CHECK(dropped().empty());
  s.changes.unexpected = true;
  CHECK(s.ask(renaming).error() == 0);
  CHECK(s.notifications(Notification::Kind::all_names).size() == 1);
  CHECK(dropped() == std::vector{a, b});
  CHECK(s.ask(s.request(HostOp::unlink, kRootInode, "a")).error() == 0);
  CHECK(s.notifications(Notification::Kind::all_names).size() == 1);
  CHECK(dropped() == std::vector{a, b, a});
  CHECK(s.host.counters().names_mistaken == 2);
}

TEST_CASE("what the kernel takes a name for counts from when it asks, however long that waits", "[changed-names]") {
  FakeSite s;
  const InodeId a = s.volume.add("a", S_IFREG | 0644), b = s.volume.add("b", S_IFREG | 0644);
  s.lookup("a");
  s.changes.go.reset();
  auto& waits = s.send(s.request(HostOp::unlink, kRootInode, "a"));
  s.settle();
  REQUIRE(!waits.has_value());
  CHECK(s.changes.asked.back().expects == a);
  s.changes.go.set();
  s.settle();

  // While hosts are not served the site is made what the other one is.
  s.volume.names[{kRootInode, "a"}] = a;
  s.lookup("a");
  bool closed = false;
  s.process.spawn(close_and_say(s.host, closed));
  s.settle();
  REQUIRE(closed);
  auto& held = s.send(s.request(HostOp::unlink, kRootInode, "a"));
  s.settle();
  REQUIRE(!held.has_value());
  s.volume.names[{kRootInode, "a"}] = b;
  s.host.open();
  s.settle();
  CHECK(held.has_value());
  CHECK(s.changes.asked.back().expects == a);
}

TEST_CASE("of names that another site has changed only so many are kept, the last ones, for so long", "[changed-names]") {
  ChangedNames names;
  constexpr std::uint32_t kThread = 7, kOther = 8;
  const Instant begin{1};
  for (std::size_t i = 0; i < ChangedNames::kMax + 2; ++i) names.changed(kRootInode, std::to_string(i), begin);
  CHECK(names.size() == ChangedNames::kMax);
  CHECK_FALSE(names.may_differ(kRootInode, "1", kThread, 0));
  CHECK(names.may_differ(kRootInode, "2", kThread, 0));
  CHECK_FALSE(names.may_differ(InodeId{2}, "2", kThread, 0));
  names.told(kRootInode, "2", kThread, begin);
  CHECK_FALSE(names.may_differ(kRootInode, "2", kThread, 0));
  CHECK(names.may_differ(kRootInode, "2", kOther, 0));
  CHECK_FALSE(names.may_differ(kRootInode, "2", kOther, names.last(kRootInode, "2")));
  CHECK(names.may_differ(kRootInode, "2", kOther, names.last(kRootInode, "2") - 1));
  for (std::uint32_t other = 100; other < 104; ++other) names.told(kRootInode, "2", other, begin);
  CHECK(names.may_differ(kRootInode, "2", kThread, 0));  // forgotten
  // A later lookup of anybody, or a drop of what was the last change when it began.
  names.told(kRootInode, "2", kOther, begin + ChangedNames::kCallMax + Duration{1});
  CHECK_FALSE(names.may_differ(kRootInode, "2", kThread, 0));
  const std::uint64_t third = names.last(kRootInode, "3");
  names.changed(kRootInode, "3", begin);
  names.dropped(kRootInode, "3", third);
  CHECK(names.may_differ(kRootInode, "3", kThread, 0));
  names.dropped(kRootInode, "3", names.last(kRootInode, "3"));
  CHECK_FALSE(names.may_differ(kRootInode, "3", kThread, 0));
  CHECK(names.last(kRootInode, "3") == 0);
  CHECK(names.size() == ChangedNames::kMax - 2);
}

TEST_CASE("errors of a change reach the host") {
  FakeSite s;
  const InodeId a = s.volume.add("a", S_IFREG | 0644);
  s.changes.error = ENOSPC;
  CHECK(s.ask(s.write(a, 0, "x")).error() == ENOSPC);
  CHECK(s.ask(s.request(HostOp::unlink, kRootInode, "a")).error() == ENOSPC);
  CHECK(s.ask(s.request(HostOp::create, kRootInode, "n")).error() == ENOSPC);
}

}  // namespace lockstep::fuse
