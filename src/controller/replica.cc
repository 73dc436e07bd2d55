#include "controller/replica.h"

#include <cerrno>

#include "controller/forgotten_changes.h"
#include "core/checksum.h"
#include "core/log.h"
#include "core/planted.h"

namespace lockstep::controller {
namespace {

constexpr std::size_t kClaimsMax = 65536;
constexpr std::string_view kMarkKey = "\x01";  // no volume has it
constexpr Duration kStableEvery = std::chrono::seconds(1);

}  // namespace

Replica::Replica(runtime::World& w, volume::Volume& v, area::Area& a, SiteId s, bool stable)
    : world(w),
      volume(v),
      area(a),
      self(s),
      table(kClaimsMax),
      steps(w.clock),
      changed(w.scheduler),
      stable_(stable),
      reservations_changed_(w.scheduler),
      log_room_(w.scheduler),
      scope_(w.scheduler),
      never_(w.scheduler),
      logged_(a.log().last()),
      sync_now_(w.scheduler) {
  logged_ = std::max(logged_, v.applied());
  if (area.unclean()) {
    doubtful_.resize(area.suspects().granules());
    for (std::uint64_t g = 0; g < doubtful_.size(); ++g) doubtful_[g] = area.suspects().suspect(g);
  }
  take_reservations();
}

Replica::~Replica() { CHECK(waiters_.empty()); }

void Replica::start() {
  scope_.spawn(tick_loop());
  scope_.spawn(stable_loop());
}

runtime::Task<void> Replica::tick_loop() {
  while (co_await world.clock.sleep_until(world.clock.now() + kStableEvery, stop_)) {
    sync_due_ = true;
    sync_now_.notify_all();
  }
}

runtime::Task<void> Replica::stable_loop() {
  while (!stop_.requested()) {
    if (!sync_due_) {
      co_await sync_now_.wait();
      continue;
    }
    sync_due_ = false;
    // Whoever wrote in vain: this finds it.
    if (area.failure()) fail_area("writing the area", *area.failure());
    if (failed()) co_return;
    if (stable() < logged_) {
      const Result<> synced = co_await area.log().sync();
      if (!synced) fail_area("making the log stable", synced.error());
      if (!synced) co_return;
    }
    release_freed();
  }
}

void Replica::want_stable() {
  if (freed_.empty()) return;
  sync_due_ = wants_stable_ = true;
  sync_now_.notify_all();
  if (pulse_now) pulse_now();
}

void Replica::sync_soon(std::function<void()> then) { scope_.spawn(sync_then(std::move(then))); }

runtime::Task<void> Replica::sync_then(std::function<void()> then) {
  const Result<> synced = co_await area.log().sync();
  if (!synced) fail_area("making the log stable", synced.error());
  if (!synced) co_return;
  release_freed();
  then();
}

void Replica::peer_stable(Seq seq) {
  peer_stable_ = std::max(peer_stable_, seq);
  release_freed();
}

void Replica::peer_is_member(bool member) {
  peer_member_ = member;
  release_freed();
}

void Replica::hold_freed(Seq seq, std::vector<BlockRange> freed) {
  if (freed.empty()) return;
  if (planted(Planted::reuse_freed_early)) return volume.release(freed);
  freed_[seq] = std::move(freed);
}

void Replica::release_freed() {
  const Seq through = peer_member_ ? std::min(stable(), peer_stable_) : stable();
  bool some = false;
  while (!freed_.empty() && freed_.begin()->first <= through) {
    volume.release(freed_.begin()->second);
    freed_.erase(freed_.begin());
    some = true;
  }
  if (freed_.empty()) wants_stable_ = false;
  if (some) changed.notify_all();
}

bool Replica::suspected(const std::vector<wire::AreaWrite>& writes) {
  if (writes.empty()) return true;
  const bool covered = area.suspects().cover(blocks_of(writes));
  if (area.suspects().runs_out()) scope_.spawn(suspect_ahead());
  return covered;
}

runtime::Task<void> Replica::suspect_ahead() {
  const Result<> marked = co_await area.suspects().mark_ahead();
  if (!marked) fail_area("marking granules as suspect", marked.error());
}

runtime::Task<void> Replica::suspect(const wire::Effect& effect) {
  const Result<> marked = co_await area.suspects().mark(blocks_of(effect.writes));
  if (!marked) co_await halt("marking granules as suspect", marked.error());
}

void Replica::take_reservations() {
  const volume::Reservations& now = volume.reservations();
  if (now.moment() == reservations_moment_) return;
  reservations_moment_ = now.moment();
  std::vector<StatusTable::Reservation> all;
  for (const auto& [place, it] : now.all()) {
    all.push_back({.site = it.site, .object = it.object, .busy = it.busy, .turns = volume::turns_of(it)});
    if (it.tree) all.back().turns.push_back(volume::kAnyTree);
  }
  table.set_reservations(std::move(all));
  reservations_changed_.notify_all();
}

volume::Attempt<const StatusTable::Reservation*> Replica::reserved(SiteId site, const wire::Operation& operation) {
  const StatusTable::Reservation* none = nullptr;
  if (!table.reserved_by_others(site) || volume.being_replaced()) return none;
  volume::Attempt<std::vector<wire::Turn>> touched = volume.touched(operation);
  if (volume::Miss* miss = touched.miss()) return std::move(*miss);
  if (Error* error = touched.error()) {
    if (error->code == Errc::posix) return none;  // it changes nothing: the plan says why
    return std::move(*error);
  }
  return table.reserved(*touched.value(), site);
}

runtime::Task<Replica::Passage> Replica::pass(Asked& asked, std::span<const wire::Turn> turns, std::uint64_t moment,
                                              RoleUser& user, const runtime::Stop& stop) {
  const Instant since = world.clock.now();
  const RequestId id = asked.id;
  bool waited = false;
  Passage passage = Passage::free;
  SiteId noted = self;
  while (!stop.requested()) {
    if (asked.given_up() && !asked.sent) {
      passage = Passage::given_up;
      break;
    }
    volume::Attempt<const StatusTable::Reservation*> found = reserved(self, asked.operation);
    if (volume::Miss* miss = found.miss()) {
      asked.own_payload();
      const Result<> loaded = co_await volume.load(std::move(*miss));
      if (loaded) continue;
      log::error("reading metadata for a request failed: {}", loaded.error().text);
      passage = Passage::damaged;
      break;
    }
    if (const Error* error = found.error()) {
      log::error("a request can't be compared with what is reserved: {}", error->text);
      passage = Passage::damaged;
      break;
    }
    const StatusTable::Reservation* const by = *found.value();
    if (by == nullptr && moment != reservations_moment_) break;
    if (by != nullptr && by->busy && !asked.sent) {
      passage = Passage::busy;
      break;
    }
    if (by != nullptr) {
      held_[id] = {.holder = by->site, .object = by->object, .since = since};
      if (noted != by->site) steps.note_held(id, turns, by->site);
      noted = by->site;
    }
    asked.own_payload();
    if (!waited && !asked.sent) user.request_ended(id.n);
    waited = !asked.sent;
    co_await reservations_changed_.wait();
  }
  held_.erase(id);
  if (waited) {
    asked.id.n = user.next_request(asked.waiter);
    steps.note(Step::asked, asked.id, {}, turns, Status::neither);
  }
  co_return stop.requested() ? Passage::stopped : passage;
}

int Replica::error_of(Passage passage) {
  if (passage == Passage::given_up) return EINTR;
  return passage == Passage::busy ? EBUSY : EIO;
}

StatusTable::Taken Replica::take(std::vector<wire::Turn> turns) {
  const Result<StatusTable::Taken> taken = table.take({.turns = std::move(turns)});
  CHECK(taken.has_value());
  return *taken;
}

runtime::Task<bool> Replica::turn(ClaimId id) {
  runtime::OneShot<bool> mine(world.scheduler);
  CHECK(waiters_.emplace(id, &mine).second);
  const bool granted = co_await mine.take();
  waiters_.erase(id);
  co_return granted;
}

void Replica::release(ClaimId id) {
  for (const ClaimId next : table.release(id)) {
    const auto waiting = waiters_.find(next);
    if (waiting != waiters_.end()) waiting->second->give(true);
  }
}

void Replica::withdraw(ClaimId id) {
  const auto waiting = waiters_.find(id);
  if (waiting == waiters_.end() || waiting->second->given()) return;
  waiting->second->give(false);
  release(id);
}

runtime::Task<void> Replica::wait_until_neither(std::vector<wire::Turn> turns) {
  const StatusTable::Taken taken = take(std::move(turns));
  if (taken.verdict == Verdict::queued) co_await turn(taken.id);
  release(taken.id);
}

runtime::Task<Result<area::Composed>> Replica::compose(const wire::Effect& effect, Bytes payload) {
  for (;;) {
    std::optional<Result<area::Composed>> composed = area.compose(effect.writes, payload);
    if (composed) co_return std::move(*composed);
    const Result<> warmed = co_await area.warm(effect.writes);
    if (!warmed) co_return std::unexpected(warmed.error());
  }
}

bool Replica::append(const wire::Effect& effect) {
  if (effect.batch.empty()) return true;
  if (holds_appends_ > 0) return false;
  if (planted(Planted::lose_log_record) && effect.seq.value % 16 == 0) return true;
  const Result<> appended = area.log().append(effect);
  if (!appended && appended.error().code != Errc::busy) fail_area("appending to the log", appended.error());
  if (area.log().bytes_used() > area.log().bytes() / 2 && !checkpointing_) {
    checkpointing_ = true;
    scope_.spawn(checkpoint());
  }
  return appended.has_value();
}

runtime::Task<void> Replica::log_room() {
  if (!checkpointing_ && holds_appends_ == 0) {
    checkpointing_ = true;
    scope_.spawn(checkpoint());
  }
  // The other site has to say that it needs no more of it. It would with its next heartbeat.
  if (peer_member_ && peer_stable_ < area.log().last() && !std::exchange(wants_stable_, true) && pulse_now) pulse_now();
  co_await log_room_.wait();
}

runtime::Task<void> Replica::say_stable() {
  if (saying_stable_) {
    while (saying_stable_) co_await log_room_.wait();
    co_return;
  }
  saying_stable_ = true;
  const Result<> synced = co_await area.log().sync();
  if (!synced) fail_area("making the log stable", synced.error());
  if (synced && pulse_now) pulse_now();
  area.log().told();  // with nobody there as well: whoever comes is told first
  saying_stable_ = false;
  log_room_.notify_all();
}

runtime::Task<void> Replica::make_room(const wire::Effect& effect) {
  for (;;) {
    if (!suspected(effect)) {
      co_await suspect(effect);
    } else if (append(effect)) {
      co_return;
    } else {
      co_await log_room();
    }
  }
}

runtime::Task<void> Replica::make_stable() {
  flush_log();
  std::vector<ByteRange> everything{{0, area.identity().blocks * kBlockBytes}};
  const Result<> synced = co_await area.sync(std::move(everything), true);
  if (!synced) co_await halt("making the area stable", synced.error());
  // Keys are not stable before their records are: what is applied meanwhile waits for the few milliseconds of a sync.
  ++holds_appends_;
  flush_log();
  while (area.log().stable() < area.log().last()) {
    const Result<> logged = co_await area.log().sync();
    if (!logged) co_await halt("making the log stable", logged.error());
  }
  runtime::Task<Result<>> flushing = world.keys.flush();
  if (--holds_appends_ == 0) {
    log_room_.notify_all();
    changed.notify_all();
  }
  const Result<> flushed = co_await std::move(flushing);
  if (!flushed) co_await halt("making the metadata stable", flushed.error());
  if (failed()) co_await halt("making the area stable", {});
  release_freed();
}

/// What no member needs, but the other site may lack, is forgotten: it is written down as this site's own before, and stable.
runtime::Task<void> Replica::note_own(Seq through) {
  const Result<> noted = co_await note_forgotten(area.log(), world.keys, through);
  if (!noted) co_await halt("writing down what the log forgets", noted.error());
}

/// What both sites have is forgotten, up to `through`, and not written down: what was of earlier effects only takes room.
runtime::Task<void> Replica::drop_own(Seq through) {
  if (area.log().first() == Seq{} || through < area.log().first()) co_return;
  const Result<> dropped = co_await drop_forgotten(world.keys);
  if (!dropped) co_await halt("dropping what was written down of forgotten changes", dropped.error());
}

runtime::Task<void> Replica::checkpoint() {
  const Seq through = volume.applied();
  const bool noted = !peer_member_;
  if (noted) co_await note_own(through);
  co_await make_stable();
  // What is put there says that what these requests changed is stable.
  const bool put = noted && co_await put_answers(through);
  if (put) co_await make_stable();
  // An absent site that is too far behind gets a comparison of keys. One that was taken out meanwhile waits for the next time.
  const Seq forget = noted && !peer_member_ ? through : std::min(through, peer_stable_);
  if (!noted) co_await drop_own(forget);
  const Result<> forgotten = co_await area.log().forget_through(forget);
  if (!forgotten) co_await halt("shortening the log", forgotten.error());
  checkpointing_ = false;
  log_room_.notify_all();
}

void Replica::put_into_force(const wire::Effect& effect, const area::Composed& composed) {
  if (!effect.writes.empty()) {
    const Result<> written = area.write(composed);
    if (!written) return fail_area("writing the area", written.error());
  }
  const Result<> applied = volume.apply(effect);
  if (!applied) return fail_area("changing the metadata", applied.error());
  take_reservations();
  if (effect.request.n != 0) results.note(effect.request, effect.seq, effect.outcome);
  applied_ = std::max(applied_, effect.seq);
  for (const InodeId inode : volume::locks_changed(effect)) caches->locks_changed(inode);
  for (const wire::Drop& drop : effect.drops) {
    if (drop.kind == wire::Drop::Kind::pages) recent_.note(drop.inode);
  }
  if (observer != nullptr) observer->in_force(effect);
}

bool Replica::must_sync(const wire::Effect& effect) const {
  return !effect.sync.empty() || effect.sync_all || stable_;
}

runtime::Task<void> Replica::sync(const wire::Effect& effect) {
  std::vector<ByteRange> ranges = effect.sync;
  if (stable_) {
    for (const wire::AreaWrite& w : effect.writes) ranges.push_back({w.address, w.length});
  }
  const Result<> synced = co_await area.sync(std::move(ranges), true);
  if (!synced) co_await halt("making a write stable", synced.error());
}

void Replica::flush_log() {
  if (failed()) return;
  const Result<> flushed = area.log().flush();
  if (!flushed) return fail_area("writing the log", flushed.error());
  logged_ = std::max(logged_, area.log().last());
}

runtime::Task<Result<std::vector<std::byte>>> Replica::data_of(wire::Effect& effect) {
  std::vector<std::byte> data;
  std::vector<wire::AreaWrite> whole;
  effect.checksums.clear();
  // Blocks that are new to their file stay known as such: after a loss of power that matters (C4).
  for (const wire::AreaWrite& w : effect.writes) {
    for (const BlockRange& blocks : blocks_of(std::span(&w, 1))) {
      const std::size_t at = data.size();
      data.resize(at + blocks.count * kBlockBytes);
      const Result<> read = co_await area.read_raw(blocks, MutableBytes(data).subspan(at));
      if (!read) co_return std::unexpected(read.error());
      const wire::AreaWrite one{.address = blocks.first * kBlockBytes, .length = blocks.count * kBlockBytes, .fresh = w.fresh};
      if (!whole.empty() && whole.back().fresh == one.fresh && whole.back().address + whole.back().length == one.address) {
        whole.back().length += one.length;
      } else {
        whole.push_back(one);
      }
    }
  }
  effect.writes = std::move(whole);
  for (std::size_t at = 0; at < data.size(); at += kBlockBytes) {
    effect.checksums.push_back(checksum(Bytes(data).subspan(at, kBlockBytes)));
  }
  co_return std::move(data);
}

bool Replica::lost_data(const wire::Effect& effect) const {
  std::size_t next = 0;
  for (const wire::AreaWrite& w : effect.writes) {
    for (const BlockRange& blocks : blocks_of(std::span(&w, 1))) {
      for (std::uint64_t block = blocks.first; block < blocks.end() && next < effect.checksums.size(); ++block, ++next) {
        const bool zeros = effect.checksums[next] != zero_block_checksum() && area.stored_checksum(block) == zero_block_checksum();
        if (w.fresh && zeros) return true;
      }
    }
  }
  return false;
}

runtime::Task<Result<>> Replica::replace(BlockRange blocks, Bytes bytes, std::vector<std::uint64_t> checksums) {
  wire::Effect effect;
  effect.writes.push_back({.address = blocks.first * kBlockBytes, .length = blocks.count * kBlockBytes});
  for (;;) {
    Result<area::Composed> composed = co_await compose(effect, bytes);
    if (!composed) co_return std::unexpected(composed.error());
    if (!checksums.empty()) composed->checksums = checksums;
    if (!suspected(effect)) {
      co_await suspect(effect);
      continue;
    }
    const Result<> written = area.write(*composed);
    if (!written) fail_area("writing the area", written.error());
    co_return written;
  }
}

runtime::Task<Result<>> Replica::adopt(BlockRange blocks) {
  wire::Effect effect;
  effect.writes.push_back({.address = blocks.first * kBlockBytes, .length = blocks.count * kBlockBytes});
  while (!suspected(effect)) co_await suspect(effect);
  const Result<std::uint64_t> adopted = co_await area.adopt(blocks);
  if (!adopted) co_return std::unexpected(adopted.error());
  co_return Result<>{};
}

runtime::Task<Result<std::vector<std::uint64_t>>> Replica::source_checksums(BlockRange blocks) {
  const std::uint64_t granule = blocks.first * kBlockBytes / area::kGranuleBytes;
  if (granule >= doubtful_.size() || !doubtful_[granule]) co_return co_await area.stored_checksums(blocks);
  std::vector<std::byte> bytes(blocks.count * kBlockBytes);
  const Result<> read = co_await area.read_raw(blocks, bytes);
  if (!read) co_return std::unexpected(read.error());
  std::vector<std::uint64_t> checksums;
  for (std::uint64_t i = 0; i < blocks.count; ++i) {
    const std::uint64_t stored = area.stored_checksum(blocks.first + i);
    checksums.push_back(checksum(Bytes(bytes).subspan(i * kBlockBytes, kBlockBytes)) == stored ? stored : ~stored);
  }
  co_return checksums;
}

runtime::Task<Result<std::vector<std::uint64_t>>> Replica::bad_among(BlockRange blocks) {
  std::vector<std::byte> bytes(blocks.count * kBlockBytes);
  const Result<std::vector<bool>> checked = co_await area.check(blocks, bytes);
  if (!checked) co_return std::unexpected(checked.error());
  std::vector<std::uint64_t> bad;
  for (std::uint64_t i = 0; i < blocks.count; ++i) {
    if ((*checked)[i]) bad.push_back(blocks.first + i);
  }
  co_return bad;
}

runtime::Task<Result<std::vector<std::uint64_t>>> Replica::read_published(BlockRange blocks, MutableBytes into) {
  for (;;) {
    const Result<> read = co_await area.read(blocks, into);
    if (!read) co_return std::unexpected(read.error());
    std::vector<std::uint64_t> checksums;
    bool now = true;
    for (std::uint64_t i = 0; i < blocks.count; ++i) {
      checksums.push_back(checksum(into.subspan(i * kBlockBytes, kBlockBytes)));
      now = now && checksums.back() == area.stored_checksum(blocks.first + i);
    }
    if (now) co_return checksums;  // else one was written while others were read
  }
}

runtime::Task<Result<>> Replica::mend(std::uint64_t block, Result<std::vector<std::byte>> bytes) {
  Result<> done;
  if (!bytes) {
    done = std::unexpected(bytes.error());
  } else {
    const Result<std::vector<std::uint64_t>> still = co_await bad_among({block, 1});
    if (still && still->empty()) co_return Result<>{};
    done = still ? co_await replace({block, 1}, *bytes) : Result<>(std::unexpected(still.error()));
  }
  note_mend(block, done ? std::string() : done.error().text);
  co_return done;
}

void Replica::note_mend(std::uint64_t block, const std::string& why) {
  ++(why.empty() ? mends_.repaired : mends_.left);
  if (on_mend) on_mend(block, why);
}

Result<> check_answer(const wire::Blocks& answer, BlockRange asked, Bytes payload) {
  if (answer.blocks != asked) return fail(Errc::invalid, "BLOCKS that were not asked for");
  if (answer.bad) return {};
  if (payload.size() != asked.count * kBlockBytes || answer.checksums.size() != asked.count) {
    return fail(Errc::invalid, "BLOCKS with another amount of data than was asked for");
  }
  for (std::uint64_t i = 0; i < asked.count; ++i) {
    if (checksum(payload.subspan(i * kBlockBytes, kBlockBytes)) != answer.checksums[i]) {
      return fail(Errc::invalid, "BLOCKS whose data does not match its checksums");
    }
  }
  return {};
}

void Replica::fail_area(const char* what, const Error& error) {
  if (failed()) return;
  failure_ = fmt::format("{} failed: {} (errno {})", what, error.text, error.posix);
  log::error("DETACHED: {}; this site acknowledges nothing any more; mend the medium, then start lockstepd again", failure_);
  if (on_failure) on_failure();
}

runtime::Task<void> Replica::halt(const char* what, Error error) {
  fail_area(what, error);
  for (;;) co_await never_.wait();
}

bool Replica::append_mark(Seq seq) {
  wire::Effect mark;
  mark.seq = seq;
  mark.epoch = epoch_of(seq);
  mark.batch = {{std::string(kMarkKey), std::nullopt}};
  return append(mark);
}

runtime::Task<Result<>> Replica::begin_anew(Seq seq, Anew why) {
  freed_.clear();  // what the keys say is free is free, and nothing of it is held any more
  if (observer != nullptr) observer->passed_over(true);
  take_reservations();
  while (checkpointing_) co_await log_room_.wait();  // it may be writing such keys
  Result<> dropped = co_await drop_forgotten(world.keys);
  if (dropped && why == Anew::log_lost) dropped = co_await note_gap(world.keys, seq);
  if (!dropped) co_await halt("dropping what was written down of forgotten changes", dropped.error());
  const Result<> flushed = co_await world.keys.flush();
  if (!flushed) co_await halt("making the metadata stable", flushed.error());
  // Says also after a restart that nothing before it can be had from this log.
  while (!append_mark(seq)) co_await log_room();
  flush_log();
  applied_ = logged_ = seq;
  co_await make_stable();
  const Result<> forgotten = co_await area.log().forget_through(seq);
  if (!forgotten) co_await halt("shortening the log", forgotten.error());
  freed_.clear();
  co_return Result<>{};
}

runtime::Task<void> Replica::stop() {
  stop_.request();
  sync_now_.notify_all();
  changed.notify_all();
  co_await scope_.join();
}

std::vector<BlockRange> blocks_of(std::span<const wire::AreaWrite> writes) {
  std::vector<BlockRange> ranges;
  for (const wire::AreaWrite& w : writes) {
    if (w.length == 0) continue;
    const std::uint64_t first = w.address / kBlockBytes;
    const std::uint64_t end = (w.address + w.length + kBlockBytes - 1) / kBlockBytes;
    if (!ranges.empty() && ranges.back().end() == first) {
      ranges.back().count += end - first;
    } else {
      ranges.push_back({first, end - first});
    }
  }
  return ranges;
}

}  // namespace lockstep::controller
