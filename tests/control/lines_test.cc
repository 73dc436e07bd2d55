#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include "control/lines.h"

namespace lockstep::control {
namespace {

Bytes bytes_of(std::string_view text) { return std::as_bytes(std::span(text)); }

TEST_CASE("Lines come out whole however the bytes are cut") {
  const std::string_view sent = "one\n\ntwo\nrest";
  for (std::size_t cut = 0; cut <= sent.size(); ++cut) {
    LineBuffer lines(64);
    lines.add(bytes_of(sent.substr(0, cut)));
    std::vector<std::string> got;
    while (const auto line = lines.take()) got.push_back(*line);
    lines.add(bytes_of(sent.substr(cut)));
    while (const auto line = lines.take()) got.push_back(*line);
    CHECK(got == std::vector<std::string>{"one", "", "two"});
    CHECK(lines.room() == 60);
    CHECK_FALSE(lines.has_line());
  }
}

TEST_CASE("A line that fills the buffer without an end is overlong, one that just fits is not") {
  LineBuffer lines(4);
  lines.add(bytes_of("abcd"));
  CHECK(lines.overlong());
  CHECK(lines.room() == 0);
  LineBuffer fits(4);
  fits.add(bytes_of("abc\n"));
  CHECK_FALSE(fits.overlong());
  CHECK(fits.take() == "abc");
}

TEST_CASE("A request is an object with a text command; everything else is refused with a reason") {
  const auto good = parse_request(R"({"command": "status", "more": [1, {"a": null}]})");
  REQUIRE(good);
  CHECK((*good)["command"] == "status");
  for (const std::string bad : {"", "{", "7", "null", "[]", R"("status")", "{}", R"({"command": 1})", R"({"command": null})", "\xff\xfe", R"({"command": "a)"}) {
    INFO(bad);
    const auto result = parse_request(bad);
    REQUIRE_FALSE(result);
    CHECK(result.error().code == Errc::invalid);
    CHECK_FALSE(result.error().text.empty());
  }
}

TEST_CASE("Nesting is bounded") {
  const auto nested = [](int depth) {
    return R"({"command": "x", "a": )" + std::string(depth - 1, '[') + std::string(depth - 1, ']') + "}";
  };
  CHECK(parse_request(nested(2)));
  CHECK(parse_request(nested(kRequestDepth)));
  CHECK_FALSE(parse_request(nested(kRequestDepth + 2)));
  CHECK_FALSE(parse_request(std::string(kRequestBytes, '[')));
  CHECK_FALSE(parse_request(R"({"command": "x", "a": )" + std::string(kRequestBytes - 100, '[')));
}

TEST_CASE("Names that are not UTF-8 still make a line") {
  nlohmann::json object;
  object["name"] = std::string("a\xff\nb");
  const std::string line = to_line(object);
  CHECK(line.find('\n') == line.size() - 1);
  CHECK(nlohmann::json::accept(line));
}

}  // namespace
}  // namespace lockstep::control
