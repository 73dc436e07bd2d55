// Values as text and back.
#include "config/values.h"

#include <catch2/catch.hpp>

using namespace lockstep;
using namespace lockstep::config;
using namespace std::chrono_literals;

namespace {

template <class T>
std::string wrong(const Result<T>& result) {
  REQUIRE_FALSE(result);
  CHECK(result.error().code == Errc::invalid);
  return result.error().text;
}

constexpr const char* kNoSize =
    " is not a size; write a whole number and one of B, KiB, MiB, GiB, TiB, for example \"64MiB\"";
constexpr const char* kNoAddress =
    "; for example \"alpha.example.org:7400\", \"192.0.2.1:7400\" or \"[2001:db8::1]:7400\"";

}  // namespace

TEST_CASE("a size is a whole number and a unit") {
  CHECK(parse_size("0B") == 0u);
  CHECK(parse_size("4096B") == 4096u);
  CHECK(parse_size("64KiB") == 65536u);
  CHECK(parse_size("1MiB") == 1u << 20);
  CHECK(parse_size("8GiB") == 8ull << 30);
  CHECK(parse_size("100TiB") == 100ull << 40);
  CHECK(parse_size("007B") == 7u);
}

TEST_CASE("what is not a size says what is") {
  CHECK(wrong(parse_size("")) == std::string("\"\"") + kNoSize);
  CHECK(wrong(parse_size("MiB")) == std::string("\"MiB\"") + kNoSize);
  CHECK(wrong(parse_size("1GB")) == std::string("\"1GB\"") + kNoSize);
  CHECK(wrong(parse_size("1 GiB")) == std::string("\"1 GiB\"") + kNoSize);
  CHECK(wrong(parse_size(" 1GiB")) == std::string("\" 1GiB\"") + kNoSize);
  CHECK(wrong(parse_size("1.5GiB")) == std::string("\"1.5GiB\"") + kNoSize);
  CHECK(wrong(parse_size("-1GiB")) == std::string("\"-1GiB\"") + kNoSize);
  CHECK(wrong(parse_size("+1GiB")) == std::string("\"+1GiB\"") + kNoSize);
  CHECK(wrong(parse_size("1gib")) == std::string("\"1gib\"") + kNoSize);
  CHECK(wrong(parse_size("0x10B")) == std::string("\"0x10B\"") + kNoSize);
  CHECK(wrong(parse_size("1ms")) == std::string("\"1ms\"") + kNoSize);
  CHECK(wrong(parse_size("64")) ==
        "\"64\" has no unit; write a size with one of B, KiB, MiB, GiB, TiB, for example \"64MiB\"");
}

TEST_CASE("sizes end where 63 bits do") {
  CHECK(parse_size("9223372036854775807B") == 9223372036854775807u);
  CHECK(wrong(parse_size("9223372036854775808B")) == "\"9223372036854775808B\" is too large");
  CHECK(parse_size("8388607TiB") == 8388607ull << 40);
  CHECK(wrong(parse_size("8388608TiB")) == "\"8388608TiB\" is too large");
  CHECK(wrong(parse_size("99999999999999999999999B")) == "\"99999999999999999999999B\" is too large");
}

TEST_CASE("a duration is a whole number and a unit") {
  CHECK(parse_duration("0us") == Duration{0});
  CHECK(parse_duration("50us") == Duration{50us});
  CHECK(parse_duration("500ms") == Duration{500ms});
  CHECK(parse_duration("3s") == Duration{3s});
  CHECK(parse_duration("2min") == Duration{2min});
  CHECK(parse_duration("24h") == Duration{24h});
  CHECK(wrong(parse_duration("5m")) ==
        "\"5m\" is not a duration; write a whole number and one of us, ms, s, min, h, for example \"500ms\"");
  CHECK(wrong(parse_duration("0")) ==
        "\"0\" has no unit; write a duration with one of us, ms, s, min, h, for example \"500ms\"");
  CHECK(wrong(parse_duration("2562048h")) == "\"2562048h\" is too large");
}

