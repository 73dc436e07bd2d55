#include "sim/host.h"

#include <fcntl.h>

#include <cstdio>

#include "catch.h"
#include "small_daemon.h"
#include "worlds.h"

using namespace lockstep;
using namespace lockstep::sim;
using runtime::Dropped;
using runtime::HostOp;
using runtime::HostRequest;
using runtime::Task;
using namespace std::chrono_literals;

namespace {

template <class T>
Task<void> keep(Task<T> task, std::optional<T>& into) {
  into = co_await std::move(task);
}

struct Mounted {
  Mounted()
      : universe(7),
        machine(universe.add_machine("alpha")),
        process(machine.start()),
        daemon(process.kernel()),
        applications(machine.start("host")),
        host(applications) {
    REQUIRE(process.kernel().mount(daemon).has_value());
  }
  /// What `task` of an application comes to.
  template <class T>
  T get(Task<T> task) {
    std::optional<T> result;
    run(applications, keep(std::move(task), result));
    return *result;
  }
  /// What `task` of the daemon comes to.
  Dropped drop(Task<Dropped> task) {
    std::optional<Dropped> result;
    run(process, keep(std::move(task), result));
    return *result;
  }
  std::uint64_t sent(HostOp op) { return machine.mount()->sent(op); }
  FileHandle file(std::string path, std::uint32_t flags = O_RDWR | O_CREAT) {
    return get(host.open(path, flags, 0644)).value();
  }
  SimKernel& kernel() { return process.kernel(); }

  Universe universe;
  Machine& machine;
  Process& process;
  SmallDaemon daemon;
  Process& applications;
  Host host;
};

}  // namespace

TEST_CASE("names, files and directories go through the mount") {
  Mounted m;
  CHECK(m.get(m.host.mkdir("/dir", 0755)).has_value());
  CHECK(m.get(m.host.mkdir("/dir", 0755)).error().posix == EEXIST);
  const FileHandle file = m.file("/dir/a");
  CHECK(m.get(m.host.write(file, 0, "hello world")).value() == 11);
  CHECK(m.get(m.host.read(file, 6, 100)).value() == "world");
  CHECK(m.get(m.host.stat("/dir/a")).value().size == 11);
  CHECK(m.get(m.host.link("/dir/a", "/b")).has_value());
  CHECK(m.get(m.host.rename("/b", "/dir/c", 0)).has_value());
  CHECK(m.get(m.host.list("/dir")).value() == std::vector<std::string>{"a", "c"});
  CHECK(m.get(m.host.unlink("/dir/a")).has_value());
  CHECK(m.get(m.host.stat("/dir/a")).error().posix == ENOENT);
  CHECK(m.get(m.host.truncate("/dir/c", 5)).has_value());
  CHECK(m.get(m.host.read(m.file("/dir/c", O_RDONLY), 0, 100)).value() == "hello");
  CHECK(m.get(m.host.open("/dir/c", O_CREAT | O_EXCL, 0644)).error().posix == EEXIST);
  CHECK(m.get(m.host.fsync(file, false)).has_value());
  CHECK(m.get(m.host.close(file)).has_value());
}

TEST_CASE("a page that is kept is read without the daemon, stale until it is dropped") {
  Mounted m;
  const FileHandle file = m.file("/a");
  m.get(m.host.write(file, 0, std::string(8192, 'o')));
  m.daemon.nodes[2].bytes = std::string(8192, 'n');
  CHECK(m.get(m.host.read(file, 4096, 10)).value() == std::string(10, 'o'));
  CHECK(m.sent(HostOp::read) == 0);
  CHECK(m.drop(m.kernel().drop_pages(InodeId{2}, {4096, 1})) == Dropped::done);
  CHECK(m.get(m.host.read(file, 4090, 12)).value() == "oooooonnnnnn");
  CHECK(m.sent(HostOp::read) == 1);
}

TEST_CASE("attributes and names are stale until they are dropped") {
  Mounted m;
  m.file("/a");
  m.daemon.nodes[2].bytes = "longer";
  CHECK(m.get(m.host.stat("/a")).value().size == 0);
  CHECK(m.kernel().drop_attributes(InodeId{2}) == Dropped::done);
  CHECK(m.get(m.host.stat("/a")).value().size == 6);
  m.daemon.nodes[1].names.erase("a");
  CHECK(m.get(m.host.stat("/a")).has_value());
  CHECK(m.drop(m.kernel().drop_name(kRootInode, "a", 10ms)) == Dropped::done);
  CHECK(m.get(m.host.stat("/a")).error().posix == ENOENT);
}

