// Bytes from anybody: never a crash, never accepted where a checksum covers them, and an error that says what is wrong.
#include <fmt/format.h>

#include <cstring>
#include <functional>

#include "../catch.h"
#include "core/checksum.h"
#include "frames.h"
#include "samples.h"
#include "wire/bounds.h"
#include "wire/codec.h"

using namespace lockstep;
using namespace lockstep::wire;

namespace {

/// The error that decoding `message` gives; empty if there is none.
std::string refusal(const Message& message, std::uint32_t payload_bytes = 0) {
  const auto decoded = frames::decode(encode(message, payload_bytes));
  return decoded ? "" : decoded.error().text;
}

std::string refusal_of_effect(const std::function<void(Effect&)>& spoil, std::uint32_t payload_bytes = kBlockBytes) {
  Effect effect = samples::overwrite();
  spoil(effect);
  return refusal(Mirror{std::move(effect)}, payload_bytes);
}

std::string refusal_of_operation(OpKind kind, const std::function<void(Operation&)>& spoil) {
  Forward forward;
  forward.operation.kind = kind;
  forward.operation.name = "name";
  if (kind == OpKind::rename) forward.operation.text = "text";
  REQUIRE(refusal(forward).empty());
  spoil(forward.operation);
  return refusal(forward);
}

}  // namespace

TEST_CASE("no byte of a frame can change unseen") {
  for (const auto& sample : samples::all()) {
    const auto frame = encode(sample.message, sample.payload_bytes);
    for (std::size_t i = 0; i < frame.size(); ++i) {
      for (const auto bit : {0x01, 0x10, 0x80, 0xff}) {
        auto changed = frame;
        changed[i] ^= std::byte(bit);
        const auto decoded = frames::decode(changed);
        REQUIRE_FALSE(decoded);
        REQUIRE(decoded.error().code == Errc::invalid);
        REQUIRE_FALSE(decoded.error().text.empty());
      }
    }
  }
}

TEST_CASE("a changed body with the right checksum is a message or an error") {
  std::size_t accepted = 0;
  std::size_t refused = 0;
  for (const auto& sample : samples::all()) {
    const auto frame = encode(sample.message, sample.payload_bytes);
    for (std::size_t i = kHeaderBytes; i < frame.size(); ++i) {
      for (const auto value : {0x00, 0x01, 0x04, 0x7f, 0x80, 0xff}) {
        auto changed = frame;
        changed[i] = std::byte(value);
        frames::seal(changed);
        const auto decoded = frames::decode(changed);
        decoded ? ++accepted : ++refused;
        // What was accepted is within all rules: it can be sent on.
        if (decoded) REQUIRE(frames::decode(encode(*decoded, sample.payload_bytes)));
      }
    }
  }
  CHECK(accepted > 0);
  CHECK(refused > 0);
}

TEST_CASE("a changed record is an effect or an error") {
  const auto record = encode_record(samples::full_effect());
  for (std::size_t i = 0; i < record.size(); ++i) {
    for (int value = 0; value < 256; ++value) {
      auto changed = record;
      changed[i] = std::byte(value);
      const auto decoded = decode_record(changed);
      if (decoded) REQUIRE(decode_record(encode_record(*decoded)));
    }
  }
}

TEST_CASE("a body cut short or drawn out is an error, whatever its checksum") {
  for (const auto& sample : samples::all()) {
    const auto frame = encode(sample.message, sample.payload_bytes);
    for (std::size_t length = 0; length < frame.size(); ++length) {
      std::vector<std::byte> cut(frame.begin(), frame.begin() + static_cast<std::ptrdiff_t>(length));
      REQUIRE_FALSE(frames::decode(cut));
      if (length <= kHeaderBytes) continue;
      const auto header = decode_header(Bytes(frame).first(kHeaderBytes));
      REQUIRE_FALSE(decode_body(*header, Bytes(cut).subspan(kHeaderBytes)));
      frames::seal(cut);
      const auto decoded = frames::decode(cut);  // of the right checksum: only padding can be missed
      if (decoded) REQUIRE(frames::decode(encode(*decoded, sample.payload_bytes)));
    }
    auto longer = frame;
    longer.push_back(std::byte{});
    REQUIRE_FALSE(decode_body(*decode_header(Bytes(frame).first(kHeaderBytes)), Bytes(longer).subspan(kHeaderBytes)));
  }
  const auto record = encode_record(samples::full_effect());
  for (std::size_t length = 0; length < record.size() - 8; ++length) {
    const auto decoded = decode_record(Bytes(record).first(length));
    if (decoded) REQUIRE(decode_record(encode_record(*decoded)));
  }
}

