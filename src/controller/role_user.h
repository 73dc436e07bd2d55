// role_user.h - what a role asks of the controller around it: everything that changes the membership or the other role.
#pragma once

#include <string>

#include "controller/waiter.h"
#include "runtime/task.h"
#include "wire/messages.h"

namespace lockstep::controller {

class RoleUser {
 public:
  /// The session has caught up: hosts may be served, as long as the lease lasts.
  virtual void session_live() = 0;
  /// Source: the target said that it serves nobody, and wrote down that it may be no source. Records that it is out of the
  /// in-sync set, in an epoch above `above`. False: that did not work, the session is to end. Suspends.
  virtual runtime::Task<bool> target_yielded(Epoch above) = 0;
  /// Source: the target is equal. Records that it is in the in-sync set. False: as above. Suspends.
  virtual runtime::Task<bool> take_in() = 0;
  /// Primary: the secondary asks to be let go. Suspends.
  virtual runtime::Task<void> let_go(std::string reason) = 0;
  /// The primary recorded an entry: so does this site, which `has_own` effects that the primary's history lacks. Errc::invalid: it is
  /// no history. Suspends.
  virtual runtime::Task<Result<>> told(wire::Membership membership, bool has_own) = 0;
  /// A command for this site, of an administrator at the other one; answers go into the session. Must not suspend.
  virtual void command(wire::Command command) = 0;
  virtual void command_answered(wire::CommandAnswer answer) = 0;
  /// About who goes on while the arbiter is away; answers go into the session. Must not suspend.
  virtual void arms(const wire::Arms& message) = 0;
  /// The other site serves nobody any more.
  virtual void other_serves_nobody() = 0;
  /// No request of this site's host below this number waits.
  [[nodiscard]] virtual std::uint64_t waits_from() const = 0;
  /// A number for a request that the role makes itself as one of its host's, for `waiter` or (null) nobody who could go; and its end.
  virtual std::uint64_t next_request(Waiter* waiter) = 0;
  virtual void request_ended(std::uint64_t n) = 0;
  /// Request `id` comes into force here. True: it is of this site's host, who waits for the answer, and can't go any more: its kernel
  /// learns from that what has changed. False: the kernel is to be told as of any other change.
  virtual bool binds(const RequestId& id) = 0;

 protected:
  ~RoleUser() = default;
};

}  // namespace lockstep::controller