TEST_CASE("a new epoch makes every name be asked for again") {
  Mounted m;
  m.file("/a");
  const std::uint64_t before = m.sent(HostOp::lookup);
  m.get(m.host.stat("/a"));
  CHECK(m.sent(HostOp::lookup) == before);
  m.kernel().drop_all_names();
  m.get(m.host.stat("/a"));
  CHECK(m.sent(HostOp::lookup) == before + 1);
}

TEST_CASE("a drop of a name waits for a lookup in its directory, and gives up in time") {
  Mounted m;
  m.file("/a");
  m.daemon.held = {HostOp::lookup};
  std::optional<Result<runtime::HostAttributes>> found;
  m.applications.spawn(keep(m.host.stat("/other"), found));
  m.universe.run_for(Duration(1ms));
  REQUIRE(m.daemon.waiting.size() == 1);
  CHECK(m.drop(m.kernel().drop_name(kRootInode, "a", 3ms)) == Dropped::late);
  CHECK(m.machine.mount()->cached_name(kRootInode, "a").has_value());
  m.daemon.let_go();
  m.universe.run_for(Duration(1ms));
  CHECK(found->error().posix == ENOENT);
  CHECK(!m.machine.mount()->cached_name(kRootInode, "a").has_value());
}

TEST_CASE("a drop of pages waits for the read of one, and leaves nothing stale") {
  Mounted m;
  m.daemon.nodes[1].names["a"] = 2;
  m.daemon.nodes[2].bytes = std::string(4096, 'o');
  m.daemon.next = 3;
  const FileHandle file = m.file("/a", O_RDONLY);
  m.daemon.held = {HostOp::read};
  std::optional<Result<std::string>> text;
  m.applications.spawn(keep(m.host.read(file, 0, 4), text));
  m.universe.run_for(Duration(1ms));
  std::optional<Dropped> dropped;
  m.process.spawn(keep(m.kernel().drop_pages(InodeId{2}, {0, 0}), dropped));
  m.universe.run_for(Duration(10ms));
  CHECK(!dropped);
  m.daemon.let_go();
  m.daemon.nodes[2].bytes = std::string(4096, 'n');
  m.universe.run_for(Duration(10ms));
  CHECK(dropped == Dropped::done);
  CHECK(text->value() == "oooo");
  CHECK(m.get(m.host.read(file, 0, 4)).value() == "nnnn");
}

TEST_CASE("stores through a mapping reach the daemon by msync, and by a drop") {
  Mounted m;
  const FileHandle file = m.file("/a");
  m.get(m.host.write(file, 0, std::string(5000, '.')));
  CHECK(m.get(m.host.store(file, 4090, "mapped stores")).has_value());
  CHECK(m.daemon.nodes[2].bytes.find("mapped") == std::string::npos);
  CHECK(m.get(m.host.read(file, 4090, 13)).value() == "mapped stores");
  CHECK(m.get(m.host.msync(file)).has_value());
  CHECK(m.daemon.nodes[2].bytes.substr(4090, 13) == "mapped stores");
  CHECK(m.daemon.nodes[2].bytes.size() == 5000);
  m.get(m.host.store(file, 0, "again"));
  CHECK(m.drop(m.kernel().drop_pages(InodeId{2}, {0, 4096})) == Dropped::done);
  CHECK(m.daemon.nodes[2].bytes.substr(0, 6) == "again.");
  CHECK(m.sent(HostOp::read) == 1);  // the second page, which the write had filled in part
}

TEST_CASE("a file that was opened direct keeps nothing") {
  Mounted m;
  m.daemon.opening.direct = true;
  const FileHandle file = m.file("/a");
  m.get(m.host.write(file, 0, "one"));
  m.daemon.nodes[2].bytes = "two";
  CHECK(m.get(m.host.read(file, 0, 10)).value() == "two");
  CHECK(m.sent(HostOp::read) == 1);
}

