// The transport to the kernel: a tiny tree, served from memory, mounted for real. Needs root and /dev/fuse.

#include "catch.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <climits>
#include <cstdlib>
#include <string>
#include <thread>

#include "tiny_tree.h"
#include "uring/loop.h"
#include "uring/pool.h"
#include "uring/thread_end.h"

namespace lockstep::uring {
namespace {

struct Fixture {
  std::string directory;
  std::unique_ptr<Loop> loop;
  std::unique_ptr<Pool> pool;
  std::unique_ptr<FuseKernel> kernel;
  TinyTree tree;

  Fixture() {
    require_mounting();
    char name[] = "/tmp/lockstep-fuse-XXXXXX";
    REQUIRE(::mkdtemp(name) != nullptr);
    directory = name;
    loop = std::move(*Loop::make());
    pool = std::make_unique<Pool>(*loop, 4, "hosts");
    FuseOptions options;
    options.mount.mount_point = directory;
    options.mount.volume = "tiny,volume";
    kernel = std::make_unique<FuseKernel>(*loop, options);
    tree.kernel = kernel.get();
  }
  ~Fixture() { ::rmdir(directory.c_str()); }

  /// Runs a shell script in the mount; its exit status.
  Task<int> host(std::string script) {
    const std::string line = "cd " + directory + " && " + script;
    auto work = [&line] { return std::system(line.c_str()); };
    const int status = co_await pool->run(work);
    co_return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }
};

Task<void> serve_and_read(Fixture& f) {
  const auto mounted = f.kernel->mount(f.tree);
  REQUIRE(mounted);
  REQUIRE(mounted_at(f.directory)->type == "fuse.lockstep");
  REQUIRE(mounted_at(f.directory)->source == "tiny,volume");
  const int listed = co_await f.host("test \"$(ls -1 | tr '\\n' ' ')\" = 'hello link '");
  CHECK(listed == 0);
  const int read = co_await f.host("test $(cat link | tr -d '\\n' | wc -c) = 300000 && test $(stat -c %Y hello) = 1600000000");
  CHECK(read == 0);
  const int absent = co_await f.host("! cat nothing 2>/dev/null");
  CHECK(absent == 0);
  const int wrote = co_await f.host("dd if=/dev/zero of=hello bs=1M count=2 conv=notrunc 2>/dev/null");
  CHECK(wrote == 0);
  CHECK(f.tree.written.size() == 2u << 20);
  CHECK(f.tree.seen[HostOp::write] == 2);
  CHECK(f.tree.seen[HostOp::getxattr] <= 1);  // security.capability, asked once and not before each write
  CHECK(f.tree.aligned);
  const int born = co_await f.host("test $(stat -c %W hello) = 1500000000");
  CHECK(born == 0);
  const int set = co_await f.host("setfattr -n user.name -v 'the value' hello");
  CHECK(set == 0);
  CHECK(f.tree.xattr == "user.name=the value");
  (void)co_await f.host("umask 027; mkdir directory 2>/dev/null");
  CHECK(f.tree.umask == 027);
  co_await f.kernel->unmount();
  CHECK(f.tree.gone);
  CHECK(!mounted_at(f.directory));
}

Task<void> notify(Fixture& f) {
  REQUIRE(f.kernel->mount(f.tree));
  const int looked = co_await f.host("stat hello link >/dev/null");
  CHECK(looked == 0);
  const int lookups = f.tree.seen[HostOp::lookup];
  CHECK(f.kernel->drop_attributes(kFile) == Dropped::done);
  CHECK(f.kernel->drop_attributes(InodeId{99}) == Dropped::unknown);
  CHECK(f.kernel->drop_listing(kRootInode) == Dropped::done);
  const Dropped pages = co_await f.kernel->drop_pages(kFile, ByteRange{0, 0});
  CHECK(pages == Dropped::done);
  const Dropped name = co_await f.kernel->drop_name(kRootInode, "link", 1s);
  CHECK(name == Dropped::done);
  const Dropped no_name = co_await f.kernel->drop_name(kRootInode, "nothing", 1s);
  CHECK(no_name == Dropped::unknown);
  const int again = co_await f.host("stat hello >/dev/null && stat hello >/dev/null");
  CHECK(again == 0);
  CHECK(f.tree.seen[HostOp::lookup] == lookups);
  f.kernel->drop_all_names();
  const int after = co_await f.host("stat hello >/dev/null");
  CHECK(after == 0);
  CHECK(f.tree.seen[HostOp::lookup] == lookups + 1);
  f.kernel->drop_all_names();
  const Dropped found = co_await f.kernel->look_up(kRootInode, "hello", 1s);
  CHECK(found == Dropped::done);
  CHECK(f.tree.seen[HostOp::lookup] == lookups + 2);
  const Dropped not_found = co_await f.kernel->look_up(kRootInode, "nothing", 1s);
  CHECK(not_found == Dropped::unknown);
  co_await f.kernel->unmount();
}

/// What grew elsewhere is read to its new end, also when drops overtake each answer that tells the size.
Task<void> grown_elsewhere(Fixture& f) {
  REQUIRE(f.kernel->mount(f.tree));
  const int before = co_await f.host("test $(wc -c < hello) = 300000 && cat hello > /dev/null");
  CHECK(before == 0);
  f.tree.content += "tail";
  f.tree.overtaken = INT_MAX;
  const ByteRange end{300'004 / 4096 * 4096, 300'004 % 4096};
  const Dropped pages = co_await f.kernel->drop_pages(kFile, end);
  CHECK(pages == Dropped::done);
  const Dropped grown = co_await f.kernel->grow(kFile, end);
  CHECK(grown == Dropped::done);
  const int after = co_await f.host("test $(cat hello | tail -c 5) = xtail && test $(cat hello | wc -c) = 300004");
  CHECK(after == 0);
  const Dropped shorter = co_await f.kernel->grow(kFile, ByteRange{4096, 100});
  CHECK(shorter == Dropped::done);
  const int still = co_await f.host("test $(cat hello | wc -c) = 300004 && test \"$(cat hello)\" = \"$(head -c 300000 /dev/zero | tr '\\0' x)tail\"");
  CHECK(still == 0);
  const Dropped unknown = co_await f.kernel->grow(InodeId{99}, ByteRange{0, 1});
  CHECK(unknown == Dropped::unknown);
  co_await f.kernel->unmount();
}

/// What was cut off elsewhere is read to its new end, also when drops overtake each answer that tells the size.
Task<void> cut_off_elsewhere(Fixture& f) {
  REQUIRE(f.kernel->mount(f.tree));
  const int before = co_await f.host("cat hello > /dev/null");
  CHECK(before == 0);
  f.tree.content.resize(100);
  f.tree.overtaken = 3;
  const int asked = f.tree.seen[HostOp::getattr];
  const Dropped shrunk = co_await f.kernel->shrink(kFile, 10s);
  CHECK(shrunk == Dropped::done);
  CHECK(f.tree.seen[HostOp::getattr] == asked + 4);
  f.tree.overtaken = INT_MAX;
  f.kernel->drop_attributes(kFile);
  const int after = co_await f.host("test $(cat hello | wc -c) = 100");
  CHECK(after == 0);
  const Dropped always = co_await f.kernel->shrink(kFile, 10s);
  CHECK(always == Dropped::done);  // it goes by 100 already
  const Dropped unknown = co_await f.kernel->shrink(InodeId{99}, 10s);
  CHECK(unknown == Dropped::unknown);

  f.tree.content.resize(50);
  const Dropped overtaken = co_await f.kernel->shrink(kFile, 10s);
  CHECK(overtaken == Dropped::late);
  f.tree.overtaken = 0;
  f.tree.hold_attributes = true;
  const Dropped held = co_await f.kernel->shrink(kFile, 5ms);
  CHECK(held == Dropped::late);
  co_await f.kernel->unmount();
}

Task<void> hold_a_lookup(Fixture& f, int& status) { status = co_await f.host("stat slow >/dev/null"); }

/// A name's drop waits for the lookup that holds the directory; with patience it comes back, and everything goes on.
Task<void> late_name(Fixture& f) {
  REQUIRE(f.kernel->mount(f.tree));
  Scope scope(*f.loop);
  int status = -1;
  REQUIRE(scope.spawn(hold_a_lookup(f, status)));
  while (f.tree.held.empty()) {
    auto brief = [] { return ::usleep(1000); };
    co_await f.pool->run(brief);
  }
  const Dropped late = co_await f.kernel->drop_name(kRootInode, "hello", 5ms);
  CHECK(late == Dropped::late);
  const Dropped pages = co_await f.kernel->drop_pages(kRootInode, ByteRange{0, 0});
  CHECK(pages == Dropped::done);
  f.kernel->drop_all_names();
  f.kernel->reply(f.tree.held[0], EntryReply{TinyTree::attributes(kSlow, 1), 1h, 1h});
  co_await scope.join();
  CHECK(status == 0);
  CHECK(f.kernel->counters().names_late == 1);
  co_await f.kernel->unmount();
}


/// A mount that hosts use is cut off: their calls end, and so does unmount().
Task<void> unmount_in_use(Fixture& f) {
  REQUIRE(f.kernel->mount(f.tree));
  auto open = [&] { return ::open((f.directory + "/hello").c_str(), O_RDONLY | O_CLOEXEC); };
  const int held = co_await f.pool->run(open);
  CHECK(held >= 0);
  co_await f.kernel->unmount();
  CHECK(f.tree.gone);
  char byte = 0;
  CHECK(::pread(held, &byte, 1, 0) < 0);
  ::close(held);
  CHECK(!mounted_at(f.directory));
}

/// A program that makes files by the path of the mount point never gets at the directory below it.
Task<void> mount_in_place(Fixture& f) {
  REQUIRE(f.kernel->mount(f.tree));
  std::atomic<bool> done = false;
  std::atomic<int> tries = 0;
  const std::string plain = f.directory + "/new";
  std::thread program([&] {
    while (!done) {
      const int fd = ::open(plain.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
      if (fd >= 0) ::close(fd);
      ++tries;
    }
  });
  const auto moved_on = [&] {
    const int before = tries;
    while (tries < before + 20) std::this_thread::yield();
    return true;
  };
  for (int n = 0; n < 20; ++n) {
    f.tree.gone = false;
    const Result<> mounted = co_await f.kernel->mount_anew(f.tree);
    CHECK(mounted);
    CHECK(f.tree.gone);
    CHECK(mounted_at(f.directory)->type == "fuse.lockstep");
    (void)co_await f.pool->run(moved_on);
  }
  const int read = co_await f.host("test $(cat link | tr -d '\\n' | wc -c) = 300000");
  CHECK(read == 0);
  done = true;
  const auto join = [&] {
    program.join();
    return true;
  };
  (void)co_await f.pool->run(join);
  co_await f.kernel->unmount();
  CHECK(!mounted_at(f.directory));
  CHECK(::access(plain.c_str(), F_OK) != 0);
}

Task<void> second_mount(Fixture& f) {
  REQUIRE(f.kernel->mount(f.tree));
  FuseOptions options;
  options.mount.mount_point = f.directory;
  // The check looks at the mount point itself: not on the thread that serves it.
  auto prepare = [&options] { return prepare_mount_point(options.mount); };
  const auto refused = co_await f.pool->run(prepare);
  REQUIRE(!refused);
  CHECK(refused.error().code == Errc::refused);
  CHECK(refused.error().text.find("tiny,volume (fuse.lockstep) is mounted there") != std::string::npos);
  co_await f.kernel->unmount();
}

}  // namespace

TEST_CASE("a mounted tree is listed, read and written") {
  Fixture f;
  f.loop->run(serve_and_read(f));
}

TEST_CASE("notifications drop what the kernel keeps") {
  Fixture f;
  f.loop->run(notify(f));
}

TEST_CASE("a read goes to the end that grow() told, whatever overtakes its attributes") {
  Fixture f;
  f.loop->run(grown_elsewhere(f));
}

TEST_CASE("a read goes no further than shrink() made sure of, whatever overtakes its attributes") {
  Fixture f;
  f.loop->run(cut_off_elsewhere(f));
}

TEST_CASE("a name that is held by a lookup is late, and blocks nothing else") {
  Fixture f;
  f.loop->run(late_name(f));
}

TEST_CASE("a mount in use is cut off by unmount") {
  Fixture f;
  f.loop->run(unmount_in_use(f));
}

TEST_CASE("a mount made anew takes the place of the old one") {
  Fixture f;
  f.loop->run(mount_in_place(f));
}

TEST_CASE("what is mounted already is named") {
  Fixture f;
  f.loop->run(second_mount(f));
}

TEST_CASE("a mount point must be a directory apart from the area") {
  Fixture f;
  MountOptions options;
  options.mount_point = f.directory + "/none";
  CHECK(prepare_mount_point(options).error().text.find("make the directory first") != std::string::npos);
  options.mount_point = "/etc/passwd";
  CHECK(prepare_mount_point(options).error().text.find("not a directory") != std::string::npos);
  options.mount_point = f.directory;
  options.area = "/tmp";
  CHECK(prepare_mount_point(options).error().text.find("lies in the area /tmp") != std::string::npos);
  options.area = f.directory;
  CHECK(prepare_mount_point(options).error().code == Errc::refused);
  options.area = f.directory + "/..";
  options.mount_point = f.directory;
  CHECK(!prepare_mount_point(options));
}

TEST_CASE("what /proc says of signals tells whether a thread is about to end") {
  const auto status = [](const char* thread, const char* process, const char* blocked, const char* ignored, const char* handled) {
    return fmt::format("Name:\tx\nSigQ:\t0/96364\nSigPnd:\t{}\nShdPnd:\t{}\nSigBlk:\t{}\nSigIgn:\t{}\nSigCgt:\t{}\nCapInh:\t0\n", thread, process, blocked,
                       ignored, handled);
  };
  const char* none = "0000000000000000";
  CHECK(!says_that_it_ends(status(none, none, none, none, none)));
  CHECK(says_that_it_ends(status("0000000000000100", none, none, none, none)));   // SIGKILL
  CHECK(says_that_it_ends(status(none, "0000000000004000", none, none, none)));   // SIGTERM
  CHECK(!says_that_it_ends(status(none, "0000000000004000", none, none, "0000000000004000")));
  CHECK(!says_that_it_ends(status(none, "0000000000004000", none, "0000000000004000", none)));
  CHECK(!says_that_it_ends(status(none, "0000000000004000", "0000000000004000", none, none)));
  CHECK(!says_that_it_ends(status(none, "0000000008410000", none, none, none)));  // SIGCHLD, SIGURG, SIGWINCH
  CHECK(says_that_it_ends(status(none, "0000000000000004", none, none, none)));   // SIGQUIT
  CHECK(!says_that_it_ends(""));
  CHECK(!says_that_it_ends("\nSigPnd:\tnonsense\nShdPnd:\t"));
  CHECK(!thread_ends(static_cast<std::uint32_t>(::getpid())));
}

TEST_CASE("memory of requests is bounded, and its return is told") {
  int told = 0;
  RequestMemory memory(20'000, 400'000, [&told] { ++told; });
  REQUIRE(memory.next() != nullptr);
  RequestMemory::Request first = memory.take(80 + 4096);
  CHECK(reinterpret_cast<std::uintptr_t>(first.bytes + 80) % 4096 == 0);
  RequestMemory::Request second = memory.take(100);
  CHECK(memory.bytes_leased() == 8192 + 512);
  RequestMemory::Request third = memory.take(80 + 40'000);
  CHECK(memory.next() == nullptr);
  CHECK(memory.next(true) != nullptr);
  CHECK(told == 0);
  third.lease.reset();
  CHECK(told == 1);
  CHECK(memory.next() != nullptr);
  RequestMemory::Request large = memory.take(RequestMemory::room());
  CHECK(reinterpret_cast<std::uintptr_t>(large.bytes + 80) % 4096 == 0);
}

}  // namespace lockstep::uring
