// A session of the secondary: what arrives of the primary.
#include <algorithm>
#include <cerrno>

#include "controller/secondary.h"
#include "core/checksum.h"
#include "core/log.h"
#include "volume/owner.h"
#include "wire/bounds.h"

namespace lockstep::controller {
namespace {

constexpr std::uint64_t kLogChunkBytes = 1u << 20;
constexpr std::size_t kTimesAtOnce = 65536;

}  // namespace

runtime::Task<void> Secondary::serve_member(peer::Link& link, peer::Session& session, wire::Hello theirs,
                                             wire::Hello ours) {
  begin_session(session, theirs);
  replica_.peer_is_member(true);
  problem_ = "catching up with the primary";
  for (const Seq seq : ours.unanswered) {
    if (!unanswered_.contains(seq)) session.send(wire::Mirrored{seq, {}});
  }
  for (const InodeId inode : ours.orphans_open) {
    if (!orphans_open_.contains(inode)) session.send(wire::OrphanClosed{inode});
  }
  session.flush();
  const Result<> ended = co_await talk(link, session);
  end_session(ended.error());
}

runtime::Task<void> Secondary::serve_as_target(peer::Link& link, peer::Session& session, wire::Hello theirs, Seq common) {
  begin_session(session, theirs);
  target_.emplace();
  target_->common = common;
  progress_.emplace();
  progress_->stage = "metadata";
  progress_->since = progress_->moved = replica_.world.clock.now();
  problem_ = "this site is being made equal to the other one";
  session.send(wire::ServesNobody{false});
  session.flush();
  const Result<> ended = co_await talk(link, session);
  end_session(ended.error());
  co_await beside_.join();
  // What was not copied stays unreadable: hosts are served until the lease is over.
  progress_.reset();
}

void Secondary::begin_session(peer::Session& session, const wire::Hello& theirs) {
  session_ = &session;
  ++sessions_;
  forwarded_ = 0;
  lost_.clear();
  for (auto& [n, pending] : pending_) pending->forwarded = false;
  if (primary_start_ != theirs.start) primary_restarted_ = !primary_start_.is_nil();
  primary_start_ = theirs.start;
}

runtime::Task<Result<>> Secondary::talk(peer::Link& link, peer::Session& session) {
  for (;;) {
    Result<peer::Incoming> incoming = co_await link.receive(session);
    if (!incoming) co_return std::unexpected(incoming.error());
    const Result<> handled = co_await handle(session, std::move(*incoming));
    if (handled) continue;
    if (handled.error().code != Errc::unavailable) {
      log::error("what the primary sent could not be followed: {}; connection closed", handled.error().text);
    }
    co_return handled;
  }
}

void Secondary::end_session(const Error& why) {
  problem_ = "the connection with the primary ended: " + why.text;
  log::warning("{}", problem_);
  if (comparison != nullptr) comparison->end();
  ready_ = caught_up_ = false;
  session_ = nullptr;
  ++sessions_;
  for (auto& [number, waiting] : fetching_) {
    if (!waiting.answer->given()) waiting.answer->give(std::nullopt);
  }
  changed_.notify_all();
}

runtime::Task<Result<>> Secondary::handle(peer::Session& session, peer::Incoming incoming) {
  wire::Message& message = incoming.message;
  Steps& steps = replica_.steps;
  if (auto* mirror = std::get_if<wire::Mirror>(&message)) {
    if (!ready_) co_return fail(Errc::invalid, "a MIRROR before SYNCED");
    if (mirror->effect.seq <= replica_.applied()) co_return fail(Errc::invalid, "a MIRROR out of order");
    const RequestId& request = mirror->effect.request;
    const bool of_its_host = request.site == keeper_.membership().in_force().primary && request.boot != 0;  // else it says nothing of its host's
    if (of_its_host) replica_.results.waits_from(request.site, request.boot, mirror->waits_from);
    steps.note(Step::mirror_received, mirror->effect.request, mirror->effect.seq, mirror->effect.turns, Status::neither);
    co_return co_await apply(std::move(mirror->effect), incoming.payload, false, true);
  }
  if (auto* commit = std::get_if<wire::Commit>(&message)) {
    if (commit->effect.seq <= replica_.applied()) co_return fail(Errc::invalid, "a COMMIT out of order");
    steps.note(Step::commit_received, commit->effect.request, commit->effect.seq, commit->effect.turns, Status::neither);
    co_return co_await apply(std::move(commit->effect), {}, true, commit->dropped);
  }
  if (target_) {
    const Result<> handled = co_await handle_of_target(session, incoming);
    if (handled || handled.error().code != Errc::absent) co_return handled;
  }
  if (auto* record = std::get_if<wire::Record>(&message)) {
    if (caught_up_ || record->without_payload) co_return fail(Errc::invalid, "a RECORD that has no place here");
    co_return co_await apply(std::move(record->effect), incoming.payload, false, false);
  }
  if (auto* granted = std::get_if<wire::Grant>(&message)) {
    Pending* pending = pending_of(granted->request);
    if (pending == nullptr || pending->applied) co_return fail(Errc::invalid, "a GRANT for a request that this site did not make");
    steps.note(Step::grant_received, pending->id, {}, pending->turns, Status::neither);
    session.send(wire::Data{pending->id}, pending->payload, pending->keep);
    steps.note(Step::data_sent, pending->id, {}, pending->turns, Status::neither);
    at_end_of_pass();
    co_return Result<>{};
  }
  if (auto* refusal = std::get_if<wire::Refusal>(&message)) {
    Pending* pending = pending_of(refusal->request);
    if (pending == nullptr || pending->applied || pending->answered) {
      co_return fail(Errc::invalid, "a REFUSAL for a request that this site did not make");
    }
    // EBUSY says that nothing was done, which is not known of one that was sent in an earlier session: a primary that died may have done it.
    const bool unknown = pending->again && refusal->outcome.error == EBUSY && pending->operation.kind != wire::OpKind::reserve;
    if (refusal->held || unknown) {
      // Forwarded before this site had applied the reservation. It waits here, and takes no room in the primary's line.
      pending->sent = pending->again;
      pending->held_at = replica_.reservations_moment();
      pending->end(Ended::held);
      co_return Result<>{};
    }
    pending->outcome = std::move(refusal->outcome);
    pending->applied = pending->answered = pending->dropped = true;
    steps.note(Step::refused, pending->id, {}, pending->turns, Status::neither);
    complete(*pending);
    co_return Result<>{};
  }
  if (auto* dropped = std::get_if<wire::DroppedAt>(&message)) {
    for (auto& [n, pending] : pending_) {
      if (!pending->applied || pending->seq != dropped->seq || pending->dropped) continue;
      pending->dropped = true;
      complete(*pending);
    }
    co_return Result<>{};
  }
  if (auto* ended = std::get_if<wire::Synced>(&message)) {
    synced(*ended);
    co_return Result<>{};
  }
  if (auto* fetch = std::get_if<wire::FetchLog>(&message)) co_return co_await send_log(session, fetch->after);
  if (auto* fetch = std::get_if<wire::FetchBlocks>(&message)) {
    if (fetch->blocks.count == 0 || fetch->blocks.count > wire::kFetchBlocksMax || fetch->blocks.end() > replica_.area.identity().blocks) {
      co_return fail(Errc::invalid, "a FETCH of blocks that are not there");
    }
    scope_.spawn(send_blocks(*fetch, sessions_));
    co_return Result<>{};
  }
  if (auto* blocks = std::get_if<wire::Blocks>(&message)) {
    co_return co_await fetched(std::move(*blocks), incoming.payload);
  }
  if (auto* copy = std::get_if<wire::Copy>(&message)) co_return co_await take_given(std::move(*copy), incoming.payload);
  if (auto* membership = std::get_if<wire::Membership>(&message)) {
    if (membership->history.empty()) co_return fail(Errc::invalid, "a MEMBERSHIP without an entry");
    const wire::EpochEntry last = membership->history.back();
    const bool has_own = target_ && target_->number == 0 && replica_.logged() > target_->common;
    const Result<> told = co_await user_.told(std::move(*membership), has_own);
    if (!told) co_return told;
    if (target_ && last.in_sync.has(replica_.self)) {
      log::info("in sync with the primary, as member of epoch {}", last.number.value);
      target_.reset();
      progress_.reset();
      replica_.peer_is_member(true);
      replica_.made_equal();
    }
    session.send(wire::Recorded{last.number});
    session.flush();
    co_return Result<>{};
  }
  if (std::holds_alternative<wire::Leave>(message)) {
    user_.other_serves_nobody();
    co_return Result<>{};
  }
  if (auto* asked = std::get_if<wire::Checkpoint>(&message)) {
    scope_.spawn(checkpoint(asked->number, sessions_));
    co_return Result<>{};
  }
  if (auto* clear = std::get_if<wire::Clear>(&message)) {
    co_return co_await replica_.area.suspects().clear(std::move(clear->granules));
  }
  if (auto* command = std::get_if<wire::Command>(&message)) {
    user_.command(std::move(*command));
    co_return Result<>{};
  }
  if (auto* arms = std::get_if<wire::Arms>(&message)) {
    user_.arms(*arms);
    co_return Result<>{};
  }
  if (auto* answer = std::get_if<wire::CommandAnswer>(&message)) {
    user_.command_answered(std::move(*answer));
    co_return Result<>{};
  }
  if (auto* begin = std::get_if<wire::VerifyBegin>(&message)) {
    if (comparison != nullptr) comparison->begin(begin->number);
    co_return Result<>{};
  }
  if (auto* question = std::get_if<wire::VerifyAsk>(&message)) {
    scope_.spawn(answer_comparison(std::move(*question), sessions_));
    co_return Result<>{};
  }
  if (std::holds_alternative<wire::VerifyEnd>(message)) {
    if (comparison != nullptr) comparison->end();
    co_return Result<>{};
  }
  if (auto* refused = std::get_if<wire::Refuse>(&message)) co_return fail(Errc::refused, "the primary refuses: " + refused->reason);
  co_return fail(Errc::invalid, fmt::format("message {} has no place here", message.index()));
}

/// The primary has nothing more to send of the past. Until this side's SYNCED it serves nobody who could see what is unfinished here (R2).
void Secondary::synced(const wire::Synced& message) {
  if (std::exchange(caught_up_, true)) return;
  for (auto& [n, pending] : pending_) {
    if (!pending->applied || pending->dropped) continue;
    const bool dropping =
        std::find(message.dropping.begin(), message.dropping.end(), pending->seq) != message.dropping.end();
    if (dropping) continue;
    pending->dropped = true;
    complete(*pending);
  }
  replica_.reached(message.seq);
  changed_.notify_all();
  if (target_ || unanswered_.empty()) return go_live();  // the hosts of a target are not served yet: nothing is kept for them
  scope_.spawn(go_live_when_finished(sessions_));
}

runtime::Task<void> Secondary::go_live_when_finished(std::uint64_t session) {
  while (!unanswered_.empty() && !over(session) && !stop_.requested()) co_await changed_.wait();
  if (!over(session) && !stop_.requested()) go_live();
}

/// Pending requests go (again), then this side's SYNCED, so that they are in line before any new request of the primary's host.
void Secondary::go_live() {
  ready_ = true;
  changed_.notify_all();
  if (primary_restarted_) {
    // It has lost the times that were only in memory; this site has them.
    primary_restarted_ = false;
    for (const wire::LazyTimes& times : replica_.volume.unsettled(kTimesAtOnce)) scope_.spawn(hand_over(times));
  }
  forward_more();
  session_->send(wire::Synced{replica_.applied(), {}});
  problem_.clear();
  if (!target_) log::info("in sync with the primary at seq {}", replica_.applied().value);
  if (!target_) replica_.made_equal();
  if (!target_ && keeper_.state().left) scope_.spawn(be_back());
  user_.session_live();
  at_end_of_pass();
}

runtime::Task<void> Secondary::be_back() { co_await keeper_.set({.left = false}); }

runtime::Task<void> Secondary::hand_over(wire::LazyTimes times) {
  Asked asked;
  asked.id = {replica_.self, options_.boot, user_.next_request(nullptr)};
  asked.operation.kind = wire::OpKind::set_attributes;
  asked.operation.inode = times.inode;
  asked.operation.change.mtime_set = asked.operation.change.ctime_set = true;
  asked.operation.change.mtime = times.mtime;
  asked.operation.change.ctime = times.ctime;
  asked.since = replica_.world.clock.now();
  wire::Outcome outcome;
  co_await change(asked, outcome);
  user_.request_ended(asked.id.n);
}

runtime::Task<void> Secondary::checkpoint(std::uint64_t number, std::uint64_t session) {
  co_await replica_.make_stable();
  if (over(session)) co_return;
  session_->send(wire::Checkpointed{number});
  session_->flush();
}

/// The primary's bytes of `blocks`; none: they are bad there; nullopt: the connection ended.
runtime::Task<std::optional<std::vector<std::byte>>> Secondary::ask_blocks(BlockRange blocks, bool mend) {
  if (session_ == nullptr) co_return std::nullopt;
  const std::uint64_t number = ++number_;
  runtime::OneShot<std::optional<std::vector<std::byte>>> answer(replica_.world.scheduler);
  fetching_[number] = {blocks, mend, &answer};
  session_->send(wire::FetchBlocks{number, blocks});
  at_end_of_pass();
  std::optional<std::vector<std::byte>> bytes = co_await answer.take();
  fetching_.erase(number);
  co_return bytes;
}

/// BLOCKS are as the primary has published them at this place among its effects, of which this site has applied all: where they are
/// bad here they are written before the next one is looked at.
runtime::Task<Result<>> Secondary::fetched(wire::Blocks answer, Bytes payload) {
  auto found = fetching_.find(answer.number);
  if (found == fetching_.end() || found->second.answer->given()) co_return fail(Errc::invalid, "BLOCKS that nobody asked for");
  const Result<> good = check_answer(answer, found->second.blocks, payload);
  if (!good) co_return good;
  std::vector<std::byte> bytes;
  if (!answer.bad) bytes.assign(payload.begin(), payload.end());
  if (found->second.mend && level()) {
    Result<std::vector<std::byte>> theirs = bytes;
    if (answer.bad) theirs = fail(Errc::corrupt, fmt::format("block {} is bad at the other site, too", answer.blocks.first));
    (void)co_await replica_.mend(answer.blocks.first, std::move(theirs));
  }
  found = fetching_.find(answer.number);
  if (found != fetching_.end() && !found->second.answer->given()) found->second.answer->give(std::move(bytes));
  co_return Result<>{};
}

/// A comparison found that the block differs here, or is bad: the primary's copy counts.
runtime::Task<Result<>> Secondary::take_given(wire::Copy copy, Bytes payload) {
  const std::uint64_t all = replica_.area.identity().blocks;
  if (!in_sync() || copy.blocks.count != 1 || copy.blocks.first >= all) co_return fail(Errc::invalid, "a COPY that has no place here");
  if (checksum(payload) != copy.checksums.at(0)) co_return fail(Errc::invalid, "a COPY whose data does not match its checksum");
  const std::vector<std::byte> bytes(payload.begin(), payload.end());
  const Result<> written = co_await replica_.replace(copy.blocks, bytes);
  if (!written) co_return written;
  replica_.note_mend(copy.blocks.first, {});
  scope_.spawn(drop_block(copy.blocks.first));
  co_return Result<>{};
}

/// Makes this site's kernel forget the pages of a block that was replaced.
runtime::Task<void> Secondary::drop_block(std::uint64_t block) {
  const Result<std::optional<volume::BlockOwner>> owner = co_await volume::owner_of(replica_.world.keys, block);
  if (!owner || !*owner) co_return;
  wire::Drop pages;
  pages.kind = wire::Drop::Kind::pages;
  pages.inode = (*owner)->inode;
  pages.range = {(*owner)->file_block * kBlockBytes, kBlockBytes};
  std::vector<wire::Drop> drops{pages};
  co_await replica_.caches->drop(std::move(drops));
}

runtime::Task<Result<>> Secondary::mistrust_keys() {
  const runtime::Inside inside(callers_);
  if (!in_sync()) co_return fail(Errc::unavailable, "this site is not in sync");
  log::warning("the metadata here differ from those of the primary: this site is made equal to it again");
  co_await keeper_.set({.incomplete = true});
  if (session_ != nullptr) session_->shutdown();
  co_return Result<>{};
}

runtime::Task<Result<>> Secondary::repair(BlockRange blocks) {
  const runtime::Inside inside(callers_);
  Result<> done;
  const Result<std::vector<std::uint64_t>> bad = co_await replica_.bad_among(blocks);
  if (!bad) co_return std::unexpected(bad.error());
  for (const std::uint64_t block : *bad) {
    std::optional<std::vector<std::byte>> theirs;
    if (level()) theirs = co_await ask_blocks({block, 1}, true);
    if (!theirs) co_return fail(Errc::unavailable, "the primary is not in sync with this site");
    const Result<std::vector<std::uint64_t>> still = co_await replica_.bad_among({block, 1});
    if (!still || !still->empty()) done = fail(Errc::corrupt, fmt::format("block {} is still bad", block));
  }
  co_return done;
}

runtime::Task<Result<std::vector<std::byte>>> Secondary::fetch(BlockRange blocks) {
  const runtime::Inside inside(callers_);
  std::optional<std::vector<std::byte>> bytes = co_await ask_blocks(blocks, false);
  if (!bytes) co_return fail(Errc::unavailable, "the connection ended");
  if (bytes->size() != blocks.count * kBlockBytes) {
    co_return fail(Errc::corrupt, fmt::format("blocks {} to {} are bad at the other site, too", blocks.first, blocks.end() - 1));
  }
  co_return std::move(*bytes);
}

runtime::Task<Result<>> Secondary::send_log(peer::Session& session, Seq after) {
  if (caught_up_) co_return fail(Errc::invalid, "a FETCH of the log after SYNCED");
  co_await replica_.say_stable();  // the primary needs room for what comes now
  while (after < replica_.logged()) {
    Result<std::vector<wire::Effect>> records = co_await replica_.area.log().read_after(after, kLogChunkBytes);
    if (!records) {
      const std::string reason = fmt::format("the records behind {} are not in this site's log any more", after.value);
      session.send(wire::Refuse{reason});
      session.flush();
      co_return fail(Errc::refused, reason);
    }
    if (records->empty()) break;
    for (wire::Effect& record : *records) {
      after = record.seq;
      Result<std::vector<std::byte>> data = co_await replica_.data_of(record);
      if (!data) co_return std::unexpected(data.error());
      auto keep = std::make_shared<std::vector<std::byte>>(std::move(*data));
      session.send(wire::Record{std::move(record)}, *keep, keep);
      session.flush();
      co_await session.room();
    }
  }
  session.send(wire::Synced{replica_.logged(), {}});
  session.flush();
  co_return Result<>{};
}

runtime::Task<void> Secondary::send_blocks(wire::FetchBlocks asked, std::uint64_t session) {
  auto data = std::make_shared<std::vector<std::byte>>(asked.blocks.count * kBlockBytes);
  wire::Blocks answer;
  answer.number = asked.number;
  answer.blocks = asked.blocks;
  Result<std::vector<std::uint64_t>> read = fail(Errc::corrupt, {});
  if (readable_here(asked.blocks)) read = co_await replica_.read_published(asked.blocks, *data);
  if (over(session)) co_return;
  answer.bad = !read.has_value();
  if (read) {
    answer.checksums = std::move(*read);
    session_->send(answer, *data, data);
  } else {
    session_->send(answer);
  }
  session_->flush();
}

runtime::Task<void> Secondary::answer_comparison(wire::VerifyAsk question, std::uint64_t session) {
  if (comparison == nullptr) co_return;
  wire::VerifyAnswer answer = co_await comparison->ask(std::move(question));
  if (session_ == nullptr || session != sessions_) co_return;
  session_->send(answer);
  at_end_of_pass();
}

}  // namespace lockstep::controller
