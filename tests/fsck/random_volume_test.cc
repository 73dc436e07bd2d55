// Volumes that lived through random operations, and were closed or killed, are sound.
#include "scene.h"

using namespace lockstep;
using namespace lockstep::fsck;

namespace {

class RandomVolume {
 public:
  explicit RandomVolume(std::uint64_t seed) : pair(seed, 70'000), prng_(seed * 31 + 7) {}

  void steps(int n) {
    for (int i = 0; i < n; ++i) step();
  }
  Pair pair;

 private:
  std::string name() { return "n" + std::to_string(prng_.below(12)); }
  InodeId directory() { return directories_[prng_.below(directories_.size())]; }
  InodeId file() { return files_.empty() ? kRootInode : files_[prng_.below(files_.size())]; }
  void step() {
    switch (prng_.below(16)) {
      case 0:
      case 1:
        if (const wire::Outcome made = pair.create(directory(), name(), S_IFDIR | 0755); made.error == 0)
          directories_.push_back(made.attributes.inode);
        break;
      case 2:
      case 3:
      case 4:
        if (const wire::Outcome made = pair.create(directory(), name()); made.error == 0)
          files_.push_back(made.attributes.inode);
        break;
      case 5: (void)pair.create(directory(), name(), S_IFLNK | 0777); break;
      case 6: (void)pair.link(directory(), name(), file()); break;
      case 7: (void)pair.unlink(directory(), name()); break;
      case 8: (void)pair.rmdir(directory(), name()); break;
      case 9:
      case 10: (void)pair.rename(directory(), name(), directory(), name(), prng_.chance(200) ? 2 : 0); break;
      case 11:
      case 12:
        (void)pair.write(file(), prng_.below(40) * 300'000, pattern(1 + prng_.below(60'000), prng_.next()));
        break;
      case 13: (void)pair.truncate(file(), prng_.below(3) * prng_.below(8'000'000'000)); break;
      case 14: (void)pair.set_xattr(file(), "user." + name(), pattern(prng_.below(100), 3)); break;
      case 15:
        if (prng_.chance(500))
          (void)pair.allocate(file(), prng_.below(100) * 100'000, 1 + prng_.below(3'000'000),
                              prng_.chance(500) ? 0 : 3);
        if (prng_.chance(300)) pair.trim(file());
        if (prng_.chance(100)) pair.reap();
        break;
    }
  }

  sim::Prng prng_;
  std::vector<InodeId> directories_{kRootInode}, files_;
};

}  // namespace

TEST_CASE("a volume after random operations is sound, however little memory there is") {
  for (std::uint64_t seed = 1; seed <= 12; ++seed) {
    INFO("seed " << seed);
    RandomVolume volume(seed);
    volume.steps(700);
    if (seed % 2 == 0) {
      volume.pair.a.close();
    } else {
      volume.pair.a.kill();
    }
    CountedNotice notice;
    for (const std::size_t memory : {std::size_t{1} << 20, std::size_t{64}, std::size_t{1000}}) {
      const Result<Outcome> outcome = examine_site(volume.pair.a, {.data = true, .memory_bytes = memory}, notice);
      if (!outcome) FAIL(outcome.error().text);
      INFO(lines_of(outcome->report));
      REQUIRE(outcome->report.total() == 0);
    }
  }
}

TEST_CASE("an area that was killed is examined as a start would find it") {
  RandomVolume volume(99);
  volume.steps(300);
  volume.pair.a.kill();
  CountedNotice notice;
  const Result<Outcome> outcome = examine_site(volume.pair.a, {}, notice);
  REQUIRE(outcome);
  REQUIRE(outcome->report.total() == 0);
  REQUIRE_FALSE(outcome->report.notes().empty());  // says that it was killed
  const auto examined = volume.pair.a.machine().key_store().keys();
  volume.pair.a.kill();
  volume.pair.a.open();
  REQUIRE(volume.pair.a.machine().key_store().keys() == examined);
  volume.pair.require_equal();
}

namespace {

/// Keys and values with bytes that nobody wrote: changed, cut, doubled, gone.
void damage_keys(sim::Prng& prng, Scene& scene) {
  const sim::KeyMap keys = scene.keys();
  for (std::uint64_t i = 0; i < 1 + prng.below(4); ++i) {
    auto at = keys.begin();
    std::advance(at, static_cast<std::ptrdiff_t>(prng.below(keys.size())));
    std::string key = at->first, value = at->second;
    if (key == volume::kSeqKey) continue;
    switch (prng.below(6)) {
      case 0: scene.site().world().keys.apply({{key, std::nullopt}}).value(); break;
      case 1: key[prng.below(key.size())] ^= static_cast<char>(1 << prng.below(8)); break;
      case 2: key.resize(prng.below(key.size()) + 1); break;
      case 3:
        if (!value.empty()) value.resize(prng.below(value.size()));
        break;
      case 4: {
        auto other = keys.begin();
        std::advance(other, static_cast<std::ptrdiff_t>(prng.below(keys.size())));
        value = other->second;
        break;
      }
      default:
        for (std::uint64_t n = 0; n < 3 && !value.empty(); ++n)
          value[prng.below(value.size())] ^= static_cast<char>(1 << prng.below(8));
    }
    if (key[0] != '\0' && value != at->second) scene.put(key, value);
    if (key[0] != '\0' && key != at->first) scene.put(key, value);
  }
}

}  // namespace

TEST_CASE("whatever is damaged, an examination ends, and what a repair says it mended stays mended") {
  for (std::uint64_t seed = 1; seed <= 300; ++seed) {
    INFO("seed " << seed);
    sim::Prng prng(seed);
    Scene scene(1);
    damage_keys(prng, scene);
    const Outcome looked = scene.examine(false, true, 500);
    Outcome repaired = scene.examine(true, false, 500);
    INFO(lines_of(looked.report) << "--\n" << lines_of(repaired.report) << "--\n" << lines_of(repaired.afterwards));
    REQUIRE(looked.sound() == (looked.report.total() == 0));
    // Damage may stand behind other damage; it does not go on for ever.
    for (int round = 0; round < 4 && repaired.repaired && repaired.afterwards.mendable() > 0; ++round)
      repaired = scene.examine(true, false, 500);
    REQUIRE((!repaired.repaired || repaired.afterwards.mendable() == 0));
  }
}
