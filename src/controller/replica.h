// replica.h - what both roles do with an effect at their own site: claim, compose, put into force.
//
// The order is always the same, and nothing in put_into_force() suspends:
//
//     area.write -> log.append -> volume.apply        then: drop caches -> (end of the pass: log written) -> answer
//
// A failed write or sync of the area, its log or its keys can't be taken back (C7): from then on failed() is true, nothing is written
// and nothing answered that would have to stand here, and what waits for the area waits for the end of the daemon. The controller
// hands over and leaves (detach_controller.cc).
#pragma once

#include <algorithm>
#include <functional>
#include <map>
#include <vector>

#include "area/area.h"
#include "controller/asked.h"
#include "controller/effect_observer.h"
#include "controller/host_caches.h"
#include "controller/recent_writes.h"
#include "controller/results.h"
#include "controller/role_user.h"
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
  EffectObserver* observer = nullptr;  ///< null: nobody watches
  Results results;
  runtime::Event changed;        ///< notified when the window, the space or the log may have room again

  /// Puts into the keys what became of requests up to `seq`, before the log forgets them and the other site may lack it; true: the keys have changed. Set
  /// before start().
  std::function<runtime::Task<bool>(Seq seq)> put_answers;

  /// Starts what runs by itself: the log becomes stable in bounded time.
  void start();

  // Turns.
  /// What of another site's reservations holds `operation` of a host of `site` back, with what memory holds of the keys. Null:
  /// nothing. An error: EIO for the host, metadata are damaged.
  [[nodiscard]] volume::Attempt<const StatusTable::Reservation*> reserved(SiteId site, const wire::Operation& operation);
  /// What may be done with a request, as far as reservations go.
  enum class Passage { free, busy, damaged, given_up, stopped };
  /// Waits until no reservation holds `asked`, a request of this site's host, back, or `stop`: wake_held() then. Where one says
  /// so it is refused instead (busy). Not free while the reservations are those of `moment`. One that waited has a new id.
  /// Requires: it took no effect. Suspends.
  runtime::Task<Passage> pass(Asked& asked, std::span<const wire::Turn> turns, std::uint64_t moment, RoleUser& user,
                              const runtime::Stop& stop);
  /// What a host is told of a passage that is neither free nor stopped.
  [[nodiscard]] static int error_of(Passage passage);
  void wake_held() { reservations_changed_.notify_all(); }
  /// The table says what the volume's keys say; to be called when they may have changed.
  void take_reservations();
  /// Goes up when reservations change.
  [[nodiscard]] std::uint64_t reservations_moment() const { return reservations_moment_; }
  struct HeldRequest {
    SiteId holder;
    InodeId object;  ///< that is reserved
    Instant since;
  };
  /// Requests of this site's host that wait in pass().
  [[nodiscard]] const std::map<RequestId, HeldRequest>& held() const { return held_; }

  /// Takes or queues; queued: await turn(). Requires: the number of requests in work is bounded below the table's limit.
  [[nodiscard]] StatusTable::Taken take(std::vector<wire::Turn> turns);
  /// True: the claim is granted; false: it was withdrawn. Suspends.
  runtime::Task<bool> turn(ClaimId id);
  void release(ClaimId id);
  /// Ends a queued claim; its turn() answers false.
  void withdraw(ClaimId id);
  /// Waits until no earlier request of any site holds `turns`; takes nothing. Suspends.
  runtime::Task<void> wait_until_neither(std::vector<wire::Turn> turns);

  // Effects.
  /// Blocks and checksums of `effect`. Waits where edge blocks must be read. Errc::corrupt, Errc::io. Suspends.
  runtime::Task<Result<area::Composed>> compose(const wire::Effect& effect, Bytes payload);
  /// True: every block of `effect` may be written, its granules are suspect on the medium (C1). Else: await suspect().
  [[nodiscard]] bool suspected(const wire::Effect& effect) { return suspected(effect.writes); }
  [[nodiscard]] bool suspected(const std::vector<wire::AreaWrite>& writes);
  runtime::Task<void> suspect(const wire::Effect& effect);
  /// Room in the log for the record of `effect`: appended, in memory. False: none, await log_room() and try again.
  [[nodiscard]] bool append(const wire::Effect& effect);
  runtime::Task<void> log_room();
  /// Before a record goes to the other site, which must not wait for room in its log: only what it is told on the way can give it any. True: it
  /// might; await say_stable() first.
  [[nodiscard]] bool must_say_stable(const wire::Effect& effect) const { return !effect.batch.empty() && area.log().outruns(effect); }
  /// Makes the log stable, and tells the other site; or failed(). Suspends.
  runtime::Task<void> say_stable();
  /// Suspects the blocks of `effect` and appends its record: it may be put into force until the caller suspends. Suspends.
  runtime::Task<void> make_room(const wire::Effect& effect);
  /// Writes blocks and checksums and publishes, or failed(). The record was appended before.
  void put_into_force(const wire::Effect& effect, const area::Composed& composed);
  /// True: answering `effect` needs a sync() first.
  [[nodiscard]] bool must_sync(const wire::Effect& effect) const;
  /// Makes what `effect` asks for stable. Suspends.
  runtime::Task<void> sync(const wire::Effect& effect);
  /// Writes the appended records; after it answers may leave.
  void flush_log();
  /// Makes the keys stable and forgets records that nobody needs. Suspends.
  runtime::Task<void> checkpoint();
  /// Everything put into force so far becomes stable: blocks, checksums, log, keys. Suspends.
  runtime::Task<void> make_stable();
  /// A block of `effect`, which the log has, never got its data here: it was new to its file, and was made zeros after a loss of power (C4).
  [[nodiscard]] bool lost_data(const wire::Effect& effect) const;
  [[nodiscard]] Seq logged() const { return logged_; }
  /// Last effect put into force since this start, overwrites too; 0: none.
  [[nodiscard]] Seq applied() const { return applied_; }
  /// Everything up to `seq` stands here.
  void reached(Seq seq) { applied_ = std::max(applied_, seq); }
  [[nodiscard]] Seq last() const { return std::max(logged_, applied_); }
  /// A record at `seq` that changes nothing. False: no room, await log_room() and try again. Requires: seq > log().last().
  [[nodiscard]] bool append_mark(Seq seq);
  enum class Anew : std::uint8_t { keys_replaced, log_lost };
  /// The keys are those of the state after `seq`, be it that they were replaced or that the log lost records: it goes on behind it. Suspends.
  runtime::Task<Result<>> begin_anew(Seq seq, Anew why);

  // What may be forgotten, and what may be used again (C3, C5).
  /// Up to here everything survives loss of power at the other site.
  void peer_stable(Seq seq);
  /// Whether the other site is a member: what it has not stable yet is kept for it.
  void peer_is_member(bool member);
  /// Blocks that an effect freed which every site has answered: used again once it is stable everywhere.
  void hold_freed(Seq seq, std::vector<BlockRange> freed);
  [[nodiscard]] bool holds_freed() const { return !freed_.empty(); }
  /// The log is to be made stable now, at both sites: somebody waits for space.
  void want_stable();
  std::function<void()> pulse_now;  ///< tells the other site at once what is stable here, and asks it for as much if that is wanted
  /// Makes the log stable at once, then calls `then`.
  void sync_soon(std::function<void()> then);
  [[nodiscard]] bool wants_stable() const { return wants_stable_; }
  [[nodiscard]] Seq stable() const { return area.log().stable(); }
  /// See Changes.
  [[nodiscard]] std::uint64_t moment() const { return recent_.moment(); }
  [[nodiscard]] bool written_since(std::uint64_t moment, InodeId inode) const { return recent_.since(moment, inode); }

  /// The effect's data as whole blocks, as they stand in this area: what the other site needs to be made equal.
  /// `effect.writes` and `effect.checksums` are changed to match. Suspends.
  runtime::Task<Result<std::vector<std::byte>>> data_of(wire::Effect& effect);
  /// Makes the checksums of `blocks` those of their bytes, whatever the table said. Suspends.
  runtime::Task<Result<>> adopt(BlockRange blocks);
  /// Puts `bytes` into whole `blocks`, with their checksums; or with `checksums`, one a block, so that what does not match is bad. Nobody
  /// else may write them meanwhile. Suspends.
  runtime::Task<Result<>> replace(BlockRange blocks, Bytes bytes, std::vector<std::uint64_t> checksums = {});

  // Bad blocks (C8).
  /// Those of `blocks` (at most area::kCheckBlocksMax) that do not match their checksum or can't be read. Suspends.
  runtime::Task<Result<std::vector<std::uint64_t>>> bad_among(BlockRange blocks);
  /// Reads `blocks` as they are published when it returns, all at that moment, with their checksums. Errc::corrupt, Errc::io. Suspends.
  runtime::Task<Result<std::vector<std::uint64_t>>> read_published(BlockRange blocks, MutableBytes into);
  /// `bytes` of the other site go into `block`, if it is still bad here; counts it and says it. `bytes` may be why there are none.
  /// Nobody else may write the block meanwhile. Suspends.
  runtime::Task<Result<>> mend(std::uint64_t block, Result<std::vector<std::byte>> bytes);
  /// The same of a block that was put right, or not (`why`), otherwise.
  void note_mend(std::uint64_t block, const std::string& why);
  struct Mends {
    std::uint64_t repaired = 0;
    std::uint64_t left = 0;  ///< attempts that found no good copy
  };
  [[nodiscard]] const Mends& mends() const { return mends_; }
  /// Called for each block that is counted. `why`: why it is still bad; empty: it is repaired.
  std::function<void(std::uint64_t block, const std::string& why)> on_mend;

  /// The checksums of `blocks`, of one granule, can't be relied on, see source_checksums().
  [[nodiscard]] bool doubtful(BlockRange blocks) const {
    const std::uint64_t granule = blocks.first * kBlockBytes / area::kGranuleBytes;
    return granule < doubtful_.size() && doubtful_[granule];
  }
  /// Those of some blocks can't.
  [[nodiscard]] bool doubts() const { return std::ranges::find(doubtful_, true) != doubtful_.end(); }
  /// Both sites were made equal: what does not match its checksum from here on is bad.
  void made_equal() { doubtful_.clear(); }
  /// Checksums of `blocks`, of one granule, for a comparison with the other site. Where this site's own table can't be relied on
  /// (C2: suspect when it was stopped uncleanly) a block that does not match it has a checksum that differs from both. Suspends.
  runtime::Task<Result<std::vector<std::uint64_t>>> source_checksums(BlockRange blocks);

  // The end of the area (C7).
  [[nodiscard]] bool failed() const { return !failure_.empty(); }
  /// What failed, for people; empty: nothing.
  [[nodiscard]] const std::string& failure() const { return failure_; }
  /// The area can't be trusted to hold what would be answered. The first call counts.
  void fail_area(const char* what, const Error& error);
  /// fail_area() for who can wait. Never returns: the area is gone for good. Suspends.
  runtime::Task<void> halt(const char* what, Error error);
  /// Called at the first failure, from wherever it happens: must not call back.
  std::function<void()> on_failure;

  /// Waits until nothing runs here any more. Suspends.
  runtime::Task<void> stop();

 private:
  runtime::Task<void> suspect_ahead();

  bool stable_;
  runtime::Event reservations_changed_;
  std::uint64_t reservations_moment_ = 0;  // of those in the table
  std::map<RequestId, HeldRequest> held_;
  std::map<ClaimId, runtime::OneShot<bool>*> waiters_;
  runtime::Event log_room_;
  runtime::Scope scope_;
  bool checkpointing_ = false;
  bool saying_stable_ = false;
  unsigned holds_appends_ = 0;  // who makes the log stable and lets nothing new into it until then
  runtime::Task<void> tick_loop();
  runtime::Task<void> sync_then(std::function<void()> then);
  runtime::Task<void> stable_loop();
  runtime::Task<void> note_own(Seq through);
  runtime::Task<void> drop_own(Seq through);
  void release_freed();

  Mends mends_;
  std::string failure_;
  runtime::Event never_;
  Seq logged_;
  Seq applied_;
  Seq peer_stable_;
  bool peer_member_ = true;
  bool wants_stable_ = false;
  bool sync_due_ = false;
  std::vector<bool> doubtful_;  // granules whose checksums may be older or newer than their bytes: suspect at an unclean start
  runtime::Event sync_now_;
  runtime::Stop stop_;
  std::map<Seq, std::vector<BlockRange>> freed_;
  RecentWrites recent_;
};

/// An answer to FETCH_BLOCKS of `asked` is one, and its data matches its checksums. Errc::invalid.
[[nodiscard]] Result<> check_answer(const wire::Blocks& answer, BlockRange asked, Bytes payload);

/// The blocks that `writes` touch, in order, neighbours joined.
[[nodiscard]] std::vector<BlockRange> blocks_of(std::span<const wire::AreaWrite> writes);

}  // namespace lockstep::controller