TEST_CASE("a drop of attributes while a write is under way is not undone by its answer") {
  Mounted m;
  const FileHandle file = m.file("/a");
  m.daemon.held = {HostOp::getattr};
  m.kernel().drop_attributes(InodeId{2});
  std::optional<Result<runtime::HostAttributes>> found;
  m.applications.spawn(keep(m.host.fstat(file), found));
  m.universe.run_for(Duration(1ms));
  m.daemon.nodes[2].bytes = "abc";
  m.daemon.let_go();
  CHECK(m.kernel().drop_attributes(InodeId{2}) == Dropped::done);
  m.universe.run_for(Duration(1ms));
  REQUIRE(found.has_value());
  CHECK(m.machine.mount()->cached_attributes(InodeId{2}) == nullptr);
}

TEST_CASE("who waits in a directory that is being removed finds that it is gone, or holds the removal up", "[locks]") {
  Mounted m;
  REQUIRE(m.get(m.host.mkdir("/dir", 0755)));
  m.daemon.held = {HostOp::rmdir};
  std::optional<Result<>> removed, made;
  std::optional<Result<std::vector<std::string>>> listed;
  m.applications.spawn(keep(m.host.rmdir("/dir"), removed));
  m.universe.run_for(Duration(1ms));
  m.applications.spawn(keep(m.host.mkdir("/dir/a", 0755), made));
  m.applications.spawn(keep(m.host.list("/dir"), listed));
  m.universe.run_for(Duration(1ms));
  CHECK_FALSE((removed || made || listed));
  m.daemon.let_go();
  m.universe.run_for(Duration(1ms));
  REQUIRE((removed && made && listed));
  CHECK(removed->has_value());
  CHECK(made->error().posix == ENOENT);
  CHECK(listed->error().posix == ENOENT);
  CHECK(m.sent(HostOp::mkdir) == 1);

  REQUIRE(m.get(m.host.mkdir("/dir", 0755)));
  m.daemon.held = {HostOp::mkdir};
  std::optional<Result<>> later;
  made.reset();
  m.applications.spawn(keep(m.host.mkdir("/dir/a", 0755), made));
  m.universe.run_for(Duration(1ms));
  m.applications.spawn(keep(m.host.rmdir("/dir"), later));
  m.universe.run_for(Duration(1ms));
  CHECK(m.sent(HostOp::rmdir) == 1);
  m.daemon.let_go();
  m.universe.run_for(Duration(1ms));
  CHECK((made->has_value() && later.has_value()));
}

TEST_CASE("renames between directories take turns, the upper directory first, and none puts a directory below itself", "[locks]") {
  Mounted m;
  for (const char* path : {"/a", "/b", "/a/sub", "/a/sub/low", "/b/empty"}) REQUIRE(m.get(m.host.mkdir(path, 0755)));
  CHECK(m.get(m.host.rename("/a", "/a/sub/a", 0)).error().posix == EINVAL);
  CHECK(m.get(m.host.rename("/a/sub/low", "/a", 0)).error().posix == ENOTEMPTY);
  CHECK(m.get(m.host.rename("/a/sub/low", "/a", RENAME_EXCHANGE)).error().posix == EINVAL);
  CHECK(m.sent(HostOp::rename) == 0);
  // Up and down at once, in both orders of the directories' numbers.
  for (const bool first_down : {false, true}) {
    m.daemon.held = {HostOp::rename};
    std::optional<Result<>> one, other;
    m.applications.spawn(keep(m.host.rename("/a/sub/low", "/low", 0), first_down ? other : one));
    m.applications.spawn(keep(m.host.rename("/b/empty", "/a/sub/empty", 0), first_down ? one : other));
    m.universe.run_for(Duration(1ms));
    CHECK(m.daemon.waiting.size() == 1);
    m.daemon.let_go();
    m.universe.run_for(Duration(1ms));
    REQUIRE((one && other));
    CHECK((one->has_value() && other->has_value()));
    REQUIRE(m.get(m.host.rename("/low", "/a/sub/low", 0)));
    REQUIRE(m.get(m.host.rename("/a/sub/empty", "/b/empty", 0)));
  }
  // What moved is known where it lies now, and was not looked up there.
  const std::uint64_t lookups = m.sent(HostOp::lookup);
  CHECK(m.get(m.host.stat("/b/empty")));
  CHECK(m.sent(HostOp::lookup) == lookups);
  CHECK(m.get(m.host.rename("/a/sub", "/b/empty", 0)));
  CHECK(m.get(m.host.mkdir("/b/empty/new", 0755)));
}

