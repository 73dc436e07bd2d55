// rename: the one operation on two names.
#include <cerrno>
#include <sys/stat.h>

#include "volume/plan.h"

namespace lockstep::volume {
namespace {

// Flags of renameat2(2), as <linux/fs.h> has them.
constexpr std::uint32_t kNoReplace = 1, kExchange = 2, kWhiteout = 4;

/// `directory` is `ancestor` or lies below it.
Step<bool> is_below(Draft& draft, InodeId directory, InodeId ancestor) {
  return walk_up(draft, directory, [ancestor](InodeId at) { return at == ancestor; });
}

/// What a rename found at both ends.
struct Ends {
  Draft::Object* from_directory;
  Draft::Object* to_directory;
  Draft::Object* source;
  Draft::Object* target;  ///< null: the new name is free
};

Step<Ends> look_at_ends(Draft& draft, const wire::Operation& op) {
  for (const std::string_view name : {std::string_view(op.name), std::string_view(op.text)}) {
    if (const auto good = check_name(name); !good) return std::unexpected(good.error());
  }
  const auto from_directory = draft.inode(op.inode);
  const auto to_directory = draft.inode(op.other);
  const auto source_entry = draft.entry(op.inode, op.name);
  const auto target_entry = draft.entry(op.other, op.text);
  if (!from_directory) return std::unexpected(from_directory.error());
  if (!to_directory) return std::unexpected(to_directory.error());
  if (!(*from_directory)->is_directory() || !(*to_directory)->is_directory()) return refuse(ENOTDIR);
  if (!source_entry) return std::unexpected(source_entry.error());
  if (!target_entry) return std::unexpected(target_entry.error());
  if (!*source_entry || (*from_directory)->links == 0 || (*to_directory)->links == 0) return refuse(ENOENT);
  const auto source = draft.inode((*source_entry)->inode);
  Draft::Object* target = nullptr;
  if (*target_entry) {
    const auto found = draft.inode((*target_entry)->inode);
    if (!found) return std::unexpected(found.error());
    target = *found;
  }
  if (!source) return std::unexpected(source.error());
  return Ends{*from_directory, *to_directory, *source, target};
}

/// The rules of rename(2) and renameat2(2).
Step<> check_ends(Draft& draft, const Ends& ends, std::uint32_t flags) {
  const bool exchange = (flags & kExchange) != 0;
  if (exchange && ends.target == nullptr) return refuse(ENOENT);
  if ((flags & kNoReplace) != 0 && ends.target != nullptr) return refuse(EEXIST);
  if (ends.source->is_directory()) {
    const auto below = is_below(draft, ends.to_directory->id, ends.source->id);
    if (!below) return std::unexpected(below.error());
    if (*below) return refuse(EINVAL);
  }
  if (ends.target == nullptr) return {};
  if (exchange) {
    if (!ends.target->is_directory()) return {};
    const auto below = is_below(draft, ends.from_directory->id, ends.target->id);
    if (!below) return std::unexpected(below.error());
    if (*below) return refuse(EINVAL);
    return {};
  }
  if (ends.source->is_directory() && !ends.target->is_directory()) return refuse(ENOTDIR);
  if (!ends.source->is_directory() && ends.target->is_directory()) return refuse(EISDIR);
  if (ends.target->is_directory() && ends.target->size > 0) return refuse(ENOTEMPTY);
  return {};
}

/// The asker's kernel takes one of the names for something else: true, or ESTALE (is_mistaken()).
Step<bool> is_mistaken_for(Draft& draft, const Ends& ends, const wire::Operation& op) {
  const bool source = op.expects != kNoInode && op.expects != ends.source->id;
  const InodeId target = ends.target == nullptr ? kNoInode : ends.target->id;
  if (op.flags == kExchange) return source || op.other_expects != target;
  // Of two names of one object nothing is removed, and a kernel that knew it would not have asked.
  const auto mistaken = is_mistaken(draft, op.other_expects, ends.target == ends.source ? kNoInode : target);
  if (!mistaken) return mistaken;
  return source || *mistaken;
}

/// `object` now stands in `to` instead of `from`.
void move(Draft& draft, Draft::Object& object, Draft::Object& from, Draft::Object& to) {
  object.ctime = draft.now;
  object.change();
  draft.drop_attributes(object.id);
  if (from.id == to.id && object.is_directory()) return;
  object.parent = to.id;
  if (!object.is_directory()) return;
  --from.links;
  ++to.links;
}

/// The device that says to an overlay file system that a lower layer's object is gone; it gets the name that the object had.
void leave_whiteout(Draft& draft, Draft::Object& directory, const wire::Operation& op) {
  Draft::Object& whiteout = *draft.make(S_IFCHR);
  set_owner(whiteout, directory, op);
  whiteout.links = 1;
  whiteout.parent = directory.id;
  draft.put(entry_key(directory.id, op.name), pack_entry({whiteout.id, S_IFCHR}));
}

}  // namespace

Step<Planned> plan_rename(Draft& draft, const wire::Operation& op) {
  if ((op.flags & ~(kNoReplace | kExchange | kWhiteout)) != 0 || ((op.flags & kExchange) != 0 && op.flags != kExchange)) return refuse(EINVAL);
  const auto looked = look_at_ends(draft, op);
  if (!looked) return std::unexpected(looked.error());
  const Ends& ends = *looked;
  const bool nothing = ends.target == ends.source && (op.flags & kNoReplace) == 0;
  const auto good = nothing ? Step<>() : check_ends(draft, ends, op.flags);
  if (!good) return std::unexpected(good.error());
  const auto mistaken = is_mistaken_for(draft, ends, op);
  if (!mistaken) return std::unexpected(mistaken.error());

  wire::Outcome outcome;
  outcome.unexpected = *mistaken;
  if (nothing) return Draft::answer(outcome, ends.source);
  draft.put(entry_key(op.other, op.text), pack_entry({ends.source->id, ends.source->type()}));
  if (op.flags == kExchange) {
    draft.put(entry_key(op.inode, op.name), pack_entry({ends.target->id, ends.target->type()}));
    move(draft, *ends.target, *ends.to_directory, *ends.from_directory);
    change_entries(draft, *ends.from_directory, 0);
    change_entries(draft, *ends.to_directory, 0);
  } else {
    const bool whiteout = (op.flags & kWhiteout) != 0;
    if (whiteout) {
      leave_whiteout(draft, *ends.from_directory, op);
    } else {
      draft.erase(entry_key(op.inode, op.name));
    }
    change_entries(draft, *ends.from_directory, whiteout ? 0 : -1);
    change_entries(draft, *ends.to_directory, ends.target == nullptr ? 1 : 0);
    if (ends.target != nullptr) {
      if (ends.target->is_directory()) --ends.to_directory->links;
      lose_name(draft, *ends.target, ends.to_directory->id);
      if (ends.target->links > 0) outcome.value = ends.target->id.value;
    }
  }
  move(draft, *ends.source, *ends.from_directory, *ends.to_directory);
  draft.drop_name(op.inode, op.name);
  draft.drop_name(op.other, op.text);
  draft.drop_listing(op.inode);
  if (op.other != op.inode) draft.drop_listing(op.other);
  return draft.finish(outcome, ends.source);
}

}  // namespace lockstep::volume
