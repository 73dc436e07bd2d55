// message_codec.h - each message of the variant: its table in the schema, its name, and how one becomes the other.
//
// A new message needs: a table in wire.fbs, a line of traits here, pack() and unpack() in message_codec.cc.
#pragma once

#include "wire/parts_codec.h"

namespace lockstep::wire {

enum class Payload : std::uint8_t { never, allowed };

/// What the frame's header leaves to be known about message M: the root table of its body, the name that people read
/// (lockstep-protocol(7)), and whether a payload may follow.
template <class M, class T, Payload payload_ = Payload::never>
struct Form {
  using Table = T;
  static constexpr Payload payload = payload_;
};
template <class M>
struct Traits;
template <> struct Traits<Hello> : Form<Hello, schema::Hello> { static constexpr const char* name = "HELLO"; };
template <> struct Traits<Refuse> : Form<Refuse, schema::Refuse> { static constexpr const char* name = "REFUSE"; };
template <> struct Traits<Forward> : Form<Forward, schema::Forward, Payload::allowed> { static constexpr const char* name = "FORWARD"; };
template <> struct Traits<Grant> : Form<Grant, schema::Grant> { static constexpr const char* name = "GRANT"; };
template <> struct Traits<Data> : Form<Data, schema::Data, Payload::allowed> { static constexpr const char* name = "DATA"; };
template <> struct Traits<Commit> : Form<Commit, schema::Commit> { static constexpr const char* name = "COMMIT"; };
template <> struct Traits<DroppedAt> : Form<DroppedAt, schema::DroppedAt> { static constexpr const char* name = "DROPPED"; };
template <> struct Traits<Refusal> : Form<Refusal, schema::Refusal> { static constexpr const char* name = "REFUSAL"; };
template <> struct Traits<Mirror> : Form<Mirror, schema::Mirror, Payload::allowed> { static constexpr const char* name = "MIRROR"; };
template <> struct Traits<Mirrored> : Form<Mirrored, schema::Mirrored> { static constexpr const char* name = "MIRRORED"; };
template <> struct Traits<OrphanClosed> : Form<OrphanClosed, schema::OrphanClosed> { static constexpr const char* name = "ORPHAN_CLOSED"; };
template <> struct Traits<Ping> : Form<Ping, schema::Ping> { static constexpr const char* name = "PING"; };
template <> struct Traits<FetchBlocks> : Form<FetchBlocks, schema::FetchBlocks> { static constexpr const char* name = "FETCH_BLOCKS"; };
template <> struct Traits<Blocks> : Form<Blocks, schema::Blocks, Payload::allowed> { static constexpr const char* name = "BLOCKS"; };
template <> struct Traits<FetchLog> : Form<FetchLog, schema::FetchLog> { static constexpr const char* name = "FETCH_LOG"; };
template <> struct Traits<Record> : Form<Record, schema::Record, Payload::allowed> { static constexpr const char* name = "RECORD"; };
template <> struct Traits<Synced> : Form<Synced, schema::Synced> { static constexpr const char* name = "SYNCED"; };
template <> struct Traits<VerifyBegin> : Form<VerifyBegin, schema::VerifyBegin> { static constexpr const char* name = "VERIFY_BEGIN"; };
template <> struct Traits<VerifyAsk> : Form<VerifyAsk, schema::VerifyAsk> { static constexpr const char* name = "VERIFY_ASK"; };
template <> struct Traits<VerifyAnswer> : Form<VerifyAnswer, schema::VerifyAnswer> { static constexpr const char* name = "VERIFY_ANSWER"; };
template <> struct Traits<VerifyEnd> : Form<VerifyEnd, schema::VerifyEnd> { static constexpr const char* name = "VERIFY_END"; };

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
