// changed_objects.h - what effects changed, gathered per object, of a range of object numbers that fits into memory.
//
// A name belongs to the object that it names, one that names nothing any more to its directory: so all that is said of an object stands
// together, and what a later effect says takes the place of what an earlier one said, wherever a part begins. Where there is too much the objects with the
// highest numbers are left to the next part, for good: end() only falls.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>

#include "core/types.h"
#include "wire/messages.h"

namespace lockstep::resync {

class ChangedObjects {
 public:
  struct Object {
    bool changed = false;                              ///< its attributes, extents or extended attributes, or that is forgotten
    bool forgotten = false;                            ///< something that the log does not say any more
    bool removals_forgotten = false;                   ///< names that it had, too
    std::set<std::pair<InodeId, std::string>> names;   ///< that it got: directory, name
    std::set<std::string> removed;                     ///< names that this directory lost
    [[nodiscard]] bool nothing() const { return !changed && !forgotten && !removals_forgotten && names.empty() && removed.empty(); }
  };

  /// Of objects from `from` on; about `at_once` objects and names, and all that belongs to one object.
  ChangedObjects(InodeId from, std::size_t at_once) : from_(from), at_once_(at_once) {}

  /// Effects in their order.
  void gather(const wire::Effect& effect);
  void change(InodeId object);
  /// What the log has forgotten. `removal`: that the directory lost names.
  void forgotten(InodeId object, bool removal);

  [[nodiscard]] InodeId from() const { return from_; }
  /// Objects from here on are not in it; nullopt: all are.
  [[nodiscard]] std::optional<InodeId> end() const { return end_; }
  [[nodiscard]] bool covers(InodeId object) const { return object >= from_ && (!end_ || object < *end_); }
  [[nodiscard]] const std::map<InodeId, Object>& objects() const { return objects_; }
  /// A directory lost more names than are kept.
  [[nodiscard]] bool removals_cut() const { return removals_cut_; }

 private:
  using Name = std::pair<InodeId, std::string>;
  void gather(const runtime::KeyChange& change);
  void name(Name name, std::optional<InodeId> named);
  void put_name(Name name, std::optional<InodeId> named);
  void take_name(const Name& name);
  void trim();

  const InodeId from_;
  const std::size_t at_once_;
  std::optional<InodeId> end_;
  std::map<InodeId, Object> objects_;
  std::map<Name, InodeId> owner_of_;  // of each name: the object that has it here
  bool removals_cut_ = false;
};

}  // namespace lockstep::resync
