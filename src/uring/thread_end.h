// thread_end.h - whether a thread of any program is about to be ended by a signal, as /proc shows it.
#pragma once

#include <cstdint>
#include <string_view>

namespace lockstep::uring {

/// A signal that ends it has come for the thread `pid`, and neither is it blocked nor does the program handle it; or there is no such thread.
/// False also where that can't be found out. Reads /proc, which does not wait.
[[nodiscard]] bool thread_ends(std::uint32_t pid);

/// The same, of the text of /proc/PID/status.
[[nodiscard]] bool says_that_it_ends(std::string_view status);

}  // namespace lockstep::uring
