// log.h - one line a fact, to standard error (the journal, under systemd).
//
// An error is logged once, where the context is: what, while doing what, on which request, range and epoch, and what
// was done about it. Libraries return errors; controller, peer and site log them.
#pragma once

#include <fmt/format.h>

#include <string_view>

namespace lockstep::log {

enum class Level { debug, info, warning, error };

/// Sets what is printed: `level` and worse. `name` stands in each line (the site's name).
void set_up(std::string_view name, Level level);
/// Writes nothing any more, whatever its level.
void silence();
/// Writes one line. Never blocks for long, never throws.
void write(Level level, std::string_view line);
[[nodiscard]] bool enabled(Level level);

template <class... A>
void debug(fmt::format_string<A...> f, A&&... a) {
  if (enabled(Level::debug)) write(Level::debug, fmt::format(f, std::forward<A>(a)...));
}
template <class... A>
void info(fmt::format_string<A...> f, A&&... a) {
  if (enabled(Level::info)) write(Level::info, fmt::format(f, std::forward<A>(a)...));
}
template <class... A>
void warning(fmt::format_string<A...> f, A&&... a) {
  if (enabled(Level::warning)) write(Level::warning, fmt::format(f, std::forward<A>(a)...));
}
template <class... A>
void error(fmt::format_string<A...> f, A&&... a) {
  if (enabled(Level::error)) write(Level::error, fmt::format(f, std::forward<A>(a)...));
}

}  // namespace lockstep::log
