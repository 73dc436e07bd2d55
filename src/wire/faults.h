// faults.h - what is wrong with a message that is being decoded: the first field that breaks a rule.
//
// Decoding goes on behind a fault with what is safe to go on with, so that one line checks one field; whoever started
// it asks ok() at the end. Texts are literals: a valid message costs no allocation.
#pragma once

#include <cstddef>
#include <string>

namespace lockstep::wire {

class Faults {
 public:
  /// Notes that `field` breaks `rule` unless `holds`. Returns `holds`.
  bool require(bool holds, const char* field, const char* rule) {
    if (!holds && field_ == nullptr) [[unlikely]] {
      field_ = field;
      rule_ = rule;
    }
    return holds;
  }
  [[nodiscard]] bool ok() const { return field_ == nullptr; }
  /// "field: rule". Requires: !ok().
  [[nodiscard]] std::string text() const { return std::string(field_) + ": " + rule_; }

 private:
  const char* field_ = nullptr;
  const char* rule_ = nullptr;
};

}  // namespace lockstep::wire
