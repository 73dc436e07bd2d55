// agreement.h - what the configurations of two sites must have in common, and how they differ.
//
// The text is KEY=VALUE lines in a fixed order, the same for equal settings whatever the files look like. It travels in
// Hello with its digest; paths, log level and what else is a site's own business is not in it.
#pragma once

#include <string>
#include <string_view>

#include "config/config.h"

namespace lockstep::config {

/// Longest text that differences() looks at.
inline constexpr std::size_t kAgreementBytesMax = 64 << 10;

/// Volume, sites, addresses, primary, every setting that is marked so in settings.h, and endpoints (in any order) and
/// key of the arbiter. Ends with a newline.
[[nodiscard]] std::string settings_that_must_agree(const Config& config);
/// The core checksum of that text.
[[nodiscard]] std::uint64_t digest(std::string_view settings);
/// Names every setting that differs with both values, in one line for a person; empty if and only if the texts are
/// equal. `theirs` is untrusted: the answer is short and printable whatever it is.
[[nodiscard]] std::string differences(std::string_view ours, std::string_view theirs);

}  // namespace lockstep::config
