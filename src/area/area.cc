// area.cc - an area on a Disk: its files together, open and close.
#include "area/area.h"

#include <fmt/format.h>

#include "area/area_log.h"
#include "area/blocks.h"
#include "area/slots.h"
#include "area/state_file.h"
#include "area/superblocks.h"
#include "area/suspect_map.h"
#include "area/unwritten.h"
#include "core/check.h"
#include "core/log.h"

namespace lockstep::area {
namespace {

using runtime::Task;

/// The files of an area, open.
struct Parts {
  std::unique_ptr<Failure> failure;
  std::unique_ptr<StateFile> state;
  std::unique_ptr<SuspectMap> suspects;
  std::unique_ptr<Blocks> blocks;
  std::unique_ptr<AreaLog> log;
  std::unique_ptr<Slots> slots;
};

/// The blocks that `ranges` touch.
std::vector<BlockRange> blocks_in(const std::vector<ByteRange>& ranges) {
  std::vector<BlockRange> blocks;
  for (const ByteRange& r : ranges) {
    if (r.empty()) continue;
    const std::uint64_t first = r.offset / kBlockBytes;
    blocks.push_back({first, (r.end() - 1) / kBlockBytes + 1 - first});
  }
  return blocks;
}

class DiskArea final : public Area {
 public:
  DiskArea(Parts parts, Superblocks superblocks, bool unclean, Uuid host_boot, runtime::Scheduler& scheduler)
      : scheduler_(scheduler),
        parts_(std::move(parts)),
        superblocks_(std::move(superblocks)),
        host_boot_(host_boot),
        unclean_(unclean),
        power_lost_(superblocks_.current().host_boot != host_boot) {}

  const Identity& identity() const override { return superblocks_.current().identity; }
  bool unclean() const override { return unclean_; }
  bool power_lost() const override { return power_lost_; }
  Task<Result<>> power_loss_recorded() override;
  Task<Result<>> close() override;
  Task<Result<>> close_doubtful() override;
  const std::optional<Error>& failure() const override { return parts_.failure->first(); }

  const std::string& saved_state() const override { return parts_.state->saved(); }
  Task<Result<>> save_state(std::string bytes) override { return parts_.state->save(std::move(bytes)); }

  std::optional<Result<>> try_read(BlockRange blocks, MutableBytes into) override { return parts_.blocks->try_read(blocks, into); }
  Task<Result<>> read(BlockRange blocks, MutableBytes into) override { return parts_.blocks->read(blocks, into); }
  Task<Result<>> read_raw(BlockRange blocks, MutableBytes into) override { return parts_.blocks->read_raw(blocks, into); }
  Task<Result<std::vector<bool>>> check(BlockRange blocks, MutableBytes into) override { return parts_.blocks->check(blocks, into); }
  Task<Result<std::uint64_t>> adopt(BlockRange blocks) override;
  std::uint64_t stored_checksum(std::uint64_t block) const override { return parts_.blocks->stored_checksum(block); }
  Task<Result<std::vector<std::uint64_t>>> stored_checksums(BlockRange blocks) override { return parts_.blocks->stored_checksums(blocks); }

  std::optional<Result<Composed>> compose(std::span<const wire::AreaWrite> writes, Bytes payload,
                                          std::span<const std::uint64_t> lost) override {
    return parts_.blocks->compose(writes, payload, lost);
  }
  Task<Result<>> warm(std::vector<wire::AreaWrite> writes) override { return parts_.blocks->warm(std::move(writes)); }
  Result<> write(const Composed& composed) override;
  Task<Result<>> sync(std::vector<ByteRange> ranges, bool log_too) override;

  Log& log() override { return *parts_.log; }
  InFlight& in_flight() override { return *parts_.slots; }
  Suspects& suspects() override { return *parts_.suspects; }
  const Counters& counters() const override { return parts_.blocks->counters(); }

 private:
  Task<void> sync_log(Result<>& done);

  Task<Result<>> write_superblock(Superblock next);
  [[nodiscard]] ByteRange everything() const { return {0, identity().blocks * kBlockBytes}; }

