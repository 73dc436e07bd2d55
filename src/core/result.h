// result.h - expected failures are values.
//
// A code exists only if some caller acts differently on it. "Did not happen" (unavailable, busy) and "may have
// happened" (unknown) are different codes (R6).
#pragma once

#include <expected>
#include <string>
#include <utility>

namespace lockstep {

enum class Errc {
  posix,        ///< an answer a host is to see: `posix` holds the errno
  invalid,      ///< bytes or settings from outside that break their format or rules
  refused,      ///< somebody else's: another volume, an area in use, a site that must not
  unavailable,  ///< did not happen: the other side can't be reached
  unknown,      ///< may have happened: the other side went away in between
  busy,         ///< a bounded table is full; nothing changed
  io,           ///< the medium failed: `posix` holds the errno
  corrupt,      ///< bytes read back do not match their checksum
  absent,       ///< there is no such thing
  stopped,      ///< this daemon is stopping
};

/// What failed, for whom, and (for a person) what happened to what and what to do.
struct Error {
  Errc code = Errc::posix;
  int posix = 0;     ///< errno, for Errc::posix and Errc::io
  std::string text;  ///< one line without a full stop; empty where only a host reads it
};

template <class T = void>
using Result = std::expected<T, Error>;

inline std::unexpected<Error> fail(Errc code, std::string text) {
  return std::unexpected<Error>(Error{code, 0, std::move(text)});
}
inline std::unexpected<Error> fail_posix(int number) { return std::unexpected<Error>(Error{Errc::posix, number, {}}); }
inline std::unexpected<Error> fail_io(int number, std::string text) {
  return std::unexpected<Error>(Error{Errc::io, number, std::move(text)});
}

}  // namespace lockstep