TEST_CASE("a body of another type is an error or a valid message of that type") {
  for (const auto& sample : samples::all()) {
    auto frame = encode(sample.message, 0);
    for (int type = 0; type < 256; ++type) {
      frame[6] = std::byte(type);
      frames::seal(frame);
      const auto decoded = frames::decode(frame);
      if (type >= static_cast<int>(std::variant_size_v<Message>)) {
        REQUIRE_FALSE(decoded);
        CHECK_THAT(decoded.error().text, Catch::Contains("unknown type"));
      }
      if (decoded) REQUIRE(frames::decode(encode(*decoded, 0)));
    }
  }
}

TEST_CASE("a header is refused before anything is allocated") {
  const auto frame = encode(Ping{1, 2}, 0);
  std::vector<std::byte> header(frame.begin(), frame.begin() + kHeaderBytes);
  const auto refused = [&](std::size_t at, auto value) {
    auto changed = header;
    std::memcpy(changed.data() + at, &value, sizeof(value));
    frames::seal_header(changed);
    const auto decoded = decode_header(changed);
    return decoded ? std::string() : decoded.error().text;
  };
  REQUIRE(decode_header(header));
  CHECK_THAT(refused(0, std::uint32_t{0x20544547}), Catch::Contains("not a frame"));
  CHECK_THAT(refused(4, std::uint16_t{kProtocolVersion + 1}), Catch::Contains(fmt::format("version {}", kProtocolVersion)));
  CHECK_THAT(refused(7, std::uint8_t{1}), Catch::Contains("flags"));
  CHECK_THAT(refused(24, std::uint32_t{1}), Catch::Contains("flags"));
  CHECK_THAT(refused(8, std::uint32_t{0}), Catch::Contains("PING: a body of 0 bytes"));
  CHECK_THAT(refused(8, kBodyBytesMax + 1), Catch::Contains("PING: a body of"));
  CHECK_THAT(refused(8, ~std::uint32_t{0}), Catch::Contains("PING: a body of"));
  CHECK(refused(8, kBodyBytesMax).empty());
  CHECK_THAT(refused(12, std::uint32_t{1}), Catch::Contains("PING: a payload of 1"));
  header[6] = std::byte(Message(Data{}).index());
  CHECK(refused(12, kPayloadBytesMax).empty());
  CHECK_THAT(refused(12, kPayloadBytesMax + 1), Catch::Contains("DATA: a payload of"));
  for (std::size_t length = 0; length < kHeaderBytes; ++length) CHECK_FALSE(decode_header(Bytes(header).first(length)));
}

TEST_CASE("a header that was made up is refused with its body") {
  const auto frame = encode(Ping{1, 2}, 0);
  const Bytes body = Bytes(frame).subspan(kHeaderBytes);
  const FrameHeader good = *decode_header(Bytes(frame).first(kHeaderBytes));
  REQUIRE(decode_body(good, body));
  FrameHeader header = good;
  header.payload_bytes = 1;
  CHECK_THAT(decode_body(header, body).error().text, Catch::Contains("PING: a payload of 1"));
  header = good;
  header.type = 255;
  CHECK_THAT(decode_body(header, body).error().text, Catch::Contains("unknown type"));
  header = good;
  header.body_bytes += 1;
  CHECK_THAT(decode_body(header, body).error().text, Catch::Contains("PING: a body of"));
  header = good;
  header.body_checksum += 1;
  CHECK_THAT(decode_body(header, body).error().text, Catch::Contains("PING: its body does not match"));
}

