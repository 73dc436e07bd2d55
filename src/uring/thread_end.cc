#include "uring/thread_end.h"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <optional>
#include <string>

#include "uring/descriptor.h"

namespace lockstep::uring {
namespace {

constexpr std::uint64_t bit(int signal) { return std::uint64_t{1} << (signal - 1); }

/// What they do by default ends no program: signal(7).
constexpr std::uint64_t kHarmless = bit(SIGCHLD) | bit(SIGCONT) | bit(SIGSTOP) | bit(SIGTSTP) | bit(SIGTTIN) | bit(SIGTTOU) | bit(SIGURG) | bit(SIGWINCH);

/// The set of signals in the line that begins with `key`.
std::optional<std::uint64_t> signals_in(std::string_view status, std::string_view key) {
  const auto at = status.find(key);
  if (at == std::string_view::npos) return std::nullopt;
  const auto digits = status.find_first_not_of(" \t", at + key.size());
  if (digits == std::string_view::npos) return std::nullopt;
  std::uint64_t set = 0;
  const auto parsed = std::from_chars(status.data() + digits, status.data() + status.size(), set, 16);
  if (parsed.ec != std::errc{}) return std::nullopt;
  return set;
}

}  // namespace

bool says_that_it_ends(std::string_view status) {
  const auto of_thread = signals_in(status, "\nSigPnd:"), of_process = signals_in(status, "\nShdPnd:"), blocked = signals_in(status, "\nSigBlk:"),
             ignored = signals_in(status, "\nSigIgn:"), handled = signals_in(status, "\nSigCgt:");
  if (!of_thread || !of_process || !blocked || !ignored || !handled) return false;
  // Where a signal ends a program each of its threads gets SIGKILL, but for signals that leave a core dump.
  const std::uint64_t pending = *of_thread | *of_process;
  return (pending & bit(SIGKILL)) != 0 || (pending & ~*blocked & ~*ignored & ~*handled & ~kHarmless) != 0;
}

bool thread_ends(std::uint32_t pid) {
  const Descriptor file(::open(("/proc/" + std::to_string(pid) + "/status").c_str(), O_RDONLY | O_CLOEXEC));
  if (!file) return errno == ENOENT;
  std::array<char, 8192> text;
  std::size_t length = 0;
  while (length < text.size()) {
    const ssize_t n = ::read(file.get(), text.data() + length, text.size() - length);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return errno == ESRCH;
    if (n == 0) break;
    length += static_cast<std::size_t>(n);
  }
  return says_that_it_ends(std::string_view(text.data(), length));
}

}  // namespace lockstep::uring
