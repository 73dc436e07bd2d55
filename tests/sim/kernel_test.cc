#include "sim/kernel.h"

#include <cerrno>

#include "catch.h"
#include "worlds.h"

using namespace lockstep;
using namespace lockstep::sim;
using runtime::Dropped;
using runtime::HostOp;
using runtime::HostRequest;
using runtime::Task;
using namespace std::chrono_literals;

namespace {

/// Records requests; answers as the test says.
struct Handler final : runtime::HostHandler {
  void handle(HostRequest request) override { requests.push_back(std::move(request)); }
  void forget(InodeId inode, std::uint64_t count) override { forgotten.emplace_back(inode, count); }
  void unmounted(bool cut) override {
    gone = true;
    cut_off = cut;
  }
  std::vector<HostRequest> requests;
  std::vector<std::pair<InodeId, std::uint64_t>> forgotten;
  bool gone = false, cut_off = false;
};

runtime::EntryReply entry(std::uint64_t inode, Duration valid) {
  runtime::EntryReply reply;
  reply.attributes.inode = InodeId{inode};
  reply.attributes_valid = reply.entry_valid = valid;
  return reply;
}

struct Mounted {
  explicit Mounted(std::uint64_t seed)
      : universe(seed), machine(universe.add_machine("alpha")), process(machine.start()) {
    REQUIRE(process.kernel().mount(handler).has_value());
  }
  /// Sends; true when the handler has it.
  HostRequest ask(HostOp op, std::uint64_t inode, std::string name = "") {
    HostRequest request;
    request.op = op;
    request.inode = InodeId{inode};
    request.name = name;
    request.size = 4096;
    replies.emplace_back();
    auto* into = &replies.back();
    const std::size_t before = handler.requests.size();
    process.kernel().mounted()->send(request, nullptr, [into](OwnedReply r) { *into = std::move(r); });
    REQUIRE(universe.run_until([&] { return handler.requests.size() > before; }, 1s));
    return handler.requests.back();
  }
  void answer(const HostRequest& request, const runtime::HostReply& reply) {
    REQUIRE(process.kernel().reply(request.unique, reply).has_value());
    universe.run_for(Duration(1ms));
  }
  Dropped wait(Task<Dropped> task);

  Universe universe;
  Machine& machine;
  Process& process;
  Handler handler;
  std::deque<std::optional<OwnedReply>> replies;
};

Task<void> keep(Task<Dropped> task, Dropped& into) { into = co_await std::move(task); }

Dropped Mounted::wait(Task<Dropped> task) {
  Dropped outcome{};
  run(process, keep(std::move(task), outcome));
  return outcome;
}

Task<void> call_once(SimKernel& kernel, HostRequest request, int& error) {
  const OwnedReply reply = co_await kernel.call(std::move(request));
  error = reply.error();
}

}  // namespace

TEST_CASE("a request reaches the handler with its names, and the answer its caller") {
  Mounted m(1);
  const HostRequest request = m.ask(HostOp::lookup, 1, "name");
  CHECK(request.name == "name");
  CHECK(request.inode == kRootInode);
  m.answer(request, runtime::ErrorReply{ENOENT});
  REQUIRE(m.replies.back().has_value());
  CHECK(m.replies.back()->error() == ENOENT);
  CHECK(!m.process.kernel().reply(request.unique, runtime::ErrorReply{0}).has_value());
}

TEST_CASE("bytes of a reply need live only until reply returned") {
  Mounted m(1);
  const HostRequest request = m.ask(HostOp::read, 1);
  {
    std::vector<std::byte> bytes(100, std::byte{7});
    REQUIRE(m.process.kernel().reply(request.unique, runtime::DataReply{bytes}).has_value());
    std::fill(bytes.begin(), bytes.end(), std::byte{9});
  }
  m.universe.run_for(Duration(1ms));
  const Bytes got = std::get<runtime::DataReply>(m.replies.back()->reply).bytes;
  REQUIRE(got.size() == 100);
  CHECK(got[99] == std::byte{7});
}

