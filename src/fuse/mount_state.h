// mount_state.h - what the parts of a mount's host side share: the world, the volume, the table of inodes, whether hosts
// are served, and how objects are handed out to the kernel.
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "area/area.h"
#include "controller/changes.h"
#include "fuse/changed_names.h"
#include "fuse/inode_table.h"
#include "fuse/serving.h"
#include "runtime/world.h"
#include "volume/volume.h"

namespace lockstep::fuse {

struct HostOptions {
  Duration attributes_valid = std::chrono::hours(1);
  Duration entries_valid = std::chrono::hours(1);
  Duration name_patience = std::chrono::milliseconds(3);  ///< before all names are dropped instead of one
  Duration names_contended = std::chrono::seconds(60);    ///< then no name of that directory is kept for so long
  Duration closing_patience = std::chrono::seconds(5);    ///< before the mount is cut off instead of emptied
  Duration patience{};                          ///< a request waits so long for its site to serve, then gets EIO; 0: for ever
  bool strict = false;                          ///< coherence = "strict": every open is direct, every read waits its turn
  std::vector<std::string> sites;               ///< their names, by SiteId
  std::uint64_t read_bytes_max = 64u << 20;     ///< memory of reads that wait for the medium
};

struct HostCounters {
  std::uint64_t requests = 0, reads_inline = 0, reads_waited = 0, writes = 0;
  std::uint64_t dropped_attributes = 0, dropped_listings = 0, dropped_pages = 0, dropped_names = 0;
  std::uint64_t drops_needless = 0;   ///< the kernel keeps nothing of it
  std::uint64_t helper_hops = 0;      ///< drops that waited for a thread
  std::uint64_t names_late = 0, epochs = 0, retries = 0;
  std::uint64_t names_mistaken = 0;   ///< removals and renames by names that another site had changed since the kernel looked them up
  std::uint64_t directories_put = 0;  ///< that another site moved: looked up at their new place
  std::uint64_t shrinks_late = 0;     ///< sizes that the kernel did not ask for in time: asked for again before the next drop
  std::uint64_t answered_early = 0;   ///< write-backs that a drop waited for
  std::uint64_t bad_reads = 0;        ///< answered with EIO
  std::uint64_t bad_reads_repaired = 0;   ///< pieces that were bad here and were repaired before the answer
  std::uint64_t bad_reads_elsewhere = 0;  ///< pieces that are bad here and were answered from the other site
  std::uint64_t reads_elsewhere = 0;  ///< pieces that were read at the other site
  std::uint64_t held = 0;             ///< requests that waited until hosts are served
  std::uint64_t out_of_patience = 0;  ///< of these, answered with EIO
  std::uint64_t let_go = 0;           ///< requests answered with EINTR, as their program was being ended
  std::uint64_t closings = 0, mounted_again = 0;
};

/// Most bytes in one request.
inline constexpr std::uint64_t kTransferBytesMax = 1u << 20;

struct MountState {
  MountState(runtime::World& w, area::Area& a, volume::Volume& v, controller::Changes& c, HostOptions o)
      : world(w), kernel(w.kernel), area(a), volume(v), changes(c), options(std::move(o)), inodes(w.scheduler),
        serving(w.scheduler, w.clock), scope(w.scheduler) {}

  runtime::World& world;
  runtime::Kernel& kernel;
  area::Area& area;
  volume::Volume& volume;
  controller::Changes& changes;
  const HostOptions options;
  InodeTable inodes;
  ChangedNames changed_names;
  Serving serving;
  runtime::Scope scope;
  runtime::Stop stop;   ///< waits for the kernel are given up
  HostCounters counters;
  bool waking = false;  ///< wake_waiting() runs
  /// A request in served() or in change().
  struct Waiting {
    std::uint32_t pid = 0;
    bool signal = false;               ///< one came
    controller::Waiter* waiter = nullptr;  ///< null: it is in served()
    std::function<void()> let_go;      ///< called when its program has been let go; null: nothing is to be done then
  };
  std::map<std::uint64_t, Waiting*> waiting;  ///< by unique
  std::size_t signalled = 0;           ///< how many of them a signal came for
  bool watching = false;               ///< watch_signalled() runs
  bool gone = false;    ///< the mount is not there any more
  std::uint64_t mounts = 1;     ///< goes up when it is there again
  std::uint64_t files_opened = 0;
  Instant listing_answered_at;  ///< last time; in the machine's time

