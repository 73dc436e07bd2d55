#include "fsck/report.h"

#include <fmt/format.h>

namespace lockstep::fsck {
namespace {

std::string_view outcome_of(Mend mend) {
  switch (mend) {
    case Mend::no: return "not mended";
    case Mend::can: return "--repair mends it";
    case Mend::done: return "mended";
  }
  return "?";
}

}  // namespace

std::string printable(std::string_view text) {
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (byte < 0x20 || byte == 0x7f) {
      out += fmt::format("\\x{:02x}", byte);
    } else {
      out += c;
    }
  }
  return out;
}

std::string line_of(const Finding& finding) {
  std::string subject;
  if (finding.object != kNoInode) {
    subject = fmt::format("inode {}", finding.object.value);
    if (!finding.path.empty()) subject += fmt::format(" \"{}\"", printable(finding.path));
  }
  if (!finding.place.empty()) subject += (subject.empty() ? "" : ", ") + finding.place;
  return fmt::format("{} {}: {}: found {}; should be {}; {}", number_of(finding.rule), text_of(finding.rule).name,
                     subject, finding.found, finding.expected, outcome_of(finding.mend));
}

void Report::add(Finding finding) {
  ++total_;
  ++by_rule_[static_cast<std::size_t>(finding.rule)];
  if (finding.mend == Mend::done) ++mended_;
  if (finding.mend == Mend::can) ++mendable_;
  if (findings_.size() < kFindingsMax) findings_.push_back(std::move(finding));
}

}  // namespace lockstep::fsck