TEST_CASE("lookups are counted, and forgotten together") {
  Mounted m(1);
  for (int i = 0; i < 3; ++i) m.answer(m.ask(HostOp::lookup, 1, "a"), entry(5, 1s));
  CHECK(m.process.kernel().mounted()->find(InodeId{5})->lookups == 3);
  CHECK(m.process.kernel().mounted()->forget(InodeId{5}));
  m.universe.run_for(Duration(1ms));
  REQUIRE(m.handler.forgotten.size() == 1);
  CHECK(m.handler.forgotten[0] == std::pair(InodeId{5}, std::uint64_t{3}));
  CHECK(m.process.kernel().mounted()->find(InodeId{5}) == nullptr);
}

TEST_CASE("an inode is unknown until the answer that hands it out took effect") {
  Mounted m(1);
  const HostRequest request = m.ask(HostOp::lookup, 1, "a");
  REQUIRE(m.process.kernel().reply(request.unique, entry(5, 1s)).has_value());
  CHECK(m.process.kernel().drop_attributes(InodeId{5}) == Dropped::unknown);
  m.universe.run_for(Duration(1ms));
  CHECK(m.process.kernel().drop_attributes(InodeId{5}) == Dropped::done);
}

TEST_CASE("a listing takes what fits and counts lookups of what it took") {
  Mounted m(1);
  HostRequest request = m.ask(HostOp::readdir, 1);
  runtime::ListingReply listing;
  listing.plus = true;
  for (std::uint64_t i = 0; i < 100; ++i) {
    const std::string name = i == 0 ? "." : i == 1 ? ".." : "file" + std::to_string(i);
    listing.entries.push_back({name, i + 1, entry(i < 2 ? 1 : i, 1s)});
  }
  listing.size = 4096;
  const auto taken = m.process.kernel().reply(request.unique, listing);
  REQUIRE(taken.has_value());
  CHECK(*taken > 10);
  CHECK(*taken < 100);
  m.universe.run_for(Duration(1ms));
  CHECK(std::get<runtime::ListingReply>(m.replies.back()->reply).entries.size() == *taken);
  CHECK(m.process.kernel().mounted()->inodes().size() == *taken - 2 + 1);
  CHECK(m.process.kernel().mounted()->find(kRootInode)->lookups == 1);
}

TEST_CASE("attributes are kept for their time, and dropped") {
  Mounted m(1);
  Mount& mount = *m.process.kernel().mounted();
  m.answer(m.ask(HostOp::lookup, 1, "a"), entry(5, 1s));
  CHECK(mount.cached_attributes(InodeId{5}) != nullptr);
  m.universe.run_for(Duration(1s));
  CHECK(mount.cached_attributes(InodeId{5}) == nullptr);
  m.answer(m.ask(HostOp::getattr, 5), runtime::AttributesReply{entry(5, 1s).attributes, 1s});
  CHECK(mount.cached_attributes(InodeId{5}) != nullptr);
  CHECK(m.process.kernel().drop_attributes(InodeId{5}) == Dropped::done);
  CHECK(mount.cached_attributes(InodeId{5}) == nullptr);
  CHECK(m.process.kernel().drop_attributes(InodeId{6}) == Dropped::unknown);
}

TEST_CASE("attributes that were asked for before a drop are not kept") {
  Mounted m(1);
  m.answer(m.ask(HostOp::lookup, 1, "a"), entry(5, 0s));
  const HostRequest request = m.ask(HostOp::getattr, 5);
  CHECK(m.process.kernel().drop_attributes(InodeId{5}) == Dropped::done);
  m.answer(request, runtime::AttributesReply{entry(5, 1h).attributes, 1h});
  CHECK(m.process.kernel().mounted()->cached_attributes(InodeId{5}) == nullptr);
}

TEST_CASE("a name is kept until dropped, or until the epoch of names") {
  Mounted m(1);
  SimKernel& kernel = m.process.kernel();
  Mount& mount = *kernel.mounted();
  m.answer(m.ask(HostOp::lookup, 1, "a"), entry(5, 1h));
  CHECK(mount.cached_name(kRootInode, "a") == InodeId{5});
  CHECK(m.wait(kernel.drop_name(kRootInode, "b", 1ms)) == Dropped::unknown);
  CHECK(m.wait(kernel.drop_name(kRootInode, "a", 1ms)) == Dropped::done);
  CHECK(!mount.cached_name(kRootInode, "a"));
  const HostRequest racing = m.ask(HostOp::lookup, 1, "a");
  kernel.drop_all_names();
  m.answer(racing, entry(5, 1h));
  CHECK(!mount.cached_name(kRootInode, "a"));
  m.answer(m.ask(HostOp::lookup, 1, "a"), entry(5, 1h));
  CHECK(mount.cached_name(kRootInode, "a") == InodeId{5});
}

