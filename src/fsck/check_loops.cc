// Directories that contain each other: from every directory the root must be reached by going to the parent.
#include <fmt/format.h>

#include <vector>

#include "fsck/key_cursor.h"
#include "fsck/lost_and_found.h"
#include "fsck/phases.h"

namespace lockstep::fsck {
namespace {

using runtime::Task;

/// Ancestors of one climb that are remembered.
constexpr std::size_t kPathMax = 64;

/// Some of the directories from which the root is known to be reached; each has one place, where the last one stays.
class Reached {
 public:
  Reached() : places_(std::size_t{1} << 20) {}
  void put(InodeId id) { places_[place(id)] = id.value; }
  [[nodiscard]] bool has(InodeId id) const { return id == kRootInode || places_[place(id)] == id.value; }

 private:
  [[nodiscard]] std::size_t place(InodeId id) const { return (id.value * 0x9E3779B97F4A7C15u) >> 44; }
  std::vector<std::uint64_t> places_;
};

class Loops {
 public:
  explicit Loops(Examination& x) : x_(x), lost_(x) {}
  Task<Result<>> run();

 private:
  /// Climbs from `id`, whose parent is `parent`. Suspends.
  Task<Result<>> climb(InodeId id, InodeId parent);
  Task<Result<>> break_at(InodeId id, InodeId parent);

  Examination& x_;
  LostAndFound lost_;
  Reached reached_;
};

// The path is followed with a mark left behind at every power of two of steps (Brent): meeting the mark again is a
// loop.
Task<Result<>> Loops::climb(InodeId id, InodeId parent) {
  std::vector<InodeId> path{id};
  InodeId at = parent, mark = id;
  std::uint64_t steps = 0, mark_again = 2;
  while (!reached_.has(at)) {
    if (at == mark) break;
    if (++steps == mark_again) {
      mark = at;
      mark_again *= 2;
      steps = 0;
    }
    if (path.size() < kPathMax) path.push_back(at);
    const Result<std::optional<volume::Inode>> inode = co_await x_.inode(at);
    if (!inode) co_return std::unexpected(inode.error());
    // Its inode can't be understood, which the rule `value` has said: what is above it is not known.
    if (!*inode || !(*inode)->is_directory()) co_return Result<>{};
    at = (*inode)->parent;
  }
  if (reached_.has(at)) {
    for (const InodeId known : path) reached_.put(known);
    co_return Result<>{};
  }
  // `at` is in the loop; `id` may only lead into it. One of the loop is named: the one with the lowest number.
  InodeId lowest = at, lowest_parent, walk = at;
  do {
    const Result<std::optional<volume::Inode>> inode = co_await x_.inode(walk);
    if (!inode) co_return std::unexpected(inode.error());
    if (!*inode) co_return Result<>{};
    if (walk <= lowest) {
      lowest = walk;
      lowest_parent = (*inode)->parent;
    }
    walk = (*inode)->parent;
  } while (walk != at);
  if (lowest == id) co_return co_await break_at(lowest, lowest_parent);
  co_return Result<>{};  // it is named when its turn comes, or was
}

Task<Result<>> Loops::break_at(InodeId id, InodeId parent) {
  Finding finding{.rule = Rule::loop,
                  .object = id,
                  .found = "a directory that contains itself, through others or not",
                  .expected = "one that is reached from the root"};
  if (!x_.repairing()) {
    x_.mend_elsewhere(std::move(finding));
    co_return Result<>{};
  }
  KeyCursor at(x_.keys(), volume::entries_behind(parent, 0));
  for (;;) {
    const Result<bool> more = co_await at.next();
    if (!more) co_return std::unexpected(more.error());
    if (!*more) break;
    const Result<volume::EntryValue> entry = volume::unpack_entry(at.value());
    if (!entry || entry->inode != id) continue;
    runtime::KeyBatch batch;
    Result<> done = co_await x_.remove_entry(at.key(), parent, true, batch);
    if (done) done = x_.change(batch);
    if (!done) co_return done;
    break;
  }
  runtime::KeyBatch batch;
  const Result<bool> moved = co_await lost_.move_in(id, batch);
  if (!moved) co_return std::unexpected(moved.error());
  if (!*moved) {
    x_.leave(std::move(finding));
    co_return Result<>{};
  }
  co_return x_.mend(std::move(finding), batch);
}

Task<Result<>> Loops::run() {
  KeyCursor at(x_.keys(), 'I');
  for (;;) {
    const Result<bool> more = co_await at.next();
    if (!more) co_return std::unexpected(more.error());
    if (!*more) co_return Result<>{};
    const InodeId id{at.number()};
    const Result<volume::Inode> inode = volume::unpack_inode(id, at.value());
    // One without links has no name: it is in no directory.
    if (!inode || !inode->is_directory() || inode->links == 0 || id == kRootInode) continue;
    if (Result<> climbed = co_await climb(id, inode->parent); !climbed) co_return climbed;
  }
}

}  // namespace

Task<Result<>> check_loops(Examination& x) {
  if (x.directories_in_doubt) {
    x.report.note("loops of directories were not looked for: parents and names must agree first");
    co_return Result<>{};
  }
  x.begin("loops of directories");
  Loops loops(x);
  co_return co_await loops.run();
}

}  // namespace lockstep::fsck
