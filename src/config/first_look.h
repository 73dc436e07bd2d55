// first_look.h - what a configuration has no use for and toml++ 3.3 can't be trusted with.
//
//   characters   outside of strings and comments only ASCII without control characters. (Its tests for other kinds of
//                blanks run into __builtin_unreachable for a plain letter like U+00E9.)
//   strings      on one line; not those with three quotation marks, for the same reason
//   nesting      at most 64 dots in a line and 32 '{' in the file, outside of strings and comments: "a.a.a..." makes a
//                table in a table each time, which are destroyed by recursion
//
// The look is at strings and comments only, as TOML 1.0 has them. What it lets pass need not be TOML.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace lockstep::config {

struct Objection {
  std::uint32_t line = 0;
  std::string text;
};

/// The first thing in `text` to object to, if any. One pass, no memory.
[[nodiscard]] std::optional<Objection> first_look(std::string_view text);

}  // namespace lockstep::config
