// changed_names.h - names that another site has changed since this site's kernel was told of them last.
//
// Whatever a call of this site's host removes, replaces or moves by its name is taken for the object that the kernel knows under it: that one
// has a link less then, a directory is dead, and a rename puts it under the new name, where it is believed without being looked up. A drop of the
// name would tell the kernel better, but waits for the lock that such a call holds from its lookup on. So a request for such a call says what the
// kernel takes its names for (wire::Operation::expects), and by a name that is noted here: for something else.
//
// Where nothing is noted here the kernel has, under any name that it uses, what this site's volume has. A name too much costs a lookup. At most
// kMax are kept; the oldest goes first.
#pragma once

#include <cstddef>
#include <cstdint>
#include <list>
#include <map>
#include <string_view>
#include <utility>

#include "core/types.h"

namespace lockstep::fuse {

class ChangedNames {
 public:
  static constexpr std::size_t kMax = 65'536;

  /// Another site's change of `name` is in force.
  void changed(InodeId directory, std::string_view name);
  /// The kernel was told what the volume has under `name` now.
  void told(InodeId directory, std::string_view name);
  [[nodiscard]] bool is_changed(InodeId directory, std::string_view name) const { return names_.contains(key(directory, name)); }
  /// The kernel is gone.
  void clear();
  [[nodiscard]] std::size_t size() const { return names_.size(); }

 private:
  using Key = std::pair<InodeId, std::uint64_t>;  ///< directory, hash of the name
  static Key key(InodeId directory, std::string_view name);

  std::list<Key> oldest_first_;
  std::map<Key, std::list<Key>::iterator> names_;
};

}  // namespace lockstep::fuse