TEST_CASE("sizes and durations are written with the largest unit that fits, and read the same") {
  CHECK(size_text(0) == "0B");
  CHECK(size_text(1023) == "1023B");
  CHECK(size_text(1536) == "1536B");
  CHECK(size_text(3 << 10) == "3KiB");
  CHECK(size_text(1ull << 50) == "1024TiB");
  CHECK(duration_text(Duration{0}) == "0us");
  CHECK(duration_text(1500ms) == "1500ms");
  CHECK(duration_text(60s) == "1min");
  CHECK(duration_text(90min) == "90min");
  CHECK(duration_text(48h) == "48h");
  for (std::uint64_t bytes = 1; bytes < 1ull << 62; bytes = bytes * 3 + 1024)
    CHECK(parse_size(size_text(bytes)) == bytes);
  for (std::int64_t us = 1; us < 1'000'000'000'000; us = us * 5 + 1000)
    CHECK(parse_duration(duration_text(std::chrono::microseconds(us))) == Duration{std::chrono::microseconds(us)});
}

TEST_CASE("a UUID is read in either case and written in lower case") {
  const auto id = parse_uuid("6D0B6C6E-8b62-4b5b-a5d5-0d2b1a9f3cFE");
  REQUIRE(id);
  CHECK(id->bytes[0] == 0x6d);
  CHECK(id->bytes[15] == 0xfe);
  CHECK(uuid_text(*id) == "6d0b6c6e-8b62-4b5b-a5d5-0d2b1a9f3cfe");
}

TEST_CASE("what is not a UUID says how to make one") {
  const std::string why =
      " is not a UUID (8-4-4-4-12 hexadecimal digits); make one with: cat /proc/sys/kernel/random/uuid";
  for (const char* text : {"", "x", "6d0b6c6e-8b62-4b5b-a5d5-0d2b1a9f3cf", "6d0b6c6e-8b62-4b5b-a5d5-0d2b1a9f3cfe0",
                           "6d0b6c6e08b62-4b5b-a5d5-0d2b1a9f3cfe", "6d0b6c6e-8b62-4b5b-a5d5-0d2b1a9f3cfg",
                           "6d0b6c6-e8b62-4b5b-a5d5-0d2b1a9f3cfe", "------------------------------------"})
    CHECK(wrong(parse_uuid(text)) == "\"" + std::string(text) + "\"" + why);
  CHECK(wrong(parse_uuid("00000000-0000-0000-0000-000000000000")) ==
        "the UUID of zeros stands for none; make one with: cat /proc/sys/kernel/random/uuid");
}

TEST_CASE("an address is a host and a port") {
  CHECK(parse_address("alpha:7400") == Address{"alpha", 7400});
  CHECK(parse_address("a-1.example.org:1") == Address{"a-1.example.org", 1});
  CHECK(parse_address("192.0.2.1:65535") == Address{"192.0.2.1", 65535});
  CHECK(parse_address("[2001:db8::1]:7400") == Address{"2001:db8::1", 7400});
  for (const char* text : {"alpha:7400", "192.0.2.1:1", "[2001:db8::1]:7400", "[::1]:9"}) {
    INFO(text);
    REQUIRE(parse_address(text));
    CHECK(parse_address(text)->text() == text);
  }
}

TEST_CASE("what is not an address says why") {
  const auto why = [](std::string text) {
    const std::string said = wrong(parse_address(text));
    const std::string front = "\"" + text + "\" is not HOST:PORT: ";
    REQUIRE(said.starts_with(front));
    REQUIRE(said.ends_with(kNoAddress));
    return said.substr(front.size(), said.size() - front.size() - std::string(kNoAddress).size());
  };
  CHECK(why("alpha") == "it has no port");
  CHECK(why("") == "it has no port");
  CHECK(why("2001:db8::1:7400") == "an IPv6 address needs brackets");
  CHECK(why("[2001:db8::1]") == "no \"]:\" and port behind the address");
  CHECK(why("[alpha]:7400") == "what stands in brackets is not an IPv6 address");
  CHECK(why("[]:7400") == "what stands in brackets is not an IPv6 address");
  CHECK(why("192.0.2.256:7400") == "the host is not a valid IPv4 address");
  CHECK(why("192.0.2:7400") == "the host is not a valid IPv4 address");
  for (const char* text : {":7400", "a b:7400", ".a:7400", "a.:7400", "a..b:7400", "-a:7400", "a-:7400", "a_b:7400"})
    CHECK(why(text) == "the host is neither a name nor an address");
  CHECK(parse_address(std::string(253, 'a') + ":7400"));
  CHECK(wrong(parse_address(std::string(254, 'a') + ":7400")).find("the host is neither a name nor") !=
        std::string::npos);
}