TEST_CASE("effects that break a rule are refused by name") {
  using Catch::Contains;
  REQUIRE(refusal_of_effect([](Effect&) {}).empty());
  CHECK_THAT(refusal_of_effect([](Effect& e) { e.seq = Seq(0); }), Contains("MIRROR: effect.seq"));
  CHECK_THAT(refusal(Commit{Effect{}}), Contains("COMMIT: effect.seq"));
  CHECK_FALSE(decode_record(encode_record(Effect{})));
  CHECK_THAT(refusal_of_effect([](Effect& e) { e.checksums.clear(); }), Contains("MIRROR: effect.checksums"));
  CHECK_THAT(refusal_of_effect([](Effect& e) { e.checksums.push_back(1); }), Contains("effect.checksums"));
  CHECK_THAT(refusal_of_effect([](Effect& e) { e.writes[0].address += 1; }), Contains("effect.checksums"));
  CHECK_THAT(refusal_of_effect([](Effect& e) { e.writes[0].length = 0; }), Contains("effect.writes: a write without"));
  CHECK_THAT(refusal_of_effect([](Effect& e) { e.writes[0].address = ~std::uint64_t{0}; }), Contains("effect.writes"));
  CHECK_THAT(refusal_of_effect([](Effect& e) { e.writes[0].length = ~std::uint64_t{0}; }), Contains("effect.writes"));
  CHECK_THAT(refusal_of_effect([](Effect& e) { e.turns = {{Turn::Kind{3}, InodeId(1), 0, 1}}; }),
             Contains("effect.turns"));
  CHECK_THAT(refusal_of_effect([](Effect& e) { e.turns.assign(kRangesMax + 1, {{}, InodeId(1), 0, 1}); }),
             Contains("effect.turns: too many"));
  CHECK_THAT(refusal_of_effect([](Effect& e) { e.writes.assign(kRangesMax + 1, {0, 1, false, false}); }),
             Contains("effect.writes: too many"));
  CHECK_THAT(refusal_of_effect([](Effect& e) {
               e.writes[0] = {0, kPayloadBytesMax + kBlockBytes, false, false};
               e.checksums.assign(kPayloadBytesMax / kBlockBytes + 1, 0);
             }),
             Contains("more than a payload"));
  CHECK_THAT(refusal_of_effect([](Effect& e) { e.allocated = {{1, 0}}; }), Contains("effect.allocated: an empty"));
  CHECK_THAT(refusal_of_effect([](Effect& e) { e.freed = {{~std::uint64_t{0}, 2}}; }), Contains("effect.freed"));
  CHECK_THAT(refusal_of_effect([](Effect& e) { e.sync = {{1, ~std::uint64_t{0}}}; }), Contains("effect.sync"));
  CHECK_THAT(refusal_of_effect([](Effect& e) { e.drops[0].kind = Drop::Kind{4}; }), Contains("effect.drops: unknown"));
  CHECK_THAT(refusal_of_effect([](Effect& e) { e.drops[0].range = {1, ~std::uint64_t{0}}; }), Contains("effect.drops"));
  CHECK_THAT(refusal_of_effect([](Effect& e) { e.drops[0].name = "n"; }), Contains("effect.drop_names"));
  CHECK_THAT(refusal_of_effect([](Effect& e) { e.drops[0].kind = Drop::Kind::name; }), Contains("effect.drop_names"));
  CHECK_THAT(refusal_of_effect([](Effect& e) { e.outcome.error = -5; }), Contains("MIRROR: outcome.error"));
  CHECK_THAT(refusal_of_effect([](Effect& e) { e.outcome.error = 4096; }), Contains("outcome.error"));
  CHECK_THAT(refusal_of_effect([](Effect& e) { e.batch = {{"", "v"}}; }), Contains("effect.batch: length of a key"));
  CHECK_THAT(refusal_of_effect([](Effect& e) { e.batch.assign(kBatchKeysMax + 1, {"k", std::nullopt}); }),
             Contains("effect.batch: number"));
  CHECK_THAT(refusal_of_effect([](Effect&) {}, 4095), Contains("MIRROR: payload"));
  CHECK_THAT(refusal(Record{samples::overwrite()}, 0), Contains("RECORD: payload"));
}

TEST_CASE("sums of writes that overflow are refused") {
  // 2^14 writes of 2^50 blocks: 2^64 blocks, which is 0.
  Effect effect;
  effect.seq = Seq(1);
  effect.writes.assign(1u << 14, {0, kAreaBlocksMax * kBlockBytes, false, false});
  CHECK_THAT(refusal(Mirror{effect}), Catch::Contains("effect.checksums"));
  const auto record = decode_record(encode_record(effect));
  REQUIRE_FALSE(record);
  CHECK_THAT(record.error().text, Catch::Contains("a record: effect.checksums"));
}

