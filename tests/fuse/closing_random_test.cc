// The gate is closed and opened again and again while applications work and the volume changes behind the mount.

#include "hosted_site.h"

#include "sim/prng.h"

namespace lockstep::fuse {

namespace {

constexpr std::uint64_t kFiles = 3, kBlocks = 6;
constexpr Duration kTurn = 3ms;

/// What a place held since when, so that a read can be judged.
class Past {
 public:
  void now_holds(Instant at, std::uint64_t value) { held_.emplace_back(at, value); }
  /// `value` stood there at some time from `from` to `to`.
  [[nodiscard]] bool held(std::uint64_t value, Instant from, Instant to) const {
    for (std::size_t i = 0; i < held_.size(); ++i) {
      const bool over = i + 1 < held_.size() && held_[i + 1].first < from;
      if (held_[i].second == value && !over && held_[i].first <= to) return true;
    }
    return false;
  }

 private:
  std::vector<std::pair<Instant, std::uint64_t>> held_;
};

std::string block_of(std::uint64_t value) { return fmt::format("{:<{}}", value, kBlockBytes); }

struct RandomSite : HostedSite {
  explicit RandomSite(std::uint64_t seed) : HostedSite(seed), prng(seed) {
    for (std::uint64_t f = 0; f < kFiles; ++f) {
      files.push_back(volume.add(fmt::format("file{}", f), S_IFREG | 0644, kBlocks * kBlockBytes));
      for (std::uint64_t b = 0; b < kBlocks; ++b) change(f, b);
      set_mode(f);
    }
  }
  /// Another site's: a new value, behind the mount.
  void change(std::uint64_t file, std::uint64_t block) {
    const std::uint64_t value = ++last;
    put(files[file], block * kBlockBytes, block_of(value));
    data[{file, block}].now_holds(universe.now(), value);
    changes.publish(files[file]);
  }
  void set_mode(std::uint64_t file) {
    volume.objects[files[file]].mtime = WallTime{static_cast<std::int64_t>(++last)};
    times[file].now_holds(universe.now(), last);
  }
  /// What is read at `to` may be as old as this.
  [[nodiscard]] Instant oldest(Instant began) const { return std::max(began, closed_at); }

