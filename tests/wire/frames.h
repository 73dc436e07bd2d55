// frames.h - frames as bytes: decode a whole one, and give a changed one the checksums that make it pass for whole.
#pragma once

#include <cstring>
#include <vector>

#include "core/checksum.h"
#include "wire/codec.h"

namespace lockstep::wire::frames {

inline Result<Message> decode(Bytes frame) {
  if (frame.size() < kHeaderBytes) return fail(Errc::invalid, "shorter than a header");
  const auto header = decode_header(frame.first(kHeaderBytes));
  if (!header) return std::unexpected(header.error());
  return decode_body(*header, frame.subspan(kHeaderBytes));
}

inline void put(std::vector<std::byte>& frame, std::size_t at, auto number) {
  std::memcpy(frame.data() + at, &number, sizeof(number));
}

/// Checksum of the header as it is. Requires: `frame` has one.
inline void seal_header(std::vector<std::byte>& frame) {
  put(frame, 28, static_cast<std::uint32_t>(checksum(Bytes(frame).first(28))));
}

/// Length and checksum of the body as it is, then of the header.
inline void seal(std::vector<std::byte>& frame) {
  const Bytes body = Bytes(frame).subspan(kHeaderBytes);
  put(frame, 8, static_cast<std::uint32_t>(body.size()));
  put(frame, 16, checksum(body));
  seal_header(frame);
}

}  // namespace lockstep::wire::frames
