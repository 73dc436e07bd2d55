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
    {"VERIFY_ASK"},   {"VERIFY_ANSWER"}, {"VERIFY_END"},
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

}  // namespace lockstep::wire
