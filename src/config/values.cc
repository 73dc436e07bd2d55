#include "config/values.h"

#include <arpa/inet.h>
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <limits>
#include <optional>

#include "core/check.h"

namespace lockstep::config {
namespace {

struct Unit {
  std::string_view name;
  std::uint64_t worth;
};

constexpr Unit kSizes[] = {
    {"B", 1}, {"KiB", 1ull << 10}, {"MiB", 1ull << 20}, {"GiB", 1ull << 30}, {"TiB", 1ull << 40}};
constexpr Unit kDurations[] = {
    {"us", 1'000}, {"ms", 1'000'000}, {"s", 1'000'000'000}, {"min", 60'000'000'000}, {"h", 3'600'000'000'000}};

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

/// A whole number in front of `text`, which is cut off. nullopt: no digits, or more than 64 bits.
std::optional<std::uint64_t> take_number(std::string_view& text) {
  std::uint64_t number = 0;
  const auto [end, wrong] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (wrong != std::errc{}) return std::nullopt;
  text.remove_prefix(static_cast<std::size_t>(end - text.data()));
  return number;
}

/// A whole number of `units`, at most `most`; nullopt: it is not.
Result<std::uint64_t> parse_with_unit(std::string_view text, std::span<const Unit> units, std::uint64_t most,
                                      std::string_view what, std::string_view names, std::string_view example) {
  std::string_view rest = text;
  const bool digits = !text.empty() && is_digit(text.front());
  const auto number = take_number(rest);
  if (digits && number && rest.empty())
    return fail(Errc::invalid, fmt::format("{} has no unit; write {} with one of {}, for example \"{}\"", quoted(text),
                                           what, names, example));
  if (digits && !number) return fail(Errc::invalid, fmt::format("{} is too large", quoted(text)));
  for (const Unit& unit : units) {
    if (!number || rest != unit.name) continue;
    if (*number > most / unit.worth) return fail(Errc::invalid, fmt::format("{} is too large", quoted(text)));
    return *number * unit.worth;
  }
  return fail(Errc::invalid, fmt::format("{} is not {}; write a whole number and one of {}, for example \"{}\"",
                                         quoted(text), what, names, example));
}

std::string with_unit(std::uint64_t number, std::span<const Unit> units) {
  const Unit* best = &units.front();
  for (const Unit& unit : units)
    if (number != 0 && number % unit.worth == 0) best = &unit;
  return fmt::format("{}{}", number / best->worth, best->name);
}

int hex_value(char c) {
  if (is_digit(c)) return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

/// Labels of letters, digits and '-', none empty.
bool is_host_name(std::string_view host) {
  if (host.empty() || host.size() > 253) return false;
  char before = '.';
  for (char c : host) {
    if (!is_letter(c) && !is_digit(c) && c != '-' && c != '.') return false;
    if ((c == '.' || c == '-') && before == '.') return false;
    before = c;
  }
  return before != '.' && before != '-';
}

/// Digits and dots only: meant as an IPv4 address.
bool looks_like_ipv4(std::string_view host) { return host.find_first_not_of("0123456789.") == std::string_view::npos; }

/// `host` is an address that stands for every address of a machine.
bool is_wildcard(const std::string& host, bool ipv6) {
  if (!ipv6) {
    in_addr address{};
    return inet_pton(AF_INET, host.c_str(), &address) == 1 && address.s_addr == 0;
  }
  in6_addr address{};
  return inet_pton(AF_INET6, host.c_str(), &address) == 1 && IN6_IS_ADDR_UNSPECIFIED(&address);
}

/// Changes (letters added, left out, replaced, or two exchanged) between two short words.
std::size_t distance(std::string_view a, std::string_view b) {
  std::vector<std::vector<std::size_t>> d(a.size() + 1, std::vector<std::size_t>(b.size() + 1));
  for (std::size_t i = 0; i <= a.size(); ++i) d[i][0] = i;
  for (std::size_t j = 0; j <= b.size(); ++j) d[0][j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    for (std::size_t j = 1; j <= b.size(); ++j) {
      d[i][j] = std::min({d[i - 1][j] + 1, d[i][j - 1] + 1, d[i - 1][j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1)});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
        d[i][j] = std::min(d[i][j], d[i - 2][j - 2] + 1);
    }
  }
  return d[a.size()][b.size()];
}

}  // namespace

std::string Address::text() const {
  const bool ipv6 = host.find(':') != std::string::npos;
  return fmt::format("{}{}{}:{}", ipv6 ? "[" : "", host, ipv6 ? "]" : "", port);
}

Result<std::uint64_t> parse_size(std::string_view text) {
  return parse_with_unit(text, kSizes, std::numeric_limits<std::int64_t>::max(), "a size", kSizeUnits, "64MiB");
}

std::string size_text(std::uint64_t bytes) { return with_unit(bytes, kSizes); }

Result<Duration> parse_duration(std::string_view text) {
  const auto ns = parse_with_unit(text, kDurations, std::numeric_limits<std::int64_t>::max(), "a duration",
                                  kDurationUnits, "500ms");
  if (!ns) return std::unexpected(ns.error());
  return Duration{static_cast<std::int64_t>(*ns)};
}

std::string duration_text(Duration duration) {
  CHECK(duration.count() >= 0 && duration.count() % 1000 == 0);
  return with_unit(static_cast<std::uint64_t>(duration.count()), kDurations);
}

Result<Uuid> parse_uuid(std::string_view text) {
  static constexpr std::string_view kMake = "make one with: cat /proc/sys/kernel/random/uuid";
  const auto wrong = [&] {
    return fail(Errc::invalid,
                fmt::format("{} is not a UUID (8-4-4-4-12 hexadecimal digits); {}", quoted(text), kMake));
  };
  if (text.size() != 36) return wrong();
  Uuid id;
  std::size_t nibble = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const bool dash = i == 8 || i == 13 || i == 18 || i == 23;
    if (dash != (text[i] == '-')) return wrong();
    if (dash) continue;
    const int value = hex_value(text[i]);
    if (value < 0) return wrong();
    id.bytes[nibble / 2] = static_cast<std::uint8_t>(id.bytes[nibble / 2] << 4 | value);
    ++nibble;
  }
  if (id.is_nil()) return fail(Errc::invalid, fmt::format("the UUID of zeros stands for none; {}", kMake));
  return id;
}

std::string uuid_text(const Uuid& id) {
  std::string text;
  for (std::size_t i = 0; i < id.bytes.size(); ++i) {
    if (i == 4 || i == 6 || i == 8 || i == 10) text += '-';
    text += fmt::format("{:02x}", id.bytes[i]);
  }
  return text;
}

Result<Address> parse_address(std::string_view text) {
  const auto wrong = [&](std::string_view why) {
    return fail(Errc::invalid,
                fmt::format("{} is not HOST:PORT: {}; for example \"alpha.example.org:7400\", \"192.0.2.1:7400\" "
                            "or \"[2001:db8::1]:7400\"",
                            quoted(text), why));
  };
  Address address;
  std::string_view rest = text;
  const bool brackets = rest.starts_with('[');
  if (brackets) {
    const auto end = rest.find("]:");
    if (end == std::string_view::npos) return wrong("no \"]:\" and port behind the address");
    address.host = rest.substr(1, end - 1);
    rest.remove_prefix(end + 2);
    in6_addr ignored{};
    if (address.host.size() > 64 || inet_pton(AF_INET6, address.host.c_str(), &ignored) != 1 ||
        address.host.find('\0') != std::string::npos)
      return wrong("what stands in brackets is not an IPv6 address");
  } else {
    const auto colon = rest.find(':');
    if (colon == std::string_view::npos) return wrong("it has no port");
    if (rest.find(':', colon + 1) != std::string_view::npos) return wrong("an IPv6 address needs brackets");
    address.host = rest.substr(0, colon);
    rest.remove_prefix(colon + 1);
    in_addr ignored{};
    if (!is_host_name(address.host)) return wrong("the host is neither a name nor an address");
    if (looks_like_ipv4(address.host) && inet_pton(AF_INET, address.host.c_str(), &ignored) != 1)
      return wrong("the host is not a valid IPv4 address");
  }
  const bool digits = !rest.empty() && rest.find_first_not_of("0123456789") == std::string_view::npos;
  const auto port = take_number(rest);
  if (!digits || !port || *port < 1 || *port > 65535) return wrong("the port must be a number from 1 to 65535");
  address.port = static_cast<std::uint16_t>(*port);
  if (is_wildcard(address.host, brackets))
    return fail(Errc::invalid, fmt::format("{} stands for every address of a machine; name the one that the other site "
                                           "connects to",
                                           quoted(text)));
  return address;
}

Result<std::string> parse_endpoint(std::string_view text) {
  std::string_view rest = text;
  const std::string_view scheme = text.starts_with("https://") ? "https://" : "http://";
  if (rest.starts_with(scheme)) {
    rest.remove_prefix(scheme.size());
    if (rest.ends_with('/')) rest.remove_suffix(1);
    if (const auto address = parse_address(rest)) return fmt::format("{}{}", scheme, address->text());
  }
  return fail(Errc::invalid, fmt::format("{} is not an endpoint; write http://HOST:PORT or https://HOST:PORT, for example "
                                         "\"http://192.0.2.1:2379\"",
                                         quoted(text)));
}

Result<std::string> parse_path(std::string_view text) {
  if (!text.starts_with('/'))
    return fail(Errc::invalid, fmt::format("{} is not an absolute path; it must start with \"/\"", quoted(text)));
  if (text.size() > 1024) return fail(Errc::invalid, fmt::format("{} is longer than 1024 bytes", quoted(text)));
  std::string path;
  for (std::string_view rest = text; !rest.empty();) {
    rest.remove_prefix(1);
    const std::string_view part = rest.substr(0, rest.find('/'));
    rest.remove_prefix(part.size());
    if (part == "..")
      return fail(Errc::invalid, fmt::format("{} contains \"..\"; write where it really is", quoted(text)));
    if (part.size() > 255)
      return fail(Errc::invalid, fmt::format("{} has a name of more than 255 bytes", quoted(text)));
    if (!part.empty() && part != ".") path.append("/").append(part);
  }
  if (path.empty()) return fail(Errc::invalid, "it can't be the root directory; give it a directory of its own");
  return path;
}

bool lies_in(std::string_view path, std::string_view directory) {
  return path.starts_with(directory) && (path.size() == directory.size() || path[directory.size()] == '/');
}

std::string printable(std::string_view text, std::size_t most) {
  std::string shown;
  for (char c : text.substr(0, most)) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte >= 0x7f)
      shown += fmt::format("\\x{:02x}", byte);
    else
      shown += c;
  }
  return shown + (text.size() > most ? "..." : "");
}

std::string quoted(std::string_view text) { return fmt::format("\"{}\"", printable(text, 100)); }

std::string_view nearest(std::string_view text, std::span<const std::string_view> words) {
  if (text.empty() || text.size() > 40) return {};
  std::string lower(text);
  for (char& c : lower) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  std::string_view best;
  std::size_t least = std::max<std::size_t>(1, text.size() / 3) + 1;
  for (std::string_view word : words) {
    // A word whose beginning or end was left out ("timeout", "attr") is near too, but less than a slip of the keys.
    const bool part = lower.size() >= 3 && (word.starts_with(lower) || word.ends_with(lower));
    const std::size_t apart = std::min(distance(lower, word), part ? std::size_t{2} : std::size_t{100});
    if (apart < least) {
      least = apart;
      best = word;
    }
  }
  return best;
}

}  // namespace lockstep::config
