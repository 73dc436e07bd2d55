// A session of the primary, as source, with a site that is made equal to it (section 5 of the design).
//
//     target                                   source
//     SERVES_NOBODY ------------------------>  record: it is out of the in-sync set
//     record, keys are incomplete  <---------  MEMBERSHIP
//     RECORDED ----------------------------->  the keys as they are now: the mark
//     fetch what it gave itself, or            <- KEYS_MARK
//       compare all keys; apply records        <- RECORDs up to the mark, SYNCED
//     SUSPECTS, SERVES_NOBODY(caught up) --->  RECORDs behind the mark, until there is no more; then in one step:
//     serves its hosts                 <-----  SUSPECTS, SYNCED: live. Effects need the target's answer from here on
//
//     for each granule that either holds suspect, nobody writing it meanwhile:
//       compare with its own bytes     <-----  COMPARE
//       WANT --------------------------------> COPY, COPY, .. COPY(last): the target writes and reads it itself again
//
//     stable  <------------ CHECKPOINT ------  stable
//     record: both members  <- MEMBERSHIP ---  record: both members
//
// The target writes nothing in a granule that was not copied yet, and reads such blocks here. Whatever cuts this short, the
// next session begins at what stands recorded: an incomplete target with a comparison of keys, another with the records
// behind its last one; granules that were made equal are compared again, which copies nothing.
#include <algorithm>
#include <utility>

#include "controller/key_digest.h"
#include "controller/primary.h"
#include "core/log.h"
#include "core/probe.h"
#include "wire/bounds.h"

