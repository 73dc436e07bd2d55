// values.h - values of the configuration as text, and back: sizes, durations, identities, addresses, paths.
//
// What was read from text and is written again reads the same (size_text(parse_size(t)) means t). Errors say what is
// wrong with the value and what would be right; they do not know the key, and contain no control characters.
#pragma once

#include <string>
#include <string_view>

#include "config/config.h"

namespace lockstep::config {

inline constexpr std::string_view kSizeUnits = "B, KiB, MiB, GiB, TiB";
inline constexpr std::string_view kDurationUnits = "us, ms, s, min, h";

/// A whole number and a unit: "64MiB". In bytes.
[[nodiscard]] Result<std::uint64_t> parse_size(std::string_view text);
/// With the largest unit that leaves a whole number.
[[nodiscard]] std::string size_text(std::uint64_t bytes);

/// A whole number and a unit: "500ms".
[[nodiscard]] Result<Duration> parse_duration(std::string_view text);
/// With the largest unit that leaves a whole number. Requires: whole microseconds, not negative.
[[nodiscard]] std::string duration_text(Duration duration);

/// 8-4-4-4-12 hexadecimal digits, not all zero.
[[nodiscard]] Result<Uuid> parse_uuid(std::string_view text);
[[nodiscard]] std::string uuid_text(const Uuid& id);

/// HOST:PORT or [IPv6]:PORT; not a wildcard, for the other site connects to it.
[[nodiscard]] Result<Address> parse_address(std::string_view text);

/// http://HOST:PORT or https://HOST:PORT, without the "/" that may follow.
[[nodiscard]] Result<std::string> parse_endpoint(std::string_view text);

/// An absolute path other than "/", without "..", in its shortest form.
[[nodiscard]] Result<std::string> parse_path(std::string_view text);
/// `path` is `directory` or lies below it. Requires: both from parse_path().
[[nodiscard]] bool lies_in(std::string_view path, std::string_view directory);

/// `text` with all but printable ASCII escaped, and only its first `most` bytes: fit for a terminal.
[[nodiscard]] std::string printable(std::string_view text, std::size_t most);
/// The same between quotation marks.
[[nodiscard]] std::string quoted(std::string_view text);
/// The word that `text` was perhaps meant to be; empty: none is near.
[[nodiscard]] std::string_view nearest(std::string_view text, std::span<const std::string_view> words);

}  // namespace lockstep::config
