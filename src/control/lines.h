// lines.h - bytes of a control connection <-> lines of JSON. Decides nothing else and does no I/O.
//
//   request line    { ... "command": "status" ... } \n      at most kRequestBytes with its newline
//   answer line     { ... } \n
//
// Bytes from a client are untrusted: whatever they are, the result is a request or an Error, in memory bounded by
// kRequestBytes a connection.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include <nlohmann/json_fwd.hpp>

#include "core/result.h"
#include "core/types.h"

namespace lockstep::control {

inline constexpr std::size_t kRequestBytes = 64 * 1024;
/// Objects and arrays in each other, the outermost counted.
inline constexpr int kRequestDepth = 8;

/// Gathers received bytes and gives them back as lines.
class LineBuffer {
 public:
  explicit LineBuffer(std::size_t limit) : limit_(limit) {}

  /// How many bytes may be added now; 0: take lines first, or give up if there is none.
  [[nodiscard]] std::size_t room() const { return limit_ - bytes_.size(); }
  /// Requires: bytes.size() <= room().
  void add(Bytes bytes);
  /// The next line without its newline; nullopt: not all of it is here.
  [[nodiscard]] std::optional<std::string> take();
  [[nodiscard]] bool has_line() const { return bytes_.find('\n') != std::string::npos; }
  /// The line under way is longer than the limit and can't be completed.
  [[nodiscard]] bool overlong() const { return room() == 0 && !has_line(); }

 private:
  std::size_t limit_;
  std::string bytes_;
};

/// A request: an object with a string "command". Errc::invalid says what is wrong with it.
[[nodiscard]] Result<nlohmann::json> parse_request(std::string_view line);

/// One line with its newline. Text that is not UTF-8 (names of files are bytes) gets replacement characters.
[[nodiscard]] std::string to_line(const nlohmann::json& object);

}  // namespace lockstep::control
