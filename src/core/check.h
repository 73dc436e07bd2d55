// check.h - assertions that stay on in production.
//
// A mirror that stops is a nuisance; one that goes on with broken state loses data at two sites. CHECK is for what only
// a broken program can violate. Bytes from disk, wire, configuration or control socket are never checked this way: they
// are input, and get an Error.
#pragma once

namespace lockstep {
/// Prints the failed condition and where it stands to standard error, and aborts.
[[noreturn]] void check_failed(const char* condition, const char* file, int line, const char* function);
}  // namespace lockstep

#define CHECK(condition)                                                                   \
  do {                                                                                     \
    if (!(condition)) [[unlikely]]                                                         \
      ::lockstep::check_failed(#condition, __FILE__, __LINE__, __func__);                  \
  } while (0)
