// host_side.h - the hosts of a site: every request of the mount becomes reading here or a change of the volume
// everywhere, and what other sites change is dropped from the kernel.
//
//   Reading, FileReads, Listings   answered from what this site has published
//   Changing, FileWrites           handed to controller::Changes; answered when every site has it
//   Locks                          advisory locks, which are changes too; see there for who waits
//   CacheDrops                     HostCaches: called by the controller when another site's effect was published
//
// While the gate is closed, as it is at first, requests wait as tasks (FLUSH, RELEASE, FORGET and write-backs do not): a pause
// for applications, never an error. Readers that were under way look again when it is open. A change that was handed on
// is answered whenever it is done, for what is acknowledged stays acknowledged; what such an answer says about an object
// goes out without validity. (To drop it afterwards would not do: a host may read it before.) So when close() has returned
// the kernel keeps nothing, and is told nothing to keep until open(). What may stand in pages then is what this site's own
// pending writes put there. Where the kernel does not let go in time (a page that was changed through a mapping can't come
// back while a truncation of its file waits), the mount is cut off: hosts get errors rather than what may be old.
//
// Every request is answered once; those that suspend are tasks of one scope, at most as many as the kernel has requests
// outstanding.
//
// A mount that was cut off (by the watchdog of serve_until(), or by hand) is made again at once. Its hosts had errors.
//
// Order at the end: Changes stops waiting for other sites, unmount(), stop().
#pragma once

#include <vector>

#include "controller/host_caches.h"
#include "controller/host_gate.h"
#include "fuse/cache_drops.h"
#include "fuse/changing.h"
#include "fuse/file_reads.h"
#include "fuse/file_writes.h"
#include "fuse/listings.h"
#include "fuse/locks.h"
#include "fuse/mount_state.h"
#include "fuse/reading.h"

namespace lockstep::fuse {

class HostSide final : public runtime::HostHandler, public controller::HostCaches, public controller::HostGate {
 public:
  HostSide(runtime::World& world, area::Area& area, volume::Volume& volume, controller::Changes& changes,
           HostOptions options);

  /// Mounts again where somebody has unmounted; does nothing where the volume is mounted. Errc::refused, Errc::io. Suspends.
  runtime::Task<Result<>> mount();
  /// Hosts find the volume at the mount point, or will in a moment.
  [[nodiscard]] bool mounted() const { return state_.kernel.in_place() || (mounting_.running() > 0 && mount_problem_.empty()); }
  /// Why the mount could not be made again when that was tried last; empty: it could.
  [[nodiscard]] const std::string& mount_problem() const { return mount_problem_; }
  /// Takes the mount away, for good. Suspends.
  runtime::Task<void> unmount();
  /// Ends what still runs. Requires: not mounted any more. Suspends.
  runtime::Task<void> stop();

  // HostHandler
  void handle(runtime::HostRequest request) override;
  void interrupted(std::uint64_t unique) override;
  void forget(InodeId inode, std::uint64_t count) override;
  void unmounted(bool cut_off) override;

  // HostCaches
  bool drop_now(std::span<const wire::Drop> drops) override { return drops_.now(drops); }
  runtime::Task<void> drop(std::vector<wire::Drop> drops) override { return drops_.wait(std::move(drops)); }
  void locks_changed(InodeId inode) override { locks_.changed(inode); }
  void lost_last_name(const runtime::HostAttributes& last) override;
  bool is_open(InodeId inode) override;

  // HostGate
  void open() override;
  runtime::Task<void> close() override;
  runtime::Task<void> renew() override;
  void serve_until(Instant until) override;

  [[nodiscard]] const HostCounters& counters() const { return state_.counters; }
  /// Objects that the kernel is thought to know.
  [[nodiscard]] std::size_t inodes() const { return state_.inodes.size(); }
  [[nodiscard]] std::size_t running() const { return state_.scope.running() - (state_.waking ? 1 : 0) - (state_.watching ? 1 : 0); }

 private:
  /// Cuts the mount off if `emptied` was not requested in time.
  runtime::Task<void> cut_off_late(runtime::Stop& emptied);
  runtime::Task<void> when_served(runtime::HostRequest request);
  runtime::Task<void> mount_again();
  runtime::Task<void> mount_once(Result<>& done);
  void dispatch(runtime::HostRequest request);
  [[nodiscard]] bool fenced(const runtime::HostRequest& request) const;
  void release(const runtime::HostRequest& request);

  MountState state_;
  Reading reading_;
  FileWrites writes_;
  FileReads reads_;
  Listings listings_;
  Changing changing_;
  CacheDrops drops_;
  Locks locks_;
  bool closing_ = false;
  runtime::Scope mounting_;
  std::string mount_problem_;
  runtime::Stop leaving_;  ///< the mount is not made again
};

}  // namespace lockstep::fuse
