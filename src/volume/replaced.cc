// Being made equal to another site: keys that change past everything kept in memory, and beginning anew from them.
#include <fmt/format.h>

#include "volume/file_volume.h"
#include "volume/raw_keys.h"

namespace lockstep::volume {

Result<> FileVolume::apply_raw(const wire::KeyBatch& pairs) {
  runtime::KeyBatch batch;
  batch.reserve(pairs.size() + 1);
  const std::optional<std::string>* counts = nullptr;
  for (const runtime::KeyChange& pair : pairs) {
    if (pair.key == kCountsKey) {
      counts = &pair.value;
    } else if (shared_key(pair.key)) {
      batch.push_back(pair);
    } else {
      return fail(Errc::invalid, "keys to be replaced have one that belongs to one site");
    }
  }
  std::optional<Progress> counted;
  if (counts != nullptr) {
    // What N says comes with the other keys; reload() looks at it.
    const Result<Progress> unpacked = counts_of(*counts, 0);
    if (!unpacked) return fail(Errc::invalid, "the counts of the other site are not readable");
    counted = *unpacked;
  }
  // In the store before the first key that is not this site's own, or with it.
  if (!being_replaced_) batch.push_back({std::string(kMixedKey), std::string()});
  if (!batch.empty()) {
    if (const Result<> applied = state_.keys.store().apply(batch); !applied) return applied;
  }
  being_replaced_ = true;
  if (counted) source_counts_ = counted;
  state_.keys.forget();
  return {};
}

runtime::Task<Result<>> FileVolume::reload(Seq seq) {
  if (!source_counts_)
    co_return fail(Errc::invalid, "the keys were replaced, but the counts of the other site are not known");
  if (source_counts_->applied > seq)
    co_return fail(Errc::invalid, fmt::format("the keys are of effect {}, not of effect {}",
                                              source_counts_->applied.value, seq.value));
  Result<Counters> counters = co_await read_counters();
  if (!counters) co_return std::unexpected(std::move(counters.error()));
  counters->progress.applied = seq;
  if (counters->progress.next_inode == 0) counters->progress.next_inode = counters->inode_bound;
  if (counters->progress.next_inode > counters->inode_bound)
    co_return fail(Errc::corrupt,
                   fmt::format("the next inode number is {}, above the bound {} of the other site's metadata; run "
                               "lockstep fsck there",
                               counters->progress.next_inode, counters->inode_bound));

  // One step: nothing is asked between the old and the new.
  const runtime::KeyBatch done{{std::string(kMixedKey), std::nullopt},
                               {std::string(kSeqKey), pack_progress(counters->progress)}};
  if (Result<> applied = state_.keys.store().apply(done); !applied) co_return applied;
  take_counters(std::move(*counters));
  state_.keys.forget();
  state_.lazy.clear();
  state_.dirty.forget_all();
  state_.homes.forget();
  source_counts_.reset();
  being_replaced_ = false;
  ++reloads_;
  co_return Result<>{};
}

}  // namespace lockstep::volume
