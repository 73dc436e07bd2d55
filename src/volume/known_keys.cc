#include "volume/known_keys.h"

#include <algorithm>

namespace lockstep::volume {
namespace {

constexpr std::size_t kScansMax = 12;
constexpr std::size_t kScanPairsMax = 256;
constexpr std::size_t kPageKeys = 1024;
constexpr std::size_t kEntryCost = 160;  // list and hash nodes

/// Kinds of keys that plans and reads look at; the others are written and, rarely, scanned.
bool is_planned_with(std::string_view key) { return !key.empty() && std::string_view("IDEX").find(key[0]) != std::string_view::npos; }

template <class Pairs>
void correct(Pairs& pairs, const std::string& key, const std::optional<std::string>& value) {
  if (value) {
    pairs.insert_or_assign(key, *value);
  } else {
    pairs.erase(key);
  }
}

}  // namespace

KnownKeys::Look KnownKeys::look(const std::string& key) {
  using runtime::Peek;
  if (const std::optional<std::string>* known = values_.find(key)) {
    if (*known) return {Peek::found, &**known};
    return {Peek::absent, nullptr};
  }
  std::string value;
  const Peek peek = store_.peek(key, value);
  if (peek != Peek::found) return {peek, nullptr};
  const std::size_t cost = kEntryCost + 2 * key.size() + value.size();
  return {Peek::found, &*values_.put(key, std::move(value), cost)};
}

std::optional<KnownKeys::Scanned> KnownKeys::scanned(const Range& range, Miss& miss) {
  if (range.from >= range.to) return Scanned{{}, true};
  Range next = range;
  for (const Scan& scan : scans_) {
    if (range.from < scan.from || range.from > scan.covered) continue;
    Scanned found;
    auto at = scan.pairs.lower_bound(range.from);
    for (; at != scan.pairs.end() && at->first < range.to && found.pairs.size() < range.limit; ++at) {
      found.pairs.push_back({at->first, at->second});
    }
    const bool to_the_end = at == scan.pairs.end() || at->first >= range.to;
    found.complete = to_the_end && scan.covered >= range.to;
    if (found.complete || !found.pairs.empty()) return found;
    next.from = scan.covered;
    break;
  }
  miss.ranges.push_back(std::move(next));
  return std::nullopt;
}

runtime::Task<Result<>> KnownKeys::load_key(std::string key) {
  loading_.push_front(Loading{key, key + '\0', {}});
  const auto mine = loading_.begin();
  const std::uint64_t before = forgotten_;
  Result<std::optional<std::string>> got = co_await store_.get(key);
  Changes changes = std::move(mine->changes);
  loading_.erase(mine);
  if (!got) co_return std::unexpected(got.error());
  if (forgotten_ != before) co_return Result<>{};
  if (!changes.empty()) {
    keep(key, std::move(changes.begin()->second));
  } else {
    keep(key, std::move(*got));
  }
  co_return Result<>{};
}

runtime::Task<Result<>> KnownKeys::load_range(Range range) {
  loading_.push_front(Loading{range.from, range.to, {}});
  const auto mine = loading_.begin();
  const std::uint64_t before = forgotten_;
  Result<std::vector<runtime::KeyPair>> got = co_await store_.scan(range.from, range.to, range.limit, nullptr);
  const Changes changes = std::move(mine->changes);
  loading_.erase(mine);
  if (!got) co_return std::unexpected(got.error());
  if (forgotten_ != before) co_return Result<>{};

  // A full page covers what lies up to its last key.
  std::string covered = got->size() < range.limit || got->empty() ? range.to : got->back().key + '\0';
  auto scan = std::find_if(scans_.begin(), scans_.end(), [&](const Scan& s) { return s.covered == range.from; });
  if (scan == scans_.end()) {
    scans_.push_front(Scan{range.from, {}, {}});
    if (scans_.size() > kScansMax) scans_.pop_back();
  } else {
    scans_.splice(scans_.begin(), scans_, scan);
  }
  Scan& to = scans_.front();
  if (to.pairs.size() > kScanPairsMax) {
    to.pairs.clear();
    to.from = range.from;
  }
  to.covered = std::move(covered);
  for (runtime::KeyPair& pair : *got) to.pairs.insert_or_assign(std::move(pair.key), std::move(pair.value));
  for (const auto& [key, value] : changes) {
    if (key < to.covered) correct(to.pairs, key, value);
  }
  co_return Result<>{};
}

runtime::Task<Result<std::map<std::string, std::string>>> KnownKeys::read_all(std::string from, std::string to) {
  std::map<std::string, std::string> pairs;
  loading_.push_front(Loading{from, to, {}});
  const auto mine = loading_.begin();
  std::uint64_t before = forgotten_;
  for (;;) {
    Result<std::vector<runtime::KeyPair>> page = co_await store_.scan(from, to, kPageKeys, nullptr);
    if (!page) {
      loading_.erase(mine);
      co_return std::unexpected(page.error());
    }
    if (forgotten_ != before) {
      before = forgotten_;
      mine->changes.clear();
      pairs.clear();
      from = mine->from;
      continue;
    }
    const bool last = page->size() < kPageKeys;
    if (!last) from = page->back().key + '\0';
    for (runtime::KeyPair& pair : *page) pairs.insert_or_assign(std::move(pair.key), std::move(pair.value));
    if (last) break;
  }
  for (const auto& [key, value] : mine->changes) correct(pairs, key, value);
  loading_.erase(mine);
  co_return pairs;
}

void KnownKeys::keep(const std::string& key, std::optional<std::string> value) {
  const std::size_t cost = kEntryCost + 2 * key.size() + (value ? value->size() : 0);
  values_.put(key, std::move(value), cost);
}

void KnownKeys::forget() {
  ++forgotten_;
  values_.clear();
  scans_.clear();
}

Result<> KnownKeys::apply(const runtime::KeyBatch& batch) {
  if (const Result<> applied = store_.apply(batch); !applied) return applied;
  for (const runtime::KeyChange& change : batch) {
    if (is_planned_with(change.key)) keep(change.key, change.value);
    for (Loading& loading : loading_) {
      if (loading.from <= change.key && change.key < loading.to) loading.changes.insert_or_assign(change.key, change.value);
    }
    for (Scan& scan : scans_) {
      if (scan.from <= change.key && change.key < scan.covered) correct(scan.pairs, change.key, change.value);
    }
  }
  return {};
}

}  // namespace lockstep::volume