  /// Runs `task`, which answers request `unique`; at the end of the daemon the request is refused instead.
  void launch(std::uint64_t unique, runtime::Task<void> task);
  void answer_error(const runtime::HostRequest& request, int number);
  /// Suspends until hosts are served. False: they will not be, or not soon enough, and `request`, which must not have changed
  /// anything yet, was answered with an error.
  runtime::Task<bool> served(const runtime::HostRequest& request);
  /// Asks for a change on behalf of `request`, for which nothing was changed before. EINTR: its program was ended, and let go: the request is
  /// answered. Whether the change came into force is not known then; if it did, the kernel was told as of one of another site, and the rest of
  /// the outcome says what came of it. Suspends.
  runtime::Task<wire::Outcome> change(const runtime::HostRequest& request, wire::Operation operation, Bytes payload, std::shared_ptr<runtime::Lease> lease,
                                      std::function<void()> let_go = nullptr);
  /// A signal came for who waits for request `unique`. If that ends its program, and what was asked is not in force here, it waits no longer.
  void interrupted(std::uint64_t unique);
  /// Whoever began to wait at `since` has waited long enough; says so. To be asked each time serving.change() was awaited.
  [[nodiscard]] bool out_of_patience(Instant since);
  /// Wakes those who wait now and then, so that they look at the time.
  runtime::Task<void> wake_waiting();
  /// Further signals are told to nobody: looks after those for which one came.
  runtime::Task<void> watch_signalled();
  /// The same for one of them: it looks itself (served()), or is answered.
  void look_after(std::uint64_t unique, Waiting& its);
  void waits(std::uint64_t unique, Waiting& its);
  void waits_no_more(std::uint64_t unique, const Waiting& its);
  /// The errno for a host; what is not the host's own error is logged, with `request`.
  [[nodiscard]] int errno_of(const Error& error, const runtime::HostRequest& request);

  void drop_all_names();
  /// The caller of `request` may take `name` in `directory` for something else than what the volume has.
  [[nodiscard]] bool may_differ(const runtime::HostRequest& request, InodeId directory, std::string_view name) {
    const KnownInode* node = inodes.find(directory);
    return changed_names.may_differ(directory, name, request.caller.pid, node == nullptr ? 0 : node->names_settled);
  }
  /// A request that holds the lock of `directory` has come.
  void saw_lock_of(InodeId directory) {
    if (KnownInode* node = inodes.find(directory)) node->names_settled = changed_names.last();
  }
  /// Whoever asked was told what has `name` in the directory of `request`.
  void told(const runtime::HostRequest& request, std::string_view name) {
    changed_names.told(request.inode, name, request.caller.pid, world.clock.now());
  }
  /// An object as the kernel is told of it. While hosts are not served without validity: the answer to a change goes out
  /// whenever it is done, and what it says may be old then.
  /// `directory`: where it has the name that is handed out with it; kNoInode: it comes without one.
  [[nodiscard]] runtime::EntryReply entry_of(const runtime::HostAttributes& attributes, InodeId directory);
  /// The kernel is to keep no name of `directory`: both sites change names there, and would wait for each other's kernel to drop them.
  [[nodiscard]] bool is_contended(InodeId directory);
  [[nodiscard]] runtime::AttributesReply attributes_of(const runtime::HostAttributes& attributes) const;
  /// How a file is opened with `flags` of open(2), under a handle of its own.
  [[nodiscard]] runtime::OpenReply open_of(std::uint32_t flags);
  /// Answers with an object in `directory`, counted before the kernel knows. False: nobody took it.
  bool hand_out(const runtime::HostRequest& request, InodeId directory, const runtime::HostReply& reply, InodeId inode);
};

/// Bit of the handles of files; the others count.
inline constexpr std::uint64_t kHandleDirect = 1;

/// Awaits what `miss` names, for whoever looks again then; false: `request` was answered with the error.
runtime::Task<bool> load_or_answer(MountState& state, const runtime::HostRequest& request, volume::Miss miss);

/// An operation on what `request` names, by who asks it.
[[nodiscard]] wire::Operation operation_by(const runtime::HostRequest& request, wire::OpKind kind);

}  // namespace lockstep::fuse