TEST_CASE("a drop of a name waits for the directory only so long, and happens all the same") {
  Mounted m(1);
  SimKernel& kernel = m.process.kernel();
  Mount& mount = *kernel.mounted();
  m.answer(m.ask(HostOp::lookup, 1, "a"), entry(5, 1h));
  const auto lock = mount.find(kRootInode)->lock;
  lock->lock(false, [] {});
  CHECK(m.wait(kernel.drop_name(kRootInode, "a", 2ms)) == Dropped::late);
  CHECK(mount.cached_name(kRootInode, "a").has_value());
  lock->unlock(false);
  CHECK(!mount.cached_name(kRootInode, "a").has_value());
  CHECK(!lock->held());
}

TEST_CASE("pages that were stored through a mapping come back before they are dropped") {
  Mounted m(1);
  SimKernel& kernel = m.process.kernel();
  auto reply = entry(5, 1h);
  reply.attributes.size = 6000;
  m.answer(m.ask(HostOp::lookup, 1, "a"), reply);
  KnownInode& known = *kernel.mounted()->find(InodeId{5});
  known.pages[1] = CachedPage{std::string(kPageBytes, 'm'), true, true};
  known.pages[0] = CachedPage{std::string(kPageBytes, 'c'), true, false};
  Dropped outcome{};
  m.process.spawn(keep(kernel.drop_pages(InodeId{5}, {0, 0}), outcome));
  const std::size_t before = m.handler.requests.size();
  REQUIRE(m.universe.run_until([&] { return m.handler.requests.size() > before; }, 1s));
  const HostRequest written = m.handler.requests.back();
  CHECK(written.op == HostOp::write);
  CHECK(written.from_cache);
  CHECK(written.offset == kPageBytes);
  CHECK(written.data.size() == 6000 - kPageBytes);
  CHECK(!m.process.idle());
  m.answer(written, runtime::CountReply{written.data.size()});
  CHECK(m.process.idle());
  CHECK(kernel.mounted()->find(InodeId{5})->pages.empty());
}

TEST_CASE("a kill of the daemon ends every call") {
  Mounted m(1);
  Process& host = m.machine.start("host");
  std::optional<int> error;
  HostRequest request;
  request.op = HostOp::getattr;
  request.inode = kRootInode;
  const auto mount = m.machine.mount();
  mount->send(request, &host, [&](OwnedReply r) { error = r.error(); });
  m.universe.run_for(Duration(1ms));
  CHECK(!error);
  m.machine.kill(m.process);
  m.universe.run_for(Duration(1ms));
  CHECK(error == ENOTCONN);
  CHECK(mount->gone());
}

TEST_CASE("an unmount ends calls and tells the handler") {
  Mounted m(1);
  int error = 0;
  m.process.spawn(call_once(m.process.kernel(), HostRequest{.op = HostOp::getattr, .inode = kRootInode}, error));
  m.universe.run_for(Duration(1ms));
  run(m.process, m.process.kernel().unmount());
  CHECK(m.handler.gone);
  CHECK(error == ENOTCONN);
}

TEST_CASE("the mount is cut off when the leave to serve is over, by the machine's clock, also of a process that is stopped") {
  for (const std::int64_t drift : {-50'000, 0, 50'000}) {
    Mounted m(1);
    m.machine.clock_settings().drift_ppm = drift;
    SimKernel& kernel = m.process.kernel();
    const auto mount = kernel.mounted();
    m.answer(m.ask(HostOp::lookup, 1, "a"), entry(5, 1h));
    mount->find(InodeId{5})->pages[0] = CachedPage{std::string(kPageBytes, 'c'), true, false};
    const Instant until = m.process.world().clock.now() + Duration(1s);
    kernel.serve_until(until);
    m.process.pause(10s);
    REQUIRE(m.universe.run_until([&] { return mount->gone(); }, 5s));
    CHECK(m.process.world().clock.now() >= until);
    CHECK(m.process.world().clock.now() - until < Duration(1ms));
    CHECK(mount->find(InodeId{5})->pages.empty());
    CHECK(!mount->cached_name(kRootInode, "a"));
    CHECK(mount->cached_attributes(InodeId{5}) == nullptr);
    CHECK(!m.handler.gone);  // it is told when it runs
    m.universe.run_for(Duration(10s));
    CHECK((m.handler.gone && m.handler.cut_off));
  }
}

