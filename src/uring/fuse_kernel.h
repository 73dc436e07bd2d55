// fuse_kernel.h - runtime::Kernel for real: a FUSE mount, decoded by libfuse, read and answered on the loop.
//
//   /dev/fuse --read--> RequestMemory --fuse_session_process_buf--> libfuse's operations --HostRequest--> HostHandler
//   /dev/fuse <-writev- reply()
//
// A request costs one read and one writev. The loop says when there is something to read; while requests come in bursts
// more than one is read in a pass. libfuse 3.14 keeps several features from the kernel: the answer to INIT is written
// here, whole (fuse_init.h).
//
// Notifications of attributes and listings are written on the loop: they take no lock that a request holds. Those of
// pages and names may wait for requests to be answered, so they have threads of their own, apart from each other and
// from the pool that serves reads: a name may wait for a request that waits for another site, a page never does.
// A daemon that is killed while one of these threads waits in the kernel for an answer of the daemon can't end: then the
// watchdog ends the connection, and so the wait.
//
// A kernel without FUSE_NOTIFY_INC_EPOCH (before 7.44) cannot forget all names at once: there every name is handed out
// without validity, drop_all_names() has nothing to do, and each use of a name costs a lookup.
//
// Requests that are not answered take bounded memory. At the bound reading stops; while pages are being dropped it goes on
// into a reserve, since a drop may wait for a write-back that stands behind others in the line.
//
// A connection that was cut off stays, dead, until unmount() or mount_anew(). The kernel goes on serving what is open from its pages when a
// connection has ended: so at the end it is made to forget.
//
// A program that finds no mount writes into the directory below, is told that all is well, and nobody ever sees that again. So a mount that
// takes the place of another one, dead or not, is put beneath it, and only then the other one is taken away.
//
// Invariants:
//   (1) Every request taken is answered exactly once, also those of a mount that is gone: their answers go nowhere, and
//       never to a mount made since.
//   (2) The descriptor is closed after every notification returned.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "runtime/kernel.h"
#include "runtime/sync.h"
#include "uring/descriptor.h"
#include "uring/fuse_mount.h"
#include "uring/loop.h"
#include "uring/open_objects.h"
#include "uring/pool.h"
#include "uring/request_memory.h"
#include "uring/watchdog.h"

struct fuse_session;
struct fuse_req;
struct iovec;

namespace lockstep::uring {

struct FuseOptions {
  MountOptions mount;
  std::size_t request_bytes_max = 128u << 20;  ///< of requests that are not answered yet
  std::size_t request_bytes_reserve = 32u << 20;  ///< on top while pages are being dropped
  unsigned read_ahead_kib = 1024;
  unsigned page_threads = 64;  ///< started when needed; each may wait for a request that holds a page
  unsigned name_threads = 4;
  Watchdog* watchdog = nullptr;  ///< who keeps serve_until() while this process can't; null: nobody does
};

class FuseKernel final : public runtime::Kernel, private Watcher, private Returned, private Timer {
 public:
  struct Counters {
    std::uint64_t requests = 0, replies = 0, replies_lost = 0, reads = 0, starved = 0;
    std::uint64_t drops_attributes = 0, drops_listing = 0, drops_pages = 0, sizes_told = 0, sizes_asked = 0, drops_name = 0, names_looked_up = 0,
                  names_late = 0, drops_all_names = 0;
  };

  FuseKernel(Loop& loop, FuseOptions options);
  /// Requires: not mounted, or unmount() ended.
  ~FuseKernel() override;

  Result<> mount(runtime::HostHandler& handler) override;
  runtime::Task<void> unmount() override;
  runtime::Task<Result<>> mount_anew(runtime::HostHandler& handler) override;
  bool in_place() const override;
  void serve_until(Instant until) override;
  std::optional<std::size_t> reply(std::uint64_t unique, const runtime::HostReply& reply) override;
  bool ends(std::uint32_t pid) override;
  void give_up(std::uint64_t unique) override;
  runtime::Dropped drop_attributes(InodeId inode) override;
  runtime::Dropped drop_listing(InodeId inode) override;
  runtime::Task<runtime::Dropped> drop_pages(InodeId inode, ByteRange range) override;
  runtime::Task<runtime::Dropped> grow(InodeId inode, ByteRange range) override;
  runtime::Task<runtime::Dropped> shrink(InodeId inode, Duration patience) override;
  runtime::Task<std::vector<InodeId>> drop_unused(std::vector<InodeId> inodes) override;
  runtime::Task<runtime::Dropped> drop_name(InodeId directory, std::string name, Duration patience) override;
  runtime::Task<runtime::Dropped> look_up(InodeId directory, std::string name, Duration patience) override;
  void drop_all_names() override;

