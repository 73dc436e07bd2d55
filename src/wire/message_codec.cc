#include "wire/message_codec.h"

#include "wire/codec.h"
#include "wire/effect_codec.h"
#include "wire/operation_codec.h"
#include "wire/state_codec.h"

namespace lockstep::wire {
namespace {

constexpr const char* kPayload = "payload";

void check_payload(const Effect& effect, bool without, std::uint32_t bytes, Faults& faults) {
  faults.require(bytes == (without ? 0 : payload_bytes(effect)), kPayload, "not as long as the effect's writes");
}

}  // namespace

// --- handshake -------------------------------------------------------------------------------------------------------

Packed<schema::Hello> pack(Builder& builder, const Hello& m) {
  const auto volume = pack_bytes(builder, m.volume);
  const auto site = pack_bytes(builder, m.site);
  const auto settings = pack_bytes(builder, m.settings);
  const auto unanswered = pack_numbers(builder, m.unanswered);
  const auto orphans_open = pack_numbers(builder, m.orphans_open);
  const auto state = pack(builder, m.state);
  const auto volume_id = pack(m.volume_id);
  const auto store = pack(m.store);
  const auto start = pack(m.start);
  const auto host_boot = pack(m.host_boot);
  schema::HelloBuilder b(builder);
  b.add_version(m.version);
  b.add_volume(volume);
  b.add_volume_id(&volume_id);
  b.add_site(site);
  b.add_store(&store);
  b.add_start(&start);
  b.add_host_boot(&host_boot);
  b.add_settings_digest(m.settings_digest);
  b.add_settings(settings);
  b.add_state(state);
  b.add_accepts_new_store(m.accepts_new_store);
  b.add_logged(m.logged.value);
  b.add_applied(m.applied.value);
  b.add_waits_from(m.waits_from);
  b.add_unanswered(unanswered);
  b.add_orphans_open(orphans_open);
  b.add_diskless(m.diskless);
  return b.Finish();
}

void unpack(const schema::Hello& t, std::uint32_t, Hello& m, Faults& faults) {
  m.version = t.version();
  m.volume = unpack_bytes(t.volume(), kNameBytesMax, "volume", faults);
  m.volume_id = unpack(t.volume_id());
  m.site = unpack_bytes(t.site(), kNameBytesMax, "site", faults);
  m.store = unpack(t.store());
  m.start = unpack(t.start());
  m.host_boot = unpack(t.host_boot());
  m.settings_digest = t.settings_digest();
  m.settings = unpack_bytes(t.settings(), kSettingsBytesMax, "settings", faults);
  unpack(t.state(), m.state, faults);
  m.accepts_new_store = t.accepts_new_store();
  m.diskless = t.diskless();
  m.waits_from = t.waits_from();
  m.logged = Seq(t.logged());
  m.applied = Seq(t.applied());
  unpack_numbers(t.unanswered(), kUnansweredMax, m.unanswered, "unanswered", faults);
  unpack_numbers(t.orphans_open(), kOrphansMax, m.orphans_open, "orphans_open", faults);
}

Packed<schema::Refuse> pack(Builder& builder, const Refuse& m) {
  const auto reason = pack_bytes(builder, m.reason);
  return schema::CreateRefuse(builder, reason);
}

void unpack(const schema::Refuse& t, std::uint32_t, Refuse& m, Faults& faults) {
  m.reason = unpack_bytes(t.reason(), kReasonBytesMax, "reason", faults);
}

// --- requests of the secondary's host --------------------------------------------------------------------------------

Packed<schema::Forward> pack(Builder& builder, const Forward& m) {
  const auto operation = pack(builder, m.operation);
  const auto request = pack(m.request);
  return schema::CreateForward(builder, &request, operation, m.with_payload, m.waits_from);
}

void unpack(const schema::Forward& t, std::uint32_t payload_bytes, Forward& m, Faults& faults) {
  m.request = unpack(t.request());
  unpack(*t.operation(), m.operation, faults);
  m.with_payload = t.with_payload();
  m.waits_from = t.waits_from();
  if (m.with_payload) {
    faults.require(m.operation.kind == OpKind::write, "with_payload", "only a write has one");
    faults.require(payload_bytes == m.operation.length, kPayload, "not as long as the operation says");
  } else {
    faults.require(payload_bytes == 0, kPayload, "there is one and with_payload is not set");
  }
}

Packed<schema::Grant> pack(Builder& builder, const Grant& m) {
  const auto request = pack(m.request);
  return schema::CreateGrant(builder, &request);
}

void unpack(const schema::Grant& t, std::uint32_t, Grant& m, Faults&) { m.request = unpack(t.request()); }

Packed<schema::Data> pack(Builder& builder, const Data& m) {
  const auto request = pack(m.request);
  return schema::CreateData(builder, &request);
}

void unpack(const schema::Data& t, std::uint32_t, Data& m, Faults&) { m.request = unpack(t.request()); }

Packed<schema::Commit> pack(Builder& builder, const Commit& m) {
  const auto effect = pack(builder, m.effect, Target::wire);
  return schema::CreateCommit(builder, effect, m.dropped);
}

void unpack(const schema::Commit& t, std::uint32_t, Commit& m, Faults& faults) {
  unpack(*t.effect(), m.effect, faults);
  m.dropped = t.dropped();
  require_seq(m.effect, faults);
}

Packed<schema::DroppedAt> pack(Builder& builder, const DroppedAt& m) {
  return schema::CreateDroppedAt(builder, m.seq.value);
}

void unpack(const schema::DroppedAt& t, std::uint32_t, DroppedAt& m, Faults&) { m.seq = Seq(t.seq()); }

Packed<schema::Refusal> pack(Builder& builder, const Refusal& m) {
  const auto outcome = pack(builder, m.outcome);
  const auto request = pack(m.request);
  return schema::CreateRefusal(builder, &request, outcome, m.held);
}

void unpack(const schema::Refusal& t, std::uint32_t, Refusal& m, Faults& faults) {
  m.request = unpack(t.request());
  unpack(t.outcome(), m.outcome, faults);
  m.held = t.held();
}

// --- effects ---------------------------------------------------------------------------------------------------------

Packed<schema::Mirror> pack(Builder& builder, const Mirror& m) {
  const auto effect = pack(builder, m.effect, Target::wire);
  return schema::CreateMirror(builder, effect, m.without_payload, m.waits_from);
}

void unpack(const schema::Mirror& t, std::uint32_t payload_bytes, Mirror& m, Faults& faults) {
  unpack(*t.effect(), m.effect, faults);
  m.without_payload = t.without_payload();
  m.waits_from = t.waits_from();
  require_seq(m.effect, faults);
  check_payload(m.effect, m.without_payload, payload_bytes, faults);
}

Packed<schema::Mirrored> pack(Builder& builder, const Mirrored& m) {
  const auto orphans_open = pack_numbers(builder, m.orphans_open);
  return schema::CreateMirrored(builder, m.seq.value, orphans_open);
}

void unpack(const schema::Mirrored& t, std::uint32_t, Mirrored& m, Faults& faults) {
  m.seq = Seq(t.seq());
  unpack_numbers(t.orphans_open(), kOrphansMax, m.orphans_open, "orphans_open", faults);
}

Packed<schema::OrphanClosed> pack(Builder& builder, const OrphanClosed& m) {
  return schema::CreateOrphanClosed(builder, m.inode.value);
}

void unpack(const schema::OrphanClosed& t, std::uint32_t, OrphanClosed& m, Faults&) { m.inode = InodeId(t.inode()); }

Packed<schema::Ping> pack(Builder& builder, const Ping& m) {
  return schema::CreatePing(builder, m.number, m.echo, m.stable.value, m.waits_from, m.urgent, m.short_of_room);
}

void unpack(const schema::Ping& t, std::uint32_t, Ping& m, Faults&) {
  m.number = t.number();
  m.echo = t.echo();
  m.stable = Seq(t.stable());
  m.waits_from = t.waits_from();
  m.urgent = t.urgent();
  m.short_of_room = t.short_of_room();
}

// --- catching up -----------------------------------------------------------------------------------------------------

Packed<schema::FetchBlocks> pack(Builder& builder, const FetchBlocks& m) {
  const auto blocks = pack(m.blocks);
  return schema::CreateFetchBlocks(builder, m.number, &blocks);
}

void unpack(const schema::FetchBlocks& t, std::uint32_t, FetchBlocks& m, Faults& faults) {
  m.number = t.number();
  m.blocks = unpack(t.blocks(), "blocks", faults);
  faults.require(m.blocks.count != 0 && m.blocks.count <= kFetchBlocksMax, "blocks", "count out of range");
}

Packed<schema::Blocks> pack(Builder& builder, const Blocks& m) {
  const auto checksums = pack_numbers(builder, m.checksums);
  const auto blocks = pack(m.blocks);
  return schema::CreateBlocks(builder, m.number, &blocks, m.bad, checksums);
}

void unpack(const schema::Blocks& t, std::uint32_t payload_bytes, Blocks& m, Faults& faults) {
  m.number = t.number();
  m.blocks = unpack(t.blocks(), "blocks", faults);
  m.bad = t.bad();
  unpack_numbers(t.checksums(), kFetchBlocksMax, m.checksums, "checksums", faults);
  faults.require(m.blocks.count != 0 && m.blocks.count <= kFetchBlocksMax, "blocks", "count out of range");
  // What is bad may have been impossible to read: then there is nothing to send.
  const bool nothing = m.bad && payload_bytes == 0 && m.checksums.empty();
  faults.require(nothing || m.checksums.size() == m.blocks.count, "checksums", "not one for each block");
  faults.require(nothing || payload_bytes == m.blocks.count * kBlockBytes, kPayload, "not as long as the blocks");
}

Packed<schema::FetchLog> pack(Builder& builder, const FetchLog& m) {
  return schema::CreateFetchLog(builder, m.after.value);
}

void unpack(const schema::FetchLog& t, std::uint32_t, FetchLog& m, Faults&) { m.after = Seq(t.after()); }

Packed<schema::Record> pack(Builder& builder, const Record& m) {
  const auto effect = pack(builder, m.effect, Target::wire);
  return schema::CreateRecord(builder, effect, m.without_payload);
}

void unpack(const schema::Record& t, std::uint32_t payload_bytes, Record& m, Faults& faults) {
  unpack(*t.effect(), m.effect, faults);
  m.without_payload = t.without_payload();
  check_payload(m.effect, m.without_payload, payload_bytes, faults);
}

Packed<schema::Synced> pack(Builder& builder, const Synced& m) {
  const auto dropping = pack_numbers(builder, m.dropping);
  return schema::CreateSynced(builder, m.seq.value, dropping);
}

void unpack(const schema::Synced& t, std::uint32_t, Synced& m, Faults& faults) {
  m.seq = Seq(t.seq());
  unpack_numbers(t.dropping(), kUnansweredMax, m.dropping, "dropping", faults);
}

// --- verify ----------------------------------------------------------------------------------------------------------

Packed<schema::VerifyBegin> pack(Builder& builder, const VerifyBegin& m) {
  return schema::CreateVerifyBegin(builder, m.number);
}

void unpack(const schema::VerifyBegin& t, std::uint32_t, VerifyBegin& m, Faults&) { m.number = t.number(); }

Packed<schema::VerifyAsk> pack(Builder& builder, const VerifyAsk& m) {
  const auto from = pack_bytes(builder, m.from);
  const auto to = pack_bytes(builder, m.to);
  const auto blocks = pack(m.blocks);
  return schema::CreateVerifyAsk(builder, m.number, from, to, m.limit, &blocks);
}

void unpack(const schema::VerifyAsk& t, std::uint32_t, VerifyAsk& m, Faults& faults) {
  m.number = t.number();
  m.from = unpack_bytes(t.from(), kKeyBytesMax, "from", faults);
  m.to = unpack_bytes(t.to(), kKeyBytesMax, "to", faults);
  m.limit = t.limit();
  m.blocks = unpack(t.blocks(), "blocks", faults);
  faults.require(m.blocks.count <= kVerifyBlocksMax, "blocks", "count out of range");
}

Packed<schema::VerifyAnswer> pack(Builder& builder, const VerifyAnswer& m) {
  const auto next = pack_bytes(builder, m.next);
  const auto bad = pack_numbers(builder, m.bad);
  const auto block_digests = pack_numbers(builder, m.block_digests);
  return schema::CreateVerifyAnswer(builder, m.number, m.digest, next, m.keys, bad, block_digests);
}

void unpack(const schema::VerifyAnswer& t, std::uint32_t, VerifyAnswer& m, Faults& faults) {
  m.number = t.number();
  m.digest = t.digest();
  m.next = unpack_bytes(t.next(), kKeyBytesMax, "next", faults);
  m.keys = t.keys();
  unpack_numbers(t.bad(), kVerifyBlocksMax, m.bad, "bad", faults);
  unpack_numbers(t.block_digests(), kVerifyBlocksMax, m.block_digests, "block_digests", faults);
}

Packed<schema::VerifyEnd> pack(Builder& builder, const VerifyEnd& m) {
  return schema::CreateVerifyEnd(builder, m.number);
}

void unpack(const schema::VerifyEnd& t, std::uint32_t, VerifyEnd& m, Faults&) { m.number = t.number(); }

}  // namespace lockstep::wire