namespace lockstep::controller {
namespace {

constexpr std::uint64_t kLogChunkBytes = 1u << 20;
constexpr std::uint64_t kCopyBlocks = 256;
constexpr unsigned kChasesMax = 16;  // so often more records are looked for before nothing new is let in
constexpr std::uint64_t kSuspectsAtOnce = 8 * 32768;   // granules in one SUSPECTS
constexpr std::uint32_t kKeysAtOnce = 1024;
constexpr std::uint64_t kKeysBytesAtOnce = 1u << 20;

Probe chase_held("hosts waited so that a target could catch up");
Probe lost_block("a block was lost at the only site that had its last contents");

}  // namespace

runtime::Task<void> Primary::serve_target(peer::Link& link, peer::Session& session, wire::Hello theirs, Seq common) {
  begin_session(session, theirs);
  target_.emplace();
  target_->common = common;
  target_->theirs_last = theirs.logged;
  target_->whole = theirs.state.incomplete;
  target_->diskless = theirs.diskless;
  target_->boot = boot_of(theirs.start);
  progress_.emplace();
  progress_->stage = "metadata";
  progress_->since = progress_->moved = replica_.world.clock.now();
  runtime::Scope beside(replica_.world.scheduler);
  beside.spawn(make_equal(sessions_));
  const Result<> ended = co_await receive_loop(link, session);
  problem_ = "the connection with the other site ended: " + ended.error().text;
  log::warning("{}", problem_);
  end_session();
  co_await beside.join();
  target_.reset();
  progress_.reset();
}

runtime::Task<void> Primary::make_equal(std::uint64_t session) {
  Result<> going;
  while (!target_->yielded && !over(session)) co_await session_changed_.wait();
  if (over(session)) co_return;
  user_.other_serves_nobody();
  if (!co_await user_.target_yielded(epoch_of(target_->theirs_last))) going = fail(Errc::unavailable, "its removal could not be recorded");
  if (going) going = co_await say_membership();
  replica_.peer_is_member(false);
  if (going && !alone_) co_await go_alone();
  if (going) going = co_await say_lost_data(session);
  if (going) going = co_await send_keys(session);
  while (going && !target_->caught_up && !over(session) && !stop_.requested()) co_await session_changed_.wait();
  if (going && (over(session) || stop_.requested())) going = gone();
  if (going) co_await nothing_to_drop();
  if (going) going = co_await send_records_through(Seq{UINT64_MAX}, session);
  if (going) go_live();
  if (std::exchange(chase_ends_, false)) go_on(options_.epoch);
  if (going && target_->diskless) {
    log::info("the other site has no area: its hosts work through this one");
    user_.session_live();
    while (!over(session)) co_await session_changed_.wait();
    co_return;
  }
  if (going) {
    log::info("the other site serves its hosts again; {} granules to compare", progress_->granules);
    user_.session_live();
    going = co_await copy_granules(session);
  }
  if (going) {
    progress_->stage = "making it last";
    going = co_await checkpoint_all(session);
  }
  if (going && !co_await user_.take_in()) going = fail(Errc::unavailable, "that it is in sync could not be recorded");
  if (going) going = co_await say_membership();
  if (going) {
    replica_.peer_is_member(true);
    replica_.made_equal();
    log::info("in sync at seq {}: {} granules compared, {} bytes copied, {} keys, {} records", seq_.value, progress_->granules_done,
              progress_->bytes_copied, progress_->keys, progress_->records);
    target_.reset();
    progress_.reset();
    co_return;
  }
  if (!over(session)) {
    log::warning("making the other site equal ended: {}; it begins again", going.error().text);
    session_->shutdown();
  }
}

/// The target's requests whose effects the log has, without their data: they are not done, and the target is not to take them for that.
runtime::Task<Result<>> Primary::say_lost_data(std::uint64_t session) {
  const Seq until = keeper_.state().data_lost;
  if (until == Seq{}) co_return Result<>{};
  replica_.flush_log();
  Seq after;
  while (!over(session) && !stop_.requested() && after < until) {
    const Seq first = replica_.area.log().first();
    if (first == Seq{} || first > until) co_return Result<>{};
    after = std::max(after, Seq{first.value - 1});
    const Result<std::vector<wire::Effect>> records = co_await replica_.area.log().read_after(after, kLogChunkBytes);
    if (!records && records.error().code == Errc::absent) continue;  // forgotten meanwhile
    if (!records) co_return std::unexpected(records.error());
    if (records->empty()) co_return Result<>{};
    after = records->back().seq;
    if (over(session)) co_return gone();
    for (const wire::Effect& effect : *records) {
      const bool theirs = effect.request.site == options_.peer && effect.request.boot == target_->boot;
      if (theirs && effect.seq <= until && replica_.lost_data(effect)) session_->send(wire::DataLost{effect.request, effect.outcome.offset});
    }
    session_->flush();
    co_await session_->room();
  }
  if (over(session) || stop_.requested()) co_return gone();
  co_return Result<>{};
}

runtime::Task<Result<>> Primary::send_keys(std::uint64_t session) {
  Target& target = *target_;
  // Records that are there reach back to the common point, or all keys are compared.
  if (!target.whole) {
    const Result<std::vector<wire::Effect>> there = co_await replica_.area.log().read_after(target.common, 1);
    target.whole = !there.has_value();
  }
  co_await replica_.say_stable();  // before the records of which the target may keep no more
  // The target's log will begin at the mark: this site's has to reach it, or the target would seem to have more after a kill.
  while (!over(session) && seq_ > replica_.area.log().last() && !replica_.append_mark(seq_)) co_await replica_.log_room();
  if (over(session)) co_return gone();
  replica_.flush_log();
  wire::KeysMark mark;
  mark.number = target.number = ++number_;
  mark.seq = target.mark = std::max(seq_, replica_.logged());
  mark.whole = target.whole;
  target.snapshot = replica_.world.keys.snapshot();
  session_->send(mark);
  session_->flush();
  log::info("making the other site equal: {} (common {}, there {}, here {})", target.whole ? "comparing all keys" : "records of the log",
            target.common.value, target.theirs_last.value, target.mark.value);
  if (!target.whole) {
    const Result<> sent = co_await send_records_through(target.mark, session);
    if (!sent) co_return sent;
  }
  if (over(session)) co_return gone();
  session_->send(wire::Synced{target.mark, {}});
  session_->flush();
  co_return Result<>{};
}

/// RECORDs, without their data, behind what the target has, to `through` or until there are no more; nothing is made between
/// the look that finds no more and the return.
runtime::Task<Result<>> Primary::send_records_through(Seq through, std::uint64_t session) {
  Seq after = target_->snapshot && target_->caught_up ? target_->mark : target_->common;
  unsigned chases = 0;
  while (!over(session) && !stop_.requested()) {
    if (chases == kChasesMax && !chase_ends_) {
      // Hosts write as fast as records are sent: they wait for the last few.
      chase_held.hit();
      chase_ends_ = true;
      hold();
    }
    replica_.flush_log();
    const Seq known = replica_.logged();
    if (after >= known || after >= through) co_return Result<>{};
    Result<std::vector<wire::Effect>> records = co_await replica_.area.log().read_after(after, kLogChunkBytes);
    if (!records) co_return fail(records.error().code, "the log was shortened meanwhile: " + records.error().text);
    if (records->empty() && after < replica_.logged()) {
      // What counts as logged is in the keys, and its records are gone: nothing is missing behind the mark.
      co_return Result<>{};
    }
    for (wire::Effect& record : *records) {
      if (record.seq > through) co_return Result<>{};
      after = record.seq;
      if (over(session)) co_return gone();
      session_->send(wire::Record{std::move(record), true});
      session_->flush();
      ++progress_->records;
      progress_->moved = replica_.world.clock.now();
      co_await session_->room();
    }
    if (after >= known) ++chases;
  }
  co_return gone();
}

/// Both sites' suspicion together is what is compared. From here on the target answers effects, so this one needs its answers.
void Primary::go_live() {
  Target& target = *target_;
  target.snapshot.reset();
  const area::Suspects& suspects = replica_.area.suspects();
  const std::uint64_t granules = suspects.granules();
  target.granules.resize(granules);
  for (std::uint64_t g = 0; g < granules; ++g) {
    if (suspects.suspect(g)) target.granules[g] = true;
    if (target.granules[g]) ++progress_->granules;
  }
  for (std::uint64_t first = 0; first < granules; first += kSuspectsAtOnce) {
    const std::uint64_t count = std::min(kSuspectsAtOnce, granules - first);
    session_->send(wire::Suspects{first, suspects.bits(first, count), first + count == granules});
  }
  session_->send(wire::Synced{seq_, {}});
  session_->flush();
  alone_ = false;
  live_ = met_ = true;
  progress_->stage = "blocks";
  update_ready();
  scope_.spawn(locks_of_earlier_starts(target.boot));
}

runtime::Task<Result<>> Primary::copy_granules(std::uint64_t session) {
  for (std::uint64_t g = 0; g < target_->granules.size(); ++g) {
    if (!target_->granules[g]) continue;
    const Result<> copied = co_await copy_granule(g, session);
    if (!copied) co_return copied;
    target_->granules[g] = false;
    ++progress_->granules_done;
    progress_->moved = replica_.world.clock.now();
  }
  co_return Result<>{};
}

runtime::Task<Result<>> Primary::copy_granule(std::uint64_t granule, std::uint64_t session) {
  const std::uint64_t first = granule * wire::kGranuleBlocks;
  const BlockRange blocks{first, std::min(wire::kGranuleBlocks, replica_.area.identity().blocks - first)};
  co_await pace(blocks.count * kBlockBytes);
  if (!co_await take_guard(blocks)) co_return gone();
  struct Guarded {
    AreaGuard& guard;
    explicit Guarded(AreaGuard& g) : guard(g) {}
    ~Guarded() { guard.release(); }
  } guarded(guard_);
  if (over(session)) co_return gone();
  Result<std::vector<std::uint64_t>> checksums = co_await replica_.source_checksums(blocks);
  if (!checksums) co_return std::unexpected(checksums.error());
  if (over(session)) co_return gone();
  target_->want.reset();
  session_->send(wire::Compare{granule, std::move(*checksums)});
  session_->flush();
  while (!target_->want && !over(session) && !stop_.requested()) co_await session_changed_.wait();
  if (!target_->want || over(session)) co_return gone();  // the session may end right behind the answer
  const std::string bits = std::exchange(target_->want, std::nullopt)->bits;
  const auto wanted = [&](std::uint64_t i) { return (static_cast<unsigned char>(bits[i / 8]) >> (i % 8) & 1) != 0; };
  for (std::uint64_t i = 0; i < blocks.count;) {
    if (!wanted(i)) {
      ++i;
      continue;
    }
    std::uint64_t end = i;
    while (end < blocks.count && wanted(end) && end - i < kCopyBlocks) ++end;
    const Result<> sent = co_await send_copy(granule, {first + i, end - i}, session);
    if (!sent) co_return sent;
    i = end;
  }
  session_->send(wire::Copy{granule, {first, 0}, {}, true});
  session_->flush();
  co_return Result<>{};
}

/// Sends blocks; those that are bad here are told apart one by one.
runtime::Task<Result<>> Primary::send_copy(std::uint64_t granule, BlockRange blocks, std::uint64_t session) {
  auto data = std::make_shared<std::vector<std::byte>>(blocks.count * kBlockBytes);
  const Result<> read = co_await replica_.area.read(blocks, *data);
  if (over(session)) co_return gone();
  if (read) {
    wire::Copy copy{granule, blocks, {}, false};
    for (std::uint64_t i = 0; i < blocks.count; ++i) copy.checksums.push_back(replica_.area.stored_checksum(blocks.first + i));
    session_->send(copy, *data, data);
    session_->flush();
    progress_->bytes_copied += data->size();
    co_await session_->room();
    co_return over(session) ? gone() : Result<>{};
  }
  if (blocks.count > 1) {
    for (std::uint64_t b = blocks.first; b < blocks.end(); ++b) {
      const Result<> one = co_await send_copy(granule, {b, 1}, session);
      if (!one) co_return one;
    }
    co_return Result<>{};
  }
  if (!replica_.doubtful(blocks)) co_return co_await send_lost(granule, blocks, session);
  // Its write was under way when this site was stopped: whatever it holds, it was never acknowledged.
  const Result<std::vector<std::byte>> theirs = co_await fetch(blocks);
  if (!theirs && theirs.error().code == Errc::unavailable) co_return std::unexpected(theirs.error());
  if (theirs) {
    const Result<> repaired = co_await replica_.replace(blocks, *theirs);
    if (repaired) log::warning("block {} was torn here, and taken from the other site", blocks.first);
    co_return repaired;
  }
  const Result<> adopted = co_await replica_.adopt(blocks);
  if (!adopted || over(session)) co_return adopted ? gone() : adopted;
  co_return co_await send_copy(granule, blocks, session);
}

/// The block was written here while the target was away, and is bad now: what the target has is older, and would take an acknowledged
/// write back unseen. So it becomes bad there, too.
runtime::Task<Result<>> Primary::send_lost(std::uint64_t granule, BlockRange block, std::uint64_t session) {
  auto data = std::make_shared<std::vector<std::byte>>(kBlockBytes);
  (void)co_await replica_.area.read_raw(block, *data);  // or zeros, if nothing can be read
  if (over(session)) co_return gone();
  lost_block.hit();
  log::error("block {} is bad here, and what the other site has is older: reads of it answer EIO until it is written anew; lockstep fsck "
             "--data names the file", block.first);
  session_->send(wire::Copy{granule, block, {replica_.area.stored_checksum(block.first)}, false, true}, *data, data);
  session_->flush();
  co_return Result<>{};
}

runtime::Task<void> Primary::pace(std::uint64_t bytes) {
  if (options_.resync_rate == 0) co_return;
  const Instant until = progress_->moved + Duration(static_cast<std::int64_t>(1e9 * static_cast<double>(bytes) / static_cast<double>(options_.resync_rate)));
  if (replica_.world.clock.now() < until) co_await replica_.world.clock.sleep_until(until, stop_);
}

// --- what the target asks ----------------------------------------------------------------------------------------------

Result<> Primary::handle_of_target(peer::Incoming& incoming) {
  wire::Message& message = incoming.message;
  Target& target = *target_;
  if (auto* quiet = std::get_if<wire::ServesNobody>(&message)) {
    (quiet->caught_up ? target.caught_up : target.yielded) = true;
    session_changed_.notify_all();
    return {};
  }
  if (auto* suspects = std::get_if<wire::Suspects>(&message)) {
    const std::uint64_t granules = replica_.area.suspects().granules();
    target.granules.resize(granules);
    for (std::uint64_t i = 0; i < suspects->bits.size() * 8; ++i) {
      if ((static_cast<unsigned char>(suspects->bits[i / 8]) >> (i % 8) & 1) == 0) continue;
      if (suspects->first >= granules || i >= granules - suspects->first) return fail(Errc::invalid, "SUSPECTS behind the end of the area");
      target.granules[suspects->first + i] = true;
    }
    return {};
  }
  if (auto* want = std::get_if<wire::Want>(&message)) {
    const std::uint64_t first = want->granule * wire::kGranuleBlocks;
    const std::uint64_t blocks = replica_.area.identity().blocks;
    if (first >= blocks || want->bits.size() * 8 < std::min(wire::kGranuleBlocks, blocks - first)) return fail(Errc::invalid, "a WANT of another granule");
    target.want = std::move(*want);
    session_changed_.notify_all();
    return {};
  }
  if (auto* keys = std::get_if<wire::KeysFetch>(&message)) {
    if (!target.snapshot || keys->number != target.number) return fail(Errc::invalid, "a KEYS_FETCH without a mark");
    scope_.spawn(answer_keys(std::move(*keys), sessions_));
    return {};
  }
  if (auto* question = std::get_if<wire::VerifyAsk>(&message)) {
    if (!target.snapshot || question->number != target.number) return fail(Errc::invalid, "a question about keys without a mark");
    scope_.spawn(answer_comparison(std::move(*question), sessions_));
    return {};
  }
  return fail(Errc::absent, {});
}

runtime::Task<void> Primary::answer_keys(wire::KeysFetch fetch, std::uint64_t session) {
  const std::shared_ptr<runtime::KeySnapshot> snapshot = target_->snapshot;
  wire::Keys answer;
  answer.number = fetch.number;
  Result<> good;
  if (!fetch.keys.empty()) {
    for (const std::string& key : fetch.keys) {
      Result<std::vector<runtime::KeyPair>> pair = co_await replica_.world.keys.scan(key, key + '\0', 1, snapshot.get());
      if (!pair) good = std::unexpected(pair.error());
      if (!pair) break;
      answer.pairs.push_back({key, pair->empty() ? std::nullopt : std::optional<std::string>(std::move(pair->front().value))});
    }
  } else {
    Result<std::vector<runtime::KeyPair>> pairs = co_await replica_.world.keys.scan(fetch.from, fetch.to, kKeysAtOnce, snapshot.get());
    if (!pairs) good = std::unexpected(pairs.error());
    std::uint64_t bytes = 0;
    if (pairs) {
      if (pairs->size() == kKeysAtOnce) answer.next = pairs->back().key + '\0';
      for (runtime::KeyPair& pair : *pairs) {
        bytes += pair.key.size() + pair.value.size();
        if (bytes > kKeysBytesAtOnce && !answer.pairs.empty()) {
          answer.next = pair.key;
          break;
        }
        answer.pairs.push_back({std::move(pair.key), std::move(pair.value)});
      }
    }
  }
  if (over(session)) co_return;
  if (!good) {
    log::error("reading keys for the other site failed: {}", good.error().text);
    session_->shutdown();
    co_return;
  }
  progress_->keys += answer.pairs.size();
  progress_->moved = replica_.world.clock.now();
  session_->send(answer);
  session_->flush();
}

runtime::Task<void> Primary::answer_comparison(wire::VerifyAsk question, std::uint64_t session) {
  const std::shared_ptr<runtime::KeySnapshot> snapshot = target_->snapshot;
  const wire::VerifyAnswer answer = co_await digest_of_keys(replica_.world.keys, snapshot, std::move(question));
  if (over(session)) co_return;
  progress_->keys += answer.keys;
  progress_->moved = replica_.world.clock.now();
  session_->send(answer);
  session_->flush();
}

runtime::Task<void> Primary::answer_blocks(wire::FetchBlocks asked, std::uint64_t session) {
  auto data = std::make_shared<std::vector<std::byte>>(asked.blocks.count * kBlockBytes);
  wire::Blocks answer;
  answer.number = asked.number;
  answer.blocks = asked.blocks;
  Result<std::vector<std::uint64_t>> read = co_await replica_.read_published(asked.blocks, *data);
  if (!read && sole_member() && !over(session)) {
    const Result<> adopted = co_await adopt_torn(asked.blocks);
    if (adopted) read = co_await replica_.read_published(asked.blocks, *data);
  }
  if (over(session)) co_return;
  answer.bad = !read.has_value();
  if (read) {
    answer.checksums = std::move(*read);
    session_->send(answer, *data, data);
  } else {
    session_->send(answer);
  }
  at_end_of_pass();
}

}  // namespace lockstep::controller
