// texts.h - configurations to change one thing in.
#pragma once

#include <catch2/catch.hpp>
#include <string>
#include <string_view>

#include "config/config.h"

namespace lockstep::config {

/// [volume], 4 lines, and the two sections of sites, 8 lines.
inline constexpr std::string_view kVolume = R"([volume]
name = "shared"
id = "6d0b6c6e-8b62-4b5b-a5d5-0d2b1a9f3c11"
primary = "alpha"
)";
inline constexpr std::string_view kSites = R"([site.alpha]
address = "alpha.example.org:7400"
area = "/var/lib/lockstep/shared"
mount = "/srv/shared"
[site.beta]
address = "beta.example.org:7400"
area = "/var/lib/lockstep/shared"
mount = "/srv/shared"
)";
inline constexpr std::string_view kLimits = "[limits]\narea = \"8GiB\"\n";

/// The shortest right configuration, 14 lines; `more` goes on in [limits].
inline std::string minimal(std::string_view more = {}) {
  return std::string(kVolume).append(kSites).append(kLimits).append(more);
}

/// minimal(), with `from` replaced by `to`. Requires: `from` is in it.
inline std::string minimal_but(std::string_view from, std::string_view to) {
  std::string text = minimal();
  const auto at = text.find(from);
  REQUIRE(at != std::string::npos);
  return text.replace(at, from.size(), to);
}

/// The configuration in `text`, which must be right.
inline Config config_of(const std::string& text) {
  const Result<Config> config = parse(text, "f");
  INFO((config ? std::string() : config.error().text));
  REQUIRE(config);
  return *config;
}

/// What is said about `text`, which must be wrong.
inline std::string mistakes(const std::string& text) {
  const Result<Config> config = parse(text, "f");
  REQUIRE_FALSE(config);
  REQUIRE(config.error().code == Errc::invalid);
  return config.error().text;
}

}  // namespace lockstep::config
