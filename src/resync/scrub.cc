#include "resync/scrub.h"

#include <fmt/format.h>

#include <algorithm>

#include "fsck/key_cursor.h"
#include "resync/places.h"

namespace lockstep::resync {
namespace {

constexpr std::uint64_t kBlocksAtOnce = 256;
constexpr Duration kTellEvery = std::chrono::seconds(1);

}  // namespace

runtime::Task<ScrubReport> Scrub::run(std::uint64_t rate, Watcher& watcher, runtime::Stop& stop) {
  ScrubReport report;
  if (running_ != nullptr) {
    report.problem = "another scrub of this site is running";
    co_return report;
  }
  if (controller_.state() == controller::Controller::State::resync) {
    report.problem = "this site is being made equal to the other one, which compares its blocks anyway; scrub it when it is in sync";
    co_return report;
  }
  if (controller_.state() == controller::Controller::State::diskless) {
    report.problem = "this site works without an area: there is nothing to scrub";
    co_return report;
  }
  running_ = &report;
  co_await go(rate, watcher, stop, report);
  running_ = nullptr;
  co_return report;
}

runtime::Task<void> Scrub::go(std::uint64_t rate, Watcher& watcher, runtime::Stop& stop, ScrubReport& report) {
  const volume::Statistics space = replica_.volume.statistics();
  report.of = space.blocks - space.blocks_free;
  Instant told = world_.clock.now(), due = told;
  fsck::KeyCursor extents(world_.keys, 'R');
  for (;;) {
    const Result<bool> more = co_await extents.next();
    if (!more) report.problem = more.error().text;
    if (!more) co_return;
    if (!*more) break;
    const Result<volume::Owner> owner = volume::unpack_owner(extents.value());
    const std::uint64_t all = replica_.area.identity().blocks;
    if (!owner || extents.number() >= all || owner->count > all - extents.number()) {
      ++report.unknown;
      continue;
    }
    const BlockRange extent{extents.number(), owner->count};
    for (std::uint64_t first = extent.first; first < extent.end(); first += kBlocksAtOnce) {
      const BlockRange blocks{first, std::min(kBlocksAtOnce, extent.end() - first)};
      const Result<> looked = co_await look(blocks, report);
      if (!looked) report.problem = looked.error().text;
      if (!looked) co_return;
      const Instant now = world_.clock.now();
      if (rate > 0) {
        const double seconds = static_cast<double>(blocks.count * kBlockBytes) / static_cast<double>(rate);
        due = std::max(due, now) + Duration(static_cast<std::int64_t>(1e9 * seconds));
        if (now < due) (void)co_await world_.clock.sleep_until(due, stop);
      }
      bool goes_on = !stop.requested();
      if (goes_on && now - told >= kTellEvery) {
        told = now;
        goes_on = co_await watcher.progress(report);
      }
      if (!goes_on) report.problem = "it was interrupted";
      if (!goes_on) co_return;
    }
  }
  report.complete = true;
}

runtime::Task<Result<>> Scrub::look(BlockRange blocks, ScrubReport& report) {
  if (!controller_.readable_here(blocks)) co_return fail(Errc::unavailable, "this site began to be made equal to the other one meanwhile");
  const Result<std::vector<std::uint64_t>> bad = co_await replica_.bad_among(blocks);
  if (!bad) co_return std::unexpected(bad.error());
  report.blocks += blocks.count;
  for (const std::uint64_t block : *bad) {
    ++report.bad;
    const Result<> repaired = co_await controller_.repair({block, 1});
    if (repaired) ++report.repaired;
    if (repaired) continue;
    report.why = repaired.error().text;
    if (report.named.size() < kPlacesMax) report.named.push_back(block);
  }
  co_return Result<>{};
}

}  // namespace lockstep::resync