TEST_CASE("operations that break a rule are refused by name") {
  using Catch::Contains;
  for (const std::string name : {"", ".", "..", "a/b"}) {
    for (const auto kind : {OpKind::create, OpKind::link, OpKind::unlink, OpKind::rmdir, OpKind::rename}) {
      CHECK_THAT(refusal_of_operation(kind, [&](Operation& o) { o.name = name; }), Contains("FORWARD: operation.name"));
    }
    CHECK_THAT(refusal_of_operation(OpKind::rename, [&](Operation& o) { o.text = name; }), Contains("operation.text"));
  }
  const std::string zero("a\0b", 3);
  CHECK_THAT(refusal_of_operation(OpKind::unlink, [&](Operation& o) { o.name = zero; }), Contains("operation.name"));
  CHECK_THAT(refusal_of_operation(OpKind::set_xattr, [&](Operation& o) { o.name = zero; }), Contains("operation.name"));
  CHECK_THAT(refusal_of_operation(OpKind::unlink, [](Operation& o) { o.name = std::string(256, 'n'); }),
             Contains("operation.name: too long"));
  CHECK_THAT(
      refusal_of_operation(OpKind::set_xattr, [](Operation& o) { o.text = std::string(kXattrBytesMax + 1, 'v'); }),
      Contains("operation.text: too long"));
  CHECK(
      refusal_of_operation(OpKind::set_xattr, [](Operation& o) { o.text = std::string(kXattrBytesMax, 'v'); }).empty());
  CHECK_THAT(refusal_of_operation(OpKind::create, [](Operation& o) { o.text = std::string(4096, 't'); }),
             Contains("operation.text: too long"));
  CHECK(refusal_of_operation(OpKind::reserve, [](Operation& o) { o.text = std::string(4095, 'p'); }).empty());
  CHECK_THAT(refusal_of_operation(OpKind::reserve, [](Operation& o) { o.text = std::string(4096, 'p'); }),
             Contains("operation.text: too long"));
  CHECK_THAT(refusal_of_operation(OpKind::release, [](Operation& o) { o.text = "p"; }), Contains("operation.text: too long"));
  CHECK_THAT(refusal_of_operation(OpKind::create, [](Operation& o) { o.anonymous = true; }),
             Contains("operation.name"));
  CHECK_THAT(refusal_of_operation(OpKind::sync, [](Operation& o) { o.kind = OpKind{19}; }), Contains("operation.kind"));
  CHECK_THAT(refusal_of_operation(OpKind::allocate, [](Operation& o) { o.offset = std::uint64_t{1} << 63; }),
             Contains("operation.offset"));
  CHECK_THAT(refusal_of_operation(OpKind::allocate, [](Operation& o) { o.length = ~std::uint64_t{0}; }),
             Contains("operation.length"));
  CHECK_THAT(refusal_of_operation(OpKind::write, [](Operation& o) { o.length = kPayloadBytesMax + 1; }),
             Contains("operation.length"));
  CHECK_THAT(refusal_of_operation(OpKind::set_attributes, [](Operation& o) { o.change.size = ~std::uint64_t{0}; }),
             Contains("operation.change.size"));
  CHECK_THAT(refusal_of_operation(OpKind::lock, [](Operation& o) { o.lock.owner.site = SiteId{32}; }), Contains("operation.lock.site"));
  CHECK_THAT(refusal_of_operation(OpKind::lock, [](Operation& o) { o.lock.type = LockType{3}; }), Contains("operation.lock.type"));
  CHECK_THAT(refusal_of_operation(OpKind::lock, [](Operation& o) { o.lock.first = 1; }), Contains("operation.lock: no range"));
  CHECK_THAT(refusal_of_operation(OpKind::cancel_lock, [](Operation& o) { o.lock.last = kLockLastMax + 1; }),
             Contains("operation.lock: no range"));

  Forward forward;
  forward.operation.length = 10;
  CHECK_THAT(refusal(forward, 10), Contains("FORWARD: payload"));
  forward.with_payload = true;
  CHECK(refusal(forward, 10).empty());
  CHECK_THAT(refusal(forward, 9), Contains("FORWARD: payload"));
  forward.operation.kind = OpKind::sync;
  CHECK_THAT(refusal(forward, 10), Contains("FORWARD: with_payload"));
}