  [[nodiscard]] const Counters& counters() const { return counters_; }

 private:
  friend struct FuseOperations;  // libfuse's callbacks: fuse_operations.cc
  class Patient;
  runtime::Task<runtime::Dropped> with_patience(Pool& pool, std::function<int()> call, Duration patience);

  /// A request that was handed out.
  struct Slot {
    fuse_req* request = nullptr;   ///< nullptr: one that libfuse does not know (of op tmpfile; getattr: STATX)
    std::uint64_t raw = 0;         ///< its number for the kernel
    std::uint32_t generation = 1;  ///< so that an answer given twice is noticed
    runtime::HostOp op{};
    InodeId inode;
    bool used = false;
    bool gone = false;             ///< with its mount, or given up: nobody takes the answer
  };

  /// Serves what is mounted at `path`, whose descriptor is `channel`.
  Result<> begin(runtime::HostHandler& handler, std::string path, Descriptor channel);
  void readable() override;
  void fire() override;
  void returned() override;
  runtime::Task<void> serve();
  /// Reads and hands out what there is, within a budget. False: the mount is gone.
  bool take_requests();
  /// The kernel says so.
  [[nodiscard]] bool connection_ended() const;
  void take(std::size_t length);
  void take_tmpfile(const RequestMemory::Request& request);
  void take_statx(const RequestMemory::Request& request);
  void take_interrupt(const RequestMemory::Request& request);
  void gone();

  /// Hands `request` to the handler, to be answered as what libfuse calls `from`.
  void hand_out(runtime::HostRequest request, fuse_req* from);
  /// What the answer to an open, if it is one, opens.
  [[nodiscard]] static std::optional<InodeId> opens(const Slot& slot, const runtime::HostReply& reply);
  [[nodiscard]] int send(const Slot& slot, int error, Bytes bytes);
  [[nodiscard]] int send_listing(const Slot& slot, const runtime::ListingReply& listing, std::size_t& taken);
  static long write_hook(int fd, iovec* parts, int count, void* self);
  static long read_hook(int fd, void* into, std::size_t length, void* self);

  Loop& loop_;
  const FuseOptions options_;
  std::string path_;
  runtime::HostHandler* handler_ = nullptr;
  fuse_session* session_ = nullptr;
  int fd_ = -1;
  std::unique_ptr<Watch> watch_;
  RequestMemory memory_;
  Pool page_pool_, name_pool_;
  Pool end_pool_;  ///< takes the mount away while the others' threads may wait for its requests

  runtime::Event wake_;
  runtime::Scope scope_;
  std::optional<runtime::Gate> notifying_;  ///< drops on the pools
  /// Each look_up() that has not returned holds it, too.
  std::shared_ptr<const bool> looking_ = std::make_shared<const bool>(true);
  bool connected_ = false;
  bool there_ = false;       ///< mounted and not taken away, connected or not
  std::uint32_t number_ = 0; ///< of the connection
  std::uint64_t cuts_ = 0;   ///< the watchdog's, before this mount
  bool leaving_ = false;     ///< unmount() was called
  bool ending_ = false;      ///< it took the mount away
  bool starved_ = false;     ///< no memory to read into
  std::atomic<bool> room_told_ = false;
  int eagerness_ = 0;        ///< above 0: requests come in bursts
  unsigned since_try_ = 0;

  OpenObjects open_;
  RequestMemory::Request arriving_;  ///< what libfuse is decoding
  std::uint64_t init_unique_ = 0;
  std::uint32_t kernel_minor_ = 0;
  std::uint64_t kernel_flags_ = 0;
  std::uint32_t kernel_readahead_ = 0;
  bool epochs_ = false;  ///< the kernel can expire all names at once

  std::vector<Slot> slots_;
  std::vector<std::uint32_t> free_slots_;
  Counters counters_;
};

}  // namespace lockstep::uring
