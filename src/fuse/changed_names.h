// changed_names.h - names that another site has changed, of which a call of this site's host may still have an older view.
//
// Whatever a call removes, replaces or moves by its name is taken for the object that the kernel found under it: that one has a link less then, a
// directory is dead, and a rename puts it under the new name, where it is believed without being looked up. A drop of the name would tell the
// kernel better, but waits for the lock that such a call holds from its lookup on. So a request for such a call says what the kernel takes its names
// for (wire::Operation::expects): for what this site's volume has; by a name that is noted here for something else, unless the same thread has
// looked it up since. (A lookup by another thread says nothing of what the call found: it needs no lock where a name is only confirmed.)
//
// A note goes with the drop of the name, which has had the lock, and with a lookup some seconds later; and where a request has come that holds the
// lock (`settled`): no call is under way then that was before the change, but its own. One too many costs the kernel another lookup. At most kMax are
// kept; the oldest goes first.
#pragma once

#include <array>
#include <chrono>
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
  /// No call takes longer from its lookup to its request, but one that waits for what it would remove.
  static constexpr Duration kCallMax = std::chrono::seconds(5);

  /// Another site's change of `name` is in force.
  void changed(InodeId directory, std::string_view name, Instant now);
  /// Thread `pid` was told what the volume has under `name` now, be it nothing.
  void told(InodeId directory, std::string_view name, std::uint32_t pid, Instant now);
  /// The last change of `name`; 0: none is noted.
  [[nodiscard]] std::uint64_t last(InodeId directory, std::string_view name) const;
  /// The kernel has dropped the name since the change `number` was the last one.
  void dropped(InodeId directory, std::string_view name, std::uint64_t number);
  /// A call of thread `pid` may take `name` for something else than what the volume has. `settled`: the last change before somebody was seen to have
  /// the lock of the directory.
  [[nodiscard]] bool may_differ(InodeId directory, std::string_view name, std::uint32_t pid, std::uint64_t settled) const;
  /// Of all names.
  [[nodiscard]] std::uint64_t last() const { return changes_; }
  /// The kernel is gone.
  void clear();
  [[nodiscard]] std::size_t size() const { return names_.size(); }

 private:
  using Key = std::pair<InodeId, std::uint64_t>;  ///< directory, hash of the name
  struct Note {
    std::list<Key>::iterator place;
    std::uint64_t number = 0;
    Instant at;
    std::array<std::uint32_t, 4> told{};  ///< the last threads; 0: none
    std::uint8_t next = 0;
  };
  static Key key(InodeId directory, std::string_view name);
  void erase(std::map<Key, Note>::iterator it);

  std::list<Key> oldest_first_;
  std::map<Key, Note> names_;
  std::uint64_t changes_ = 0;
};

}  // namespace lockstep::fuse
