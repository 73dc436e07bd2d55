// members.h - members of JSON objects that another program made: a missing one, or one of another type, gives a default.
//
// nlohmann's own accessors throw on a wrong type; what a daemon of another version answers must not end the command
// line, nor what a client sends the daemon.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

namespace lockstep::control {

/// The member, or null.
inline const nlohmann::json& member(const nlohmann::json& object, const char* name) {
  static const nlohmann::json null;
  if (!object.is_object()) return null;
  const auto found = object.find(name);
  return found == object.end() ? null : *found;
}
inline std::string text(const nlohmann::json& object, const char* name) {
  const nlohmann::json& value = member(object, name);
  return value.is_string() ? value.get<std::string>() : std::string();
}
/// 0 for what is no number, and for a negative one.
inline std::uint64_t number(const nlohmann::json& object, const char* name) {
  const nlohmann::json& value = member(object, name);
  if (value.is_number_unsigned()) return value.get<std::uint64_t>();
  if (!value.is_number() || value.get<double>() <= 0 || value.get<double>() >= 1.8e19) return 0;
  return static_cast<std::uint64_t>(value.get<double>());
}
inline std::optional<bool> flag(const nlohmann::json& object, const char* name) {
  const nlohmann::json& value = member(object, name);
  return value.is_boolean() ? std::optional(value.get<bool>()) : std::nullopt;
}
inline bool is_true(const nlohmann::json& object, const char* name) { return flag(object, name).value_or(false); }
/// The texts of a list.
inline std::vector<std::string> texts(const nlohmann::json& object, const char* name) {
  std::vector<std::string> all;
  for (const nlohmann::json& value : member(object, name)) {
    if (value.is_string()) all.push_back(value.get<std::string>());
  }
  return all;
}

}  // namespace lockstep::control
