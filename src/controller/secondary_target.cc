// How this site is made equal to a source; primary_target.cc has the order of the messages.
//
// Keys come in one of two ways. Where this site has nothing of its own behind the common point, RECORDs are applied like any
// effect, but for their data. Else the keys are replaced in the store, past the volume: first it is written down that they are
// incomplete, then what differs is fetched as it was at the mark (all of it, or just what this site's own effects touched)
// while RECORDs change the rest up to the mark; both lead to the keys at the mark, in whatever order they come. Then the
// volume is loaded anew and the log begins behind the mark.
#include <algorithm>

#include "controller/key_digest.h"
#include "controller/secondary.h"
#include "core/checksum.h"
#include "core/log.h"
#include "core/probe.h"
#include "volume/raw_keys.h"
#include "wire/bounds.h"

namespace lockstep::controller {
namespace {

constexpr std::uint64_t kLogChunkBytes = 1u << 20;
constexpr std::uint64_t kFlushBytes = 16u << 20;
constexpr std::uint32_t kKeysAtOnce = 1024;
constexpr std::uint64_t kSuspectsAtOnce = 8 * 32768;

}  // namespace

runtime::Task<Result<>> Secondary::handle_of_target(peer::Session& session, peer::Incoming& incoming) {
  wire::Message& message = incoming.message;
  Target& target = *target_;
  progress_->moved = replica_.world.clock.now();
  if (auto* lost = std::get_if<wire::DataLost>(&message)) co_return data_lost(*lost);
  if (auto* mark = std::get_if<wire::KeysMark>(&message)) co_return co_await begin_keys(*mark);
  if (auto* record = std::get_if<wire::Record>(&message)) {
    if (ready_ || target.number == 0) co_return fail(Errc::invalid, "a RECORD that has no place here");
    ++progress_->records;
    if (is_own(record->effect.request) && lost_.contains(record->effect.request.n)) record->effect.request = {};
    if (target.raw && !target.records_done) {
      const Result<> applied = replica_.volume.apply_raw(record->effect.batch);
      co_return applied;
    }
    co_return co_await apply(std::move(record->effect), {}, false, true);
  }
  if (auto* answer = std::get_if<wire::VerifyAnswer>(&message)) {
    target.digest = std::move(*answer);
    changed_.notify_all();
    co_return Result<>{};
  }
  if (auto* keys = std::get_if<wire::Keys>(&message)) {
    target.keys = std::move(*keys);
    changed_.notify_all();
    co_return Result<>{};
  }
  if (auto* suspects = std::get_if<wire::Suspects>(&message)) {
    const std::uint64_t granules = replica_.area.suspects().granules();
    for (std::uint64_t i = 0; i < suspects->bits.size() * 8; ++i) {
      if ((static_cast<unsigned char>(suspects->bits[i / 8]) >> (i % 8) & 1) == 0) continue;
      if (suspects->first >= granules || i >= granules - suspects->first) co_return fail(Errc::invalid, "SUSPECTS behind the end of the area");
      theirs_.resize(granules);
      theirs_[suspects->first + i] = true;
    }
    co_return Result<>{};
  }
  if (auto* ended = std::get_if<wire::Synced>(&message)) {
    if (ready_ || target.number == 0) co_return fail(Errc::invalid, "a SYNCED that has no place here");
    if (!target.records_done) {
      target.records_done = true;
      if (target.keys_done) co_return co_await caught_up(sessions_);
      changed_.notify_all();
      co_return Result<>{};
    }
    live_as_target(*ended);
    co_return Result<>{};
  }
  if (auto* compared = std::get_if<wire::Compare>(&message)) co_return co_await compare(*compared);
  if (auto* copy = std::get_if<wire::Copy>(&message)) co_return co_await take_copy(*copy, incoming.payload);
  (void)session;
  co_return fail(Errc::absent, {});
}

/// It counts as not done, and forward() sends its data to where it was then.
Result<> Secondary::data_lost(const wire::DataLost& message) {
  if (ready_ || lost_.size() >= options_.requests_max) return fail(Errc::invalid, "a DATA_LOST that has no place here");
  if (!is_own(message.request) || message.request.n < user_.waits_from()) return {};
  lost_[message.request.n] = message.offset;
  replica_.results.forget(message.request);
  return {};
}

runtime::Task<Result<>> Secondary::begin_keys(wire::KeysMark mark) {
  Target& target = *target_;
  if (target.number != 0) co_return fail(Errc::invalid, "a second KEYS_MARK");
  target.number = mark.number;
  target.mark = mark.seq;
  target.whole = mark.whole;
  target.raw = mark.whole || replica_.logged() > target.common || keeper_.state().incomplete || replica_.volume.being_replaced();
  replica_.results.forget_after(target.common);
  log::info("made equal to the other site: {} (common {}, here {}, there {})",
            target.whole ? "all keys are compared" : target.raw ? "own effects are taken back" : "by its log", target.common.value,
            replica_.logged().value, mark.seq.value);
  if (!target.raw) {
    target.keys_done = true;
    co_return Result<>{};
  }
  co_await keeper_.set({.incomplete = true});
  beside_.spawn(replace_keys(sessions_));
  co_return Result<>{};
}

runtime::Task<void> Secondary::replace_keys(std::uint64_t session) {
  Result<> going = target_->whole ? co_await compare_all_keys(session) : co_await take_back(session);
  if (going && !over(session)) {
    wire::KeysFetch counts;
    counts.keys = {std::string(volume::kCountsKey)};
    std::string next;
    going = co_await fetch_keys(std::move(counts), session, next);
  }
  if (over(session)) co_return;
  target_->keys_done = true;
  while (going && !target_->records_done && !over(session) && !stop_.requested()) co_await changed_.wait();
  if (over(session)) co_return;
  if (going) going = co_await caught_up(session);
  if (!going && !over(session)) {
    log::warning("taking over the keys of the other site ended: {}; it begins again", going.error().text);
    session_->shutdown();
  }
}

/// The answer to `question` goes into the store; what lies between the keys of a range goes out of it.
runtime::Task<Result<>> Secondary::fetch_keys(wire::KeysFetch question, std::uint64_t session, std::string& next) {
  question.number = target_->number;
  target_->keys.reset();
  session_->send(question);
  session_->flush();
  while (!over(session) && !stop_.requested() && !target_->keys) co_await changed_.wait();
  if (over(session) || !target_->keys) co_return fail(Errc::unavailable, "the connection ended");
  wire::Keys answer = *std::exchange(target_->keys, std::nullopt);
  if (question.keys.empty()) {
    const std::string end = answer.next.empty() ? question.to : answer.next;
    std::string from = question.from;
    std::size_t at = 0;
    wire::KeyBatch gone;
    while (!from.empty()) {
      const Result<std::vector<runtime::KeyPair>> mine = co_await replica_.world.keys.scan(from, end, kKeysAtOnce, nullptr);
      if (!mine) co_return std::unexpected(mine.error());
      for (const runtime::KeyPair& pair : *mine) {
        while (at < answer.pairs.size() && answer.pairs[at].key < pair.key) ++at;
        if (at == answer.pairs.size() || answer.pairs[at].key != pair.key) gone.push_back({pair.key, std::nullopt});
      }
      from = mine->size() == kKeysAtOnce ? mine->back().key + '\0' : std::string();
    }
    if (over(session)) co_return fail(Errc::unavailable, "the connection ended");
    answer.pairs.insert(answer.pairs.end(), std::make_move_iterator(gone.begin()), std::make_move_iterator(gone.end()));
  }
  progress_->keys += answer.pairs.size();
  next = answer.next;
  if (answer.pairs.empty()) co_return Result<>{};
  for (const runtime::KeyChange& pair : answer.pairs) target_->unflushed += pair.key.size() + (pair.value ? pair.value->size() : 0);
  const Result<> applied = replica_.volume.apply_raw(answer.pairs);
  if (!applied || target_->unflushed < kFlushBytes) co_return applied;
  // Nothing of this stands in the log, so nothing else makes it leave memory.
  target_->unflushed = 0;
  co_return co_await replica_.world.keys.flush();
}

runtime::Task<Result<>> Secondary::compare_all_keys(std::uint64_t session) {
  const volume::KeySpan all = volume::shared_keys();
  std::string from = all.from;
  while (!from.empty() && !over(session) && !stop_.requested()) {
    wire::VerifyAsk question;
    question.number = target_->number;
    question.from = from;
    question.to = all.to;
    question.limit = kKeysAtOnce;
    target_->digest.reset();
    session_->send(question);
    session_->flush();
    while (!over(session) && !stop_.requested() && !target_->digest) co_await changed_.wait();
    if (over(session) || !target_->digest) break;
    const wire::VerifyAnswer theirs = *std::exchange(target_->digest, std::nullopt);
    const std::string end = theirs.next.empty() ? all.to : theirs.next;
    question.to = end;
    question.limit = kKeysAtOnce + 1;
    const std::shared_ptr<runtime::KeySnapshot> now = replica_.world.keys.snapshot();
    const wire::VerifyAnswer mine = co_await digest_of_keys(replica_.world.keys, now, question);
    if (over(session)) break;
    progress_->keys += theirs.keys;
    if (mine.keys != theirs.keys || mine.digest != theirs.digest || theirs.digest == 0) {
      std::string at = from;
      while (!at.empty()) {
        wire::KeysFetch fetch;
        fetch.from = at;
        fetch.to = end;
        const Result<> fetched = co_await fetch_keys(std::move(fetch), session, at);
        if (!fetched) co_return fetched;
      }
    }
    from = theirs.next;
  }
  if (over(session) || stop_.requested()) co_return fail(Errc::unavailable, "the connection ended");
  co_return Result<>{};
}

/// Keys that this site's own effects behind the common point touched become what they are at the source.
runtime::Task<Result<>> Secondary::take_back(std::uint64_t session) {
  Seq after = target_->common;
  std::set<std::string> touched;
  while (after < replica_.area.log().last()) {
    const Result<std::vector<wire::Effect>> records = co_await replica_.area.log().read_after(after, kLogChunkBytes);
    // Next time all keys are compared: that they are incomplete is written down.
    if (!records) co_return fail(Errc::unavailable, "what this site has of its own is not in its log any more: all keys are to be compared");
    if (records->empty()) break;
    for (const wire::Effect& record : *records) {
      after = record.seq;
      for (const runtime::KeyChange& change : record.batch) touched.insert(change.key);
    }
  }
  log::info("{} keys of effects that the other site never had are taken back", touched.size());
  auto it = touched.begin();
  while (it != touched.end()) {
    wire::KeysFetch fetch;
    for (; it != touched.end() && fetch.keys.size() < kKeysAtOnce; ++it) fetch.keys.push_back(*it);
    std::string next;
    if (over(session)) co_return fail(Errc::unavailable, "the connection ended");
    const Result<> fetched = co_await fetch_keys(std::move(fetch), session, next);
    if (!fetched) co_return fetched;
  }
  co_return Result<>{};
}

/// The keys are those at the mark: what was taken back is gone, and this site says what it holds suspect.
runtime::Task<Result<>> Secondary::caught_up(std::uint64_t session) {
  if (target_->raw) {
    const Result<> loaded = co_await replica_.volume.reload(target_->mark);
    if (!loaded) co_return loaded;
    const Result<> begun = co_await replica_.begin_anew(target_->mark, Replica::Anew::keys_replaced);
    if (!begun) co_return begun;
    co_await keeper_.set({.incomplete = false});
    if (over(session)) co_return fail(Errc::unavailable, "the connection ended");
    target_->raw = false;
  }
  const area::Suspects& suspects = replica_.area.suspects();
  const std::uint64_t granules = suspects.granules();
  for (std::uint64_t first = 0; first < granules; first += kSuspectsAtOnce) {
    const std::uint64_t count = std::min(kSuspectsAtOnce, granules - first);
    session_->send(wire::Suspects{first, suspects.bits(first, count), first + count == granules});
  }
  session_->send(wire::ServesNobody{true});
  session_->flush();
  co_return Result<>{};
}

void Secondary::live_as_target(const wire::Synced& message) {
  const area::Suspects& suspects = replica_.area.suspects();
  theirs_.resize(suspects.granules());
  for (std::uint64_t g = 0; g < theirs_.size(); ++g) {
    if (suspects.suspect(g)) theirs_[g] = true;
    if (theirs_[g]) ++progress_->granules;
  }
  target_->pending = std::exchange(theirs_, {});
  progress_->stage = "blocks";
  problem_.clear();
  if (replica_.observer != nullptr) replica_.observer->passed_over(false);
  synced(message);
}

runtime::Task<Result<>> Secondary::compare(const wire::Compare& message) {
  const std::uint64_t first = message.granule * wire::kGranuleBlocks;
  const std::uint64_t all = replica_.area.identity().blocks;
  if (!ready_ || first >= all || message.checksums.size() != std::min(wire::kGranuleBlocks, all - first)) {
    co_return fail(Errc::invalid, "a COMPARE of a granule that is not there");
  }
  const BlockRange blocks{first, message.checksums.size()};
  std::vector<std::byte> bytes(blocks.count * kBlockBytes);
  const Result<> read = co_await replica_.area.read_raw(blocks, bytes);
  wire::Want want;
  want.granule = message.granule;
  want.bits.resize((blocks.count + 7) / 8);
  std::vector<std::uint64_t> mend;  // equal blocks whose checksum here is another
  for (std::uint64_t i = 0; i < blocks.count; ++i) {
    const bool equal = read && checksum(Bytes(bytes).subspan(i * kBlockBytes, kBlockBytes)) == message.checksums[i];
    if (!equal) want.bits[i / 8] = static_cast<char>(want.bits[i / 8] | 1 << (i % 8));
    if (equal && replica_.area.stored_checksum(first + i) != message.checksums[i]) mend.push_back(i);
  }
  for (const std::uint64_t i : mend) {
    const Result<> mended = co_await replica_.replace({first + i, 1}, Bytes(bytes).subspan(i * kBlockBytes, kBlockBytes));
    if (!mended) co_return mended;
  }
  if (session_ == nullptr) co_return fail(Errc::unavailable, "the connection ended");
  session_->send(want);
  session_->flush();
  co_return Result<>{};
}

runtime::Task<Result<>> Secondary::take_copy(const wire::Copy& message, Bytes payload) {
  const std::uint64_t first = message.granule * wire::kGranuleBlocks;
  if (!ready_ || message.granule >= target_->pending.size() || message.blocks.first < first ||
      message.blocks.end() > std::min(first + wire::kGranuleBlocks, replica_.area.identity().blocks)) {
    co_return fail(Errc::invalid, "a COPY of blocks that are not there");
  }
  if (message.blocks.count > 0) {
    for (std::uint64_t i = 0; i < message.blocks.count && !message.bad; ++i) {
      if (checksum(payload.subspan(i * kBlockBytes, kBlockBytes)) != message.checksums[i]) {
        co_return fail(Errc::invalid, "a COPY whose data does not match its checksums");
      }
    }
    const std::vector<std::byte> bytes(payload.begin(), payload.end());
    const Result<> written = co_await replica_.replace(message.blocks, bytes, message.checksums);
    if (!written) co_return written;
    if (!target_) co_return fail(Errc::unavailable, "the connection ended");
    progress_->bytes_copied += bytes.size();
  }
  if (message.last) {
    target_->pending[message.granule] = false;
    ++progress_->granules_done;
  }
  co_return Result<>{};
}

}  // namespace lockstep::controller
