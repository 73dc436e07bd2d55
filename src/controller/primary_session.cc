// A session of the primary with the secondary: catching up, then what arrives. lockstep-internals(7), "When the link or
// a daemon dies", has the order and why it is complete.
#include <algorithm>

#include "controller/kept_results.h"
#include "controller/primary.h"
#include "core/checksum.h"
#include "core/log.h"
#include "core/planted.h"
#include "wire/bounds.h"

namespace lockstep::controller {
namespace {

constexpr std::uint64_t kLogChunkBytes = 1u << 20;
constexpr std::uint64_t kBlocksAtOnce = 256;  // blocks in one FETCH or record: a payload's worth

/// `payload`, which is not empty, is the data of `writes`.
bool fills(const std::vector<wire::AreaWrite>& writes, Bytes payload) {
  std::uint64_t bytes = 0;
  for (const wire::AreaWrite& write : writes) bytes += write.zeros ? 0 : write.length;
  return bytes != 0 && bytes == payload.size();
}

}  // namespace

runtime::Task<void> Primary::serve_member(peer::Link& link, peer::Session& session, wire::Hello theirs, bool tell) {
  CHECK(!alone_);
  begin_session(session, theirs);
  replica_.peer_is_member(true);
  if (tell) session.send(wire::Membership{keeper_.state().history, keeper_.state().stores});
  Result<> caught_up = co_await catch_up(link, session, theirs);
  while (caught_up && tell && recorded_ < keeper_.membership().in_force().number) caught_up = co_await next_message(link, session);
  if (caught_up && !stop_.requested()) {
    problem_.clear();
    live_ = met_ = true;
    for (auto& [seq, entry] : window_) entry->given = true;
    update_ready();
    reap_.notify_all();
    scope_.spawn(settle_times());  // a secondary that was restarted has lost those that were only in memory
    scope_.spawn(locks_of_earlier_starts(boot_of(theirs.start)));
    for (const auto& [inode, orphan] : orphans_) reap_if_closed(inode);  // closed there while the two were apart
    if (!looked_for_orphans_) co_await look_for_orphans(theirs.orphans_open);
    log::info("in sync with the secondary at seq {}", seq_.value);
    replica_.made_equal();
    user_.session_live();
    const Result<> ended = co_await receive_loop(link, session);
    problem_ = "the connection with the other site ended: " + ended.error().text;
  } else if (!caught_up) {
    problem_ = "catching up with the other site ended: " + caught_up.error().text;
  }
  log::warning("{}", problem_);
  end_session();
}

void Primary::begin_session(peer::Session& session, const wire::Hello& theirs) {
  session_ = &session;
  ++sessions_;
  forwarded_in_work_ = 0;
  synced_sent_ = false;
  synced_received_ = false;
  recorded_ = {};
  checkpointed_ = 0;
  for (auto& [inode, orphan] : orphans_) {
    orphan.there = std::find(theirs.orphans_open.begin(), theirs.orphans_open.end(), inode) != theirs.orphans_open.end();
  }
}

void Primary::end_session() {
  live_ = synced_sent_ = false;
  update_ready();
  session_ = nullptr;
  ++sessions_;  // whatever was forwarded in the old one is stale
  for (auto& [id, waiting] : waiting_for_data_) {
    if (!waiting.second->given()) waiting.second->give(false);
  }
  for (auto& [id, request] : requests_) {
    if (request->forwarded) replica_.withdraw(request->claim);
  }
  if (verify_answer != nullptr && !verify_answer->given()) verify_answer->give(std::nullopt);
  for (auto& [number, waiting] : fetching_) {
    if (!waiting.second->given()) waiting.second->give(std::nullopt);
  }
  ready_.notify_all();
  session_changed_.notify_all();
  replica_.changed.notify_all();
  guard_.changed().notify_all();
  if (alone_) scope_.spawn(locks_left_behind());
}

runtime::Task<bool> Primary::recorded(Epoch number) {
  const runtime::Inside inside(callers_);
  const std::uint64_t session = sessions_;
  while (!over(session) && !stop_.requested() && recorded_ < number) co_await session_changed_.wait();
  co_return !over(session) && recorded_ >= number;
}

runtime::Task<Result<>> Primary::say_membership() {
  if (session_ == nullptr) co_return gone();
  session_->send(wire::Membership{keeper_.state().history, keeper_.state().stores});
  session_->flush();
  const bool there = co_await recorded(keeper_.membership().in_force().number);
  if (!there) co_return gone();
  co_return Result<>{};
}

runtime::Task<Result<std::vector<std::byte>>> Primary::fetch(BlockRange blocks) {
  const runtime::Inside inside(callers_);
  if (session_ == nullptr) co_return std::unexpected(gone().error());
  const std::uint64_t number = ++number_;
  runtime::OneShot<std::optional<std::vector<std::byte>>> answer(replica_.world.scheduler);
  fetching_[number] = {blocks, &answer};
  session_->send(wire::FetchBlocks{number, blocks});
  at_end_of_pass();
  std::optional<std::vector<std::byte>> bytes = co_await answer.take();
  fetching_.erase(number);
  if (!bytes) co_return std::unexpected(gone().error());
  if (bytes->size() != blocks.count * kBlockBytes) {
    co_return fail(Errc::corrupt, fmt::format("blocks {} to {} are bad at the other site, too", blocks.first, blocks.end() - 1));
  }
  co_return std::move(*bytes);
}

runtime::Task<Result<>> Primary::catch_up(peer::Link& link, peer::Session& session, const wire::Hello& theirs) {
  PrimaryState mine;
  mine.logged = replica_.logged();
  mine.met_before = met_;
  mine.blocks_in_flight = !replica_.area.in_flight().found().empty();
  const CatchUp plan = decide(mine, theirs);
  log::info("catching up: logs {} (here {}, there {}), blocks in flight {}, window of {} effects", name_of(plan.logs),
            mine.logged.value, theirs.logged.value, name_of(plan.blocks), window_.size());
  if (plan.logs == Logs::diverged) {
    const std::string reason = fmt::format("its log is at {}, ahead of this primary's {}: the two have diverged",
                                           theirs.logged.value, mine.logged.value);
    session.send(wire::Refuse{reason});
    session.flush();
    co_return fail(Errc::refused, reason);
  }
  if (plan.logs == Logs::fetch) {
    const Result<> fetched = co_await fetch_records(link, session);
    if (!fetched) co_return fetched;
  }
  seq_ = std::max({seq_, replica_.logged(), theirs.applied, theirs.logged});
  logged_there_ = std::max(logged_there_, theirs.logged);
  co_await replica_.say_stable();  // before the records of which the secondary may keep no more
  const Result<> sent =
      co_await send_missing(session, theirs.logged, plan.window ? std::optional<Seq>(plan.window_after) : std::nullopt);
  if (!sent) co_return sent;
  if (!met_) {  // an overwrite that is taken back here has not taken effect, whatever was written down of it
    const Result<bool> dropped = co_await drop_results(replica_.world.keys);
    if (!dropped) co_await replica_.halt("dropping what became of the other site's requests", dropped.error());
    if (*dropped) co_await replica_.make_stable();
  }
  if (plan.blocks != BlocksInFlight::none) {
    const Result<> settled = co_await settle_blocks(link, session, plan.blocks);
    if (!settled) co_return settled;
  }
  co_await nothing_to_drop();
  // What the secondary has, and has nothing left to drop of, is answered: its MIRRORED was lost.
  std::vector<Seq> answered;
  wire::Synced synced;
  synced.seq = seq_;
  for (const auto& [seq, entry] : window_) {
    const bool has = entry->effect.batch.empty() ? seq <= theirs.applied : seq <= theirs.logged;
    const bool dropping =
        std::find(theirs.unanswered.begin(), theirs.unanswered.end(), seq) != theirs.unanswered.end();
    if (has && !dropping && !entry->mirrored) answered.push_back(seq);
    if (entry->forwarded && !entry->done_here()) synced.dropping.push_back(seq);
  }
  for (const Seq seq : answered) {
    const Result<> done = mirrored(wire::Mirrored{seq, theirs.orphans_open});
    if (!done) co_return done;
  }
  session.send(std::move(synced));
  session.flush();
  synced_sent_ = true;
  while (!synced_received_) {
    const Result<> handled = co_await next_message(link, session);
    if (!handled) co_return handled;
  }
  // The secondary has answered what was sent before: now, not earlier, the blocks are known to be equal.
  if (plan.blocks != BlocksInFlight::none) replica_.area.in_flight().clear_found();
  co_return Result<>{};
}

/// Everything that the secondary lacks, in the order of its seq: records of the log behind `logged`, and overwrites of the
/// window behind `window_after`.
runtime::Task<Result<>> Primary::send_missing(peer::Session& session, Seq logged, std::optional<Seq> window_after) {
  std::vector<wire::Effect> overwrites;
  if (window_after) {
    for (const auto& [seq, entry] : window_) {
      if (!entry->mirrored && entry->effect.batch.empty() && seq > *window_after) overwrites.push_back(entry->effect);
    }
  }
  std::size_t next = 0;
  std::uint64_t count = 0;
  Seq after = logged;
  while (after < replica_.logged()) {
    Result<std::vector<wire::Effect>> records = co_await replica_.area.log().read_after(after, kLogChunkBytes);
    if (!records) {
      co_return fail(records.error().code,
                     fmt::format("the records behind {} are not in the log any more ({}): the other site's area is too "
                                 "far behind; format it anew and copy the volume in again",
                                 after.value, records.error().text));
    }
    if (records->empty()) break;
    for (wire::Effect& record : *records) {
      after = record.seq;
      for (; next < overwrites.size() && overwrites[next].seq < record.seq; ++next, ++count) {
        const Result<> sent = co_await send_record(session, std::move(overwrites[next]));
        if (!sent) co_return sent;
      }
      ++count;
      const Result<> sent = co_await send_record(session, std::move(record));
      if (!sent) co_return sent;
    }
  }
  for (; next < overwrites.size(); ++next, ++count) {
    const Result<> sent = co_await send_record(session, std::move(overwrites[next]));
    if (!sent) co_return sent;
  }
  if (count > 0) log::info("sent {} effects that the secondary lacked", count);
  co_return Result<>{};
}

/// The data is that of the request while it is in work, as in MIRROR: what stands in the area may have gone bad since. Else it is read there.
runtime::Task<Result<>> Primary::send_record(peer::Session& session, wire::Effect effect) {
  auto keep = std::make_shared<std::vector<std::byte>>();
  if (const auto found = requests_.find(effect.request); found != requests_.end() && fills(effect.writes, found->second->payload)) {
    const Bytes payload = found->second->payload;
    keep->assign(payload.begin(), payload.end());
  } else {
    Result<std::vector<std::byte>> data = co_await replica_.data_of(effect);
    if (!data) co_return std::unexpected(data.error());
    *keep = std::move(*data);
  }
  if (keep->size() > wire::kPayloadBytesMax) co_return fail(Errc::invalid, "a record with more data than a frame holds");
  session.send(wire::Record{std::move(effect)}, *keep, keep);
  session.flush();
  co_await session.room();
  if (session.ended()) co_return fail(Errc::unavailable, "the connection ended");
  co_return Result<>{};
}

runtime::Task<Result<>> Primary::fetch_records(peer::Link& link, peer::Session& session) {
  session.send(wire::FetchLog{replica_.logged()});
  session.flush();
  std::uint64_t count = 0;
  for (;;) {
    Result<peer::Incoming> incoming = co_await link.receive(session);
    if (!incoming) co_return std::unexpected(incoming.error());
    if (std::holds_alternative<wire::Synced>(incoming->message)) break;
    auto* record = std::get_if<wire::Record>(&incoming->message);
    if (record == nullptr) co_return fail(Errc::invalid, "another message where a RECORD of the log is due");
    wire::Effect effect = std::move(record->effect);
    if (effect.seq <= replica_.logged() || effect.batch.empty()) co_return fail(Errc::invalid, "a RECORD out of order");
    const std::vector<std::byte> payload(incoming->payload.begin(), incoming->payload.end());
    const Result<area::Composed> composed = co_await replica_.compose(effect, payload);
    if (!composed) co_return std::unexpected(composed.error());
    if (composed->checksums != effect.checksums) co_return fail(Errc::invalid, "a RECORD whose data does not match its checksums");
    co_await replica_.make_room(effect);
    replica_.put_into_force(effect, *composed);
    replica_.hold_freed(effect.seq, effect.freed);
    replica_.flush_log();
    ++count;
  }
  log::info("took {} effects over from the secondary: this site had been stopped before it had written them", count);
  co_return Result<>{};
}

/// Makes the blocks that a killed primary left in flight equal at both sites. Where its own are sent, one that does not match its checksum (its
/// write was torn by a failing medium) is taken from the secondary, if that has it whole (C2).
runtime::Task<Result<>> Primary::settle_blocks(peer::Link& link, peer::Session& session, BlocksInFlight direction) {
  const auto found = replica_.area.in_flight().found();
  for (const auto& [seq, range] : found) {
    for (std::uint64_t first = range.first; first < range.end(); first += kBlocksAtOnce) {
      const BlockRange blocks{first, std::min(kBlocksAtOnce, range.end() - first)};
      std::vector<bool> bad(blocks.count, true);
      if (direction == BlocksInFlight::sent) {
        std::vector<std::byte> bytes(blocks.count * kBlockBytes);
        Result<std::vector<bool>> checked = co_await replica_.area.check(blocks, bytes);
        if (!checked) co_return std::unexpected(checked.error());
        bad = std::move(*checked);
      }
      for (std::uint64_t i = 0; i < blocks.count;) {
        std::uint64_t end = i + 1;
        const bool one_by_one = bad[i] && direction == BlocksInFlight::sent;
        while (end < blocks.count && bad[end] == bad[i] && !one_by_one) ++end;
        const Result<> settled = co_await settle_range(link, session, {first + i, end - i}, bad[i]);
        if (!settled) co_return settled;
        i = end;
      }
    }
  }
  log::info("{} ranges of blocks had been in flight: made equal ({})", found.size(), name_of(direction));
  co_return Result<>{};
}

runtime::Task<Result<>> Primary::settle_range(peer::Link& link, peer::Session& session, BlockRange blocks, bool fetch) {
  wire::Effect effect;
  effect.writes.push_back({.address = blocks.first * kBlockBytes, .length = blocks.count * kBlockBytes});
  if (fetch) {
    const std::uint64_t number = ++number_;
    session.send(wire::FetchBlocks{number, blocks});
    session.flush();
    Result<peer::Incoming> incoming = co_await link.receive(session);
    while (incoming && std::holds_alternative<wire::Mirrored>(incoming->message)) {  // of a RECORD that was sent before
      const Result<> handled = handle(std::move(*incoming));
      if (!handled) co_return handled;
      incoming = co_await link.receive(session);
    }
    if (!incoming) co_return std::unexpected(incoming.error());
    auto* answer = std::get_if<wire::Blocks>(&incoming->message);
    if (answer == nullptr || answer->number != number) co_return fail(Errc::invalid, "another message where BLOCKS are due");
    const Result<> good = check_answer(*answer, blocks, incoming->payload);
    if (!good) co_return good;
    if (!answer->bad) {
      const std::vector<std::byte> payload(incoming->payload.begin(), incoming->payload.end());
      const Result<area::Composed> composed = co_await replica_.compose(effect, payload);
      if (!composed) co_return std::unexpected(composed.error());
      while (!replica_.suspected(effect)) co_await replica_.suspect(effect);
      const Result<> written = replica_.area.write(*composed);
      if (!written) co_await replica_.halt("writing fetched blocks", written.error());
      co_return Result<>{};
    }
  }
  const Result<> adopted = co_await replica_.adopt(blocks);
  if (!adopted) co_return adopted;
  effect.epoch = options_.epoch;
  co_return co_await send_record(session, std::move(effect));
}

runtime::Task<Result<>> Primary::receive_loop(peer::Link& link, peer::Session& session) {
  for (;;) {
    const Result<> handled = co_await next_message(link, session);
    if (!handled) co_return handled;
  }
}

runtime::Task<Result<>> Primary::next_message(peer::Link& link, peer::Session& session) {
  Result<peer::Incoming> incoming = co_await link.receive(session);
  if (!incoming) co_return std::unexpected(incoming.error());
  const Result<> handled = handle(std::move(*incoming));
  if (!handled && handled.error().code == Errc::invalid) {
    log::error("the secondary broke the protocol: {}; connection closed", handled.error().text);
  }
  co_return handled;
}

Result<> Primary::handle(peer::Incoming incoming) {
  wire::Message& message = incoming.message;
  if (auto* forward = std::get_if<wire::Forward>(&message)) {
    replica_.results.waits_from(options_.peer, forward->request.boot, forward->waits_from);
  }
  if (auto* answered = std::get_if<wire::Mirrored>(&message)) return mirrored(*answered);
  if (auto* forward = std::get_if<wire::Forward>(&message)) {
    if (forwarded_in_work_ >= options_.requests_max) return fail(Errc::invalid, "more requests at once than agreed");
    if (forward->request.site != options_.peer) return fail(Errc::invalid, "a FORWARD of a request that is not its host's");
    if (const auto known = requests_.find(forward->request);
        known != requests_.end() && (!known->second->forwarded || known->second->session == sessions_)) {
      return fail(Errc::invalid, "a FORWARD of a request that is in work");
    }
    const bool write = forward->operation.kind == wire::OpKind::write;
    if (forward->with_payload ? incoming.payload.size() != forward->operation.length : !incoming.payload.empty()) {
      return fail(Errc::invalid, "a FORWARD with another amount of data than it says");
    }
    if (forward->with_payload && !write) return fail(Errc::invalid, "a FORWARD with data that is no write");
    const bool of_owner = forward->operation.kind == wire::OpKind::lock || forward->operation.kind == wire::OpKind::cancel_lock;
    if (of_owner && forward->operation.lock.owner.site != options_.peer) {
      return fail(Errc::invalid, "a FORWARD about a lock of another site");
    }
    if (!live_ && target_) return fail(Errc::invalid, "a FORWARD before SYNCED");
    ++forwarded_in_work_;
    scope_.spawn(forwarded(std::move(*forward), incoming.payload, sessions_));
    return {};
  }
  if (auto* data = std::get_if<wire::Data>(&message)) {
    const auto found = waiting_for_data_.find(data->request);
    if (found == waiting_for_data_.end()) return fail(Errc::invalid, "DATA that was not asked for");
    if (incoming.payload.size() != found->second.first->operation.length) {
      return fail(Errc::invalid, "DATA of another length than was forwarded");
    }
    data_received(*data, incoming.payload);
    return {};
  }
  if (auto* closed = std::get_if<wire::OrphanClosed>(&message)) {
    if (const auto found = orphans_.find(closed->inode); found != orphans_.end()) {
      found->second.there = false;
      reap_if_closed(closed->inode);
    }
    return {};
  }
  if (std::holds_alternative<wire::Synced>(message)) {
    synced_received_ = true;
    return {};
  }
  if (auto* answer = std::get_if<wire::VerifyAnswer>(&message)) {
    if (verify_answer != nullptr && !verify_answer->given()) verify_answer->give(std::move(*answer));
    return {};
  }
  if (auto* recorded = std::get_if<wire::Recorded>(&message)) {
    recorded_ = std::max(recorded_, recorded->number);
    session_changed_.notify_all();
    return {};
  }
  if (auto* done = std::get_if<wire::Checkpointed>(&message)) {
    checkpointed_ = std::max(checkpointed_, done->number);
    session_changed_.notify_all();
    return {};
  }
  if (auto* blocks = std::get_if<wire::Blocks>(&message)) {
    const auto found = fetching_.find(blocks->number);
    if (found == fetching_.end() || found->second.second->given()) return fail(Errc::invalid, "BLOCKS that nobody asked for");
    if (const Result<> good = check_answer(*blocks, found->second.first, incoming.payload); !good) return good;
    found->second.second->give(blocks->bad ? std::vector<std::byte>() : std::vector<std::byte>(incoming.payload.begin(), incoming.payload.end()));
    return {};
  }
  if (auto* asked = std::get_if<wire::FetchBlocks>(&message)) {
    if (asked->blocks.count == 0 || asked->blocks.count > wire::kFetchBlocksMax || asked->blocks.end() > replica_.area.identity().blocks) {
      return fail(Errc::invalid, "a FETCH of blocks that are not there");
    }
    scope_.spawn(answer_blocks(*asked, sessions_));
    return {};
  }
  if (auto* leave = std::get_if<wire::Leave>(&message)) {
    user_.other_serves_nobody();
    scope_.spawn(user_.let_go(std::move(leave->reason)));
    return {};
  }
  if (auto* command = std::get_if<wire::Command>(&message)) {
    user_.command(std::move(*command));
    return {};
  }
  if (auto* arms = std::get_if<wire::Arms>(&message)) {
    user_.arms(*arms);
    return {};
  }
  if (auto* answer = std::get_if<wire::CommandAnswer>(&message)) {
    user_.command_answered(std::move(*answer));
    return {};
  }
  if (target_) {
    if (const Result<> handled = handle_of_target(incoming); handled || handled.error().code != Errc::absent) return handled;
  }
  if (auto* refused = std::get_if<wire::Refuse>(&message)) return fail(Errc::refused, "the secondary refuses: " + refused->reason);
  return fail(Errc::invalid, fmt::format("message {} has no place here", message.index()));
}

}  // namespace lockstep::controller
