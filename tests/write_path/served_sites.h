// served_sites.h - a cluster in sync, with applications at both sites and the files of a scene; its line and its administrator.
#pragma once

#include <fcntl.h>

#include <cstring>
#include <functional>

#include "bin/simulator/cluster.h"
#include "bin/simulator/log_filler.h"
#include "bin/simulator/unread.h"
#include "core/log.h"
#include "sim/storage.h"
#include "scene.h"

namespace lockstep::write_path {

inline runtime::Task<void> run_command(site::Site& site, nlohmann::json request, simulator::Unread& unread, std::optional<nlohmann::json>& answer) {
  answer = co_await site.execute(std::move(request), unread);
}

inline runtime::Task<void> make_files_and_say(sim::Process& process, bool& made, bool& ended) {
  co_await make_files(process, made);
  ended = true;
}

/// All of /data, which may have grown by two blocks.
inline runtime::Task<void> read_data(sim::Process& process, std::string& text, bool& ended) {
  sim::Host host(process);
  const Result<sim::FileHandle> file = co_await host.open("/data", O_RDONLY, 0);
  if (file) {
    const Result<std::string> bytes = co_await host.read(*file, 0, (kDataBlocks + 2) * kBlockBytes);
    if (bytes) text = *bytes;
    co_await host.close(*file);
  }
  ended = true;
}

/// /data: `blocks` in place of its first ones, and `appended` at its end.
inline std::string data_with(const std::vector<std::uint64_t>& blocks, const std::vector<std::uint64_t>& appended = {}) {
  std::string text = text_of(kOld, kDataBlocks * kBlockBytes);
  for (std::size_t i = 0; i < blocks.size(); ++i) text.replace(i * kBlockBytes, kBlockBytes, text_of(blocks[i], kBlockBytes));
  for (const std::uint64_t value : appended) text += text_of(value, kBlockBytes);
  return text;
}

struct Write {
  bool ended = false;
  std::optional<int> error;
};

/// A block of `value` into /data, at block `at`; nullopt: at its end.
inline runtime::Task<void> write_block(sim::Process& process, std::optional<std::uint64_t> at, std::uint64_t value, Write& result) {
  sim::Host host(process);
  const Result<sim::FileHandle> file = co_await host.open("/data", at ? O_RDWR : O_RDWR | O_APPEND, 0);
  if (file) {
    const Result<std::uint64_t> written = co_await host.write(*file, at.value_or(0) * kBlockBytes, text_of(value, kBlockBytes));
    if (!written) result.error = written.error().posix;
    co_await host.close(*file);
  } else {
    result.error = file.error().posix;
  }
  result.ended = true;
}

/// A call of an application, when it has ended: its error, or what it read.
struct HostCall {
  bool ended = false;
  std::optional<int> error;
  std::string text;
};

inline runtime::Task<void> read_it(sim::Process& process, sim::FileHandle file, HostCall& call) {
  sim::Host host(process);
  const Result<std::string> bytes = co_await host.read(file, 0, kBlockBytes);
  if (bytes) call.text = *bytes;
  if (!bytes) call.error = bytes.error().posix;
  call.ended = true;
}

inline runtime::Task<void> write_it(sim::Process& process, sim::FileHandle file, std::uint64_t value, HostCall& call) {
  sim::Host host(process);
  const Result<std::uint64_t> written = co_await host.write(file, 0, text_of(value, kBlockBytes));
  if (!written) call.error = written.error().posix;
  call.ended = true;
}

inline runtime::Task<void> open_it(sim::Process& process, std::string path, sim::FileHandle& file, HostCall& call, std::uint32_t flags = O_RDWR) {
  sim::Host host(process);
  const Result<sim::FileHandle> opened = co_await host.open(path, flags, 0644);
  if (opened) file = *opened;
  if (!opened) call.error = opened.error().posix;
  call.ended = true;
}

inline runtime::Task<void> end_with(runtime::Task<Result<>> what, HostCall& call) {
  const Result<> done = co_await std::move(what);
  if (!done) call.error = done.error().posix;
  call.ended = true;
}

struct ServedSites {
  using State = controller::Controller::State;
  static constexpr Duration kLimit = std::chrono::minutes(2);

