// names_window.h - some of the objects, by inode number, and the names of each that were met.
//
// 24 bytes an object and 24 more a directory. The objects of one window are those with numbers in [from, through];
// windows follow each other without gaps, so a name whose object is in no window names nothing.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "volume/keys_format.h"

namespace lockstep::fsck {

class NamesWindow {
 public:
  struct Object {
    std::uint64_t inode = 0;
    std::uint32_t links = 0;
    std::uint32_t names : 26 = 0;
    std::uint32_t type : 4 = 0;     ///< file type bits of st_mode, shifted down; 0: its inode is not readable
    std::uint32_t orphan : 1 = 0;   ///< listed as one
    std::uint32_t at_home : 1 = 0;  ///< a name was met in its home
    std::uint64_t home = 0;         ///< 0: not known, or a directory
  };
  struct Directory {
    std::uint64_t inode = 0;
    std::uint64_t parent = 0;
    std::uint64_t named_by = 0;  ///< a directory with a name of it: its parent if that has one; 0: none
  };
  static constexpr std::uint32_t kNamesMax = (1u << 26) - 1;
  static constexpr std::uint32_t kDirectoryType = 0040000 >> 12;

  /// Begins the window at `from`.
  void begin(std::uint64_t from);
  /// Requires: behind every object that was added since begin(). Null: the inode is not readable.
  void add(InodeId id, const volume::Inode* inode, bool orphan);
  void end(std::uint64_t through) { through_ = through; }
  [[nodiscard]] std::size_t bytes() const {
    return objects_.size() * sizeof(Object) + directories_.size() * sizeof(Directory);
  }

  [[nodiscard]] bool covers(InodeId id) const { return id.value >= from_ && id.value <= through_; }
  [[nodiscard]] std::uint64_t through() const { return through_; }
  /// Null: there is no such object.
  [[nodiscard]] Object* find(InodeId id);
  /// Null: it is no directory.
  [[nodiscard]] Directory* find_directory(InodeId id);
  /// A name of `object` was met in `directory`.
  void count(Object& object, InodeId directory);
  [[nodiscard]] std::vector<Object>& objects() { return objects_; }

 private:
  std::vector<Object> objects_;
  std::vector<Directory> directories_;
  std::uint64_t from_ = 0, through_ = 0;
};
static_assert(sizeof(NamesWindow::Object) == 24);

}  // namespace lockstep::fsck
