#include "fuse/changed_names.h"

#include "volume/keys_format.h"

namespace lockstep::fuse {

ChangedNames::Key ChangedNames::key(InodeId directory, std::string_view name) { return {directory, volume::name_hash(name)}; }

void ChangedNames::changed(InodeId directory, std::string_view name) {
  const Key it = key(directory, name);
  if (names_.contains(it)) return;
  if (names_.size() == kMax) {
    names_.erase(oldest_first_.front());
    oldest_first_.pop_front();
  }
  names_.emplace(it, oldest_first_.insert(oldest_first_.end(), it));
}

void ChangedNames::told(InodeId directory, std::string_view name) {
  if (names_.empty()) return;
  const auto it = names_.find(key(directory, name));
  if (it == names_.end()) return;
  oldest_first_.erase(it->second);
  names_.erase(it);
}

void ChangedNames::clear() {
  names_.clear();
  oldest_first_.clear();
}

}  // namespace lockstep::fuse
