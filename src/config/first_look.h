// first_look.h - what a configuration has no use for and toml++ 3.3 can't be trusted with.
//
//   characters   only ASCII, without control characters outside of comments. In comments any bytes may stand: they are
//                not passed on. (Its tests for blanks run into __builtin_unreachable for a plain letter like U+00E9.)
//   strings      on one line; not those with three quotation marks
//   nesting      at most 64 dots in a line and 32 '{' in the file, outside of strings and comments: "a.a.a..." makes a
//                table in a table each time, which are destroyed by recursion
//
// The look is at strings and comments only, as TOML 1.0 has them. What it lets pass need not be TOML.
#pragma once

#include <cstdint>
#include <expected>
#include <string>
#include <string_view>

namespace lockstep::config {

struct Objection {
  std::uint32_t line = 0;
  std::string text;
};

/// `text` in ASCII, with the same lines; or the first thing to object to.
[[nodiscard]] std::expected<std::string, Objection> first_look(std::string_view text);

}  // namespace lockstep::config
