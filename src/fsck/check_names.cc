// Names against objects: for some of the objects at a time, all directory entries are gone through and counted.
#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "fsck/key_cursor.h"
#include "fsck/lost_and_found.h"
#include "fsck/names_window.h"
#include "fsck/object_rules.h"
#include "fsck/phases.h"

namespace lockstep::fsck {
namespace {

using runtime::Task;

constexpr std::uint64_t kToTheEnd = ~std::uint64_t{0};
constexpr std::uint32_t kDirectoryBits = 0040000;
/// Directories with too many names that are put right in one examination.
constexpr std::size_t kManyNamedMax = 4096;

std::string entry_place(std::string_view name) { return fmt::format("entry \"{}\"", printable(name)); }

class Names {
 public:
  explicit Names(Examination& x) : x_(x), inodes_(x.keys(), 'I'), orphans_(x.keys(), 'O'), lost_(x) {}

  Task<Result<>> run();

 private:
  /// Fills the window with the objects from `from` on. Suspends.
  Task<Result<>> load(std::uint64_t from);
  /// Orphans that are listed with a number below `before`: there is no such object. Suspends.
  Task<Result<>> unknown_orphans(std::uint64_t before);
  Task<Result<>> count_entries();
  Task<Result<>> count_entry(const KeyCursor& at);
  Task<Result<>> target_missing(const KeyCursor& at, const volume::EntryValue& entry, std::string_view name);
  Task<Result<bool>> anything_left_of(InodeId id);
  Task<Result<>> judge();
  Task<Result<>> judge_one(NamesWindow::Object& object);
  Task<Result<>> nameless(const NamesWindow::Object& object);
  Task<Result<>> wrong_links(const NamesWindow::Object& object);
  Task<Result<>> wrong_parent(const NamesWindow::Directory& directory);
  Task<Result<>> wrong_home(const NamesWindow::Object& object);
  Task<Result<>> wrong_root(const NamesWindow::Object& object);
  Result<> wrong_listing(const NamesWindow::Object& object);
  /// Takes away the names that directories have too many. Suspends.
  Task<Result<>> remove_names();
  Task<Result<>> check_root();

