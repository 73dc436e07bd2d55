// settings.h - the table of settings with a bound or a choice: [limits], [timing] and [options].
//
// One row a key; reading, checking, what sites must agree on, and the tests of example and man page all walk it. The
// default of a setting is what a default-made Config holds, so it stands in config.h only. The sections [volume] and
// [site.NAME] and [arbiter] hold names and places; parse.cc reads them.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "config/config.h"

namespace lockstep::config {

/// How a setting is written: "64MiB", "500ms", 1024, "written".
enum class Kind : std::uint8_t { size, duration, count, word };

struct Setting {
  std::string_view section;
  std::string_view key;
  Kind kind{};
  /// Bounds, both included, as numbers: bytes, nanoseconds, count, position in `words`.
  std::uint64_t least = 0;
  std::uint64_t most = 0;
  std::uint64_t step = 1;                   ///< the number is a multiple of this
  std::span<const std::string_view> words;  ///< Kind::word: in the order of the enum
  bool required = false;                    ///< it has no default
  bool agree = false;                       ///< it must be the same at every site
  std::uint64_t (*get)(const Config&) = nullptr;
  void (*set)(Config&, std::uint64_t) = nullptr;

  /// SECTION.KEY
  [[nodiscard]] std::string name() const;
  /// `number` as it would be written in the file, without quotation marks.
  [[nodiscard]] std::string text(std::uint64_t number) const;
  /// Its value in `config`.
  [[nodiscard]] std::string text(const Config& config) const { return text(get(config)); }
};

/// All rows, section by section.
[[nodiscard]] std::span<const Setting> settings();

}  // namespace lockstep::config
