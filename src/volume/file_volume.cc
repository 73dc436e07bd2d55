#include "volume/file_volume.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>

#include <fmt/format.h>

#include "core/check.h"
#include "volume/plan.h"
#include "volume/touched.h"

namespace lockstep::volume {
namespace {

using wire::OpKind;

constexpr std::uint64_t kToTheEnd = ~std::uint64_t{0};

Step<Planned> dispatch(Draft& draft, const wire::Operation& operation) {
  switch (operation.kind) {
    case OpKind::write: return plan_write(draft, operation);
    case OpKind::set_attributes: return plan_set_attributes(draft, operation);
    case OpKind::create: return plan_create(draft, operation);
    case OpKind::link: return plan_link(draft, operation);
    case OpKind::unlink: return plan_unlink(draft, operation);
    case OpKind::rmdir: return plan_rmdir(draft, operation);
    case OpKind::rename: return plan_rename(draft, operation);
    case OpKind::set_xattr: return plan_set_xattr(draft, operation);
    case OpKind::remove_xattr: return plan_remove_xattr(draft, operation);
    case OpKind::allocate: return plan_allocate(draft, operation);
    case OpKind::sync: return plan_sync(draft, operation);
    case OpKind::trim: return plan_trim(draft, operation);
    case OpKind::reap: return plan_reap(draft, operation);
    case OpKind::settle: return plan_settle(draft, operation);
    case OpKind::lock: return plan_lock(draft, operation);
    case OpKind::cancel_lock: return plan_cancel_lock(draft, operation);
    case OpKind::break_locks: return plan_break_locks(draft, operation);
    case OpKind::reserve: return plan_reserve(draft, operation);
    case OpKind::release: return plan_release(draft, operation);
  }
  return refuse(EINVAL);
}

/// There are more metadata after `effect`, or may be. A hole that is punched divides an extent, and still is a way to make room.
bool grows(const wire::Operation& operation, const wire::Effect& effect) {
  switch (operation.kind) {
    case OpKind::create:
    case OpKind::link:
    case OpKind::set_xattr: return true;
    case OpKind::rename: return (operation.flags & RENAME_WHITEOUT) != 0;
    case OpKind::write:
    case OpKind::allocate:
      if (effect.allocated.empty() && !effect.freed.empty()) return false;
      return std::ranges::any_of(effect.batch, [](const auto& change) { return change.value && change.key.starts_with('E'); });
    default: return false;
  }
}

Turn name_turn(InodeId directory, std::string_view name) {
  return {Turn::Kind::names, directory, name_hash(name), 1};
}

}  // namespace

std::vector<InodeId> orphans_made(const wire::Effect& effect) {
  std::vector<InodeId> found;
  for (const runtime::KeyChange& change : effect.batch) {
    if (!change.value || !change.key.starts_with('O')) continue;
    if (const Result<InodeId> inode = parse_inode_key(change.key)) found.push_back(*inode);
  }
  return found;
}

std::vector<InodeId> orphans_ended(const wire::Effect& effect) {
  std::vector<InodeId> found;
  for (const runtime::KeyChange& change : effect.batch) {
    if (change.value || !change.key.starts_with('O')) continue;
    if (const Result<InodeId> inode = parse_inode_key(change.key)) found.push_back(*inode);
  }
  return found;
}

std::optional<runtime::HostAttributes> attributes_in(const wire::Effect& effect, InodeId inode) {
  const std::string key = inode_key(inode);
  for (const runtime::KeyChange& change : effect.batch) {
    if (!change.value || change.key != key) continue;
    if (const Result<Inode> unpacked = unpack_inode(inode, *change.value)) return attributes_of(*unpacked);
  }
  return std::nullopt;
}

std::vector<InodeId> locks_changed(const wire::Effect& effect) {
  std::vector<InodeId> found;
  for (const runtime::KeyChange& change : effect.batch) {
    if (!change.key.starts_with('L')) continue;
    if (const Result<InodeId> inode = parse_inode_key(change.key)) found.push_back(*inode);
  }
  return found;
}

wire::Operation reap_of(std::span<const InodeId> inodes) {
  wire::Operation reap;
  reap.kind = OpKind::reap;
  for (const InodeId inode : inodes) reap.text += pack_u64(inode.value);
  return reap;
}

std::vector<Turn> FileVolume::turns(const wire::Operation& op) {
  switch (op.kind) {
    case OpKind::write:
      // Where an append goes is known only when it is planned.
      return {op.append ? Turn{Turn::Kind::data, op.inode, 0, kToTheEnd} : data_turn(op.inode, op.offset, op.length)};
    case OpKind::set_attributes:
      if (op.change.size_set)
        return {attributes_turn(op.inode), Turn{Turn::Kind::data, op.inode, op.change.size / kBlockBytes, kToTheEnd}};
      return {attributes_turn(op.inode)};
    case OpKind::create:
      if (op.anonymous) return {};
      return {name_turn(op.inode, op.name)};
    case OpKind::unlink:
    case OpKind::rmdir: return {name_turn(op.inode, op.name)};
    case OpKind::link: return {name_turn(op.inode, op.name), attributes_turn(op.other)};
    case OpKind::rename: return {name_turn(op.inode, op.name), name_turn(op.other, op.text)};
    case OpKind::set_xattr:
    case OpKind::remove_xattr: return {attributes_turn(op.inode)};
    case OpKind::allocate: return {data_turn(op.inode, op.offset, op.length)};
    case OpKind::sync:
    case OpKind::trim:
    case OpKind::reap:
    case OpKind::settle: return {};
    case OpKind::release: return {reservations_turn(op.inode)};
    case OpKind::reserve:
      // Of what kind the object is, is known only when it is planned.
      if (op.length > 0) return {data_turn(op.inode, op.offset, op.length), reservations_turn(op.inode)};
      return {Turn{Turn::Kind::data, op.inode, 0, kToTheEnd}, attributes_turn(op.inode), tree_turn(op.inode), reservations_turn(op.inode)};
    case OpKind::lock:
    case OpKind::cancel_lock: return {locks_turn(op.inode)};
    case OpKind::break_locks:
      if (op.inode != kNoInode) return {locks_turn(op.inode)};
      return {};
  }
  return {};
}

Attempt<std::vector<Turn>> FileVolume::touched(const wire::Operation& operation) {
  Draft draft(state_, WallTime{});
  Step<std::vector<Turn>> turns = volume::touched(draft, operation, state_.reservations.trees());
  if (draft.damage) return std::move(*draft.damage);
  if (!draft.miss.empty()) return std::move(draft.miss);
  if (!turns) return Error{Errc::posix, turns.error().error, {}};
  return std::move(*turns);
}

Attempt<Planned> FileVolume::plan(const wire::Operation& operation, WallTime now, SiteId asker) {
  Draft draft(state_, now, asker);
  Step<Planned> planned = dispatch(draft, operation);
  if (draft.damage) return std::move(*draft.damage);
  if (!draft.miss.empty()) return std::move(draft.miss);
  const bool held = planned && planned->changes && state_.growth_held && grows(operation, planned->effect);
  if (planned && !held) return std::move(*planned);
  wire::Outcome outcome;
  outcome.error = held ? ENOSPC : planned.error().error;
  CHECK(outcome.error != 0);
  Planned refused = Draft::answer(outcome, nullptr);
  refused.growth_held = held;
  refused.space_waits = outcome.error == ENOSPC && draft.space_waits;
  return refused;
}

Result<> FileVolume::mark(const wire::Effect& effect) {
  for (const runtime::KeyChange& change : effect.batch) {
    if (change.key.empty() || change.key[0] == '\0') return fail(Errc::invalid, "an effect changes a key that belongs to one site");
  }
  for (const BlockRange& range : effect.allocated) {
    if (const Result<> marked = state_.free_space.mark_allocated(range); !marked) return marked;
  }
  for (const BlockRange& range : effect.freed) {
    if (const Result<> marked = state_.free_space.mark_freed(range); !marked) return marked;
  }
  for (const runtime::KeyChange& change : effect.batch) {
    if (!change.key.starts_with('G') || !change.value) continue;
    const Result<std::uint32_t> group = parse_group_key(change.key);
    const Result<std::uint32_t> free = unpack_u32(*change.value);
    if (!group || !free || *group >= state_.free_space.groups() || state_.free_space.free(*group) != *free)
      return fail(Errc::corrupt, fmt::format("effect {} counts free blocks of a group otherwise than this site; run lockstep verify",
                                             effect.seq.value));
  }
  return {};
}

/// Counters and times follow what the batch says.
Result<> FileVolume::take_over(const runtime::KeyBatch& batch) {
  for (const runtime::KeyChange& change : batch) {
    if (change.key.starts_with('I')) {
      const Result<InodeId> inode = parse_inode_key(change.key);
      if (!inode) return std::unexpected(inode.error());
      state_.lazy.erase(*inode);
      Progress& progress = state_.progress;
      if (!change.value) {
        progress.files -= std::min<std::uint64_t>(progress.files, 1);
        state_.dirty.forget(*inode);
      } else if (inode->value >= progress.next_inode) {
        ++progress.files;
        progress.next_inode = inode->value + 1;
        state_.dirty.clean(*inode);
      }
    } else if (change.key.starts_with('L')) {
      const Result<InodeId> inode = parse_inode_key(change.key);
      if (!inode) return std::unexpected(inode.error());
      Result<LocksValue> locks = change.value ? unpack_locks(*change.value) : LocksValue{};
      if (!locks) return std::unexpected(locks.error());
      state_.locks.replace(*inode, FileLocks(std::move(*locks)));
    } else if (change.key == kNextInodeKey && change.value) {
      const Result<std::uint64_t> bound = unpack_u64(*change.value);
      if (!bound) return std::unexpected(bound.error());
      state_.inode_bound = *bound;
    } else if (change.key.starts_with('V')) {
      Result<Reservation> reservation = unpack_reservation(change.key, change.value ? *change.value : pack_reservation({}));
      if (!reservation) return std::unexpected(reservation.error());
      if (change.value) {
        state_.reservations.put(std::move(*reservation));
      } else {
        state_.reservations.erase(*reservation);
      }
    }
  }
  return {};
}

void FileVolume::note_data(const wire::Effect& effect) {
  if (effect.times.inode != kNoInode) {
    if (state_.lazy.size() >= kLazyTimesMax && !state_.lazy.contains(effect.times.inode)) state_.lazy.erase(state_.lazy.begin());
    state_.lazy.insert_or_assign(effect.times.inode, effect.times);
  }
  const bool synced = !effect.sync.empty() || effect.sync_all;
  if (synced && effect.outcome.attributes.inode != kNoInode) state_.dirty.clean(effect.outcome.attributes.inode);
  if (effect.writes.empty()) return;
  InodeId written = effect.times.inode;
  for (const runtime::KeyChange& change : effect.batch) {
    if (!change.key.starts_with('I')) continue;
    if (const Result<InodeId> inode = parse_inode_key(change.key)) written = *inode;
  }
  for (const wire::AreaWrite& write : effect.writes) {
    const std::uint64_t from = write.address / kBlockBytes * kBlockBytes;
    state_.dirty.add(written, {from, blocks_for(write.address + write.length) * kBlockBytes - from});
  }
}

Result<> FileVolume::apply(const wire::Effect& effect) {
  if (being_replaced_) return fail(Errc::invalid, "an effect came while the keys are being replaced");
  if (!effect.batch.empty()) {
    if (effect.seq <= state_.progress.applied) return {};
    if (const Result<> marked = mark(effect); !marked) return marked;
    if (const Result<> taken = take_over(effect.batch); !taken) return taken;
    state_.progress.applied = effect.seq;
    runtime::KeyBatch batch;
    batch.reserve(effect.batch.size() + 1);
    batch.assign(effect.batch.begin(), effect.batch.end());
    batch.push_back({std::string(kSeqKey), pack_progress(state_.progress)});
    if (const Result<> applied = state_.keys.apply(batch); !applied) return applied;
  }
  note_data(effect);
  return {};
}

void FileVolume::release(std::span<const BlockRange> freed) {
  for (const BlockRange& range : freed) state_.free_space.release(range);
}

std::vector<wire::LazyTimes> FileVolume::unsettled(std::size_t limit) const {
  std::vector<wire::LazyTimes> found;
  for (const auto& [inode, times] : state_.lazy) {
    if (found.size() == limit) break;
    found.push_back(times);
  }
  return found;
}

Statistics FileVolume::statistics() const {
  const std::uint64_t free = state_.free_space.total_free();
  return {state_.blocks, free - std::min(free, state_.reserve()), state_.progress.files, state_.growth_held};
}

void FileVolume::check_invariants() const {
  state_.free_space.check_invariants();
  CHECK(state_.progress.next_inode <= state_.inode_bound);
  CHECK(state_.lazy.size() <= kLazyTimesMax);
}

}  // namespace lockstep::volume
