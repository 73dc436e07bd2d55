// What another site changed is dropped from this site's kernel: needless drops are left out, and nothing waits for ever.

#include "fake_site.h"

namespace lockstep::fuse {

using Kind = wire::Drop::Kind;

TEST_CASE("what the kernel does not know needs no notification") {
  FakeSite s;
  const InodeId a = s.volume.add("a", S_IFREG | 0644);
  const std::vector<wire::Drop> drops{{Kind::attributes, a, {}, ""}, {Kind::pages, a, {}, ""}, {Kind::name, a, {}, "n"}};
  CHECK(s.host.drop_now(drops));
  CHECK(s.kernel().notifications().empty());
  CHECK(s.host.counters().drops_needless == 3);
}

TEST_CASE("attributes, listings and files without pages are dropped at once") {
  FakeSite s;
  const InodeId a = s.volume.add("a", S_IFREG | 0644);
  s.lookup("a");
  const std::vector<wire::Drop> drops{{Kind::attributes, a, {}, ""}, {Kind::listing, kRootInode, {}, ""}, {Kind::pages, a, {}, ""}};
  CHECK(s.host.drop_now(drops));
  CHECK(s.notifications(Notification::Kind::attributes).size() == 2);
  CHECK(s.notifications(Notification::Kind::listing).size() == 1);
  CHECK(s.notifications(Notification::Kind::pages).empty());
}

TEST_CASE("pages that were read are dropped by range, others need no wait") {
  FakeSite s;
  const InodeId a = s.volume.add("a", S_IFREG | 0644, 100'000);
  s.lookup("a");
  s.ask(s.read(a, 8192, 4096));
  CHECK(s.host.drop_now(std::vector<wire::Drop>{{Kind::pages, a, {0, 4096}, ""}}));
  const std::vector<wire::Drop> drops{{Kind::pages, a, {8192, 100}, ""}};
  CHECK(!s.host.drop_now(drops));
  bool done = false;
  s.drop(drops, done);
  s.settle();
  CHECK(done);
  REQUIRE(s.notifications(Notification::Kind::pages).size() == 1);
  CHECK(s.notifications(Notification::Kind::pages)[0].range == ByteRange{8192, 4096});
  CHECK(s.host.counters().helper_hops == 1);
}

TEST_CASE("a name that was handed out is dropped; one that was not needs nothing") {
  FakeSite s;
  s.volume.add("a", S_IFREG | 0644);
  const std::vector<wire::Drop> drops{{Kind::name, kRootInode, {}, "a"}};
  CHECK(s.host.drop_now(drops));
  s.lookup("a");
  CHECK(!s.host.drop_now(drops));
  bool done = false;
  s.drop(drops, done);
  s.settle();
  CHECK(done);
  CHECK(!s.kernel().mounted()->cached_name(kRootInode, "a").has_value());
  CHECK(s.host.counters().epochs == 0);
}

TEST_CASE("a directory that another site moved is looked up at its new place, again if it can't be put there yet") {
  FakeSite s;
  const InodeId there = s.volume.add("there", S_IFDIR | 0755), moved = s.volume.add("moved", S_IFDIR | 0755), file = s.volume.add("file", S_IFREG | 0644);
  const auto renamed = [&](InodeId what, std::string name) {
    return std::vector<wire::Drop>{{Kind::attributes, what, {}, ""}, {Kind::name, kRootInode, {}, name}, {Kind::name, there, {}, name}, {Kind::listing, there, {}, ""}};
  };
  const auto found = [&] { return s.notifications(Notification::Kind::found); };
  const auto drop = [&](const std::vector<wire::Drop>& drops) {
    bool done = false;
    s.drop(drops, done);
    s.settle();
    CHECK(done);
  };
  s.lookup("there");
  s.lookup("file");
  s.volume.names.erase({kRootInode, "moved"});
  s.volume.names[{there, "moved"}] = moved;
  drop(renamed(moved, "moved"));
  CHECK(found().empty());  // the kernel does not know it
  drop(renamed(file, "file"));
  CHECK(found().empty());  // no directory

  s.volume.names[{kRootInode, "moved"}] = moved;
  s.lookup("moved");
  s.volume.names.erase({kRootInode, "moved"});
  CHECK_FALSE(s.host.drop_now(renamed(moved, "moved")));
  drop(renamed(moved, "moved"));
  REQUIRE(found().size() == 1);
  CHECK((found()[0].inode == there && found()[0].name == "moved" && found()[0].outcome == Dropped::done));
  CHECK(s.kernel().mounted()->cached_name(there, "moved") == moved);

  // Back, while some rename between directories is under way.
  s.volume.names.erase({there, "moved"});
  s.volume.names[{kRootInode, "moved"}] = moved;
  const auto lock = s.kernel().mounted()->rename_lock();
  lock->lock(true, [] {});
  drop(renamed(moved, "moved"));
  CHECK(found().back().outcome == Dropped::late);
  lock->unlock(true);
  s.settle(1s);
  CHECK(found().back().outcome == Dropped::done);
  CHECK(s.kernel().mounted()->cached_name(kRootInode, "moved") == moved);
  CHECK(s.host.counters().directories_put == found().size());
  CHECK(s.host.running() == 0);

  // It is given up some time, and where it went on or is gone.
  s.volume.names.erase({kRootInode, "moved"});
  const std::size_t before = found().size();
  drop(renamed(moved, "moved"));
  CHECK(found().size() == before);
}

TEST_CASE("a directory that stays locked costs all names, not for ever") {
  FakeSite s;
  s.volume.add("a", S_IFREG | 0644);
  s.volume.add("b", S_IFREG | 0644);
  s.lookup("a");
  s.lookup("b");
  const auto lock = s.kernel().mounted()->find(kRootInode)->lock;
  lock->lock(true, [] {});
  bool done = false;
  s.drop({{Kind::name, kRootInode, {}, "a"}, {Kind::name, kRootInode, {}, "b"}}, done);
  s.settle();
  CHECK(done);
  CHECK(s.host.counters().epochs == 1);
  CHECK(!s.kernel().mounted()->cached_name(kRootInode, "b").has_value());
  CHECK(s.host.drop_now(std::vector<wire::Drop>{{Kind::name, kRootInode, {}, "b"}}));
  lock->unlock(true);
  s.settle();
}

TEST_CASE("attributes are dropped again until the kernel knows what it is being told") {
  FakeSite s;
  const InodeId a = s.volume.add("a", S_IFREG | 0644);
  auto& reply = s.send(s.request(HostOp::lookup, kRootInode, "a"));
  // The host's side has answered, and the kernel has not taken it yet.
  REQUIRE(s.universe.run_until([&] { return s.host.inodes() == 2; }, 1s));
  REQUIRE(!reply.has_value());
  s.volume.objects[a].size = 77;
  const std::vector<wire::Drop> drops{{Kind::attributes, a, {}, ""}};
  CHECK(!s.host.drop_now(drops));
  bool done = false;
  s.drop(drops, done);
  s.settle();
  CHECK(done);
  REQUIRE(reply.has_value());
  CHECK(s.kernel().mounted()->cached_attributes(a) == nullptr);
  CHECK(s.host.counters().retries > 0);
}

TEST_CASE("the pages that a pending write holds locked are left out, and dropped after it") {
  FakeSite s;
  const InodeId a = s.volume.add("a", S_IFREG | 0644, 100'000);
  s.lookup("a");
  s.ask(s.read(a, 0, 65536));
  s.changes.go.reset();
  const std::string data(8192, 'w');
  auto& write = s.send(s.write(a, 100, data));  // of pages 0 and 2 a part
  s.settle();
  const auto mount = s.kernel().mounted();
  mount->page_lock(a, 0)->lock(true, [] {});
  mount->page_lock(a, 2)->lock(true, [] {});
  bool done = false;
  s.drop({{Kind::pages, a, {0, 0}, ""}}, done);
  s.settle();
  CHECK(done);
  CHECK(!write.has_value());
  const auto before = s.notifications(Notification::Kind::pages);
  REQUIRE(before.size() == 2);
  CHECK(before[0].range == ByteRange{4096, 4096});
  CHECK(before[1].range == ByteRange{12288, 0});
  s.changes.go.set();
  REQUIRE(s.universe.run_until([&] { return write.has_value(); }, 1s));
  mount->page_lock(a, 0)->unlock(true);
  mount->page_lock(a, 2)->unlock(true);
  s.settle();
  const auto after = s.notifications(Notification::Kind::pages);
  REQUIRE(after.size() == 4);
  CHECK(after[2].range == ByteRange{4096, 4096});
  CHECK(after[3].range == ByteRange{100, 8192});
}

TEST_CASE("a write that locks pages while they are dropped does not hold the drop") {
  FakeSite s;
  const InodeId a = s.volume.add("a", S_IFREG | 0644, 100'000);
  s.lookup("a");
  s.ask(s.read(a, 0, 65536));
  s.changes.go.reset();
  const auto mount = s.kernel().mounted();
  mount->page_lock(a, 1)->lock(true, [] {});
  bool done = false;
  s.drop({{Kind::pages, a, {0, 0}, ""}}, done);
  s.settle();
  CHECK(!done);
  const std::string data(10, 'w');
  auto& write = s.send(s.write(a, 5000, data));
  s.settle();
  CHECK(done);
  CHECK(!write.has_value());
  s.changes.go.set();
  s.settle();
  CHECK(write.has_value());
  mount->page_lock(a, 1)->unlock(true);
  s.settle();
}

TEST_CASE("a write-back that a drop waits for is answered at once; fsync waits until it is done") {
  FakeSite s;
  const InodeId a = s.volume.add("a", S_IFREG | 0644, 100'000);
  s.lookup("a");
  s.ask(s.read(a, 0, 65536));
  s.changes.go.reset();
  const std::string page(4096, 'm');
  HostRequest back = s.write(a, 4096, page);
  back.from_cache = true;
  auto& first = s.send(back);
  s.settle();
  CHECK(!first.has_value());
  const auto mount = s.kernel().mounted();
  mount->page_lock(a, 0)->lock(true, [] {});  // holds the drop for a while
  bool done = false;
  s.drop({{Kind::pages, a, {0, 8193}, ""}}, done);
  s.settle();
  CHECK(first.has_value());
  back.offset = 8192;
  auto& second = s.send(back);
  s.settle();
  CHECK(second.has_value());
  mount->page_lock(a, 0)->unlock(true);
  s.settle();
  CHECK(done);
  CHECK(s.host.counters().answered_early == 2);

  auto& sync = s.send(s.request(HostOp::fsync, a));
  s.settle();
  CHECK(!sync.has_value());
  CHECK(s.changes.count(wire::OpKind::sync) == 0);
  s.changes.go.set();
  s.settle();
  CHECK(sync.has_value());
  CHECK(s.changes.count(wire::OpKind::sync) == 1);
  CHECK(s.read_text(a, 4096, 4096) == page);
  CHECK(s.read_text(a, 8192, 4096) == std::string(1, '\0') + page.substr(1));
}

TEST_CASE("data that was appended elsewhere than the kernel thought is dropped there") {
  FakeSite s;
  const InodeId a = s.volume.add("a", S_IFREG | 0644, 20'000);
  s.lookup("a");
  s.ask(s.read(a, 0, 32768));
  const std::string data(10, 'w');
  HostRequest append = s.write(a, 100, data);
  append.flags = O_WRONLY | O_APPEND;
  append.handle = kHandleDirect;
  CHECK(s.ask_for<CountReply>(append).count == 10);
  const auto dropped = s.notifications(Notification::Kind::pages);
  REQUIRE(dropped.size() == 1);
  CHECK(dropped[0].range == ByteRange{20'000, 10});
}

TEST_CASE("a page that comes back because of a drop does not undo what the other site wrote") {
  FakeSite s;
  const InodeId a = s.volume.add("a", S_IFREG | 0644, 100'000);
  s.lookup("a");
  s.ask(s.write(a, 0, std::string(4096, 'o')));
  s.ask(s.read(a, 0, 8192));
  const auto mount = s.kernel().mounted();
  mount->page_lock(a, 0)->lock(true, [] {});
  std::memcpy(s.area.bytes.data() + a.value * FakeArea::kFileBytes + 100, "NEW", 3);  // the other site's
  bool done = false;
  s.drop({{Kind::pages, a, {100, 3}, ""}}, done);
  s.settle();
  const std::string page = "mm" + std::string(4094, 'o');
  HostRequest back = s.write(a, 0, page);
  back.from_cache = true;
  CHECK(s.ask(back).error() == 0);
  mount->page_lock(a, 0)->unlock(true);
  s.settle();
  CHECK(done);
  CHECK(s.read_text(a, 0, 3) == "mmo");
  CHECK(s.read_text(a, 99, 5) == "oNEWo");
}

TEST_CASE("ranges are taken out of a range") {
  const std::vector<ByteRange> others{{10, 5}, {30, 0}};
  CHECK(without({0, 40}, others) == std::vector<ByteRange>{{0, 10}, {15, 15}});
  CHECK(without({31, 5}, others).empty());
  CHECK(without({12, 10}, others) == std::vector<ByteRange>{{15, 7}});
}

TEST_CASE("locked pages are taken out of a range") {
  PendingWrite w;
  w.buffered = true;
  w.range = {4096, 100};  // the end of its page is not its own
  PendingWrite* const writes[] = {&w};
  CHECK(without_locked_pages({0, 12288}, writes) == std::vector<ByteRange>{{0, 4096}, {8192, 4096}});
  CHECK(without_locked_pages({4096, 10}, writes).empty());
  w.range = {0, 8192};
  CHECK(without_locked_pages({0, 0}, writes) == std::vector<ByteRange>{{0, 0}});
  w.range = {1, 2};
  CHECK(without_locked_pages({0, 0}, writes) == std::vector<ByteRange>{{4096, 0}});
  w.buffered = false;
  CHECK(without_locked_pages({10, 1}, writes) == std::vector<ByteRange>{{0, 4096}});
  CHECK(whole_pages({100, 8192}) == ByteRange{4096, 4096});
  CHECK(whole_pages({100, 200}).empty());
}

TEST_CASE("what grows while it is open grows in the kernel, too") {
  FakeSite s;
  const InodeId a = s.volume.add("a", S_IFREG | 0644, 5000);
  s.lookup("a");
  s.volume.objects[a].size = 9000;
  CHECK(s.host.drop_now(std::vector<wire::Drop>{{Kind::pages, a, {5000, 4000}, ""}}));
  s.ask(s.request(HostOp::open, a));
  s.volume.objects[a].size = 10'000;
  CHECK(s.host.drop_now(std::vector<wire::Drop>{{Kind::pages, a, {5000, 4000}, ""}}));
  const std::vector<wire::Drop> drops{{Kind::pages, a, {9000, 1000}, ""}};
  REQUIRE(!s.host.drop_now(drops));
  bool done = false;
  s.drop(drops, done);
  s.settle();
  CHECK(done);
  CHECK(s.notifications(Notification::Kind::pages).empty());
  REQUIRE(s.notifications(Notification::Kind::size).size() == 1);
  CHECK(s.notifications(Notification::Kind::size)[0].range == ByteRange{8192, 1808});
  CHECK(s.kernel().mounted()->find(a)->attributes.size == 10'000);
}

TEST_CASE("a write that holds the last page does not hold the new size") {
  FakeSite s;
  const InodeId a = s.volume.add("a", S_IFREG | 0644, 10'000);
  s.lookup("a");
  s.ask(s.request(HostOp::open, a));
  s.changes.go.reset();
  auto& write = s.send(s.write(a, 9000, std::string(100, 'w')));
  s.settle();
  const auto lock = s.kernel().mounted()->page_lock(a, 2);
  lock->lock(true, [] {});
  s.volume.objects[a].size = 10'010;
  bool done = false;
  s.drop({{Kind::pages, a, {10'000, 10}, ""}}, done);
  s.settle();
  CHECK(done);
  CHECK(!write.has_value());
  CHECK(s.kernel().mounted()->find(a)->attributes.size == 10'010);
  lock->unlock(true);
  s.changes.go.set();
  s.settle();
}

TEST_CASE("what was cut off while it is open is shorter in the kernel, too, before its drop is done") {
  FakeSite s;
  const InodeId a = s.volume.add("a", S_IFREG | 0644, 9000);
  s.lookup("a");
  const std::vector<wire::Drop> cut{{Kind::pages, a, {100, 0}, ""}};
  s.volume.objects[a].size = 100;
  CHECK(s.host.drop_now(cut));  // nobody has it open
  CHECK(s.kernel().mounted()->find(a)->attributes.size == 9000);
  s.ask(s.request(HostOp::open, a));
  // The next drop may overtake what a reader is answered.
  const std::vector<wire::Drop> next{{Kind::attributes, a, {}, ""}};
  REQUIRE(!s.host.drop_now(next));
  bool done = false;
  s.drop(next, done);
  s.settle();
  CHECK(done);
  CHECK(s.notifications(Notification::Kind::shorter).size() == 1);
  CHECK(s.kernel().mounted()->find(a)->attributes.size == 100);
  CHECK(s.host.drop_now(next));

  s.volume.objects[a].size = 10;
  const std::vector<wire::Drop> again{{Kind::pages, a, {10, 0}, ""}};
  REQUIRE(!s.host.drop_now(again));
  done = false;
  s.drop(again, done);
  s.settle();
  CHECK(done);
  CHECK(s.notifications(Notification::Kind::shorter).size() == 2);
  CHECK(s.kernel().mounted()->find(a)->attributes.size == 10);
}

TEST_CASE("a write that holds a page behind the new end holds up nothing") {
  FakeSite s;
  const InodeId a = s.volume.add("a", S_IFREG | 0644, 10'000);
  s.lookup("a");
  s.ask(s.request(HostOp::open, a));
  s.changes.go.reset();
  auto& write = s.send(s.write(a, 9000, std::string(100, 'w')));
  s.settle();
  const auto lock = s.kernel().mounted()->page_lock(a, 2);
  lock->lock(true, [] {});
  s.volume.objects[a].size = 100;
  const std::vector<wire::Drop> cut{{Kind::pages, a, {100, 0}, ""}};
  REQUIRE(!s.host.drop_now(cut));
  bool done = false;
  s.drop(cut, done);
  s.settle();
  CHECK(done);
  CHECK(!write.has_value());
  CHECK(s.notifications(Notification::Kind::shorter).empty());
  lock->unlock(true);
  s.changes.go.set();
  s.settle();
  // Asked for when nothing is in the way any more.
  const std::vector<wire::Drop> next{{Kind::attributes, a, {}, ""}};
  REQUIRE(!s.host.drop_now(next));
  done = false;
  s.drop(next, done);
  s.settle();
  CHECK(done);
  CHECK(s.notifications(Notification::Kind::shorter).size() == 1);
}

TEST_CASE("a size is told with a page that nobody holds") {
  PendingWrite w;
  w.buffered = true;
  PendingWrite* const writes[] = {&w};
  CHECK(end_without_locked_pages(0, {}, {}, 0).empty());
  CHECK(end_without_locked_pages(1, {}, {}, 0) == ByteRange{0, 1});
  CHECK(end_without_locked_pages(4096, {}, {}, 0) == ByteRange{0, 4096});
  CHECK(end_without_locked_pages(4097, {}, {}, 0) == ByteRange{4096, 1});
  w.range = {4097, 5};
  CHECK(end_without_locked_pages(5000, writes, {}, 0) == ByteRange{0, 5000});
  w.range = {1, 5};
  CHECK(end_without_locked_pages(4000, writes, {}, 0).empty());
  const ByteRange far = end_without_locked_pages(10'000'000, {}, {}, 0);
  CHECK((far.end() == 10'000'000 && far.length <= runtime::kGrowBytesMax));
}

TEST_CASE("the table holds what the kernel holds") {
  sim::Universe universe(1);
  InodeTable table(universe.add_machine("a").start());
  const InodeId a{5};
  CHECK(!table.known(a));
  table.count(a, S_IFREG);
  table.count(a, S_IFREG);
  table.forget(a, 1);
  CHECK(table.known(a));
  table.opened(a);
  table.forget(a, 1);
  CHECK(!table.known(a));
  CHECK(table.is_open(a));
  table.forget(a, 10);
  std::uint32_t growths = 0;
  CHECK(table.closed(a, growths));
  CHECK(table.size() == 1);
  table.forget(kRootInode, 100);
  CHECK(table.known(kRootInode));

  table.count(a, S_IFREG);
  table.pages_kept(a, {5000, 10});
  CHECK(table.may_keep_pages(a, {8000, 1}));
  CHECK(!table.may_keep_pages(a, {8192, 0}));
  CHECK(!table.may_keep_pages(a, {0, 4096}));
  CHECK(table.may_keep_pages(a, {0, 0}));
  table.name_handed_out(a);
  CHECK(table.may_keep_names(a));
  table.all_names_dropped();
  CHECK(!table.may_keep_names(a));
}

}  // namespace lockstep::fuse
