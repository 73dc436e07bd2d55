#include "fuse/moved_names.h"

#include <algorithm>

namespace lockstep::fuse {

namespace {

/// Above this, what is over is taken out each time that something comes in.
constexpr std::size_t kKeptMax = 256;

}  // namespace

void MovedNames::moved(InodeId object, Instant until) {
  if (moved_.size() >= kKeptMax) std::erase_if(moved_, [until](const auto& m) { return m.second + kCallMax < until; });
  Instant& kept = moved_[object];
  kept = std::max(kept, until);
}

void MovedNames::settled(InodeId object, Instant until) {
  const auto it = moved_.find(object);
  if (it != moved_.end() && it->second <= until) moved_.erase(it);
}

bool MovedNames::ask_again(InodeId object, std::uint32_t thread, Instant now) {
  if (thread == 0) return false;
  const auto it = moved_.find(object);
  if (it == moved_.end()) return false;
  if (it->second <= now) {
    moved_.erase(it);
    return false;
  }
  if (told_.size() >= kKeptMax) std::erase_if(told_, [now](const auto& t) { return t.second + kOnce <= now; });
  const auto [told, first] = told_.try_emplace(thread, now);
  if (!first && now < told->second + kOnce) return false;
  told->second = now;
  return true;
}

}  // namespace lockstep::fuse
