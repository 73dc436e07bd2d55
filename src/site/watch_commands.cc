#include "site/watch_commands.h"

#include <fmt/format.h>

#include <algorithm>

#include "control/members.h"

namespace lockstep::site {

using nlohmann::json;

runtime::Task<json> WatchCommands::execute(json request, control::Stream& stream) {
  WatchOptions options;
  options.paths = control::texts(request, "paths");
  options.recursive = control::is_true(request, "recursive");
  options.count = control::number(request, "count");
  for (const config::Site& site : config_.sites) options.sites.push_back(site.name);
  if (options.paths.empty() || options.paths.size() > kPathsMax) {
    co_return json{{"error", fmt::format("\"paths\" is to be 1 to {} paths from the root of the volume", kPathsMax)}};
  }
  if (watches_.size() >= kWatchesMax) {
    co_return json{{"error", fmt::format("{} watches are running at this site, and there can't be more; end one", kWatchesMax)}};
  }
  if (replica_.volume.being_replaced()) {
    co_return json{{"error", "the names of the volume are just being replaced by those of the other site; try again when lockstep status says MENDING no more"}};
  }
  Watch watch(world_, replica_.volume, std::move(options));
  enter(watch);
  json answer = co_await watch.run(stream);
  leave(watch);
  co_return answer;
}

void WatchCommands::enter(Watch& watch) {
  if (watches_.empty()) told_ = replica_.last();
  watches_.push_back(&watch);
  replica_.observer = this;
}

void WatchCommands::leave(Watch& watch) {
  std::erase(watches_, &watch);
  if (watches_.empty()) replica_.observer = nullptr;
}

void WatchCommands::in_force(const wire::Effect& effect) {
  if (effect.seq <= told_) return;
  told_ = effect.seq;
  const std::vector<volume::Change> changes = volume::changes_of(effect);
  if (changes.empty()) return;
  const WallTime now = world_.clock.wall();
  for (Watch* watch : watches_) watch->take(changes, effect.request.site, now);
}

void WatchCommands::passed_over(bool keys) {
  if (keys) told_ = Seq{0};
  for (Watch* watch : watches_) watch->passed_over(keys);
}

}  // namespace lockstep::site
