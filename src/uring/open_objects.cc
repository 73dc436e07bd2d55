#include "uring/open_objects.h"

#include "core/log.h"

namespace lockstep::uring {

void OpenObjects::opened(InodeId inode) {
  Open& open = open_[inode];
  if (open.handles++ != 0 || watchdog_ == nullptr) return;
  open.at = kNowhere;
  if (!free_.empty()) {
    open.at = free_.back();
    free_.pop_back();
  } else if (next_ < Watchdog::kOpenMax) {
    open.at = next_++;
  } else if (!std::exchange(full_said_, true)) {
    log::error("more than {} files are open: if this daemon hangs, the pages of those beyond stay readable", Watchdog::kOpenMax);
  }
  if (open.at != kNowhere) watchdog_->open(open.at, inode.value);
}

void OpenObjects::closed(InodeId inode) {
  const auto it = open_.find(inode);
  if (it == open_.end() || --it->second.handles != 0) return;
  release(it->second.at);
  open_.erase(it);
}

void OpenObjects::release(std::uint32_t at) {
  if (watchdog_ == nullptr || at == kNowhere) return;
  watchdog_->open(at, 0);
  free_.push_back(at);
}

void OpenObjects::clear() {
  for (const auto& [inode, open] : open_) release(open.at);
  open_.clear();
}

std::vector<InodeId> OpenObjects::all() const {
  std::vector<InodeId> out;
  out.reserve(open_.size());
  for (const auto& [inode, open] : open_) out.push_back(inode);
  return out;
}

}  // namespace lockstep::uring
