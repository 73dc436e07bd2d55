#include "resync/verify.h"

#include <fmt/format.h>

#include <algorithm>

#include "resync/verdict.h"

namespace lockstep::resync {
namespace {

constexpr std::uint32_t kKeysAtOnce = 1024;
constexpr std::uint64_t kBlocksAtOnce = 256;
constexpr std::size_t kNamed = 16;
const std::string kAfterLastKey = "\xff\xff\xff\xff";

/// A key as people can read it.
std::string shown(const std::string& key) {
  std::string text;
  for (const char c : key) {
    const auto byte = static_cast<unsigned char>(c);
    text += byte >= 0x20 && byte < 0x7f ? std::string(1, c) : fmt::format("\\x{:02x}", byte);
  }
  return text;
}

Copies copies_of(std::uint64_t block, std::uint64_t place, const wire::VerifyAnswer& mine, const wire::VerifyAnswer& theirs) {
  const auto good = [&](const wire::VerifyAnswer& side) { return std::find(side.bad.begin(), side.bad.end(), block) == side.bad.end(); };
  return {.equal = mine.block_digests[place] == theirs.block_digests[place], .good_here = good(mine), .good_there = good(theirs)};
}

bool all_same(BlockRange blocks, const wire::VerifyAnswer& mine, const wire::VerifyAnswer& theirs) {
  return mine.bad.empty() && theirs.bad.empty() && blocks.count == mine.block_digests.size() && mine.block_digests == theirs.block_digests;
}

}  // namespace

Verify::Verify(runtime::World& world, controller::Controller& controller)
    : world_(world), controller_(controller), replica_(controller.replica()), here_(world, replica_.area) {}

runtime::Task<VerifyReport> Verify::run(bool repair, std::function<void(std::uint64_t, std::uint64_t)> progress) {
  VerifyReport report;
  if (running_) {
    report.problem = "another verify is running";
    co_return report;
  }
  if (!in_sync()) {
    report.problem = "the sites are not in sync: " + controller_.problem();
    co_return report;
  }
  running_ = true;
  report.complete = co_await compare_keys(report);
  if (report.complete) report.complete = co_await compare_blocks(repair, report, std::move(progress));
  if (!report.complete && report.problem.empty()) report.problem = "the other site went away while it ran";
  here_.end();
  if (peer::Session* session = controller_.session(); session != nullptr) {
    session->send(wire::VerifyEnd{number_});
    session->flush();
  }
  running_ = false;
  co_return report;
}

bool Verify::in_sync() { return controller_.primary() != nullptr && controller_.primary()->in_sync(); }

runtime::Task<std::optional<wire::VerifyAnswer>> Verify::ask(wire::VerifyAsk question) {
  if (!in_sync()) co_return std::nullopt;
  peer::Session* session = controller_.session();
  runtime::OneShot<std::optional<wire::VerifyAnswer>> answer(world_.scheduler);
  controller_.primary()->verify_answer = &answer;
  session->send(question);
  session->flush();
  std::optional<wire::VerifyAnswer> given = co_await answer.take();
  if (controller_.primary() != nullptr) controller_.primary()->verify_answer = nullptr;
  if (given && given->number != question.number) given.reset();
  co_return given;
}

runtime::Task<bool> Verify::compare_keys(VerifyReport& report) {
  while (!replica_.volume.unsettled(1).empty()) {
    wire::Operation settle;
    settle.kind = wire::OpKind::settle;
    const wire::Outcome outcome = co_await controller_.change(std::move(settle), {}, nullptr, nullptr);
    if (outcome.error != 0) co_return false;
  }
  if (!in_sync()) co_return false;
  peer::Session* session = controller_.session();
  session->send(wire::VerifyBegin{++number_});
  here_.begin(number_);
  co_return co_await compare_range(std::string(1, kFirstSharedKey), kAfterLastKey, kKeysAtOnce, report);
}

runtime::Task<bool> Verify::compare_range(std::string from, std::string to, std::uint32_t limit, VerifyReport& report) {
  while (!from.empty() && from < to) {
    wire::VerifyAsk question;
    question.number = number_;
    question.from = from;
    question.to = to;
    question.limit = limit;
    const wire::VerifyAnswer mine = co_await here_.ask(question);
    // The other side looks at the same range, whatever keys it has there.
    if (!mine.next.empty()) question.to = mine.next;
    question.limit = limit + 1;
    const std::optional<wire::VerifyAnswer> theirs = co_await ask(question);
    if (!theirs) co_return false;
    if (limit == kKeysAtOnce) report.keys += mine.keys;
    if (mine.keys != theirs->keys || mine.digest != theirs->digest) {
      if (limit > 1 && report.keys_named.size() < kNamed) {
        const bool narrowed = co_await compare_range(from, question.to, std::max<std::uint32_t>(limit / 32, 1), report);
        if (!narrowed) co_return false;
      } else {
        ++report.keys_differ;
        if (report.keys_named.size() < kNamed) report.keys_named.push_back(shown(from));
      }
    }
    from = mine.next;
  }
  co_return true;
}

runtime::Task<bool> Verify::ask_both(BlockRange blocks, wire::VerifyAnswer& mine, wire::VerifyAnswer& theirs) {
  wire::VerifyAsk question;
  question.number = number_;
  question.blocks = blocks;
  std::optional<wire::VerifyAnswer> answer = co_await ask(question);
  if (!answer || answer->block_digests.size() != blocks.count) co_return false;
  theirs = std::move(*answer);
  mine = co_await here_.ask(question);
  co_return mine.block_digests.size() == blocks.count;
}

runtime::Task<bool> Verify::put_right(BlockRange blocks, const wire::VerifyAnswer& mine, const wire::VerifyAnswer& theirs,
                                      VerifyReport& report) {
  for (std::uint64_t i = 0; i < blocks.count; ++i) {
    const std::uint64_t block = blocks.first + i;
    const Verdict verdict = decide(copies_of(block, i, mine, theirs));
    if (verdict == Verdict::same) continue;
    if (!in_sync()) co_return false;
    controller::Primary& primary = *controller_.primary();
    Result<> done;
    if (verdict == Verdict::neither) {
      replica_.note_mend(block, "it is bad at both sites");
    } else if (verdict == Verdict::theirs) {
      Result<std::vector<std::byte>> bytes = co_await primary.fetch({block, 1});
      done = co_await replica_.mend(block, std::move(bytes));
      if (done) ++report.repaired_here;
    } else {
      done = co_await primary.give(block);
      if (done) ++report.repaired_there;
      if (verdict == Verdict::conflict && ++report.conflicts_met <= kNamed) report.conflicts.push_back(block);
    }
    if (!done && done.error().code == Errc::unavailable) co_return false;
  }
  co_return true;
}

runtime::Task<bool> Verify::compare_blocks(bool repair, VerifyReport& report,
                                           std::function<void(std::uint64_t, std::uint64_t)> progress) {
  const std::uint64_t all = replica_.area.identity().blocks;
  for (std::uint64_t first = 0; first < all; first += kBlocksAtOnce) {
    const BlockRange blocks{first, std::min(kBlocksAtOnce, all - first)};
    if (!in_sync()) co_return false;
    if (!co_await controller_.primary()->take_guard(blocks)) co_return false;
    wire::VerifyAnswer mine, theirs;
    bool there = co_await ask_both(blocks, mine, theirs);
    if (there && repair && !all_same(blocks, mine, theirs)) {
      there = co_await put_right(blocks, mine, theirs, report);
      if (there) there = co_await ask_both(blocks, mine, theirs);
    }
    if (controller_.primary() != nullptr) controller_.primary()->guard().release();
    if (!there) co_return false;
    report.blocks += blocks.count;
    report.bad_here.insert(report.bad_here.end(), mine.bad.begin(), mine.bad.end());
    report.bad_there.insert(report.bad_there.end(), theirs.bad.begin(), theirs.bad.end());
    for (std::uint64_t i = 0; i < blocks.count; ++i) {
      if (mine.block_digests[i] == theirs.block_digests[i]) continue;
      ++report.blocks_differ;
      if (report.blocks_named.size() < kNamed) report.blocks_named.push_back(first + i);
    }
    if (progress && first % (kBlocksAtOnce * 64) == 0) progress(first, all);
  }
  co_return true;
}

}  // namespace lockstep::resync
