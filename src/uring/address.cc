#include "uring/address.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/un.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

namespace lockstep::uring {
namespace {

constexpr std::string_view kUnix = "unix:";

std::unexpected<Error> malformed(std::string_view address, std::string_view why) {
  return fail(Errc::refused,
              fmt::format("'{}' is not an address ({}); write HOST:PORT, [IPV6]:PORT or unix:PATH", address, why));
}

}  // namespace

std::string SocketAddress::text() const {
  std::array<char, INET6_ADDRSTRLEN> host{};
  if (family() == AF_INET) {
    const auto& in = reinterpret_cast<const sockaddr_in&>(storage);
    ::inet_ntop(AF_INET, &in.sin_addr, host.data(), host.size());
    return fmt::format("{}:{}", host.data(), ntohs(in.sin_port));
  }
  if (family() == AF_INET6) {
    const auto& in6 = reinterpret_cast<const sockaddr_in6&>(storage);
    ::inet_ntop(AF_INET6, &in6.sin6_addr, host.data(), host.size());
    return fmt::format("[{}]:{}", host.data(), ntohs(in6.sin6_port));
  }
  const auto& un = reinterpret_cast<const sockaddr_un&>(storage);
  const std::size_t most = length > offsetof(sockaddr_un, sun_path) ? length - offsetof(sockaddr_un, sun_path) : 0;
  return fmt::format("unix:{}", std::string_view(un.sun_path, ::strnlen(un.sun_path, most)));
}

Result<ParsedAddress> parse_address(std::string_view address) {
  ParsedAddress parsed;
  if (address.find('\0') != address.npos) return malformed(address, "it has a zero byte");
  if (address.starts_with(kUnix)) {
    parsed.unix_path = address.substr(kUnix.size());
    if (parsed.unix_path.empty()) return malformed(address, "no path");
    if (parsed.unix_path.size() >= sizeof(sockaddr_un::sun_path)) {
      return malformed(address, fmt::format("a path has at most {} bytes", sizeof(sockaddr_un::sun_path) - 1));
    }
    return parsed;
  }
  const std::size_t colon = address.rfind(':');
  if (colon == address.npos) return malformed(address, "no port");
  std::string_view host = address.substr(0, colon);
  parsed.port = address.substr(colon + 1);
  const bool digits = std::all_of(parsed.port.begin(), parsed.port.end(), [](char c) { return c >= '0' && c <= '9'; });
  if (parsed.port.empty() || parsed.port.size() > 5 || !digits || std::stoul(parsed.port) > 65535) {
    return malformed(address, "a port is a number up to 65535");
  }
  if (host.starts_with('[') && host.ends_with(']')) {
    host = host.substr(1, host.size() - 2);
    if (host.empty()) return malformed(address, "nothing between the brackets");
  } else if (host.find(':') != host.npos) {
    return malformed(address, "an IPv6 address stands in brackets");
  }
  if (host != "*") parsed.host = host;
  return parsed;
}

Result<std::vector<SocketAddress>> resolve(const ParsedAddress& parsed, Resolve how, bool listening) {
  std::vector<SocketAddress> found;
  if (!parsed.unix_path.empty()) {
    SocketAddress& one = found.emplace_back();
    auto& un = reinterpret_cast<sockaddr_un&>(one.storage);
    un.sun_family = AF_UNIX;
    std::memcpy(un.sun_path, parsed.unix_path.data(), parsed.unix_path.size());
    one.length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + parsed.unix_path.size() + 1);
    return found;
  }
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_NUMERICSERV | (listening ? AI_PASSIVE : 0) | (how == Resolve::numeric ? AI_NUMERICHOST : 0);
  addrinfo* list = nullptr;
  const int rc = ::getaddrinfo(parsed.host.empty() ? nullptr : parsed.host.c_str(), parsed.port.c_str(), &hints, &list);
  if (rc == EAI_NONAME && how == Resolve::numeric) return found;
  if (rc != 0) {
    return fail(Errc::unavailable, fmt::format("cannot find the address of '{}': {}", parsed.host,
                                               rc == EAI_SYSTEM ? std::strerror(errno) : ::gai_strerror(rc)));
  }
  for (const addrinfo* a = list; a != nullptr; a = a->ai_next) {
    if (a->ai_addrlen > sizeof(sockaddr_storage)) continue;
    SocketAddress& one = found.emplace_back();
    std::memcpy(&one.storage, a->ai_addr, a->ai_addrlen);
    one.length = a->ai_addrlen;
  }
  ::freeaddrinfo(list);
  // Listening on any: the IPv6 socket takes IPv4 too, so it is tried first.
  const auto six = std::find_if(found.begin(), found.end(), [](const auto& a) { return a.family() == AF_INET6; });
  if (listening && six != found.end()) std::iter_swap(found.begin(), six);
  return found;
}

}  // namespace lockstep::uring
