#include "uring/fuse_operations.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>

#include <cstring>

namespace lockstep::uring {

using runtime::HostOp;
using runtime::HostRequest;

HostRequest FuseOperations::begin(Request r, HostOp op, fuse_ino_t inode) {
  HostRequest request;
  const fuse_ctx* context = fuse_req_ctx(r);
  request.op = op;
  request.caller = {context->uid, context->gid, static_cast<std::uint32_t>(context->pid), context->umask};
  request.inode = InodeId{inode};
  return request;
}

void FuseOperations::named(Request r, HostOp op, fuse_ino_t inode, const char* name) {
  HostRequest request = begin(r, op, inode);
  request.name = name;
  hand_out(r, std::move(request));
}

void FuseOperations::handled(Request r, HostOp op, fuse_ino_t inode, fuse_file_info* fi) {
  HostRequest request = begin(r, op, inode);
  if (fi != nullptr) {
    request.handle = fi->fh;
    request.flags = static_cast<std::uint32_t>(fi->flags);
  }
  hand_out(r, std::move(request));
}

void FuseOperations::sized(Request r, HostOp op, fuse_ino_t inode, std::size_t size, std::uint64_t offset,
                           fuse_file_info* fi) {
  HostRequest request = begin(r, op, inode);
  request.size = size;
  request.offset = offset;
  request.handle = fi->fh;
  request.flags = static_cast<std::uint32_t>(fi->flags);
  hand_out(r, std::move(request));
}

void FuseOperations::setattr(Request r, fuse_ino_t inode, struct stat*, int, fuse_file_info*) {
  HostRequest request = begin(r, HostOp::setattr, inode);
  const auto& in = raw<fuse_setattr_in>(r);
  const auto has = [&](unsigned bit) { return (in.valid & bit) != 0; };
  const auto time = [](std::uint64_t seconds, std::uint32_t ns) {
    return WallTime{static_cast<std::int64_t>(seconds) * 1'000'000'000 + ns};
  };
  runtime::AttributeChange& change = request.change;
  change.mode_set = has(FATTR_MODE);
  change.uid_set = has(FATTR_UID);
  change.gid_set = has(FATTR_GID);
  change.size_set = has(FATTR_SIZE);
  change.atime_set = has(FATTR_ATIME);
  change.mtime_set = has(FATTR_MTIME);
  change.ctime_set = has(FATTR_CTIME);
  change.atime_now = has(FATTR_ATIME_NOW);
  change.mtime_now = has(FATTR_MTIME_NOW);
  change.kill_suid_gid = has(FATTR_KILL_SUIDGID);
  change.mode = in.mode;
  change.uid = in.uid;
  change.gid = in.gid;
  change.size = in.size;
  change.atime = time(in.atime, in.atimensec);
  change.mtime = time(in.mtime, in.mtimensec);
  change.ctime = time(in.ctime, in.ctimensec);
  if (has(FATTR_FH)) request.handle = in.fh;
  hand_out(r, std::move(request));
}

void FuseOperations::create(Request r, fuse_ino_t parent, const char* name, mode_t mode, fuse_file_info* fi) {
  HostRequest request = begin(r, HostOp::create, parent);
  request.name = name;
  request.mode = (mode & ~static_cast<mode_t>(S_IFMT)) | S_IFREG;
  request.flags = static_cast<std::uint32_t>(fi->flags);
  request.kill_suid_gid = (raw<fuse_create_in>(r).open_flags & FUSE_OPEN_KILL_SUIDGID) != 0;
  hand_out(r, std::move(request));
}

void FuseOperations::open(Request r, fuse_ino_t inode, fuse_file_info* fi) {
  HostRequest request = begin(r, HostOp::open, inode);
  request.flags = static_cast<std::uint32_t>(fi->flags);
  request.kill_suid_gid = (raw<fuse_open_in>(r).open_flags & FUSE_OPEN_KILL_SUIDGID) != 0;
  hand_out(r, std::move(request));
}

void FuseOperations::read(Request r, fuse_ino_t inode, std::size_t size, off_t offset, fuse_file_info* fi) {
  HostRequest request = begin(r, HostOp::read, inode);
  request.size = size;
  request.offset = static_cast<std::uint64_t>(offset);
  request.handle = fi->fh;
  request.flags = static_cast<std::uint32_t>(fi->flags);
  // A read past the page cache says on whose behalf, for mandatory locks; one that fills pages is nobody's.
  request.from_cache = (raw<fuse_read_in>(r).read_flags & FUSE_READ_LOCKOWNER) == 0;
  hand_out(r, std::move(request));
}

void FuseOperations::write(Request r, fuse_ino_t inode, const char* bytes, std::size_t size, off_t offset,
                           fuse_file_info* fi) {
  HostRequest request = begin(r, HostOp::write, inode);
  const auto& in = raw<fuse_write_in>(r);
  request.data = std::as_bytes(std::span(bytes, size));
  request.size = size;
  request.offset = static_cast<std::uint64_t>(offset);
  request.handle = fi->fh;
  request.flags = in.flags;
  request.kill_suid_gid = (in.write_flags & FUSE_WRITE_KILL_SUIDGID) != 0;
  request.from_cache = (in.write_flags & FUSE_WRITE_CACHE) != 0;
  hand_out(r, std::move(request));
}

void FuseOperations::rename(Request r, fuse_ino_t parent, const char* name, fuse_ino_t to, const char* new_name,
                            unsigned flags) {
  HostRequest request = begin(r, HostOp::rename, parent);
  request.name = name;
  request.other = InodeId{to};
  request.other_name = new_name;
  request.flags = flags;
  hand_out(r, std::move(request));
}

void FuseOperations::link(Request r, fuse_ino_t inode, fuse_ino_t parent, const char* name) {
  HostRequest request = begin(r, HostOp::link, parent);
  request.other = InodeId{inode};
  request.name = name;
  hand_out(r, std::move(request));
}

void FuseOperations::xattr(Request r, fuse_ino_t inode, const char* name, const char* value, std::size_t size,
                           int flags) {
  HostRequest request = begin(r, HostOp::setxattr, inode);
  // libfuse 3.14 knows only the short form, which the long one begins with, and takes the rest of it for the name.
  if ((kernel(r).kernel_flags_ & FUSE_SETXATTR_EXT) != 0) {
    const auto& in = raw<fuse_setxattr_in>(r);
    request.kill_suid_gid = (in.setxattr_flags & FUSE_SETXATTR_ACL_KILL_SGID) != 0;
    name = reinterpret_cast<const char*>(&in + 1);
    value = name + std::strlen(name) + 1;
  }
  request.name = name;
  request.data = std::as_bytes(std::span(value, size));
  request.flags = static_cast<std::uint32_t>(flags);
  hand_out(r, std::move(request));
}

void FuseOperations::copy(Request r, fuse_ino_t inode, off_t offset, fuse_file_info* fi, fuse_ino_t to, off_t to_offset,
                          fuse_file_info* to_fi, std::size_t length, int flags) {
  HostRequest request = begin(r, HostOp::copy_file_range, inode);
  request.offset = static_cast<std::uint64_t>(offset);
  request.handle = fi->fh;
  request.other = InodeId{to};
  request.other_offset = static_cast<std::uint64_t>(to_offset);
  request.other_handle = to_fi->fh;
  request.size = length;
  request.flags = static_cast<std::uint32_t>(flags);
  hand_out(r, std::move(request));
}

void FuseOperations::lock(Request r, HostOp op, fuse_ino_t inode, bool wait) {
  HostRequest request = begin(r, op, inode);
  const auto& in = raw<fuse_lk_in>(r);
  using Type = runtime::HostLock::Type;
  request.handle = in.fh;
  request.lock.type = in.lk.type == F_RDLCK ? Type::read : in.lk.type == F_WRLCK ? Type::write : Type::unlock;
  request.lock.whole = (in.lk_flags & FUSE_LK_FLOCK) != 0;
  request.lock.wait = wait;
  request.lock.pid = in.lk.pid;
  request.lock.owner = in.owner;
  request.lock.first = in.lk.start;
  request.lock.last = in.lk.end;
  hand_out(r, std::move(request));
}

void FuseOperations::forget(Request r, fuse_ino_t inode, std::uint64_t count) {
  kernel(r).handler_->forget(InodeId{inode}, count);
  fuse_reply_none(r);
}

void FuseOperations::forget_multi(Request r, std::size_t count, fuse_forget_data* forgets) {
  for (std::size_t i = 0; i < count; ++i) kernel(r).handler_->forget(InodeId{forgets[i].ino}, forgets[i].nlookup);
  fuse_reply_none(r);
}

const fuse_lowlevel_ops& FuseOperations::table() {
  static const fuse_lowlevel_ops operations = [] {
    fuse_lowlevel_ops ops{};
    ops.lookup = [](Request r, fuse_ino_t parent, const char* name) { named(r, HostOp::lookup, parent, name); };
    ops.forget = forget;
    ops.forget_multi = forget_multi;
    ops.getattr = [](Request r, fuse_ino_t inode, fuse_file_info* fi) { handled(r, HostOp::getattr, inode, fi); };
    ops.setattr = setattr;
    ops.readlink = [](Request r, fuse_ino_t inode) { handled(r, HostOp::readlink, inode, nullptr); };
    ops.mknod = [](Request r, fuse_ino_t parent, const char* name, mode_t mode, dev_t rdev) {
      HostRequest request = begin(r, HostOp::mknod, parent);
      request.name = name;
      request.mode = mode;
      request.rdev = static_cast<std::uint32_t>(rdev);
      hand_out(r, std::move(request));
    };
    ops.mkdir = [](Request r, fuse_ino_t parent, const char* name, mode_t mode) {
      HostRequest request = begin(r, HostOp::mkdir, parent);
      request.name = name;
      request.mode = (mode & ~static_cast<mode_t>(S_IFMT)) | S_IFDIR;
      hand_out(r, std::move(request));
    };
    ops.symlink = [](Request r, const char* target, fuse_ino_t parent, const char* name) {
      HostRequest request = begin(r, HostOp::symlink, parent);
      request.name = name;
      request.other_name = target;
      hand_out(r, std::move(request));
    };
    ops.unlink = [](Request r, fuse_ino_t parent, const char* name) { named(r, HostOp::unlink, parent, name); };
    ops.rmdir = [](Request r, fuse_ino_t parent, const char* name) { named(r, HostOp::rmdir, parent, name); };
    ops.rename = rename;
    ops.link = link;
    ops.open = open;
    ops.read = read;
    ops.write = write;
    ops.flush = [](Request r, fuse_ino_t inode, fuse_file_info*) {
      HostRequest request = begin(r, HostOp::flush, inode);
      const auto& in = raw<fuse_flush_in>(r);
      request.handle = in.fh;
      request.lock.owner = in.lock_owner;
      hand_out(r, std::move(request));
    };
    ops.getlk = [](Request r, fuse_ino_t inode, fuse_file_info*, struct flock*) { lock(r, HostOp::getlk, inode, false); };
    ops.setlk = [](Request r, fuse_ino_t inode, fuse_file_info*, struct flock*, int wait) { lock(r, HostOp::setlk, inode, wait != 0); };
    ops.flock = [](Request r, fuse_ino_t inode, fuse_file_info*, int how) { lock(r, HostOp::setlk, inode, (how & LOCK_NB) == 0); };
    ops.release = [](Request r, fuse_ino_t inode, fuse_file_info* fi) { handled(r, HostOp::release, inode, fi); };
    ops.fsync = [](Request r, fuse_ino_t inode, int data_only, fuse_file_info* fi) {
      HostRequest request = begin(r, HostOp::fsync, inode);
      request.data_only = data_only != 0;
      request.handle = fi->fh;
      hand_out(r, std::move(request));
    };
    ops.opendir = [](Request r, fuse_ino_t inode, fuse_file_info* fi) { handled(r, HostOp::opendir, inode, fi); };
    ops.readdir = [](Request r, fuse_ino_t inode, std::size_t size, off_t offset, fuse_file_info* fi) {
      sized(r, HostOp::readdir, inode, size, static_cast<std::uint64_t>(offset), fi);
    };
    ops.readdirplus = [](Request r, fuse_ino_t inode, std::size_t size, off_t offset, fuse_file_info* fi) {
      HostRequest request = begin(r, HostOp::readdir, inode);
      request.plus = true;
      request.size = size;
      request.offset = static_cast<std::uint64_t>(offset);
      request.handle = fi->fh;
      hand_out(r, std::move(request));
    };
    ops.releasedir = [](Request r, fuse_ino_t inode, fuse_file_info* fi) { handled(r, HostOp::releasedir, inode, fi); };
    ops.fsyncdir = [](Request r, fuse_ino_t inode, int data_only, fuse_file_info* fi) {
      HostRequest request = begin(r, HostOp::fsyncdir, inode);
      request.data_only = data_only != 0;
      request.handle = fi->fh;
      hand_out(r, std::move(request));
    };
    ops.statfs = [](Request r, fuse_ino_t inode) { handled(r, HostOp::statfs, inode, nullptr); };
    ops.setxattr = xattr;
    ops.getxattr = [](Request r, fuse_ino_t inode, const char* name, std::size_t size) {
      HostRequest request = begin(r, HostOp::getxattr, inode);
      request.name = name;
      request.size = size;
      hand_out(r, std::move(request));
    };
    ops.listxattr = [](Request r, fuse_ino_t inode, std::size_t size) {
      HostRequest request = begin(r, HostOp::listxattr, inode);
      request.size = size;
      hand_out(r, std::move(request));
    };
    ops.removexattr = [](Request r, fuse_ino_t inode, const char* name) { named(r, HostOp::removexattr, inode, name); };
    ops.create = create;
    ops.fallocate = [](Request r, fuse_ino_t inode, int mode, off_t offset, off_t length, fuse_file_info* fi) {
      HostRequest request = begin(r, HostOp::fallocate, inode);
      request.flags = static_cast<std::uint32_t>(mode);
      request.offset = static_cast<std::uint64_t>(offset);
      request.size = static_cast<std::uint64_t>(length);
      request.handle = fi->fh;
      hand_out(r, std::move(request));
    };
    ops.lseek = [](Request r, fuse_ino_t inode, off_t offset, int whence, fuse_file_info* fi) {
      HostRequest request = begin(r, HostOp::lseek, inode);
      request.offset = static_cast<std::uint64_t>(offset);
      request.flags = static_cast<std::uint32_t>(whence);
      request.handle = fi->fh;
      hand_out(r, std::move(request));
    };
    ops.copy_file_range = copy;
    return ops;
  }();
  return operations;
}

}  // namespace lockstep::uring
