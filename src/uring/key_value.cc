#include "uring/key_value.h"

#include <fmt/format.h>
#include <rocksdb/cache.h>
#include <rocksdb/db.h>
#include <rocksdb/env.h>
#include <rocksdb/filter_policy.h>
#include <rocksdb/listener.h>
#include <rocksdb/options.h>
#include <rocksdb/table.h>
#include <rocksdb/write_batch.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <condition_variable>
#include <cstdarg>
#include <cstdio>
#include <mutex>
#include <unordered_map>

#include "core/log.h"
#include "core/string_hash.h"
#include "uring/key_files.h"
#include "uring/spare_room.h"

namespace lockstep::uring {
namespace {

using runtime::KeyBatch;
using runtime::KeyPair;
using runtime::Peek;
using runtime::Task;

/// In the directory of the store, which RocksDB shares.
constexpr const char* kSpareFile = "/spare";
/// What is written when a store is opened; without room for it RocksDB would not answer, but end the program.
constexpr std::uint64_t kToOpen = 1 << 20;

rocksdb::Slice slice(std::string_view s) { return {s.data(), s.size()}; }

std::unexpected<Error> failed(const rocksdb::Status& status, std::string_view what, const std::string& directory) {
  const int error = status.IsNoSpace() ? ENOSPC : EIO;
  auto text = fmt::format("cannot {} the keys in {}: {}", what, directory, status.ToString());
  if (status.IsCorruption()) return std::unexpected<Error>(Error{Errc::corrupt, error, std::move(text)});
  return fail_io(error, std::move(text));
}

/// RocksDB's log goes into the daemon's. A file of its own would be written on a file system that may be full, and what fails there ends the
/// program where RocksDB's assertions are compiled in.
class Complaints final : public rocksdb::Logger {
 public:
  Complaints() : Logger(rocksdb::ERROR_LEVEL) {}
  using Logger::Logv;
  void Logv(const char*, va_list) override {}  // what it was configured with
  void Logv(rocksdb::InfoLogLevel level, const char* format, va_list values) override {
    if (level < rocksdb::ERROR_LEVEL || level >= rocksdb::HEADER_LEVEL) return;
    std::array<char, kLineBytesMax> line{};
    std::vsnprintf(line.data(), line.size(), format, values);
    const std::string_view text(line.data());
    log::warning("keys: {}", text.substr(0, text.find_last_not_of('\n') + 1));
  }

 private:
  static constexpr std::size_t kLineBytesMax = 512;
};

rocksdb::Options options_for(const KeyStoreOptions& o) {
  rocksdb::Options r;
  r.create_if_missing = true;
  r.max_open_files = o.files_open_max;
  r.max_background_jobs = 2;
  r.write_buffer_size = o.memtable_bytes;
  r.arena_block_size = std::min<std::size_t>(1 << 20, o.memtable_bytes / 8);
  r.max_write_buffer_number = o.memtables_max;
  r.avoid_flush_during_shutdown = true;
  // The batches come from one thread, and nothing but a late flush may hold them up.
  r.allow_concurrent_memtable_write = false;
  r.level0_slowdown_writes_trigger = 1 << 20;
  r.level0_stop_writes_trigger = 1 << 20;
  r.soft_pending_compaction_bytes_limit = 0;
  r.hard_pending_compaction_bytes_limit = 0;
  r.level_compaction_dynamic_level_bytes = true;
  r.compression = rocksdb::kLZ4Compression;
  r.bytes_per_sync = 1 << 20;
  r.info_log_level = rocksdb::ERROR_LEVEL;
  r.info_log = std::make_shared<Complaints>();
  r.stats_dump_period_sec = 0;
  r.stats_persist_period_sec = 0;
  rocksdb::BlockBasedTableOptions table;
  table.block_cache = rocksdb::NewLRUCache(o.cache_bytes);
  table.filter_policy.reset(rocksdb::NewBloomFilterPolicy(10));
  table.cache_index_and_filter_blocks = true;
  table.cache_index_and_filter_blocks_with_high_priority = true;
  table.pin_l0_filter_and_index_blocks_in_cache = true;
  table.format_version = 5;
  r.table_factory.reset(rocksdb::NewBlockBasedTableFactory(table));
  return r;
}

class Snapshot final : public runtime::KeySnapshot {
 public:
  /// `complete`: an error where something that was applied is missing.
  Snapshot(rocksdb::DB& db, Result<> complete) : db_(db), snapshot_(db.GetSnapshot()), complete_(std::move(complete)) {}
  ~Snapshot() override { db_.ReleaseSnapshot(snapshot_); }
  [[nodiscard]] const rocksdb::Snapshot* get() const { return snapshot_; }
  [[nodiscard]] const Result<>& complete() const { return complete_; }

