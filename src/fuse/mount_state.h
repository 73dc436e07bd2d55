// mount_state.h - what the parts of a mount's host side share: the world, the volume, the table of inodes, and how
// objects are handed out to the kernel.
#pragma once

#include <chrono>
#include <optional>

#include "area/area.h"
#include "controller/changes.h"
#include "fuse/inode_table.h"
#include "runtime/world.h"
#include "volume/volume.h"

namespace lockstep::fuse {

struct HostOptions {
  Duration attributes_valid = std::chrono::hours(1);
  Duration entries_valid = std::chrono::hours(1);
  Duration name_patience = std::chrono::milliseconds(3);  ///< before all names are dropped instead of one
  bool strict = false;                          ///< coherence = "strict": every open is direct, every read waits its turn
  std::uint64_t read_bytes_max = 64u << 20;     ///< memory of reads that wait for the medium
};

struct HostCounters {
  std::uint64_t requests = 0, reads_inline = 0, reads_waited = 0, writes = 0;
  std::uint64_t dropped_attributes = 0, dropped_listings = 0, dropped_pages = 0, dropped_names = 0;
  std::uint64_t drops_needless = 0;   ///< the kernel keeps nothing of it
  std::uint64_t helper_hops = 0;      ///< drops that waited for a thread
  std::uint64_t names_late = 0, epochs = 0, retries = 0;
  std::uint64_t answered_early = 0;   ///< write-backs that a drop waited for
  std::uint64_t bad_reads = 0;        ///< answered with EIO
};

/// Most bytes in one request.
inline constexpr std::uint64_t kTransferBytesMax = 1u << 20;

struct MountState {
  MountState(runtime::World& w, area::Area& a, volume::Volume& v, controller::Changes& c, HostOptions o)
      : world(w), kernel(w.kernel), area(a), volume(v), changes(c), options(o), inodes(w.scheduler), scope(w.scheduler) {}

  runtime::World& world;
  runtime::Kernel& kernel;
  area::Area& area;
  volume::Volume& volume;
  controller::Changes& changes;
  const HostOptions options;
  InodeTable inodes;
  runtime::Scope scope;
  runtime::Stop stop;   ///< waits for the kernel are given up
  HostCounters counters;
  bool gone = false;    ///< the mount is not there any more

  /// Runs `task`, which answers request `unique`; at the end of the daemon the request is refused instead.
  void launch(std::uint64_t unique, runtime::Task<void> task);
  void answer_error(const runtime::HostRequest& request, int number);
  /// The errno for a host; what is not the host's own error is logged, with `request`.
  [[nodiscard]] int errno_of(const Error& error, const runtime::HostRequest& request);

  [[nodiscard]] runtime::EntryReply entry_of(const runtime::HostAttributes& attributes) const;
  /// How `inode` is opened with `flags` of open(2).
  [[nodiscard]] runtime::OpenReply open_of(std::uint32_t flags) const;
  /// Answers with an object in `directory`, counted before the kernel knows. False: nobody took it.
  bool hand_out(const runtime::HostRequest& request, InodeId directory, const runtime::HostReply& reply, InodeId inode);
};

/// Bits of the handles of files.
inline constexpr std::uint64_t kHandleDirect = 1;

/// Awaits what `miss` names; false: request was answered with the error.
runtime::Task<bool> load_or_answer(MountState& state, const runtime::HostRequest& request, volume::Miss miss);

}  // namespace lockstep::fuse
