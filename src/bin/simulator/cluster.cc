#include "bin/simulator/cluster.h"

#include <fmt/format.h>

#include "core/check.h"
#include "core/log.h"
#include "sim/aside.h"
#include "sim/disk.h"
#include "sim/key_value.h"
#include "sim/storage.h"

namespace lockstep::simulator {
namespace {

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
  config.timing.slow_peer = options.slow_peer;
  config.timing.contended = options.contended;
  if (options.stable) config.options.acknowledge = config::Acknowledge::stable;
  if (options.strict) config.options.coherence = config::Coherence::strict;
  return config;
}

runtime::Task<void> format_area(runtime::World& world, const config::Config& config, std::string site, Result<>& result) {
  area::FormatOptions options;
  options.volume = config.volume;
  options.volume_id = config.volume_id;
  options.site = std::move(site);
  options.bytes = config.limits.area_bytes;
  options.log_bytes = config.limits.log_bytes;
  options.force = true;
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

runtime::Task<void> leave_site(site::Site& site, bool& left) {
  co_await site.leave();
  left = true;
}

}  // namespace

Cluster::Cluster(std::uint64_t seed, ClusterOptions options) : options_(options), universe_(seed), config_(make_config(options)) {
  if (options.arbiter) arbiter_ = &universe_.add_arbiter();
  for (const char* name : kSites) universe_.add_machine(name);
}

bool Cluster::format() {
  for (std::size_t i = 0; i < kSites.size(); ++i) {
    if (!format(i)) return false;
  }
  return true;
}

bool Cluster::format(std::size_t index) {
  sim::Process& process = machine(index).start("format");
  Result<> result;
  process.spawn(format_area(process.world(), config_, kSites[index], result));
  if (!universe_.run_until([&] { return process.idle(); }, std::chrono::minutes(10)) || !result) {
    problem_ = fmt::format("formatting {}: {}", kSites[index], result ? "did not end" : result.error().text);
    return false;
  }
  machine(index).end(process);
  return true;
}

bool Cluster::replace(std::size_t index) {
  CHECK(!up(index) && up(1 - index));
  machine(index).key_store().wipe();
  if (!format(index)) return false;
  replaced_ = index;
  // As often as it takes: the one who said it may be killed before it met the new area.
  ask_for_new_store();
  return true;
}

void Cluster::ask_for_new_store() {
  if (!replacing()) return;
  const std::size_t other = 1 - *replaced_;
  if (up(other) && site(other).ready()) site(other).controller().accept_new_store();
  universe_.after(std::chrono::seconds(1), nullptr, [this] { ask_for_new_store(); });
}

bool Cluster::replacing() {
  if (replaced_ && in_sync()) replaced_.reset();
  return replaced_.has_value();
}

void Cluster::start(std::size_t index, bool without_area) {
  CHECK(!up(index));
  Daemon& daemon = daemons_[index];
  daemon.process = &machine(index).start("lockstepd");
  daemon.failed = std::make_shared<bool>(false);
  daemon.without_area = without_area;
  site::Surroundings surroundings;
  surroundings.host_boot = machine(index).boot_id();
  surroundings.control = false;
  daemon.detached = std::make_shared<bool>(false);
  surroundings.detached = [detached = daemon.detached] { *detached = true; };
  surroundings.aside = &daemon.process->make<sim::SimAside>(*daemon.process);
  runtime::World* world = &daemon.process->world();
  if (without_area) {
    surroundings.without_area = "the simulated medium failed";
    sim::Process& process = *daemon.process;
    sim::Prng prng = machine(index).key_store().prng();
    sim::Storage& storage = process.make<sim::Storage>(universe_, "memory", prng.fork("disk"));
    sim::KeyStore& store = process.make<sim::KeyStore>(universe_, prng.fork("keys"));
    world = &process.make<runtime::World>(runtime::World{world->scheduler, process.make<sim::SimDisk>(process, storage),
                                                         process.make<sim::SimKeyValue>(process, store), world->net, world->clock, world->random,
                                                         world->kernel, world->arbiter});
  }
  daemon.site = &daemon.process->make<site::Site>(*world, config_, SiteId{static_cast<std::uint8_t>(index)},
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

bool Cluster::area_failed(std::size_t index) const {
  return up(index) && (*daemons_[index].failed || *daemons_[index].detached);
}

bool Cluster::leave(std::size_t index) {
  CHECK(area_failed(index));
  bool left = *daemons_[index].failed;
  if (!left) {
    process(index).spawn(leave_site(site(index), left));
    if (!universe_.run_until([&] { return left; }, std::chrono::minutes(1))) {
      problem_ = fmt::format("{}, whose area failed, did not leave", kSites[index]);
      return false;
    }
  }
  kill(index);
  return true;
}

bool Cluster::in_sync() {
  for (std::size_t i = 0; i < kSites.size(); ++i) {
    if (!up(i) || *daemons_[i].failed || !process(i).machine().mount() || !site(i).ready()) return false;
    if (site(i).controller().state() != controller::Controller::State::in_sync) return false;
  }
  return true;
}

}  // namespace lockstep::simulator
