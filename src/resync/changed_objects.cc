#include "resync/changed_objects.h"

#include "resync/changes_since.h"
#include "volume/keys_format.h"

namespace lockstep::resync {
namespace {

constexpr std::size_t kNumberedKey = 9;  // a letter, then the number of an object

}  // namespace

void ChangedObjects::gather(const wire::Effect& effect) {
  for (const runtime::KeyChange& change : effect.batch) gather(change);
}

void ChangedObjects::gather(const runtime::KeyChange& change) {
  const std::string& key = change.key;
  if (key.size() < kNumberedKey) return;
  const Result<InodeId> inode = volume::parse_inode_key(std::string_view(key).substr(0, kNumberedKey));
  if (!inode) return;
  switch (key[0]) {
    case 'D': {
      const Result<volume::EntryKey> entry = volume::parse_entry_key(key);
      const Result<volume::EntryValue> value = volume::unpack_entry(change.value.value_or(std::string()));
      if (!entry || (change.value && !value)) return;
      return name({*inode, std::string(entry->name)}, change.value ? std::optional(value->inode) : std::nullopt);
    }
    case 'I':
      if (change.value) return this->change(*inode);
      if (const auto found = objects_.find(*inode); found != objects_.end()) {
        found->second.changed = false;
        if (found->second.nothing()) objects_.erase(found);
      }
      return;
    case 'E':
    case 'X': return this->change(*inode);
    default: return;
  }
}

void ChangedObjects::change(InodeId object) {
  if (!covers(object)) return;
  objects_[object].changed = true;
  trim();
}

void ChangedObjects::forgotten(InodeId object, bool removal) {
  if (!covers(object)) return;
  Object& it = objects_[object];
  it.changed = it.forgotten = true;
  it.removals_forgotten = it.removals_forgotten || removal;
  trim();
}

void ChangedObjects::name(Name name, std::optional<InodeId> named) {
  take_name(name);
  put_name(std::move(name), named);
  trim();
}

void ChangedObjects::take_name(const Name& name) {
  const auto owner = owner_of_.find(name);
  if (owner == owner_of_.end()) return;
  const auto object = objects_.find(owner->second);
  object->second.names.erase(name);
  if (object->first == name.first) object->second.removed.erase(name.second);
  if (object->second.nothing()) objects_.erase(object);
  owner_of_.erase(owner);
}

void ChangedObjects::put_name(Name name, std::optional<InodeId> named) {
  const InodeId owner = named.value_or(name.first);
  if (!covers(owner)) return;
  Object& it = objects_[owner];
  if (!named && it.removed.size() >= kRemovedPerDirectoryMax) {
    removals_cut_ = true;
    return;
  }
  owner_of_[name] = owner;
  if (named) it.names.insert(std::move(name));
  else it.removed.insert(std::move(name.second));
}

void ChangedObjects::trim() {
  while (objects_.size() > 1 && objects_.size() + owner_of_.size() > at_once_) {
    const auto last = std::prev(objects_.end());
    end_ = last->first;
    for (const Name& name : last->second.names) owner_of_.erase(name);
    for (const std::string& name : last->second.removed) owner_of_.erase({last->first, name});
    objects_.erase(last);
  }
}

}  // namespace lockstep::resync
