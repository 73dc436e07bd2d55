// A site that may not serve stops serving completely: requests wait, the kernel keeps nothing, and all is fresh later.

#include "hosted_site.h"

namespace lockstep::fuse {
namespace {

HostRequest by(HostRequest request, std::uint32_t pid) {
  request.caller.pid = pid;
  return request;
}

}  // namespace

TEST_CASE("while the gate is closed requests wait; releases, forgets and write-backs do not") {
  HostedSite s;
  const InodeId a = s.add_open("a", 8192);
  s.close_now();
  std::vector<std::optional<OwnedReply>*> waiting;
  for (const HostOp op : {HostOp::getattr, HostOp::open, HostOp::opendir, HostOp::readdir, HostOp::statfs, HostOp::readlink,
                          HostOp::fsync, HostOp::setattr, HostOp::listxattr}) {
    waiting.push_back(&s.send(s.request(op, a)));
  }
  waiting.push_back(&s.send(s.request(HostOp::lookup, kRootInode, "a")));
  waiting.push_back(&s.send(s.request(HostOp::create, kRootInode, "new")));
  waiting.push_back(&s.send(s.read(a, 0, 100)));
  const std::string data = "text";
  waiting.push_back(&s.send(s.write(a, 0, data)));
  s.settle(1s);
  for (const auto* reply : waiting) CHECK(!reply->has_value());
  CHECK(s.changes.asked.empty());
  const std::string page(4096, 'm');
  HostRequest back = s.write(a, 4096, page);
  back.from_cache = true;
  CHECK(s.ask(back).error() == 0);
  CHECK(s.ask(s.request(HostOp::release, a)).error() == 0);
  CHECK(s.kernel().mounted()->sent(HostOp::release) == 1);
  s.host.open();
  s.settle();
  for (const auto* reply : waiting) {
    REQUIRE(reply->has_value());
    CHECK(reply->value().error() != EIO);
  }
}

TEST_CASE("a request waits for its site to serve as long as the patience lasts, then it fails") {
  HostOptions options;
  options.patience = 60s;
  HostedSite s(1, options);
  const InodeId a = s.add_open("a", 8192);
  s.close_now();
  const std::string data = "text";
  std::vector<std::optional<OwnedReply>*> waiting = {&s.send(s.request(HostOp::getattr, a)), &s.send(s.read(a, 0, 100)),
                                                     &s.send(s.write(a, 0, data)), &s.send(s.request(HostOp::create, kRootInode, "new"))};
  s.settle(59s);
  for (const auto* reply : waiting) CHECK(!reply->has_value());
  std::optional<OwnedReply>* late = &s.send(s.request(HostOp::statfs, a));
  s.settle(8s);  // the time is looked at every tenth of it
  for (const auto* reply : waiting) {
    REQUIRE(reply->has_value());
    CHECK((*reply)->error() == EIO);
  }
  CHECK(s.changes.asked.empty());
  CHECK(!late->has_value());
  s.host.open();
  s.settle();
  REQUIRE(late->has_value());
  CHECK((*late)->error() == 0);
}

TEST_CASE("a program that a signal ends waits no longer for its site to serve, and nothing was changed for it") {
  HostedSite s;
  const InodeId a = s.add_open("a", 8192);
  s.close_now();
  const std::string data = "text";
  const auto ask_all = [&](std::uint32_t pid) {
    return std::vector<std::optional<OwnedReply>*>{&s.send(by(s.request(HostOp::getattr, a), pid)), &s.send(by(s.read(a, 0, 100), pid)),
                                                   &s.send(by(s.write(a, 0, data), pid)), &s.send(by(s.request(HostOp::create, kRootInode, "new"), pid)),
                                                   &s.send(by(s.request(HostOp::statfs, a), pid))};
  };
  const auto ended = ask_all(7), stays = ask_all(8);
  s.kernel().ending.insert(7);
  s.settle(1s);
  for (const auto* reply : ended) CHECK(!reply->has_value());  // nobody said so yet
  s.kernel().mounted()->signal();                              // to both: 8 handles it
  s.settle(100ms);
  for (const auto* reply : ended) {
    REQUIRE(reply->has_value());
    CHECK((*reply)->error() == EINTR);
  }
  for (const auto* reply : stays) CHECK(!reply->has_value());
  CHECK(s.host.counters().let_go == ended.size());
  // A second signal to the same program is told to nobody.
  const std::vector<std::optional<OwnedReply>*> later = {&s.send(by(s.request(HostOp::getattr, a), 9)), &s.send(by(s.request(HostOp::statfs, a), 9))};
  s.kernel().mounted()->signal();
  s.settle(1s);
  for (const auto* reply : later) CHECK(!reply->has_value());
  s.kernel().ending.insert(9);
  s.settle(1s);
  for (const auto* reply : later) {
    REQUIRE(reply->has_value());
    CHECK((*reply)->error() == EINTR);
  }
  CHECK(s.changes.asked.empty());
  s.host.open();
  s.settle();
  for (const auto* reply : stays) {
    REQUIRE(reply->has_value());
    CHECK((*reply)->error() != EINTR);
  }
  CHECK(s.changes.asked.size() == 2);
  CHECK(s.host.running() == 0);
}

TEST_CASE("a program that a signal ends is let go from a change that nobody has answered yet") {
  HostedSite s;
  const InodeId a = s.add_open("a", 8192);
  const std::string data = "text";
  const auto ask_all = [&](std::uint32_t pid, const char* made) {
    return std::vector<std::optional<OwnedReply>*>{&s.send(by(s.write(a, 0, data), pid)), &s.send(by(s.request(HostOp::unlink, kRootInode, "gone"), pid)),
                                                   &s.send(by(s.request(HostOp::create, kRootInode, made), pid)), &s.send(by(s.request(HostOp::fsync, a), pid))};
  };
  s.changes.go.reset();
  s.changes.under_way = GENERATE(false, true);
  const auto ended = ask_all(7, "for nobody"), stays = ask_all(8, "new");
  s.settle();
  REQUIRE(s.changes.asked.size() == ended.size() + stays.size());
  s.kernel().ending.insert(7);
  s.kernel().mounted()->signal();
  s.settle(1s);
  for (const auto* reply : ended) {
    REQUIRE(reply->has_value());
    CHECK((*reply)->error() == EINTR);
  }
  for (const auto* reply : stays) CHECK(!reply->has_value());
  CHECK(s.changes.went == ended.size());
  CHECK(s.host.counters().let_go == ended.size());
  // What is in force, and not answered, is waited for: the kernel learns of it from the answer.
  s.changes.binds = true;
  auto& bound = s.send(by(s.request(HostOp::unlink, kRootInode, "bound"), 7));
  s.settle();
  s.kernel().mounted()->signal();
  s.settle(1s);
  CHECK(!bound.has_value());
  s.changes.go.set();
  s.settle(1s);
  for (const auto* reply : stays) {
    REQUIRE(reply->has_value());
    CHECK((*reply)->error() == 0);
  }
  REQUIRE(bound.has_value());
  CHECK(bound->error() == 0);
  CHECK(s.host.is_open(s.volume.names.at({kRootInode, "new"})));
  const auto for_nobody = s.volume.names.find({kRootInode, "for nobody"});
  REQUIRE((for_nobody != s.volume.names.end()) == s.changes.under_way);
  if (s.changes.under_way) CHECK(!s.host.is_open(for_nobody->second));
  CHECK(s.host.running() == 0);
}

TEST_CASE("a write whose program was let go holds up no drop of its pages") {
  HostedSite s;
  const InodeId a = s.volume.add("a", S_IFREG | 0644, 8192);
  const sim::FileHandle file = s.open_file("/a");
  s.wait_for(s.app.read(file, 0, 8192));
  s.changes.go.reset();
  s.changes.under_way = true;
  auto& written = s.call(s.app.write(file, 100, "text"));
  s.settle();
  REQUIRE(s.changes.asked.size() == 1);
  for (const auto& [program, pid] : s.kernel().mounted()->programs()) {
    s.kernel().ending.insert(pid);
    s.kernel().mounted()->signal(program);
  }
  s.settle(1s);
  REQUIRE(written.has_value());
  CHECK(written->error().posix == EINTR);
  // It comes into force as any other change does: the kernel forgets before it is answered.
  s.put(a, 100, "text");
  wire::Drop pages;
  pages.kind = wire::Drop::Kind::pages;
  pages.inode = a;
  pages.range = {100, 4};
  bool dropped = false;
  s.wait_for(s.app.read(file, 0, 8192));
  s.process.spawn([](HostedSite& site, wire::Drop drop, bool& done) -> Task<void> {
    std::vector<wire::Drop> drops{std::move(drop)};
    co_await site.host.drop(std::move(drops));
    done = true;
  }(s, pages, dropped));
  s.settle(1s);
  CHECK(dropped);
  CHECK(s.wait_for(s.app.read(file, 100, 4)) == "text");
  s.changes.go.set();
  s.settle(1s);
  CHECK(s.host.running() == 0);
}

TEST_CASE("readers that were under way look again when hosts are served anew") {
  HostedSite s;
  const InodeId a = s.volume.add("a", S_IFREG | 0644, 4096);
  const InodeId b = s.volume.add("b", S_IFREG | 0644, 1);
  s.put(a, 0, "old");
  s.area.in_memory = false;
  s.volume.not_loaded = {b};
  auto& data = s.send(s.read(a, 0, 3));
  auto& entry = s.send(s.request(HostOp::lookup, kRootInode, "b"));
  auto& attributes = s.send(s.request(HostOp::getattr, b));
  HostRequest readdir = s.request(HostOp::readdir, kRootInode);
  readdir.size = 4096;
  auto& listing = s.send(readdir);
  auto& names = s.send(s.request(HostOp::listxattr, a));
  REQUIRE(s.universe.run_until([&] { return s.area.reads == 1 && s.volume.loads == 2 && s.volume.lists == 1; }, 1s));
  REQUIRE(!data.has_value());
  s.close_now();
  s.settle(1s);
  for (const auto* reply : {&data, &entry, &attributes, &listing}) CHECK(!reply->has_value());
  s.put(a, 0, "new");
  s.volume.objects[b].size = 2;
  const InodeId c = s.volume.add("c", S_IFREG | 0644);
  s.host.open();
  s.settle();
  for (const auto* reply : {&data, &entry, &attributes, &listing, &names}) REQUIRE(reply->has_value());
  CHECK(*data->bytes == "new");
  CHECK(std::get<EntryReply>(entry->reply).attributes.size == 2);
  CHECK(std::get<AttributesReply>(attributes->reply).attributes.size == 2);
  CHECK(std::get<ListingReply>(listing->reply).entries.back().entry.attributes.inode == c);
}

TEST_CASE("a listing that goes on after the gate was closed shows what is there now") {
  HostedSite s;
  for (int i = 0; i < 20; ++i) s.volume.add(fmt::format("file{:02}", i), S_IFREG | 0644, 1);
  HostRequest readdir = s.request(HostOp::readdir, kRootInode);
  readdir.size = 512;
  const auto first = s.ask_for<ListingReply>(readdir);
  s.close_now();
  s.volume.names.erase({kRootInode, "file19"});
  s.host.open();
  readdir.offset = first.entries.back().cookie;
  readdir.size = 4096;
  CHECK(s.ask_for<ListingReply>(readdir).entries.back().name == "file18");
}

TEST_CASE("when the gate is closed the kernel keeps nothing") {
  HostedSite s;
  const InodeId open = s.volume.add("open", S_IFREG | 0644, 20'000);
  const InodeId shut = s.volume.add("shut", S_IFREG | 0644, 20'000);
  s.volume.add("looked", S_IFREG | 0644, 1);
  const auto file = s.open_file("/open");
  const auto other = s.open_file("/shut");
  CHECK(s.wait_for(s.app.read(file, 0, 20'000)).has_value());
  CHECK(s.wait_for(s.app.read(other, 0, 20'000)).has_value());
  CHECK(s.wait_for(s.app.write(file, 5000, std::string(9000, 'w'))).has_value());
  CHECK(s.wait_for(s.app.close(other)).has_value());
  CHECK(s.wait_for(s.app.list("/")).has_value());
  CHECK(s.wait_for(s.app.stat("/looked")).has_value());
  REQUIRE(s.kept_by_kernel().find("pages of inode " + std::to_string(shut.value)) != std::string::npos);
  s.close_now();
  CHECK(s.kept_by_kernel().empty());
  s.put(open, 0, "fresh");
  s.put(shut, 0, "fresh");
  s.volume.objects[open].size = 30'000;
  s.host.open();
  CHECK(s.wait_for(s.app.read(file, 0, 5)).value() == "fresh");
  CHECK(s.wait_for(s.app.read(s.open_file("/shut"), 0, 5)).value() == "fresh");
  CHECK(s.wait_for(s.app.fstat(file)).value().size == 30'000);
}

TEST_CASE("a read that holds its pages does not hold the closing, and brings what is new") {
  HostedSite s;
  const InodeId a = s.volume.add("a", S_IFREG | 0644, 40'000);
  const auto file = s.open_file("/a");
  CHECK(s.wait_for(s.app.read(file, 8192, 8192)).has_value());
  s.area.in_memory = false;
  auto& before = s.call(s.app.read(file, 4096, 3));
  REQUIRE(s.universe.run_until([&] { return s.area.reads == 1; }, 1s));
  bool done = false;
  s.close(done);
  auto& during = s.call(s.app.read(file, 20'480, 3));
  s.settle(1s);
  CHECK(done);
  auto& after = s.call(s.app.read(file, 8192, 3));
  s.settle(1s);
  CHECK((!before.has_value() && !during.has_value() && !after.has_value()));
  CHECK(s.kept_by_kernel().empty());
  for (const std::uint64_t at : {4096, 8192, 20'480}) s.put(a, at, "new");
  s.host.open();
  s.settle();
  for (const auto* read : {&before, &during, &after}) {
    REQUIRE(read->has_value());
    CHECK(read->value().value() == "new");
  }
  // And the page is noted as kept: another site's change finds it.
  CHECK(!s.host.drop_now(std::vector<wire::Drop>{{wire::Drop::Kind::pages, a, {4096, 10}, ""}}));
}

TEST_CASE("a drop for another site's change goes on without the pages of a read that is held") {
  HostedSite s;
  const InodeId a = s.volume.add("a", S_IFREG | 0644, 40'000);
  const auto file = s.open_file("/a");
  CHECK(s.wait_for(s.app.read(file, 0, 4096)).has_value());
  s.area.in_memory = false;
  auto& read = s.call(s.app.read(file, 4096, 3));
  REQUIRE(s.universe.run_until([&] { return s.area.reads == 1; }, 1s));
  bool dropped = false;
  s.drop({{wire::Drop::Kind::pages, a, {0, 8192}, ""}}, dropped);  // waits for the medium at most
  bool done = false;
  s.close(done);
  s.settle(1s);
  CHECK((dropped && done));
  CHECK(!read.has_value());
  s.host.open();
  s.settle();
  CHECK(read.has_value());
}

TEST_CASE("writes of parts of pages do not hold the closing; what they were told stays true") {
  HostedSite s;
  const InodeId a = s.volume.add("a", S_IFREG | 0644, 40'000);
  const auto file = s.open_file("/a");
  CHECK(s.wait_for(s.app.read(file, 0, 4096)).has_value());
  s.changes.go.reset();
  auto& handed_on = s.call(s.app.write(file, 5000, std::string(10'000, 'w')));
  REQUIRE(s.universe.run_until([&] { return s.changes.count(wire::OpKind::write) == 1; }, 1s));
  s.close_now();
  s.changes.go.set();
  s.settle();
  REQUIRE(handed_on.has_value());
  CHECK(handed_on->value() == 10'000);
  CHECK(s.kept_by_kernel().empty());
  auto& held = s.call(s.app.write(file, 30'000, "later"));
  s.settle(1s);
  CHECK(!held.has_value());
  s.put(a, 5000, "NEW");
  s.host.open();
  s.settle();
  REQUIRE(held.has_value());
  CHECK(s.wait_for(s.app.read(file, 5000, 4)).value() == "NEWw");
  CHECK(s.wait_for(s.app.read(file, 30'000, 5)).value() == "later");
}

TEST_CASE("mapped pages that were changed come back when the gate is closed, and do not hold it") {
  HostedSite s;
  const InodeId a = s.volume.add("a", S_IFREG | 0644, 40'000);
  const auto file = s.open_file("/a");
  CHECK(s.wait_for(s.app.store(file, 100, "mapped")).has_value());
  CHECK(s.wait_for(s.app.store(file, 9000, "mapped")).has_value());
  s.changes.go.reset();
  s.close_now();
  CHECK(s.kept_by_kernel().empty());
  CHECK(s.host.counters().answered_early == 2);
  s.changes.go.set();
  s.settle();
  s.host.open();
  CHECK(s.wait_for(s.app.read(file, 100, 6)).value() == "mapped");
  CHECK(s.wait_for(s.app.read(file, 9000, 6)).value() == "mapped");
  CHECK(s.area.bytes[a.value * FakeArea::kFileBytes + 100] == std::byte{'m'});
}

TEST_CASE("the answer to a change that is done while the gate is closed says nothing that is kept") {
  HostedSite s;
  s.volume.add("old", S_IFREG | 0644);
  s.lookup("old");
  s.changes.go.reset();
  auto& made = s.send(s.request(HostOp::mkdir, kRootInode, "d"));
  HostRequest open = s.request(HostOp::create, kRootInode, "f");
  open.flags = O_RDWR;
  auto& created = s.send(open);
  HostRequest change = s.request(HostOp::setattr, InodeId{2});
  change.change.mode_set = true;
  change.change.mode = S_IFREG | 0600;
  auto& changed = s.send(change);
  HostRequest existing = s.request(HostOp::create, kRootInode, "old");
  existing.flags = O_RDWR;
  auto& opened = s.send(existing);
  s.settle();
  s.close_now();
  s.changes.go.set();
  s.settle();
  REQUIRE((made.has_value() && created.has_value() && changed.has_value()));
  CHECK(std::get<EntryReply>(made->reply).entry_valid == Duration::zero());
  CHECK(std::get<CreateReply>(created->reply).entry.attributes_valid == Duration::zero());
  CHECK(std::get<AttributesReply>(changed->reply).valid == Duration::zero());
  CHECK(s.kept_by_kernel().empty());
  CHECK(!opened.has_value());  // what was there is opened when hosts are served
  s.host.open();
  s.settle();
  REQUIRE(opened.has_value());
  CHECK(opened->error() == 0);
}

TEST_CASE("an open that truncated before the gate was closed does not do it again") {
  HostedSite s;
  const InodeId a = s.volume.add("a", S_IFREG | 0644, 100);
  s.changes.go.reset();
  HostRequest open = s.request(HostOp::open, a);
  open.flags = O_RDWR | O_TRUNC;
  auto& opened = s.send(open);
  s.settle();
  s.close_now();
  s.changes.go.set();
  s.settle();
  CHECK(!opened.has_value());
  s.volume.objects[a].size = 50;
  s.host.open();
  s.settle();
  REQUIRE(opened.has_value());
  CHECK(s.volume.objects[a].size == 50);
  CHECK(s.changes.count(wire::OpKind::set_attributes) == 1);
}

TEST_CASE("names that a listing makes while the gate is being closed are not kept") {
  HostedSite s;
  for (int i = 0; i < 20; ++i) s.volume.add(fmt::format("file{:02}", i), S_IFREG | 0644, 1);
  auto& listing = s.call(s.app.list("/"));
  REQUIRE(s.universe.run_until([&] { return s.host.inodes() > 1; }, 1s));  // answered, and not taken yet
  s.close_now();
  CHECK(s.kept_by_kernel().empty());
  s.host.open();
  s.settle();
  CHECK(listing.has_value());
}

TEST_CASE("a kernel that does not let go is cut off, so that closing ends") {
  HostedSite s;
  const InodeId a = s.volume.add("a", S_IFREG | 0644, 20'000);
  const auto file = s.open_file("/a");
  CHECK(s.wait_for(s.app.read(file, 0, 20'000)).has_value());
  const auto mount = s.kernel().mounted();
  const auto lock = mount->page_lock(a, 1);
  lock->lock(true, [] {});
  bool done = false;
  s.close(done);
  s.settle(4s);
  CHECK(!done);
  s.settle(1500ms);
  CHECK(mount->gone());
  lock->unlock(true);  // as everything is that waited for an answer
  s.settle();
  CHECK(done);
  CHECK(!s.kernel().mounted()->gone());
  s.host.open();
  CHECK(s.wait_for(s.app.stat("/a")).has_value());
}

TEST_CASE("what waits when the site ends is refused") {
  HostedSite s;
  const InodeId a = s.volume.add("a", S_IFREG | 0644, 100);
  s.close_now();
  auto& read = s.send(s.read(a, 0, 10));
  auto& attributes = s.send(s.request(HostOp::getattr, a));
  const std::string data = "x";
  auto& write = s.send(s.write(a, 0, data));
  s.settle();
  s.process.spawn(s.host.stop());
  s.settle();
  for (const auto* reply : {&read, &attributes, &write}) {
    REQUIRE(reply->has_value());
    CHECK(reply->value().error() == EIO);
  }
  CHECK(s.host.running() == 0);
}

TEST_CASE("after the deadline nothing is told until it is moved") {
  HostedSite s;
  const InodeId a = s.volume.add("a", S_IFREG | 0644, 100);
  const Instant soon = s.process.world().clock.now() + 10ms;
  s.host.serve_until(soon);
  CHECK(s.ask(s.request(HostOp::getattr, a)).error() == 0);
  s.settle(5ms);
  s.host.serve_until(soon + 1s);
  s.settle(500ms);
  CHECK(s.ask(s.request(HostOp::getattr, a)).error() == 0);
  s.close_now();
  s.settle(2s);
  CHECK(!s.kernel().mounted()->gone());  // closed in time, there is no deadline
  s.host.open();
  CHECK(s.ask(s.request(HostOp::getattr, a)).error() == 0);
}

TEST_CASE("a daemon that is stopped beyond its deadline loses the mount, and mounts again") {
  HostedSite s;
  const InodeId a = s.volume.add("a", S_IFREG | 0644, 8192);
  const auto file = s.open_file("/a");
  CHECK(s.wait_for(s.app.read(file, 0, 100)).has_value());
  const Instant until = s.process.world().clock.now() + 100ms;
  s.host.serve_until(until);
  s.process.pause(1s);
  s.settle(90ms);
  CHECK(s.wait_for(s.app.read(file, 0, 100)).has_value());  // the kernel serves it by itself
  auto& waits = s.call(s.app.fstat(file));
  auto& misses = s.call(s.app.read(file, 4096, 100));
  s.settle(20ms);
  CHECK(s.kernel().mounted()->gone());
  REQUIRE(misses.has_value());
  CHECK(misses->error().posix == ENOTCONN);
  CHECK(waits.has_value());
  CHECK(s.host.counters().mounted_again == 0);
  s.settle(1s);
  CHECK(s.host.counters().mounted_again == 1);
  REQUIRE(!s.kernel().mounted()->gone());
  CHECK(!s.host.is_open(a));
  // The deadline has passed: on the new mount, too, nothing is told until the site may serve.
  auto& opened = s.call(s.app.open("/a", O_RDWR, 0));
  s.settle(1s);
  CHECK(!opened.has_value());
  s.host.serve_until(controller::HostGate::kNoDeadline);
  s.settle();
  REQUIRE(opened.has_value());
  CHECK(opened->has_value());
}

TEST_CASE("a mount that somebody took away is made again when that is asked for, and what is in the way is said") {
  HostedSite s;
  CHECK(s.host.mounted());
  const auto mount = [&s] {
    std::optional<Result<>>& done = s.call(s.host.mount());
    s.settle(10ms);
    REQUIRE(done.has_value());
    return *done;
  };
  CHECK(mount());
  CHECK(s.host.counters().mounted_again == 0);  // it is there
  s.kernel().mounted()->abort();
  s.host.unmounted(false);
  s.settle(5s);
  CHECK(!s.host.mounted());  // nobody asked
  s.kernel().refusal = "mount point /x: not a directory";
  CHECK(mount().error().text == s.kernel().refusal);
  CHECK(s.host.mount_problem() == s.kernel().refusal);
  s.kernel().refusal.clear();
  CHECK(mount());
  CHECK(s.host.mounted());
  CHECK(s.host.mount_problem().empty());
  CHECK(s.host.counters().mounted_again == 1);
  // Cut off, it is tried until it works: whoever asks meanwhile is told what is in the way.
  s.kernel().refusal = "mount point /x: not a directory";
  s.host.serve_until(s.process.world().clock.now());
  s.settle(100ms);
  CHECK(!s.host.mounted());
  const Result<> refused = mount();
  REQUIRE(!refused);
  CHECK_THAT(refused.error().text, Catch::Contains(s.kernel().refusal) && Catch::Contains("tried again"));
  s.kernel().refusal.clear();
  s.settle(2s);
  CHECK(s.host.mounted());
  CHECK(s.host.counters().mounted_again == 2);
}

}  // namespace lockstep::fuse
