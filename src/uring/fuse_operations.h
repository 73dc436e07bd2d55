// fuse_operations.h - libfuse's low-level operations, each of which makes a HostRequest of its arguments.
#pragma once

#define FUSE_USE_VERSION 314
#include <fuse3/fuse_lowlevel.h>

#include "uring/fuse_kernel.h"
#include "uring/fuse_protocol.h"

namespace lockstep::uring {

struct FuseOperations {
  /// The table to give to fuse_session_new; its user data is the FuseKernel.
  static const fuse_lowlevel_ops& table();

 private:
  using Request = fuse_req_t;
  static FuseKernel& kernel(Request r) { return *static_cast<FuseKernel*>(fuse_req_userdata(r)); }
  /// What every request has.
  static runtime::HostRequest begin(Request r, runtime::HostOp op, fuse_ino_t inode);
  static void hand_out(Request r, runtime::HostRequest request) { kernel(r).hand_out(std::move(request), r); }
  /// The fixed part of the request as the kernel sent it: libfuse leaves out flags that it does not know.
  template <class T>
  static const T& raw(Request r) {
    return *reinterpret_cast<const T*>(kernel(r).arriving_.bytes + sizeof(fuse_in_header));
  }

  static void named(Request r, runtime::HostOp op, fuse_ino_t inode, const char* name);
  static void sized(Request r, runtime::HostOp op, fuse_ino_t inode, std::size_t size, std::uint64_t offset,
                    fuse_file_info* fi);
  static void handled(Request r, runtime::HostOp op, fuse_ino_t inode, fuse_file_info* fi);
  static void xattr(Request r, fuse_ino_t inode, const char* name, const char* value, std::size_t size, int flags);
  static void setattr(Request r, fuse_ino_t inode, struct stat*, int, fuse_file_info*);
  static void create(Request r, fuse_ino_t parent, const char* name, mode_t mode, fuse_file_info* fi);
  static void open(Request r, fuse_ino_t inode, fuse_file_info* fi);
  static void read(Request r, fuse_ino_t inode, std::size_t size, off_t offset, fuse_file_info* fi);
  static void write(Request r, fuse_ino_t inode, const char* bytes, std::size_t size, off_t offset, fuse_file_info* fi);
  static void rename(Request r, fuse_ino_t parent, const char* name, fuse_ino_t to, const char* new_name, unsigned flags);
  static void copy(Request r, fuse_ino_t inode, off_t offset, fuse_file_info* fi, fuse_ino_t to, off_t to_offset,
                   fuse_file_info* to_fi, std::size_t length, int flags);
  static void lock(Request r, runtime::HostOp op, fuse_ino_t inode, bool wait);
  static void forget(Request r, fuse_ino_t inode, std::uint64_t count);
  static void forget_multi(Request r, std::size_t count, fuse_forget_data* forgets);
  static void link(Request r, fuse_ino_t inode, fuse_ino_t parent, const char* name);
};

}  // namespace lockstep::uring
