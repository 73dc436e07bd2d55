#include "bin/simulator/cluster.h"

#include <fmt/format.h>

#include "area/table_format.h"
#include "core/log.h"
#include "sim/storage.h"

namespace lockstep::simulator {
namespace {

constexpr std::uint64_t kLogBytes = 1u << 20;

config::Config make_config(const ClusterOptions& options) {
  config::Config config;
  config.volume = "simulated";
  for (std::size_t i = 0; i < 16; ++i) config.volume_id.bytes[i] = static_cast<std::uint8_t>(i + 1);
  for (const char* name : kSites) {
    config::Site site;
    site.name = name;
    site.address = {name, 7410};
    site.area = "/area";
    site.mount = "/mount";
    site.control = "/control";
    config.sites.push_back(site);
  }
  config.primary = SiteId{0};
  if (options.arbiter) {
    config.arbiter.emplace();
    config.arbiter->endpoints = {"http://arbiter:2379"};
    config.arbiter->key = "/lockstep/simulated";
  }
  config.limits.area_bytes = options.area_bytes;
  config.options.alone = options.alone ? config::Alone::primary : config::Alone::never;
  config.limits.log_bytes = kLogBytes;
  config.limits.inline_bytes = 8u << 10;
  config.limits.window_bytes = 256u << 10;
  config.timing.settle = std::chrono::seconds(1);
  return config;
}

runtime::Task<void> format_area(runtime::World& world, const config::Config& config, std::string site, Result<>& result) {
  area::FormatOptions options;
  options.volume = config.volume;
  options.volume_id = config.volume_id;
  options.site = std::move(site);
  options.bytes = config.limits.area_bytes;
  options.log_bytes = config.limits.log_bytes;
  const Result<area::Identity> formatted = co_await area::Area::format(world.disk, world.random, std::move(options), nullptr, nullptr);
  if (!formatted) {
    result = std::unexpected(formatted.error());
    co_return;
  }
  result = world.keys.apply(volume::Volume::initial_keys(formatted->blocks));
  if (result) result = co_await world.keys.flush();
}

runtime::Task<void> run_site(site::Site& site, std::shared_ptr<bool> failed) {
  const Result<> started = co_await site.start();
  if (!started) {
    log::error("start: {}", started.error().text);
    *failed = true;
  }
}

}  // namespace

Cluster::Cluster(std::uint64_t seed, ClusterOptions options) : universe_(seed), config_(make_config(options)) {
  if (options.arbiter) arbiter_ = &universe_.add_arbiter();
  for (const char* name : kSites) universe_.add_machine(name);
}

bool Cluster::format() {
  for (std::size_t i = 0; i < kSites.size(); ++i) {
    sim::Process& process = machine(i).start("format");
    Result<> result;
    process.spawn(format_area(process.world(), config_, kSites[i], result));
    if (!universe_.run_until([&] { return process.idle(); }, std::chrono::minutes(10)) || !result) {
      problem_ = fmt::format("formatting {}: {}", kSites[i], result ? "did not end" : result.error().text);
      return false;
    }
    machine(i).end(process);
  }
  return true;
}

void Cluster::start(std::size_t index) {
  CHECK(!up(index));
  Daemon& daemon = daemons_[index];
  daemon.process = &machine(index).start("lockstepd");
  daemon.failed = std::make_shared<bool>(false);
  site::Surroundings surroundings;
  surroundings.host_boot = machine(index).boot_id();
  surroundings.control = false;
  daemon.site = &daemon.process->make<site::Site>(daemon.process->world(), config_, SiteId{static_cast<std::uint8_t>(index)},
                                                  std::move(surroundings));
  daemon.process->spawn(run_site(*daemon.site, daemon.failed));
}

void Cluster::kill(std::size_t index) {
  CHECK(up(index));
  machine(index).kill(*daemons_[index].process);
  daemons_[index] = {};
}

void Cluster::lose_power(std::size_t index) {
  machine(index).lose_power();
  daemons_[index] = {};
}

bool Cluster::stop(std::size_t index) {
  sim::Process& process = *daemons_[index].process;
  process.spawn(daemons_[index].site->stop());
  if (!universe_.run_until([&] { return process.idle(); }, std::chrono::minutes(1))) {
    problem_ = fmt::format("{} did not stop", kSites[index]);
    return false;
  }
  machine(index).end(process);
  daemons_[index] = {};
  return true;
}

bool Cluster::in_sync() {
  for (std::size_t i = 0; i < kSites.size(); ++i) {
    if (!up(i) || *daemons_[i].failed || !process(i).machine().mount() || !site(i).ready()) return false;
    if (site(i).controller().state() != controller::Controller::State::in_sync) return false;
  }
  return true;
}

namespace {

runtime::Task<void> collect_keys(runtime::KeyValue& keys, std::vector<runtime::KeyPair>& all, bool& done) {
  Result<std::vector<runtime::KeyPair>> pairs = co_await keys.scan("\x01", "\xff\xff\xff\xff", 10'000'000, nullptr);
  if (pairs) all = std::move(*pairs);
  done = pairs.has_value();
}

}  // namespace

std::optional<std::string> Cluster::difference() {
  std::array<std::vector<runtime::KeyPair>, 2> keys;
  for (std::size_t i = 0; i < 2; ++i) {
    bool done = false;
    process(i).spawn(collect_keys(process(i).world().keys, keys[i], done));
    if (!universe_.run_until([&] { return done; }, std::chrono::minutes(1))) return "the keys can't be read";
  }
  for (std::size_t i = 0; i < std::max(keys[0].size(), keys[1].size()); ++i) {
    if (i >= keys[0].size() || i >= keys[1].size() || keys[0][i] != keys[1][i]) {
      const std::string& key = i < keys[0].size() ? keys[0][i].key : keys[1][i].key;
      std::string shown;
      for (const char c : key) shown += fmt::format("{:02x}", static_cast<unsigned char>(c));
      const auto hex = [&](std::size_t site) {
        std::string text;
        if (i < keys[site].size()) for (const char c : keys[site][i].value) text += fmt::format("{:02x}", static_cast<unsigned char>(c));
        return text;
      };
      return fmt::format("the keys of the sites differ at {} ({}): {} and {}", shown, key.substr(0, 1), hex(0), hex(1));
    }
  }
  const Bytes east = machine(0).storage().peek("extents");
  const Bytes west = machine(1).storage().peek("extents");
  for (std::size_t at = 0; at < east.size(); at += kBlockBytes) {
    const Bytes a = east.subspan(at, kBlockBytes), b = west.subspan(at, kBlockBytes);
    if (!std::equal(a.begin(), a.end(), b.begin())) return fmt::format("block {} differs between the sites", at / kBlockBytes);
  }
  const Bytes sums_east = machine(0).storage().peek("checksums");
  const Bytes sums_west = machine(1).storage().peek("checksums");
  for (std::uint64_t block = 0; block < east.size() / kBlockBytes; ++block) {
    const std::uint64_t at = area::checksum_place(block);
    const Bytes a = sums_east.subspan(at, area::kChecksumBytes), b = sums_west.subspan(at, area::kChecksumBytes);
    if (!std::equal(a.begin(), a.end(), b.begin())) return fmt::format("the checksum of block {} differs between the sites", block);
  }
  return std::nullopt;
}

}  // namespace lockstep::simulator
