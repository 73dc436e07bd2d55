#include "site/site.h"

#include "config/agreement.h"
#include "core/log.h"

namespace lockstep::site {
namespace {

/// How long stop() waits for requests that are under way between the sites.
constexpr Duration kStopPatience = std::chrono::seconds(5);

}  // namespace

Site::Site(runtime::World& world, const config::Config& config, SiteId self, Surroundings surroundings)
    : world_(world),
      config_(config),
      self_(self),
      surroundings_(std::move(surroundings)),
      start_(runtime::make_uuid(world.random)),
      opening_(world.scheduler),
      since_(world.clock.now()) {}

Site::~Site() = default;

runtime::Task<Result<>> Site::start() {
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
  if (area_->unclean()) log::info("the area was not closed when it was last used: bringing it up to date from its log");
  Result<std::unique_ptr<volume::Volume>> volume = co_await volume::Volume::open(world_, *area_);
  if (!volume) co_return std::unexpected(volume.error());
  volume_ = std::move(*volume);

  const SiteId other = config_.other(self_);
  controller_.emplace(world_, *volume_, *area_, controller_options());
  const Result<> remembered = co_await controller_->open();
  if (!remembered) co_return remembered;

  fuse::HostOptions host;
  host.attributes_valid = config_.timing.attributes;
  host.entries_valid = config_.timing.entries;
  host.name_patience = config_.timing.name_drop;
  host.strict = config_.options.coherence == config::Coherence::strict;
  host_side_.emplace(world_, *area_, *volume_, *controller_, host);
  controller_->start(*host_side_);
  if (controller_->primary() != nullptr) verify_.emplace(world_, controller_->replica(), *controller_->primary());
  if (controller_->secondary() != nullptr) {
    comparison_.emplace(world_, *area_);
    controller_->secondary()->comparison = &*comparison_;
  }
  const Result<> mounted = world_.kernel.mount(*host_side_);
  if (!mounted) co_return std::unexpected(mounted.error());
  mounted_ = true;
  opening_.spawn(open_when_met());

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

runtime::Task<void> Site::open_when_met() {
  const bool met = co_await controller_->wait_serving();
  if (met) host_side_->open();
}

runtime::Task<void> Site::stop() {
  stopping_ = true;
  runtime::Scope unmounting(world_.scheduler);
  if (mounted_) unmounting.spawn(host_side_->unmount());
  // Requests that the other site can still answer get their answer; those that wait for one that is away are given up.
  runtime::Stop never;
  const Instant patience_ends = world_.clock.now() + kStopPatience;
  while (controller_ && controller_->writable() && controller_->load().requests > 0 && world_.clock.now() < patience_ends) {
    co_await world_.clock.sleep_until(world_.clock.now() + std::chrono::milliseconds(5), never);
  }
  if (controller_) co_await controller_->stop();
  co_await opening_.join();
  co_await unmounting.join();
  if (link_) co_await link_->stop();
  if (remote_) co_await remote_->stop();
  if (started_) co_await controller_->stop();
  co_await unmounting.join();
  if (host_side_) co_await host_side_->stop();
  if (control_) co_await control_->stop();
  if (controller_ && area_) {
    // Everything appended is in the log already; a clean superblock spares the next start the look at what was in flight.
    co_await controller_->replica().checkpoint();
    const Result<> closed = co_await area_->close();
    if (!closed) log::error("closing the area failed: {}", closed.error().text);
  }
}

std::string Site::site_name(SiteId id) const {
  return id.value < config_.sites.size() ? config_.at(id).name : "?";
}

}  // namespace lockstep::site
