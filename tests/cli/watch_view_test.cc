// A change of `watch` as text.
#include "../catch.h"

#include <nlohmann/json.hpp>

#include "bin/watch_view.h"

using lockstep::cli::render_change;
using nlohmann::json;

namespace {

/// The line behind the time, with one space between columns.
std::string line_of(const json& change) {
  const std::string whole = render_change(change, "/mnt");
  REQUIRE(whole.size() > 28);
  CHECK(whole.substr(19, 7) == ".000005");
  std::string out;
  for (const char c : whole.substr(28)) {
    if (c != ' ' || !out.ends_with(' ')) out += c;
  }
  return out;
}

json change(const char* what, json more = json::object()) {
  json it{{"time_us", 1'700'000'000'000'005}, {"site", "east"}, {"what", what}, {"path", "/a b"}};
  it.update(more);
  return it;
}

}  // namespace

TEST_CASE("a change is one line: site, what with its details, path below the mount") {
  CHECK(line_of(change("created")) == "east created /mnt/a b");
  CHECK(line_of(change("renamed", {{"to", "/c"}})) == "east renamed /mnt/a b -> /mnt/c");
  CHECK(line_of(change("written", {{"offset", 100}, {"length", 50}})) == "east written 100-149 /mnt/a b");
  CHECK(line_of(change("resized", {{"size", 0}})) == "east resized 0 /mnt/a b");
  CHECK(line_of(change("xattr", {{"xattr", "user.a"}})) == "east xattr user.a /mnt/a b");
  CHECK(line_of(change("attributes", {{"path", "/"}})) == "east attributes /mnt");
}

TEST_CASE("a name can't break the line, and members that are missing or of another type no program") {
  CHECK(line_of(change("created", {{"path", "/a\nb\\c\x7f"}})) == "east created /mnt/a\\012b\\134c\\177");
  CHECK_FALSE(render_change(json::object(), "/mnt").empty());
  CHECK_FALSE(render_change(json{{"time_us", "x"}, {"path", 7}, {"what", nullptr}}, "/mnt").empty());
}
