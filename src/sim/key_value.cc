#include "sim/key_value.h"

#include <cerrno>

#include "core/check.h"
#include "core/checksum.h"

namespace lockstep::sim {
namespace {

struct SimKeySnapshot final : runtime::KeySnapshot {
  explicit SimKeySnapshot(KeyMap k) : keys(std::move(k)) {}
  KeyMap keys;
};

void put_into(KeyMap& keys, const runtime::KeyBatch& batch) {
  for (const runtime::KeyChange& change : batch) {
    if (change.value) {
      keys.insert_or_assign(change.key, *change.value);
    } else {
      keys.erase(change.key);
    }
  }
}

}  // namespace

bool KeyStore::apply(Process& process, const runtime::KeyBatch& batch) {
  if (before_apply && process.alive()) before_apply(applied_ + 1);
  if (!process.alive()) return true;
  if (prng_.chance(weather.apply_error_permille)) return false;
  writer_ = &process;
  put_into(visible_, batch);
  unflushed_.push_back(batch);
  ++applied_;
  for (const runtime::KeyChange& change : batch) universe_.note(checksum(std::as_bytes(std::span(change.key))));
  return true;
}

void KeyStore::flushed(std::uint64_t upto) {
  for (; stable_upto_ < upto; ++stable_upto_) {
    put_into(stable_, unflushed_.front());
    unflushed_.pop_front();
  }
}

void KeyStore::process_died(const Process& process) {
  if (writer_ != &process) return;
  writer_ = nullptr;
  if (begun_ > stable_upto_) flushed(stable_upto_ + prng_.below(begun_ - stable_upto_ + 1));
  unflushed_.clear();
  applied_ = begun_ = stable_upto_;
  visible_ = stable_;
  universe_.note(applied_);
}

void KeyStore::wipe() {
  visible_.clear();
  stable_.clear();
  unflushed_.clear();
  stable_upto_ = begun_ = applied_;
}

runtime::Peek SimKeyValue::peek(std::string_view key, std::string& value) {
  if (!cached_.contains(key)) {
    if (store_.prng().chance(store_.weather.miss_permille)) return runtime::Peek::unknown;
    cached_.emplace(key);
  }
  const auto it = store_.keys().find(key);
  if (it == store_.keys().end()) return runtime::Peek::absent;
  value = it->second;
  return runtime::Peek::found;
}

runtime::Task<Result<std::optional<std::string>>> SimKeyValue::get(std::string key) {
  co_await process_.delay(store_.prng().between(store_.weather.get_min, store_.weather.get_max));
  if (store_.prng().chance(store_.weather.read_error_permille)) co_return fail_io(EIO, "a key could not be read");
  cached_.insert(key);
  const auto it = store_.keys().find(key);
  if (it == store_.keys().end()) co_return std::optional<std::string>();
  co_return std::optional<std::string>(it->second);
}

Result<> SimKeyValue::apply(const runtime::KeyBatch& batch) {
  if (!store_.apply(process_, batch)) return fail_io(EIO, "a batch of keys could not be applied");
  for (const runtime::KeyChange& change : batch) cached_.insert(change.key);
  return {};
}

runtime::Task<Result<std::vector<runtime::KeyPair>>> SimKeyValue::scan(std::string from, std::string to,
                                                                       std::size_t limit,
                                                                       const runtime::KeySnapshot* snapshot) {
  co_await process_.delay(store_.prng().between(store_.weather.get_min, store_.weather.get_max));
  if (store_.prng().chance(store_.weather.read_error_permille)) co_return fail_io(EIO, "keys could not be read");
  const KeyMap& keys = snapshot != nullptr ? static_cast<const SimKeySnapshot*>(snapshot)->keys : store_.keys();
  std::vector<runtime::KeyPair> pairs;
  for (auto it = keys.lower_bound(from); it != keys.end() && it->first < to && pairs.size() < limit; ++it) {
    pairs.push_back(runtime::KeyPair{it->first, it->second});
  }
  co_return pairs;
}

std::unique_ptr<runtime::KeySnapshot> SimKeyValue::snapshot() {
  return std::make_unique<SimKeySnapshot>(store_.keys());
}

runtime::Task<Result<runtime::KeyRoom>> SimKeyValue::room(std::uint64_t) {
  co_await process_.delay(store_.weather.get_min);
  runtime::KeyRoom room{.free = store_.weather.free};
  for (const auto& [key, value] : store_.flushed_keys()) room.used += key.size() + value.size();
  co_return room;
}

runtime::Task<Result<>> SimKeyValue::flushed(std::uint64_t upto) {
  co_await process_.delay(store_.prng().between(store_.weather.flush_min, store_.weather.flush_max));
  if (store_.prng().chance(store_.weather.flush_error_permille))
    co_return fail_io(EIO, "the keys could not be made stable");
  store_.flushed(upto);
  co_return Result<>{};
}

}  // namespace lockstep::sim
