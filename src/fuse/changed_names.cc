#include "fuse/changed_names.h"

#include <algorithm>

#include "volume/keys_format.h"

namespace lockstep::fuse {

ChangedNames::Key ChangedNames::key(InodeId directory, std::string_view name) { return {directory, volume::name_hash(name)}; }

void ChangedNames::erase(std::map<Key, Note>::iterator it) {
  oldest_first_.erase(it->second.place);
  names_.erase(it);
}

void ChangedNames::changed(InodeId directory, std::string_view name, Instant now) {
  const Key it = key(directory, name);
  if (const auto found = names_.find(it); found != names_.end()) erase(found);
  if (names_.size() == kMax) erase(names_.find(oldest_first_.front()));
  names_.emplace(it, Note{.place = oldest_first_.insert(oldest_first_.end(), it), .number = ++changes_, .at = now});
}

void ChangedNames::told(InodeId directory, std::string_view name, std::uint32_t pid, Instant now) {
  if (names_.empty()) return;
  const auto found = names_.find(key(directory, name));
  if (found == names_.end()) return;
  Note& note = found->second;
  if (now - note.at > kCallMax) return erase(found);
  if (std::ranges::find(note.told, pid) != note.told.end()) return;
  note.told[note.next] = pid;
  note.next = static_cast<std::uint8_t>((note.next + 1) % note.told.size());
}

std::uint64_t ChangedNames::last(InodeId directory, std::string_view name) const {
  const auto found = names_.find(key(directory, name));
  return found == names_.end() ? 0 : found->second.number;
}

void ChangedNames::dropped(InodeId directory, std::string_view name, std::uint64_t number) {
  const auto found = names_.find(key(directory, name));
  if (found != names_.end() && found->second.number == number) erase(found);
}

bool ChangedNames::may_differ(InodeId directory, std::string_view name, std::uint32_t pid, std::uint64_t settled) const {
  const auto found = names_.find(key(directory, name));
  if (found == names_.end() || found->second.number <= settled) return false;
  const auto& told = found->second.told;
  return pid == 0 || std::ranges::find(told, pid) == told.end();
}

void ChangedNames::clear() {
  names_.clear();
  oldest_first_.clear();
}

}  // namespace lockstep::fuse
