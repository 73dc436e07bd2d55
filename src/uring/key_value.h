// key_value.h - RocksDB as the ordered keys of a site.
//
// Its own log is off: the area's operation log is the write-ahead log. One column family, so memtables reach the medium
// in order and what a crash leaves is a prefix of what was applied.
//
// Batches gather in memory, where a key that changes again and again (the map of a file that is written at random, counters) takes its last
// value only, and go into RocksDB together: when enough of them are there, and before whatever looks at all keys (scan, snapshot, flush).
//
// On the loop run only apply() (1-2 us; 1 ms where it hands over what has gathered), peek() (what gathered, memtable and block cache) and the
// change of memtables that begins a flush. Seeks and reads of the medium run on the pool, flushes on a thread of RocksDB. Stalls of writers are switched off as far as RocksDB goes: apply() waits only if a flush is
// late by `memtables_max` memtables, and that is counted (Statistics::stalled_applies).
//
// Room for its files is set aside (spare_room.h), and taken from there when the file system has none left.
//
// A store may be kept in memory altogether (in_memory_max): that of a site that works without an area.
//
// Memory: `cache_bytes` for blocks, indexes and filters, `gathered_bytes_max`, and at most memtables_max * memtable_bytes.
#pragma once

#include <memory>
#include <string>

#include "runtime/key_value.h"
#include "uring/loop.h"
#include "uring/pool.h"

namespace lockstep::uring {

struct KeyStoreOptions {
  std::uint64_t cache_bytes = 64 << 20;
  /// No memtable is written by itself before it is so large: whoever applies flushes long before, when its log fills.
  std::uint64_t memtable_bytes = 1 << 30;
  int memtables_max = 4;
  std::size_t gathered_changes_max = 1024;
  std::size_t gathered_bytes_max = 4 << 20;
  int files_open_max = 256;
  /// Not 0: nothing is on a medium, and all of it goes when the store ends; apply() fails beyond about so many bytes.
  std::uint64_t in_memory_max = 0;
};

class KeyStore final : public runtime::KeyValue {
 public:
  /// Opens the store in `directory`, which is made where it does not exist (its parent must). May wait for the medium.
  /// Errc::corrupt: what is there is damaged. Errc::io.
  static Result<std::unique_ptr<KeyStore>> open(Loop& loop, Pool& pool, std::string directory,
                                                KeyStoreOptions options = KeyStoreOptions());
  /// What was not flushed is gone, as after a crash.
  ~KeyStore() override;

  runtime::Peek peek(std::string_view key, std::string& value) override;
  runtime::Task<Result<std::optional<std::string>>> get(std::string key) override;
  Result<> apply(const runtime::KeyBatch& batch) override;
  runtime::Task<Result<std::vector<runtime::KeyPair>>> scan(std::string from, std::string to, std::size_t limit,
                                                            const runtime::KeySnapshot* snapshot) override;
  std::unique_ptr<runtime::KeySnapshot> snapshot() override;
  runtime::Task<Result<>> flush() override;
  runtime::Task<Result<runtime::KeyRoom>> room(std::uint64_t keep) override;

 private:
  struct Rocks;
  /// Hands what has gathered to RocksDB. An error: it stays.
  Result<> hand_over();
  runtime::Task<Result<>> flushed(std::uint64_t through);
  runtime::Task<Result<>> not_flushed(Result<> why);
  KeyStore(Loop& loop, Pool& pool, const KeyStoreOptions& options, std::unique_ptr<Rocks> rocks);

  Loop& loop_;
  Pool& pool_;
  const std::size_t gathered_changes_max_, gathered_bytes_max_;
  const std::uint64_t in_memory_max_;
  std::unique_ptr<Rocks> rocks_;
};

}  // namespace lockstep::uring