 private:
  rocksdb::DB& db_;
  const rocksdb::Snapshot* snapshot_;
  Result<> complete_;
};

/// How far RocksDB has flushed, by its sequence numbers. Called by its threads, asked by those of the pool.
class Flushes final : public rocksdb::EventListener {
 public:
  void OnFlushCompleted(rocksdb::DB*, const rocksdb::FlushJobInfo& info) override {
    const std::lock_guard lock(mutex_);
    through_ = std::max(through_, info.largest_seqno);
    changed_.notify_all();
  }
  void OnBackgroundError(rocksdb::BackgroundErrorReason, rocksdb::Status* error) override {
    const std::lock_guard lock(mutex_);
    if (failure_.ok()) failure_ = *error;
    changed_.notify_all();
  }
  /// After a failure this store is not used any more; to wait for room, as RocksDB would, would hold up its end.
  void OnErrorRecoveryBegin(rocksdb::BackgroundErrorReason, rocksdb::Status, bool* recover) override { *recover = false; }
  void begin_at(rocksdb::SequenceNumber number) { through_ = number; }
  void fail(rocksdb::Status error) { OnBackgroundError(rocksdb::BackgroundErrorReason::kFlush, &error); }
  /// Waits for the medium.
  rocksdb::Status wait(rocksdb::SequenceNumber number) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return through_ >= number || !failure_.ok(); });
    return through_ >= number ? rocksdb::Status::OK() : failure_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  rocksdb::SequenceNumber through_ = 0;
  rocksdb::Status failure_;
};

/// The last change of each key, of the batches that RocksDB has not.
class Gathered {
 public:
  using Value = std::optional<std::string>;
  void add(const runtime::KeyChange& change) {
    const auto it = changes_.find(change.key);
    if (it == changes_.end()) {
      bytes_ += change.key.size() + size_of(change.value);
      changes_.emplace(change.key, change.value);
      return;
    }
    bytes_ += size_of(change.value);
    bytes_ -= size_of(it->second);
    it->second = change.value;
  }
  /// nullptr: none of them changes it.
  [[nodiscard]] const Value* find(std::string_view key) const {
    const auto it = changes_.find(key);
    return it == changes_.end() ? nullptr : &it->second;
  }
  /// In order of their keys: what lies close to each other is inserted one after the other.
  [[nodiscard]] std::vector<std::pair<std::string_view, const Value*>> in_order() const {
    std::vector<std::pair<std::string_view, const Value*>> all;
    all.reserve(changes_.size());
    for (const auto& [key, value] : changes_) all.emplace_back(key, &value);
    std::sort(all.begin(), all.end());
    return all;
  }
  void clear() {
    changes_.clear();
    bytes_ = 0;
  }
  [[nodiscard]] std::size_t size() const { return changes_.size(); }
  [[nodiscard]] std::size_t bytes() const { return bytes_; }

 private:
  static std::size_t size_of(const Value& value) { return value ? value->size() : 0; }
  std::unordered_map<std::string, Value, StringHash, std::equal_to<>> changes_;
  std::size_t bytes_ = 0;
};

}  // namespace

struct KeyStore::Rocks {
  std::string directory;
  std::shared_ptr<SpareRoom> spare;     // null if nothing is on a medium
  std::unique_ptr<rocksdb::Env> files;  // outlives `db`
  std::shared_ptr<Flushes> flushes = std::make_shared<Flushes>();
  std::unique_ptr<rocksdb::DB> db;
  rocksdb::PinnableSlice found;   // of peek(), kept for its memory
  rocksdb::WriteBatch changes;    // of hand_over(), likewise
  Gathered gathered;

  Result<std::optional<std::string>> get(const std::string& key) {
    std::string value;
    const rocksdb::Status status = db->Get(rocksdb::ReadOptions(), slice(key), &value);
    if (status.ok()) return std::optional<std::string>(std::move(value));
    if (status.IsNotFound()) return std::optional<std::string>();
    return failed(status, "read", directory);
  }

