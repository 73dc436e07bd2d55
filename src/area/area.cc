// area.cc - an area on a Disk: its files together, open and close.
#include "area/area.h"

#include <fmt/format.h>

#include "area/area_log.h"
#include "area/blocks.h"
#include "area/slots.h"
#include "area/superblocks.h"
#include "core/check.h"

namespace lockstep::area {
namespace {

using runtime::Task;

class DiskArea final : public Area {
 public:
  DiskArea(Superblocks superblocks, bool unclean, std::unique_ptr<Blocks> blocks, std::unique_ptr<AreaLog> log,
           std::unique_ptr<Slots> slots, runtime::Scheduler& scheduler)
      : scheduler_(scheduler),
        superblocks_(std::move(superblocks)),
        unclean_(unclean),
        blocks_(std::move(blocks)),
        log_(std::move(log)),
        slots_(std::move(slots)) {}

  const Identity& identity() const override { return superblocks_.current().identity; }
  bool unclean() const override { return unclean_; }
  Task<Result<>> close() override;

  std::optional<Result<>> try_read(BlockRange blocks, MutableBytes into) override { return blocks_->try_read(blocks, into); }
  Task<Result<>> read(BlockRange blocks, MutableBytes into) override { return blocks_->read(blocks, into); }
  Task<Result<>> read_raw(BlockRange blocks, MutableBytes into) override { return blocks_->read_raw(blocks, into); }
  std::uint64_t stored_checksum(std::uint64_t block) const override { return blocks_->stored_checksum(block); }

  std::optional<Result<Composed>> compose(std::span<const wire::AreaWrite> writes, Bytes payload) override {
    return blocks_->compose(writes, payload);
  }
  Task<Result<>> warm(std::vector<wire::AreaWrite> writes) override { return blocks_->warm(std::move(writes)); }
  Result<> write(const Composed& composed) override { return blocks_->write(composed); }
  Task<Result<>> sync(std::vector<ByteRange> ranges, bool log_too) override;

  Log& log() override { return *log_; }
  InFlight& in_flight() override { return *slots_; }
  const Counters& counters() const override { return blocks_->counters(); }

 private:
  Task<void> sync_log(Result<>& done);

  runtime::Scheduler& scheduler_;
  Superblocks superblocks_;
  bool unclean_;
  std::unique_ptr<Blocks> blocks_;
  std::unique_ptr<AreaLog> log_;
  std::unique_ptr<Slots> slots_;
};

Task<Result<>> DiskArea::sync(std::vector<ByteRange> ranges, bool log_too) {
  Result<> log_done;
  runtime::Scope beside(scheduler_);
  if (log_too) beside.spawn(sync_log(log_done));
  Result<> done = co_await blocks_->sync(std::move(ranges), scheduler_);
  co_await beside.join();
  if (done) done = std::move(log_done);
  co_return done;
}

Task<void> DiskArea::sync_log(Result<>& done) { done = co_await log_->sync(); }

Task<Result<>> DiskArea::close() {
  std::vector<ByteRange> everything{{0, identity().blocks * kBlockBytes}};
  Result<> done = co_await sync(std::move(everything), true);
  if (!done) co_return done;
  Superblock next = superblocks_.current();
  next.clean = true;
  co_return co_await superblocks_.write(std::move(next));
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

}  // namespace

Task<Result<std::unique_ptr<Area>>> Area::open(runtime::World& world) {
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
  Result<std::unique_ptr<runtime::Mapping>> checksums = map_file(disk, kChecksumsFile, id.blocks * Blocks::kChecksumBytes);
  if (!checksums) co_return std::unexpected(std::move(checksums.error()));
  Result<std::unique_ptr<runtime::Mapping>> in_flight = map_file(disk, kInFlightFile, kInFlightBytes);
  if (!in_flight) co_return std::unexpected(std::move(in_flight.error()));
  Result<std::unique_ptr<runtime::File>> log_file = open_file(disk, kLogFile, id.log_bytes);
  if (!log_file) co_return std::unexpected(std::move(log_file.error()));

  Result<std::unique_ptr<Slots>> slots = co_await Slots::open(std::move(*in_flight), id.blocks);
  if (!slots) co_return in(where, std::move(slots.error()));
  Result<std::unique_ptr<RecordRing>> ring = co_await RecordRing::open(std::move(*log_file), id.log_bytes, world.scheduler);
  if (!ring) co_return in(where, std::move(ring.error()));

  // From here on nothing is taken for closed until close(). A damaged copy may have been the newer one.
  const bool unclean = !superblocks->current().clean || superblocks->damaged();
  Superblock next = superblocks->current();
  next.clean = false;
  Result<> marked = co_await superblocks->write(std::move(next));
  if (!marked) co_return in(where, std::move(marked.error()));

  auto blocks = std::make_unique<Blocks>(std::move(*extents), std::move(*checksums), id.blocks);
  auto log = std::make_unique<AreaLog>(std::move(*ring));
  std::unique_ptr<Area> area =
      std::make_unique<DiskArea>(std::move(*superblocks), unclean, std::move(blocks), std::move(log), std::move(*slots),
                                  world.scheduler);
  co_return std::move(area);
}

}  // namespace lockstep::area
