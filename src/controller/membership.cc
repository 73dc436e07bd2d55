#include "controller/membership.h"

#include <fmt/format.h>

#include "core/check.h"

namespace lockstep::controller {

Membership Membership::fresh(Uuid volume_id, SiteId primary, SiteSet all) {
  EpochEntry first;
  first.number = Epoch{1};
  first.id = volume_id;
  first.primary = primary;
  first.in_sync = all;
  return Membership({first});
}

Result<Membership> Membership::make(std::vector<EpochEntry> history) {
  if (history.empty()) return fail(Errc::invalid, "a history of memberships without an entry");
  if (history.size() > kHistoryMax) return fail(Errc::invalid, "a history of memberships with too many entries");
  Epoch before;
  for (const EpochEntry& entry : history) {
    if (entry.number <= before) return fail(Errc::invalid, fmt::format("epoch {} behind epoch {}", entry.number.value, before.value));
    if (entry.number.value >> (64 - kSeqEpochShift) != 0) return fail(Errc::invalid, "the number of an epoch is too large");
    if (entry.id.is_nil()) return fail(Errc::invalid, fmt::format("epoch {} has no id", entry.number.value));
    if (!entry.in_sync.has(entry.primary)) {
      return fail(Errc::invalid, fmt::format("the primary of epoch {} is not in its in-sync set", entry.number.value));
    }
    if (entry.base >= first_seq_of(entry.number)) {
      return fail(Errc::invalid, fmt::format("the base of epoch {} is not before it", entry.number.value));
    }
    before = entry.number;
  }
  return Membership(std::move(history));
}

EpochEntry Membership::next(Uuid id, SiteId primary, SiteSet in_sync, Seq base, bool forced) const {
  CHECK(in_sync.has(primary));
  EpochEntry entry;
  entry.number = Epoch{in_force().number.value + 1};
  entry.id = id;
  entry.primary = primary;
  entry.in_sync = in_sync;
  entry.base = base;
  entry.forced = forced;
  return entry;
}

void Membership::append(EpochEntry entry) {
  CHECK(entry.number > in_force().number && entry.in_sync.has(entry.primary));
  if (history_.size() == kHistoryMax) history_.erase(history_.begin());
  history_.push_back(std::move(entry));
}

std::optional<Membership::Common> Membership::last_common(const Membership& other) const {
  std::size_t i = history_.size(), j = other.history_.size();
  while (i > 0 && j > 0) {
    const EpochEntry& a = history_[i - 1];
    const EpochEntry& b = other.history_[j - 1];
    if (a.id == b.id) return Common{i - 1, j - 1};
    // Numbers rise in both: the higher one is not in the other history.
    if (a.number >= b.number) --i;
    if (b.number >= a.number) --j;
  }
  return std::nullopt;
}

}  // namespace lockstep::controller