TEST_CASE("a leave to serve that is renewed or withdrawn cuts nothing off, and it is cut off once") {
  Mounted m(1);
  SimKernel& kernel = m.process.kernel();
  const auto now = [&] { return m.process.world().clock.now(); };
  kernel.serve_until(now() + Duration(1s));
  m.universe.run_for(Duration(900ms));
  kernel.serve_until(now() + Duration(1s));
  m.universe.run_for(Duration(900ms));
  kernel.serve_until(runtime::Kernel::kNever);
  m.universe.run_for(Duration(10s));
  CHECK(!kernel.mounted()->gone());
  kernel.serve_until(now());
  CHECK(kernel.mounted()->gone());
  REQUIRE(kernel.mount(m.handler).has_value());
  m.universe.run_for(Duration(10s));
  CHECK(!kernel.mounted()->gone());
}

TEST_CASE("an answer to a request of an earlier mount answers none of the next") {
  Mounted m(1);
  SimKernel& kernel = m.process.kernel();
  const HostRequest old = m.ask(HostOp::getattr, 1);
  kernel.serve_until(m.process.world().clock.now());
  REQUIRE(kernel.mount(m.handler).has_value());
  const HostRequest now = m.ask(HostOp::getattr, 1);
  CHECK(now.unique != old.unique);
  CHECK(!kernel.reply(old.unique, runtime::ErrorReply{EIO}).has_value());
  m.answer(now, runtime::ErrorReply{0});
  REQUIRE(m.replies.back().has_value());
  CHECK(m.replies.back()->error() == 0);
}

TEST_CASE("a process that is stopped gets no request") {
  Mounted m(1);
  m.process.pause(1s);
  m.process.kernel().mounted()->send(HostRequest{.op = HostOp::getattr, .inode = kRootInode}, nullptr, [](OwnedReply) {});
  m.universe.run_for(Duration(900ms));
  CHECK(m.handler.requests.empty());
  m.universe.run_for(Duration(200ms));
  CHECK(m.handler.requests.size() == 1);
}

TEST_CASE("names of a listing are as old as the moment at which the kernel takes them") {
  Mounted m(1);
  SimKernel& kernel = m.process.kernel();
  const HostRequest readdir = m.ask(HostOp::readdir, 1);
  runtime::ListingReply listing{{{"a", 1, entry(5, 1h)}}, true, 4096};
  REQUIRE(kernel.reply(readdir.unique, listing).has_value());
  kernel.drop_all_names();  // before whoever asked comes to run
  m.universe.run_for(Duration(1ms));
  CHECK(kernel.mounted()->cached_name(kRootInode, "a") == InodeId{5});
}

TEST_CASE("what nobody has open is dropped in one go, and what is unknown is named") {
  Mounted m(1);
  SimKernel& kernel = m.process.kernel();
  m.answer(m.ask(HostOp::lookup, 1, "a"), entry(5, 1h));
  kernel.mounted()->find(InodeId{5})->pages[3] = CachedPage{std::string(kPageBytes, 'c'), true, false};
  std::vector<InodeId> unknown;
  m.process.spawn([](SimKernel& k, std::vector<InodeId>& into) -> Task<void> {
    into = co_await k.drop_unused({InodeId{5}, InodeId{6}});
  }(kernel, unknown));
  m.universe.run_for(Duration(1ms));
  CHECK(unknown == std::vector{InodeId{6}});
  CHECK(kernel.mounted()->find(InodeId{5})->pages.empty());
  CHECK(kernel.mounted()->cached_attributes(InodeId{5}) == nullptr);
}

TEST_CASE("notifications are recorded with their outcome") {
  Mounted m(1);
  m.process.kernel().drop_attributes(InodeId{9});
  m.process.kernel().drop_listing(kRootInode);
  const std::vector<Notification> expected{{Notification::Kind::attributes, InodeId{9}, {}, {}, Dropped::unknown},
                                           {Notification::Kind::listing, kRootInode, {}, {}, Dropped::done}};
  CHECK(m.process.kernel().notifications() == expected);
}
