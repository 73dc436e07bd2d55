#include "volume/changes.h"

#include <algorithm>
#include <optional>

#include "volume/keys_format.h"

namespace lockstep::volume {
namespace {

using Kind = Change::Kind;
using DropKind = wire::Drop::Kind;

constexpr std::uint32_t kTypeBits = 0170000;

bool drops(const wire::Effect& effect, DropKind kind, InodeId inode) {
  return std::ranges::any_of(effect.drops, [&](const wire::Drop& drop) { return drop.kind == kind && drop.inode == inode; });
}

/// An entry that the batch puts, or (no value) erases.
struct Entry {
  NamePlace place;
  std::optional<EntryValue> value;
};

std::vector<Entry> entries_of(const wire::Effect& effect) {
  std::vector<Entry> found;
  for (const runtime::KeyChange& change : effect.batch) {
    if (!change.key.starts_with('D')) continue;
    const Result<EntryKey> key = parse_entry_key(change.key);
    const Result<InodeId> directory = parse_inode_key(std::string_view(change.key).substr(0, 9));
    if (!key || !directory) continue;
    Entry entry{{*directory, std::string(key->name)}, std::nullopt};
    if (change.value) {
      const Result<EntryValue> value = unpack_entry(*change.value);
      if (!value) continue;
      entry.value = *value;
    }
    found.push_back(std::move(entry));
  }
  return found;
}

/// How many names the object has after the effect, if the batch says so.
std::optional<std::uint32_t> links_after(const wire::Effect& effect, InodeId object) {
  const std::string key = inode_key(object);
  for (const runtime::KeyChange& change : effect.batch) {
    if (change.key != key || !change.value) continue;
    if (const Result<Inode> inode = unpack_inode(object, *change.value)) return inode->links;
  }
  return std::nullopt;
}

Change named(Kind kind, const Entry& entry) {
  Change change;
  change.kind = kind;
  change.at = entry.place;
  if (entry.value) {
    change.object = entry.value->inode;
    change.type = entry.value->type;
  }
  return change;
}

Change renamed(const Entry& from, const Entry& to) {
  Change change = named(Kind::renamed, to);
  change.at = from.place;
  change.to = to.place;
  return change;
}

/// The object other than `source` that lost its name to it.
InodeId replaced_by(const wire::Effect& effect, InodeId source) {
  for (const wire::Drop& drop : effect.drops) {
    if (drop.kind == DropKind::attributes && drop.inode != source) return drop.inode;
  }
  return kNoInode;
}

void add_names(const wire::Effect& effect, std::vector<Change>& changes) {
  const std::vector<Entry> entries = entries_of(effect);
  const auto puts = std::ranges::count_if(entries, [](const Entry& entry) { return entry.value.has_value(); });
  if (entries.size() == 2 && puts == 1) {
    const Entry& to = entries[0].value ? entries[0] : entries[1];
    const Entry& from = entries[0].value ? entries[1] : entries[0];
    changes.push_back(renamed(from, to));
    changes.back().replaced = replaced_by(effect, to.value->inode);
    return;
  }
  if (entries.size() == 2 && puts == 2) {
    // What a rename leaves at the old name is new.
    const auto fresh = std::ranges::find_if(entries, [&effect](const Entry& entry) { return !drops(effect, DropKind::attributes, entry.value->inode); });
    if (fresh != entries.end()) {
      const Entry& to = entries[fresh == entries.begin() ? 1 : 0];
      changes.push_back(renamed(*fresh, to));
      changes.back().replaced = replaced_by(effect, to.value->inode);
      changes.push_back(named(Kind::created, *fresh));
      return;
    }
    changes.push_back(renamed(entries[1], entries[0]));
    changes.push_back(renamed(entries[0], entries[1]));
    return;
  }
  for (const Entry& entry : entries) {
    if (!entry.value) {
      Change gone = named(Kind::removed, entry);
      if (entries.size() == 1) {
        gone.object = effect.outcome.attributes.inode;
        gone.type = effect.outcome.attributes.mode & kTypeBits;
      }
      changes.push_back(std::move(gone));
      continue;
    }
    const InodeId object = entry.value->inode;
    const bool more = drops(effect, DropKind::attributes, object) && links_after(effect, object).value_or(0) != 1;
    changes.push_back(named(more ? Kind::linked : Kind::created, entry));
  }
}

void add_data(const wire::Effect& effect, std::vector<Change>& changes) {
  const wire::Outcome& outcome = effect.outcome;
  for (const wire::Drop& drop : effect.drops) {
    if (drop.kind != DropKind::pages) continue;
    Change change;
    change.object = drop.inode;
    const bool about = outcome.attributes.inode == drop.inode;
    if (about) change.type = outcome.attributes.mode & kTypeBits;
    if (drop.range.empty()) {
      change.kind = Kind::resized;
      change.size = about ? outcome.attributes.size : drop.range.offset;
    } else {
      change.kind = Kind::written;
      change.bytes = drop.range;
      // Behind a hole at the end of file, kernels drop more than was written.
      const bool exact = about && outcome.offset >= drop.range.offset && outcome.offset < drop.range.end() &&
                         outcome.value == drop.range.end() - outcome.offset;
      if (exact) change.bytes = {outcome.offset, outcome.value};
    }
    changes.push_back(std::move(change));
  }
}

void add_xattrs(const wire::Effect& effect, std::vector<Change>& changes) {
  for (const runtime::KeyChange& pair : effect.batch) {
    if (!pair.key.starts_with('X')) continue;
    const Result<InodeId> object = parse_inode_key(std::string_view(pair.key).substr(0, 9));
    if (!object || (!drops(effect, DropKind::attributes, *object) && !drops(effect, DropKind::pages, *object))) continue;
    Change change;
    change.kind = pair.value ? Kind::xattr_set : Kind::xattr_removed;
    change.object = *object;
    if (effect.outcome.attributes.inode == *object) change.type = effect.outcome.attributes.mode & kTypeBits;
    change.xattr = std::string(parse_xattr_key(pair.key));
    changes.push_back(std::move(change));
  }
}

}  // namespace

std::vector<Change> changes_of(const wire::Effect& effect) {
  std::vector<Change> changes;
  if (effect.drops.empty() || effect.outcome.error != 0) return changes;
  add_names(effect, changes);
  add_data(effect, changes);
  add_xattrs(effect, changes);
  const InodeId about = effect.outcome.attributes.inode;
  if (changes.empty() && about != kNoInode && drops(effect, DropKind::attributes, about)) {
    Change change;
    change.kind = Kind::attributes;
    change.object = about;
    change.type = effect.outcome.attributes.mode & kTypeBits;
    changes.push_back(std::move(change));
  }
  return changes;
}

}  // namespace lockstep::volume
