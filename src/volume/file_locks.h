// file_locks.h - the advisory locks of one file: who holds which bytes, and who waits.
//
// Two kinds that never meet: of bytes (fcntl(2), of processes and of open files), and of the whole file (flock(2)).
//
//   set         as POSIX has it: the owner's bytes in the range become of that type, whatever they were; what it holds is
//               split and joined
//   wait        stands in line; who is in line stops nobody else (readers may pass a writer that waits, as in Linux)
//   grant       those in line, in their order, whom nobody is in the way of any longer
//
// Invariants, tested by check_invariants():
//   (1) Locks of one kind that share a byte are of one owner, or all are read.
//   (2) Of one owner and kind none share a byte, and none of one type touch.
//   (3) Held ones are sorted by kind, first byte and owner: equal locks are equal bytes.
//
// A plain class: it decides, and knows no clock and no site.
#pragma once

#include <span>

#include "volume/keys_format.h"

namespace lockstep::volume {

/// They can't both be held.
[[nodiscard]] bool excludes(const wire::LockRequest& a, const wire::LockRequest& b);

class FileLocks {
 public:
  FileLocks() = default;
  explicit FileLocks(LocksValue value) : it_(std::move(value)) {}

  /// A lock of another owner because of which `wanted` can't be had; nullptr: none.
  [[nodiscard]] const wire::LockRequest* in_the_way(const wire::LockRequest& wanted) const;
  /// Every byte of `lock` is held by its owner, with that type or (at least) a stronger one.
  [[nodiscard]] bool holds(const wire::LockRequest& lock, bool at_least) const;
  /// Requires: nobody is in the way.
  void set(const wire::LockRequest& lock);

  /// Requires: it has a ticket that is not in line.
  void wait(const wire::LockRequest& wanted);
  [[nodiscard]] bool waits(const wire::LockOwner& owner, std::uint64_t ticket) const;
  /// False: it is not in line.
  bool cancel(const wire::LockOwner& owner, std::uint64_t ticket);
  void grant();

  /// Takes away what `site` holds (unless `waits_only`) and waits for, but for what is of its start `stays`. Returns how many.
  std::size_t take_away(SiteId site, std::uint64_t stays, bool waits_only);

  [[nodiscard]] const LocksValue& value() const { return it_; }
  [[nodiscard]] std::span<const wire::LockRequest> held() const { return it_.held; }
  [[nodiscard]] std::span<const wire::LockRequest> waiting() const { return it_.waiting; }
  [[nodiscard]] std::size_t size() const { return it_.held.size() + it_.waiting.size(); }
  [[nodiscard]] bool empty() const { return size() == 0; }
  bool operator==(const FileLocks&) const = default;
  /// Aborts if (1) to (3) do not hold. Slow: for tests.
  void check_invariants() const;

 private:
  LocksValue it_;
};

}  // namespace lockstep::volume