TEST_CASE("a port is 1 to 65535") {
  for (const char* text :
       {"a:", "a:0", "a:65536", "a:99999999999999999999", "a:-1", "a:+1", "a:80x", "a: 80", "a:http"})
    CHECK(
        wrong(parse_address(text))
            .starts_with("\"" + std::string(text) + "\" is not HOST:PORT: the port must be a number from 1 to 65535"));
}

TEST_CASE("an address that stands for all of a machine's is refused") {
  for (const char* text : {"0.0.0.0:7400", "[::]:7400", "[0:0::0]:7400"})
    CHECK(wrong(parse_address(text)) ==
          "\"" + std::string(text) +
              "\" stands for every address of a machine; name the one that the other site connects to");
}

TEST_CASE("an endpoint is http or https, a host and a port") {
  for (const char* text : {"http://alpha:2379", "https://192.0.2.1:1", "https://[2001:db8::1]:2379"}) {
    CHECK(parse_endpoint(text) == text);
    CHECK(parse_endpoint(std::string(text) + "/") == text);
  }
  for (const char* text : {"", "http://", "alpha:2379", "http://alpha", "http://alpha:0", "http://a:1/v3", "http://a:1//",
                           "http://u@a:1", "http://a b:1", "HTTP://a:1", "ftp://a:1", "http://a:1?x", "http://[::]:1"})
    CHECK(wrong(parse_endpoint(text)) == "\"" + std::string(text) +
                                             "\" is not an endpoint; write http://HOST:PORT or https://HOST:PORT, for "
                                             "example \"http://192.0.2.1:2379\"");
}

TEST_CASE("a path is absolute and comes out in its shortest form") {
  CHECK(parse_path("/srv/shared") == "/srv/shared");
  CHECK(parse_path("//srv/./shared//") == "/srv/shared");
  CHECK(parse_path("/srv/..shared") == "/srv/..shared");
  CHECK(wrong(parse_path("")) == "\"\" is not an absolute path; it must start with \"/\"");
  CHECK(wrong(parse_path("srv")) == "\"srv\" is not an absolute path; it must start with \"/\"");
  CHECK(wrong(parse_path("/srv/../etc")) == "\"/srv/../etc\" contains \"..\"; write where it really is");
  for (const char* root : {"/", "//", "/.", "/./"})
    CHECK(wrong(parse_path(root)) == "it can't be the root directory; give it a directory of its own");
  CHECK(parse_path("/" + std::string(255, 'a')));
  CHECK(wrong(parse_path("/" + std::string(256, 'a'))).ends_with(" has a name of more than 255 bytes"));
  CHECK(wrong(parse_path("/" + std::string(1024, 'a'))).ends_with(" is longer than 1024 bytes"));
}

TEST_CASE("a path lies in a directory, not in one whose name only begins the same") {
  CHECK(lies_in("/a/b", "/a"));
  CHECK(lies_in("/a", "/a"));
  CHECK_FALSE(lies_in("/ab", "/a"));
  CHECK_FALSE(lies_in("/a", "/a/b"));
}

TEST_CASE("what is shown is printable and short") {
  CHECK(quoted("a\n\x1b[31m\x7f\xc3\xa4") == "\"a\\x0a\\x1b[31m\\x7f\\xc3\\xa4\"");
  CHECK(quoted(std::string(100, 'a')) == "\"" + std::string(100, 'a') + "\"");
  CHECK(quoted(std::string(101, 'a')) == "\"" + std::string(100, 'a') + "...\"");
}

TEST_CASE("the nearest word is one slip away, or none") {
  constexpr std::string_view words[] = {"heartbeat", "peer_timeout", "spin", "reconnect", "reconnect_max"};
  CHECK(nearest("hartbeat", words) == "heartbeat");
  CHECK(nearest("heartbaet", words) == "heartbeat");
  CHECK(nearest("Heartbeat", words) == "heartbeat");
  CHECK(nearest("peertimeout", words) == "peer_timeout");
  CHECK(nearest("timeout", words) == "peer_timeout");
  CHECK(nearest("spn", words) == "spin");
  CHECK(nearest("reconect", words) == "reconnect");
  CHECK(nearest("colour", words).empty());
  CHECK(nearest("", words).empty());
  CHECK(nearest(std::string(1000, 'h'), words).empty());
}
