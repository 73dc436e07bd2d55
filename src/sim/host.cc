// host.cc - system calls on names; those on open files are in host_file.cc, rename(2) in host_rename.cc.
#include "sim/host.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>

#include "sim/machine.h"

namespace lockstep::sim {

using runtime::HostAttributes;
using runtime::HostOp;
using runtime::Task;

namespace {

constexpr std::uint64_t kListingBytes = 32768;

std::unexpected<Error> error_of(const OwnedReply& reply) {
  return fail_posix(reply.error() != 0 ? reply.error() : EIO);
}

Result<> done_or_error(const OwnedReply& reply) {
  if (reply.error() != 0) return fail_posix(reply.error());
  return {};
}

}  // namespace

Task<OwnedReply> Host::ask(std::shared_ptr<Mount> mount, Request request) {
  if (!request.from_cache) request.caller.pid = thread_;
  Answer answer(process_, std::move(mount), std::move(request));
  OwnedReply reply = co_await answer;
  if (reply.error() == EINTR) thread_ = process_.machine().next_thread();
  co_return reply;
}

Task<Result<InodeId>> Host::find_locked(std::shared_ptr<Mount> mount, InodeId directory, std::string name, bool again) {
  if (mount->is_dead(directory)) co_return fail_posix(ENOENT);
  if (again) mount->drop_cached_name(directory, name);
  if (const auto cached = mount->cached_name(directory, name)) co_return *cached;
  co_return co_await look_up(mount, directory, std::move(name));
}

Task<Result<InodeId>> Host::look_up(std::shared_ptr<Mount> mount, InodeId directory, std::string name) {
  Request request;
  request.op = HostOp::lookup;
  request.inode = directory;
  request.name = name;
  const OwnedReply reply = co_await ask(mount, request);
  const auto* entry = std::get_if<runtime::EntryReply>(&reply.reply);
  if (entry == nullptr) co_return error_of(reply);
  if (entry->attributes.inode == kNoInode) co_return fail_posix(ENOENT);
  co_return entry->attributes.inode;
}

Task<Result<InodeId>> Host::find(std::shared_ptr<Mount> mount, InodeId directory, std::string name) {
  if (mount->leads_nowhere(directory)) co_return fail_posix(ENOTDIR);
  if (const auto cached = mount->cached_name(directory, name)) co_return *cached;
  const KnownInode* known = mount->find(directory);
  if (known == nullptr) co_return fail_posix(ESTALE);
  const auto lock = known->lock;
  co_await LockTurn(process_, lock, false);
  const auto found = co_await find_locked(mount, directory, name);
  lock->unlock(false);
  co_return found;
}

Task<Result<InodeId>> Host::walk(std::shared_ptr<Mount> mount, std::string path, bool again) {
  if (mount == nullptr) co_return fail_posix(ENOTCONN);
  InodeId at = kRootInode;
  std::size_t from = 0;
  while (from < path.size()) {
    const std::size_t slash = std::min(path.find('/', from), path.size());
    const std::string name = path.substr(from, slash - from);
    from = slash + 1;
    if (name.empty()) continue;
    if (again) mount->drop_cached_name(at, name);
    const auto next = co_await find(mount, at, name);
    if (!next.has_value()) co_return next;
    at = *next;
  }
  co_return at;
}

Task<Result<Host::Place>> Host::walk_to_parent(std::string path, bool again) {
  Place place;
  place.mount = process_.machine().mount();
  const std::size_t slash = path.rfind('/');
  place.name = path.substr(slash + 1);
  const auto directory = co_await walk(place.mount, path.substr(0, slash), again);
  if (!directory.has_value()) co_return std::unexpected(directory.error());
  place.directory = *directory;
  if (place.mount->find(place.directory) == nullptr) co_return fail_posix(ESTALE);
  if (place.mount->leads_nowhere(place.directory)) co_return fail_posix(ENOTDIR);
  co_return place;
}

Task<Result<HostAttributes>> Host::attributes(std::shared_ptr<Mount> mount, InodeId inode) {
  if (const HostAttributes* cached = mount->cached_attributes(inode)) co_return *cached;
  Request request;
  request.op = HostOp::getattr;
  request.inode = inode;
  const OwnedReply reply = co_await ask(mount, request);
  const auto* answered = std::get_if<runtime::AttributesReply>(&reply.reply);
  if (answered == nullptr) co_return error_of(reply);
  co_return answered->attributes;
}

Task<Result<InodeId>> Host::walk_again(std::shared_ptr<Mount> mount, std::string path) {
  const std::size_t slash = path.rfind('/');
  const auto directory = co_await walk(mount, path.substr(0, slash));
  if (!directory.has_value()) co_return directory;
  mount->drop_cached_name(*directory, path.substr(slash + 1));
  co_return co_await walk(mount, path);
}

Task<Result<HostAttributes>> Host::stat(std::string path) {
  const auto mount = process_.machine().mount();
  const auto inode = co_await walk(mount, path);
  if (!inode.has_value()) co_return std::unexpected(inode.error());
  const auto result = co_await attributes(mount, *inode);
  if (result.has_value() || result.error().posix != ESTALE) co_return result;
  const auto again = co_await walk_again(mount, path);
  if (!again.has_value()) co_return std::unexpected(again.error());
  co_return co_await attributes(mount, *again);
}

Task<Result<FileHandle>> Host::open_inode(std::shared_ptr<Mount> mount, InodeId inode, std::uint32_t flags) {
  if (mount->is_directory(inode) && (flags & (O_ACCMODE | O_CREAT)) != 0) co_return fail_posix(EISDIR);
  Request request;
  request.op = HostOp::open;
  request.inode = inode;
  request.flags = flags;
  const OwnedReply reply = co_await ask(mount, request);
  const auto* opened = std::get_if<runtime::OpenReply>(&reply.reply);
  if (opened == nullptr) co_return error_of(reply);
  KnownInode* known = mount->find(inode);
  if (known == nullptr) co_return fail_posix(ESTALE);
  ++known->references;
  if (!opened->keep_cache) std::erase_if(known->pages, [](const auto& page) { return !page.second.dirty; });
  co_return std::make_shared<OpenFile>(OpenFile{mount, inode, flags, *opened});
}

Task<Result<FileHandle>> Host::create(Place place, std::uint32_t flags, std::uint32_t mode) {
  const auto lock = place.mount->find(place.directory)->lock;
  co_await LockTurn(process_, lock, true);
  const auto found = co_await find_locked(place.mount, place.directory, place.name);
  if (found.has_value() || found.error().posix != ENOENT || place.mount->is_dead(place.directory)) {
    lock->unlock(true);
    if (!found.has_value()) co_return std::unexpected(found.error());
    if ((flags & O_EXCL) != 0) co_return fail_posix(EEXIST);
    co_return co_await open_inode(place.mount, *found, flags & ~static_cast<std::uint32_t>(O_CREAT));
  }
  Request request;
  request.op = HostOp::create;
  request.inode = place.directory;
  request.name = place.name;
  request.flags = flags;
  request.mode = mode;
  const OwnedReply reply = co_await ask(place.mount, request);
  lock->unlock(true);
  const auto* created = std::get_if<runtime::CreateReply>(&reply.reply);
  if (created == nullptr) co_return error_of(reply);
  const InodeId inode = created->entry.attributes.inode;
  KnownInode* known = place.mount->find(inode);
  if (known == nullptr) co_return fail_posix(EIO);
  ++known->references;
  co_return std::make_shared<OpenFile>(OpenFile{place.mount, inode, flags, created->open});
}

Task<Result<FileHandle>> Host::open(std::string path, std::uint32_t flags, std::uint32_t mode) {
  const auto place = co_await walk_to_parent(path);
  if (!place.has_value()) co_return std::unexpected(place.error());
  const std::uint32_t passed = flags & ~static_cast<std::uint32_t>(O_TRUNC);
  Result<FileHandle> file = fail_posix(ESTALE);
  // As the kernel does: once more, by names that are asked for again.
  for (int attempt = 0; attempt < 2 && !file.has_value() && file.error().posix == ESTALE; ++attempt) {
    if (attempt != 0) place->mount->drop_cached_name(place->directory, place->name);
    if ((flags & O_CREAT) != 0) {
      file = co_await create(*place, passed, mode);
      continue;
    }
    const auto inode = co_await find(place->mount, place->directory, place->name);
    if (!inode.has_value()) co_return std::unexpected(inode.error());
    file = co_await open_inode(place->mount, *inode, passed);
  }
  if (!file.has_value() || (flags & O_TRUNC) == 0) co_return file;
  runtime::AttributeChange to_nothing;
  to_nothing.size_set = true;
  const auto truncated = co_await change((*file)->mount, (*file)->inode, to_nothing);
  if (truncated.has_value()) co_return file;
  co_await close(*file);
  co_return std::unexpected(truncated.error());
}

Task<Result<>> Host::change(std::shared_ptr<Mount> mount, InodeId inode, runtime::AttributeChange what) {
  const KnownInode* known = mount->find(inode);
  if (known == nullptr) co_return fail_posix(ESTALE);
  const auto lock = known->lock;
  co_await LockTurn(process_, lock, true);
  Request request;
  request.op = HostOp::setattr;
  request.inode = inode;
  request.change = what;
  const OwnedReply reply = co_await ask(mount, request);
  lock->unlock(true);
  co_return done_or_error(reply);
}

Task<Result<>> Host::setattr(std::string path, runtime::AttributeChange what) {
  const auto mount = process_.machine().mount();
  const auto inode = co_await walk(mount, path);
  if (!inode.has_value()) co_return std::unexpected(inode.error());
  const auto result = co_await change(mount, *inode, what);
  if (result.has_value() || result.error().posix != ESTALE) co_return result;
  const auto again = co_await walk_again(mount, path);
  if (!again.has_value()) co_return std::unexpected(again.error());
  co_return co_await change(mount, *again, what);
}

Task<Result<>> Host::truncate(std::string path, std::uint64_t size) {
  runtime::AttributeChange what;
  what.size_set = true;
  what.size = size;
  co_return co_await setattr(std::move(path), what);
}

Task<Host::Locks> Host::lock_objects(std::shared_ptr<Mount> mount, std::vector<InodeId> inodes) {
  Locks locks;
  for (const InodeId inode : inodes) {
    const KnownInode* known = mount->find(inode);
    if (known == nullptr) continue;
    locks.push_back(known->lock);
    co_await LockTurn(process_, locks.back(), true);
  }
  co_return locks;
}

void Host::unlock(const Locks& locks) {
  for (const auto& lock : locks) lock->unlock(true);
}

Task<Result<>> Host::make(HostOp op, std::string path, std::uint32_t mode, std::string target, InodeId other) {
  const auto place = co_await walk_to_parent(path);
  if (!place.has_value()) co_return std::unexpected(place.error());
  const auto lock = place->mount->find(place->directory)->lock;
  co_await LockTurn(process_, lock, true);
  const auto found = co_await find_locked(place->mount, place->directory, place->name);
  if (found.has_value() || found.error().posix != ENOENT || place->mount->is_dead(place->directory)) {
    lock->unlock(true);
    if (found.has_value()) co_return fail_posix(EEXIST);
    co_return std::unexpected(found.error());
  }
  // What gets another name. A directory gets none: the daemon says so.
  const auto locks = co_await lock_objects(place->mount, place->mount->is_directory(other) ? std::vector<InodeId>{} : std::vector{other});
  Request request;
  request.op = op;
  request.inode = place->directory;
  request.other = other;
  request.name = place->name;
  request.other_name = target;
  request.mode = mode;
  const OwnedReply reply = co_await ask(place->mount, request);
  unlock(locks);
  lock->unlock(true);
  co_return done_or_error(reply);
}

Task<Result<>> Host::mkdir(std::string path, std::uint32_t mode) {
  co_return co_await make(HostOp::mkdir, std::move(path), mode, {}, {});
}

Task<Result<>> Host::symlink(std::string target, std::string path) {
  co_return co_await make(HostOp::symlink, std::move(path), 0777, std::move(target), {});
}

Task<Result<>> Host::link(std::string old_path, std::string new_path) {
  const auto mount = process_.machine().mount();
  const auto inode = co_await walk(mount, old_path);
  if (!inode.has_value()) co_return std::unexpected(inode.error());
  co_return co_await make(HostOp::link, std::move(new_path), 0, {}, *inode);
}

Task<Result<>> Host::take_away(HostOp op, std::string path) {
  const Result<> done = co_await take_away_once(op, path, false);
  if (done || done.error().posix != ESTALE) co_return done;
  co_return co_await take_away_once(op, path, true);
}

Task<Result<>> Host::take_away_once(HostOp op, std::string path, bool again) {
  const auto place = co_await walk_to_parent(path, again);
  if (!place.has_value()) co_return std::unexpected(place.error());
  const auto lock = place->mount->find(place->directory)->lock;
  co_await LockTurn(process_, lock, true);
  const auto found = co_await find_locked(place->mount, place->directory, place->name, again);
  if (!found.has_value()) {
    lock->unlock(true);
    co_return std::unexpected(found.error());
  }
  const auto locks = co_await lock_objects(place->mount, {*found});
  Request request;
  request.op = op;
  request.inode = place->directory;
  request.name = place->name;
  const OwnedReply reply = co_await ask(place->mount, request);
  if (op == HostOp::rmdir && reply.error() == 0) place->mount->bury(*found);
  unlock(locks);
  lock->unlock(true);
  co_return done_or_error(reply);
}

Task<Result<>> Host::unlink(std::string path) { co_return co_await take_away(HostOp::unlink, std::move(path)); }

Task<Result<>> Host::rmdir(std::string path) { co_return co_await take_away(HostOp::rmdir, std::move(path)); }

Task<Result<std::vector<std::string>>> Host::list(std::string path) {
  const auto mount = process_.machine().mount();
  const auto inode = co_await walk(mount, path);
  if (!inode.has_value()) co_return std::unexpected(inode.error());
  if (mount->leads_nowhere(*inode)) co_return fail_posix(ENOTDIR);
  Request request;
  request.op = HostOp::opendir;
  request.inode = *inode;
  const OwnedReply opened = co_await ask(mount, request);
  const auto* handle = std::get_if<runtime::OpenReply>(&opened.reply);
  if (handle == nullptr) co_return error_of(opened);
  request.handle = handle->handle;
  request.size = kListingBytes;
  request.plus = true;
  std::vector<std::string> names;
  int error = 0;
  while (true) {
    const KnownInode* known = mount->find(*inode);
    if (known == nullptr) co_return fail_posix(ESTALE);
    const auto lock = known->lock;
    co_await LockTurn(process_, lock, false);
    request.op = HostOp::readdir;
    OwnedReply reply{runtime::ErrorReply{ENOENT}, nullptr};
    if (!mount->is_dead(*inode)) reply = co_await ask(mount, request);
    lock->unlock(false);
    const auto* listing = std::get_if<runtime::ListingReply>(&reply.reply);
    if (listing == nullptr) error = reply.error();
    if (listing == nullptr || listing->entries.empty()) break;
    for (const auto& entry : listing->entries) {
      if (entry.name != "." && entry.name != "..") names.push_back(entry.name);
    }
    request.offset = listing->entries.back().cookie;
  }
  request.op = HostOp::releasedir;
  co_await ask(mount, request);
  if (error != 0) co_return fail_posix(error);
  co_return names;
}

}  // namespace lockstep::sim
