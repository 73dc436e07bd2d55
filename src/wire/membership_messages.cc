// The messages of membership, checkpoints, resynchronisation and commands, to and from the schema.
#include <cstring>

#include "wire/batch_codec.h"
#include "wire/message_codec.h"
#include "wire/state_codec.h"

namespace lockstep::wire {
namespace {

static_assert(static_cast<int>(ArmsStep::answers) == static_cast<int>(schema::ArmsStep::MAX));

/// Keys, each behind its length in two bytes: a table for each would cost more than the keys.
std::string join_keys(const std::vector<std::string>& keys) {
  std::string joined;
  for (const std::string& key : keys) {
    const auto bytes = static_cast<std::uint16_t>(key.size());
    joined.append(reinterpret_cast<const char*>(&bytes), sizeof bytes);
    joined += key;
  }
  return joined;
}

void split_keys(const flatbuffers::Vector<std::uint8_t>* joined, std::vector<std::string>& into, Faults& faults) {
  if (joined == nullptr) return;
  std::string_view left(reinterpret_cast<const char*>(joined->data()), joined->size());
  while (!left.empty()) {
    std::uint16_t bytes = 0;
    if (!faults.require(left.size() >= sizeof bytes && into.size() < kKeysMax, "keys", "cut short, or too many")) return;
    std::memcpy(&bytes, left.data(), sizeof bytes);
    left.remove_prefix(sizeof bytes);
    if (!faults.require(bytes != 0 && bytes <= kKeyBytesMax && bytes <= left.size(), "keys", "a key of a wrong length")) return;
    into.emplace_back(left.substr(0, bytes));
    left.remove_prefix(bytes);
  }
}

}  // namespace

// --- membership ------------------------------------------------------------------------------------------------------

Packed<schema::Membership> pack(Builder& builder, const Membership& m) {
  const auto history = pack_history(builder, m.history);
  const auto stores = pack_stores(builder, m.stores);
  return schema::CreateMembership(builder, history, stores);
}

void unpack(const schema::Membership& t, std::uint32_t, Membership& m, Faults& faults) {
  unpack_history(t.history(), m.history, faults);
  unpack_stores(t.stores(), m.stores, faults);
}

Packed<schema::Recorded> pack(Builder& builder, const Recorded& m) { return schema::CreateRecorded(builder, m.number.value); }

void unpack(const schema::Recorded& t, std::uint32_t, Recorded& m, Faults&) { m.number = Epoch(t.number()); }

Packed<schema::Leave> pack(Builder& builder, const Leave& m) {
  const auto reason = pack_bytes(builder, m.reason);
  return schema::CreateLeave(builder, reason);
}

void unpack(const schema::Leave& t, std::uint32_t, Leave& m, Faults& faults) {
  m.reason = unpack_bytes(t.reason(), kReasonBytesMax, "reason", faults);
}

Packed<schema::ServesNobody> pack(Builder& builder, const ServesNobody& m) {
  return schema::CreateServesNobody(builder, m.caught_up);
}

void unpack(const schema::ServesNobody& t, std::uint32_t, ServesNobody& m, Faults&) { m.caught_up = t.caught_up(); }

// --- checkpoints -----------------------------------------------------------------------------------------------------

Packed<schema::Checkpoint> pack(Builder& builder, const Checkpoint& m) {
  const auto granules = pack_numbers(builder, m.granules);
  return schema::CreateCheckpoint(builder, m.number, granules);
}

void unpack(const schema::Checkpoint& t, std::uint32_t, Checkpoint& m, Faults& faults) {
  m.number = t.number();
  unpack_numbers(t.granules(), kGranulesMax, m.granules, "granules", faults);
}

Packed<schema::Checkpointed> pack(Builder& builder, const Checkpointed& m) {
  return schema::CreateCheckpointed(builder, m.number);
}

void unpack(const schema::Checkpointed& t, std::uint32_t, Checkpointed& m, Faults&) { m.number = t.number(); }

Packed<schema::Clear> pack(Builder& builder, const Clear& m) {
  const auto granules = pack_numbers(builder, m.granules);
  return schema::CreateClear(builder, granules);
}

void unpack(const schema::Clear& t, std::uint32_t, Clear& m, Faults& faults) {
  unpack_numbers(t.granules(), kGranulesMax, m.granules, "granules", faults);
}

// --- keys of a target ------------------------------------------------------------------------------------------------

Packed<schema::KeysMark> pack(Builder& builder, const KeysMark& m) {
  return schema::CreateKeysMark(builder, m.number, m.seq.value, m.whole);
}

void unpack(const schema::KeysMark& t, std::uint32_t, KeysMark& m, Faults&) {
  m.number = t.number();
  m.seq = Seq(t.seq());
  m.whole = t.whole();
}

Packed<schema::KeysFetch> pack(Builder& builder, const KeysFetch& m) {
  const auto keys = pack_bytes(builder, join_keys(m.keys));
  const auto from = pack_bytes(builder, m.from);
  const auto to = pack_bytes(builder, m.to);
  return schema::CreateKeysFetch(builder, m.number, keys, from, to);
}

void unpack(const schema::KeysFetch& t, std::uint32_t, KeysFetch& m, Faults& faults) {
  m.number = t.number();
  split_keys(t.keys(), m.keys, faults);
  m.from = unpack_bytes(t.from(), kKeyBytesMax, "from", faults);
  m.to = unpack_bytes(t.to(), kKeyBytesMax, "to", faults);
}

Packed<schema::Keys> pack(Builder& builder, const Keys& m) {
  const auto pairs = pack_batch(builder, m.pairs);
  const auto next = pack_bytes(builder, m.next);
  return schema::CreateKeys(builder, m.number, pairs, next);
}

void unpack(const schema::Keys& t, std::uint32_t, Keys& m, Faults& faults) {
  m.number = t.number();
  unpack_batch(t.pairs(), m.pairs, faults);
  m.next = unpack_bytes(t.next(), kKeyBytesMax, "next", faults);
}

Packed<schema::DataLost> pack(Builder& builder, const DataLost& m) {
  const auto request = pack(m.request);
  return schema::CreateDataLost(builder, &request, m.offset);
}

void unpack(const schema::DataLost& t, std::uint32_t, DataLost& m, Faults& faults) {
  m.request = unpack(t.request());
  m.offset = t.offset();
  faults.require(m.offset <= kFileBytesMax, "offset", "no file is that long");
}

// --- blocks of a target ----------------------------------------------------------------------------------------------

Packed<schema::Suspects> pack(Builder& builder, const Suspects& m) {
  const auto bits = pack_bytes(builder, m.bits);
  return schema::CreateSuspects(builder, m.first, bits, m.last);
}

void unpack(const schema::Suspects& t, std::uint32_t, Suspects& m, Faults& faults) {
  m.first = t.first();
  m.bits = unpack_bytes(t.bits(), kSuspectsBytesMax, "bits", faults);
  m.last = t.last();
  faults.require(m.first % 8 == 0 && m.first <= kAreaBlocksMax, "first", "not where a byte of a map begins");
}

Packed<schema::Compare> pack(Builder& builder, const Compare& m) {
  const auto checksums = pack_numbers(builder, m.checksums);
  return schema::CreateCompare(builder, m.granule, checksums);
}

void unpack(const schema::Compare& t, std::uint32_t, Compare& m, Faults& faults) {
  m.granule = t.granule();
  unpack_numbers(t.checksums(), kGranuleBlocks, m.checksums, "checksums", faults);
  faults.require(!m.checksums.empty(), "checksums", "none");
}

Packed<schema::Want> pack(Builder& builder, const Want& m) {
  const auto bits = pack_bytes(builder, m.bits);
  return schema::CreateWant(builder, m.granule, bits);
}

void unpack(const schema::Want& t, std::uint32_t, Want& m, Faults& faults) {
  m.granule = t.granule();
  m.bits = unpack_bytes(t.bits(), kGranuleBlocks / 8, "bits", faults);
}

Packed<schema::Copy> pack(Builder& builder, const Copy& m) {
  const auto checksums = pack_numbers(builder, m.checksums);
  const auto blocks = pack(m.blocks);
  return schema::CreateCopy(builder, m.granule, &blocks, checksums, m.last, m.bad);
}

void unpack(const schema::Copy& t, std::uint32_t payload_bytes, Copy& m, Faults& faults) {
  m.granule = t.granule();
  m.blocks = unpack(t.blocks(), "blocks", faults);
  unpack_numbers(t.checksums(), kFetchBlocksMax, m.checksums, "checksums", faults);
  m.last = t.last();
  m.bad = t.bad();
  faults.require(!m.bad || m.blocks.count == 1, "blocks", "more than one that is bad");
  faults.require(m.blocks.count <= kFetchBlocksMax && (m.blocks.count != 0 || m.last), "blocks", "count out of range");
  faults.require(m.checksums.size() == m.blocks.count, "checksums", "not one for each block");
  faults.require(payload_bytes == m.blocks.count * kBlockBytes, "payload", "not as long as the blocks");
}

// --- commands --------------------------------------------------------------------------------------------------------

Packed<schema::Command> pack(Builder& builder, const Command& m) {
  const auto text = pack_bytes(builder, m.text);
  return schema::CreateCommand(builder, m.number, text);
}

void unpack(const schema::Command& t, std::uint32_t, Command& m, Faults& faults) {
  m.number = t.number();
  m.text = unpack_bytes(t.text(), kCommandBytesMax, "text", faults);
}

Packed<schema::CommandAnswer> pack(Builder& builder, const CommandAnswer& m) {
  const auto text = pack_bytes(builder, m.text);
  return schema::CreateCommandAnswer(builder, m.number, text, m.last);
}

void unpack(const schema::CommandAnswer& t, std::uint32_t, CommandAnswer& m, Faults& faults) {
  m.number = t.number();
  m.text = unpack_bytes(t.text(), kCommandBytesMax, "text", faults);
  m.last = t.last();
}

// --- arms ------------------------------------------------------------------------------------------------------------

Packed<schema::Arms> pack(Builder& builder, const Arms& m) {
  return schema::CreateArms(builder, static_cast<schema::ArmsStep>(m.step), m.number);
}

void unpack(const schema::Arms& t, std::uint32_t, Arms& m, Faults& faults) {
  if (faults.require(t.step() <= schema::ArmsStep::MAX, "step", "unknown")) m.step = static_cast<ArmsStep>(t.step());
  m.number = t.number();
}

}  // namespace lockstep::wire
