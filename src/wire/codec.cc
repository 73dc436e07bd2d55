// The header of a frame, little endian:
//
//    0  u32  magic "LKST"
//    4  u16  protocol version
//    6  u8   type: index of the message in the variant
//    7  u8   flags, 0
//    8  u32  bytes of body
//   12  u32  bytes of payload
//   16  u64  XXH3-64 of the body
//   24  u32  0
//   28  u32  low half of XXH3-64 of the 28 bytes before
//
// The payload has no checksum here: those of its blocks are in the effect, and are compared and stored where it is
// written.
#include "wire/codec.h"

#include <fmt/format.h>

#include <array>
#include <cstring>
#include <utility>

#include "core/check.h"
#include "core/checksum.h"
#include "wire/effect_codec.h"
#include "wire/message_codec.h"
#include "wire/state_codec.h"

namespace lockstep::wire {
namespace {

struct RawHeader {
  std::uint32_t magic;
  std::uint16_t version;
  std::uint8_t type;
  std::uint8_t flags;
  std::uint32_t body_bytes;
  std::uint32_t payload_bytes;
  std::uint64_t body_checksum;
  std::uint32_t reserved;
  std::uint32_t header_checksum;
};
static_assert(sizeof(RawHeader) == kHeaderBytes && std::has_unique_object_representations_v<RawHeader>);
static_assert(FLATBUFFERS_LITTLEENDIAN, "headers are copied as they stand in memory");

constexpr std::uint32_t kMagic = 0x54534b4c;  // "LKST"
/// First bytes of a record, so that nothing else is taken for one.
constexpr const char* kRecordIdentifier = "LKRE";
constexpr const char* kStateIdentifier = "LKST";
constexpr std::size_t kTypes = std::variant_size_v<Message>;
/// No table stands deeper than message, effect or operation, outcome or change.
constexpr flatbuffers::uoffset_t kDepthMax = 4;
constexpr flatbuffers::uoffset_t kTablesMax = 8;
/// Memory that a builder keeps for the next message; a larger one is given back.
constexpr std::size_t kBuilderBytesKept = 64u << 10;

std::uint32_t payload_bytes_max(std::size_t type) { return kForms[type].payload ? kPayloadBytesMax : 0; }

/// Requires: `type` is known.
Result<> check_lengths(std::uint8_t type, std::uint32_t body_bytes, std::uint32_t payload_bytes) {
  if (body_bytes == 0 || body_bytes > kBodyBytesMax) {
    return fail(Errc::invalid,
                fmt::format("{}: a body of {} bytes; the limit is {}", kForms[type].name, body_bytes, kBodyBytesMax));
  }
  if (payload_bytes > payload_bytes_max(type)) {
    return fail(Errc::invalid, fmt::format("{}: a payload of {} bytes; the limit is {}", kForms[type].name,
                                           payload_bytes, payload_bytes_max(type)));
  }
  return {};
}

std::uint32_t header_checksum(const RawHeader& raw) {
  return static_cast<std::uint32_t>(checksum(Bytes(reinterpret_cast<const std::byte*>(&raw), kHeaderBytes - 4)));
}

/// One builder serves all messages: after the first ones it allocates nothing.
Builder& clean_builder() {
  thread_local Builder builder(4096);
  builder.Clear();
  return builder;
}

Bytes finished(const Builder& builder) {
  return {reinterpret_cast<const std::byte*>(builder.GetBufferPointer()), builder.GetSize()};
}

void give_back(Builder& builder) {
  if (builder.GetSize() > kBuilderBytesKept) builder.Reset();
}

/// Bytes that tables can be read from in place: a copy if `from` is not aligned.
class Aligned {
 public:
  explicit Aligned(Bytes from) : bytes_(from) {
    if (reinterpret_cast<std::uintptr_t>(from.data()) % alignof(std::uint64_t) == 0) return;
    copy_.resize((from.size() + 7) / 8);
    if (!from.empty()) std::memcpy(copy_.data(), from.data(), from.size());
    bytes_ = std::as_bytes(std::span(copy_)).first(from.size());
  }
  [[nodiscard]] Bytes get() const { return bytes_; }

