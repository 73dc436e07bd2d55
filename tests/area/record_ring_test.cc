#include "area/record_ring.h"

#include <cstring>

#include "area_world.h"
#include "core/checksum.h"

namespace lockstep::area {
namespace {

constexpr const char* kFile = "log";
constexpr std::uint64_t kFileBytes = kLogBytesMin;
constexpr std::uint64_t kRing = kFileBytes - kLogRingOffset;

std::unique_ptr<runtime::File> file(TestWorld& w) {
  auto opened = w.world().disk.open(kFile);
  REQUIRE(opened);
  return std::move(*opened);
}

void make_log(TestWorld& w) {
  REQUIRE(w.run(w.world().disk.create(kFile, kFileBytes + 100, nullptr, nullptr)));
  REQUIRE(w.run(RecordRing::format(*file(w), kFileBytes)));
}

RecordRing& open_log(TestWorld& w) {
  auto opened = w.run(RecordRing::open(file(w), kFileBytes, w.world().scheduler, failure(w)));
  if (!opened) FAIL(opened.error().text);
  std::shared_ptr<RecordRing> shared = std::move(*opened);
  w.process->keep(shared);
  return *shared;
}

std::vector<std::byte> body(std::uint64_t seq, std::size_t bytes) { return pattern(bytes, seq * 1000 + bytes); }

std::vector<std::uint64_t> seqs(TestWorld& w, RecordRing& log, std::uint64_t after, std::uint64_t limit = 1u << 20) {
  auto read = w.run(log.read_after(Seq{after}, limit));
  if (!read) FAIL(read.error().text);
  std::vector<std::uint64_t> out;
  for (const auto& record : *read) {
    CHECK(record.body == body(record.seq.value, record.body.size()));
    out.push_back(record.seq.value);
  }
  return out;
}

/// Fills what is left in the current lap up to `left` bytes before the ring's end.
void put(RecordRing& log, std::uint64_t seq, std::size_t bytes) { REQUIRE(log.append(Seq{seq}, body(seq, bytes))); }

}  // namespace

TEST_CASE("the bytes of a record and of the log's header stay what they are") {
  TestWorld w;
  make_log(w);
  RecordRing& log = open_log(w);
  const std::array<std::byte, 3> abc{std::byte{'a'}, std::byte{'b'}, std::byte{'c'}};
  REQUIRE(log.append(Seq{5}, abc));
  REQUIRE(log.append(Seq{9}, {}));
  REQUIRE(log.flush());
  const Bytes all = w.storage().peek(kFile);
  std::array<std::uint64_t, 13> words{};
  std::memcpy(words.data(), all.data() + kLogRingOffset, sizeof words);
  CHECK(words == std::array<std::uint64_t, 13>{0x49b664060d6fb7e6, 0x000000034345524C, 5, 0, 0, 1, 0x636261,  //
                                               0xf8d419f5065bcebc, 0x000000004345524C, 9, 5, 56, 1});
  std::array<std::uint64_t, 8> header{};
  std::memcpy(header.data(), all.data(), sizeof header);
  CHECK(header == std::array<std::uint64_t, 8>{0x474F4C5054534B4C, 4, 1, 0, 0, kRing, 0, 0xfb9b8b3e774aa6e9});
  CHECK(words[0] == checksum(all.subspan(kLogRingOffset + 8, 43)));
}

TEST_CASE("records come back in order, from where they are asked for") {
  TestWorld w;
  make_log(w);
  RecordRing& log = open_log(w);
  CHECK(log.last() == Seq{});
  CHECK(log.first() == Seq{});
  CHECK(seqs(w, log, 0).empty());
  put(log, 3, 10);
  put(log, 4, 0);
  put(log, 10, 999);
  CHECK(log.last() == Seq{10});
  CHECK(log.first() == Seq{3});
  CHECK(seqs(w, log, 0) == std::vector<std::uint64_t>{3, 4, 10});
  CHECK(seqs(w, log, 3) == std::vector<std::uint64_t>{4, 10});
  CHECK(seqs(w, log, 7) == std::vector<std::uint64_t>{10});
  CHECK(seqs(w, log, 10).empty());
  CHECK(seqs(w, log, 99).empty());
  CHECK(seqs(w, log, 0, 1) == std::vector<std::uint64_t>{3});
  log.check_invariants();
}

TEST_CASE("pending records go with the process, flushed ones stay") {
  TestWorld w;
  make_log(w);
  {
    RecordRing& log = open_log(w);
    put(log, 1, 100);
    REQUIRE(log.flush());
    put(log, 2, 100);
  }
  w.kill();
  RecordRing& log = open_log(w);
  CHECK(log.last() == Seq{1});
  put(log, 2, 50);
  CHECK(seqs(w, log, 0) == std::vector<std::uint64_t>{1, 2});
}

TEST_CASE("a full log is busy until records are forgotten") {
  TestWorld w;
  make_log(w);
  RecordRing& log = open_log(w);
  std::uint64_t seq = 1;
  for (; log.bytes_used() + record_bytes(1000) <= log.bytes(); ++seq) put(log, seq, 1000);
  const std::uint64_t used = log.bytes_used();
  CHECK(log.append(Seq{seq}, body(seq, 1000)).error().code == Errc::busy);
  CHECK(log.bytes_used() == used);
  CHECK(log.last() == Seq{seq - 1});
  REQUIRE(w.run(log.forget_through(Seq{2})));
  CHECK(log.first() == Seq{3});
  CHECK(log.bytes_used() == used - 2 * record_bytes(1000));
  put(log, seq, 1000);
  CHECK(w.run(log.read_after(Seq{1}, 1)).error().code == Errc::absent);
  CHECK(seqs(w, log, 2).size() == seq - 2);
  log.check_invariants();
  w.kill();
  RecordRing& next = open_log(w);
  CHECK(next.first() == Seq{3});
  CHECK(next.last() == Seq{seq});
  CHECK(seqs(w, next, 2).size() == seq - 2);
}

TEST_CASE("a log that forgets what it was told has room for whatever does not outrun that") {
  TestWorld here, there;
  make_log(here);
  make_log(there);
  RecordRing& log = open_log(here);
  RecordRing& copy = open_log(there);
  sim::Prng prng(7);
  Seq told;
  std::uint64_t tellings = 0;
  for (std::uint64_t seq = 1; seq < 2000; ++seq) {
    const std::uint64_t bytes = prng.below(prng.chance(20) ? log.bytes() - 200 : 600);
    if (log.outruns(bytes)) {
      REQUIRE(here.run(log.sync()));
      told = log.stable();
      log.told();
      ++tellings;
      REQUIRE_FALSE(log.outruns(bytes));
    }
    const auto put_in = [&](TestWorld& w, RecordRing& ring, Seq may_forget) {
      if (ring.append(Seq{seq}, body(seq, bytes))) return;
      REQUIRE(w.run(ring.forget_through(may_forget)));
      put(ring, seq, bytes);
    };
    put_in(here, log, Seq{seq - 1});
    put_in(there, copy, told);
  }
  CHECK(tellings > 20);
}

TEST_CASE("a record larger than the log is not busy but invalid") {
  TestWorld w;
  make_log(w);
  RecordRing& log = open_log(w);
  CHECK(log.append(Seq{1}, body(1, log.bytes())).error().code == Errc::invalid);
  put(log, 1, log.bytes() - sizeof(RecordHeader));
  CHECK(log.append(Seq{2}, {}).error().code == Errc::busy);
  w.run(log.sync());
  REQUIRE(w.run(log.forget_through(Seq{1})));
  CHECK(log.first() == Seq{});
  CHECK(log.last() == Seq{1});
  put(log, 2, log.bytes() - sizeof(RecordHeader));
  CHECK(seqs(w, log, 1) == std::vector<std::uint64_t>{2});
  w.kill();
  CHECK(seqs(w, open_log(w), 1) == std::vector<std::uint64_t>{2});
}

TEST_CASE("notes stand behind their records, have no seq, and go with them") {
  TestWorld w;
  make_log(w);
  RecordRing& log = open_log(w);
  const auto note = [](RecordRing& ring, const std::string& text) {
    Result<> done = ring.append_note(std::as_bytes(std::span(text)));
    ring.end_notes();
    return done;
  };
  const auto begin = [](RecordRing& ring) -> runtime::Task<bool> {
    co_await ring.begin_notes();
    co_return true;
  };
  // What is read of everything: seqs, and notes as 1000 + their length.
  const auto all = [&w](RecordRing& ring) {
    std::vector<std::uint64_t> out;
    auto reader = ring.read_all();
    REQUIRE(reader);
    while (true) {
      const Result<bool> next = w.run(reader->next());
      REQUIRE(next);
      if (!*next) break;
      out.push_back(reader->is_note() ? 1000 + reader->body().size() : reader->seq().value);
    }
    CHECK(reader->place().position == reader->end());
    return out;
  };
  REQUIRE(w.run(begin(log)));
  CHECK(note(log, "of nothing"));
  CHECK(log.bytes_used() == 0);
  put(log, 1, 10);
  put(log, 2, 10);
  REQUIRE(w.run(begin(log)));
  REQUIRE(note(log, "one"));
  put(log, 3, 10);
  REQUIRE(w.run(begin(log)));
  REQUIRE(note(log, "seven"));
  CHECK(log.last() == Seq{3});
  CHECK(all(log) == std::vector<std::uint64_t>{1, 2, 1003, 3, 1005});
  CHECK(seqs(w, log, 0) == std::vector<std::uint64_t>{1, 2, 3});
  w.kill();
  RecordRing& next = open_log(w);
  CHECK(all(next) == std::vector<std::uint64_t>{1, 2, 1003, 3, 1005});
  REQUIRE(w.run(next.forget_through(Seq{1})));
  CHECK(all(next) == std::vector<std::uint64_t>{2, 1003, 3, 1005});
  REQUIRE(w.run(next.forget_through(Seq{2})));
  CHECK(all(next) == std::vector<std::uint64_t>{3, 1005});
  REQUIRE(w.run(next.forget_through(Seq{3})));
  CHECK(all(next).empty());
  CHECK(next.bytes_used() == 0);
}

TEST_CASE("a log without room for records has some for notes") {
  TestWorld w;
  make_log(w);
  RecordRing& log = open_log(w);
  put(log, 1, log.bytes() - sizeof(RecordHeader));
  const auto add = [](RecordRing& ring) -> runtime::Task<Result<>> {
    co_await ring.begin_notes();
    const std::vector<std::byte> body(1000);
    Result<> done = ring.append_note(body);
    ring.end_notes();
    co_return done;
  };
  std::uint64_t notes = 0;
  while (w.run(add(log))) ++notes;
  CHECK(notes == (kRing - RecordRing::kSlack - log.bytes()) / record_bytes(1000));
  CHECK(log.bytes_used() <= kRing);
  REQUIRE(w.run(log.sync()));
  CHECK(log.stable() == Seq{1});
}

TEST_CASE("stable() is what was found, then what each sync took up") {
  TestWorld w;
  make_log(w);
  RecordRing* log = &open_log(w);
  CHECK(log->stable() == Seq{});
  put(*log, 1, 10);
  put(*log, 2, 10);
  REQUIRE(log->flush());
  CHECK(log->stable() == Seq{});
  auto synced = std::make_shared<std::optional<Result<>>>();
  w.process->spawn(keep_result(log->sync(), synced));
  w.universe.run_for(Duration(100'000));
  put(*log, 3, 10);
  REQUIRE(w.universe.run_until([&] { return synced->has_value(); }, std::chrono::seconds(1)));
  CHECK(log->stable() == Seq{2});
  REQUIRE(log->flush());
  w.kill();
  log = &open_log(w);
  CHECK(log->stable() == Seq{3});
  REQUIRE(w.run(log->forget_through(Seq{3})));
  CHECK(log->stable() == Seq{3});
  w.lose_power();
  CHECK(open_log(w).stable() == Seq{3});
}

TEST_CASE("forgetting what is pending, everything, nothing, more than there is") {
  TestWorld w;
  make_log(w);
  RecordRing& log = open_log(w);
  REQUIRE(w.run(log.forget_through(Seq{100})));
  CHECK(log.last() == Seq{});
  put(log, 101, 10);
  put(log, 102, 10);
  REQUIRE(w.run(log.forget_through(Seq{50})));
  CHECK(log.first() == Seq{101});
  REQUIRE(w.run(log.forget_through(Seq{101})));
  CHECK(log.first() == Seq{102});
  REQUIRE(w.run(log.forget_through(Seq{500})));
  CHECK(log.first() == Seq{});
  CHECK(log.last() == Seq{102});
  CHECK(log.bytes_used() == 0);
  w.kill();
  CHECK(open_log(w).last() == Seq{102});
}

TEST_CASE("a damaged record ends the log") {
  TestWorld w;
  make_log(w);
  {
    RecordRing& log = open_log(w);
    for (std::uint64_t seq = 1; seq <= 5; ++seq) put(log, seq, 64);
    REQUIRE(w.run(log.sync()));
  }
  w.kill();
  w.storage().corrupt(kFile, {kLogRingOffset + 2 * record_bytes(64) + 70, 1});
  RecordRing& log = open_log(w);
  CHECK(log.last() == Seq{2});
  // The record that is written there now, as long as the old one, is not followed by what the old one was followed by.
  put(log, 3, 64);
  REQUIRE(log.flush());
  w.kill();
  CHECK(open_log(w).last() == Seq{3});
}

TEST_CASE("whatever bytes of the ring are damaged, what is read is the records before them") {
  sim::Prng prng(3);
  for (int round = 0; round < 300; ++round) {
    TestWorld w(static_cast<std::uint64_t>(round) + 1);
    make_log(w);
    std::vector<std::uint64_t> ends{kLogRingOffset};
    {
      RecordRing& log = open_log(w);
      for (std::uint64_t seq = 1; seq <= 20; ++seq) {
        const std::size_t bytes = prng.below(500);
        put(log, seq, bytes);
        ends.push_back(ends.back() + record_bytes(bytes));
      }
      REQUIRE(log.flush());
    }
    w.kill();
    const std::uint64_t at = kLogRingOffset + prng.below(ends.back() - kLogRingOffset);
    w.storage().corrupt(kFile, {at, 1 + prng.below(std::min<std::uint64_t>(64, kFileBytes - at))});
    RecordRing& log = open_log(w);
    const auto record = static_cast<std::uint64_t>(std::ranges::upper_bound(ends, at) - ends.begin());
    // Damage to the zeros behind a body is damage to the next record, or none.
    CHECK(log.last().value + 1 >= record);
    for (std::uint64_t seq : seqs(w, log, 0)) CHECK(seq <= log.last().value);
    CHECK(seqs(w, log, 0).size() == log.last().value);
  }
}

TEST_CASE("what an earlier run left behind the first record is not taken for it") {
  TestWorld w;
  make_log(w);
  {
    RecordRing& log = open_log(w);
    for (std::uint64_t seq = 1; seq <= 5; ++seq) put(log, seq, 64);
    REQUIRE(w.run(log.sync()));
  }
  w.kill();
  w.storage().corrupt(kFile, {kLogRingOffset + 2 * record_bytes(64) + 70, 1});
  RecordRing& log = open_log(w);
  put(log, 3, 64);
  // The log now begins where the old record 4 stands, which says that 3 is before it.
  REQUIRE(w.run(log.forget_through(Seq{3})));
  w.kill();
  RecordRing& next = open_log(w);
  CHECK(next.last() == Seq{3});
  CHECK(next.first() == Seq{});
}

TEST_CASE("one damaged header is written again, two are an error") {
  for (std::uint64_t copy : {0u, 1u}) {
    TestWorld w;
    make_log(w);
    RecordRing& log = open_log(w);
    for (std::uint64_t seq = 1; seq <= 5; ++seq) put(log, seq, 64);
    REQUIRE(w.run(log.forget_through(Seq{3})));
    w.kill();
    w.storage().corrupt(kFile, {copy * kBlockBytes + 20, 1});
    CHECK(open_log(w).first() == Seq{4});
    w.kill();
    w.storage().corrupt(kFile, {(1 - copy) * kBlockBytes + 20, 1});
    CHECK(open_log(w).first() == Seq{4});
    w.kill();
    w.storage().corrupt(kFile, {20, 1});
    w.storage().corrupt(kFile, {kBlockBytes + 20, 1});
    CHECK(w.run(RecordRing::open(file(w), kFileBytes, w.world().scheduler, failure(w))).error().code == Errc::corrupt);
  }
}

TEST_CASE("a failed flush is final") {
  TestWorld w;
  make_log(w);
  RecordRing& log = open_log(w);
  put(log, 1, 10);
  w.storage().weather.write_error_permille = 1000;
  CHECK(log.flush().error().code == Errc::io);
  w.storage().weather.write_error_permille = 0;
  CHECK(log.flush().error().code == Errc::io);
  CHECK(log.append(Seq{2}, {}).error().code == Errc::io);
}

}  // namespace lockstep::area
