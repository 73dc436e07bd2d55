#include "bin/simulator/checks.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "area/suspects.h"
#include "area/table_format.h"
#include "bin/simulator/unread.h"
#include "fsck/fsck.h"
#include "sim/storage.h"

namespace lockstep::simulator {
namespace {

bool bit(Bytes map, std::uint64_t granule) { return (std::to_integer<unsigned>(map[granule / 8]) >> granule % 8 & 1) != 0; }

/// Pages of the extents that one of the sites wrote.
std::set<std::uint64_t> written_pages(Cluster& cluster) {
  std::set<std::uint64_t> pages = cluster.machine(0).storage().touched("extents");
  pages.merge(std::set(cluster.machine(1).storage().touched("extents")));
  return pages;
}

Bytes page_of(Bytes file, std::uint64_t page) { return file.subspan(page * sim::kPageBytes, sim::kPageBytes); }

bool same(Bytes a, Bytes b) { return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size()) == 0; }

/// The first granule in which one of `pages` differs between `a` and `b` and that neither map has; nullopt: there is none.
std::optional<std::uint64_t> uncovered(const std::set<std::uint64_t>& pages, Bytes a, Bytes b, Bytes map, Bytes other_map) {
  for (const std::uint64_t page : pages) {
    const std::uint64_t granule = page * sim::kPageBytes / area::kGranuleBytes;
    if (bit(map, granule) || bit(other_map, granule)) continue;
    if (!same(page_of(a, page), page_of(b, page))) return granule;
  }
  return std::nullopt;
}

class Unnoticed final : public fsck::RepairNotice {
 public:
  Result<> metadata_may_differ() override { return {}; }
};

runtime::Task<void> examine_area(sim::Process& process, std::string& wrong, bool& done) {
  runtime::World& world = process.world();
  Unnoticed notice;
  Result<> usable = co_await fsck::can_be_examined(world.disk);
  if (!usable) {
    wrong = usable.error().text;
  } else {
    const Result<fsck::Outcome> outcome = co_await fsck::examine({world.scheduler, world.disk, world.keys, world.clock.wall()}, {.data = true}, notice);
    if (!outcome) {
      wrong = outcome.error().text;
    } else if (!outcome->sound()) {
      wrong = fmt::format("{} findings; the first: {}", outcome->report.total(), fsck::line_of(outcome->report.findings().front()));
    }
  }
  done = true;
}

}  // namespace

std::optional<std::string> not_suspect(Cluster& cluster) {
  const sim::Storage& east = cluster.machine(0).storage();
  const sim::Storage& west = cluster.machine(1).storage();
  const std::set<std::uint64_t> pages = written_pages(cluster);
  if (const auto granule = uncovered(pages, east.peek("extents"), west.peek("extents"), east.peek("suspect"), west.peek("suspect"))) {
    return fmt::format("granule {} differs between the sites and is suspect at neither", *granule);
  }
  for (std::size_t i = 0; i < 2; ++i) {
    const sim::Storage& storage = cluster.machine(i).storage();
    const Bytes map = storage.peek_stable("suspect");
    if (const auto granule = uncovered(storage.touched("extents"), storage.peek("extents"), storage.peek_stable("extents"), map, map)) {
      return fmt::format("granule {} of {} is not on the medium as it was written, and there it is not suspect", *granule, kSites[i]);
    }
  }
  return std::nullopt;
}

std::optional<std::string> armed_without_promise(Cluster& cluster) {
  if (cluster.replacing()) return std::nullopt;
  for (std::size_t i = 0; i < 2; ++i) {
    if (!cluster.up(i) || !cluster.site(i).ready()) return std::nullopt;
  }
  for (std::size_t i = 0; i < 2; ++i) {
    const controller::Keeper& armed = cluster.site(i).controller().keeper();
    const controller::Keeper& other = cluster.site(1 - i).controller().keeper();
    if (!armed.state().armed || other.state().promised || other.membership().in_force().forced) continue;
    if (cluster.without_area(1 - i)) continue;  // what it promised stands in its area
    return fmt::format("{} is armed, and {} has not promised to wait for it", kSites[i], kSites[1 - i]);
  }
  return std::nullopt;
}

