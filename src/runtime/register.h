// register.h - the arbiter: one value, outside of both sites, that changes by compare-and-swap only.
//
//   revision 0 ----swap(0, a)----> 17 ----swap(17, b)----> 23 ...
//
// A revision names one state of the register: 0 "never written", every swap gives a higher one. The numbers between mean
// nothing. Whoever administers the arbiter can lose or restore its data; then revisions go back and values come again,
// so callers hold what they read against what they know themselves.
//
// What `unknown` means. The swap may have happened, or *may yet happen*: it can lie in a queue of the arbiter or of the
// network longer than its caller waited. So reading the old revision afterwards proves nothing. A revision above the
// expected one does: the swap has then happened, if it is the value's own writer that one reads, or never will.
//
// Reads are linearizable: a read begun after a swap was answered gives that swap's state, or a later one, at every site.
#pragma once

#include <cstdint>
#include <string>

#include "core/result.h"
#include "core/types.h"
#include "runtime/sync.h"
#include "runtime/task.h"

namespace lockstep::runtime {

/// The longest value.
inline constexpr std::size_t kRegisterBytesMax = 64 << 10;

struct RegisterState {
  std::uint64_t revision = 0;  ///< 0: never written
  std::string value;
  bool operator==(const RegisterState&) const = default;
};

struct SwapResult {
  bool swapped = false;
  RegisterState now;  ///< what this swap made, or what was there instead
  bool operator==(const SwapResult&) const = default;
};

/// Calls may overlap. None waits longer than its `timeout`, nor much longer than until `stop` is requested.
class Register {
 public:
  virtual ~Register() = default;
  /// The state. Errc::unavailable: no arbiter told it in time. Errc::stopped. Suspends.
  virtual Task<Result<RegisterState>> read(Duration timeout, Stop& stop) = 0;
  /// Makes `value` the register's value if its revision is `expected`. Requires: value.size() <= kRegisterBytesMax.
  /// Errc::unavailable: nothing was changed by this call, nor will be. Errc::unknown: see above; a request that was under
  /// way when `stop` came, too. Errc::stopped: `stop` came before anything was sent. Suspends.
  virtual Task<Result<SwapResult>> swap(std::uint64_t expected, std::string value, Duration timeout, Stop& stop) = 0;
  /// An administrator has put another arbiter in the place of the one that answered so far: whoever answers next is it.
  virtual void accept_another() = 0;
};

}  // namespace lockstep::runtime