TEST_CASE("a directory that the other site has moved goes where it is found, but not behind the back of a rename", "[locks]") {
  Mounted m;
  for (const char* path : {"/a", "/b", "/c", "/a/dir", "/b/other", "/c/third"}) REQUIRE(m.get(m.host.mkdir(path, 0755)));
  const auto number = [&](std::uint64_t in, const char* name) { return m.daemon.nodes[in].names.at(name); };
  const std::uint64_t a = number(1, "a"), b = number(1, "b");
  auto moved = m.daemon.nodes[a].names.extract("dir");
  m.daemon.nodes[b].names.insert(std::move(moved));
  // The kernel knows its old name still; meanwhile it is renaming something else.
  m.daemon.held = {HostOp::rename};
  std::optional<Result<>> renamed;
  m.applications.spawn(keep(m.host.rename("/c/third", "/b/third", 0), renamed));
  m.universe.run_for(Duration(1ms));
  HostRequest look;
  look.op = HostOp::lookup;
  look.inode = InodeId{b};
  look.name = "dir";
  std::optional<OwnedReply> found;
  m.machine.mount()->send(look, nullptr, [&](OwnedReply r) { found = std::move(r); });
  m.universe.run_for(Duration(1ms));
  REQUIRE(found);
  CHECK(found->error() == ELOOP);
  m.daemon.let_go();
  m.universe.run_for(Duration(1ms));
  CHECK(renamed->has_value());
  CHECK(m.get(m.host.stat("/b/dir")));
  CHECK(m.get(m.host.rename("/b", "/b/dir/b", 0)).error().posix == EINVAL);
}

TEST_CASE("when the daemon dies every call of a host ends, and works on the next mount") {
  Mounted m;
  m.daemon.held = {HostOp::lookup};
  std::optional<Result<runtime::HostAttributes>> found;
  m.applications.spawn(keep(m.host.stat("/a"), found));
  m.universe.run_for(Duration(1ms));
  m.machine.kill(m.process);
  m.universe.run_for(Duration(1ms));
  CHECK(found->error().posix == ENOTCONN);
  CHECK(m.get(m.host.stat("/a")).error().posix == ENOTCONN);
  Process& next = m.machine.start();
  SmallDaemon daemon(next.kernel());
  REQUIRE(next.kernel().mount(daemon).has_value());
  CHECK(m.get(m.host.stat("/a")).error().posix == ENOENT);
}

TEST_CASE("what a daemon that dies held locked of a file holds nobody up") {
  Mounted m;
  const FileHandle file = m.file("/a");
  m.get(m.host.write(file, 0, std::string(4096, '.')));
  m.get(m.host.store(file, 0, "mapped"));
  m.daemon.held = {HostOp::write};
  std::optional<Dropped> dropped;
  m.process.spawn(keep(m.kernel().drop_pages(InodeId{2}, {0, 0}), dropped));
  m.universe.run_for(Duration(1ms));
  std::optional<Result<std::uint64_t>> written;
  m.applications.spawn(keep(m.host.write(file, 0, "written"), written));
  m.universe.run_for(Duration(1ms));
  REQUIRE(!written);
  m.machine.kill(m.process);
  m.universe.run_for(Duration(1ms));
  REQUIRE(written);
  CHECK(written->error().posix == ENOTCONN);
}

TEST_CASE("no path leads through a file, and a directory is not opened for writing") {
  Mounted m;
  m.get(m.host.close(m.file("/a")));
  m.get(m.host.mkdir("/d", 0755));
  const std::uint64_t lookups = m.sent(HostOp::lookup);
  CHECK(m.get(m.host.stat("/a/b")).error().posix == ENOTDIR);
  CHECK(m.get(m.host.mkdir("/a/b", 0755)).error().posix == ENOTDIR);
  CHECK(m.get(m.host.list("/a")).error().posix == ENOTDIR);
  CHECK(m.get(m.host.open("/d", O_RDWR, 0)).error().posix == EISDIR);
  CHECK(m.sent(HostOp::lookup) == lookups);
}
