// daemon_commands.h - the commands that ask a running daemon. Each prints and returns the exit status.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "bin/exit_status.h"

namespace lockstep::cli {

/// What `trace` is to show.
struct TraceOptions {
  bool follow = false;       ///< go on until interrupted
  bool profile = false;      ///< costs of each step instead of steps
  std::uint64_t count = 0;   ///< so many lines at most; 0: all
};

/// `control` is the path of the daemon's control socket; `json` prints the answer as it came.
[[nodiscard]] ExitStatus show_status(const std::string& control, bool json);
[[nodiscard]] ExitStatus verify(const std::string& control, bool json, bool repair);
/// The volume is mounted at the site's mount point, if somebody has unmounted it.
[[nodiscard]] ExitStatus mount(const std::string& control);
/// The other site becomes primary, or the one named `to`; no request fails.
[[nodiscard]] ExitStatus switch_over(const std::string& control, const std::string& to);
/// Says what may be lost, asks (unless `yes`), and has this site go on alone.
[[nodiscard]] ExitStatus take_over(const std::string& control, bool force, bool yes);
/// The new area of `site` is welcome.
[[nodiscard]] ExitStatus replace(const std::string& control, const std::string& site);
[[nodiscard]] ExitStatus replace_arbiter(const std::string& control);
struct ResolveCommand {
  std::string discard;  ///< the site whose changes go
  std::string keep;     ///< directory, "none", or empty: in the area
  bool partly = false;  ///< also where something can't be kept
};
/// What a site has of its own since the sites diverged goes.
[[nodiscard]] ExitStatus resolve(const std::string& control, const ResolveCommand& command);
/// What this site has of its own since the sites diverged.
[[nodiscard]] ExitStatus show_divergence(const std::string& control, bool json);
[[nodiscard]] ExitStatus trace(const std::string& control, const TraceOptions& options);

}  // namespace lockstep::cli
