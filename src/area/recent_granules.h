// recent_granules.h - the granules touched last, at most kKeptGranules of them, in the order of their last touch.
#pragma once

#include <cstdint>
#include <unordered_map>
#include <vector>

#include "area/suspects.h"

namespace lockstep::area {

class RecentGranules {
 public:
  /// Makes `granule` the last one touched; the one touched longest ago leaves when there are too many.
  void touch(std::uint64_t granule) {
    if (last_ != kNone && places_[last_].granule == granule) return;
    std::uint32_t at;
    if (const auto found = index_.find(granule); found != index_.end()) {
      at = found->second;
      take_out(at);
    } else if (places_.size() < kKeptGranules) {
      at = static_cast<std::uint32_t>(places_.size());
      places_.push_back({granule, kNone, kNone});
      index_.emplace(granule, at);
    } else {
      at = first_;
      take_out(at);
      index_.erase(places_[at].granule);
      places_[at].granule = granule;
      index_.emplace(granule, at);
    }
    places_[at].before = last_;
    places_[at].after = kNone;
    (last_ == kNone ? first_ : places_[last_].after) = at;
    last_ = at;
  }
  [[nodiscard]] bool contains(std::uint64_t granule) const { return index_.contains(granule); }

 private:
  static constexpr std::uint32_t kNone = UINT32_MAX;
  struct Place {
    std::uint64_t granule;
    std::uint32_t before, after;  ///< touched before, after it
  };
  void take_out(std::uint32_t at) {
    const Place& p = places_[at];
    (p.before == kNone ? first_ : places_[p.before].after) = p.after;
    (p.after == kNone ? last_ : places_[p.after].before) = p.before;
  }

  std::vector<Place> places_;
  std::unordered_map<std::uint64_t, std::uint32_t> index_;  ///< never iterated
  std::uint32_t first_ = kNone, last_ = kNone;
};

}  // namespace lockstep::area