  Result<std::vector<KeyPair>> scan(const std::string& from, const std::string& to, std::size_t limit,
                                    const rocksdb::Snapshot* snapshot) {
    std::vector<KeyPair> pairs;
    rocksdb::ReadOptions options;
    const rocksdb::Slice end = slice(to);
    options.snapshot = snapshot;
    options.iterate_upper_bound = &end;
    const std::unique_ptr<rocksdb::Iterator> it(db->NewIterator(options));
    for (it->Seek(slice(from)); it->Valid() && pairs.size() < limit; it->Next()) {
      pairs.push_back(KeyPair{it->key().ToString(), it->value().ToString()});
    }
    if (!it->status().ok()) return failed(it->status(), "read", directory);
    return pairs;
  }

  /// Changes memtables; the number of the last change before.
  std::uint64_t begin_flush() {
    const std::uint64_t through = db->GetLatestSequenceNumber();
    rocksdb::FlushOptions options;
    options.wait = false;
    options.allow_write_stall = true;  // switch memtables now, not when it suits
    const rocksdb::Status status = db->Flush(options);
    if (!status.ok()) flushes->fail(status);
    return through;
  }
  [[nodiscard]] std::uint64_t bytes_held() const {
    std::uint64_t files = 0, tables = 0;
    (void)db->GetIntProperty(rocksdb::DB::Properties::kTotalSstFilesSize, &files);
    (void)db->GetIntProperty(rocksdb::DB::Properties::kCurSizeAllMemTables, &tables);
    return files + tables;
  }
  Result<runtime::KeyRoom> room(std::uint64_t keep) {
    // What runs short in memory is this site's affair, and no reason to refuse anybody a file.
    if (!spare) return runtime::KeyRoom{.used = bytes_held(), .free = UINT64_MAX / 2};
    const Result<SpareRoom::Room> there = spare->keep(keep);
    if (!there) return std::unexpected(there.error());
    runtime::KeyRoom room{.free = there->free + there->spare};
    if (!db->GetIntProperty(rocksdb::DB::Properties::kTotalSstFilesSize, &room.used)) room.used = 0;
    return room;
  }
  Result<> wait_flushed(std::uint64_t through) {
    const rocksdb::Status status = flushes->wait(through);
    if (!status.ok()) return failed(status, "flush", directory);
    return {};
  }
};

KeyStore::KeyStore(Loop& loop, Pool& pool, const KeyStoreOptions& options, std::unique_ptr<Rocks> rocks)
    : loop_(loop), pool_(pool), gathered_changes_max_(options.gathered_changes_max), gathered_bytes_max_(options.gathered_bytes_max),
      in_memory_max_(options.in_memory_max), rocks_(std::move(rocks)) {}

KeyStore::~KeyStore() = default;

Result<std::unique_ptr<KeyStore>> KeyStore::open(Loop& loop, Pool& pool, std::string directory, KeyStoreOptions options) {
  auto rocks = std::make_unique<Rocks>();
  rocks->directory = std::move(directory);
  rocksdb::DB* db = nullptr;
  rocksdb::Options settings = options_for(options);
  settings.listeners.push_back(rocks->flushes);
  if (options.in_memory_max != 0) {
    rocks->files.reset(rocksdb::NewMemEnv(rocksdb::Env::Default()));
  } else {
    rocks->spare = std::make_shared<SpareRoom>(rocks->directory + kSpareFile);
    rocks->files = files_with_room(rocks->spare);
    const Result<SpareRoom::Room> there = rocks->spare->there();
    if (there && there->free + there->spare < kToOpen) {
      return fail_io(ENOSPC, fmt::format("the keys in {} can't be opened: the file system is full; make {} MiB of room there", rocks->directory, kToOpen >> 20));
    }
  }
  settings.env = rocks->files.get();
  (void)settings.env->CreateDirIfMissing(rocks->directory);  // that it had to be made would be a warning
  const rocksdb::Status status = rocksdb::DB::Open(settings, rocks->directory, &db);
  if (!status.ok()) return failed(status, "open", rocks->directory);
  rocks->db.reset(db);
  rocks->flushes->begin_at(db->GetLatestSequenceNumber());
  return std::unique_ptr<KeyStore>(new KeyStore(loop, pool, options, std::move(rocks)));
}

