// replica.h - what both roles do with an effect at their own site: claim, compose, put into force.
//
// The order is always the same, and nothing in put_into_force() suspends:
//
//     area.write -> log.append -> volume.apply        then: drop caches -> (end of the pass: log written) -> answer
//
// A failed write of the area or its log can't be taken back and must not be answered: the daemon stops (fatal()), the
// other site keeps what was acknowledged, and a restart finds what was in flight.
#pragma once

#include <map>
#include <vector>

#include "area/area.h"
#include "controller/host_caches.h"
#include "controller/recent_writes.h"
#include "controller/status_table.h"
#include "controller/steps.h"
#include "runtime/sync.h"
#include "runtime/world.h"
#include "volume/volume.h"

namespace lockstep::controller {

class Replica {
 public:
  Replica(runtime::World& world, volume::Volume& volume, area::Area& area, SiteId self, bool stable);
  ~Replica();

  runtime::World& world;
  volume::Volume& volume;
  area::Area& area;
  const SiteId self;
  StatusTable table;
  Steps steps;
  HostCaches* caches = nullptr;  ///< set before the first session

  // Turns.
  /// Takes or queues; queued: await turn(). Requires: the number of requests in work is bounded below the table's limit.
  [[nodiscard]] StatusTable::Taken take(SiteId site, std::vector<wire::Turn> turns);
  /// True: the claim is granted; false: it was withdrawn. Suspends.
  runtime::Task<bool> turn(ClaimId id);
  void release(ClaimId id);
  /// Ends a queued claim; its turn() answers false.
  void withdraw(ClaimId id);
  /// Waits until no earlier request of any site holds `turns`; takes nothing. Suspends.
  runtime::Task<void> wait_until_neither(SiteId site, std::vector<wire::Turn> turns);

  // Effects.
  /// Makes `blocks` suspect here, so that they may be written until this coroutine suspends (C1). Errc::invalid, Errc::io. Suspends.
  runtime::Task<Result<>> cover(std::vector<BlockRange> blocks);
  /// Blocks and checksums of `effect`, its blocks covered. Waits where edge blocks must be read. Errc::corrupt, Errc::io. Suspends.
  runtime::Task<Result<area::Composed>> compose(const wire::Effect& effect, Bytes payload);
  /// Room in the log for the record of `effect`: appended, in memory. False: none, await log_room() and try again.
  [[nodiscard]] bool append(const wire::Effect& effect);
  runtime::Task<void> log_room();
  /// Writes blocks and checksums and publishes. The record was appended before.
  void put_into_force(const wire::Effect& effect, const area::Composed& composed);
  /// True: answering `effect` needs a sync() first.
  [[nodiscard]] bool must_sync(const wire::Effect& effect) const;
  /// Makes what `effect` asks for stable. Suspends.
  runtime::Task<void> sync(const wire::Effect& effect);
  /// Writes the appended records; after it answers may leave.
  void flush_log();
  /// Makes the keys stable and forgets records that nobody needs. Suspends.
  runtime::Task<void> checkpoint();
  void peer_logged(Seq seq);
  [[nodiscard]] Seq logged() const { return logged_; }
  /// See Changes.
  [[nodiscard]] std::uint64_t moment() const { return recent_.moment(); }
  [[nodiscard]] bool written_since(std::uint64_t moment, InodeId inode) const { return recent_.since(moment, inode); }

  /// The effect's data as whole blocks, as they stand in this area: what the other site needs to be made equal.
  /// `effect.writes` and `effect.checksums` are changed to match. Suspends.
  runtime::Task<Result<std::vector<std::byte>>> data_of(wire::Effect& effect);
  /// Makes the checksums of `blocks` those of their bytes, whatever the table said. Suspends.
  runtime::Task<Result<>> adopt(BlockRange blocks);

  /// Ends the daemon: the area can't be trusted to hold what would be answered.
  [[noreturn]] void fatal(const char* what, const Error& error);

  /// Waits until nothing runs here any more. Suspends.
  runtime::Task<void> stop();

 private:
  bool stable_;
  std::map<ClaimId, runtime::OneShot<bool>*> waiters_;
  runtime::Event log_room_;
  runtime::Scope scope_;
  bool checkpointing_ = false;
  Seq logged_;
  Seq peer_logged_;
  RecentWrites recent_;
};

/// The blocks that `writes` touch, in order, neighbours joined.
[[nodiscard]] std::vector<BlockRange> blocks_of(std::span<const wire::AreaWrite> writes);

}  // namespace lockstep::controller