  runtime::Scheduler& scheduler_;
  Parts parts_;
  Superblocks superblocks_;
  Uuid host_boot_;
  bool unclean_;
  bool power_lost_;
};

Result<> DiskArea::write(const Composed& composed) {
  for (const Composed::Part& part : composed.parts) {
    CHECK(parts_.suspects->covers(part.blocks));
    parts_.suspects->touch(part.blocks);
  }
  return parts_.blocks->write(composed);
}

Task<Result<std::uint64_t>> DiskArea::adopt(BlockRange blocks) {
  CHECK(parts_.suspects->covers(blocks));
  parts_.suspects->touch(blocks);
  Result<std::uint64_t> adopted = co_await parts_.blocks->adopt(blocks);
  parts_.suspects->touch(blocks);
  co_return adopted;
}

Task<Result<>> DiskArea::sync(std::vector<ByteRange> ranges, bool log_too) {
  const bool whole = log_too && ranges.size() == 1 && ranges.front() == everything();
  const bool counted = whole && parts_.suspects->whole_sync_begins();
  std::vector<BlockRange> blocks = blocks_in(ranges);
  const std::uint64_t proof = parts_.log->begin_proof();
  // Blocks that are new to their file: what the log says of them is stable behind them. Else all are made stable side by side.
  const bool prove = log_too && parts_.log->new_blocks_in(blocks);
  Result<> log_done;
  runtime::Scope beside(scheduler_);
  if (log_too && !prove) beside.spawn(sync_log(log_done));
  Result<> done = co_await parts_.blocks->sync(std::move(ranges), scheduler_);
  co_await beside.join();
  if (done && prove) {
    done = co_await parts_.log->prove(std::move(blocks), proof);
    if (done) done = co_await parts_.log->sync();
  }
  if (done) done = std::move(log_done);
  if (counted) parts_.suspects->whole_sync_ended(done.has_value());
  co_return done;
}

Task<void> DiskArea::sync_log(Result<>& done) { done = co_await parts_.log->sync(); }

Task<Result<>> DiskArea::close_doubtful() {
  std::vector<ByteRange> ranges{everything()};
  co_return co_await sync(std::move(ranges), true);
}

Task<Result<>> DiskArea::close() {
  Result<> done = co_await close_doubtful();
  if (!done) co_return done;
  Superblock next = superblocks_.current();
  // A loss of power that nobody wrote down must be found by the next open().
  if (next.host_boot != host_boot_) co_return done;
  next.clean = true;
  co_return co_await write_superblock(std::move(next));
}

Task<Result<>> DiskArea::power_loss_recorded() {
  Superblock next = superblocks_.current();
  if (next.host_boot == host_boot_) co_return Result<>{};
  next.host_boot = host_boot_;
  co_return co_await write_superblock(std::move(next));
}

Task<Result<>> DiskArea::write_superblock(Superblock next) {
  Result<> done = parts_.failure->check();
  if (!done) co_return done;
  done = co_await superblocks_.write(std::move(next));
  if (!done) co_return parts_.failure->note(std::move(done.error()));
  co_return done;
}

/// `what` of the file `name` is to have `expected` bytes at least.
Result<> long_enough(const std::string& where, const char* name, std::uint64_t expected, std::uint64_t found) {
  if (found >= expected) return {};
  return fail(Errc::refused, fmt::format("{}/{}: {} bytes expected, {} found; it is shorter than it was formatted: if it was cut, "
                                         "format this site's area again and let it catch up from the other site",
                                         where, name, expected, found));
}

std::unexpected<Error> in(const std::string& where, Error error) {
  error.text = fmt::format("{}: {}", where, error.text);
  return std::unexpected(std::move(error));
}

Result<std::unique_ptr<runtime::File>> open_file(runtime::Disk& disk, const char* name, std::uint64_t expected) {
  Result<std::unique_ptr<runtime::File>> file = disk.open(name);
  if (!file) return file;
  if (Result<> enough = long_enough(disk.where(), name, expected, (*file)->bytes()); !enough)
    return std::unexpected(std::move(enough.error()));
  return file;
}

Result<std::unique_ptr<runtime::Mapping>> map_file(runtime::Disk& disk, const char* name, std::uint64_t expected) {
  Result<std::unique_ptr<runtime::Mapping>> file = disk.map(name);
  if (!file) return file;
  if (Result<> enough = long_enough(disk.where(), name, expected, (*file)->bytes().size()); !enough)
    return std::unexpected(std::move(enough.error()));
  return file;
}

/// C4, before anything is read. Suspends.
Task<Result<>> after_power_loss(Parts& parts, runtime::Scheduler& scheduler) {
  Result<NewBlocks> found = co_await zero_unwritten(parts.log->ring(), *parts.blocks, *parts.suspects, scheduler);
  if (!found) co_return std::unexpected(std::move(found.error()));
  parts.blocks->counters().zeroed = found->zeroed;
  log::warning("the machine lost power while the area was open: {} granules are suspect; of {} blocks that were new to their "
               "files and never synced {} had not got their data and are zeros now, {} can't be read",
               parts.suspects->count(), found->doubtful, found->zeroed, found->unreadable);
  co_return Result<>{};
}

}  // namespace

Task<Result<std::unique_ptr<Area>>> Area::open(runtime::World& world, Uuid host_boot) {
  runtime::Disk& disk = world.disk;
  const std::string where = disk.where();
  if (Result<> locked = disk.lock(); !locked) co_return std::unexpected(std::move(locked.error()));

  Result<std::unique_ptr<runtime::File>> superblock_file = disk.open(kSuperblockFile);
  if (!superblock_file && superblock_file.error().code == Errc::absent) {
    co_return fail(Errc::refused, fmt::format("{} is not a storage area: it has no superblock; make one with "
                                              "\"lockstep format\"", where));
  }
  if (!superblock_file) co_return std::unexpected(std::move(superblock_file.error()));
  Result<Superblocks> superblocks = co_await Superblocks::read(std::move(*superblock_file));
  if (!superblocks) co_return in(where, std::move(superblocks.error()));
  const Identity id = superblocks->current().identity;

  Result<std::unique_ptr<runtime::File>> extents = open_file(disk, kExtentsFile, id.blocks * kBlockBytes);
  if (!extents) co_return std::unexpected(std::move(extents.error()));
  Result<std::unique_ptr<runtime::Mapping>> checksums = map_file(disk, kChecksumsFile, table_bytes(id.blocks));
  if (!checksums) co_return std::unexpected(std::move(checksums.error()));
  Result<std::unique_ptr<runtime::Mapping>> suspect = disk.map(kSuspectFile);
  if (!suspect) co_return std::unexpected(std::move(suspect.error()));
  Result<std::unique_ptr<runtime::File>> state_file = open_file(disk, kStateFile, kStateFileBytes);
  if (!state_file) co_return std::unexpected(std::move(state_file.error()));
  Result<std::unique_ptr<runtime::Mapping>> in_flight = map_file(disk, kInFlightFile, kInFlightBytes);
  if (!in_flight) co_return std::unexpected(std::move(in_flight.error()));
  Result<std::unique_ptr<runtime::File>> log_file = open_file(disk, kLogFile, id.log_bytes);
  if (!log_file) co_return std::unexpected(std::move(log_file.error()));

  Parts parts;
  parts.failure = std::make_unique<Failure>();
  Failure& failure = *parts.failure;
  Result<std::unique_ptr<StateFile>> state = co_await StateFile::open(std::move(*state_file), world.scheduler, failure);
  if (!state) co_return in(where, std::move(state.error()));
  Result<std::unique_ptr<SuspectMap>> suspects = co_await SuspectMap::open(std::move(*suspect), id.blocks, world.scheduler, failure);
  if (!suspects) co_return in(where, std::move(suspects.error()));
  Result<std::unique_ptr<Slots>> slots = co_await Slots::open(std::move(*in_flight), id.blocks);
  if (!slots) co_return in(where, std::move(slots.error()));
  Result<std::unique_ptr<RecordRing>> ring = co_await RecordRing::open(std::move(*log_file), id.log_bytes, world.scheduler, failure);
  if (!ring) co_return in(where, std::move(ring.error()));

  // From here on nothing is taken for closed until close(). A damaged copy may have been the newer one.
  const bool unclean = !superblocks->current().clean || superblocks->damaged();
  Superblock next = superblocks->current();
  next.clean = false;
  if (!unclean) next.host_boot = host_boot;
  Result<> marked = co_await superblocks->write(std::move(next));
  if (!marked) co_return in(where, std::move(marked.error()));

  parts.state = std::move(*state);
  parts.suspects = std::move(*suspects);
  parts.slots = std::move(*slots);
  parts.blocks = std::make_unique<Blocks>(std::move(*extents), std::move(*checksums), id.blocks, (*ring)->point(), failure);
  parts.log = std::make_unique<AreaLog>(std::move(*ring), id.blocks);
  if (superblocks->current().host_boot != host_boot) {
    Result<> mended = co_await after_power_loss(parts, world.scheduler);
    if (!mended) co_return in(where, std::move(mended.error()));
  }
  std::unique_ptr<Area> area =
      std::make_unique<DiskArea>(std::move(parts), std::move(*superblocks), unclean, host_boot, world.scheduler);
  co_return std::move(area);
}

}  // namespace lockstep::area
