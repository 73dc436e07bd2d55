#include "site/watched_tree.h"

#include <sys/stat.h>

#include <algorithm>

namespace lockstep::site {
namespace {

using volume::Change;
using volume::NamePlace;

constexpr std::size_t kChangedMax = 16384;

}  // namespace

void WatchedTree::know(InodeId directory, NamePlace place) { known_.try_emplace(directory, Directory{std::move(place)}); }

void WatchedTree::watch(const Root& root) {
  roots_.push_back(root);
  if (!root.directory) return;
  Directory& it = known_.try_emplace(root.object, Directory{root.place}).first->second;
  if (!root.deep || it.deep) return;
  const bool listed = it.below;
  it.below = it.deep = true;
  if (!listed) unlisted_.push_back(root.object);
}

std::optional<InodeId> WatchedTree::unlisted() const {
  return unlisted_.empty() ? std::nullopt : std::optional(unlisted_.front());
}

void WatchedTree::begin_listing(InodeId directory) {
  listing_ = directory;
  changed_.clear();
  outdated_ = false;
}

bool WatchedTree::take(std::vector<volume::Entry>& entries) {
  if (outdated_) return false;
  std::erase_if(entries, [&](const volume::Entry& entry) { return changed_.contains(entry.name); });
  if (!is_below(listing_)) return true;
  for (const volume::Entry& entry : entries) {
    if (entry.type == S_IFDIR) add(entry.inode, {listing_, entry.name}, false);
  }
  return true;
}

void WatchedTree::end_listing() {
  std::erase(unlisted_, listing_);
  listing_ = kNoInode;
  changed_.clear();
}

bool WatchedTree::is_below(InodeId directory) const {
  for (std::size_t depth = 0; depth <= known_.size(); ++depth) {
    const auto found = known_.find(directory);
    if (found == known_.end() || !found->second.below) return false;
    if (found->second.deep) return true;
    directory = found->second.place.directory;
  }
  return false;
}

bool WatchedTree::watches(InodeId directory) const {
  const bool itself = std::ranges::any_of(roots_, [&](const Root& root) { return root.directory && root.object == directory; });
  return itself || is_below(directory);
}

bool WatchedTree::tells(const NamePlace& place, InodeId object) const {
  const bool itself = std::ranges::any_of(roots_, [&](const Root& root) { return root.directory ? root.object == object : root.place == place; });
  return itself || watches(place.directory);
}

std::optional<NamePlace> WatchedTree::place_of(InodeId object) const {
  if (const auto found = known_.find(object); found != known_.end()) return found->second.place;
  for (const Root& root : roots_) {
    if (!root.directory && root.object == object && object != kNoInode) return root.place;
  }
  return std::nullopt;
}

std::optional<std::string> WatchedTree::path(const NamePlace& place) const {
  if (place.directory == kNoInode) return "/";
  std::vector<const std::string*> names{&place.name};
  std::size_t bytes = place.name.size() + 1;
  for (InodeId at = place.directory; at != kRootInode;) {
    const auto found = known_.find(at);
    if (found == known_.end() || names.size() > known_.size() + 1) return std::nullopt;
    names.push_back(&found->second.place.name);
    bytes += names.back()->size() + 1;
    at = found->second.place.directory;
  }
  std::string path;
  path.reserve(bytes);
  for (auto name = names.rbegin(); name != names.rend(); ++name) path.append("/").append(**name);
  return path;
}

std::vector<InodeId> WatchedTree::watched() const {
  std::vector<InodeId> found;
  for (const auto& [directory, it] : known_) {
    if (watches(directory)) found.push_back(directory);
  }
  std::ranges::sort(found);
  return found;
}

bool WatchedTree::watches_directories() const { return std::ranges::any_of(roots_, &Root::directory); }

void WatchedTree::add(InodeId directory, const NamePlace& place, bool listed) {
  if (const auto found = known_.find(directory); found != known_.end()) {
    // On the way to a path, and now below another one.
    if (!std::exchange(found->second.below, true)) unlisted_.push_back(directory);
    return;
  }
  if (known_.size() >= kDirectoriesMax) {
    std::erase_if(known_, [&](const auto& pair) { return pair.second.below && !is_below(pair.first); });
    std::erase_if(unlisted_, [&](InodeId waiting) { return !known_.contains(waiting); });
  }
  if (known_.size() >= kDirectoriesMax) {
    full_ = true;
    return;
  }
  known_.emplace(directory, Directory{place, true, false});
  if (!listed) unlisted_.push_back(directory);
}

void WatchedTree::forget(InodeId directory) {
  known_.erase(directory);
  std::erase(unlisted_, directory);
  std::erase_if(roots_, [&](const Root& root) { return root.directory && root.object == directory; });
  std::erase_if(roots_, [&](const Root& root) { return !root.directory && root.place.directory == directory; });
}

void WatchedTree::follow(const Change& change) {
  for (const NamePlace* place : {&change.at, &change.to}) {
    if (place->directory != listing_ || listing_ == kNoInode) continue;
    if (changed_.size() < kChangedMax) {
      changed_.insert(place->name);
    } else {
      outdated_ = true;
    }
  }
  for (Root& root : roots_) {
    if (!root.directory) follow_name(root, change);
  }
  if (change.replaced != kNoInode && known_.contains(change.replaced)) forget(change.replaced);
  if (change.type == S_IFDIR) follow_directory(change);
}

void WatchedTree::follow_name(Root& root, const Change& change) const {
  const bool leaves = change.kind == Change::Kind::removed || change.kind == Change::Kind::renamed;
  const bool comes = change.kind != Change::Kind::removed;
  const NamePlace& now = change.kind == Change::Kind::renamed ? change.to : change.at;
  if (leaves && change.at == root.place && (root.object == change.object || change.object == kNoInode)) root.object = kNoInode;
  if (comes && now == root.place) root.object = change.object;
}

void WatchedTree::follow_directory(const Change& change) {
  switch (change.kind) {
    case Change::Kind::created: {
      const auto parent = known_.find(change.at.directory);
      if (parent != known_.end() && parent->second.below) add(change.object, change.at, true);
      break;
    }
    case Change::Kind::removed: forget(change.object); break;
    case Change::Kind::renamed:
      if (const auto found = known_.find(change.object); found != known_.end()) {
        found->second.place = change.to;
        drop_lost_roots();
      }
      if (is_below(change.to.directory)) add(change.object, change.to, false);
      break;
    default: break;
  }
}

/// A path that was moved to where no directory is known has no path any more.
void WatchedTree::drop_lost_roots() {
  std::erase_if(roots_, [&](const Root& root) {
    const auto found = known_.find(root.object);
    return !path(root.directory && found != known_.end() ? found->second.place : root.place);
  });
}

}  // namespace lockstep::site
