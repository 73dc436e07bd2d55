// host_side.h - the hosts of a site: every request of the mount becomes reading here or a change of the volume
// everywhere, and what other sites change is dropped from the kernel.
//
//   Reading, FileReads, Listings   answered from what this site has published
//   Changing, FileWrites           handed to controller::Changes; answered when every site has it
//   CacheDrops                     HostCaches: called by the controller when another site's effect was published
//
// Requests wait until the site may serve (Changes::wait_serving). Every request is answered once; those that suspend are
// tasks of one scope, at most as many as the kernel has requests outstanding.
//
// Order at the end: Changes stops waiting for other sites, Kernel::unmount(), stop().
#pragma once

#include <vector>

#include "controller/host_caches.h"
#include "fuse/cache_drops.h"
#include "fuse/changing.h"
#include "fuse/file_reads.h"
#include "fuse/file_writes.h"
#include "fuse/listings.h"
#include "fuse/mount_state.h"
#include "fuse/reading.h"

namespace lockstep::fuse {

class HostSide final : public runtime::HostHandler, public controller::HostCaches {
 public:
  HostSide(runtime::World& world, area::Area& area, volume::Volume& volume, controller::Changes& changes,
           HostOptions options);

  /// Ends what still runs. Requires: not mounted any more. Suspends.
  runtime::Task<void> stop();

  // HostHandler
  void handle(runtime::HostRequest request) override;
  void forget(InodeId inode, std::uint64_t count) override;
  void unmounted() override;

  // HostCaches
  bool drop_now(std::span<const wire::Drop> drops) override { return drops_.now(drops); }
  runtime::Task<void> drop(std::vector<wire::Drop> drops) override { return drops_.wait(std::move(drops)); }
  bool is_open(InodeId inode) override;

  [[nodiscard]] const HostCounters& counters() const { return state_.counters; }
  /// Objects that the kernel is thought to know.
  [[nodiscard]] std::size_t inodes() const { return state_.inodes.size(); }
  [[nodiscard]] std::size_t running() const { return state_.scope.running(); }

 private:
  runtime::Task<void> wait_until_serving();
  void dispatch(runtime::HostRequest request);
  void release(const runtime::HostRequest& request);

  MountState state_;
  Reading reading_;
  FileReads reads_;
  Listings listings_;
  Changing changing_;
  FileWrites writes_;
  CacheDrops drops_;
  enum class Serving { unasked, waiting, yes, never } serving_ = Serving::unasked;
  std::vector<runtime::HostRequest> held_;  ///< until the site may serve
};

}  // namespace lockstep::fuse
