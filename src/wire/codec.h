// codec.h - messages <-> bytes, and nothing else.
//
// A frame is a fixed header, a FlatBuffer of at most kBodyBytesMax, and a raw payload of at most kPayloadBytesMax.
// Decoding is total: any bytes give a message or Errc::invalid with what is wrong, never a crash, and allocate at
// most some twelve times what the frame is long (a key of one byte becomes a KeyChange). lockstep-protocol(7) has the layout.
#pragma once

#include "core/result.h"
#include "wire/messages.h"

namespace lockstep::wire {

inline constexpr std::size_t kHeaderBytes = 32;
inline constexpr std::uint32_t kBodyBytesMax = 4u << 20;
inline constexpr std::uint32_t kPayloadBytesMax = (1u << 20) + (64u << 10);  // a largest write, in whole blocks

/// What the header of a frame says. Decoded before anything is allocated.
struct FrameHeader {
  std::uint8_t type = 0;            ///< index of the message in Message
  std::uint32_t body_bytes = 0;
  std::uint32_t payload_bytes = 0;
  std::uint64_t body_checksum = 0;
};

/// Header and body of `message`, ready to be followed by `payload_bytes` of payload. Requires: it fits the limits (the
/// sender bounds batches; see kBodyBytesMax).
[[nodiscard]] std::vector<std::byte> encode(const Message& message, std::uint32_t payload_bytes);

/// Errc::invalid: wrong magic, version, type, length or header checksum. `bytes` has kHeaderBytes.
[[nodiscard]] Result<FrameHeader> decode_header(Bytes bytes);
/// Errc::invalid: checksum or structure. `body` has header.body_bytes.
[[nodiscard]] Result<Message> decode_body(const FrameHeader& header, Bytes body);

/// The log's record of an effect: all but its turns. The same rules as above; a checksum is the log's business.
[[nodiscard]] std::vector<std::byte> encode_record(const Effect& effect);
[[nodiscard]] Result<Effect> decode_record(Bytes bytes);

/// What an area keeps of its site's membership. The same rules.
[[nodiscard]] std::vector<std::byte> encode_state(const SiteState& state);
[[nodiscard]] Result<SiteState> decode_state(Bytes bytes);

}  // namespace lockstep::wire
