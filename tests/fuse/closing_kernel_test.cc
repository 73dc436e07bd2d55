// The gate on the real kernel: when close() has returned nothing is kept, whatever hosts were doing; later all is fresh and
// no call has failed. Needs root and /dev/fuse.

#include "fakes.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <thread>

#include "fuse/host_side.h"
#include "mounting.h"
#include "real_world.h"
#include "uring/fuse_kernel.h"

namespace lockstep::fuse {
namespace {

constexpr std::uint64_t kPages = 600;

/// Begins every block of a file: which generation of its contents it is of.
void fill(FakeArea& area, InodeId inode, std::uint64_t generation) {
  for (std::uint64_t page = 0; page < kPages; ++page) {
    std::memcpy(area.bytes.data() + inode.value * FakeArea::kFileBytes + page * kBlockBytes, &generation, sizeof generation);
  }
}

uring::FuseOptions options_at(const std::string& directory, uring::Watchdog& watchdog) {
  std::filesystem::create_directory(directory + "/mount");
  uring::FuseOptions options;
  options.mount.mount_point = directory + "/mount";
  options.mount.volume = "closing";
  options.watchdog = &watchdog;
  return options;
}

struct RealSite {
  RealSite()
      : watchdog(std::move(*uring::Watchdog::start())), real(directory.path()), hosts(*real.loop, 32, "hosts"),
        kernel(*real.loop, options_at(directory.path(), *watchdog)),
        world{*real.loop, *real.disk, *real.keys, real.net, real.clock, real.random, kernel}, area(world), volume(world),
        changes(world, volume, area), host(world, area, volume, changes, HostOptions()) {
    a = volume.add("a", S_IFREG | 0644, kPages * kBlockBytes);
    fill(area, a, 1);
    path = directory.path() + "/mount/a";
  }
  void run(Task<void> test) { real.run(around(std::move(test))); }
  Task<void> around(Task<void> test) {
    REQUIRE(kernel.mount(host));
    // If a test hangs in the kernel this sets it free.
    kernel.serve_until(real.clock.now() + 25s);
    host.open();
    co_await std::move(test);
    co_await host.unmount();
    co_await host.stop();
    CHECK(watchdog->cuts() == 0);  // it would have set free what hung
  }
  /// Closes, within bounded time.
  Task<void> close() {
    const Instant began = real.clock.now();
    co_await host.close();
    longest = std::max(longest, real.clock.now() - began);
    kernel.serve_until(real.clock.now() + 25s);
  }
  template <class F>
  auto on_host(F work) {
    return hosts.run(std::move(work));
  }
  Task<int> open_file(int flags) {
    auto open = [this, flags] { return ::open(path.c_str(), flags | O_CLOEXEC, 0644); };
    const int file = co_await on_host(open);
    REQUIRE(file >= 0);
    co_return file;
  }
  /// Not on the loop, which answers the FLUSH that every close sends.
  Task<void> close_file(int file) {
    auto close = [file] { return ::close(file); };
    const int closed = co_await on_host(close);
    CHECK(closed == 0);
  }
  /// The generation that page `page` is of; 0: the call failed.
  static std::uint64_t read_page(int file, std::uint64_t page) {
    std::uint64_t generation = 0;
    const ssize_t n = ::pread(file, &generation, sizeof generation, static_cast<off_t>(page * kBlockBytes));
    return n == sizeof generation ? generation : 0;
  }

