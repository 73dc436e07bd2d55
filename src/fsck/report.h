// report.h - what an examination found: the first kFindingsMax findings, and how many there were of each rule.
#pragma once

#include <array>
#include <string>
#include <vector>

#include "core/types.h"
#include "fsck/rules.h"

namespace lockstep::fsck {

/// Findings that are kept and shown; of more only the number is known.
inline constexpr std::size_t kFindingsMax = 10'000;

enum class Mend : std::uint8_t {
  no,    ///< --repair leaves it
  can,   ///< --repair would mend it
  done,  ///< it was mended
};

struct Finding {
  Rule rule{};
  InodeId object;        ///< whose path is looked for; 0: none
  std::string place;     ///< what else says where: "block 7", "entry \"x\""; may be empty
  std::string found;     ///< what is
  std::string expected;  ///< what should be
  Mend mend = Mend::no;
  std::string path;  ///< of the object, once it is known; empty: unknown
};

/// One line: rule, object, what was found, what it should be, what becomes of it.
[[nodiscard]] std::string line_of(const Finding& finding);
/// `text` with everything that does not print, quotes and backslashes escaped.
[[nodiscard]] std::string printable(std::string_view text);

class Report {
 public:
  void add(Finding finding);
  void note(std::string text) { notes_.push_back(std::move(text)); }

  [[nodiscard]] std::vector<Finding>& findings() { return findings_; }
  [[nodiscard]] const std::vector<Finding>& findings() const { return findings_; }
  /// What a person should know beside the findings.
  [[nodiscard]] const std::vector<std::string>& notes() const { return notes_; }
  [[nodiscard]] std::uint64_t total() const { return total_; }
  [[nodiscard]] std::uint64_t of(Rule rule) const { return by_rule_[static_cast<std::size_t>(rule)]; }
  [[nodiscard]] std::uint64_t mended() const { return mended_; }
  [[nodiscard]] std::uint64_t left() const { return total_ - mended_; }
  /// What --repair would mend.
  [[nodiscard]] std::uint64_t mendable() const { return mendable_; }

 private:
  std::vector<Finding> findings_;
  std::vector<std::string> notes_;
  std::array<std::uint64_t, kRuleCount> by_rule_{};
  std::uint64_t total_ = 0, mended_ = 0, mendable_ = 0;
};

}  // namespace lockstep::fsck
