#include "fsck/paths.h"

#include <algorithm>
#include <map>

#include "fsck/key_cursor.h"

namespace lockstep::fsck {
namespace {

using runtime::Task;

/// Directories above an object that are looked at.
constexpr std::size_t kDepthMax = 256;
/// More directories than so many are not looked for each in its parent, which may be large, but by one reading of all entries.
constexpr std::size_t kLookedForSingly = 64;

struct Name {
  InodeId directory;
  std::string name;
};
using NamesOf = std::map<InodeId, Name>;

/// One name of each object that is a key of `names`.
Task<Result<>> find_names(runtime::KeyValue& keys, NamesOf& names) {
  KeyCursor at(keys, 'D');
  for (;;) {
    const Result<bool> more = co_await at.next();
    if (!more) co_return std::unexpected(more.error());
    if (!*more) co_return Result<>{};
    const Result<volume::EntryValue> entry = volume::unpack_entry(at.value());
    const Result<volume::EntryKey> key = volume::parse_entry_key(at.key());
    if (!entry || !key) continue;
    const auto wanted = names.find(entry->inode);
    if (wanted == names.end() || wanted->second.directory != kNoInode) continue;
    wanted->second = {InodeId{at.number()}, std::string(key->name)};
  }
}

/// Names of the directories above those of `names`, a level at a time, as long as there are many.
Task<Result<>> find_above(runtime::KeyValue& keys, NamesOf& names) {
  for (std::size_t depth = 0; depth < kDepthMax; ++depth) {
    NamesOf above;
    for (const auto& [object, name] : names) {
      const bool known = name.directory == kNoInode || name.directory == kRootInode || names.contains(name.directory);
      if (!known) above.emplace(name.directory, Name{});
    }
    if (above.size() <= kLookedForSingly) break;
    const Result<> found = co_await find_names(keys, above);
    if (!found) co_return found;
    names.merge(above);
  }
  co_return Result<>{};
}

/// The name that `directory` has in its parent. Inode 0: none. Suspends.
Task<Result<Name>> name_of_directory(runtime::KeyValue& keys, InodeId directory, NamesOf& known) {
  if (const auto found = known.find(directory); found != known.end() && found->second.directory != kNoInode)
    co_return found->second;
  const Result<std::optional<std::string>> value = co_await keys.get(volume::inode_key(directory));
  if (!value) co_return std::unexpected(value.error());
  if (!*value) co_return Name{};
  const Result<volume::Inode> inode = volume::unpack_inode(directory, **value);
  if (!inode || !inode->is_directory()) co_return Name{};
  KeyCursor at(keys, volume::entries_behind(inode->parent, 0));
  for (;;) {
    const Result<bool> more = co_await at.next();
    if (!more) co_return std::unexpected(more.error());
    if (!*more) co_return Name{};
    const Result<volume::EntryValue> entry = volume::unpack_entry(at.value());
    const Result<volume::EntryKey> key = volume::parse_entry_key(at.key());
    if (!entry || !key || entry->inode != directory) continue;
    Name name{inode->parent, std::string(key->name)};
    known[directory] = name;
    co_return std::move(name);
  }
}

/// Empty: it is not reached from the root. Suspends.
Task<Result<std::string>> path_of(runtime::KeyValue& keys, InodeId id, NamesOf& known) {
  if (id == kRootInode) co_return std::string("/");
  const auto first = known.find(id);
  if (first == known.end() || first->second.directory == kNoInode) co_return std::string();
  Name at = first->second;
  std::string path = "/" + at.name;
  for (std::size_t depth = 0; at.directory != kRootInode; ++depth) {
    const Result<Name> above = co_await name_of_directory(keys, at.directory, known);
    if (!above) co_return std::unexpected(above.error());
    if (above->directory == kNoInode || depth == kDepthMax) co_return std::string();
    at = *above;
    path.insert(0, "/" + at.name);
  }
  co_return std::move(path);
}

}  // namespace

Task<Result<>> find_paths(Examination& x) {
  NamesOf names;
  for (const Finding& finding : x.report.findings()) {
    if (finding.object != kNoInode && names.size() < kPathsMax) names.emplace(finding.object, Name{});
  }
  if (names.empty()) co_return Result<>{};
  x.begin("the paths of what was found");
  if (Result<> found = co_await find_names(x.keys(), names); !found) co_return found;
  for (Finding& finding : x.report.findings()) {
    if (finding.object == kNoInode) continue;
    Result<std::string> path = co_await path_of(x.keys(), finding.object, names);
    if (!path) co_return std::unexpected(path.error());
    finding.path = std::move(*path);
  }
  co_return Result<>{};
}

Task<Result<std::map<InodeId, std::string>>> paths_of(runtime::KeyValue& keys, std::set<InodeId> objects) {
  NamesOf names;
  for (const InodeId object : objects) names.emplace(object, Name{});
  std::map<InodeId, std::string> paths;
  if (names.empty()) co_return paths;
  Result<> found = co_await find_names(keys, names);
  if (found) found = co_await find_above(keys, names);
  if (!found) co_return std::unexpected(std::move(found.error()));
  for (const InodeId object : objects) {
    Result<std::string> path = co_await path_of(keys, object, names);
    if (!path) co_return std::unexpected(path.error());
    if (!path->empty()) paths[object] = std::move(*path);
  }
  co_return paths;
}

Task<Result<std::vector<NameOfObject>>> names_of(runtime::KeyValue& keys, std::set<InodeId> objects) {
  std::vector<NameOfObject> names;
  KeyCursor at(keys, 'D');
  while (!objects.empty()) {
    const Result<bool> more = co_await at.next();
    if (!more) co_return std::unexpected(more.error());
    if (!*more) break;
    const Result<volume::EntryValue> entry = volume::unpack_entry(at.value());
    const Result<volume::EntryKey> key = volume::parse_entry_key(at.key());
    if (entry && key && objects.contains(entry->inode)) names.push_back({entry->inode, InodeId{at.number()}, std::string(key->name)});
  }
  co_return names;
}

}  // namespace lockstep::fsck
