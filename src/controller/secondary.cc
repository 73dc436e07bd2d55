#include "controller/secondary.h"

#include <algorithm>

#include "core/checksum.h"
#include "core/log.h"
#include "core/planted.h"

namespace lockstep::controller {
namespace {

constexpr std::uint64_t kLogChunkBytes = 1u << 20;
constexpr std::size_t kTimesAtOnce = 65536;
constexpr Duration kPlantedPause = std::chrono::milliseconds(1);

}  // namespace

Secondary::Secondary(Replica& replica, SecondaryOptions options)
    : replica_(replica),
      options_(options),
      met_(replica.world.scheduler),
      problem_("the primary has not been met yet"),
      scope_(replica.world.scheduler) {}

Secondary::~Secondary() { CHECK(pending_.empty()); }

void Secondary::end_of_pass() {
  replica_.flush_log();
  if (session_ != nullptr) session_->flush();
  for (const std::uint64_t n : std::exchange(completed_, {})) {
    if (const auto found = pending_.find(n); found != pending_.end() && !found->second->done.given()) {
      found->second->done.give(true);
    }
  }
}

runtime::Task<void> Secondary::stop() {
  stop_.request();
  for (auto& [n, pending] : pending_) {
    if (!pending->done.given()) pending->done.give(false);
  }
  co_await scope_.join();
}

void Secondary::say(wire::Hello& hello) {
  hello.applied = applied_;
  said_unanswered_.assign(unanswered_.begin(), unanswered_.end());
  said_open_.assign(orphans_open_.begin(), orphans_open_.end());
  hello.unanswered = said_unanswered_;
  hello.orphans_open = said_open_;
}

Secondary::Load Secondary::load() const {
  Load load;
  load.requests = pending_.size();
  for (const auto& [n, pending] : pending_) {
    if (load.oldest == Instant{} || pending->since < load.oldest) load.oldest = pending->since;
  }
  return load;
}

// --- requests of this site's host --------------------------------------------------------------------------------------

runtime::Task<wire::Outcome> Secondary::change(wire::Operation operation, Bytes payload, std::shared_ptr<void> keep) {
  Pending pending(replica_.world.scheduler);
  pending.operation = std::move(operation);
  pending.payload = payload;
  pending.keep = std::move(keep);
  pending.turns = replica_.volume.turns(pending.operation);
  pending.since = replica_.world.clock.now();
  pending.id = {replica_.self, options_.boot, next_request_++};
  Steps& steps = replica_.steps;
  steps.note(Step::asked, pending.id, {}, pending.turns, Status::neither);
  co_await replica_.wait_until_neither(replica_.self, pending.turns);
  pending_.emplace(pending.id.n, &pending);
  if (ready_) forward_more();
  const bool done = !stop_.requested() && co_await pending.done.take();
  pending_.erase(pending.id.n);
  if (pending.forwarded) --forwarded_;
  if (ready_) forward_more();
  wire::Outcome outcome = std::move(pending.outcome);
  if (!done) outcome.error = ENOTCONN;
  steps.note(Step::acknowledged, pending.id, pending.seq, pending.turns, Status::neither);
  co_return outcome;
}

/// Sends what is pending and not forwarded yet, in the order in which it was asked.
void Secondary::forward_more() {
  for (auto& [n, pending] : pending_) {
    if (forwarded_ >= options_.requests_max) break;
    if (!pending->forwarded && !pending->applied) forward(*pending);
  }
}

void Secondary::forward(Pending& pending) {
  if (planted(Planted::write_before_exclusive)) write_early(pending);
  pending.forwarded = true;
  ++forwarded_;
  const bool with_payload = !pending.payload.empty() && pending.payload.size() <= options_.inline_limit;
  wire::Message message = wire::Forward{pending.id, std::move(pending.operation), with_payload};
  if (with_payload) {
    session_->send(message, pending.payload, pending.keep);
  } else {
    session_->send(message);
  }
  pending.operation = std::move(std::get<wire::Forward>(message).operation);
  replica_.steps.note(Step::forward_sent, pending.id, {}, pending.turns, Status::neither);
  replica_.world.scheduler.at_end_of_pass(*this);
}

/// A planted bug: the data of a request goes into this area before the primary was asked.
void Secondary::write_early(const Pending& pending) {
  const wire::Operation& operation = pending.operation;
  if (operation.kind != wire::OpKind::write || operation.append) return;
  auto mapped = replica_.volume.map(operation.inode, {operation.offset, operation.length});
  if (mapped.value() == nullptr) return;
  for (const volume::Piece& piece : *mapped.value()) {
    if (piece.hole) continue;
    const std::vector<wire::AreaWrite> writes{{.address = piece.address, .length = piece.length}};
    const auto composed = replica_.area.compose(writes, pending.payload.subspan(piece.offset - operation.offset, piece.length));
    const std::vector<BlockRange> touched = blocks_of(writes);
    if (composed && *composed && replica_.area.suspects().cover(touched)) (void)replica_.area.write(**composed);
  }
}

void Secondary::orphan_closed(InodeId inode) {
  if (orphans_open_.erase(inode) == 0 || session_ == nullptr) return;  // else the next HELLO says it
  session_->send(wire::OrphanClosed{inode});
  replica_.world.scheduler.at_end_of_pass(*this);
}

Secondary::Pending* Secondary::pending_of(const RequestId& id) {
  if (id.site != replica_.self || id.boot != options_.boot) return nullptr;
  const auto found = pending_.find(id.n);
  return found == pending_.end() ? nullptr : found->second;
}

/// The host may have its answer when its effect is done here and the primary's kernel keeps nothing of the old.
void Secondary::complete(Pending& pending) {
  if (!pending.applied || !pending.answered || !pending.dropped) return;
  completed_.push_back(pending.id.n);
  replica_.world.scheduler.at_end_of_pass(*this);
}

// --- effects -----------------------------------------------------------------------------------------------------------

runtime::Task<Result<>> Secondary::apply(wire::Effect effect, Bytes payload, bool own_data, bool dropped) {
  if (!effect.batch.empty() && effect.seq <= replica_.logged()) {
    session_->send(wire::Mirrored{effect.seq, {}});  // it stands here; only its answer was lost
    replica_.world.scheduler.at_end_of_pass(*this);
    co_return Result<>{};
  }
  Pending* pending = planted(Planted::apply_twice) && !own_data ? nullptr : pending_of(effect.request);
  if (own_data) {
    if (pending == nullptr || pending->applied) {
      co_return fail(Errc::invalid, "a COMMIT for a request that this site did not make, or had answered");
    }
    payload = pending->payload;
  }
  Steps& steps = replica_.steps;
  const StatusTable::Taken taken = replica_.take(effect.request.site, effect.turns);
  std::vector<std::byte> copy;
  if (taken.verdict == Verdict::queued) {
    copy.assign(payload.begin(), payload.end());
    payload = copy;
    co_await replica_.turn(taken.id);
  }
  steps.note(Step::exclusive, effect.request, effect.seq, effect.turns, Status::exclusive);
  if (planted(Planted::drop_before_publish)) {
    if (copy.empty()) copy.assign(payload.begin(), payload.end());
    payload = copy;
    co_await replica_.caches->drop(effect.drops);
    co_await replica_.world.clock.sleep_until(replica_.world.clock.now() + kPlantedPause, stop_);  // readers come in between
  }
  // Nothing clears bits while an effect is applied: what is covered stays so until the write.
  const std::vector<BlockRange> touched = blocks_of(effect.writes);
  if (!replica_.area.suspects().cover(touched)) {
    if (copy.empty() && !own_data) {
      copy.assign(payload.begin(), payload.end());
      payload = copy;
    }
    const Result<> covered = co_await replica_.cover(touched);
    if (!covered) {
      replica_.release(taken.id);
      co_return covered;
    }
  }
  std::optional<Result<area::Composed>> composed = replica_.area.compose(effect.writes, payload);
  while (!composed) {
    if (copy.empty() && !own_data) {
      copy.assign(payload.begin(), payload.end());
      payload = copy;
    }
    const Result<> warmed = co_await replica_.area.warm(effect.writes);
    if (!warmed) {
      replica_.release(taken.id);
      co_return warmed;
    }
    composed = replica_.area.compose(effect.writes, payload);
  }
  if (!*composed || (*composed)->checksums != effect.checksums) {
    replica_.release(taken.id);
    if (!*composed) co_return std::unexpected(composed->error());
    co_return fail(Errc::invalid, fmt::format("the data of effect {} does not match its checksums", effect.seq.value));
  }
  while (!replica_.append(effect)) co_await replica_.log_room();
  const bool own = effect.request.site == replica_.self && effect.request.boot == options_.boot;
  bool dropped_here = own || effect.drops.empty();
  if (planted(Planted::drop_before_publish)) dropped_here = true;
  replica_.put_into_force(effect, **composed);
  applied_ = std::max(applied_, effect.seq);
  if (!effect.writes.empty()) steps.note(Step::area_written, effect.request, effect.seq, effect.turns, Status::exclusive);
  steps.note(Step::published, effect.request, effect.seq, effect.turns, Status::exclusive);
  if (pending != nullptr) {
    pending->applied = true;
    pending->dropped = dropped;
    pending->seq = effect.seq;
    pending->outcome = effect.outcome;
  }
  if (!dropped_here) dropped_here = replica_.caches->drop_now(effect.drops);
  if (dropped_here && !replica_.must_sync(effect)) {
    answer(effect, taken.id);
  } else {
    unanswered_.insert(effect.seq);
    scope_.spawn(finish(std::move(effect), taken.id, !dropped_here));
  }
  replica_.world.scheduler.at_end_of_pass(*this);
  co_return Result<>{};
}

runtime::Task<void> Secondary::finish(wire::Effect effect, ClaimId claim, bool drop) {
  if (drop) co_await replica_.caches->drop(effect.drops);
  if (replica_.must_sync(effect)) {
    replica_.flush_log();
    co_await replica_.sync(effect);
  }
  unanswered_.erase(effect.seq);
  answer(effect, claim);
}

void Secondary::answer(const wire::Effect& effect, ClaimId claim) {
  Steps& steps = replica_.steps;
  steps.note(Step::dropped, effect.request, effect.seq, effect.turns, Status::exclusive);
  replica_.volume.release(effect.freed);
  replica_.release(claim);
  steps.note(Step::released, effect.request, effect.seq, effect.turns, Status::neither);
  wire::Mirrored message{effect.seq, {}};
  for (const InodeId inode : volume::orphans_made(effect)) {
    if (!replica_.caches->is_open(inode)) continue;
    orphans_open_.insert(inode);
    message.orphans_open.push_back(inode);
  }
  if (session_ != nullptr) {
    session_->send(message);
    steps.note(Step::mirrored_sent, effect.request, effect.seq, effect.turns, Status::neither);
  }
  if (Pending* pending = pending_of(effect.request); pending != nullptr) {
    pending->answered = true;
    complete(*pending);
  }
  replica_.world.scheduler.at_end_of_pass(*this);
}

// --- a session ---------------------------------------------------------------------------------------------------------

runtime::Task<void> Secondary::serve(peer::Link& link, peer::Session& session, wire::Hello theirs) {
  session_ = &session;
  ++sessions_;
  forwarded_ = 0;
  for (auto& [n, pending] : pending_) pending->forwarded = false;
  replica_.peer_logged(theirs.logged);
  if (primary_start_ != theirs.start) primary_restarted_ = !primary_start_.is_nil();
  primary_start_ = theirs.start;
  problem_ = "catching up with the primary";
  for (const Seq seq : said_unanswered_) {
    if (!unanswered_.contains(seq)) session.send(wire::Mirrored{seq, {}});
  }
  for (const InodeId inode : said_open_) {
    if (!orphans_open_.contains(inode)) session.send(wire::OrphanClosed{inode});
  }
  session.flush();
  Result<> going;
  while (going) {
    Result<peer::Incoming> incoming = co_await link.receive(session);
    if (!incoming) {
      going = std::unexpected(incoming.error());
      break;
    }
    going = co_await handle(session, std::move(*incoming));
    if (!going && going.error().code != Errc::unavailable) {
      log::error("what the primary sent could not be followed: {}; connection closed", going.error().text);
    }
  }
  problem_ = "the connection with the primary ended: " + going.error().text;
  log::warning("{}; writes wait until it is back", problem_);
  if (comparison != nullptr) comparison->end();
  ready_ = false;
  session_ = nullptr;
  ++sessions_;
}

runtime::Task<Result<>> Secondary::handle(peer::Session& session, peer::Incoming incoming) {
  wire::Message& message = incoming.message;
  Steps& steps = replica_.steps;
  if (auto* mirror = std::get_if<wire::Mirror>(&message)) {
    if (!ready_) co_return fail(Errc::invalid, "a MIRROR before SYNCED");
    if (mirror->effect.seq <= applied_) co_return fail(Errc::invalid, "a MIRROR out of order");
    steps.note(Step::mirror_received, mirror->effect.request, mirror->effect.seq, mirror->effect.turns, Status::neither);
    co_return co_await apply(std::move(mirror->effect), incoming.payload, false, true);
  }
  if (auto* commit = std::get_if<wire::Commit>(&message)) {
    if (commit->effect.seq <= applied_) co_return fail(Errc::invalid, "a COMMIT out of order");
    steps.note(Step::commit_received, commit->effect.request, commit->effect.seq, commit->effect.turns, Status::neither);
    co_return co_await apply(std::move(commit->effect), {}, true, commit->dropped);
  }
  if (auto* record = std::get_if<wire::Record>(&message)) {
    if (ready_) co_return fail(Errc::invalid, "a RECORD after SYNCED");
    co_return co_await apply(std::move(record->effect), incoming.payload, false, false);
  }
  if (auto* granted = std::get_if<wire::Grant>(&message)) {
    Pending* pending = pending_of(granted->request);
    if (pending == nullptr || pending->applied) co_return fail(Errc::invalid, "a GRANT for a request that this site did not make");
    steps.note(Step::grant_received, pending->id, {}, pending->turns, Status::neither);
    session.send(wire::Data{pending->id}, pending->payload, pending->keep);
    steps.note(Step::data_sent, pending->id, {}, pending->turns, Status::neither);
    replica_.world.scheduler.at_end_of_pass(*this);
    co_return Result<>{};
  }
  if (auto* refusal = std::get_if<wire::Refusal>(&message)) {
    Pending* pending = pending_of(refusal->request);
    if (pending == nullptr || pending->applied || pending->answered) {
      co_return fail(Errc::invalid, "a REFUSAL for a request that this site did not make");
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
  if (auto* fetch = std::get_if<wire::FetchBlocks>(&message)) co_return co_await send_blocks(session, *fetch);
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

/// The primary has nothing more to send of the past: pending requests go (again), then this side's SYNCED, so that they are
/// in line before any new request of the primary's host.
void Secondary::synced(const wire::Synced& message) {
  if (ready_) return;
  for (auto& [n, pending] : pending_) {
    if (!pending->applied || pending->dropped) continue;
    const bool dropping =
        std::find(message.dropping.begin(), message.dropping.end(), pending->seq) != message.dropping.end();
    if (dropping) continue;
    pending->dropped = true;
    complete(*pending);
  }
  applied_ = std::max(applied_, message.seq);
  ready_ = true;
  if (primary_restarted_) {
    // It has lost the times that were only in memory; this site has them.
    primary_restarted_ = false;
    for (const wire::LazyTimes& times : replica_.volume.unsettled(kTimesAtOnce)) scope_.spawn(hand_over(times));
  }
  forward_more();
  session_->send(wire::Synced{applied_, {}});
  problem_.clear();
  log::info("in sync with the primary at seq {}", message.seq.value);
  met_.set();
  replica_.world.scheduler.at_end_of_pass(*this);
}

runtime::Task<void> Secondary::hand_over(wire::LazyTimes times) {
  wire::Operation set;
  set.kind = wire::OpKind::set_attributes;
  set.inode = times.inode;
  set.change.mtime_set = set.change.ctime_set = true;
  set.change.mtime = times.mtime;
  set.change.ctime = times.ctime;
  co_await change(std::move(set), {}, nullptr);
}

runtime::Task<Result<>> Secondary::send_log(peer::Session& session, Seq after) {
  if (ready_) co_return fail(Errc::invalid, "a FETCH of the log after SYNCED");
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

runtime::Task<Result<>> Secondary::send_blocks(peer::Session& session, wire::FetchBlocks asked) {
  const std::uint64_t blocks_max = wire::kPayloadBytesMax / kBlockBytes;
  if (asked.blocks.count == 0 || asked.blocks.count > blocks_max || asked.blocks.end() > replica_.area.identity().blocks) {
    co_return fail(Errc::invalid, "a FETCH of blocks that are not there");
  }
  auto data = std::make_shared<std::vector<std::byte>>(asked.blocks.count * kBlockBytes);
  wire::Blocks answer;
  answer.number = asked.number;
  answer.blocks = asked.blocks;
  const Result<> read = co_await replica_.area.read(asked.blocks, *data);
  if (read) {
    for (std::uint64_t i = 0; i < asked.blocks.count; ++i) {
      answer.checksums.push_back(replica_.area.stored_checksum(asked.blocks.first + i));
    }
    session.send(answer, *data, data);
  } else {
    answer.bad = true;
    session.send(answer);
  }
  session.flush();
  co_return Result<>{};
}

runtime::Task<void> Secondary::answer_comparison(wire::VerifyAsk question, std::uint64_t session) {
  if (comparison == nullptr) co_return;
  wire::VerifyAnswer answer = co_await comparison->ask(std::move(question));
  if (session_ == nullptr || session != sessions_) co_return;
  session_->send(answer);
  replica_.world.scheduler.at_end_of_pass(*this);
}

}  // namespace lockstep::controller