 private:
  Bytes bytes_;
  std::vector<std::uint64_t> copy_;
};

/// The root table in `bytes`, or null where its structure leads out of them.
template <class Table>
const Table* root(Bytes bytes, const char* identifier) {
  const auto* data = reinterpret_cast<const std::uint8_t*>(bytes.data());
  flatbuffers::Verifier verifier(data, bytes.size(), kDepthMax, kTablesMax);
  if (!verifier.VerifyBuffer<Table>(identifier)) return nullptr;
  return flatbuffers::GetRoot<Table>(data);
}

template <class T>
T table_of(Packed<T>);  // only named, never called

template <std::size_t I>
Result<Message> decode_as(std::uint32_t payload_bytes, Bytes body) {
  using M = std::variant_alternative_t<I, Message>;
  using Table = decltype(table_of(pack(std::declval<Builder&>(), std::declval<const M&>())));
  const Table* table = root<Table>(body, nullptr);
  if (table == nullptr) return fail(Errc::invalid, fmt::format("{}: its body has no valid structure", kForms[I].name));
  Result<Message> message(std::in_place, std::in_place_index<I>);
  Faults faults;
  unpack(*table, payload_bytes, *std::get_if<I>(&*message), faults);
  if (!faults.ok()) return fail(Errc::invalid, fmt::format("{}: {}", kForms[I].name, faults.text()));
  return message;
}

using Decoder = Result<Message> (*)(std::uint32_t, Bytes);
template <std::size_t... I>
constexpr auto make_decoders(std::index_sequence<I...>) {
  return std::array<Decoder, kTypes>{&decode_as<I>...};
}
constexpr auto kDecoders = make_decoders(std::make_index_sequence<kTypes>());

}  // namespace

std::vector<std::byte> encode(const Message& message, std::uint32_t payload_bytes) {
  Builder& builder = clean_builder();
  std::visit([&](const auto& m) { builder.Finish(pack(builder, m)); }, message);
  const Bytes body = finished(builder);
  CHECK(body.size() <= kBodyBytesMax && payload_bytes <= payload_bytes_max(message.index()));

  RawHeader raw{};
  raw.magic = kMagic;
  raw.version = kProtocolVersion;
  raw.type = static_cast<std::uint8_t>(message.index());
  raw.body_bytes = static_cast<std::uint32_t>(body.size());
  raw.payload_bytes = payload_bytes;
  raw.body_checksum = checksum(body);
  raw.header_checksum = header_checksum(raw);

  std::vector<std::byte> frame;
  frame.reserve(kHeaderBytes + body.size());
  const auto header = std::as_bytes(std::span(&raw, 1));
  frame.insert(frame.end(), header.begin(), header.end());
  frame.insert(frame.end(), body.begin(), body.end());
  give_back(builder);
  return frame;
}

Result<FrameHeader> decode_header(Bytes bytes) {
  RawHeader raw;
  if (bytes.size() != kHeaderBytes) return fail(Errc::invalid, fmt::format("a header of {} bytes", bytes.size()));
  std::memcpy(&raw, bytes.data(), kHeaderBytes);
  if (raw.magic != kMagic) {
    return fail(Errc::invalid, "not a frame of Lockstep: is it another program that listens or connects there?");
  }
  if (raw.version != kProtocolVersion) {
    return fail(Errc::invalid, fmt::format("the other site speaks version {} of the protocol and this one version {}: "
                                           "install the same version of lockstep at both",
                                           raw.version, kProtocolVersion));
  }
  if (raw.header_checksum != header_checksum(raw)) {
    return fail(Errc::invalid, "the header of a frame does not match its checksum");
  }
  if (raw.type >= kTypes) return fail(Errc::invalid, fmt::format("a frame of unknown type {}", raw.type));
  if (raw.flags != 0 || raw.reserved != 0) {
    return fail(Errc::invalid,
                fmt::format("{}: flags {:#x} and {:#x} are unknown", kForms[raw.type].name, raw.flags, raw.reserved));
  }
  const Result<> lengths = check_lengths(raw.type, raw.body_bytes, raw.payload_bytes);
  if (!lengths) return std::unexpected(lengths.error());
  return FrameHeader{raw.type, raw.body_bytes, raw.payload_bytes, raw.body_checksum};
}

Result<Message> decode_body(const FrameHeader& header, Bytes body) {
  if (header.type >= kTypes) return fail(Errc::invalid, fmt::format("a frame of unknown type {}", header.type));
  const char* const name = kForms[header.type].name;
  const Result<> lengths = check_lengths(header.type, header.body_bytes, header.payload_bytes);
  if (!lengths) return std::unexpected(lengths.error());
  if (body.size() != header.body_bytes) {
    return fail(Errc::invalid,
                fmt::format("{}: a body of {} bytes; its header says {}", name, body.size(), header.body_bytes));
  }
  if (checksum(body) != header.body_checksum) {
    return fail(Errc::invalid, fmt::format("{}: its body does not match its checksum", name));
  }
  return kDecoders[header.type](header.payload_bytes, Aligned(body).get());
}

std::vector<std::byte> encode_record(const Effect& effect) {
  Builder& builder = clean_builder();
  builder.Finish(pack(builder, effect, Target::log), kRecordIdentifier);
  const Bytes bytes = finished(builder);
  CHECK(bytes.size() <= kBodyBytesMax);
  std::vector<std::byte> record(bytes.begin(), bytes.end());
  give_back(builder);
  return record;
}

Result<Effect> decode_record(Bytes bytes) {
  if (bytes.empty() || bytes.size() > kBodyBytesMax) {
    return fail(Errc::invalid, fmt::format("a record of {} bytes; the limit is {}", bytes.size(), kBodyBytesMax));
  }
  const Aligned aligned(bytes);
  const auto* table = root<schema::Effect>(aligned.get(), kRecordIdentifier);
  if (table == nullptr) return fail(Errc::invalid, "a record without valid structure");
  Result<Effect> effect(std::in_place);
  Faults faults;
  unpack(*table, *effect, faults);
  require_seq(*effect, faults);
  if (!faults.ok()) return fail(Errc::invalid, fmt::format("a record: {}", faults.text()));
  return effect;
}

std::vector<std::byte> encode_state(const SiteState& state) {
  Builder& builder = clean_builder();
  builder.Finish(pack(builder, state), kStateIdentifier);
  const Bytes bytes = finished(builder);
  return {bytes.begin(), bytes.end()};
}

Result<SiteState> decode_state(Bytes bytes) {
  const auto aligned = Aligned(bytes);
  const auto* table = bytes.empty() ? nullptr : root<schema::SiteState>(aligned.get(), kStateIdentifier);
  if (table == nullptr) return fail(Errc::invalid, "the state of a site without valid structure");
  Result<SiteState> state(std::in_place);
  Faults faults;
  unpack(table, *state, faults);
  if (!faults.ok()) return fail(Errc::invalid, fmt::format("the state of a site: {}", faults.text()));
  return state;
}

}  // namespace lockstep::wire
