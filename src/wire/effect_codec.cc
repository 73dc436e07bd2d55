#include "wire/effect_codec.h"

#include <cstring>

#include "core/check.h"
#include "wire/batch_codec.h"
#include "wire/codec.h"
#include "wire/operation_codec.h"

namespace lockstep::wire {
namespace {

static_assert(static_cast<int>(Turn::Kind::tree) == static_cast<int>(schema::TurnKind::MAX));
static_assert(static_cast<int>(Drop::Kind::name) == static_cast<int>(schema::DropKind::MAX));
constexpr std::uint64_t kAreaBytesMax = kAreaBlocksMax * kBlockBytes;

schema::Turn pack(const Turn& turn) {
  return {turn.object.value, turn.first, turn.count, static_cast<schema::TurnKind>(turn.kind)};
}

schema::AreaWrite pack(const AreaWrite& write) { return {write.address, write.length, write.fresh, write.zeros}; }

schema::Drop pack(const Drop& drop) {
  CHECK(drop.name.size() <= kNameBytesMax);  // else name_bytes would lie
  return {drop.inode.value, wire::pack(drop.range), static_cast<std::uint16_t>(drop.name.size()),
          static_cast<schema::DropKind>(drop.kind)};
}

PackedBytes pack_drop_names(Builder& builder, const std::vector<Drop>& drops) {
  std::size_t bytes = 0;
  for (const auto& drop : drops) bytes += drop.name.size();
  if (bytes == 0) return 0;
  std::uint8_t* at = nullptr;
  const PackedBytes packed = builder.CreateUninitializedVector<std::uint8_t>(bytes, &at);
  for (const auto& drop : drops) {
    std::memcpy(at, drop.name.data(), drop.name.size());
    at += drop.name.size();
  }
  return packed;
}

std::uint64_t blocks_touched(const AreaWrite& write) {
  const std::uint64_t first = write.address / kBlockBytes;
  const std::uint64_t last = (write.address + write.length - 1) / kBlockBytes;
  return last - first + 1;
}

Turn unpack(const schema::Turn& packed, Faults& faults) {
  faults.require(packed.kind() <= schema::TurnKind::MAX, "effect.turns", "unknown kind");
  return {static_cast<Turn::Kind>(packed.kind()), InodeId(packed.object()), packed.first(), packed.count()};
}

AreaWrite unpack(const schema::AreaWrite& packed, Faults& faults) {
  static constexpr const char* kField = "effect.writes";
  const AreaWrite write{packed.address(), packed.length(), packed.fresh(), packed.zeros()};
  const bool fits = write.address <= kAreaBytesMax && write.length <= kAreaBytesMax - write.address;
  faults.require(fits, kField, "ends behind the end of any area");
  faults.require(write.length != 0, kField, "a write without bytes");
  return write;
}

/// Rules (2) and (3). Requires: each write was found good.
void check_writes(const Effect& effect, Faults& faults) {
  std::uint64_t blocks = 0;
  for (const auto& write : effect.writes) {
    blocks += blocks_touched(write);
    if (blocks > effect.checksums.size()) break;  // before a sum of such numbers can overflow
  }
  if (!faults.require(blocks == effect.checksums.size(), "effect.checksums", "not one for each block of the writes")) {
    return;
  }
  faults.require(payload_bytes(effect) <= kPayloadBytesMax, "effect.writes", "more than a payload holds");
}

void unpack_drops(const schema::Effect& packed, std::vector<Drop>& into, Faults& faults) {
  static constexpr const char* kField = "effect.drops";
  const auto* names = packed.drop_names();
  std::string_view left;
  if (names != nullptr) left = {reinterpret_cast<const char*>(names->data()), names->size()};
  unpack_structs(packed.drops(), kRangesMax, into, kField, faults, [&](const schema::Drop& from) {
    Drop drop;
    if (!faults.require(from.kind() <= schema::DropKind::MAX, kField, "unknown kind")) return drop;
    drop.kind = static_cast<Drop::Kind>(from.kind());
    drop.inode = InodeId(from.inode());
    drop.range = wire::unpack(from.range(), kFileBytesMax, kField, faults);
    if (!faults.require(from.name_bytes() <= left.size(), "effect.drop_names", "cut short")) return drop;
    const std::string_view name = left.substr(0, from.name_bytes());
    left.remove_prefix(name.size());
    const bool named = drop.kind == Drop::Kind::name;
    if (faults.require(named ? is_entry_name(name) : name.empty(), "effect.drop_names", "not the name of a file")) {
      drop.name = name;
    }
    return drop;
  });
  faults.require(left.empty(), "effect.drop_names", "bytes left over");
}

LazyTimes unpack(const schema::LazyTimes* packed) {
  if (packed == nullptr) return {};
  return {InodeId(packed->inode()), WallTime(packed->mtime()), WallTime(packed->ctime())};
}

}  // namespace

void require_seq(const Effect& effect, Faults& faults) {
  faults.require(effect.seq != Seq(0), "effect.seq", "0 is before every effect");
}

std::uint64_t payload_bytes(const Effect& effect) {
  std::uint64_t bytes = 0;
  for (const auto& write : effect.writes) bytes += write.zeros ? 0 : write.length;
  return bytes;
}

Packed<schema::Effect> pack(Builder& builder, const Effect& effect, Target target) {
  PackedStructs<schema::Turn> turns;
  if (target == Target::wire) {
    turns = pack_structs<schema::Turn>(builder, effect.turns, [](const Turn& turn) { return pack(turn); });
  }
  const auto batch = pack_batch(builder, effect.batch);
  const auto writes =
      pack_structs<schema::AreaWrite>(builder, effect.writes, [](const AreaWrite& write) { return pack(write); });
  const auto checksums = pack_numbers(builder, effect.checksums);
  const auto allocated = pack_blocks(builder, effect.allocated);
  const auto freed = pack_blocks(builder, effect.freed);
  const auto drops = pack_structs<schema::Drop>(builder, effect.drops, [](const Drop& drop) { return pack(drop); });
  const auto drop_names = pack_drop_names(builder, effect.drops);
  const auto sync =
      pack_structs<schema::ByteRange>(builder, effect.sync, [](const ByteRange& range) { return wire::pack(range); });
  const auto outcome = wire::pack(builder, effect.outcome);
  const auto request = wire::pack(effect.request);
  const schema::LazyTimes times(effect.times.inode.value, effect.times.mtime.value, effect.times.ctime.value);

  schema::EffectBuilder b(builder);
  b.add_epoch(effect.epoch.value);
  b.add_seq(effect.seq.value);
  b.add_request(&request);
  b.add_turns(turns);
  b.add_batch(batch);
  b.add_writes(writes);
  b.add_checksums(checksums);
  b.add_allocated(allocated);
  b.add_freed(freed);
  b.add_drops(drops);
  b.add_drop_names(drop_names);
  if (effect.times.inode != kNoInode) b.add_times(&times);
  b.add_sync(sync);
  b.add_sync_all(effect.sync_all);
  b.add_outcome(outcome);
  return b.Finish();
}

void unpack(const schema::Effect& packed, Effect& into, Faults& faults) {
  into.epoch = Epoch(packed.epoch());
  into.seq = Seq(packed.seq());
  into.request = wire::unpack(packed.request());
  unpack_structs(packed.turns(), kRangesMax, into.turns, "effect.turns", faults,
                 [&](const schema::Turn& turn) { return unpack(turn, faults); });
  unpack_batch(packed.batch(), into.batch, faults);
  unpack_structs(packed.writes(), kRangesMax, into.writes, "effect.writes", faults,
                 [&](const schema::AreaWrite& write) { return unpack(write, faults); });
  unpack_numbers(packed.checksums(), kBodyBytesMax / sizeof(std::uint64_t), into.checksums, "effect.checksums", faults);
  unpack_blocks(packed.allocated(), kRangesMax, into.allocated, "effect.allocated", faults);
  unpack_blocks(packed.freed(), kRangesMax, into.freed, "effect.freed", faults);
  unpack_drops(packed, into.drops, faults);
  into.times = unpack(packed.times());
  unpack_structs(packed.sync(), kRangesMax, into.sync, "effect.sync", faults, [&](const schema::ByteRange& range) {
    return wire::unpack(range, kAreaBytesMax, "effect.sync", faults);
  });
  into.sync_all = packed.sync_all();
  wire::unpack(packed.outcome(), into.outcome, faults);
  if (faults.ok()) check_writes(into, faults);
}

}  // namespace lockstep::wire
