// Blocks that may not be written for a moment: comparisons, repairs, and what a loss of power tore.
#include <fmt/format.h>

#include <algorithm>

#include "controller/primary.h"
#include "core/log.h"
#include "core/probe.h"

namespace lockstep::controller {
namespace {

Probe torn("blocks torn by a loss of power were taken as they are");

}  // namespace

runtime::Task<Result<>> Primary::adopt_torn(BlockRange blocks) {
  const runtime::Inside inside(callers_);
  std::vector<BlockRange> parts;
  for (std::uint64_t at = blocks.first; at < blocks.end();) {
    const std::uint64_t end = std::min(blocks.end(), (at / area::kGranuleBlocks + 1) * area::kGranuleBlocks);
    if (replica_.doubtful({at, end - at})) parts.push_back({at, end - at});
    at = end;
  }
  if (parts.empty()) co_return fail(Errc::corrupt, fmt::format("block {} is bad here, and no other site is in sync", blocks.first));
  if (!co_await take_guard(blocks, false)) co_return gone();
  Result<> adopted;
  for (const BlockRange& part : parts) {
    if (adopted) adopted = co_await replica_.adopt(part);
  }
  guard_.release();
  if (adopted) {
    torn.hit();
    log::warning("blocks {} to {} were being written when this site was stopped, and nobody else has them: they are taken as they are", blocks.first,
                 blocks.end() - 1);
  }
  co_return adopted;
}

bool Primary::sole_member() const { return keeper_.membership().in_force().in_sync == SiteSet{replica_.self}; }

runtime::Task<bool> Primary::take_guard(BlockRange blocks, bool with_session) {
  const runtime::Inside inside(callers_);
  const auto ended = [&] { return stop_.requested() || (with_session && !live_); };
  while (guard_.held()) {
    if (ended()) co_return false;
    co_await guard_.changed().wait();
  }
  if (ended()) co_return false;
  guard_.guard(blocks);
  for (;;) {
    if (ended()) {
      guard_.release();
      co_return false;
    }
    // One that has left is in the window until its request takes the answer, and nobody is told when that is.
    const bool busy = std::any_of(window_.begin(), window_.end(), [&](const auto& item) {
      if (item.second->left.given()) return false;
      const std::vector<BlockRange> touched = blocks_of(item.second->effect.writes);
      return std::any_of(touched.begin(), touched.end(), [&](const BlockRange& r) { return r.overlaps(blocks); });
    });
    if (!busy) co_return true;
    co_await replica_.changed.wait();
  }
}

}  // namespace lockstep::controller
