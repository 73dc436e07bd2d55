// kernel.h - the daemon's handle on the simulated operating system: a Mount, and the notifications on it.
//
// The watchdog of serve_until() is not of the process: it works while that is paused.
//
// Notifications are recorded, so that a test can say what was dropped and what was not.
#pragma once

#include <cerrno>
#include <set>
#include <string>
#include <vector>

#include "runtime/kernel.h"
#include "sim/mount.h"
#include "sim/process.h"

namespace lockstep::sim {

struct Notification {
  enum class Kind { attributes, listing, pages, size, shorter, name, all_names, found } kind{};
  InodeId inode;
  ByteRange range;
  std::string name;
  runtime::Dropped outcome{};
  bool operator==(const Notification&) const = default;
};

class SimKernel final : public runtime::Kernel {
 public:
  SimKernel(Process& process, Prng prng) : process_(process), prng_(prng) {}

  /// Makes mount() answer Errc::refused with this text, when not empty.
  std::string refusal;
  /// Of callers that a signal is about to end.
  std::set<std::uint32_t> ending;
  /// In the order in which they ended.
  [[nodiscard]] const std::vector<Notification>& notifications() const { return notifications_; }
  void clear_notifications() { notifications_.clear(); }
  /// Null before mount().
  [[nodiscard]] const std::shared_ptr<Mount>& mounted() const { return mount_; }
  /// Sends `request` as a host would and waits for the answer, past all locks. Requires: mounted. Suspends; runs in
  /// this process.
  runtime::Task<OwnedReply> call(runtime::HostRequest request);

  Result<> mount(runtime::HostHandler& handler) override;
  runtime::Task<void> unmount() override;
  runtime::Task<Result<>> mount_anew(runtime::HostHandler& handler) override;
  bool in_place() const override { return mount_ != nullptr && !mount_->gone(); }
  void serve_until(Instant until) override;
  std::optional<std::size_t> reply(std::uint64_t unique, const runtime::HostReply& reply) override;
  bool ends(std::uint32_t pid) override { return ending.contains(pid); }
  void give_up(std::uint64_t unique) override { (void)reply(unique, runtime::ErrorReply{EINTR}); }
  runtime::Dropped drop_attributes(InodeId inode) override;
  runtime::Dropped drop_listing(InodeId inode) override;
  runtime::Task<runtime::Dropped> drop_pages(InodeId inode, ByteRange range) override;
  runtime::Task<runtime::Dropped> grow(InodeId inode, ByteRange range) override;
  runtime::Task<runtime::Dropped> shrink(InodeId inode, Duration patience) override;
  runtime::Task<std::vector<InodeId>> drop_unused(std::vector<InodeId> inodes) override;
  runtime::Task<runtime::Dropped> drop_name(InodeId directory, std::string name, Duration patience) override;
  runtime::Task<runtime::Dropped> look_up(InodeId directory, std::string name, Duration patience) override;
  void drop_all_names() override;

 private:
  [[nodiscard]] bool effective() const { return process_.alive() && mount_ != nullptr && !mount_->gone(); }
  /// Ends the connection if `until_` has come; else looks again then.
  void watch();
  /// What drop_pages does when its call has reached the kernel.
  runtime::Task<void> drop_pages_of(std::shared_ptr<Mount> mount, InodeId inode, ByteRange range);
  runtime::Dropped note(Notification notification, runtime::Dropped outcome);

  Process& process_;
  Prng prng_;
  runtime::HostHandler* handler_ = nullptr;
  std::shared_ptr<Mount> mount_;
  std::uint64_t mounts_ = 0;
  Instant until_ = kNever;
  Universe::EventId watching_ = 0;
  std::vector<Notification> notifications_;
};

/// Awaited by a coroutine of `process`: goes on when it has the lock.
struct LockTurn {
  Process& process;
  std::shared_ptr<KernelLock> lock;
  bool exclusive;
  LockTurn(Process& p, std::shared_ptr<KernelLock> l, bool e) : process(p), lock(std::move(l)), exclusive(e) {}
  bool await_ready() const noexcept { return false; }
  void await_suspend(std::coroutine_handle<> h) {
    Process* owner = &process;
    lock->lock(exclusive, [owner, h] { owner->post(h); });
  }
  void await_resume() const noexcept {}
};

/// Awaited by a coroutine of `process`: the answer to `request`.
struct Answer {
  Process& process;
  std::shared_ptr<Mount> mount;
  runtime::HostRequest request;
  OwnedReply reply;
  Answer(Process& p, std::shared_ptr<Mount> m, runtime::HostRequest r)
      : process(p), mount(std::move(m)), request(std::move(r)) {}
  bool await_ready() const noexcept { return false; }
  void await_suspend(std::coroutine_handle<> h) {
    mount->send(request, &process, [this, h](OwnedReply r) {
      reply = std::move(r);
      process.post(h);
    });
  }
  OwnedReply await_resume() { return std::move(reply); }
};

/// Hands a page that was stored through a mapping to the daemon, up to the end of file; nothing if it was not. The
/// caller holds the page's lock. Suspends.
runtime::Task<OwnedReply> write_dirty_page(Process& process, std::shared_ptr<Mount> mount, InodeId inode,
                                           std::uint64_t page);

}  // namespace lockstep::sim
