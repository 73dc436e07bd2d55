// plan.h - one planning function an operation: looks, decides, drafts. None changes anything but its draft.
#pragma once

#include <functional>

#include "volume/draft.h"

namespace lockstep::volume {

// Names (plan_names.cc, plan_rename.cc).
Step<Planned> plan_create(Draft& draft, const wire::Operation& operation);
Step<Planned> plan_link(Draft& draft, const wire::Operation& operation);
Step<Planned> plan_unlink(Draft& draft, const wire::Operation& operation);
Step<Planned> plan_rmdir(Draft& draft, const wire::Operation& operation);
Step<Planned> plan_rename(Draft& draft, const wire::Operation& operation);

// Data (plan_write.cc, plan_space.cc).
Step<Planned> plan_write(Draft& draft, const wire::Operation& operation);
Step<Planned> plan_allocate(Draft& draft, const wire::Operation& operation);
Step<Planned> plan_sync(Draft& draft, const wire::Operation& operation);
Step<Planned> plan_trim(Draft& draft, const wire::Operation& operation);
Step<Planned> plan_reap(Draft& draft, const wire::Operation& operation);

// Attributes (plan_attributes.cc, plan_acl.cc).
Step<Planned> plan_set_attributes(Draft& draft, const wire::Operation& operation);
Step<Planned> plan_set_xattr(Draft& draft, const wire::Operation& operation);
Step<Planned> plan_remove_xattr(Draft& draft, const wire::Operation& operation);
Step<Planned> plan_settle(Draft& draft, const wire::Operation& operation);

// Advisory locks (plan_locks.cc).
Step<Planned> plan_lock(Draft& draft, const wire::Operation& operation);
Step<Planned> plan_cancel_lock(Draft& draft, const wire::Operation& operation);
Step<Planned> plan_break_locks(Draft& draft, const wire::Operation& operation);

// Reservations (plan_reserve.cc).
Step<Planned> plan_reserve(Draft& draft, const wire::Operation& operation);
Step<Planned> plan_release(Draft& draft, const wire::Operation& operation);

// What several of them do.
/// Calls `each` with `directory` and all directories above it, upwards, until it gives true. False: up to the root it did not.
Step<bool> walk_up(Draft& draft, InodeId directory, const std::function<bool(InodeId)>& each);
/// The name may stand in a directory: EINVAL, ENAMETOOLONG, ENOENT (empty).
Step<> check_name(std::string_view name);
/// The asker's kernel, which takes a name for `expects`, is about to take that for removed: it is not what is. ESTALE where it is a directory that is
/// there: nothing could be made in it any more at that site. Else true if it is something else at all.
Step<bool> is_mistaken(Draft& draft, InodeId expects, InodeId removed);
/// What a new object takes from the operation and, with setgid, from its directory.
void set_owner(Draft::Object& object, const Draft::Object& directory, const wire::Operation& operation);
/// `directory` gets (entries 1) or loses (-1) an entry now.
void change_entries(Draft& draft, Draft::Object& directory, int entries);
/// An object loses a name (a directory: its only one) in `directory`; without any it becomes an orphan.
void lose_name(Draft& draft, Draft::Object& object, InodeId directory);
/// A write, a change of owner or a truncation takes setuid, setgid and file capabilities away.
Step<> drop_privileges(Draft& draft, Draft::Object& file);
/// Stores an xattr that had the value `before`. ENOSPC.
Step<> put_xattr(Draft& draft, Draft::Object& object, std::string_view name, std::string value, const std::optional<std::string>& before);
void lose_xattr(Draft& draft, Draft::Object& object, std::string_view name, std::string_view value);
/// Gives `object` the access control list that `operation` sets, and the mode that goes with it. EINVAL: it is none; EACCES: a
/// default list of something that is no directory; EOPNOTSUPP, E2BIG, ENOSPC.
Step<> set_acl(Draft& draft, Draft::Object& object, const wire::Operation& operation, const std::optional<std::string>& before);
/// The mode of `object` has changed: so does what its access control list says of owner, mask and others.
Step<> follow_mode(Draft& draft, Draft::Object& object);
/// A new object gets the lists and the mode that the default list of `directory` gives it, if there is one; else it stays as it
/// is. `asked`: the permission bits that the program asked for, whatever its umask says.
Step<> inherit_acl(Draft& draft, Draft::Object& object, const Draft::Object& directory, std::uint32_t asked);
/// Sets the size of a file. False: space behind it is left to a trim.
Step<bool> set_size(Draft& draft, Draft::Object& file, std::uint64_t size);
/// Takes blocks for the hole [first, first + count) of `file`, near what stands before it. Requires: it lies in one chunk.
Step<> fill_hole(Draft& draft, Draft::Object& file, std::uint64_t first, std::uint64_t count, bool unwritten,
                 std::vector<BlockRange>& taken);
/// Zeros in [from, to) of the file. Requires: it lies in one block.
Step<> zero_in_block(Draft& draft, const Draft::Object& file, std::uint64_t from, std::uint64_t to);

}  // namespace lockstep::volume
