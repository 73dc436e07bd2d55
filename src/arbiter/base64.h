// base64.h - bytes as JSON carries them: RFC 4648, with padding.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace lockstep::arbiter {

[[nodiscard]] std::string base64(std::string_view bytes);
/// nullopt: it is not exactly what base64() makes of some bytes.
[[nodiscard]] std::optional<std::string> from_base64(std::string_view text);

}  // namespace lockstep::arbiter
