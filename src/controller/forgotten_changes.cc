#include "controller/forgotten_changes.h"

#include <algorithm>
#include <map>
#include <optional>
#include <string>

#include "volume/keys_format.h"

namespace lockstep::controller {
namespace {

/// Of records at once: what is decoded and written down in one step of the loop.
constexpr std::uint64_t kBytesAtOnce = 256u << 10;
constexpr std::size_t kKeysAtOnce = 1024;
constexpr std::size_t kNumberedKey = 9;  // a letter, then the number of an object

/// Keys to be put, with the effect, or deleted.
using Noted = std::map<std::string, std::optional<Seq>>;

bool ends_object(const runtime::KeyChange& change) { return change.key.starts_with('I') && !change.value; }

void note(const runtime::KeyChange& change, Seq seq, Noted& noted) {
  if (change.key.size() < kNumberedKey) return;
  const Result<InodeId> object = volume::parse_inode_key(std::string_view(change.key).substr(0, kNumberedKey));
  if (!object) return;
  switch (change.key[0]) {
    case 'I':
    case 'E':
    case 'X': noted[volume::own_key(*object, false)] = seq; return;
    case 'D': {
      noted[volume::own_key(*object, false)] = seq;
      if (!change.value) noted[volume::own_key(*object, true)] = seq;
      const Result<volume::EntryValue> entry = volume::unpack_entry(change.value.value_or(std::string()));
      if (entry) noted[volume::own_key(entry->inode, false)] = seq;
      return;
    }
    default: return;
  }
}

void note(const wire::Effect& effect, Noted& noted) {
  for (const runtime::KeyChange& change : effect.batch) {
    if (!ends_object(change)) note(change, effect.seq, noted);
  }
  // Its other keys go in the same effect: no key of it may be left.
  for (const runtime::KeyChange& change : effect.batch) {
    const Result<InodeId> object = ends_object(change) ? volume::parse_inode_key(change.key) : InodeId{};
    if (!object || *object == kNoInode) continue;
    noted[volume::own_key(*object, false)] = std::nullopt;
    noted[volume::own_key(*object, true)] = std::nullopt;
  }
}

Result<> put(runtime::KeyValue& keys, const Noted& noted, const volume::OwnSpan& span) {
  runtime::KeyBatch batch;
  batch.reserve(noted.size() + 1);
  for (const auto& [key, seq] : noted) batch.push_back({key, seq ? std::optional(volume::pack_u64(seq->value)) : std::nullopt});
  batch.push_back({std::string(volume::kOwnKey), volume::pack_own(span)});
  return keys.apply(batch);
}

/// What is written down. One that can't be read says that something is not known.
runtime::Task<Result<std::optional<volume::OwnSpan>>> span_in(area::Log& log, runtime::KeyValue& keys) {
  const Result<std::optional<std::string>> value = co_await keys.get(std::string(volume::kOwnKey));
  if (!value) co_return std::unexpected(value.error());
  if (!*value) co_return std::nullopt;
  const Result<volume::OwnSpan> span = volume::unpack_own(**value);
  co_return span ? *span : volume::OwnSpan{log.forgotten(), log.forgotten(), true};
}

/// What is written down and goes on where the log begins; else it begins anew there. Suspends.
runtime::Task<Result<volume::OwnSpan>> begun(area::Log& log, runtime::KeyValue& keys) {
  const Result<std::optional<volume::OwnSpan>> span = co_await span_in(log, keys);
  if (!span) co_return std::unexpected(span.error());
  if (*span && (*span)->through >= log.forgotten()) co_return **span;
  const Result<> dropped = co_await drop_forgotten(keys);
  if (!dropped) co_return std::unexpected(dropped.error());
  co_return volume::OwnSpan{log.forgotten(), log.forgotten()};
}

}  // namespace

runtime::Task<Result<>> note_forgotten(area::Log& log, runtime::KeyValue& keys, Seq through) {
  if (log.first() == Seq{} || through < log.first()) co_return Result<>{};
  const Result<volume::OwnSpan> before = co_await begun(log, keys);
  if (!before) co_return std::unexpected(before.error());
  volume::OwnSpan span = *before;
  while (span.through < through) {
    const Result<std::vector<wire::Effect>> effects = co_await log.read_after(span.through, kBytesAtOnce);
    if (!effects) co_return std::unexpected(effects.error());
    if (effects->empty()) break;
    Noted noted;
    for (const wire::Effect& effect : *effects) note(effect, noted);
    span.through = effects->back().seq;
    const Result<> done = put(keys, noted, span);
    if (!done) co_return done;
  }
  co_return Result<>{};
}

runtime::Task<Result<>> drop_forgotten(runtime::KeyValue& keys) {
  const volume::KeySpan all = volume::all_own();
  for (;;) {
    const Result<std::vector<runtime::KeyPair>> some = co_await keys.scan(all.from, all.to, kKeysAtOnce, nullptr);
    if (!some) co_return std::unexpected(some.error());
    if (some->empty()) co_return Result<>{};
    // The first of them is kOwnKey: whatever is killed here, the others are not believed without it.
    runtime::KeyBatch batch;
    for (const runtime::KeyPair& pair : *some) batch.push_back({pair.key, std::nullopt});
    const Result<> applied = keys.apply(batch);
    if (!applied) co_return applied;
  }
}

runtime::Task<Result<>> note_gap(runtime::KeyValue& keys, Seq through) {
  co_return keys.apply({{std::string(volume::kOwnKey), volume::pack_own({through, through, true})}});
}

runtime::Task<Result<std::optional<Seq>>> own_since(area::Log& log, runtime::KeyValue& keys, Seq since) {
  const Result<std::optional<volume::OwnSpan>> span = co_await span_in(log, keys);
  if (!span) co_return std::unexpected(span.error());
  const bool counts = *span && (*span)->through >= log.forgotten();
  if (!counts) co_return std::max(since, log.forgotten());
  if ((*span)->gap && since < (*span)->since) co_return std::nullopt;
  co_return std::max(since, (*span)->since);
}

}  // namespace lockstep::controller
