#include "catch.h"
#include "conformance/world_maker.h"

using namespace lockstep;
using namespace lockstep::conformance;
using runtime::KeyBatch;
using runtime::KeyPair;
using runtime::KeyValue;
using runtime::Peek;
using runtime::Task;

namespace {

using Found = std::optional<std::string>;

std::string with_zeros(const char* a, const char* b) { return std::string(a) + '\0' + b; }

Task<Found> get(KeyValue& keys, std::string key) {
  const auto found = co_await keys.get(key);
  REQUIRE(found.has_value());
  co_return *found;
}

Task<std::vector<KeyPair>> scan(KeyValue& keys, std::string from, std::string to, std::size_t limit,
                                const runtime::KeySnapshot* snapshot) {
  const auto pairs = co_await keys.scan(from, to, limit, snapshot);
  REQUIRE(pairs.has_value());
  co_return *pairs;
}

Task<void> batches_are_visible(WorldMaker& maker) {
  KeyValue& keys = maker.world().keys;
  const Found before = co_await get(keys, "a");
  CHECK(!before);
  const KeyBatch batch{{"a", "1"}, {"b", ""}, {with_zeros("c", "d"), with_zeros("v", "w")}};
  REQUIRE(keys.apply(batch).has_value());
  const Found a = co_await get(keys, "a");
  const Found b = co_await get(keys, "b");
  const Found c = co_await get(keys, with_zeros("c", "d"));
  const Found prefix = co_await get(keys, "c");
  CHECK(a == "1");
  CHECK(b == "");
  CHECK(c == with_zeros("v", "w"));
  CHECK(!prefix);
  const KeyBatch removal{{"a", std::nullopt}, {"never there", std::nullopt}, {"b", "2"}};
  REQUIRE(keys.apply(removal).has_value());
  const Found a2 = co_await get(keys, "a");
  const Found b2 = co_await get(keys, "b");
  CHECK(!a2);
  CHECK(b2 == "2");
}

Task<void> the_last_change_of_a_key_counts(WorldMaker& maker) {
  KeyValue& keys = maker.world().keys;
  const KeyBatch batch{{"k", "1"}, {"k", std::nullopt}, {"k", "3"}, {"l", "1"}, {"l", std::nullopt}};
  REQUIRE(keys.apply(batch).has_value());
  const Found k = co_await get(keys, "k");
  const Found l = co_await get(keys, "l");
  CHECK(k == "3");
  CHECK(!l);
}

Task<void> peek_tells_the_truth(WorldMaker& maker) {
  KeyValue& keys = maker.world().keys;
  for (int i = 0; i < 100; ++i) {
    const KeyBatch batch{{"key " + std::to_string(i), std::to_string(i)}};
    REQUIRE(keys.apply(batch).has_value());
  }
  for (int i = 0; i < 200; ++i) {
    const std::string key = "key " + std::to_string(i);
    std::string value = "untouched";
    Peek peek = keys.peek(key, value);
    if (peek == Peek::unknown) {
      co_await get(keys, key);
      peek = keys.peek(key, value);
    }
    CHECK(peek == (i < 100 ? Peek::found : Peek::absent));
    if (i < 100) CHECK(value == std::to_string(i));
  }
}

Task<void> scans_are_ordered_and_limited(WorldMaker& maker) {
  KeyValue& keys = maker.world().keys;
  const KeyBatch batch{{"b", "2"}, {"a", "1"}, {"\xFF", "5"}, {"ba", "3"}, {"c", "4"}};
  REQUIRE(keys.apply(batch).has_value());
  const auto all = co_await scan(keys, "", "\xFF\xFF", 100, nullptr);
  const std::vector<KeyPair> expected{{"a", "1"}, {"b", "2"}, {"ba", "3"}, {"c", "4"}, {"\xFF", "5"}};
  CHECK(all == expected);
  const auto some = co_await scan(keys, "b", "c", 100, nullptr);
  const std::vector<KeyPair> inner{{"b", "2"}, {"ba", "3"}};
  CHECK(some == inner);
  const auto two = co_await scan(keys, "aa", "z", 2, nullptr);
  CHECK(two == inner);
  const auto none = co_await scan(keys, "c", "b", 100, nullptr);
  CHECK(none.empty());
}

Task<void> snapshots_do_not_change(WorldMaker& maker) {
  KeyValue& keys = maker.world().keys;
  const KeyBatch first{{"a", "1"}, {"b", "1"}};
  const KeyBatch second{{"a", "2"}, {"b", std::nullopt}, {"c", "2"}};
  REQUIRE(keys.apply(first).has_value());
  const auto snapshot = keys.snapshot();
  REQUIRE(keys.apply(second).has_value());
  const auto then = co_await scan(keys, "", "z", 100, snapshot.get());
  const std::vector<KeyPair> expected_then{{"a", "1"}, {"b", "1"}};
  CHECK(then == expected_then);
  const auto now = co_await scan(keys, "", "z", 100, nullptr);
  const std::vector<KeyPair> expected_now{{"a", "2"}, {"c", "2"}};
  CHECK(now == expected_now);
}

Task<void> flush_answers(WorldMaker& maker) {
  KeyValue& keys = maker.world().keys;
  const auto nothing = co_await keys.flush();
  CHECK(nothing.has_value());
  const KeyBatch batch{{"a", "1"}};
  REQUIRE(keys.apply(batch).has_value());
  const auto flushed = co_await keys.flush();
  CHECK(flushed.has_value());
  const Found a = co_await get(keys, "a");
  CHECK(a == "1");
}

Task<void> room_is_told(WorldMaker& maker) {
  KeyValue& keys = maker.world().keys;
  const auto before = co_await keys.room(0);
  REQUIRE(before.has_value());
  CHECK(before->free > 0);
  const KeyBatch batch{{"k", std::string(4000, 'v')}};
  REQUIRE(keys.apply(batch).has_value());
  const Result<> flushed = co_await keys.flush();
  REQUIRE(flushed.has_value());
  const auto after = co_await keys.room(0);
  REQUIRE(after.has_value());
  CHECK(after->used > before->used);
}

}  // namespace

TEST_CASE("a batch is visible when apply returned") {
  const auto maker = make_world();
  maker->run(batches_are_visible(*maker));
}

TEST_CASE("of several changes of one key in a batch the last counts") {
  const auto maker = make_world();
  maker->run(the_last_change_of_a_key_counts(*maker));
}

TEST_CASE("peek answers the truth or unknown, and the truth after get") {
  const auto maker = make_world();
  maker->run(peek_tells_the_truth(*maker));
}

TEST_CASE("a scan goes in order of bytes, up to its limit") {
  const auto maker = make_world();
  maker->run(scans_are_ordered_and_limited(*maker));
}

TEST_CASE("a snapshot stays as it was") {
  const auto maker = make_world();
  maker->run(snapshots_do_not_change(*maker));
}

TEST_CASE("the medium says how much room it has, and how much the keys take") {
  const auto maker = make_world();
  maker->run(room_is_told(*maker));
}

TEST_CASE("flush answers, with and without anything to do") {
  const auto maker = make_world();
  maker->run(flush_answers(*maker));
}
