// Overlapping writes of both sites end in one order at both.
#include <cstring>

#include "scene.h"

using namespace lockstep;
using namespace lockstep::write_path;

namespace {

struct Writer {
  std::size_t site = 0;
  std::uint64_t first = 0, count = 0, value = 0;
  Answer answer;
  [[nodiscard]] bool covers(std::uint64_t block) const { return block >= first && block < first + count; }
};

/// The value that a whole block says.
std::uint64_t value_of(const std::string& content, std::uint64_t block) {
  std::uint64_t value = 0;
  std::memcpy(&value, content.data() + block * kBlockBytes, sizeof value);
  REQUIRE(content.substr(block * kBlockBytes, kBlockBytes) == text_of(value, kBlockBytes));
  return value;
}

}  // namespace

TEST_CASE("overlapping writes from both sites end in one order at both", "[overlap]") {
  const std::uint64_t seed = GENERATE(range(1, 13));
  INFO("seed " << seed);
  Scene scene(seed);
  sim::Prng prng(seed * 31);
  std::uint64_t value = 1000;
  std::string before = *scene.content(kEast, "/data");
  for (int round = 0; round < 12; ++round) {
    // One writer a site: of two that overlap, one is the later everywhere, so it wins each block that both wrote.
    std::vector<Writer> writers(2);
    for (std::size_t site : {kEast, kWest}) {
      Writer& w = writers[site];
      w.site = site;
      w.first = prng.below(kDataBlocks - 1);
      w.count = 1 + prng.below(kDataBlocks - w.first);
      w.value = ++value;
    }
    for (Writer& w : writers) scene.start_write(w.site, w.first, w.count, w.value, w.answer);
    for (Writer& w : writers) REQUIRE(scene.run_until_answered(w.answer));
    std::string content[2];
    for (std::size_t site : {kEast, kWest}) content[site] = *scene.content(site, "/data");
    REQUIRE(content[kEast] == content[kWest]);
    std::optional<std::uint64_t> winner;
    for (std::uint64_t block = 0; block < kDataBlocks; ++block) {
      INFO("round " << round << ", block " << block);
      const bool east = writers[kEast].covers(block), west = writers[kWest].covers(block);
      const std::uint64_t found = value_of(content[kEast], block);
      if (east && west) {
        REQUIRE((found == writers[kEast].value || found == writers[kWest].value));
        if (winner) REQUIRE(found == *winner);
        winner = found;
      } else {
        REQUIRE(found == (east ? writers[kEast].value : west ? writers[kWest].value : value_of(before, block)));
      }
    }
    before = content[kEast];
  }
  scene.settle();
  REQUIRE(simulator::difference(scene.cluster) == std::nullopt);
}

TEST_CASE("many writers at each site: every block is one writer's, the same at both", "[overlap]") {
  const std::uint64_t seed = GENERATE(range(1, 9));
  INFO("seed " << seed);
  Scene scene(seed + 100);
  sim::Prng prng(seed * 37);
  std::vector<Writer> writers(60);
  for (std::size_t i = 0; i < writers.size(); ++i) {
    Writer& w = writers[i];
    w.site = i % 2;
    w.first = prng.below(kDataBlocks);
    w.count = 1 + prng.below(std::min<std::uint64_t>(kDataBlocks - w.first, 6));
    w.value = 5000 + i;
    scene.start_write(w.site, w.first, w.count, w.value, w.answer);
    if (prng.chance(300)) scene.universe().run_for(std::chrono::microseconds(prng.below(2000)));
  }
  for (const Writer& w : writers) {
    REQUIRE(scene.run_until_answered(w.answer));
    REQUIRE(w.answer.made);
  }
  scene.settle();
  REQUIRE(simulator::difference(scene.cluster) == std::nullopt);
  const std::string east = *scene.content(kEast, "/data");
  REQUIRE(east == *scene.content(kWest, "/data"));
  for (std::uint64_t block = 0; block < kDataBlocks; ++block) {
    const std::uint64_t value = value_of(east, block);
    const bool untouched = std::none_of(writers.begin(), writers.end(), [&](const Writer& w) { return w.covers(block); });
    REQUIRE((untouched ? value == kOld : value >= 5000 && value < 5000 + writers.size() && writers[value - 5000].covers(block)));
  }
}
