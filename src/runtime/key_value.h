// key_value.h - ordered keys with atomic batches: where a site keeps its metadata.
//
// apply() is visible at once and never waits; it is stable only after a later flush(), never by itself. A crash of the
// machine or of the process leaves the state after some prefix of the applied batches: no older than the last flush that
// ended, no newer than the last one that was called. So keys are never ahead of a log that is stable when flush() is called.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/result.h"
#include "runtime/task.h"

namespace lockstep::runtime {

/// One key of a batch; without a value it is deleted.
struct KeyChange {
  std::string key;
  std::optional<std::string> value;
  bool operator==(const KeyChange&) const = default;
};
using KeyBatch = std::vector<KeyChange>;

struct KeyPair {
  std::string key;
  std::string value;
  bool operator==(const KeyPair&) const = default;
};

enum class Peek {
  found,
  absent,
  unknown,  ///< it would take a read of the medium: await get() of the key, then look again
};

/// What the medium of the keys has.
struct KeyRoom {
  std::uint64_t used = 0;  ///< bytes that the keys take there
  std::uint64_t free = 0;  ///< bytes that are left for them
};

/// The keys as they were at one moment.
class KeySnapshot {
 public:
  virtual ~KeySnapshot() = default;
};

class KeyValue {
 public:
  virtual ~KeyValue() = default;
  /// What memory knows of `key`; fills `value` when found. Never waits.
  virtual Peek peek(std::string_view key, std::string& value) = 0;
  /// Reads `key`, from the medium if need be, and keeps it in the cache. Suspends.
  virtual Task<Result<std::optional<std::string>>> get(std::string key) = 0;
  /// Applies all of `batch` or, on an error, nothing. Never waits for the medium. Errc::io.
  virtual Result<> apply(const KeyBatch& batch) = 0;
  /// Up to `limit` pairs with from <= key < to, in order, of `snapshot` or (null) of now. Suspends.
  virtual Task<Result<std::vector<KeyPair>>> scan(std::string from, std::string to, std::size_t limit,
                                                  const KeySnapshot* snapshot) = 0;
  /// The keys as they are now. Held ones cost space: bounded by who takes them.
  virtual std::unique_ptr<KeySnapshot> snapshot() = 0;
  /// Begins with the call, not when it is awaited: after success every batch applied before the call is stable, and it makes
  /// none stable that is applied later. Errc::io. The task suspends.
  [[nodiscard]] virtual Task<Result<>> flush() = 0;
  /// How much room there is on the medium. From now on up to `keep` bytes of it are set aside, so that nobody else can take what keys
  /// that change will need; they count as free. Errc::io. Suspends.
  virtual Task<Result<KeyRoom>> room(std::uint64_t keep) = 0;
};

}  // namespace lockstep::runtime