  sim::Prng prng;
  std::vector<InodeId> files;
  std::map<std::pair<std::uint64_t, std::uint64_t>, Past> data;
  std::map<std::uint64_t, Past> times;
  std::uint64_t last = 0, reads = 0;
  Instant closed_at;  ///< when close() returned last
  bool quiet = false;
  std::string wrong;
};

Task<void> application(RandomSite& s, std::uint64_t own) {
  sim::Host host(s.applications);
  while (!s.quiet) {
    const std::uint64_t f = s.prng.below(kFiles);
    const Instant began = s.universe.now();
    const std::uint64_t what = s.prng.below(10);
    const auto fail = [&](const std::string& call, const Error& e) { s.wrong = fmt::format("{}: errno {}", call, e.posix); };
    if (what == 0) {
      const auto listed = co_await host.list("/");
      if (!listed) fail("list", listed.error());
      continue;
    }
    if (what == 1) {
      const auto found = co_await host.stat(fmt::format("/file{}", f));
      if (!found) fail("stat", found.error());
      if (found && !s.times[f].held(static_cast<std::uint64_t>(found->mtime.value), s.oldest(began), s.universe.now()))
        s.wrong = fmt::format("file{}: time {} is old", f, found->mtime.value);
      continue;
    }
    if (what == 2) {
      const std::string name = fmt::format("/made{}.{}", own, s.prng.below(2));
      const auto made = co_await host.open(name, O_CREAT | O_RDWR, 0644);
      if (!made) fail("create", made.error());
      if (made) co_await host.write(*made, s.prng.below(5000), std::string(s.prng.below(9000) + 1, 'x'));
      if (made) co_await host.store(*made, 0, "m");
      if (made) co_await host.close(*made);
      continue;
    }
    const std::uint32_t flags = O_RDWR | (what == 3 ? O_DIRECT : 0);
    const auto file = co_await host.open(fmt::format("/file{}", f), flags, 0);
    if (!file) {
      fail("open", file.error());
      continue;
    }
    for (std::uint64_t i = s.prng.below(4) + 1; i > 0; --i) {
      const std::uint64_t b = s.prng.below(kBlocks);
      const Instant read_began = s.universe.now();
      const auto bytes = co_await host.read(*file, b * kBlockBytes, kBlockBytes);
      ++s.reads;
      if (!bytes) fail("read", bytes.error());
      const std::uint64_t value = bytes ? std::strtoull(bytes->c_str(), nullptr, 10) : 0;
      if (bytes && !s.data[{f, b}].held(value, s.oldest(read_began), s.universe.now()))
        s.wrong = fmt::format("file{} block {}: {} is old, read from {} to {}, closed at {}", f, b, value, read_began.ns,
                              s.universe.now().ns, s.closed_at.ns);
      if (s.prng.chance(300)) co_await s.applications.delay(Duration(static_cast<std::int64_t>(s.prng.below(500'000))));
    }
    co_await host.close(*file);
  }
}

/// What the closed kernel keeps may only be what this site's own pending writes put there: files that nobody changes.
std::string kept_of_files(RandomSite& s) {
  const auto mount = s.kernel().mounted();
  for (const InodeId inode : s.files) {
    const auto* known = mount->find(inode);
    if (known != nullptr && !known->pages.empty()) return fmt::format("pages of inode {}", inode.value);
    if (mount->cached_attributes(inode) != nullptr) return fmt::format("attributes of inode {}", inode.value);
  }
  for (const auto& [key, inode] : s.volume.names) {
    if (mount->cached_name(key.first, key.second)) return "name " + key.second;
  }
  return {};
}

void close_and_open_often(std::uint64_t seed, int times) {
  INFO("seed " << seed);
  RandomSite s(seed);
  for (std::uint64_t i = 0; i < 5; ++i) s.applications.spawn(application(s, i));
  for (int turn = 0; turn < times && s.wrong.empty(); ++turn) {
    INFO("turn " << turn);
    s.settle(Duration(static_cast<std::int64_t>(s.prng.below(kTurn.count()))));
    s.area.in_memory = s.prng.chance(500);
    if (s.prng.chance(300)) s.volume.not_loaded = {s.files[s.prng.below(kFiles)]};
    const bool changes_hang = s.prng.chance(300);
    if (changes_hang) {
      s.changes.go.reset();
      s.settle(Duration(static_cast<std::int64_t>(s.prng.below(kTurn.count()))));
    }
    bool done = false;
    s.close(done);
    REQUIRE(s.universe.run_until([&] { return done; }, 1s));
    s.closed_at = s.universe.now();
    CHECK(kept_of_files(s).empty());
    if (s.prng.chance(500)) s.changes.go.set();
    for (std::uint64_t i = s.prng.below(6); i > 0; --i) s.change(s.prng.below(kFiles), s.prng.below(kBlocks));
    if (s.prng.chance(500)) s.set_mode(s.prng.below(kFiles));
    s.settle(Duration(static_cast<std::int64_t>(s.prng.below(kTurn.count()))));
    CHECK(kept_of_files(s).empty());
    s.changes.go.set();
    s.host.open();
  }
  s.quiet = true;
  REQUIRE(s.universe.run_until([&] { return s.applications.idle(); }, 10s));
  CHECK(s.wrong.empty());
  INFO(s.wrong);
  CHECK(s.reads > 0);
}

}  // namespace

TEST_CASE("closed and opened a thousand times, every call has its answer and nothing is old") {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) close_and_open_often(seed, 50);
}

}  // namespace lockstep::fuse
