// watched_tree.h - what a watch looks at: paths, and the directories below them by number, so that objects have paths.
//
// Knows the directories from the root of the volume to each path, and, where all below a path is watched, every directory there. It is told of
// each change in the order in which they take force (follow()), so what it says is always as the volume is now. Directories that are not
// known yet are listed by whoever uses it:
//
//     while (unlisted()) { begin_listing(d); take(page) ...; end_listing(); }
//
// Invariants:
//   (1) The place of every known directory is the one that it has now.
//   (2) whole(): every directory below a deep path is known.
//   (3) At most kDirectoriesMax are known; more, and full() is true for good.
//
// A listing is of some moment while it runs: names that changed meanwhile are left out, follow() knows them better. Directories that were
// moved away stay known until there is no room. Decides only: reads nothing, sends nothing.
#pragma once

#include <deque>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "volume/changes.h"
#include "volume/volume.h"

namespace lockstep::site {

class WatchedTree {
 public:
  static constexpr std::size_t kDirectoriesMax = 32768;

  /// A path that is watched. Files are watched by name: whatever has the name, `object`, 0 if nothing. Directories are watched themselves,
  /// wherever they are moved.
  struct Root {
    InodeId object;
    volume::NamePlace place;
    bool directory = false;
    bool deep = false;  ///< with everything below it, else just what stands in it
  };

  /// Makes a directory known that lies on the way to a path.
  void know(InodeId directory, volume::NamePlace place);
  /// Requires: the directories above it are known.
  void watch(const Root& root);

  /// A directory whose subdirectories are not known yet. Nullopt: whole().
  [[nodiscard]] std::optional<InodeId> unlisted() const;
  [[nodiscard]] bool whole() const { return unlisted_.empty(); }
  void begin_listing(InodeId directory);
  /// Entries of it, a page; those that changed meanwhile are taken out of `entries`. False: too many did, begin again.
  [[nodiscard]] bool take(std::vector<volume::Entry>& entries);
  /// All pages were taken, or the directory is gone.
  void end_listing();

  /// Entries of the directory are watched.
  [[nodiscard]] bool watches(InodeId directory) const;
  /// The name, or the object that has it, is watched.
  [[nodiscard]] bool tells(const volume::NamePlace& place, InodeId object) const;
  /// Where a known directory, or what a watched name of a file stands for, is. The root: nowhere (0).
  [[nodiscard]] std::optional<volume::NamePlace> place_of(InodeId object) const;
  /// From the root of the volume. Nullopt: the directory is not known.
  [[nodiscard]] std::optional<std::string> path(const volume::NamePlace& place) const;
  /// Directories whose entries are watched.
  [[nodiscard]] std::vector<InodeId> watched() const;
  [[nodiscard]] bool watches_directories() const;

  /// A change of names has taken force.
  void follow(const volume::Change& change);

  /// Nothing of what was watched is left, or known where.
  [[nodiscard]] bool over() const { return roots_.empty(); }
  [[nodiscard]] bool full() const { return full_; }
  [[nodiscard]] std::size_t directories() const { return known_.size(); }

 private:
  struct Directory {
    volume::NamePlace place;
    bool below = false;  // a deep path, or was when it was found
    bool deep = false;   // is a deep path itself
  };
  [[nodiscard]] bool is_below(InodeId directory) const;
  void add(InodeId directory, const volume::NamePlace& place, bool listed);
  void forget(InodeId directory);
  void follow_directory(const volume::Change& change);
  void follow_name(Root& root, const volume::Change& change) const;
  void drop_lost_roots();

  std::vector<Root> roots_;
  std::unordered_map<InodeId, Directory> known_;
  std::deque<InodeId> unlisted_;  // each once
  InodeId listing_;
  std::set<std::string> changed_;  // names in listing_, since begin_listing()
  bool outdated_ = false;          // too many to remember
  bool full_ = false;
};

}  // namespace lockstep::site
