#include "resync/changes_since.h"

#include <algorithm>
#include <map>
#include <set>

#include "controller/forgotten_changes.h"
#include "core/probe.h"
#include "fsck/key_cursor.h"
#include "fsck/paths.h"
#include "resync/changed_objects.h"
#include "volume/keys_format.h"

namespace lockstep::resync {
namespace {

using runtime::Task;

constexpr std::uint64_t kBytesAtOnce = 1u << 20;
Probe from_keys("something changed apart was listed that the log had forgotten");

constexpr char kForgottenNames[] = "(names that the log has forgotten)";

std::unexpected<Error> interrupted() { return fail(Errc::stopped, "it was interrupted"); }

class List {
 public:
  List(area::Log& log, runtime::KeyValue& keys, ChangesQuestion question)
      : log_(log), keys_(keys), question_(std::move(question)), gathered_(question_.from, question_.at_once) {}

  Task<Result<ChangesSince>> run() {
    for (const InodeId object : question_.unsettled) gathered_.change(object);
    Result<> done = co_await read_log();
    // Behind the log: what that forgets meanwhile was written down before.
    if (done) done = co_await read_forgotten();
    if (done) done = co_await find_names();
    if (!done) co_return std::unexpected(done.error());
    list_names();
    list_objects();
    std::ranges::sort(result_.changes, {}, &Change::path);
    result_.next = gathered_.end();
    result_.removals_complete = result_.removals_complete && !gathered_.removals_cut();
    co_return std::move(result_);
  }

 private:
  [[nodiscard]] bool ends() const { return question_.ends && question_.ends(); }

  Task<Result<>> read_log() {
    for (Seq at = question_.since;;) {
      if (ends()) co_return interrupted();
      const Result<std::vector<wire::Effect>> effects = co_await log_.read_after(at, kBytesAtOnce);
      const bool forgotten = !effects && effects.error().code == Errc::absent && at < log_.forgotten();
      if (forgotten) at = log_.forgotten();
      if (forgotten) continue;
      if (!effects) co_return std::unexpected(effects.error());
      if (effects->empty()) co_return Result<>{};
      for (const wire::Effect& effect : *effects) gathered_.gather(effect);
      result_.effects += effects->size();
      at = effects->back().seq;
    }
  }

  Task<Result<>> read_forgotten() {
    const Result<std::optional<Seq>> own = co_await controller::own_since(log_, keys_, question_.since);
    if (!own) co_return std::unexpected(own.error());
    result_.complete = own->has_value();
    const Seq since = own->value_or(question_.since);
    if (since >= log_.forgotten()) co_return Result<>{};
    fsck::KeyCursor at(keys_, volume::own_from(question_.from));
    for (;;) {
      if (ends()) co_return interrupted();
      const Result<bool> more = co_await at.next();
      if (!more) co_return std::unexpected(more.error());
      if (!*more) co_return Result<>{};
      const Result<volume::OwnKey> key = volume::parse_own_key(at.key());
      const Result<std::uint64_t> seq = volume::unpack_u64(at.value());
      if (!key || !seq) co_return std::unexpected(key ? seq.error() : key.error());
      if (!gathered_.covers(key->inode)) co_return Result<>{};
      if (*seq <= since.value) continue;
      gathered_.forgotten(key->inode, key->removal);
      from_keys.hit();
    }
  }

  /// The paths of all directories and objects that are listed, and all names of those of which the log has forgotten something.
  Task<Result<>> find_names() {
    std::set<InodeId> wanted, every_name;
    for (const auto& [inode, object] : gathered_.objects()) {
      wanted.insert(inode);
      if (object.forgotten) every_name.insert(inode);
      for (const auto& name : object.names) wanted.insert(name.first);
    }
    Result<std::vector<fsck::NameOfObject>> names = co_await fsck::names_of(keys_, std::move(every_name));
    if (!names) co_return std::unexpected(names.error());
    for (const fsck::NameOfObject& name : *names) wanted.insert(name.directory);
    if (ends()) co_return interrupted();
    Result<std::map<InodeId, std::string>> paths = co_await fsck::paths_of(keys_, std::move(wanted));
    if (!paths) co_return std::unexpected(paths.error());
    forgotten_names_ = std::move(*names);
    paths_ = std::move(*paths);
    paths_[kRootInode] = "/";
    co_return Result<>{};
  }

  [[nodiscard]] std::string path_of(InodeId inode) const {
    const auto found = paths_.find(inode);
    return found == paths_.end() ? std::string() : found->second;
  }
  [[nodiscard]] std::string path_in(InodeId directory, const std::string& name) const {
    const std::string folder = path_of(directory);
    return (folder.empty() ? "(a directory that is gone)" : folder == "/" ? "" : folder) + "/" + name;
  }

  void list_names() {
    for (const auto& [inode, object] : gathered_.objects()) {
      for (const auto& [directory, name] : object.names) {
        result_.changes.push_back({Change::What::made, inode, path_in(directory, name)});
        said_.insert(directory);  // that an entry of it changed says enough of a directory
        said_.insert(inode);
      }
      for (const std::string& name : object.removed) result_.changes.push_back({Change::What::removed, kNoInode, path_in(inode, name)});
      if (!object.removed.empty()) said_.insert(inode);
      if (!object.removals_forgotten) continue;
      result_.removals_complete = false;
      if (!path_of(inode).empty()) result_.changes.push_back({Change::What::removed, kNoInode, path_in(inode, kForgottenNames), false});
    }
    for (const fsck::NameOfObject& at : forgotten_names_) {
      const auto object = gathered_.objects().find(at.object);
      if (object->second.names.contains({at.directory, at.name})) continue;
      result_.changes.push_back({Change::What::changed, at.object, path_in(at.directory, at.name), false});
      said_.insert(at.object);
    }
  }

  void list_objects() {
    for (const auto& [inode, object] : gathered_.objects()) {
      if (!object.changed || said_.contains(inode)) continue;
      const std::string path = path_of(inode);
      if (!path.empty()) result_.changes.push_back({Change::What::changed, inode, path, !object.forgotten});
    }
  }

  area::Log& log_;
  runtime::KeyValue& keys_;
  const ChangesQuestion question_;
  ChangedObjects gathered_;
  ChangesSince result_;
  std::vector<fsck::NameOfObject> forgotten_names_;
  std::map<InodeId, std::string> paths_;
  std::set<InodeId> said_;
};

}  // namespace

std::string_view name_of(Change::What what) {
  switch (what) {
    case Change::What::made: return "made";
    case Change::What::removed: return "removed";
    case Change::What::changed: return "changed";
  }
  return "?";
}

Task<Result<ChangesSince>> changes_since(area::Log& log, runtime::KeyValue& keys, ChangesQuestion question) {
  List list(log, keys, std::move(question));
  co_return co_await list.run();
}

}  // namespace lockstep::resync