TEST_CASE("other messages that break a rule are refused by name") {
  using Catch::Contains;
  Hello hello;
  hello.volume = std::string(256, 'v');
  CHECK_THAT(refusal(hello), Contains("HELLO: volume"));
  hello = {};
  hello.unanswered.resize(kUnansweredMax + 1);
  CHECK_THAT(refusal(hello), Contains("HELLO: unanswered"));
  CHECK_THAT(refusal(Synced{Seq(1), std::vector<Seq>(kUnansweredMax + 1)}), Contains("SYNCED: dropping"));
  hello = {};
  hello.orphans_open.resize(kOrphansMax + 1);
  CHECK_THAT(refusal(hello), Contains("HELLO: orphans_open"));
  hello = {};
  hello.state.history.resize(kHistoryMax + 1);
  CHECK_THAT(refusal(hello), Contains("HELLO: history"));
  hello = {};
  hello.state.history.resize(1);
  hello.state.history[0].primary = SiteId(kSitesMax);
  CHECK_THAT(refusal(hello), Contains("HELLO: history"));
  CHECK_THAT(refusal(Refuse{std::string(kReasonBytesMax + 1, 'r')}), Contains("REFUSE: reason"));
  CHECK_THAT(refusal(Refusal{{}, Outcome{-1}}), Contains("REFUSAL: outcome.error"));
  CHECK_THAT(refusal(FetchBlocks{1, {0, 0}}), Contains("FETCH_BLOCKS: blocks"));
  CHECK_THAT(refusal(FetchBlocks{1, {0, kFetchBlocksMax + 1}}), Contains("FETCH_BLOCKS: blocks"));
  CHECK_THAT(refusal(Blocks{1, {0, 2}, false, {1}}, 2 * kBlockBytes), Contains("BLOCKS: checksums"));
  CHECK_THAT(refusal(Blocks{1, {0, 2}, false, {1, 2}}, kBlockBytes), Contains("BLOCKS: payload"));
  CHECK_THAT(refusal(Blocks{1, {0, 2}, false, {}}), Contains("BLOCKS: checksums"));
  VerifyAsk ask;
  ask.blocks = {0, kVerifyBlocksMax + 1};
  CHECK_THAT(refusal(ask), Contains("VERIFY_ASK: blocks"));
  ask = {};
  ask.from = std::string(kKeyBytesMax + 1, 'k');
  CHECK_THAT(refusal(ask), Contains("VERIFY_ASK: from"));
  VerifyAnswer answer;
  answer.bad.resize(kVerifyBlocksMax + 1);
  CHECK_THAT(refusal(answer), Contains("VERIFY_ANSWER: bad"));
  CHECK_THAT(refusal(Membership{{}, std::vector<Uuid>(kSitesMax + 1)}), Contains("MEMBERSHIP: stores"));
  CHECK_THAT(refusal(Clear{std::vector<std::uint64_t>(kGranulesMax + 1)}), Contains("CLEAR: granules"));
  CHECK_THAT(refusal(Suspects{4, "x", true}), Contains("SUSPECTS: first"));
  CHECK_THAT(refusal(Suspects{0, std::string(kSuspectsBytesMax + 1, 'x'), true}), Contains("SUSPECTS: bits"));
  CHECK_THAT(refusal(Compare{1, {}}), Contains("COMPARE: checksums"));
  CHECK_THAT(refusal(Compare{1, std::vector<std::uint64_t>(kGranuleBlocks + 1)}), Contains("COMPARE: checksums"));
  CHECK_THAT(refusal(Want{1, std::string(kGranuleBlocks / 8 + 1, 'x')}), Contains("WANT: bits"));
  CHECK_THAT(refusal(Copy{1, {0, 2}, {1}, false}, 2 * kBlockBytes), Contains("COPY: checksums"));
  CHECK_THAT(refusal(Copy{1, {0, 2}, {1, 2}, false}, kBlockBytes), Contains("COPY: payload"));
  CHECK_THAT(refusal(Copy{1, {0, 0}, {}, false}), Contains("COPY: blocks"));
  KeysFetch fetch;
  fetch.keys = std::vector<std::string>(kKeysMax + 1, "k");
  CHECK_THAT(refusal(fetch), Contains("KEYS_FETCH: keys"));
  fetch.keys = {"good", ""};
  CHECK_THAT(refusal(fetch), Contains("KEYS_FETCH: keys"));
  CHECK_THAT(refusal(Command{1, std::string(kCommandBytesMax + 1, 'c')}), Contains("COMMAND: text"));
}

TEST_CASE("the state of a site is not taken from other bytes, and comes back whole") {
  const SiteState state = samples::site_state();
  const auto bytes = encode_state(state);
  const auto decoded = decode_state(bytes);
  REQUIRE(decoded);
  CHECK(*decoded == state);
  CHECK_FALSE(decode_state({}));
  CHECK_FALSE(decode_state(encode_record(samples::full_effect())));
  for (std::size_t cut = 0; cut < bytes.size(); ++cut) {
    // Cut or changed anywhere: an error or another state, never a crash (a checksum around it is the area's business).
    (void)decode_state(Bytes(bytes).first(cut));
    auto changed = bytes;
    changed[cut] ^= std::byte{0xff};
    (void)decode_state(changed);
  }
}

TEST_CASE("a record is not taken from other bytes") {
  const auto frame = encode(Mirror{samples::full_effect()}, samples::kEffectPayloadBytes);
  CHECK_FALSE(decode_record(frame));
  CHECK_FALSE(decode_record(Bytes(frame).subspan(kHeaderBytes)));
  CHECK_FALSE(decode_record({}));
  CHECK_FALSE(decode_record(std::vector<std::byte>(4096)));
  CHECK_FALSE(decode_record(std::vector<std::byte>(kBodyBytesMax + 1)));
}
