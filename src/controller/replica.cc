#include "controller/replica.h"

#include <cstdlib>

#include "core/checksum.h"
#include "core/log.h"
#include "core/planted.h"

namespace lockstep::controller {
namespace {

constexpr std::size_t kClaimsMax = 65536;

}  // namespace

Replica::Replica(runtime::World& w, volume::Volume& v, area::Area& a, SiteId s, bool stable)
    : world(w),
      volume(v),
      area(a),
      self(s),
      table(kClaimsMax),
      steps(w.clock),
      stable_(stable),
      log_room_(w.scheduler),
      scope_(w.scheduler),
      logged_(a.log().last()) {
  logged_ = std::max(logged_, v.applied());
}

Replica::~Replica() { CHECK(waiters_.empty()); }

StatusTable::Taken Replica::take(SiteId site, std::vector<wire::Turn> turns) {
  const Result<StatusTable::Taken> taken = table.take({.site = site, .reservation = false, .turns = std::move(turns)});
  CHECK(taken.has_value());
  return *taken;
}

runtime::Task<bool> Replica::turn(ClaimId id) {
  runtime::OneShot<bool> mine(world.scheduler);
  CHECK(waiters_.emplace(id, &mine).second);
  const bool granted = co_await mine.take();
  waiters_.erase(id);
  co_return granted;
}

void Replica::release(ClaimId id) {
  for (const ClaimId next : table.release(id)) {
    const auto waiting = waiters_.find(next);
    if (waiting != waiters_.end()) waiting->second->give(true);
  }
}

void Replica::withdraw(ClaimId id) {
  const auto waiting = waiters_.find(id);
  if (waiting == waiters_.end() || waiting->second->given()) return;
  waiting->second->give(false);
  release(id);
}

runtime::Task<void> Replica::wait_until_neither(SiteId site, std::vector<wire::Turn> turns) {
  const StatusTable::Taken taken = take(site, std::move(turns));
  if (taken.verdict == Verdict::queued) co_await turn(taken.id);
  release(taken.id);
}

runtime::Task<Result<>> Replica::cover(std::vector<BlockRange> blocks) {
  while (!area.suspects().cover(blocks)) {
    const Result<> marked = co_await area.suspects().mark(blocks);
    if (!marked) co_return marked;
  }
  co_return Result<>{};
}

runtime::Task<Result<area::Composed>> Replica::compose(const wire::Effect& effect, Bytes payload) {
  for (;;) {
    const Result<> covered = co_await cover(blocks_of(effect.writes));
    if (!covered) co_return std::unexpected(covered.error());
    std::optional<Result<area::Composed>> composed = area.compose(effect.writes, payload);
    if (composed) co_return std::move(*composed);
    const Result<> warmed = co_await area.warm(effect.writes);
    if (!warmed) co_return std::unexpected(warmed.error());
  }
}

bool Replica::append(const wire::Effect& effect) {
  if (effect.batch.empty()) return true;
  if (planted(Planted::lose_log_record) && effect.seq.value % 16 == 0) return true;
  const Result<> appended = area.log().append(effect);
  if (!appended && appended.error().code != Errc::busy) fatal("appending to the log", appended.error());
  if (area.log().bytes_used() > area.log().bytes() / 2 && !checkpointing_) {
    checkpointing_ = true;
    scope_.spawn(checkpoint());
  }
  return appended.has_value();
}

runtime::Task<void> Replica::log_room() {
  if (!checkpointing_) {
    checkpointing_ = true;
    scope_.spawn(checkpoint());
  }
  co_await log_room_.wait();
}

runtime::Task<void> Replica::checkpoint() {
  const Seq through = volume.applied();
  std::vector<ByteRange> everything{{0, area.identity().blocks * kBlockBytes}};
  const Result<> synced = co_await area.sync(std::move(everything), true);
  if (!synced) fatal("making the area stable", synced.error());
  const Result<> flushed = co_await world.keys.flush();
  if (!flushed) fatal("making the metadata stable", flushed.error());
  const Result<> forgotten = co_await area.log().forget_through(std::min(through, peer_logged_));
  if (!forgotten) fatal("shortening the log", forgotten.error());
  checkpointing_ = false;
  log_room_.notify_all();
}

void Replica::peer_logged(Seq seq) { peer_logged_ = std::max(peer_logged_, seq); }

void Replica::put_into_force(const wire::Effect& effect, const area::Composed& composed) {
  if (!effect.writes.empty()) {
    const Result<> written = area.write(composed);
    if (!written) fatal("writing the area", written.error());
  }
  const Result<> applied = volume.apply(effect);
  if (!applied) fatal("changing the metadata", applied.error());
  for (const wire::Drop& drop : effect.drops) {
    if (drop.kind == wire::Drop::Kind::pages) recent_.note(drop.inode);
  }
}

bool Replica::must_sync(const wire::Effect& effect) const {
  return !effect.sync.empty() || effect.sync_all || stable_;
}

runtime::Task<void> Replica::sync(const wire::Effect& effect) {
  std::vector<ByteRange> ranges = effect.sync;
  if (stable_) {
    for (const wire::AreaWrite& w : effect.writes) ranges.push_back({w.address, w.length});
  }
  const Result<> synced = co_await area.sync(std::move(ranges), true);
  if (!synced) fatal("making a write stable", synced.error());
}

void Replica::flush_log() {
  const Result<> flushed = area.log().flush();
  if (!flushed) fatal("writing the log", flushed.error());
  logged_ = std::max(logged_, area.log().last());
}

runtime::Task<Result<std::vector<std::byte>>> Replica::data_of(wire::Effect& effect) {
  std::vector<std::byte> data;
  std::vector<wire::AreaWrite> whole;
  effect.checksums.clear();
  // Blocks that are new to their file stay known as such: after a loss of power that matters (C4).
  for (const wire::AreaWrite& w : effect.writes) {
    for (const BlockRange& blocks : blocks_of(std::span(&w, 1))) {
      const std::size_t at = data.size();
      data.resize(at + blocks.count * kBlockBytes);
      const Result<> read = co_await area.read_raw(blocks, MutableBytes(data).subspan(at));
      if (!read) co_return std::unexpected(read.error());
      const wire::AreaWrite one{.address = blocks.first * kBlockBytes, .length = blocks.count * kBlockBytes, .fresh = w.fresh};
      if (!whole.empty() && whole.back().fresh == one.fresh && whole.back().address + whole.back().length == one.address) {
        whole.back().length += one.length;
      } else {
        whole.push_back(one);
      }
    }
  }
  effect.writes = std::move(whole);
  for (std::size_t at = 0; at < data.size(); at += kBlockBytes) {
    effect.checksums.push_back(checksum(Bytes(data).subspan(at, kBlockBytes)));
  }
  co_return std::move(data);
}

runtime::Task<Result<>> Replica::adopt(BlockRange blocks) {
  const Result<> covered = co_await cover({blocks});
  if (!covered) co_return covered;
  const Result<std::uint64_t> adopted = co_await area.adopt(blocks);
  if (!adopted) co_return std::unexpected(adopted.error());
  co_return Result<>{};
}

void Replica::fatal(const char* what, const Error& error) {
  log::error("{} failed: {} (errno {}); the daemon stops so that nothing is acknowledged that is not stored; check the "
             "medium, then start it again",
             what, error.text, error.posix);
  std::abort();
}

runtime::Task<void> Replica::stop() {
  co_await scope_.join();
}

std::vector<BlockRange> blocks_of(std::span<const wire::AreaWrite> writes) {
  std::vector<BlockRange> ranges;
  for (const wire::AreaWrite& w : writes) {
    if (w.length == 0) continue;
    const std::uint64_t first = w.address / kBlockBytes;
    const std::uint64_t end = (w.address + w.length + kBlockBytes - 1) / kBlockBytes;
    if (!ranges.empty() && ranges.back().end() == first) {
      ranges.back().count += end - first;
    } else {
      ranges.push_back({first, end - first});
    }
  }
  return ranges;
}

}  // namespace lockstep::controller
