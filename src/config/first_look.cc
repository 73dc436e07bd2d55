#include "config/first_look.h"

#include <fmt/format.h>

#include <optional>

#include "config/values.h"

namespace lockstep::config {
namespace {

constexpr std::size_t kDotsMax = 64;
constexpr std::size_t kBracesMax = 32;

bool is_plain(char c) { return c >= 0x20 && c < 0x7f; }

class Look {
 public:
  explicit Look(std::string_view text) : text_(text) {
    if (text_.starts_with("\xef\xbb\xbf")) text_.replace(0, 3, "   ");  // a byte order mark
  }

  std::expected<std::string, Objection> result() {
    while (at_ < text_.size() && !objection_) step();
    if (objection_) return std::unexpected(std::move(*objection_));
    return std::move(text_);
  }

 private:
  /// One character outside of strings and comments, or one whole string or comment.
  void step() {
    const char c = text_[at_];
    if (c == '"' || c == '\'') return string(c);
    if (c == '#') return comment();
    if (c == '\n') {
      ++line_;
      dots_ = 0;
    } else if (!is_plain(c) && c != '\t' && c != '\r') {
      return object(
          fmt::format("{} stands outside of strings and comments; allowed there: printable ASCII", quoted(letter())));
    } else if (c == '.' && ++dots_ > kDotsMax) {
      return object(fmt::format("more than {} dots in one line; no key needs them", kDotsMax));
    } else if (c == '{' && ++braces_ > kBracesMax) {
      return object(fmt::format("more than {} \"{{\" in the file; no key needs them", kBracesMax));
    }
    ++at_;
  }

  /// Up to behind the string that `quote` begins.
  void string(char quote) {
    if (text_.compare(at_, 3, std::string(3, quote)) == 0)
      return object(fmt::format("a string with three quotation marks; write it with one ({}) on one line", quote));
    for (++at_; at_ < text_.size() && text_[at_] != quote; ++at_) {
      if (quote == '"' && text_[at_] == '\\' && at_ + 1 < text_.size()) ++at_;
      if (text_[at_] == '\n') return object("a string does not end on its line");
      if (!is_plain(text_[at_]) && text_[at_] != '\t' && text_[at_] != '\r')
        return object(
            fmt::format("{} stands in a string; allowed there: printable ASCII, other letters as \\uXXXX between "
                        "double quotation marks",
                        quoted(letter())));
    }
    ++at_;
  }

  /// Up to the end of the line.
  void comment() {
    for (; at_ < text_.size() && text_[at_] != '\n'; ++at_)
      if (!is_plain(text_[at_]) && text_[at_] != '\r') text_[at_] = ' ';
  }

  /// The bytes of the one at `at_`, if it is the start of UTF-8.
  [[nodiscard]] std::string_view letter() const {
    std::size_t length = 1;
    while (length < 4 && at_ + length < text_.size() && (text_[at_ + length] & 0xc0) == 0x80) ++length;
    return std::string_view(text_).substr(at_, length);
  }

  void object(std::string why) { objection_ = Objection{line_, std::move(why)}; }

  std::string text_;
  std::size_t at_ = 0;
  std::uint32_t line_ = 1;
  std::size_t dots_ = 0;
  std::size_t braces_ = 0;
  std::optional<Objection> objection_;
};

}  // namespace

std::expected<std::string, Objection> first_look(std::string_view text) { return Look(text).result(); }

}  // namespace lockstep::config
