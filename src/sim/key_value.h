// key_value.h - the keys of a machine, and a process's view of them.
//
// Crash model: when the process that wrote dies, by a kill or with the power, the keys go back to the state after some
// prefix of the applied batches, chosen by the seed, no older than the last flush that ended, no newer than the last that was called.
#pragma once

#include <deque>
#include <map>
#include <set>
#include <string>

#include "runtime/key_value.h"
#include "sim/process.h"

namespace lockstep::sim {

using KeyMap = std::map<std::string, std::string, std::less<>>;

struct KeyWeather {
  unsigned miss_permille = 200;  ///< peek() of a key that this process has not read yet answers unknown
  Duration get_min{20'000}, get_max{300'000};
  Duration flush_min{500'000}, flush_max{10'000'000};
  unsigned read_error_permille = 0, apply_error_permille = 0, flush_error_permille = 0;
  std::uint64_t free = 1ull << 40;  ///< bytes that the medium has left
};

class KeyStore {
 public:
  KeyStore(Universe& universe, Prng prng) : universe_(universe), prng_(prng) {}

  KeyWeather weather;
  /// Called before the n-th batch (counted from 1, over the life of the machine) is applied; may kill the process,
  /// which then has not applied it.
  std::function<void(std::uint64_t n)> before_apply;
  [[nodiscard]] std::uint64_t applied() const { return applied_; }
  [[nodiscard]] const KeyMap& keys() const { return visible_; }
  [[nodiscard]] const KeyMap& flushed_keys() const { return stable_; }

  [[nodiscard]] Prng& prng() { return prng_; }
  /// False: an injected error, nothing changed.
  bool apply(Process& process, const runtime::KeyBatch& batch);
  /// A flush of everything applied so far begins; what it may make stable. Its number.
  std::uint64_t begin_flush() { return begun_ = applied_; }
  /// Everything applied up to batch number `upto` is stable.
  void flushed(std::uint64_t upto);
  void process_died(const Process& process);
  /// A new store is made in its place: no keys. Requires: no process has it open.
  void wipe();

 private:
  Universe& universe_;
  Prng prng_;
  std::uint64_t applied_ = 0;
  std::uint64_t stable_upto_ = 0;
  std::uint64_t begun_ = 0;
  KeyMap visible_, stable_;
  std::deque<runtime::KeyBatch> unflushed_;  ///< numbers stable_upto_ + 1 .. applied_
  const Process* writer_ = nullptr;
};

class SimKeyValue final : public runtime::KeyValue {
 public:
  SimKeyValue(Process& process, KeyStore& store) : process_(process), store_(store) {}

  runtime::Peek peek(std::string_view key, std::string& value) override;
  runtime::Task<Result<std::optional<std::string>>> get(std::string key) override;
  Result<> apply(const runtime::KeyBatch& batch) override;
  runtime::Task<Result<std::vector<runtime::KeyPair>>> scan(std::string from, std::string to, std::size_t limit,
                                                            const runtime::KeySnapshot* snapshot) override;
  std::unique_ptr<runtime::KeySnapshot> snapshot() override;
  runtime::Task<Result<>> flush() override { return flushed(store_.begin_flush()); }
  runtime::Task<Result<runtime::KeyRoom>> room(std::uint64_t keep) override;

 private:
  runtime::Task<Result<>> flushed(std::uint64_t upto);

  Process& process_;
  KeyStore& store_;
  std::set<std::string, std::less<>> cached_;
};

}  // namespace lockstep::sim
