#include "volume/touched.h"

#include "volume/plan.h"
#include "volume/reservations.h"

namespace lockstep::volume {
namespace {

using wire::OpKind;
using wire::Turn;

constexpr std::uint64_t kToTheEnd = ~std::uint64_t{0};

Step<> add_ancestors(Draft& draft, InodeId directory, std::vector<Turn>& turns) {
  const Step<bool> walked = walk_up(draft, directory, [&turns](InodeId at) {
    turns.push_back(tree_turn(at));
    return false;
  });
  if (!walked) return std::unexpected(walked.error());
  return {};
}

/// Collects turns; the first halt stays.
class Touch {
 public:
  Touch(Draft& draft, bool trees) : draft_(draft), trees_(trees) {}

  void turn(const Turn& turn) { turns_.push_back(turn); }
  void trees_of(InodeId object) {
    if (trees_) keep(add_trees(draft_, object, turns_));
  }
  /// An entry of `directory` comes, goes or changes.
  void entries_of(InodeId directory) { trees_of(directory); }
  /// An object, if there is one of that name, gains or loses the name.
  void named(InodeId directory, std::string_view name) {
    const auto entry = draft_.entry(directory, name);
    if (!entry) return keep(std::unexpected(entry.error()));
    if (!*entry) return;
    const InodeId object = (*entry)->inode;
    turn({Turn::Kind::data, object, 0, kToTheEnd});
    turn(attributes_turn(object));
    turn(tree_turn(object));
    trees_of(object);
  }
  void written(const wire::Operation& op) {
    trees_of(op.inode);
    if (!op.append) return turn(data_turn(op.inode, op.offset, op.length));
    const auto file = draft_.inode(op.inode);
    if (!file) return keep(std::unexpected(file.error()));
    turn(data_turn(op.inode, (*file)->size, op.length));
  }
  void keep(Step<> done) {
    if (!done && halt_.has_value()) halt_ = std::move(done);
  }
  Step<std::vector<Turn>> result() {
    if (!halt_) return std::unexpected(halt_.error());
    return std::move(turns_);
  }

 private:
  Draft& draft_;
  bool trees_;
  std::vector<Turn> turns_;
  Step<> halt_;
};

}  // namespace

Step<> add_trees(Draft& draft, InodeId id, std::vector<Turn>& turns) {
  const auto found = draft.inode(id);
  if (!found) return std::unexpected(found.error());
  const Draft::Object& object = **found;
  if (object.links == 0) return {};
  if (object.is_directory()) return add_ancestors(draft, id, turns);
  if (object.links == 1 && object.parent != kNoInode) return add_ancestors(draft, object.parent, turns);
  turns.push_back(kAnyTree);
  return {};
}

Step<std::vector<Turn>> touched(Draft& draft, const wire::Operation& op, bool trees) {
  Touch touch(draft, trees);
  switch (op.kind) {
    case OpKind::write: touch.written(op); break;
    case OpKind::allocate:
      touch.trees_of(op.inode);
      touch.turn(data_turn(op.inode, op.offset, op.length));
      break;
    case OpKind::set_attributes:
      if (op.change.ctime_set && !op.change.size_set) break;
      touch.trees_of(op.inode);
      touch.turn(attributes_turn(op.inode));
      if (op.change.size_set) touch.turn({Turn::Kind::data, op.inode, op.change.size / kBlockBytes, kToTheEnd});
      break;
    case OpKind::set_xattr:
    case OpKind::remove_xattr:
      touch.trees_of(op.inode);
      touch.turn(attributes_turn(op.inode));
      break;
    case OpKind::create: {
      const auto entry = op.anonymous ? Step<std::optional<EntryValue>>{} : draft.entry(op.inode, op.name);
      if (!entry) touch.keep(std::unexpected(entry.error()));
      if (entry && !*entry) touch.entries_of(op.inode);
      break;
    }
    case OpKind::link:
      touch.entries_of(op.inode);
      touch.turn(attributes_turn(op.other));
      touch.trees_of(op.other);
      break;
    case OpKind::unlink:
    case OpKind::rmdir:
      touch.entries_of(op.inode);
      touch.named(op.inode, op.name);
      break;
    case OpKind::rename:
      touch.entries_of(op.inode);
      touch.entries_of(op.other);
      touch.named(op.inode, op.name);
      touch.named(op.other, op.text);
      break;
    case OpKind::sync:
    case OpKind::trim:
    case OpKind::reap:
    case OpKind::settle:
    case OpKind::lock:
    case OpKind::cancel_lock:
    case OpKind::break_locks:
    case OpKind::reserve:
    case OpKind::release: break;
  }
  return touch.result();
}

}  // namespace lockstep::volume
