#include "resync/changes_since.h"

#include <algorithm>
#include <map>
#include <set>

#include "fsck/paths.h"
#include "volume/keys_format.h"

namespace lockstep::resync {
namespace {

constexpr std::uint64_t kBytesAtOnce = 1u << 20;
constexpr std::size_t kNumberedKey = 9;  // a letter, then the number of an object

struct Gathered {
  std::map<std::pair<InodeId, std::string>, std::optional<InodeId>> names;  // directory, name -> what it names now; nullopt: nothing
  std::set<InodeId> objects;
  [[nodiscard]] bool full() const { return names.size() + objects.size() >= kChangesMax; }
};

void gather(const runtime::KeyChange& change, Gathered& into) {
  const std::string& key = change.key;
  if (key.size() < kNumberedKey) return;
  const Result<InodeId> inode = volume::parse_inode_key(std::string_view(key).substr(0, kNumberedKey));
  if (!inode) return;
  switch (key[0]) {
    case 'D': {
      const Result<volume::EntryKey> entry = volume::parse_entry_key(key);
      if (!entry) return;
      std::optional<InodeId> named;
      if (change.value) {
        const Result<volume::EntryValue> value = volume::unpack_entry(*change.value);
        if (!value) return;
        named = value->inode;
      }
      into.names[{*inode, std::string(entry->name)}] = named;
      return;
    }
    case 'I':
      if (change.value) into.objects.insert(*inode);
      else into.objects.erase(*inode);
      return;
    case 'E':
    case 'X': into.objects.insert(*inode); return;
    default: return;
  }
}

}  // namespace

std::string_view name_of(Change::What what) {
  switch (what) {
    case Change::What::made: return "made";
    case Change::What::removed: return "removed";
    case Change::What::changed: return "changed";
  }
  return "?";
}

runtime::Task<Result<ChangesSince>> changes_since(area::Log& log, runtime::KeyValue& keys, Seq since, std::vector<InodeId> unsettled) {
  ChangesSince result;
  Gathered gathered;
  gathered.objects.insert(unsettled.begin(), unsettled.end());
  for (Seq at = since; !gathered.full();) {
    Result<std::vector<wire::Effect>> effects = co_await log.read_after(at, kBytesAtOnce);
    if (!effects && effects.error().code == Errc::absent && result.complete) {
      result.complete = false;
      const Seq first = log.first();
      if (first == Seq{0} || first <= at) break;
      at = Seq{first.value - 1};
      continue;
    }
    if (!effects) co_return std::unexpected(effects.error());
    if (effects->empty()) break;
    for (const wire::Effect& effect : *effects) {
      for (const runtime::KeyChange& change : effect.batch) {
        if (!gathered.full()) gather(change, gathered);
      }
    }
    result.effects += effects->size();
    at = effects->back().seq;
  }
  result.cut_short = gathered.full();

  std::set<InodeId> wanted = gathered.objects;
  for (const auto& [name, inode] : gathered.names) wanted.insert(name.first);
  const Result<std::map<InodeId, std::string>> paths = co_await fsck::paths_of(keys, wanted);
  if (!paths) co_return std::unexpected(paths.error());
  const auto path_of = [&](InodeId inode) {
    if (inode == kRootInode) return std::string("/");
    const auto found = paths->find(inode);
    return found == paths->end() ? std::string() : found->second;
  };
  std::set<InodeId> said;
  for (const auto& [name, inode] : gathered.names) {
    const std::string folder = path_of(name.first);
    const std::string path = folder.empty() ? "(a directory that is gone)/" + name.second : (folder == "/" ? "" : folder) + "/" + name.second;
    result.changes.push_back({inode ? Change::What::made : Change::What::removed, inode.value_or(kNoInode), path});
    said.insert(name.first);  // that an entry of it changed says enough of a directory
    if (inode) said.insert(*inode);
  }
  for (const InodeId inode : gathered.objects) {
    if (said.contains(inode)) continue;
    const std::string path = path_of(inode);
    if (!path.empty()) result.changes.push_back({Change::What::changed, inode, path});
  }
  std::ranges::sort(result.changes, {}, &Change::path);
  co_return std::move(result);
}

}  // namespace lockstep::resync
