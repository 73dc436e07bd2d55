// What it costs to send and to receive the messages of a write and of a create, without the socket.
//
//   codec_bench [ROUNDS]     nanoseconds a call, the best of ten batches of ROUNDS
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>

#include "core/check.h"
#include "samples.h"
#include "wire/codec.h"

using namespace lockstep;
using namespace lockstep::wire;

namespace {

template <class Call>
double nanoseconds(int rounds, Call call) {
  double best = 1e18;
  for (int batch = 0; batch < 10; ++batch) {
    const auto start = std::chrono::steady_clock::now();
    for (int i = 0; i < rounds; ++i) call();
    const std::chrono::duration<double, std::nano> spent = std::chrono::steady_clock::now() - start;
    best = std::min(best, spent.count() / rounds);
  }
  return best;
}

void measure(const char* name, const Message& message, std::uint32_t payload_bytes, int rounds) {
  const auto frame = encode(message, payload_bytes);
  const Bytes bytes(frame);
  std::size_t sum = 0;  // used below, so that no call is left out
  const double out = nanoseconds(rounds, [&] { sum += encode(message, payload_bytes).size(); });
  const double in = nanoseconds(rounds, [&] {
    const auto header = decode_header(bytes.first(kHeaderBytes));
    CHECK(header.has_value());
    const auto decoded = decode_body(*header, bytes.subspan(kHeaderBytes));
    CHECK(decoded.has_value());
    sum += decoded->index();
  });
  CHECK(sum != 0);
  fmt::print("{:20} {:5} bytes   encode {:7.0f} ns   decode {:7.0f} ns\n", name, frame.size(), out, in);
}

void measure_record(const char* name, const Effect& effect, int rounds) {
  const auto record = encode_record(effect);
  std::size_t sum = 0;
  const double out = nanoseconds(rounds, [&] { sum += encode_record(effect).size(); });
  const double in = nanoseconds(rounds, [&] {
    const auto decoded = decode_record(record);
    CHECK(decoded.has_value());
    sum += decoded->seq.value;
  });
  CHECK(sum != 0);
  fmt::print("{:20} {:5} bytes   encode {:7.0f} ns   decode {:7.0f} ns\n", name, record.size(), out, in);
}

}  // namespace

int main(int count, char** arguments) {
  const int rounds = count > 1 ? std::atoi(arguments[1]) : 100'000;
  if (rounds < 1) {
    fmt::print(stderr, "codec_bench: ROUNDS is a number from 1\n");
    return 2;
  }
  measure("MIRROR of 4 KiB", Mirror{samples::overwrite()}, kBlockBytes, rounds);
  measure("MIRROR of 5 keys", Mirror{samples::creation()}, 0, rounds);
  measure("COMMIT of 4 KiB", Commit{samples::overwrite()}, 0, rounds);
  measure("MIRRORED", Mirrored{Seq(5), {}}, 0, rounds);
  Forward forward;
  forward.operation.length = kBlockBytes;
  forward.with_payload = true;
  measure("FORWARD of 4 KiB", forward, kBlockBytes, rounds);
  measure("PING", Ping{1, 2}, 0, rounds);
  measure_record("record of 5 keys", samples::creation(), rounds);
  return 0;
}
