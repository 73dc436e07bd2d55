// handshake.h - who may talk to whom: the checks on the first message, as a pure function.
#pragma once

#include <optional>
#include <string>

#include "wire/messages.h"

namespace lockstep::peer {

/// Why a connection whose other side said `theirs` must not be used by a site that says `ours`; nullopt: it may.
/// One line: what does not match, both values, and what to do. `expected` is the name of the other site here.
/// Rules, in order: version, volume name, volume id, site name, store id, settings. What the two are to each
/// other beyond that is decided by controller/encounter.h.
[[nodiscard]] std::optional<std::string> reason_to_refuse(const wire::Hello& ours, const wire::Hello& theirs,
                                                          const std::string& expected);

}  // namespace lockstep::peer
