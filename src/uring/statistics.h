// statistics.h - what the loop and those who work on it have cost so far. Plain counters of one thread.
//
// Every system call that the loop's thread makes through this layer is counted where it is made. Calls of the pool's
// threads are not: what they cost is the hop.
#pragma once

#include <cstdint>

namespace lockstep::uring {

struct Statistics {
  // System calls.
  std::uint64_t enters = 0;        ///< io_uring_enter, whatever it submitted or waited for
  std::uint64_t yields = 0;        ///< sched_yield while polling: the price of `spin`, not of an operation
  std::uint64_t reads = 0;         ///< read, preadv2 (/dev/fuse, cached reads, descriptors of signals)
  std::uint64_t writes = 0;        ///< write, pwritev, writev
  std::uint64_t sends = 0;         ///< sendmsg
  std::uint64_t others = 0;        ///< anything rarer: mincore, socket, shutdown, close
  // The loop.
  std::uint64_t passes = 0;
  std::uint64_t resumes = 0;       ///< coroutines resumed
  std::uint64_t completions = 0;
  std::uint64_t sleeps = 0;        ///< waits that left the processor
  std::uint64_t spins = 0;         ///< waits that began by polling
  std::uint64_t spins_won = 0;     ///< of these, those that ended before `spin` had passed
  // Those who work on it.
  std::uint64_t pool_hops = 0;     ///< jobs handed to a pool
  std::uint64_t slow_writes = 0;   ///< File::write_now() of more than 2 ms
  std::uint64_t stalled_applies = 0;  ///< KeyValue::apply() that had to wait for a flush

  /// System calls made for work, the yields of polling left out.
  [[nodiscard]] std::uint64_t system_calls() const { return enters + reads + writes + sends + others; }
};

}  // namespace lockstep::uring
