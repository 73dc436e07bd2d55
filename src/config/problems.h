// problems.h - the mistakes found in one file: all of them, up to a bound, told in the order of their lines.
#pragma once

#include <map>
#include <set>
#include <string>
#include <string_view>

#include "core/result.h"

namespace lockstep::config {

class Problems {
 public:
  explicit Problems(std::string_view file) : file_(file) {}

  /// One more, about `key` (empty: the file) at `line` (0: at none). Beyond kProblemsMax it is only counted.
  void add(std::uint32_t line, std::string_view key, std::string_view text);
  /// What is added now is only counted: making a text for it is wasted.
  [[nodiscard]] bool full() const;
  [[nodiscard]] bool empty() const { return found_ == 0; }
  /// `key` has a mistake of its own; rules about it would only confuse.
  [[nodiscard]] bool about(std::string_view key) const { return keys_.contains(key); }
  /// Errc::invalid with a line for each. Requires: not empty().
  [[nodiscard]] Error error() const;

 private:
  std::string file_;
  std::multimap<std::uint32_t, std::string> kept_;  ///< by line; of one line in the order found
  std::set<std::string, std::less<>> keys_;
  std::size_t found_ = 0;
};

}  // namespace lockstep::config