  uring::TemporaryDirectory directory;
  std::unique_ptr<uring::Watchdog> watchdog;
  uring::RealWorld real;
  uring::Pool hosts;
  uring::FuseKernel kernel;
  World world;
  FakeArea area;
  FakeVolume volume;
  FakeChanges changes;
  HostSide host;
  InodeId a;
  std::string path;
  Duration longest{};
};

/// Maps a file; says which of its pages are in memory.
struct Mapping {
  explicit Mapping(int file) : at(::mmap(nullptr, kPages * kBlockBytes, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0)) {
    REQUIRE(at != MAP_FAILED);
  }
  ~Mapping() { ::munmap(at, kPages * kBlockBytes); }
  [[nodiscard]] std::size_t resident() const {
    std::vector<unsigned char> in(kPages);
    REQUIRE(::mincore(at, kPages * kBlockBytes, in.data()) == 0);
    return static_cast<std::size_t>(std::count_if(in.begin(), in.end(), [](unsigned char c) { return (c & 1) != 0; }));
  }
  [[nodiscard]] std::uint64_t page(std::uint64_t n) const {
    return *reinterpret_cast<volatile std::uint64_t*>(static_cast<char*>(at) + n * kBlockBytes);
  }
  void* at;
};

Task<void> read_some_time(RealSite& s, int file, std::uint64_t page, std::uint64_t& into, bool& done) {
  auto work = [file, page] { return RealSite::read_page(file, page); };
  into = co_await s.on_host(work);
  done = true;
}

Task<void> all_is_fresh(RealSite& s) {
  const int file = co_await s.open_file(O_RDWR);
  const Mapping mapping(file);
  auto look = [&] {
    struct stat st {};
    std::uint64_t good = 0;
    for (std::uint64_t p = 0; p < kPages; ++p) good += RealSite::read_page(file, p) == 1 && mapping.page(p) == 1;
    return good == kPages && ::stat(s.path.c_str(), &st) == 0 && std::system(("ls -l " + s.directory.path() + "/mount >/dev/null").c_str()) == 0;
  };
  const bool looked = co_await s.on_host(look);
  REQUIRE(looked);
  REQUIRE(mapping.resident() == kPages);

  co_await s.close();
  CHECK(mapping.resident() == 0);
  fill(s.area, s.a, 2);
  s.volume.objects[s.a].size += 5;
  s.volume.add("b", S_IFREG | 0644, 7);
  Scope scope(*s.real.loop);
  std::uint64_t waited = 0;
  bool done = false;
  REQUIRE(scope.spawn(read_some_time(s, file, 3, waited, done)));
  co_await delay(s.real.clock, 50ms);
  CHECK(!done);
  s.host.open();
  co_await scope.join();
  CHECK(waited == 2);
  auto look_again = [&] {
    struct stat by_name {}, by_file {}, other {};
    std::uint64_t good = 0;
    for (std::uint64_t p = 0; p < kPages; ++p) good += RealSite::read_page(file, p) == 2 && mapping.page(p) == 2;
    return good == kPages && ::stat(s.path.c_str(), &by_name) == 0 && by_name.st_size == kPages * kBlockBytes + 5 &&
           ::fstat(file, &by_file) == 0 && by_file.st_size == by_name.st_size &&
           ::stat((s.directory.path() + "/mount/b").c_str(), &other) == 0;
  };
  const bool fresh = co_await s.on_host(look_again);
  CHECK(fresh);
  co_await s.close_file(file);
}

Task<void> blocked_in_read(RealSite& s) {
  const int file = co_await s.open_file(O_RDONLY);
  s.area.in_memory = false;
  s.area.go.reset();
  Scope scope(*s.real.loop);
  std::uint64_t first = 0, second = 0;
  bool done = false;
  REQUIRE(scope.spawn(read_some_time(s, file, 0, first, done)));
  while (s.area.reads == 0) co_await delay(s.real.clock, 1ms);
  co_await s.close();
  REQUIRE(scope.spawn(read_some_time(s, file, 500, second, done)));
  co_await delay(s.real.clock, 20ms);
  fill(s.area, s.a, 2);
  s.host.open();
  s.area.go.set();
  co_await scope.join();
  CHECK(first == 2);
  CHECK(second == 2);
  co_await s.close_file(file);
}

Task<void> mapped_pages_come_back(RealSite& s) {
  const int file = co_await s.open_file(O_RDWR);
  const Mapping mapping(file);
  auto store = [&mapping] {
    for (const std::uint64_t page : {0, 7, 300}) std::memcpy(static_cast<char*>(mapping.at) + page * kBlockBytes + 100, "mapped", 6);
    return true;
  };
  co_await s.on_host(store);
  s.changes.go.reset();  // what is handed on waits for the other site
  co_await s.close();
  CHECK(mapping.resident() == 0);
  CHECK(s.host.counters().answered_early > 0);
  s.changes.go.set();
  s.host.open();
  auto look = [&mapping] {
    int good = 0;
    for (const std::uint64_t page : {0, 7, 300}) good += std::memcmp(static_cast<char*>(mapping.at) + page * kBlockBytes + 100, "mapped", 6) == 0;
    return good;
  };
  const int good = co_await s.on_host(look);
  CHECK(good == 3);
  co_await s.close_file(file);
}

Task<void> write_some_time(RealSite& s, int file, std::string text, off_t at, ssize_t& into) {
  auto work = [file, &text, at] { return ::pwrite(file, text.data(), text.size(), at); };
  into = co_await s.on_host(work);
}

Task<void> parts_of_pages(RealSite& s) {
  const int file = co_await s.open_file(O_RDWR);
  s.changes.go.reset();
  Scope scope(*s.real.loop);
  ssize_t first = 0, second = 0;
  REQUIRE(scope.spawn(write_some_time(s, file, std::string(3000, 'w'), 5000, first)));
  while (s.changes.asked.empty()) co_await delay(s.real.clock, 1ms);
  co_await s.close();
  s.changes.go.set();
  while (first == 0) co_await delay(s.real.clock, 1ms);  // acknowledged while closed
  CHECK(first == 3000);
  REQUIRE(scope.spawn(write_some_time(s, file, "later", 100'000, second)));
  co_await delay(s.real.clock, 50ms);
  CHECK(second == 0);
  s.host.open();
  co_await scope.join();
  CHECK(second == 5);
  auto look = [file] {
    char bytes[3002];
    return ::pread(file, bytes, sizeof bytes, 4999) == sizeof bytes && bytes[0] != 'w' && bytes[1] == 'w' && bytes[3000] == 'w' &&
           bytes[3001] != 'w';
  };
  const bool there = co_await s.on_host(look);
  CHECK(there);
  co_await s.close_file(file);
}

/// Reads pages here and there until told to stop. What it sees must be of the generation that was there when a call began.
struct Reader {
  std::atomic<std::uint64_t>& generation;
  std::atomic<bool>& stop;
  std::atomic<std::uint64_t>& wrong;
  int file;
  const Mapping* mapping;
  unsigned seed;

  std::uint64_t operator()() {
    std::uint64_t reads = 0;
    for (; !stop; ++reads) {
      const std::uint64_t page = static_cast<std::uint64_t>(::rand_r(&seed)) % kPages;
      const std::uint64_t before = generation;
      const std::uint64_t seen = mapping != nullptr ? mapping->page(page) : RealSite::read_page(file, page);
      if (seen < before || seen > generation) ++wrong;
      if (seed % 64 == 0) std::this_thread::yield();
    }
    return reads;
  }
};

Task<void> read_on(RealSite& s, Reader reader, std::uint64_t& reads) {
  reads += co_await s.on_host(reader);
}

/// A reader of the mapping, as a process of its own: a page fault may keep its address space locked until its READ is answered, and the
/// loop that answers it needs that lock whenever it takes memory.
Task<void> fault_on(RealSite& s, Reader reader, std::uint64_t& readers) {
  auto work = [reader]() mutable -> std::uint64_t {
    const pid_t child = ::fork();
    if (child == 0) ::_exit(reader() > 0 ? 0 : 1);
    int status = -1;
    return child > 0 && ::waitpid(child, &status, 0) == child && status == 0 ? 1 : 0;
  };
  readers += co_await s.on_host(work);
}

/// What readers share with the test, whatever process they are in.
struct Progress {
  std::atomic<std::uint64_t> generation = 1, wrong = 0;
  std::atomic<bool> stop = false;
};
static_assert(std::atomic<std::uint64_t>::is_always_lock_free && std::atomic<bool>::is_always_lock_free);

Task<void> closed_again_and_again(RealSite& s) {
  const int file = co_await s.open_file(O_RDWR);
  const Mapping mapping(file);
  void* const memory = ::mmap(nullptr, sizeof(Progress), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  REQUIRE(memory != MAP_FAILED);
  auto& progress = *new (memory) Progress;
  std::atomic<std::uint64_t>& generation = progress.generation;
  std::uint64_t reads = 0, mapped_readers = 0;
  Scope scope(*s.real.loop);
  for (unsigned i = 0; i < 24; ++i) {
    Reader reader{generation, progress.stop, progress.wrong, file, i % 4 == 0 ? &mapping : nullptr, i + 1};
    REQUIRE(scope.spawn(i % 4 == 0 ? fault_on(s, reader, mapped_readers) : read_on(s, reader, reads)));
  }
  for (int turn = 0; turn < 40; ++turn) {
    s.area.in_memory = turn % 2 == 0;
    co_await delay(s.real.clock, Duration(500us) * (1 + turn % 8));
    co_await s.close();
    CHECK(mapping.resident() == 0);
    fill(s.area, s.a, generation + 1);
    ++generation;
    s.host.open();
  }
  progress.stop = true;
  co_await scope.join();
  CHECK(progress.wrong == 0);
  CHECK(reads > 0);
  CHECK(mapped_readers == 6);
  ::munmap(memory, sizeof(Progress));
  CHECK(s.longest < 5s);
  co_await s.close_file(file);
}

void run(Task<void> (*test)(RealSite&)) {
  require_mounting();
  RealSite s;
  s.run(test(s));
}

}  // namespace

TEST_CASE("pages, attributes, names and listings that the real kernel kept are fresh after a closing") { run(all_is_fresh); }

TEST_CASE("whoever is blocked in read() while the gate is closed sees what is new, and no error") { run(blocked_in_read); }

TEST_CASE("changed pages of a mapping come back when the gate is closed, though the other site is away") {
  run(mapped_pages_come_back);
}

TEST_CASE("writes of parts of pages do not hold the real kernel's drop") { run(parts_of_pages); }

TEST_CASE("many readers, closed again and again: bounded time, nothing old, no error") { run(closed_again_and_again); }

}  // namespace lockstep::fuse