  Examination& x_;
  KeyCursor inodes_, orphans_;
  LostAndFound lost_;
  NamesWindow window_;
  /// Directory -> the one whose name stays; afterwards kNoInode, once that name was met.
  std::map<InodeId, InodeId> many_named_;
};

Task<Result<>> Names::unknown_orphans(std::uint64_t before) {
  while (orphans_.valid() && orphans_.number() < before) {
    const Finding finding{.rule = Rule::orphan,
                          .object = InodeId{orphans_.number()},
                          .found = "an orphan that is not there",
                          .expected = "no such entry in the list"};
    if (Result<> done = x_.mend(finding, {{orphans_.key(), std::nullopt}}); !done) co_return done;
    const Result<bool> more = co_await orphans_.next();
    if (!more) co_return std::unexpected(more.error());
  }
  co_return Result<>{};
}

Task<Result<>> Names::load(std::uint64_t from) {
  window_.begin(from);
  while (inodes_.valid() && window_.bytes() < x_.options.memory_bytes) {
    const InodeId id{inodes_.number()};
    if (Result<> passed = co_await unknown_orphans(id.value); !passed) co_return passed;
    const bool orphan = orphans_.valid() && orphans_.number() == id.value;
    const Result<volume::Inode> inode = volume::unpack_inode(id, inodes_.value());
    window_.add(id, inode ? &*inode : nullptr, orphan);
    window_.end(id.value);
    if (orphan) {
      const Result<bool> more = co_await orphans_.next();
      if (!more) co_return std::unexpected(more.error());
    }
    const Result<bool> more = co_await inodes_.next();
    if (!more) co_return std::unexpected(more.error());
  }
  if (!inodes_.valid()) {
    window_.end(kToTheEnd);
    co_return co_await unknown_orphans(kToTheEnd);
  }
  co_return Result<>{};
}

Task<Result<bool>> Names::anything_left_of(InodeId id) {
  volume::KeySpan entries = volume::entries_behind(id, 0);
  volume::KeySpan chunks = volume::chunks_of(id, 0, volume::kNoChunk);
  volume::KeySpan xattrs = volume::xattrs_of(id);
  for (volume::KeySpan* span : {&entries, &chunks, &xattrs}) {
    const Result<std::vector<runtime::KeyPair>> some = co_await x_.keys().scan(span->from, span->to, 1, nullptr);
    if (!some) co_return std::unexpected(some.error());
    if (!some->empty()) co_return true;
  }
  co_return false;
}

Task<Result<>> Names::target_missing(const KeyCursor& at, const volume::EntryValue& entry, std::string_view name) {
  const InodeId directory{at.number()};
  Finding finding{.rule = Rule::entry_target,
                  .object = directory,
                  .place = entry_place(name),
                  .found = fmt::format("the name of inode {}, which is not there", entry.inode.value),
                  .expected = "the name of an object"};
  // The directory of lost objects may have been made since the window was filled.
  const Result<std::optional<std::string>> made = co_await x_.keys().get(volume::inode_key(entry.inode));
  if (!made) co_return std::unexpected(made.error());
  if (*made) co_return Result<>{};
  if (entry.type == kDirectoryBits && !x_.repairing()) x_.directories_in_doubt = true;
  const Result<bool> left = co_await anything_left_of(entry.inode);
  if (!left) co_return std::unexpected(left.error());
  if (*left) {
    finding.found += ", though some of it is";
    x_.leave(std::move(finding));
    co_return Result<>{};
  }
  runtime::KeyBatch batch;
  if (Result<> done = co_await x_.remove_entry(at.key(), directory, entry.type == kDirectoryBits, batch); !done)
    co_return done;
  co_return x_.mend(std::move(finding), batch);
}

Task<Result<>> Names::count_entry(const KeyCursor& at) {
  const Result<volume::EntryValue> entry = volume::unpack_entry(at.value());
  if (!entry || !window_.covers(entry->inode)) co_return Result<>{};
  const Result<volume::EntryKey> key = volume::parse_entry_key(at.key());
  if (!key) co_return std::unexpected(key.error());
  const InodeId directory{at.number()};
  NamesWindow::Object* object = window_.find(entry->inode);
  if (object == nullptr) co_return co_await target_missing(at, *entry, key->name);
  window_.count(*object, directory);
  const std::uint32_t type = std::uint32_t{object->type} << 12;
  if (object->type == 0 || entry->type == type) co_return Result<>{};
  const Finding finding{.rule = Rule::entry_type,
                        .object = directory,
                        .place = entry_place(key->name),
                        .found = fmt::format("type {:o}", entry->type),
                        .expected = fmt::format("{:o}, as inode {} has", type, entry->inode.value)};
  co_return x_.mend(finding, {{at.key(), volume::pack_entry({entry->inode, type})}});
}

Task<Result<>> Names::count_entries() {
  KeyCursor at(x_.keys(), 'D');
  for (;;) {
    const Result<bool> more = co_await at.next();
    if (!more) co_return std::unexpected(more.error());
    if (!*more) co_return Result<>{};
    if (Result<> counted = co_await count_entry(at); !counted) co_return counted;
  }
}

Task<Result<>> Names::nameless(const NamesWindow::Object& object) {
  const InodeId id{object.inode};
  const bool directory = object.type == NamesWindow::kDirectoryType;
  Finding finding{.rule = Rule::nameless,
                  .object = id,
                  .found = fmt::format("{} links and no name", object.links),
                  .expected = "an object with a name"};
  if (!x_.repairing()) {
    if (directory) x_.directories_in_doubt = true;
    x_.mend_elsewhere(std::move(finding));
    co_return Result<>{};
  }
  runtime::KeyBatch batch;
  const Result<bool> moved = co_await lost_.move_in(id, batch);
  if (!moved) co_return std::unexpected(moved.error());
  if (*moved) co_return x_.mend(std::move(finding), batch);
  if (directory) x_.directories_in_doubt = true;
  x_.leave(std::move(finding));
  co_return Result<>{};
}

Task<Result<>> Names::wrong_links(const NamesWindow::Object& object) {
  const InodeId id{object.inode};
  const bool directory = object.type == NamesWindow::kDirectoryType;
  const Finding finding{.rule = Rule::links,
                        .object = id,
                        .found = fmt::format("{} links counted", object.links),
                        .expected = directory ? "more than none, for it has a name"
                                              : fmt::format("{}, the number of its names", object.names)};
  Result<std::optional<volume::Inode>> inode = co_await x_.inode(id);
  if (!inode) co_return std::unexpected(inode.error());
  if (!*inode) co_return Result<>{};
  (*inode)->links = object.names;
  if (directory) {
    const Result<std::uint32_t> inside = co_await subdirectories_of(x_, id);
    if (!inside) co_return std::unexpected(inside.error());
    (*inode)->links = 2 + *inside;
  }
  (*inode)->linkable = false;
  co_return x_.mend(finding,
                    {{volume::inode_key(id), volume::pack_inode(**inode)}, {volume::orphan_key(id), std::nullopt}});
}

Result<> Names::wrong_listing(const NamesWindow::Object& object) {
  const InodeId id{object.inode};
  Finding finding{.rule = Rule::orphan, .object = id};
  if (object.orphan != 0) {
    finding.found = "an object with a name in the list of orphans";
    finding.expected = "only objects without one";
    return x_.mend(std::move(finding), {{volume::orphan_key(id), std::nullopt}});
  }
  finding.found = "an object without links that is not in the list of orphans";
  finding.expected = "it in the list";
  return x_.mend(std::move(finding), {{volume::orphan_key(id), std::string()}});
}

Task<Result<>> Names::wrong_parent(const NamesWindow::Directory& directory) {
  const InodeId id{directory.inode};
  const Finding finding{.rule = Rule::parent,
                        .object = id,
                        .found = fmt::format("inode {} as its parent", directory.parent),
                        .expected = fmt::format("inode {}, which has its name", directory.named_by)};
  if (!x_.repairing()) x_.directories_in_doubt = true;
  Result<std::optional<volume::Inode>> inode = co_await x_.inode(id);
  if (!inode) co_return std::unexpected(inode.error());
  if (!*inode) co_return Result<>{};
  (*inode)->parent = InodeId{directory.named_by};
  co_return x_.mend(finding, {{volume::inode_key(id), volume::pack_inode(**inode)}});
}

Task<Result<>> Names::wrong_home(const NamesWindow::Object& object) {
  const InodeId id{object.inode};
  const Finding finding{.rule = Rule::parent,
                        .object = id,
                        .found = fmt::format("inode {} as its home, which has no name of it", object.home),
                        .expected = "a directory with a name of it, or none"};
  Result<std::optional<volume::Inode>> inode = co_await x_.inode(id);
  if (!inode) co_return std::unexpected(inode.error());
  if (!*inode) co_return Result<>{};
  (*inode)->parent = kNoInode;
  co_return x_.mend(finding, {{volume::inode_key(id), volume::pack_inode(**inode)}});
}

Task<Result<>> Names::wrong_root(const NamesWindow::Object& object) {
  Finding finding{.rule = Rule::root,
                  .object = kRootInode,
                  .found = fmt::format("{} names of the root", object.names),
                  .expected = "none"};
  if (object.names > 0) {
    if (!x_.repairing()) x_.directories_in_doubt = true;
    many_named_.emplace(kRootInode, kNoInode);
    x_.mend_elsewhere(finding);
  }
  if (object.links > 0) co_return Result<>{};
  finding.found = "no links";
  finding.expected = "two and one for each directory in it";
  Result<std::optional<volume::Inode>> inode = co_await x_.inode(kRootInode);
  if (!inode) co_return std::unexpected(inode.error());
  const Result<std::uint32_t> inside = co_await subdirectories_of(x_, kRootInode);
  if (!inside) co_return std::unexpected(inside.error());
  if (!*inode) co_return Result<>{};
  (*inode)->links = 2 + *inside;
  co_return x_.mend(std::move(finding), {{volume::inode_key(kRootInode), volume::pack_inode(**inode)}});
}

Task<Result<>> Names::judge_one(NamesWindow::Object& object) {
  NamesWindow::Directory* directory = window_.find_directory(InodeId{object.inode});
  const NameFacts facts{.links = object.links,
                        .names = object.names,
                        .directory = directory != nullptr,
                        .root = object.inode == kRootInode.value,
                        .orphan = object.orphan != 0,
                        .names_parent = directory != nullptr ? directory->named_by == directory->parent
                                                             : object.home == 0 || object.at_home != 0};
  for (const Rule rule : judge_names(facts)) {
    // An entry that can't be understood may be the name that is missed.
    const bool names_may_be_missed =
        x_.entries_unreadable > 0 && (facts.names < facts.links || facts.directory || rule == Rule::parent);
    Result<> done;
    if (rule == Rule::nameless && !names_may_be_missed) done = co_await nameless(object);
    if (rule == Rule::links && !names_may_be_missed) done = co_await wrong_links(object);
    if (rule == Rule::orphan) done = wrong_listing(object);
    if (rule == Rule::parent && directory != nullptr) done = co_await wrong_parent(*directory);
    if (rule == Rule::parent && directory == nullptr && !names_may_be_missed) done = co_await wrong_home(object);
    if (rule == Rule::root) done = co_await wrong_root(object);
    if (rule == Rule::directory_names) {
      Finding finding{.rule = rule,
                      .object = InodeId{object.inode},
                      .found = fmt::format("a directory with {} names", facts.names),
                      .expected = "one name"};
      if (!x_.repairing()) x_.directories_in_doubt = true;
      if (many_named_.size() < kManyNamedMax) {
        many_named_.emplace(InodeId{object.inode}, InodeId{directory->named_by});
        x_.mend_elsewhere(std::move(finding));
      } else {
        x_.directories_in_doubt = true;
        x_.leave(std::move(finding));
      }
    }
    if (!done) co_return done;
  }
  co_return Result<>{};
}

Task<Result<>> Names::judge() {
  for (NamesWindow::Object& object : window_.objects()) {
    if (object.type == 0) continue;
    if (Result<> done = co_await judge_one(object); !done) co_return done;
  }
  if (x_.repairing() && !many_named_.empty()) {
    if (Result<> done = co_await remove_names(); !done) co_return done;
  }
  many_named_.clear();
  co_return Result<>{};
}

Task<Result<>> Names::remove_names() {
  KeyCursor at(x_.keys(), 'D');
  for (;;) {
    const Result<bool> more = co_await at.next();
    if (!more) co_return std::unexpected(more.error());
    if (!*more) co_return Result<>{};
    const Result<volume::EntryValue> entry = volume::unpack_entry(at.value());
    if (!entry) continue;
    const auto many = many_named_.find(entry->inode);
    if (many == many_named_.end()) continue;
    const InodeId directory{at.number()};
    if (directory == many->second) {
      many->second = kNoInode;  // this one stays
      continue;
    }
    runtime::KeyBatch batch;
    Result<> done = co_await x_.remove_entry(at.key(), directory, true, batch);
    if (done) done = x_.change(batch);
    if (!done) co_return done;
  }
}

Task<Result<>> Names::check_root() {
  const Result<std::optional<volume::Inode>> root = co_await x_.inode(kRootInode);
  if (!root) co_return std::unexpected(root.error());
  Finding finding{.rule = Rule::root, .object = kRootInode, .expected = "a directory that is its own parent"};
  if (!*root) {
    const Result<std::optional<std::string>> value = co_await x_.keys().get(volume::inode_key(kRootInode));
    if (!value) co_return std::unexpected(value.error());
    x_.directories_in_doubt = true;
    if (*value) co_return Result<>{};  // the rule `value` has said so
    finding.found = "no root";
    x_.leave(std::move(finding));
  } else if (!(*root)->is_directory()) {
    x_.directories_in_doubt = true;
    finding.found = fmt::format("an object of mode {:o}", (*root)->mode);
    x_.leave(std::move(finding));
  } else if ((*root)->parent != kRootInode) {
    finding.found = fmt::format("a root whose parent is inode {}", (*root)->parent.value);
    volume::Inode right = **root;
    right.parent = kRootInode;
    co_return x_.mend(std::move(finding), {{volume::inode_key(kRootInode), volume::pack_inode(right)}});
  }
  co_return Result<>{};
}

Task<Result<>> Names::run() {
  if (Result<> done = co_await check_root(); !done) co_return done;
  for (KeyCursor* cursor : {&inodes_, &orphans_}) {
    const Result<bool> first = co_await cursor->next();
    if (!first) co_return std::unexpected(first.error());
  }
  std::uint64_t from = 0;
  do {
    Result<> done = co_await load(from);
    if (done) done = co_await count_entries();
    if (done) done = co_await judge();
    if (!done) co_return done;
    from = window_.through() + 1;
  } while (window_.through() != kToTheEnd);
  co_return Result<>{};
}

}  // namespace

Task<Result<>> check_names(Examination& x) {
  x.begin("names");
  Names names(x);
  co_return co_await names.run();
}

}  // namespace lockstep::fsck
