#include "config/first_look.h"

#include <fmt/format.h>

#include "config/values.h"

namespace lockstep::config {
namespace {

constexpr std::size_t kDotsMax = 64;
constexpr std::size_t kBracesMax = 32;

class Look {
 public:
  explicit Look(std::string_view text) : text_(text) {}

  std::optional<Objection> objection() {
    if (text_.starts_with("\xef\xbb\xbf")) at_ = 3;  // a byte order mark
    while (at_ < text_.size() && !objection_) step();
    return objection_;
  }

 private:
  /// One character outside of strings and comments, or one whole string or comment.
  void step() {
    const char c = text_[at_];
    if (c == '"' || c == '\'') return string(c);
    if (c == '#') {
      at_ = std::min(text_.find('\n', at_), text_.size());
      return;
    }
    if (c == '\n') {
      ++line_;
      dots_ = 0;
    } else if (c != '\t' && c != '\r' && (c < 0x20 || c >= 0x7f)) {
      return object(fmt::format("{} stands outside of strings and comments; allowed there: printable ASCII",
                                quoted(character())));
    } else if (c == '.' && ++dots_ > kDotsMax) {
      return object(fmt::format("more than {} dots in one line; no key needs them", kDotsMax));
    } else if (c == '{' && ++braces_ > kBracesMax) {
      return object(fmt::format("more than {} \"{{\" in the file; no key needs them", kBracesMax));
    }
    ++at_;
  }

  /// Up to behind the string that `quote` begins.
  void string(char quote) {
    if (text_.substr(at_).starts_with(std::string(3, quote)))
      return object(fmt::format("a string with three quotation marks; write it with one ({}) on one line", quote));
    for (++at_; at_ < text_.size() && text_[at_] != quote; ++at_) {
      if (quote == '"' && text_[at_] == '\\' && at_ + 1 < text_.size()) ++at_;
      if (text_[at_] == '\n') return object("a string does not end on its line");
    }
    ++at_;
  }

  /// The bytes of the one at `at_`, which is ASCII or the start of UTF-8.
  [[nodiscard]] std::string_view character() const {
    std::size_t length = 1;
    while (length < 4 && at_ + length < text_.size() && (text_[at_ + length] & 0xc0) == 0x80) ++length;
    return text_.substr(at_, length);
  }

  void object(std::string why) { objection_ = Objection{line_, std::move(why)}; }

  std::string_view text_;
  std::size_t at_ = 0;
  std::uint32_t line_ = 1;
  std::size_t dots_ = 0;
  std::size_t braces_ = 0;
  std::optional<Objection> objection_;
};

}  // namespace

std::optional<Objection> first_look(std::string_view text) { return Look(text).objection(); }

}  // namespace lockstep::config
