#include "site/site.h"

#include <algorithm>

#include "config/agreement.h"
#include "core/log.h"

namespace lockstep::site {
namespace {

/// How long stop() waits for requests that are under way between the sites.
constexpr Duration kStopPatience = std::chrono::seconds(5);
/// How long leave() waits for the mount.
constexpr Duration kLeavePatience = std::chrono::seconds(3);

}  // namespace

Site::Site(runtime::World& world, const config::Config& config, SiteId self, Surroundings surroundings)
    : world_(world),
      config_(config),
      self_(self),
      surroundings_(std::move(surroundings)),
      start_(runtime::make_uuid(world.random)),
      since_(world.clock.now()) {}

Site::~Site() = default;

/// What a site without an area has in its place: the membership that it is told of, the metadata, and no data.
runtime::Task<Result<>> Site::make_area() {
  const Result<area::Identity> made = co_await area::Area::format(
      world_.disk, world_.random, {.volume = config_.volume, .volume_id = config_.volume_id, .site = config_.at(self_).name,
                                   .bytes = config_.limits.area_bytes, .log_bytes = config_.limits.log_bytes}, nullptr, nullptr);
  if (!made) co_return std::unexpected(made.error());
  co_return world_.keys.apply(volume::Volume::initial_keys(made->blocks));
}

runtime::Task<Result<>> Site::start() {
  if (!surroundings_.without_area.empty()) {
    const Result<> made = co_await make_area();
    if (!made) co_return made;
    log::warning("this site works without an area, through {}: {}", site_name(config_.other(self_)), surroundings_.without_area);
  }
  Result<std::unique_ptr<area::Area>> area = co_await area::Area::open(world_, surroundings_.host_boot);
  if (!area) co_return std::unexpected(area.error());
  area_ = std::move(*area);
  const area::Identity& identity = area_->identity();
  const config::Site& me = config_.at(self_);
  if (identity.volume != config_.volume || identity.volume_id != config_.volume_id) {
    co_return fail(Errc::refused, fmt::format("{} holds an area of volume \"{}\", the configuration is of \"{}\" (or their ids "
                                              "differ); correct the path, or format the area",
                                              world_.disk.where(), identity.volume, config_.volume));
  }
  if (identity.site != me.name) {
    co_return fail(Errc::refused, fmt::format("{} holds the area of site \"{}\", this is \"{}\"; correct the path",
                                              world_.disk.where(), identity.site, me.name));
  }
  const Result<std::vector<std::string>> names = world_.disk.list();
  if (!names) co_return std::unexpected(names.error());
  if (std::ranges::binary_search(*names, resync::kDiscardedDirectory)) {
    kept_.push_back(world_.disk.where() + "/" + resync::kDiscardedDirectory);
  }
  if (area_->unclean()) log::info("the area was not closed when it was last used: bringing it up to date from its log");
  Result<std::unique_ptr<volume::Volume>> volume = co_await volume::Volume::open(world_, *area_);
  if (!volume) co_return std::unexpected(volume.error());
  volume_ = std::move(*volume);
  // The two sites take what is in force as answered, once they meet: also what was to be stable first, and was being made so when the last process ended.
  if (area_->unclean()) {
    const Result<> stable = co_await area_->sync({{0, identity.blocks * kBlockBytes}}, true);
    if (!stable) co_return fail(stable.error().code, "making the area stable: " + stable.error().text);
  }

  const SiteId other = config_.other(self_);
  controller_.emplace(world_, *volume_, *area_, controller_options());
  const Result<> remembered = co_await controller_->open();
  if (!remembered) co_return remembered;

  fuse::HostOptions host;
  host.attributes_valid = config_.timing.attributes;
  host.entries_valid = config_.timing.entries;
  host.name_patience = config_.timing.name_drop;
  host.names_contended = config_.timing.contended;
  host.patience = config_.timing.patience;
  host.strict = config_.options.coherence == config::Coherence::strict;
  for (const config::Site& site : config_.sites) host.sites.push_back(site.name);
  host_side_.emplace(world_, *area_, *volume_, *controller_, host);
  verify_.emplace(world_, *controller_);
  scrub_.emplace(world_, *controller_);
  damage_.emplace(world_);
  damage_->start();
  controller_->replica().on_mend = [this](std::uint64_t block, const std::string& why) { damage_->note(block, why); };
  comparison_.emplace(world_, *area_);
  remote_.emplace(world_, *controller_, static_cast<control::Commands&>(*this));
  reserve_.emplace(config_, self_, world_.clock, *controller_, *volume_);
  watch_.emplace(world_, config_, controller_->replica());
  controller_->comparison = &*comparison_;
  controller_->commands = &*remote_;
  controller_->on_detached = [this](bool leave) {
    if (leave && surroundings_.detached) surroundings_.detached();
  };

  peer::LinkOptions link;
  if (self_ < other) {
    link.listen_address = me.address.text();
  } else {
    link.dial_address = config_.at(other).address.text();
  }
  link.peer = config_.at(other).name;
  link.heartbeat = config_.timing.heartbeat;
  link.peer_timeout = config_.timing.peer_timeout;
  link.connect_timeout = config_.timing.connect_timeout;
  link.reconnect_first = config_.timing.reconnect;
  link.reconnect_max = config_.timing.reconnect_max;
  link_.emplace(world_, std::move(link), *controller_);
  controller_->start(*host_side_, *host_side_, *link_);
  started_ = true;
  const Result<> mounted = world_.kernel.mount(*host_side_);
  if (!mounted) co_return std::unexpected(mounted.error());
  mounted_ = true;
  const Result<> linked = link_->start();
  if (!linked) co_return std::unexpected(linked.error());
  if (surroundings_.control) {
    control_.emplace(world_.scheduler, world_.net, *this);
    const Result<> listening = control_->start("unix:" + me.control);
    if (!listening) co_return std::unexpected(listening.error());
  }
  ready_ = true;
  log::info("site {} of volume {} is up: {} blocks, epoch {}", me.name, config_.volume, identity.blocks, controller_->epoch().value);
  co_return Result<>{};
}

controller::ControllerOptions Site::controller_options() const {
  const config::Site& me = config_.at(self_);
  controller::ControllerOptions options;
  options.self = self_;
  options.peer = config_.other(self_);
  options.peer_name = config_.at(options.peer).name;
  options.keeper.self = self_;
  options.keeper.primary = config_.primary;
  options.keeper.volume = config_.volume;
  options.keeper.volume_id = config_.volume_id;
  for (const config::Site& site : config_.sites) options.keeper.names.push_back(site.name);
  if (config_.arbiter) options.keeper.arbiter_timeout = config_.arbiter->timeout;
  options.start = start_;
  options.host_boot = surroundings_.host_boot;
  options.settings = config::settings_that_must_agree(config_);
  options.settings_digest = config::digest(options.settings);
  options.inline_limit = config_.limits.inline_bytes;
  options.window_bytes = config_.limits.window_bytes;
  options.requests_max = config_.limits.requests;
  options.resync_rate = config_.limits.resync_bytes_per_second;
  options.settle = config_.timing.settle;
  options.heartbeat = config_.timing.heartbeat;
  options.peer_timeout = config_.timing.peer_timeout;
  options.start_patience = config_.timing.reconnect_max * 5 / 4;
  options.read_lease = config_.timing.read_lease;
  options.takeover = config_.timing.takeover;
  options.takeover_delay = config_.timing.takeover_delay;
  options.slow_peer = config_.timing.slow_peer;
  options.lock_grace = config_.timing.lock_grace;
  options.alone = config_.options.alone == config::Alone::primary;
  options.diskless = !surroundings_.without_area.empty();
  options.diskless_why = fmt::format("mend the medium of {}, then start lockstepd of {} again, and it is made equal to {}; if the area is lost, format it "
                                     "anew first and say at {}: lockstep replace {} ({})", me.area, me.name, options.peer_name, options.peer_name, me.name,
                                     surroundings_.without_area);
  options.stable = config_.options.acknowledge == config::Acknowledge::stable;
  return options;
}

runtime::Task<void> Site::stop() {
  stopping_ = true;
  runtime::Scope unmounting(world_.scheduler);
  if (mounted_) unmounting.spawn(host_side_->unmount());
  // Requests that can be answered get their answer; those that wait for a site that is away are given up.
  runtime::Stop never;
  const Instant patience_ends = world_.clock.now() + kStopPatience;
  while (controller_ && controller_->writable() && controller_->load().requests > 0 && world_.clock.now() < patience_ends) {
    co_await world_.clock.sleep_until(world_.clock.now() + std::chrono::milliseconds(5), never);
  }
  if (started_) co_await controller_->leave();
  if (link_) co_await link_->stop();
  if (started_) co_await controller_->stop();
  if (remote_) co_await remote_->stop();  // what the other site asked for may wait for the controller
  co_await unmounting.join();
  if (host_side_) co_await host_side_->stop();
  if (control_) co_await control_->stop();
  if (damage_) co_await damage_->stop();
  if (controller_ && area_ && !failed() && surroundings_.without_area.empty()) {
    last_ = std::make_unique<runtime::Scope>(world_.scheduler);
    last_->spawn(close_area());
    while (!closed_ && !failed()) co_await world_.clock.sleep_until(world_.clock.now() + std::chrono::milliseconds(5), never);
    if (closed_) co_await last_->join();
  }
}

/// Everything appended is in the log already; a clean superblock spares the next start the look at what was in flight.
runtime::Task<void> Site::close_area() {
  co_await controller_->replica().checkpoint();
  const bool doubts = controller_->replica().doubts();
  const Result<> closed = doubts ? co_await area_->close_doubtful() : co_await area_->close();
  if (!closed) log::error("closing the area failed: {}", closed.error().text);
  closed_ = true;
}

runtime::Task<void> Site::leave() {
  stopping_ = true;
  link_->end();
  last_ = std::make_unique<runtime::Scope>(world_.scheduler);
  if (mounted_) last_->spawn(take_mount_away());
  runtime::Stop never;
  const Instant patience_ends = world_.clock.now() + kLeavePatience;
  while (mounted_ && !mount_away_ && world_.clock.now() < patience_ends) {
    co_await world_.clock.sleep_until(world_.clock.now() + std::chrono::milliseconds(5), never);
  }
}

runtime::Task<void> Site::take_mount_away() {
  co_await host_side_->unmount();
  mount_away_ = true;
}

std::string Site::site_name(SiteId id) const {
  return id.value < config_.sites.size() ? config_.at(id).name : "?";
}

}  // namespace lockstep::site
