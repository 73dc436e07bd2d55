// host_rename.cc - rename(2), with the locks of Linux 6.18 (Documentation/filesystems/directory-locking).
#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>

#include "sim/host.h"
#include "sim/machine.h"

namespace lockstep::sim {

using runtime::HostOp;
using runtime::Task;

namespace {

/// What is locked behind the directories, in this order: an object that is no directory, a directory that moves to another one, and one that is
/// replaced or changes places across directories.
std::vector<InodeId> to_lock(Mount& mount, InodeId source, std::optional<InodeId> target, bool across, std::uint32_t flags) {
  const bool moves = mount.is_directory(source);
  const bool replaces = target.has_value() && mount.is_directory(*target);
  std::vector<InodeId> objects;
  if (!moves && target.has_value() && !replaces && *target != source) {
    return {std::min(source, *target), std::max(source, *target)};
  }
  if (moves && across) objects.push_back(source);
  if (target.has_value() && *target != source && (!replaces || across || (flags & RENAME_EXCHANGE) == 0)) objects.push_back(*target);
  if (!moves) objects.push_back(source);
  return objects;
}

}  // namespace

/// Two directories: the one that the other lies below first, and no other such rename meanwhile, so that nobody waits for somebody who waits for him.
Task<Host::Ends> Host::lock_ends(std::shared_ptr<Mount> mount, InodeId from, InodeId to) {
  if (from == to) co_return Ends{.locks = co_await lock_objects(mount, {from}), .between = {}};
  Ends ends{.locks = {mount->rename_lock()}, .between = {}};
  co_await LockTurn(process_, mount->rename_lock(), true);
  const auto to_is_below = mount->step_down(from, to);
  ends.between = to_is_below ? to_is_below : mount->step_down(to, from);
  const Locks both = co_await lock_objects(mount, to_is_below ? std::vector{from, to} : std::vector{to, from});
  ends.locks.insert(ends.locks.begin(), both.rbegin(), both.rend());
  co_return ends;
}

Task<Result<>> Host::rename_locked(Place from, Place to, std::uint32_t flags, std::optional<InodeId> between, bool again) {
  Mount& mount = *from.mount;
  const auto source = co_await find_locked(from.mount, from.directory, from.name, again);
  if (!source.has_value()) co_return std::unexpected(source.error());
  if (mount.is_dead(to.directory)) co_return fail_posix(ENOENT);
  // What has the name is asked for, whatever is kept, as in Linux; it has a link less afterwards, whoever replaces it meanwhile.
  const auto found = co_await look_up(from.mount, to.directory, to.name);
  if (!found.has_value() && found.error().posix != ENOENT) co_return std::unexpected(found.error());
  const std::optional<InodeId> replaced = found.has_value() ? std::optional(*found) : std::nullopt;
  const bool exchange = (flags & RENAME_EXCHANGE) != 0;
  if (replaced.has_value() && (flags & RENAME_NOREPLACE) != 0) co_return fail_posix(EEXIST);
  if (!replaced.has_value() && exchange) co_return fail_posix(ENOENT);
  // Of one name nothing is asked. (Nor of two names of one object, in Linux, which may have become so since the first one was looked up.)
  if (from.directory == to.directory && from.name == to.name && replaced == *source) co_return Result<>{};
  if (between.has_value() && *source == *between) co_return fail_posix(EINVAL);
  if (between.has_value() && replaced == between) co_return fail_posix(exchange ? EINVAL : ENOTEMPTY);
  const Locks locks = co_await lock_objects(from.mount, to_lock(mount, *source, replaced, from.directory != to.directory, flags));
  Request request;
  request.op = HostOp::rename;
  request.inode = from.directory;
  request.name = from.name;
  request.other = to.directory;
  request.other_name = to.name;
  request.flags = flags;
  const OwnedReply reply = co_await ask(from.mount, request);
  if (reply.error() == 0 && replaced.has_value()) {
    mount.distrust(*replaced);
    if (!exchange && *replaced != *source) mount.bury(*replaced);
  }
  unlock(locks);
  if (reply.error() != 0) co_return fail_posix(reply.error());
  co_return Result<>{};
}

Task<Result<>> Host::rename(std::string old_path, std::string new_path, std::uint32_t flags) {
  const Result<> done = co_await rename_once(old_path, new_path, flags, false);
  if (done || done.error().posix != ESTALE) co_return done;
  co_return co_await rename_once(old_path, new_path, flags, true);
}

Task<Result<>> Host::rename_once(std::string old_path, std::string new_path, std::uint32_t flags, bool again) {
  const auto from = co_await walk_to_parent(old_path, again);
  if (!from.has_value()) co_return std::unexpected(from.error());
  const auto to = co_await walk_to_parent(new_path, again);
  if (!to.has_value()) co_return std::unexpected(to.error());
  if (from->mount != to->mount || from->mount->find(from->directory) == nullptr) co_return fail_posix(ESTALE);
  const Ends ends = co_await lock_ends(from->mount, from->directory, to->directory);
  const Result<> result = co_await rename_locked(*from, *to, flags, ends.between, again);
  unlock(ends.locks);
  co_return result;
}

}  // namespace lockstep::sim
