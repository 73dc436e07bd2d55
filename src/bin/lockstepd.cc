// lockstepd - the daemon of one site. lockstepd(8).
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>

#include "area/superblock_format.h"
#include "area/superblocks.h"
#include "config/config.h"
#include "core/log.h"
#include "site/site.h"
#include "uring/aside.h"
#include "uring/clock.h"
#include "uring/disk.h"
#include "uring/etcd_register.h"
#include "uring/fuse_kernel.h"
#include "uring/key_value.h"
#include "uring/loop.h"
#include "uring/memory_disk.h"
#include "uring/net.h"
#include "uring/pool.h"
#include "uring/signals.h"
#include "wire/messages.h"

namespace {

using namespace lockstep;

constexpr unsigned kDiskThreads = 4;
/// Copying what is discarded: a slow medium there holds up nothing else.
constexpr unsigned kAsideThreads = 1;

/// The id that the kernel makes at each boot of the machine.
Uuid host_boot_id() {
  std::ifstream file("/proc/sys/kernel/random/boot_id");
  std::string text;
  file >> text;
  Uuid id;
  std::size_t digits = 0;
  for (const char c : text) {
    if (c == '-' || digits >= 32) continue;
    const int value = c >= 'a' ? c - 'a' + 10 : c - '0';
    id.bytes[digits / 2] = static_cast<std::uint8_t>(id.bytes[digits / 2] << 4 | (value & 15));
    ++digits;
  }
  return id;
}

std::uint64_t resident_bytes() {
  std::ifstream file("/proc/self/statm");
  std::uint64_t whole = 0, resident = 0;
  file >> whole >> resident;
  return resident * static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
}

nlohmann::json loop_counters(const uring::Statistics& s) {
  return {{"system_calls", s.system_calls()}, {"enters", s.enters},   {"yields", s.yields},
          {"reads", s.reads},                 {"writes", s.writes},   {"sends", s.sends},
          {"passes", s.passes},               {"sleeps", s.sleeps},   {"spins", s.spins},
          {"spins_won", s.spins_won},         {"hops", s.pool_hops},  {"slow_writes", s.slow_writes},
          {"stalled_applies", s.stalled_applies}};
}

controller::Costs costs_of(void* loop) {
  const uring::Statistics& s = static_cast<uring::Loop*>(loop)->statistics();
  rusage usage{};
  ::getrusage(RUSAGE_THREAD, &usage);
  return {.system_calls = s.system_calls(),
          .context_switches = static_cast<std::uint64_t>(usage.ru_nvcsw + usage.ru_nivcsw),
          .thread_hops = s.pool_hops};
}

/// The area failed, and the other site goes on (C7).
constexpr int kDetached = 3;

/// A page of a mapped file of the area can't be read or written any more, in the middle of whatever runs: nothing can be finished, and what
/// the other site sees is a daemon that died.
void medium_gone(int) {
  constexpr char kText[] = "lockstepd: DETACHED: a mapped file of the area can't be used any more (SIGBUS); mend the medium, then start lockstepd again\n";
  if (::write(STDERR_FILENO, kText, sizeof kText - 1) < 0) ::_exit(kDetached);
  ::_exit(kDetached);
}

/// What waits for a failed area never ends, so the program ends around it.
[[noreturn]] void end_detached(const site::Site& site) {
  ::sd_notify(0, "STOPPING=1");
  log::error("ended, exit status {}: {}", kDetached, site.why_failed());
  std::_Exit(kDetached);
}

/// What the program was started with.
struct Started {
  std::string config_path, site;
  std::string without_area;  ///< why; empty: it has one
};

/// The other site goes on: this program, begun anew, lets the hosts here work through it. Returns if that can't be.
void begin_without_area(const Started& started, std::unique_ptr<uring::Watchdog>& watchdog, const std::string& why) {
  watchdog.reset();  // it would be a child of the new one that nobody waits for
  const std::string config = "--config=" + started.config_path, site = "--site=" + started.site, without = "--without-area=" + why;
  log::warning("this site goes on without its area: {}", why);
  ::execl("/proc/self/exe", "lockstepd", config.c_str(), site.c_str(), without.c_str(), nullptr);
  log::error("lockstepd can't be begun anew: {}", std::strerror(errno));
}

/// `watchdog`: null if this site is not to go on without its area.
runtime::Task<void> run(site::Site& site, const Started& how, std::unique_ptr<uring::Watchdog>* watchdog, runtime::Event& asked_to_stop,
                        bool& detached, const uring::Signals& signals, bool& failed) {
  const Result<> started = co_await site.start();
  if (!started) {
    log::error("this site can't start: {}", started.error().text);
    failed = true;
  } else {
    ::sd_notify(0, "READY=1");
    while (!asked_to_stop.is_set() && !detached) co_await asked_to_stop.wait();
    if (site.failed()) co_await site.leave();
    const bool goes_on = detached && watchdog != nullptr && !asked_to_stop.is_set();
    if (site.failed() && goes_on) begin_without_area(how, *watchdog, site.controller().replica().failure());
    if (site.failed()) end_detached(site);
    log::info("stopping on signal {}", signals.last());
    ::sd_notify(0, "STOPPING=1");
  }
  co_await site.stop();
  if (site.failed()) end_detached(site);
}

/// The way to the configuration's arbiter; null: it has none.
Result<std::unique_ptr<uring::EtcdRegister>> make_arbiter(uring::Loop& loop, const config::Config& config) {
  if (!config.arbiter) return nullptr;
  const config::Arbiter& arbiter = *config.arbiter;
  return uring::EtcdRegister::make(
      loop, {.endpoints = arbiter.endpoints,
             .key = arbiter.key,
             .tls = {.ca = arbiter.ca, .certificate = arbiter.certificate, .private_key = arbiter.private_key}});
}

struct Storage {
  std::unique_ptr<runtime::Disk> disk;
  std::unique_ptr<uring::KeyStore> keys;
};

/// The area of the configuration, locked.
Result<Storage> open_area(uring::Loop& loop, uring::Pool& pool, const config::Config& config, const config::Site& me) {
  Result<std::unique_ptr<uring::DirectoryDisk>> disk = uring::DirectoryDisk::open_directory(loop, pool, me.area);
  if (!disk) {
    return fail(disk.error().code, fmt::format("the area {} can't be opened: {}; make it with lockstep --site {} format. If its medium has failed, the "
                                               "hosts here can work through the other site: lockstepd --without-area=WHY", me.area, disk.error().text, me.name));
  }
  if (const Result<> locked = (*disk)->lock(); !locked) return std::unexpected(locked.error());
  if (::access((me.area + "/superblock").c_str(), F_OK) != 0) {
    return fail(Errc::refused, fmt::format("{} holds no area; make it with: lockstep --site {} format", me.area, me.name));
  }
  uring::KeyStoreOptions store;
  store.cache_bytes = config.limits.memory_bytes / 4;
  Result<std::unique_ptr<uring::KeyStore>> keys = uring::KeyStore::open(loop, pool, me.area + "/meta", store);
  if (!keys) return std::unexpected(keys.error());
  return Storage{std::move(*disk), std::move(*keys)};
}

/// Memory in its place. `lock` keeps another daemon off the area, as far as there is something that can be locked.
Result<Storage> do_without_area(uring::Loop& loop, uring::Pool& pool, const config::Config& config, const config::Site& me,
                                std::unique_ptr<uring::DirectoryDisk>& lock) {
  if (config.limits.diskless_bytes == 0) {
    return fail(Errc::refused, "limits.diskless is 0: this site is not to work without its area");
  }
  Result<std::unique_ptr<uring::DirectoryDisk>> area = uring::DirectoryDisk::open_directory(loop, pool, me.area);
  if (area) {
    const Result<> locked = (*area)->lock();
    if (!locked && locked.error().code == Errc::refused) return std::unexpected(locked.error());
    lock = std::move(*area);
  }
  uring::KeyStoreOptions store;
  store.cache_bytes = config.limits.memory_bytes / 4;
  store.in_memory_max = config.limits.diskless_bytes;
  Result<std::unique_ptr<uring::KeyStore>> keys = uring::KeyStore::open(loop, pool, "/meta", store);
  if (!keys) return std::unexpected(keys.error());
  const uring::MemoryDisk::Names never_read{area::kExtentsFile, area::kChecksumsFile};
  return Storage{std::make_unique<uring::MemoryDisk>("memory in place of " + me.area, never_read), std::move(*keys)};
}

int serve(const config::Config& config, SiteId self, const Started& started, std::unique_ptr<uring::Watchdog>& watchdog) {
  const config::Site& me = config.at(self);
  uring::LoopOptions loop_options;
  loop_options.spin = config.timing.spin;
  Result<std::unique_ptr<uring::Loop>> loop = uring::Loop::make(loop_options);
  if (!loop) {
    log::error("{}", loop.error().text);
    return 1;
  }
  runtime::Event asked_to_stop(**loop);
  Result<std::unique_ptr<uring::Signals>> signals = uring::Signals::make(**loop, asked_to_stop);
  if (!signals) {
    log::error("{}", signals.error().text);
    return 1;
  }
  uring::Pool pool(**loop, kDiskThreads, "lockstep-disk");
  std::unique_ptr<uring::DirectoryDisk> lock;
  const bool diskless = !started.without_area.empty();
  Result<Storage> storage = diskless ? do_without_area(**loop, pool, config, me, lock) : open_area(**loop, pool, config, me);
  if (!storage) {
    log::error("{}", storage.error().text);
    return 1;
  }
  uring::SocketNet net(**loop);
  uring::RealClock clock(**loop);
  uring::RealRandom random;
  uring::FuseOptions fuse;
  fuse.mount.mount_point = me.mount;
  fuse.mount.area = me.area;
  fuse.mount.volume = config.volume;
  fuse.watchdog = watchdog.get();
  uring::FuseKernel kernel(**loop, fuse);
  Result<std::unique_ptr<uring::EtcdRegister>> arbiter = make_arbiter(**loop, config);
  if (!arbiter) {
    log::error("{}", arbiter.error().text);
    return 1;
  }
  runtime::World world{**loop, *storage->disk, *storage->keys, net, clock, random, kernel, arbiter->get()};

  site::Surroundings surroundings;
  surroundings.host_boot = host_boot_id();
  surroundings.memory_bytes = resident_bytes;
  surroundings.loop_counters = [&loop] { return loop_counters((*loop)->statistics()); };
  surroundings.costs = costs_of;
  surroundings.costs_with = loop->get();
  uring::Pool aside_pool(**loop, kAsideThreads, "lockstep-aside");
  uring::DirectoryAside aside(aside_pool, me.area, me.mount);
  surroundings.aside = &aside;
  surroundings.without_area = started.without_area;
  bool failed = false, detached = false;
  surroundings.detached = [&] {
    detached = true;
    asked_to_stop.notify_all();
  };
  {
    site::Site site(world, config, self, std::move(surroundings));
    const bool may_go_on = !diskless && config.limits.diskless_bytes != 0;
    (*loop)->run(run(site, started, may_go_on ? &watchdog : nullptr, asked_to_stop, detached, **signals, failed));
  }
  return failed ? 1 : 0;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app{"lockstepd: serves one site of a mirrored volume; see lockstepd(8)"};
  Started started{.config_path = "/etc/lockstep/lockstep.toml"};
  app.add_option("--config", started.config_path, "configuration file, the same at every site")->envname("LOCKSTEP_CONFIG");
  app.add_option("--site", started.site, "name of this site in it")->envname("LOCKSTEP_SITE")->required();
  app.add_option("--without-area", started.without_area, "leave the area alone, and let hosts here work through the other site; why, for status")
      ->check([](const std::string& why) { return why.empty() ? std::string("say why: it is shown by lockstep status") : std::string(); });
  app.set_version_flag("--version", fmt::format("lockstepd {}, protocol {}, area format {}", LOCKSTEP_VERSION, wire::kProtocolVersion, area::kFormatVersion));
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    return app.exit(e) == 0 ? 0 : 2;
  }

  log::set_up(started.site, log::Level::info);
  const Result<config::Config> config = config::load(started.config_path);
  if (!config) {
    log::error("{}", config.error().text);
    return 1;
  }
  const Result<SiteId> self = config->site(started.site);
  if (!self) {
    log::error("{}", self.error().text);
    return 1;
  }
  log::set_up(started.site, config->options.log_level);
  struct sigaction bus {};
  bus.sa_handler = medium_gone;
  ::sigaction(SIGBUS, &bus, nullptr);
  // Before there are threads, and memory to speak of.
  Result<std::unique_ptr<uring::Watchdog>> watchdog = uring::Watchdog::start();
  if (!watchdog) {
    log::error("{}", watchdog.error().text);
    return 1;
  }
  return serve(*config, *self, started, *watchdog);
}
