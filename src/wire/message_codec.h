// message_codec.h - each message of the variant: its name, its table in the schema, and how one becomes the other.
//
// A new message needs: a table in wire.fbs, a line in kForms, pack() and unpack(). The table is what pack() makes.
#pragma once

#include "wire/parts_codec.h"

namespace lockstep::wire {

struct Form {
  const char* name;      ///< for people, as in lockstep-protocol(7)
  bool payload = false;  ///< one may follow
};
/// By index of the message in the variant.
inline constexpr Form kForms[] = {
    {"HELLO"},        {"REFUSE"},        {"FORWARD", true}, {"GRANT"},        {"DATA", true},    {"COMMIT"},
    {"DROPPED"},      {"REFUSAL"},       {"MIRROR", true},  {"MIRRORED"},     {"ORPHAN_CLOSED"}, {"PING"},
    {"FETCH_BLOCKS"}, {"BLOCKS", true},  {"FETCH_LOG"},     {"RECORD", true}, {"SYNCED"},        {"VERIFY_BEGIN"},
    {"VERIFY_ASK"},   {"VERIFY_ANSWER"}, {"VERIFY_END"},    {"MEMBERSHIP"},   {"RECORDED"},      {"LEAVE"},
    {"SERVES_NOBODY"}, {"CHECKPOINT"},   {"CHECKPOINTED"},  {"CLEAR"},        {"KEYS_MARK"},     {"KEYS_FETCH"},
    {"KEYS"},         {"SUSPECTS"},      {"COMPARE"},       {"WANT"},         {"COPY", true},
    {"COMMAND"},      {"COMMAND_ANSWER"}, {"ARMS"}, {"DATA_LOST"},
};
static_assert(std::size(kForms) == std::variant_size_v<Message>);

Packed<schema::Hello> pack(Builder& builder, const Hello& m);
Packed<schema::Refuse> pack(Builder& builder, const Refuse& m);
Packed<schema::Forward> pack(Builder& builder, const Forward& m);
Packed<schema::Grant> pack(Builder& builder, const Grant& m);
Packed<schema::Data> pack(Builder& builder, const Data& m);
Packed<schema::Commit> pack(Builder& builder, const Commit& m);
Packed<schema::DroppedAt> pack(Builder& builder, const DroppedAt& m);
Packed<schema::Refusal> pack(Builder& builder, const Refusal& m);
Packed<schema::Mirror> pack(Builder& builder, const Mirror& m);
Packed<schema::Mirrored> pack(Builder& builder, const Mirrored& m);
Packed<schema::OrphanClosed> pack(Builder& builder, const OrphanClosed& m);
Packed<schema::Ping> pack(Builder& builder, const Ping& m);
Packed<schema::FetchBlocks> pack(Builder& builder, const FetchBlocks& m);
Packed<schema::Blocks> pack(Builder& builder, const Blocks& m);
Packed<schema::FetchLog> pack(Builder& builder, const FetchLog& m);
Packed<schema::Record> pack(Builder& builder, const Record& m);
Packed<schema::Synced> pack(Builder& builder, const Synced& m);
Packed<schema::VerifyBegin> pack(Builder& builder, const VerifyBegin& m);
Packed<schema::VerifyAsk> pack(Builder& builder, const VerifyAsk& m);
Packed<schema::VerifyAnswer> pack(Builder& builder, const VerifyAnswer& m);
Packed<schema::VerifyEnd> pack(Builder& builder, const VerifyEnd& m);
Packed<schema::Membership> pack(Builder& builder, const Membership& m);
Packed<schema::Recorded> pack(Builder& builder, const Recorded& m);
Packed<schema::Leave> pack(Builder& builder, const Leave& m);
Packed<schema::ServesNobody> pack(Builder& builder, const ServesNobody& m);
Packed<schema::Checkpoint> pack(Builder& builder, const Checkpoint& m);
Packed<schema::Checkpointed> pack(Builder& builder, const Checkpointed& m);
Packed<schema::Clear> pack(Builder& builder, const Clear& m);
Packed<schema::KeysMark> pack(Builder& builder, const KeysMark& m);
Packed<schema::KeysFetch> pack(Builder& builder, const KeysFetch& m);
Packed<schema::Keys> pack(Builder& builder, const Keys& m);
Packed<schema::Suspects> pack(Builder& builder, const Suspects& m);
Packed<schema::Compare> pack(Builder& builder, const Compare& m);
Packed<schema::Want> pack(Builder& builder, const Want& m);
Packed<schema::Copy> pack(Builder& builder, const Copy& m);
Packed<schema::Command> pack(Builder& builder, const Command& m);
Packed<schema::CommandAnswer> pack(Builder& builder, const CommandAnswer& m);
Packed<schema::Arms> pack(Builder& builder, const Arms& m);
Packed<schema::DataLost> pack(Builder& builder, const DataLost& m);

// `payload_bytes` follow the body; each unpack() refuses a number that does not fit what the body says.
void unpack(const schema::Hello& t, std::uint32_t payload_bytes, Hello& m, Faults& faults);
void unpack(const schema::Refuse& t, std::uint32_t payload_bytes, Refuse& m, Faults& faults);
void unpack(const schema::Forward& t, std::uint32_t payload_bytes, Forward& m, Faults& faults);
void unpack(const schema::Grant& t, std::uint32_t payload_bytes, Grant& m, Faults& faults);
void unpack(const schema::Data& t, std::uint32_t payload_bytes, Data& m, Faults& faults);
void unpack(const schema::Commit& t, std::uint32_t payload_bytes, Commit& m, Faults& faults);
void unpack(const schema::DroppedAt& t, std::uint32_t payload_bytes, DroppedAt& m, Faults& faults);
void unpack(const schema::Refusal& t, std::uint32_t payload_bytes, Refusal& m, Faults& faults);
void unpack(const schema::Mirror& t, std::uint32_t payload_bytes, Mirror& m, Faults& faults);
void unpack(const schema::Mirrored& t, std::uint32_t payload_bytes, Mirrored& m, Faults& faults);
void unpack(const schema::OrphanClosed& t, std::uint32_t payload_bytes, OrphanClosed& m, Faults& faults);
void unpack(const schema::Ping& t, std::uint32_t payload_bytes, Ping& m, Faults& faults);
void unpack(const schema::FetchBlocks& t, std::uint32_t payload_bytes, FetchBlocks& m, Faults& faults);
void unpack(const schema::Blocks& t, std::uint32_t payload_bytes, Blocks& m, Faults& faults);
void unpack(const schema::FetchLog& t, std::uint32_t payload_bytes, FetchLog& m, Faults& faults);
void unpack(const schema::Record& t, std::uint32_t payload_bytes, Record& m, Faults& faults);
void unpack(const schema::Synced& t, std::uint32_t payload_bytes, Synced& m, Faults& faults);
void unpack(const schema::VerifyBegin& t, std::uint32_t payload_bytes, VerifyBegin& m, Faults& faults);
void unpack(const schema::VerifyAsk& t, std::uint32_t payload_bytes, VerifyAsk& m, Faults& faults);
void unpack(const schema::VerifyAnswer& t, std::uint32_t payload_bytes, VerifyAnswer& m, Faults& faults);
void unpack(const schema::VerifyEnd& t, std::uint32_t payload_bytes, VerifyEnd& m, Faults& faults);
void unpack(const schema::Membership& t, std::uint32_t payload_bytes, Membership& m, Faults& faults);
void unpack(const schema::Recorded& t, std::uint32_t payload_bytes, Recorded& m, Faults& faults);
void unpack(const schema::Leave& t, std::uint32_t payload_bytes, Leave& m, Faults& faults);
void unpack(const schema::ServesNobody& t, std::uint32_t payload_bytes, ServesNobody& m, Faults& faults);
void unpack(const schema::Checkpoint& t, std::uint32_t payload_bytes, Checkpoint& m, Faults& faults);
void unpack(const schema::Checkpointed& t, std::uint32_t payload_bytes, Checkpointed& m, Faults& faults);
void unpack(const schema::Clear& t, std::uint32_t payload_bytes, Clear& m, Faults& faults);
void unpack(const schema::KeysMark& t, std::uint32_t payload_bytes, KeysMark& m, Faults& faults);
void unpack(const schema::KeysFetch& t, std::uint32_t payload_bytes, KeysFetch& m, Faults& faults);
void unpack(const schema::Keys& t, std::uint32_t payload_bytes, Keys& m, Faults& faults);
void unpack(const schema::Suspects& t, std::uint32_t payload_bytes, Suspects& m, Faults& faults);
void unpack(const schema::Compare& t, std::uint32_t payload_bytes, Compare& m, Faults& faults);
void unpack(const schema::Want& t, std::uint32_t payload_bytes, Want& m, Faults& faults);
void unpack(const schema::Copy& t, std::uint32_t payload_bytes, Copy& m, Faults& faults);
void unpack(const schema::Command& t, std::uint32_t payload_bytes, Command& m, Faults& faults);
void unpack(const schema::CommandAnswer& t, std::uint32_t payload_bytes, CommandAnswer& m, Faults& faults);
void unpack(const schema::Arms& t, std::uint32_t payload_bytes, Arms& m, Faults& faults);
void unpack(const schema::DataLost& t, std::uint32_t payload_bytes, DataLost& m, Faults& faults);

}  // namespace lockstep::wire