Peek KeyStore::peek(std::string_view key, std::string& value) {
  if (const Gathered::Value* const last = rocks_->gathered.find(key)) {
    if (!*last) return Peek::absent;
    value = **last;
    return Peek::found;
  }
  rocksdb::ReadOptions options;
  options.read_tier = rocksdb::kBlockCacheTier;
  rocksdb::PinnableSlice& found = rocks_->found;
  const rocksdb::Status status = rocks_->db->Get(options, rocks_->db->DefaultColumnFamily(), slice(key), &found);
  Peek answer = Peek::unknown;  // also after an error: get() will meet it and can say what it is
  if (status.ok()) {
    value.assign(found.data(), found.size());
    answer = Peek::found;
  } else if (status.IsNotFound()) {
    answer = Peek::absent;
  }
  found.Reset();
  return answer;
}

Task<Result<std::optional<std::string>>> KeyStore::get(std::string key) {
  if (const Gathered::Value* const last = rocks_->gathered.find(key)) co_return *last;
  auto work = [rocks = rocks_.get(), &key] { return rocks->get(key); };
  co_return co_await pool_.run(work);
}

Result<> KeyStore::apply(const KeyBatch& batch) {
  Gathered& gathered = rocks_->gathered;
  if (gathered.size() >= gathered_changes_max_ || gathered.bytes() >= gathered_bytes_max_) {
    if (const Result<> done = hand_over(); !done) return done;
  }
  for (const runtime::KeyChange& change : batch) gathered.add(change);
  return {};
}

Result<> KeyStore::hand_over() {
  if (rocks_->gathered.size() == 0) return {};
  if (in_memory_max_ != 0 && rocks_->bytes_held() > in_memory_max_) {
    return fail_io(ENOMEM, fmt::format("the keys in memory have more than {} bytes", in_memory_max_));
  }
  rocksdb::WriteBatch& changes = rocks_->changes;
  changes.Clear();
  rocksdb::Status status;
  for (const auto& [key, value] : rocks_->gathered.in_order()) {
    status = *value ? changes.Put(slice(key), slice(**value)) : changes.Delete(slice(key));
    if (!status.ok()) return failed(status, "change", rocks_->directory);
  }
  rocksdb::WriteOptions options;
  options.disableWAL = true;
  options.no_slowdown = true;
  status = rocks_->db->Write(options, &changes);
  if (status.IsIncomplete()) {  // every memtable waits to be flushed; memory is bounded, so this has to wait too
    ++loop_.statistics().stalled_applies;
    options.no_slowdown = false;
    status = rocks_->db->Write(options, &changes);
  }
  if (!status.ok()) return failed(status, "change", rocks_->directory);
  rocks_->gathered.clear();
  return {};
}

Task<Result<std::vector<KeyPair>>> KeyStore::scan(std::string from, std::string to, std::size_t limit,
                                                  const runtime::KeySnapshot* snapshot) {
  if (from >= to || limit == 0) co_return std::vector<KeyPair>();
  const auto* const moment = static_cast<const Snapshot*>(snapshot);
  const Result<> complete = moment == nullptr ? hand_over() : moment->complete();
  if (!complete) co_return std::unexpected(complete.error());
  const rocksdb::Snapshot* const at = moment == nullptr ? nullptr : moment->get();
  auto work = [rocks = rocks_.get(), &from, &to, limit, at] { return rocks->scan(from, to, limit, at); };
  co_return co_await pool_.run(work);
}

std::unique_ptr<runtime::KeySnapshot> KeyStore::snapshot() {
  Result<> complete = hand_over();
  return std::make_unique<Snapshot>(*rocks_->db, std::move(complete));
}

Task<Result<runtime::KeyRoom>> KeyStore::room(std::uint64_t keep) {
  auto work = [rocks = rocks_.get(), keep] { return rocks->room(keep); };
  co_return co_await pool_.run(work);
}

Task<Result<>> KeyStore::flush() {
  if (Result<> done = hand_over(); !done) return not_flushed(std::move(done));
  return flushed(rocks_->begin_flush());
}

Task<Result<>> KeyStore::not_flushed(Result<> why) { co_return why; }

Task<Result<>> KeyStore::flushed(std::uint64_t through) {
  auto work = [rocks = rocks_.get(), through] { return rocks->wait_flushed(through); };
  co_return co_await pool_.run(work);
}

}  // namespace lockstep::uring