namespace {

runtime::Task<void> collect_keys(runtime::KeyValue& keys, std::vector<runtime::KeyPair>& all, bool& done) {
  Result<std::vector<runtime::KeyPair>> pairs = co_await keys.scan("\x01", "\xff\xff\xff\xff", 10'000'000, nullptr);
  if (pairs) all = std::move(*pairs);
  done = pairs.has_value();
}

}  // namespace

std::optional<std::string> difference(Cluster& cluster, bool blocks_too) {
  std::array<std::vector<runtime::KeyPair>, 2> keys;
  for (std::size_t i = 0; i < 2; ++i) {
    bool done = false;
    cluster.process(i).spawn(collect_keys(cluster.process(i).world().keys, keys[i], done));
    if (!cluster.universe().run_until([&] { return done; }, std::chrono::minutes(1))) return "the keys can't be read";
  }
  std::array<std::map<std::string, std::string>, 2> maps;
  for (std::size_t i = 0; i < 2; ++i) {
    for (const runtime::KeyPair& pair : keys[i]) maps[i].emplace(pair.key, pair.value);
  }
  const auto hex = [](const std::string& bytes) {
    std::string text;
    for (const char c : bytes) text += fmt::format("{:02x}", static_cast<unsigned char>(c));
    return text;
  };
  for (const auto& map : maps) {
    for (const auto& [key, value] : map) {
      const auto east = maps[0].find(key), west = maps[1].find(key);
      if (east != maps[0].end() && west != maps[1].end() && east->second == west->second) continue;
      return fmt::format("the keys of the sites differ at {} ({}): {} and {}", hex(key), key.substr(0, 1),
                         east == maps[0].end() ? "nothing" : hex(east->second), west == maps[1].end() ? "nothing" : hex(west->second));
    }
  }
  if (!blocks_too) return std::nullopt;
  const Bytes east = cluster.machine(0).storage().peek("extents");
  const Bytes west = cluster.machine(1).storage().peek("extents");
  static_assert(sim::kPageBytes == kBlockBytes);
  for (const std::uint64_t block : written_pages(cluster)) {
    if (!same(page_of(east, block), page_of(west, block))) return fmt::format("block {} differs between the sites", block);
  }
  const Bytes sums_east = cluster.machine(0).storage().peek("checksums");
  const Bytes sums_west = cluster.machine(1).storage().peek("checksums");
  for (std::uint64_t block = 0; block < east.size() / kBlockBytes; ++block) {
    const std::uint64_t at = area::checksum_place(block);
    if (!same(sums_east.subspan(at, area::kChecksumBytes), sums_west.subspan(at, area::kChecksumBytes))) return fmt::format("the checksum of block {} differs between the sites", block);
  }
  return std::nullopt;
}

std::optional<std::string> unsound(Cluster& cluster, std::size_t site) {
  sim::Process& process = cluster.machine(site).start("fsck");
  std::string wrong;
  bool done = false;
  process.spawn(examine_area(process, wrong, done));
  if (!cluster.universe().run_until([&] { return done && process.idle(); }, std::chrono::minutes(10))) return "the examination does not end";
  cluster.machine(site).end(process);
  if (wrong.empty()) return std::nullopt;
  return fmt::format("fsck of {}: {}", kSites[site], wrong);
}

namespace {

runtime::Task<void> run_scrub(site::Site& site, Unread& unread, nlohmann::json& answer, bool& done) {
  answer = co_await site.execute({{"command", "scrub"}}, unread);
  done = true;
}

}  // namespace

std::optional<std::string> scrubbed(Cluster& cluster, std::size_t site) {
  sim::Process& process = cluster.process(site);
  nlohmann::json answer;
  bool done = false;
  process.spawn(run_scrub(cluster.site(site), process.make<Unread>(), answer, done));
  if (!cluster.universe().run_until([&] { return done; }, std::chrono::minutes(10))) return "a scrub does not end";
  if (!answer.value("good", false)) return fmt::format("scrub of {}: {}", kSites[site], answer.dump());
  return std::nullopt;
}

}  // namespace lockstep::simulator
