#include "fuse/inode_table.h"

#include <algorithm>

#include "core/check.h"

namespace lockstep::fuse {

InodeTable::InodeTable(runtime::Scheduler& scheduler) : scheduler_(scheduler) { known_[kRootInode].lookups = 1; }

KnownInode* InodeTable::find(InodeId inode) {
  const auto it = known_.find(inode);
  return it == known_.end() ? nullptr : &it->second;
}

void InodeTable::remove_if_unused(Known::iterator it) {
  const KnownInode& node = it->second;
  if (it->first == kRootInode || node.lookups != 0 || node.opens != 0 || node.pins != 0) return;
  known_.erase(it);
}

void InodeTable::forget(InodeId inode, std::uint64_t count) {
  const auto it = known_.find(inode);
  if (it == known_.end() || inode == kRootInode) return;
  it->second.lookups -= std::min(it->second.lookups, count);
  remove_if_unused(it);
}

bool InodeTable::known(InodeId inode) {
  const KnownInode* node = find(inode);
  return node != nullptr && node->lookups != 0;
}

bool InodeTable::closed(InodeId inode, std::uint32_t& growths) {
  const auto it = known_.find(inode);
  if (it == known_.end() || it->second.opens == 0) return false;
  if (--it->second.opens != 0) return false;
  growths = std::exchange(it->second.growths, 0);
  remove_if_unused(it);
  return true;
}

bool InodeTable::is_open(InodeId inode) {
  const KnownInode* node = find(inode);
  return node != nullptr && node->opens != 0;
}

std::vector<InodeId> InodeTable::all_open() const {
  std::vector<InodeId> out;
  for (const auto& [inode, node] : known_) {
    if (node.opens != 0) out.push_back(inode);
  }
  std::sort(out.begin(), out.end());
  return out;
}

std::vector<InodeId> InodeTable::all_known() const {
  std::vector<InodeId> out;
  out.reserve(known_.size());
  for (const auto& [inode, node] : known_) {
    if (node.lookups != 0) out.push_back(inode);
  }
  std::sort(out.begin(), out.end());
  return out;
}

void InodeTable::pages_kept(InodeId inode, ByteRange range) {
  KnownInode* node = find(inode);
  if (node == nullptr || range.empty()) return;
  const std::uint64_t from = range.offset / kBlockBytes * kBlockBytes;
  const std::uint64_t end = (range.end() + kBlockBytes - 1) / kBlockBytes * kBlockBytes;
  if (node->pages_from == node->pages_end) {
    node->pages_from = from;
    node->pages_end = end;
    return;
  }
  node->pages_from = std::min(node->pages_from, from);
  node->pages_end = std::max(node->pages_end, end);
}

bool InodeTable::may_keep_pages(InodeId inode, ByteRange range) {
  const KnownInode* node = find(inode);
  if (node == nullptr || node->pages_from == node->pages_end) return false;
  return range.offset < node->pages_end && (range.empty() || range.end() > node->pages_from);
}

void InodeTable::pages_drop_begins(InodeId inode, Instant now) {
  KnownInode* node = find(inode);
  if (node == nullptr) return;
  if (now - node->pages_dropped_at >= kOnItsWayMax) node->reread_from = node->reread_end = 0;
  node->pages_dropped_at = now;
}

void InodeTable::pages_read(InodeId inode, ByteRange range, Instant now) {
  KnownInode* node = find(inode);
  if (node == nullptr) return;
  if (node->activity) {
    // A page that the write filled is up to date and would not be read.
    for (PendingWrite* write : node->activity->writes) {
      if (write->buffered && !write->from_cache && write->range.offset < range.end() && range.offset < write->range.end()) write->drop_again = true;
    }
  }
  if (now - node->pages_dropped_at >= kOnItsWayMax) return;
  if (node->reread_from == node->reread_end) {
    node->reread_from = range.offset;
    node->reread_end = range.end();
    return;
  }
  node->reread_from = std::min(node->reread_from, range.offset);
  node->reread_end = std::max(node->reread_end, range.end());
}

bool InodeTable::pages_doubtful(InodeId inode, ByteRange range, Instant now) {
  KnownInode* node = find(inode);
  return node != nullptr && now - node->pages_dropped_at < kOnItsWayMax && range.offset < node->reread_end &&
         node->reread_from < range.end();
}

void InodeTable::pages_certain(InodeId inode, ByteRange range) {
  KnownInode* node = find(inode);
  if (node == nullptr || range.offset > node->reread_from || range.end() < node->reread_end) return;
  node->reread_from = node->reread_end = 0;
}

void InodeTable::pages_dropped(InodeId inode) {
  if (KnownInode* node = find(inode)) node->pages_from = node->pages_end = 0;
}

bool InodeTable::may_keep_names(InodeId directory) {
  const KnownInode* node = find(directory);
  return node != nullptr && node->names_age == names_age_;
}

KnownInode& InodeTable::pin(InodeId inode) {
  KnownInode& node = known_[inode];
  ++node.pins;
  return node;
}

void InodeTable::unpin(InodeId inode) {
  const auto it = known_.find(inode);
  CHECK(it != known_.end() && it->second.pins > 0);
  if (--it->second.pins != 0) return;
  it->second.activity.reset();
  remove_if_unused(it);
}

Activity& InodeTable::activity(KnownInode& node) {
  CHECK(node.pins > 0);
  if (!node.activity) node.activity = std::make_unique<Activity>(scheduler_);
  return *node.activity;
}

void InodeTable::clear() {
  for (auto it = known_.begin(); it != known_.end();) {
    it->second.lookups = it->first == kRootInode ? 1 : 0;
    it->second.opens = 0;
    const auto next = std::next(it);
    remove_if_unused(it);
    it = next;
  }
}

}  // namespace lockstep::fuse
