// address.h - where a listener listens and a connection goes to.
//
//   HOST:PORT   a name or numeric address; IPv6 in brackets: [::1]:7410
//   *:PORT      any address of this host (listening only); also :PORT
//   unix:PATH   a socket in the file system
#pragma once

#include <sys/socket.h>

#include <string>
#include <string_view>
#include <vector>

#include "core/result.h"

namespace lockstep::uring {

/// An address as the kernel takes it.
struct SocketAddress {
  sockaddr_storage storage{};
  socklen_t length = 0;
  [[nodiscard]] const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage); }
  [[nodiscard]] int family() const { return storage.ss_family; }
  /// As people write it.
  [[nodiscard]] std::string text() const;
};

struct ParsedAddress {
  std::string unix_path;  ///< set: the rest doesn't count
  std::string host;       ///< empty: any
  std::string port;
};

/// Errc::refused: not an address; says what one looks like.
Result<ParsedAddress> parse_address(std::string_view address);

enum class Resolve {
  numeric,  ///< never waits; an empty list where the host is a name
  names,    ///< may ask servers, for many seconds
};
/// The addresses that `parsed` stands for, in the order in which to try them. Errc::unavailable: says why there is none.
Result<std::vector<SocketAddress>> resolve(const ParsedAddress& parsed, Resolve how, bool listening);

}  // namespace lockstep::uring
