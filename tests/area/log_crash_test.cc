// log_crash_test.cc - whatever dies when: the log holds a gapless stretch of what was appended, at least what was promised,
// and never a record of another history.
#include <map>

#include "area/record_ring.h"
#include "area_world.h"

namespace lockstep::area {
namespace {

constexpr const char* kFile = "log";

/// What the test knows, outside of the machine.
struct Model {
  std::vector<std::pair<Seq, std::vector<std::byte>>> history;  ///< everything appended that recovery could find
  Seq written;          ///< survives a kill
  Seq synced;           ///< survives loss of power
  Seq forget_asked;
  Seq forgotten;        ///< forget_through() has ended
  std::uint64_t branch = 0;
  std::uint64_t appended = 0, busy = 0;
};

/// Appends, flushes, syncs and forgets as the seed has it, until the process dies. Killed in the middle of its pass it runs
/// to its next suspension; what it is told then does not count.
runtime::Task<void> work(sim::Process& process, RecordRing& log, Model& model, std::uint64_t seed) {
  sim::Prng prng(seed);
  while (process.alive()) {
    const std::uint64_t what = prng.below(100);
    if (what < 60) {
      // Few sizes: so records of different histories often lie at the same place.
      constexpr std::array<std::size_t, 5> kSizes{16, 16, 200, 3000, 9000};
      const Seq seq{log.last().value + 1 + prng.below(2)};
      std::vector<std::byte> body = pattern(kSizes[prng.below(kSizes.size())], model.branch * 1'000'003 + seq.value);
      const Result<> done = log.append(seq, body);
      if (done) {
        if (process.alive()) model.history.emplace_back(seq, std::move(body));
        ++model.appended;
      } else {
        REQUIRE(done.error().code == Errc::busy);
        ++model.busy;
      }
    } else if (what < 80) {
      const Seq last = log.last();
      REQUIRE(log.flush());
      if (process.alive()) model.written = last;
    } else if (what < 90) {
      const Seq last = log.last();
      Result<> done = co_await log.sync();
      REQUIRE(done);
      if (!process.alive()) co_return;
      model.written = std::max(model.written, last);
      model.synced = std::max(model.synced, last);
    } else if (what < 92) {
      co_await log.begin_notes();
      Result<> done = log.append_note(pattern(16 * prng.below(40), seed));
      log.end_notes();
      if (!done) REQUIRE(done.error().code == Errc::busy);
    } else if (what < 95) {
      // What is forgotten is needed by nobody: be it written or not.
      const std::uint64_t span = log.last().value - model.forget_asked.value;
      model.forget_asked = Seq{model.forget_asked.value + prng.below(span + 1)};
      const Seq last = log.last();
      Result<> done = co_await log.forget_through(model.forget_asked);
      REQUIRE(done);
      if (!process.alive()) co_return;
      model.written = std::max(model.written, last);
      model.forgotten = model.forget_asked;
    } else {
      co_await process.delay(Duration(1 + static_cast<std::int64_t>(prng.below(3'000'000))));
    }
    if (prng.chance(100)) co_await process.delay(Duration(1000));
    log.check_invariants();
  }
}

/// Reads beside it, so that reads meet records that are forgotten meanwhile.
runtime::Task<void> read_along(sim::Process& process, RecordRing& log) {
  while (true) {
    auto read = co_await log.read_after(log.first(), 4096);
    if (!read) REQUIRE(read.error().code == Errc::absent);
    co_await process.delay(Duration(500'000));
  }
}

/// Opens the log and compares it with the model, which then knows what is there.
RecordRing& recover(TestWorld& w, Model& model, bool power_lost) {
  auto file = w.world().disk.open(kFile);
  REQUIRE(file);
  const std::uint64_t bytes = (*file)->bytes();
  auto opened = w.run(RecordRing::open(std::move(*file), bytes, w.world().scheduler, failure(w)));
  if (!opened) FAIL(opened.error().text);
  std::shared_ptr<RecordRing> shared = std::move(*opened);
  w.process->keep(shared);
  RecordRing& log = *shared;
  log.check_invariants();

  Seq promised = power_lost ? model.synced : model.written;
  for (const auto& entry : model.history)
    if (entry.first <= model.forgotten) promised = std::max(promised, entry.first);
  INFO("power lost: " << power_lost << ", written " << model.written.value << ", synced " << model.synced.value
                      << ", forgotten " << model.forgotten.value);
  REQUIRE(log.last().value >= promised.value);
  auto read = w.run(log.read_after(log.first().value == 0 ? log.last() : Seq{log.first().value - 1}, UINT64_MAX));
  REQUIRE(read);
  if (!read->empty()) {
    REQUIRE(read->front().seq == log.first());
    REQUIRE(read->front().seq > model.forgotten);
    REQUIRE(read->back().seq == log.last());
    auto at = std::ranges::find(model.history, read->front().seq, [](const auto& entry) { return entry.first; });
    // Nothing that is needed is missing before the first.
    REQUIRE(at != model.history.end());
    REQUIRE((at == model.history.begin() || std::prev(at)->first <= model.forget_asked));
    for (const auto& record : *read) {
      REQUIRE(at != model.history.end());
      REQUIRE(record.seq == at->first);
      REQUIRE(record.body == at->second);
      ++at;
    }
  }
  std::erase_if(model.history, [&](const auto& entry) { return entry.first > log.last(); });
  model.written = model.synced = log.last();
  model.forget_asked = std::min(model.forget_asked, log.last());
  model.forgotten = std::min(model.forgotten, log.last());
  ++model.branch;
  return log;
}

}  // namespace

TEST_CASE("the log after kills and losses of power is what was promised, and nothing else") {
  std::uint64_t appended = 0;
  std::uint64_t busy = 0;
  for (std::uint64_t seed = 1; seed <= 150; ++seed) {
    INFO("seed " << seed);
    TestWorld w(seed);
    sim::Prng prng(seed);
    const std::uint64_t bytes = kLogBytesMin + prng.below(4) * kBlockBytes;
    REQUIRE(w.run(w.world().disk.create(kFile, bytes, nullptr, nullptr)));
    {
      auto file = w.world().disk.open(kFile);
      REQUIRE(w.run(RecordRing::format(**file, bytes)));
    }
    auto model = std::make_shared<Model>();
    bool power_lost = false;
    for (int life = 0; life < 12; ++life) {
      RecordRing& log = recover(w, *model, power_lost);
      sim::Process& process = *w.process;
      process.keep(model);
      process.spawn(work(process, log, *model, prng.next()));
      process.spawn(read_along(process, log));
      power_lost = prng.chance(500);
      if (prng.chance(500)) {
        // In the middle of a pass, before some write: between the two of a wrap, too.
        const std::uint64_t at = w.storage().writes() + 1 + prng.below(120);
        w.storage().before_write = [&w, &process, at, power_lost](std::uint64_t n) {
          if (n != at) return;
          power_lost ? w.machine.lose_power() : w.machine.kill(process);
        };
        w.universe.run_until([&] { return w.machine.processes().empty(); }, std::chrono::seconds(10));
        w.storage().before_write = nullptr;
        REQUIRE(w.machine.processes().empty());
        w.process = &w.machine.start();
      } else {
        w.universe.run_for(Duration(static_cast<std::int64_t>(prng.below(60'000'000))));
        power_lost ? w.lose_power() : w.kill();
      }
    }
    recover(w, *model, power_lost);
    appended += model->appended;
    busy += model->busy;
  }
  // The test is about something: laps were made, and the log was full at times.
  CHECK(appended > 20'000);
  CHECK(busy > 100);
}

}  // namespace lockstep::area
