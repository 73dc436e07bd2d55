// Every field of every message comes back; what is not set comes back not set.
#include <set>

#include "../catch.h"
#include "core/checksum.h"
#include "fields.h"
#include "frames.h"
#include "samples.h"
#include "wire/bounds.h"
#include "wire/codec.h"

using namespace lockstep;
using namespace lockstep::wire;

namespace {

void check_same(const Message& a, const Message& b) {
  REQUIRE(a.index() == b.index());
  std::visit([&](const auto& m) { CHECK(fields::same(m, std::get<std::decay_t<decltype(m)>>(b))); }, a);
}

void round_trip(const Message& message, std::uint32_t payload_bytes) {
  const auto frame = encode(message, payload_bytes);
  const auto header = decode_header(Bytes(frame).first(kHeaderBytes));
  REQUIRE(header);
  CHECK(header->payload_bytes == payload_bytes);
  CHECK(header->body_bytes == frame.size() - kHeaderBytes);
  CHECK(header->type == message.index());
  const auto decoded = frames::decode(frame);
  if (!decoded) FAIL(decoded.error().text);
  check_same(message, *decoded);
}

}  // namespace

TEST_CASE("every field of every message comes back") {
  std::set<std::size_t> seen;
  for (const auto& sample : samples::all()) {
    INFO(sample.name);
    round_trip(sample.message, sample.payload_bytes);
    seen.insert(sample.message.index());
  }
  CHECK(seen.size() == std::variant_size_v<Message>);
}

TEST_CASE("the fields of a sample differ from the defaults") {
  // Else the test above would not see a field that is never sent.
  const Effect effect = samples::full_effect();
  const Effect none;
  const auto differ = [](bool same) { CHECK_FALSE(same); };
  std::apply(
      [&](const auto&... field) {
        std::apply([&](const auto&... other) { (differ(fields::same(field, other)), ...); }, fields::tie(none));
      },
      fields::tie(effect));
}

TEST_CASE("empty messages come back empty") {
  round_trip(Hello{}, 0);
  round_trip(Refuse{}, 0);
  round_trip(Mirrored{}, 0);
  round_trip(Refusal{}, 0);
  round_trip(VerifyAsk{}, 0);
  round_trip(VerifyAnswer{}, 0);
  Effect effect;
  effect.seq = Seq(1);
  round_trip(Mirror{effect}, 0);
  round_trip(Commit{effect, false}, 0);
  effect.seq = Seq(0);
  round_trip(Record{effect}, 0);
}

TEST_CASE("extreme values come back") {
  round_trip(Ping{~std::uint64_t{0}, 1}, 0);
  Hello hello;
  hello.version = 0xffff;
  hello.unanswered.assign(kUnansweredMax, Seq(~std::uint64_t{0}));
  hello.orphans_open.assign(kOrphansMax, InodeId(1));
  hello.settings = std::string(kSettingsBytesMax, '\xff');
  round_trip(hello, 0);
  Effect effect;
  effect.seq = Seq(~std::uint64_t{0});
  effect.times = {InodeId(1), WallTime(INT64_MIN), WallTime(INT64_MAX)};
  effect.writes = {{(kAreaBlocksMax - 1) * kBlockBytes, kBlockBytes, false, false}};
  effect.checksums = {0};
  effect.drops = {{Drop::Kind::pages, InodeId(1), {kFileBytesMax, 0}, {}}};
  effect.batch = {{std::string(kKeyBytesMax, '\0'), std::string(kValueBytesMax, '\0')}, {"k", std::nullopt}};
  effect.outcome.error = 4095;
  round_trip(Mirror{effect}, kBlockBytes);
}

TEST_CASE("a write of zeros counts in checksums and not in the payload") {
  Effect effect;
  effect.seq = Seq(1);
  effect.writes = {{100, 1024 * kBlockBytes - 100, false, true}, {4095 + 2048 * kBlockBytes, 2, false, false}};
  effect.checksums.assign(1026, zero_block_checksum());
  round_trip(Mirror{effect}, 2);
}

TEST_CASE("a record brings back the effect without its turns") {
  for (Effect effect : {samples::full_effect(), samples::overwrite(), samples::creation()}) {
    const auto record = encode_record(effect);
    const auto decoded = decode_record(record);
    if (!decoded) FAIL(decoded.error().text);
    effect.turns.clear();
    CHECK(fields::same(effect, *decoded));
  }
}

TEST_CASE("bytes that are not aligned decode as well") {
  const auto frame = encode(Mirror{samples::full_effect()}, samples::kEffectPayloadBytes);
  const auto record = encode_record(samples::full_effect());
  for (std::size_t shift = 1; shift < 8; ++shift) {
    std::vector<std::byte> moved(shift);
    moved.insert(moved.end(), frame.begin(), frame.end());
    CHECK(frames::decode(Bytes(moved).subspan(shift)));
    moved.resize(shift);
    moved.insert(moved.end(), record.begin(), record.end());
    CHECK(decode_record(Bytes(moved).subspan(shift)));
  }
}

TEST_CASE("a large message does not change the ones after it") {
  Effect large = samples::overwrite();
  large.batch.assign(15, {std::string(100, 'k'), std::string(kValueBytesMax, 'v')});
  const auto before = encode(Mirror{samples::full_effect()}, samples::kEffectPayloadBytes);
  round_trip(Mirror{std::move(large)}, kBlockBytes);
  CHECK(before == encode(Mirror{samples::full_effect()}, samples::kEffectPayloadBytes));
}
