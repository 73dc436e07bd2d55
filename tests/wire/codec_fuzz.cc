// Fuzzes whatever reads bytes from the other site or from the log. Built with -Dfuzz=true:
//
//   CXX=clang++-19 meson setup build-fuzz -Dfuzz=true && ninja -C build-fuzz tests/wire/codec_fuzz
//   build-fuzz/tests/wire/codec_fuzz -max_len=65536 corpus/
//
// The first byte says what the rest is: a frame, a record, or (less 2) the body of a message of that type. Checksums
// are made right, so that the fuzzer gets behind them. What is accepted must survive being sent on.
#include <cstdint>

#include "core/check.h"
#include "frames.h"
#include "wire/codec.h"

using namespace lockstep;
using namespace lockstep::wire;

namespace {

void fuzz_record(Bytes bytes) {
  const auto effect = decode_record(bytes);
  if (!effect) return;
  const auto record = encode_record(*effect);
  const auto again = decode_record(record);
  CHECK(again.has_value());
  CHECK(encode_record(*again) == record);
}

void fuzz_state(Bytes bytes) {
  const auto state = decode_state(bytes);
  if (!state) return;
  const auto again = decode_state(encode_state(*state));
  CHECK(again.has_value());
  CHECK(*again == *state);
}

void check_accepted(const Message& message, std::uint32_t payload_bytes) {
  const auto frame = encode(message, payload_bytes);
  const auto again = frames::decode(frame);
  CHECK(again.has_value());
  CHECK(encode(*again, payload_bytes) == frame);
}

void fuzz_frame(Bytes bytes) {
  std::vector<std::byte> frame(bytes.begin(), bytes.end());
  if (frame.size() < kHeaderBytes) return;
  const auto decoded = frames::decode(frame);
  if (decoded) check_accepted(*decoded, decode_header(bytes.first(kHeaderBytes))->payload_bytes);
}

/// Four bytes of payload length, then the body.
void fuzz_body(std::uint8_t type, Bytes bytes) {
  std::uint32_t payload_bytes = 0;
  if (bytes.size() < sizeof(payload_bytes)) return;
  std::memcpy(&payload_bytes, bytes.data(), sizeof(payload_bytes));
  payload_bytes %= kPayloadBytesMax + 1;
  const Bytes body = bytes.subspan(sizeof(payload_bytes));
  const FrameHeader header{type, static_cast<std::uint32_t>(body.size()), payload_bytes, checksum(body)};
  const auto decoded = decode_body(header, body);
  if (decoded) check_accepted(*decoded, payload_bytes);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const Bytes rest = std::as_bytes(std::span(data, size)).subspan(1);
  switch (data[0]) {
    case 0: fuzz_frame(rest); break;
    case 1: fuzz_record(rest); break;
    case 2: fuzz_state(rest); break;
    default: fuzz_body(static_cast<std::uint8_t>(data[0] - 3), rest); break;
  }
  return 0;
}
