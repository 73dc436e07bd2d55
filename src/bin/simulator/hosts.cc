#include "bin/simulator/hosts.h"

#include <fcntl.h>
#include <fmt/format.h>

#include <cstring>
#include <deque>

#include "sim/storage.h"
#include "wire/messages.h"

namespace lockstep::simulator {
namespace {

using sim::FileHandle;
using sim::Host;

constexpr std::uint64_t kRecordBytes = 24;
constexpr std::uint64_t kFillBytes = 16u << 20;
constexpr std::uint64_t kFillStep = 256u << 10;
constexpr Duration kWhileResting = std::chrono::milliseconds(5);
/// A site that works alone answers at once: hosts without a pause would make so many changes that a seed takes longer than all others.
constexpr Duration kPaceApart = std::chrono::milliseconds(1);
constexpr Duration kAfterLoss = std::chrono::milliseconds(20);  // before a host looks for the mount again

std::string record_text(std::uint64_t number) { return fmt::format("record {:016}\n", number); }

bool no_space(const Stage& stage, const Error& error) { return stage.may_be_full() && error.posix == ENOSPC; }
bool bad_block(const Stage& stage, const Error& error) { return stage.rot && error.posix == EIO; }

/// What was told to this site's hosts is gone, and so are objects that they have open, and locks.
bool discarded(const Stage& stage, sim::Process& process, const Error& error) {
  return stage.history.discarded(site_of(process)) && (error.posix == ENOENT || error.posix == ESTALE || error.posix == EIO);
}

/// The object was discarded, or was not stable when the last one who had it lost its power.
bool has_gone(const Stage& stage, sim::Process& process, const Error& error, const std::string& path) {
  if ((error.posix == ENOENT || error.posix == ESTALE) && stage.history.may_be_missing(path, site_of(process))) return true;
  return discarded(stage, process, error);
}

/// It was gone with the power of whoever held it in memory: what was done under it is done no longer, and the handle says so.
bool lock_lost(const Stage& stage, const Error& error) { return stage.history.lost_power() && error.posix == EIO; }

Instant now(sim::Process& process) { return process.universe().now(); }

/// The other site has reserved it: whether that may be.
bool reserved(Stage& stage, sim::Process& process, const Error& error, const std::string& path, std::optional<std::uint64_t> block, Instant from) {
  if (error.posix != EBUSY || !stage.reserves) return false;
  ++stage.refused_busy;
  if (const auto wrong = stage.holds.told_busy(site_of(process), path, block, from, now(process))) stage.fail(*wrong);
  return true;
}

/// A change that was acknowledged.
void check_reserved(Stage& stage, sim::Process& process, const std::string& path, std::optional<std::uint64_t> block, Instant from) {
  if (const auto wrong = stage.holds.changed(site_of(process), path, block, from, now(process))) stage.fail(*wrong);
}

void say(Stage& stage, sim::Process& process, const std::string& what) {
  if (stage.verbose) fmt::print("{:>12} {} {}\n", now(process).ns / 1000, process.name(), what);
}

/// open(), again while the mount is away; null: the stage is quiet.
runtime::Task<FileHandle> open_some_time(sim::Process& process, Stage& stage, std::string path, std::uint32_t flags) {
  Host host(process);
  while (!stage.quiet) {
    Result<FileHandle> file = co_await host.open(path, flags, 0644);
    if (file) co_return *file;
    if (!lost(file.error())) {
      stage.fail(fmt::format("open of {} failed with errno {}", path, file.error().posix));
      co_return nullptr;
    }
    co_await process.delay(kAfterLoss);
  }
  co_return nullptr;
}

runtime::Task<void> write_block(sim::Process& process, Stage& stage, FileHandle file, std::string path, std::uint64_t block) {
  Host host(process);
  const History::Block place{std::move(path), block};
  const Instant from = now(process);
  const Value value = stage.history.write_began(place, site_of(process), from);
  say(stage, process, fmt::format("write {} block {} = {}{}", place.first, block, value, (file->flags & O_DIRECT) ? " direct" : ""));
  const Result<std::uint64_t> written = co_await host.write(file, block * kBlockBytes, block_of(value));
  if (written) {
    if (*written != kBlockBytes) stage.fail(fmt::format("a write of a block wrote {} bytes", *written));
    stage.history.write_ended(place, value, now(process));
    check_reserved(stage, process, place.first, block, from);
  } else if (no_space(stage, written.error()) || reserved(stage, process, written.error(), place.first, block, from) ||
             has_gone(stage, process, written.error(), place.first)) {
    stage.history.write_refused(place, value);
  } else if (!lost(written.error())) {
    stage.fail(fmt::format("a write failed with errno {}", written.error().posix));
  }
  say(stage, process, fmt::format("write {} block {} = {} {}", place.first, block, value, written ? "done" : fmt::format("errno {}", written.error().posix)));
}

/// Why a read of `block` at `site` may not have given `bytes`; nullopt: it may.
std::optional<std::string> judge(const Stage& stage, const History::Block& block, const std::string& bytes, std::size_t site, Instant from,
                                 Instant to) {
  if (const std::optional<Value> value = value_of(bytes)) {
    const std::optional<History::Origin> origin = stage.history.origin(block, *value);
    if (origin && origin->site != site) {
      // It was seen elsewhere, so it had happened.
      if (auto wrong = stage.holds.changed(origin->site, block.first, block.second, origin->from, to)) return wrong;
    }
    return stage.history.read(block, *value, site, from, to);
  }
  std::vector<Value> sectors;
  for (std::size_t at = 0; at + sim::kSectorBytes <= bytes.size(); at += sim::kSectorBytes) {
    const std::optional<Value> value = value_of(bytes.substr(at, sim::kSectorBytes));
    if (!value) return fmt::format("{} block {}: a sector at {} is of no write", block.first, block.second, at);
    sectors.push_back(*value);
  }
  if (sectors.size() != kBlockBytes / sim::kSectorBytes) return fmt::format("{} block {}: {} bytes", block.first, block.second, bytes.size());
  return stage.history.read_torn(block, sectors, site, from, to);
}

runtime::Task<void> read_block(sim::Process& process, Stage& stage, FileHandle file, std::string path, std::uint64_t block) {
  Host host(process);
  const Instant from = now(process);
  const Result<std::string> bytes = co_await host.read(file, block * kBlockBytes, kBlockBytes);
  if (!bytes) {
    if (!lost(bytes.error()) && !bad_block(stage, bytes.error())) stage.fail(fmt::format("a read failed with errno {}", bytes.error().posix));
    co_return;
  }
  say(stage, process, fmt::format("read {} block {} = {}{} from {}", path, block, value_of(*bytes).value_or(0), (file->flags & O_DIRECT) ? " direct" : "", from.ns / 1000));
  if (const auto wrong = judge(stage, {path, block}, *bytes, site_of(process), from, now(process))) stage.fail(*wrong);
}

runtime::Task<void> append_record(sim::Process& process, Stage& stage, FileHandle file, std::string path) {
  Host host(process);
  const Instant from = now(process);
  const std::uint64_t record = stage.history.append_began(path, site_of(process), from);
  say(stage, process, fmt::format("append {} to {}", record, path));
  const Result<std::uint64_t> written = co_await host.write(file, 0, record_text(record));
  if (written) {
    stage.history.append_ended(path, record, now(process));
    check_reserved(stage, process, path, std::nullopt, from);
  } else if (no_space(stage, written.error()) || bad_block(stage, written.error()) ||
             reserved(stage, process, written.error(), path, std::nullopt, from)) {
    stage.history.append_refused(path, record);
  } else if (!lost(written.error())) {
    stage.fail(fmt::format("an append failed with errno {}", written.error().posix));
  }
}

runtime::Task<void> sync(sim::Process& process, Stage& stage, FileHandle file, std::string path) {
  Host host(process);
  const Instant from = now(process);
  say(stage, process, fmt::format("fsync {}", path));
  const Result<> synced = co_await host.fsync(file, stage.prng.chance(500));
  if (synced) say(stage, process, fmt::format("fsync {} done", path));
  if (synced) stage.history.synced(path, site_of(process), from);
  if (!synced && !lost(synced.error()) && !has_gone(stage, process, synced.error(), path)) stage.fail(fmt::format("fsync failed with errno {}", synced.error().posix));
}

/// Writes until the area is full, or enough.
runtime::Task<void> fill(sim::Process& process, Stage& stage, FileHandle file, std::string path) {
  Host host(process);
  for (std::uint64_t at = 0; at < kFillBytes && !file->mount->gone(); at += kFillStep) {
    const Instant from = now(process);
    const Result<std::uint64_t> written = co_await host.write(file, at, std::string(kFillStep, 'f'));
    if (written) continue;
    if (no_space(stage, written.error())) {
      ++stage.full;
    } else if (!lost(written.error()) && !reserved(stage, process, written.error(), path, std::nullopt, from) &&
               !has_gone(stage, process, written.error(), path)) {
      stage.fail(fmt::format("filling failed with errno {}", written.error().posix));
    }
    co_return;
  }
}

/// What a file that is made to be removed gets: perhaps blocks; blocks; or blocks that are stable.
enum class Content { perhaps, blocks, stable };

/// Each name that is removed is used once, so that who made it and whether it is gone can be told. Gives the name; nullopt: it was not made.
runtime::Task<std::optional<std::string>> make_doomed(sim::Process& process, Stage& stage, Content content) {
  Host host(process);
  const std::size_t site = site_of(process);
  const Instant from = now(process);
  const std::string doomed = fmt::format("/names/d{}", ++stage.doomed);
  const std::size_t creation = stage.history.create_began(doomed, site, from);
  Result<FileHandle> made = co_await host.open(doomed, O_CREAT | O_EXCL | O_RDWR, 0600);
  if (!made) {
    (void)reserved(stage, process, made.error(), doomed, std::nullopt, from);
    stage.history.created(doomed, creation, lost(made.error()) ? History::Told::nothing : History::Told::no, now(process));
    co_return std::nullopt;
  }
  stage.history.created(doomed, creation, History::Told::yes, now(process));
  check_reserved(stage, process, doomed, std::nullopt, from);
  if (content == Content::perhaps && stage.fills && stage.prng.chance(300)) {
    co_await fill(process, stage, *made, doomed);
  } else if (content != Content::perhaps || stage.prng.chance(400)) {
    // Should it be there in the end, it holds this.
    for (std::uint64_t block = 0, blocks = 1 + stage.prng.below(4); block < blocks; ++block) {
      co_await write_block(process, stage, *made, doomed, block);
    }
    if (content == Content::stable || (content == Content::perhaps && stage.fsyncs)) co_await sync(process, stage, *made, doomed);
  }
  co_await host.close(*made);
  co_return doomed;
}

/// `may_move`: perhaps it gets another name instead, which stays.
runtime::Task<void> remove_doomed(sim::Process& process, Stage& stage, std::string doomed, bool may_move) {
  Host host(process);
  const std::size_t site = site_of(process);
  const bool rename = may_move && stage.prng.chance(300);
  const std::string target = doomed + ".moved";
  const Instant from = now(process);
  stage.history.remove_began(doomed, site, from);
  const std::size_t moving = rename ? stage.history.create_began(target, site, from) : 0;
  const Result<> done = rename ? co_await host.rename(doomed, target, 0) : co_await host.unlink(doomed);
  const auto told = [&](History::Told how) {
    stage.history.removed(doomed, how, now(process));
    if (rename) stage.history.created(target, moving, how, now(process));
  };
  if (done) {
    told(History::Told::yes);
    check_reserved(stage, process, doomed, std::nullopt, from);
  } else if (lost(done.error())) {
    told(History::Told::nothing);
  } else if ((rename && no_space(stage, done.error())) || reserved(stage, process, done.error(), doomed, std::nullopt, from) ||
             has_gone(stage, process, done.error(), doomed)) {
    told(History::Told::no);
  } else {
    stage.fail(fmt::format("{} {} failed with errno {}", rename ? "renaming" : "removing", doomed, done.error().posix));
  }
}

runtime::Task<void> name_something(sim::Process& process, Stage& stage) {
  Host host(process);
  const std::size_t site = site_of(process);
  const std::string path = fmt::format("/names/n{}", stage.prng.below(24));
  const Instant from = now(process);
  if (stage.prng.chance(600)) {
    // A name of its own for each life, so that who made it can be told: n7.3 is the third try at n7.
    const std::string unique = fmt::format("{}.{}", path, stage.prng.below(6));
    say(stage, process, "create " + unique);
    const std::size_t creation = stage.history.create_began(unique, site, from);
    Result<FileHandle> made = co_await host.open(unique, O_CREAT | O_EXCL | O_RDWR, 0600);
    if (made) {
      stage.history.created(unique, creation, History::Told::yes, now(process));
      check_reserved(stage, process, unique, std::nullopt, from);
      const Result<> closed = co_await host.close(*made);
      if (!closed && !lost(closed.error()) && !has_gone(stage, process, closed.error(), unique)) stage.fail("closing a new file failed");
    } else if (lost(made.error())) {
      stage.history.created(unique, creation, History::Told::nothing, now(process));
    } else if (made.error().posix != EEXIST && !no_space(stage, made.error()) &&
               !reserved(stage, process, made.error(), unique, std::nullopt, from)) {
      stage.fail(fmt::format("creating {} failed with errno {}", unique, made.error().posix));
    } else {
      stage.history.created(unique, creation, History::Told::no, now(process));
    }
    say(stage, process, fmt::format("create {} {}", unique, made ? "done" : fmt::format("errno {}", made.error().posix)));
    co_return;
  }
  const std::optional<std::string> doomed = co_await make_doomed(process, stage, Content::perhaps);
  if (doomed) co_await remove_doomed(process, stage, *doomed, true);
}

}  // namespace

std::string data_file(std::uint64_t n) { return fmt::format("/data{}", n); }

std::size_t site_of(sim::Process& process) { return &process.machine() == process.universe().machines().front().get() ? 0 : 1; }

bool lost(const Error& error) { return error.posix == ENOTCONN || error.posix == EINTR || error.code != Errc::posix; }

std::string block_of(Value value) {
  std::string bytes(kBlockBytes, '\0');
  for (std::size_t at = 0; at < kBlockBytes; at += sizeof value) std::memcpy(bytes.data() + at, &value, sizeof value);
  return bytes;
}

std::optional<Value> value_of(const std::string& block) {
  if (block.empty() || block.size() % sizeof(Value) != 0 || block.size() > kBlockBytes) return std::nullopt;
  Value value = 0;
  std::memcpy(&value, block.data(), sizeof value);
  if (block != block_of(value).substr(0, block.size())) return std::nullopt;
  return value;
}

runtime::Task<void> set_up(sim::Process& process, Stage& stage, bool& done) {
  Host host(process);
  for (std::uint64_t f = 0; f < stage.files; ++f) {
    FileHandle file = co_await open_some_time(process, stage, data_file(f), O_CREAT | O_RDWR);
    if (!file) co_return;
    const Result<> sized = co_await host.truncate(data_file(f), stage.blocks * kBlockBytes);
    if (!sized) stage.fail("setting a file's size failed");
    const Result<> stable = co_await host.fsync(file, false);
    if (!stable) stage.fail("the first fsync failed");
    co_await host.close(file);
  }
  const Result<> made = co_await host.mkdir("/names", 0755);
  if (!made) stage.fail("making a directory failed");
  FileHandle counter = co_await open_some_time(process, stage, "/counter", O_CREAT | O_RDWR);
  if (!counter) co_return;
  co_await host.close(counter);
  FileHandle records = co_await open_some_time(process, stage, "/records", O_CREAT | O_RDWR);
  if (!records) co_return;
  const Result<> stable = co_await host.fsync(records, false);  // and the directory: one log holds both
  if (!stable) stage.fail("the first fsync failed");
  co_await host.close(records);
  done = true;
}

runtime::Task<void> work(sim::Process& process, Stage& stage, std::uint64_t number) {
  Host host(process);
  co_await process.delay(std::chrono::microseconds(number * 50));
  while (!stage.quiet && stage.failure.empty()) {
    if (stage.rests(site_of(process))) {
      co_await process.delay(kWhileResting);
      continue;
    }
    if (stage.history.apart()) co_await process.delay(kPaceApart);
    if (stage.names && stage.prng.chance(150)) {
      co_await name_something(process, stage);
      continue;
    }
    const bool append = stage.appends && stage.prng.chance(150);
    const std::uint64_t f = stage.prng.below(stage.files);
    const std::string path = append ? "/records" : data_file(f);
    std::uint32_t flags = append ? O_RDWR | O_APPEND : O_RDWR;
    if (!append && stage.directs && stage.prng.chance(200)) flags |= O_DIRECT;
    FileHandle file = co_await open_some_time(process, stage, path, flags);
    if (!file) break;
    const std::uint64_t calls = 1 + stage.prng.below(6);
    for (std::uint64_t i = 0; i < calls && !stage.quiet && !stage.rests(site_of(process)) && !file->mount->gone(); ++i) {
      if (stage.history.apart()) co_await process.delay(kPaceApart);
      if (append) {
        co_await append_record(process, stage, file, path);
      } else if (stage.prng.chance(500)) {
        co_await write_block(process, stage, file, path, stage.prng.below(stage.blocks));
      } else {
        co_await read_block(process, stage, file, path, stage.prng.below(stage.blocks));
      }
      if (stage.fsyncs && stage.prng.chance(50)) co_await sync(process, stage, file, path);
      if (stage.prng.chance(300)) co_await process.delay(std::chrono::microseconds(stage.prng.below(3000)));
    }
    co_await host.close(file);
  }
}

runtime::Task<void> make_and_remove(sim::Process& process, Stage& stage) {
  constexpr std::uint64_t kKept = 6;
  std::deque<std::string> kept;
  Content content = Content::blocks;
  Instant until;
  while (!stage.quiet && stage.failure.empty()) {
    const bool away = process.machine().mount() == nullptr || process.machine().mount()->gone();
    if (stage.rests(site_of(process)) || away) {
      co_await process.delay(away ? kAfterLoss : kWhileResting);
      continue;
    }
    if (now(process) >= until) {  // what makes one file stable makes all removals before it stable
      content = content == Content::stable ? Content::blocks : Content::stable;
      until = now(process) + std::chrono::milliseconds(content == Content::stable ? 30 : stage.prng.below(500));
    }
    if (kept.size() < 1 + stage.prng.below(kKept)) {
      if (std::optional<std::string> name = co_await make_doomed(process, stage, content)) kept.push_back(std::move(*name));
    } else {
      const std::string name = kept.front();
      kept.pop_front();
      co_await remove_doomed(process, stage, name, false);
    }
    co_await process.delay(std::chrono::microseconds(stage.prng.below(2000)));
  }
}

runtime::Task<void> look_at_blocks(sim::Process& process, Stage& stage, const Look& look, std::string path, std::uint64_t blocks) {
  Host host(process);
  const auto wrong = [&](const std::optional<std::string>& what) {
    if (what && !look.over) stage.fail(fmt::format("{}: {}", look.when, *what));
  };
  const Result<FileHandle> file = co_await host.open(path, O_RDWR, 0);
  if (!file) {
    wrong(fmt::format("{} can't be opened, errno {}", path, file.error().posix));
    co_return;
  }
  for (std::uint64_t b = 0; b < blocks; ++b) {
    const Instant from = now(process);
    Result<std::string> bytes = co_await host.read(*file, b * kBlockBytes, kBlockBytes);
    if (!bytes) {
      wrong(fmt::format("{} block {} can't be read, errno {}", path, b, bytes.error().posix));
    } else {
      bytes->resize(kBlockBytes);  // behind the end is what was never written
      wrong(judge(stage, {path, b}, *bytes, site_of(process), from, now(process)));
    }
  }
  co_await host.close(*file);
}

runtime::Task<void> count_under_lock(sim::Process& process, Stage& stage, std::uint64_t number) {
  Host host(process, number + 1);
  const std::size_t site = site_of(process);
  runtime::HostLock lock;
  lock.last = wire::kLockLastMax;
  while (!stage.quiet && stage.failure.empty()) {
    FileHandle file = co_await open_some_time(process, stage, "/counter", O_RDWR);
    if (!file) break;
    while (!stage.quiet && !file->mount->gone()) {
      if (stage.rests(site)) {
        co_await process.delay(kWhileResting);
        continue;
      }
      lock.type = runtime::HostLock::Type::write;
      lock.wait = stage.prng.chance(800);
      if (lock.wait && stage.prng.chance(100)) file->mount->signal();
      const Result<> taken = co_await host.lock(file, lock);
      if (!taken) {
        if (lost(taken.error())) break;
        const int error = taken.error().posix;
        // The handle through which a lock was taken that has been discarded is good for nothing any more.
        if (discarded(stage, process, taken.error()) || lock_lost(stage, taken.error())) break;
        const bool answer = error == EAGAIN || error == EINTR || no_space(stage, taken.error()) || bad_block(stage, taken.error());
        if (!answer) stage.fail(fmt::format("a lock failed with errno {}", error));
        co_await process.delay(std::chrono::microseconds(stage.prng.below(2000)));
        continue;
      }
      // A lock that was not stable is lost like everything else when nobody is left who held it in memory.
      const auto judged = [&] { return !stage.history.lost_power(); };  // which may happen in between
      const std::uint64_t meetings = stage.meetings;
      const auto as_before = [&] { return stage.meetings == meetings; };  // the lock may be discarded with all that this site has of its own
      const std::shared_ptr<sim::Mount>& holder = stage.counter(site).holder;
      if (judged() && holder && !holder->gone()) stage.fail("two hosts have one lock");
      stage.counter(site).holder = file->mount;
      stage.counter(site).holder_site = site;
      const Result<std::string> bytes = co_await host.read(file, 0, kBlockBytes);
      const std::optional<Value> value = !bytes ? std::nullopt : bytes->empty() ? std::optional<Value>(0) : value_of(*bytes);
      if (judged() && bytes && !value && !stage.counter_may_be_torn) stage.fail("the counter holds no number");
      if (judged() && as_before() && value && *value < stage.counter(site).counted) {
        stage.fail(fmt::format("under a lock {} was read, and {} had been written", *value, stage.counter(site).counted));
      }
      if (value) {
        const Result<std::uint64_t> written = co_await host.write(file, 0, block_of(*value + 1));
        if (written && as_before()) stage.counter(site).counted = std::max(stage.counter(site).counted, *value + 1);
      }
      if (stage.counter(site).holder == file->mount) stage.counter(site).holder = nullptr;
      lock.type = runtime::HostLock::Type::unlock;
      const Result<> given = co_await host.lock(file, lock);
      if (!given && lock_lost(stage, given.error())) break;
      if (!given && !lost(given.error()) && !discarded(stage, process, given.error())) stage.fail(fmt::format("an unlock failed with errno {}", given.error().posix));
      co_await process.delay(std::chrono::microseconds(stage.prng.below(4000)));
    }
    co_await host.close(file);
  }
}

runtime::Task<void> look_at_files(sim::Process& process, Stage& stage, Look& look) {
  for (std::uint64_t f = 0; f < stage.files; ++f) co_await look_at_blocks(process, stage, look, data_file(f), stage.blocks);
  look.done = true;
}

runtime::Task<void> look_at_all(sim::Process& process, Stage& stage, std::string site, bool& done) {
  Host host(process);
  Look look{.when = fmt::format("at the end, at {}", site)};
  const auto wrong = [&](const std::optional<std::string>& what) {
    if (what) stage.fail(fmt::format("{}: {}", look.when, *what));
  };
  co_await look_at_files(process, stage, look);
  const Result<FileHandle> records = co_await host.open("/records", O_RDWR, 0);
  if (records) {
    const Result<runtime::HostAttributes> attributes = co_await host.fstat(*records);
    std::vector<std::uint64_t> numbers;
    const std::uint64_t size = attributes ? attributes->size : 0;
    for (std::uint64_t at = 0; at < size; at += kRecordBytes) {
      const Result<std::string> text = co_await host.read(*records, at, kRecordBytes);
      const std::uint64_t number = text && text->size() == kRecordBytes ? std::strtoull(text->c_str() + 7, nullptr, 10) : 0;
      if (!text || *text != record_text(number)) {
        if (text && stage.history.lost_power()) continue;  // a record that was not stable may be torn
        wrong(fmt::format("/records holds no record at {}", at));
        break;
      }
      numbers.push_back(number);
    }
    wrong(stage.history.final_records("/records", numbers));
    co_await host.close(*records);
  } else {
    wrong("/records can't be opened");
  }
  const Result<std::vector<std::string>> listed = co_await host.list("/names");
  std::map<std::string, bool> there;
  for (const std::string& name : stage.history.names()) there[name] = false;
  if (listed) {
    for (const std::string& name : *listed) there["/names/" + name] = true;
  } else {
    wrong("/names can't be listed");
  }
  for (const auto& [name, is] : there) {
    wrong(stage.history.final_name(name, is));
    const Result<runtime::HostAttributes> found = co_await host.stat(name);
    if (found.has_value() != is) wrong(fmt::format("{} is {} listed but {} found", name, is ? "" : "not", found ? "" : "not"));
    if (const std::uint64_t blocks = stage.history.blocks_of(name); is && blocks != 0) {
      co_await look_at_blocks(process, stage, look, name, blocks);
    }
  }
  done = true;
}

}  // namespace lockstep::simulator
