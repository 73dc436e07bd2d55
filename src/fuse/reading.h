// reading.h - requests that are answered from what this site has published.
//
// They hold locks that the drop of another site's change needs, so none of them waits for another site: they wait for
// the volume's keys and the medium only, and until hosts are served. The answer is looked up and given in one step that
// does not suspend, so that a change is either in it or published later, when the table knows that the kernel was told.
#pragma once

#include "fuse/mount_state.h"

namespace lockstep::fuse {

class Reading {
 public:
  explicit Reading(MountState& state) : state_(state) {}

  /// Answers lookup, getattr, readlink, getxattr, lseek, open, opendir, statfs. Suspends only where keys are missing.
  void start(runtime::HostRequest request);
  void start_listxattr(runtime::HostRequest request);

 private:
  /// The same in one step. False: `miss` is to be loaded first. Requires: hosts are served.
  bool answer(const runtime::HostRequest& request, volume::Miss& miss);
  runtime::Task<void> later(runtime::HostRequest request, volume::Miss miss);
  runtime::Task<void> listxattr(runtime::HostRequest request);
  bool lookup(const runtime::HostRequest& request, volume::Miss& miss);
  bool find_again(const runtime::HostRequest& request, volume::Miss& miss);
  bool getattr(const runtime::HostRequest& request, volume::Miss& miss);
  bool open(const runtime::HostRequest& request, volume::Miss& miss);
  bool opendir(const runtime::HostRequest& request, volume::Miss& miss);
  bool readlink(const runtime::HostRequest& request, volume::Miss& miss);
  bool getxattr(const runtime::HostRequest& request, volume::Miss& miss);
  bool lseek(const runtime::HostRequest& request, volume::Miss& miss);
  void statfs(const runtime::HostRequest& request);
  void answer_xattr(const runtime::HostRequest& request, const std::string& value);
  /// True: `attempt` has a value. Else `done` says whether an error was answered, or `miss` was set.
  template <class T>
  bool has_value(volume::Attempt<T>& attempt, const runtime::HostRequest& request, volume::Miss& miss, bool& done);

  template <class T>
  const runtime::HostAttributes* removed(InodeId inode, volume::Attempt<T>& attempt);

  MountState& state_;
  std::uint64_t next_directory_handle_ = 1;
};

}  // namespace lockstep::fuse