  simulator::Cluster cluster;
  sim::Process* hosts[2] = {};

  explicit ServedSites(std::uint64_t seed, bool arbiter, bool alone = true)
      : cluster(seed, {.area_bytes = 8u << 20, .alone = alone, .arbiter = arbiter}) {
    log::set_up("test", log::Level::error);
    log::silence();
    REQUIRE(cluster.format());
    for (const std::size_t site : {kEast, kWest}) {
      cluster.start(site);
      hosts[site] = &cluster.machine(site).start("applications");
    }
    REQUIRE(run_until([&] { return cluster.in_sync(); }));
    bool made = false, ended = false;
    hosts[kEast]->spawn(make_files_and_say(*hosts[kEast], made, ended));
    REQUIRE(run_until([&] { return ended; }));
    REQUIRE(made);
    cluster.universe().run_for(std::chrono::seconds(3));
  }
  ~ServedSites() {
    for (const std::size_t site : {kEast, kWest}) {
      if (cluster.up(site)) cluster.kill(site);
    }
  }
  controller::Controller& controller(std::size_t site) { return cluster.site(site).controller(); }
  State state(std::size_t site) { return controller(site).state(); }
  const wire::SiteState& remembered(std::size_t site) { return controller(site).keeper().state(); }
  bool run_until(const std::function<bool()>& when) { return cluster.universe().run_until(when, kLimit); }
  void run_for(Duration time) { cluster.universe().run_for(time); }
  /// The medium of its area.
  sim::DiskWeather& medium(std::size_t site) { return cluster.machine(site).storage().weather; }
  /// Where `bytes` stand in the area of a site; nullopt: nowhere.
  std::optional<std::uint64_t> place_of(std::size_t site, const std::string& bytes) {
    const Bytes extents = cluster.machine(site).storage().peek("extents");
    const void* const at = ::memmem(extents.data(), extents.size(), bytes.data(), bytes.size());
    if (at == nullptr) return std::nullopt;
    return static_cast<std::uint64_t>(static_cast<const std::byte*>(at) - extents.data());
  }
  void line(bool open) { cluster.universe().network().partition(cluster.machine(kEast), cluster.machine(kWest), !open); }
  void start(std::size_t site, std::optional<std::uint64_t> block, std::uint64_t value, Write& result) {
    hosts[site]->spawn(write_block(*hosts[site], block, value, result));
  }
  std::string content(std::size_t site) {
    std::string text;
    bool ended = false;
    hosts[site]->spawn(read_data(*hosts[site], text, ended));
    REQUIRE(run_until([&] { return ended; }));
    return text;
  }
  HostCall call(std::size_t site, std::function<runtime::Task<void>(HostCall&)> what) {
    HostCall call;
    hosts[site]->spawn(what(call));
    REQUIRE(run_until([&] { return call.ended; }));
    return call;
  }
  void make_directory(std::size_t site, std::string path) {
    sim::Host host(*hosts[site]);
    const HostCall made = call(site, [&](HostCall& call) { return end_with(host.mkdir(path, 0755), call); });
    REQUIRE(!made.error);
  }
  /// More records than a log holds, of which nothing is left.
  void fill_log(std::size_t site) {
    const HostCall filled = call(site, [&](HostCall& call) {
      return end_with(simulator::fill_log(*hosts[site], "/for a moment"), call);
    });
    REQUIRE(!filled.error);
  }
  /// The daemon of a site, which is down, and applications, which ended with its mount.
  void start_again(std::size_t site) {
    hosts[site] = &cluster.machine(site).start("applications");
    cluster.start(site);
  }
  /// `answer` must live until it is there, or the daemon is dead.
  void start_command(std::size_t site, nlohmann::json request, std::optional<nlohmann::json>& answer) {
    sim::Process& process = cluster.process(site);
    process.spawn(run_command(cluster.site(site), std::move(request), process.make<simulator::Unread>(), answer));
  }
  nlohmann::json command(std::size_t site, nlohmann::json request) {
    std::optional<nlohmann::json> answer;
    start_command(site, std::move(request), answer);
    REQUIRE(run_until([&] { return answer.has_value(); }));
    return *answer;
  }
};

}  // namespace lockstep::write_path
