// Format, open, load: everything that suspends but listings.
#include <fmt/format.h>

#include <algorithm>

#include "runtime/sync.h"
#include "volume/file_volume.h"

namespace lockstep::volume {
namespace {

constexpr std::uint64_t kReplayBytes = 4u << 20;
constexpr std::size_t kLockKeysAtOnce = 256;
constexpr std::size_t kKeysBesides = 32;  // keys that are read at the same time

std::uint64_t groups_of(std::uint64_t blocks) { return (blocks + kGroupBlocks - 1) / kGroupBlocks; }

/// The number under `key`, which every volume has.
runtime::Task<Result<std::uint64_t>> read_counter(runtime::KeyValue& store, std::string_view key) {
  const Result<std::optional<std::string>> value = co_await store.get(std::string(key));
  if (!value) co_return std::unexpected(value.error());
  if (!*value) co_return fail(Errc::corrupt, fmt::format("the metadata have no key {}: not a volume, or damaged", key));
  co_return unpack_u64(**value);
}

/// Free blocks of each group.
runtime::Task<Result<std::vector<std::uint64_t>>> read_groups(runtime::KeyValue& store, std::uint64_t blocks) {
  std::vector<std::uint64_t> free;
  const std::uint64_t groups = groups_of(blocks);
  while (free.size() < groups) {
    KeySpan span = groups_from(static_cast<std::uint32_t>(free.size()));
    const Result<std::vector<runtime::KeyPair>> page = co_await store.scan(span.from, span.to, 4096, nullptr);
    if (!page) co_return std::unexpected(page.error());
    for (const runtime::KeyPair& pair : *page) {
      const Result<std::uint32_t> group = parse_group_key(pair.key);
      const Result<std::uint32_t> count = unpack_u32(pair.value);
      if (!group) co_return std::unexpected(group.error());
      if (!count) co_return std::unexpected(count.error());
      if (*group != free.size()) break;
      free.push_back(*count);
    }
    if (page->empty() || free.size() > groups) break;
  }
  if (free.size() != groups)
    co_return fail(Errc::corrupt, fmt::format("the metadata count {} groups of blocks, the area has {}", free.size(), groups));
  co_return free;
}

/// Locks of every file.
runtime::Task<Result<LockTable>> read_locks(runtime::KeyValue& store) {
  LockTable table;
  KeySpan span = all_locks();
  for (;;) {
    const Result<std::vector<runtime::KeyPair>> page = co_await store.scan(span.from, span.to, kLockKeysAtOnce, nullptr);
    if (!page) co_return std::unexpected(page.error());
    for (const runtime::KeyPair& pair : *page) {
      const Result<InodeId> inode = parse_inode_key(pair.key);
      if (!inode) co_return std::unexpected(inode.error());
      Result<LocksValue> locks = unpack_locks(pair.value);
      if (!locks) co_return std::unexpected(locks.error());
      table.replace(*inode, FileLocks(std::move(*locks)));
    }
    if (table.size() > kLocksMax) co_return fail(Errc::corrupt, fmt::format("the metadata have more than {} locks", kLocksMax));
    if (page->size() < kLockKeysAtOnce) co_return table;
    span.from = page->back().key + '\0';
  }
}

runtime::Task<Result<std::vector<Reservation>>> read_reservations(runtime::KeyValue& store) {
  const KeySpan span = all_reservations();
  const Result<std::vector<runtime::KeyPair>> pairs = co_await store.scan(span.from, span.to, kReservationsMax + 1, nullptr);
  if (!pairs) co_return std::unexpected(pairs.error());
  if (pairs->size() > kReservationsMax)
    co_return fail(Errc::corrupt, fmt::format("the metadata have more than {} reservations: run lockstep fsck", kReservationsMax));
  std::vector<Reservation> found;
  for (const runtime::KeyPair& pair : *pairs) {
    Result<Reservation> reservation = unpack_reservation(pair.key, pair.value);
    if (!reservation) co_return std::unexpected(reservation.error());
    found.push_back(std::move(*reservation));
  }
  co_return found;
}

}  // namespace

wire::KeyBatch Volume::initial_keys(std::uint64_t blocks) {
  Inode root;
  root.id = kRootInode;
  root.mode = 0040755;
  root.links = 2;
  root.parent = kRootInode;
  wire::KeyBatch batch;
  batch.push_back({inode_key(kRootInode), pack_inode(root)});
  batch.push_back({std::string(kNextInodeKey), pack_u64(kRootInode.value + 1)});
  for (std::uint64_t group = 0; group < groups_of(blocks); ++group) {
    const std::uint64_t count = std::min(kGroupBlocks, blocks - group * kGroupBlocks);
    batch.push_back({group_key(static_cast<std::uint32_t>(group)), pack_u32(static_cast<std::uint32_t>(count))});
  }
  return batch;
}

runtime::Task<Result<std::unique_ptr<Volume>>> Volume::open(runtime::World& world, area::Area& area) {
  const std::uint64_t blocks = area.identity().blocks;
  const Result<std::optional<std::string>> mixed = co_await world.keys.get(std::string(kMixedKey));
  if (!mixed) co_return std::unexpected(mixed.error());
  std::vector<std::uint64_t> nothing(groups_of(blocks), 0);
  Result<area::Allocator> allocator = area::Allocator::make(blocks, nothing);
  if (!allocator) co_return std::unexpected(allocator.error());
  auto volume = std::make_unique<FileVolume>(world.scheduler, world.keys, std::move(*allocator));
  volume->being_replaced_ = mixed->has_value();
  if (volume->being_replaced_) co_return std::unique_ptr<Volume>(std::move(volume));
  Result<FileVolume::Counters> counters = co_await volume->read_counters();
  if (!counters) co_return std::unexpected(counters.error());
  volume->take_counters(std::move(*counters));
  const Result<> replayed = co_await volume->replay(area.log());
  if (!replayed) co_return std::unexpected(replayed.error());
  co_return std::unique_ptr<Volume>(std::move(volume));
}

runtime::Task<Result<FileVolume::Counters>> FileVolume::read_counters() {
  runtime::KeyValue& store = state_.keys.store();
  const Result<std::vector<std::uint64_t>> free = co_await read_groups(store, state_.blocks);
  if (!free) co_return std::unexpected(free.error());
  Result<area::Allocator> allocator = area::Allocator::make(state_.blocks, *free);
  if (!allocator) co_return std::unexpected(allocator.error());
  const Result<std::uint64_t> bound = co_await read_counter(store, kNextInodeKey);
  if (!bound) co_return std::unexpected(bound.error());
  Result<LockTable> locks = co_await read_locks(store);
  if (!locks) co_return std::unexpected(locks.error());
  Progress progress;
  if (source_counts_) {
    progress = *source_counts_;
  } else {
    const Result<std::optional<std::string>> value = co_await store.get(std::string(kSeqKey));
    if (!value) co_return std::unexpected(value.error());
    const Result<Progress> mine = counts_of(*value, *bound);
    if (!mine) co_return std::unexpected(mine.error());
    progress = *mine;
  }
  Result<std::vector<Reservation>> reservations = co_await read_reservations(store);
  if (!reservations) co_return std::unexpected(reservations.error());
  co_return Counters{std::move(*allocator), progress, *bound, std::move(*locks), std::move(*reservations)};
}

void FileVolume::take_counters(Counters counters) {
  state_.free_space = std::move(counters.free_space);
  state_.progress = counters.progress;
  state_.inode_bound = counters.inode_bound;
  state_.locks = std::move(counters.locks);
  state_.reservations.clear();
  for (Reservation& reservation : counters.reservations) state_.reservations.put(std::move(reservation));
}

runtime::Task<Result<>> FileVolume::replay(area::Log& log) {
  while (log.last() > state_.progress.applied) {
    const Result<std::vector<wire::Effect>> records = co_await log.read_after(state_.progress.applied, kReplayBytes);
    if (!records) {
      co_return fail(records.error().code, fmt::format("the metadata stand at effect {}, the log can't continue them: {}",
                                                       state_.progress.applied.value, records.error().text));
    }
    if (records->empty()) break;
    for (const wire::Effect& effect : *records) {
      if (effect.seq <= state_.progress.applied) co_return fail(Errc::corrupt, fmt::format("the log has effect {} out of order", effect.seq.value));
      if (const Result<> applied = apply(effect); !applied) co_return applied;
      // Nothing reads under an older map yet.
      release(effect.freed);
    }
  }
  // Overwrites are not in the log: of no file is it known what the last process wrote and did not sync.
  state_.dirty.forget_all();
  co_return Result<>{};
}

runtime::Task<void> FileVolume::load_key(std::string key, Result<>& good) {
  Result<> loaded = co_await state_.keys.load_key(std::move(key));
  if (!loaded) good = std::move(loaded);
}

runtime::Task<Result<>> FileVolume::load(Miss miss) {
  // Side by side: each takes a wait for the medium.
  for (std::size_t first = 0; first < miss.keys.size(); first += kKeysBesides) {
    Result<> good;
    runtime::Scope beside(scheduler_);
    for (std::size_t i = first; i < std::min(first + kKeysBesides, miss.keys.size()); ++i) {
      beside.spawn(load_key(std::move(miss.keys[i]), good));
    }
    co_await beside.join();
    if (!good) co_return good;
  }
  for (Range& range : miss.ranges) {
    const Result<> loaded = co_await state_.keys.load_range(std::move(range));
    if (!loaded) co_return loaded;
  }
  for (const std::uint64_t group : miss.groups) {
    const Result<> loaded = co_await load_group(group);
    if (!loaded) co_return loaded;
  }
  co_return Result<>{};
}

runtime::Task<Result<>> FileVolume::load_group(std::uint64_t group) {
  if (state_.free_space.group_known(group)) co_return Result<>{};
  const std::uint64_t before = reloads_;
  const BlockRange blocks = state_.free_space.group_blocks(group);
  state_.free_space.begin_load(group);
  KeySpan span = blocks_in(blocks.first, blocks.end());
  const Result<std::map<std::string, std::string>> pairs = co_await state_.keys.read_all(std::move(span.from), std::move(span.to));
  if (before != reloads_) co_return Result<>{};  // of free space that is not this one any more
  if (being_replaced_) {
    state_.free_space.cancel_load(group);
    co_return Result<>{};
  }
  std::vector<BlockRange> allocated;
  Result<> good;
  if (!pairs) good = std::unexpected(pairs.error());
  if (pairs) {
    for (const auto& [key, value] : *pairs) {
      const Result<std::uint64_t> block = parse_block_key(key);
      const Result<Owner> owner = unpack_owner(value);
      if (!block) good = std::unexpected(block.error());
      if (!owner) good = std::unexpected(owner.error());
      if (block && owner) allocated.push_back({*block, owner->count});
    }
  }
  if (!good) {
    state_.free_space.cancel_load(group);
    co_return good;
  }
  co_return state_.free_space.load_group(group, allocated);
}

runtime::Task<Result<std::vector<InodeId>>> FileVolume::orphans() {
  KeySpan span = all_orphans();
  const Result<std::map<std::string, std::string>> pairs = co_await state_.keys.read_all(std::move(span.from), std::move(span.to));
  if (!pairs) co_return std::unexpected(pairs.error());
  std::vector<InodeId> found;
  for (const auto& [key, value] : *pairs) {
    const Result<InodeId> inode = parse_inode_key(key);
    if (!inode) co_return std::unexpected(inode.error());
    found.push_back(*inode);
  }
  co_return found;
}

}  // namespace lockstep::volume
