// known_keys.h - a bounded memory of keys and of scanned ranges, in front of KeyValue.
//
// What it knows is always what the store has: apply() changes both, and what a load brings is corrected by the batches
// that were applied while it waited. Absence is known too. After a change of the store past apply(), forget() must come
// before anything else: a load that began before it keeps nothing of what it finds.
#pragma once

#include <list>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/string_hash.h"
#include "runtime/key_value.h"
#include "volume/recent.h"
#include "volume/volume.h"

namespace lockstep::volume {

class KnownKeys {
 public:
  KnownKeys(runtime::KeyValue& store, std::size_t bytes_max) : store_(store), values_(bytes_max) {}
  KnownKeys(const KnownKeys&) = delete;

  struct Look {
    runtime::Peek peek = runtime::Peek::unknown;
    const std::string* value = nullptr;  ///< if found; valid until the next call that is not const
  };
  [[nodiscard]] Look look(const std::string& key);

  /// Pairs of `range` from its start, at most range.limit of them. Not `complete`: there may be more behind them.
  struct Scanned {
    std::vector<runtime::KeyPair> pairs;
    bool complete = false;
  };
  /// Nullopt: nothing is known; `miss` names what to load.
  [[nodiscard]] std::optional<Scanned> scanned(const Range& range, Miss& miss);

  /// Brings a key, or (more of) a range, into memory. Suspends. Errc::io.
  runtime::Task<Result<>> load_key(std::string key);
  runtime::Task<Result<>> load_range(Range range);
  /// All pairs of [from, to) as they are when this returns; not kept; read again if forget() came between. Suspends. Errc::io.
  runtime::Task<Result<std::map<std::string, std::string>>> read_all(std::string from, std::string to);

  /// Changes store and memory. Errc::io: nothing changed.
  [[nodiscard]] Result<> apply(const runtime::KeyBatch& batch);
  /// Knows nothing any more.
  void forget();
  [[nodiscard]] runtime::KeyValue& store() { return store_; }

 private:
  using Changes = std::map<std::string, std::optional<std::string>>;
  /// A read under way: what was applied to [from, to) meanwhile.
  struct Loading {
    std::string from, to;
    Changes changes;
  };
  /// Every pair with from <= key < covered is in `pairs`.
  struct Scan {
    std::string from, covered;
    std::map<std::string, std::string> pairs;
  };
  void keep(const std::string& key, std::optional<std::string> value);

  runtime::KeyValue& store_;
  Recent<std::string, std::optional<std::string>, StringHash, std::equal_to<>> values_;
  std::list<Loading> loading_;
  std::list<Scan> scans_;  // last loaded first, at most kScansMax
  std::uint64_t forgotten_ = 0;  // how often forget() was called
};

}  // namespace lockstep::volume
