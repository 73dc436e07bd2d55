// Each reason to refuse a connection, in the order of the rules.
#include "peer/handshake.h"

#include "catch.h"

using namespace lockstep;
using namespace lockstep::peer;

namespace {

wire::Hello hello(const std::string& site) {
  wire::Hello h;
  h.volume = "v";
  h.volume_id.bytes[0] = 1;
  h.site = site;
  h.store.bytes[0] = static_cast<std::uint8_t>(site[0]);
  h.settings = "limits.inline=64KiB\nvolume.name=v\n";
  h.settings_digest = 7;
  return h;
}

std::string refusal(void (*change)(wire::Hello&)) {
  wire::Hello theirs = hello("west");
  change(theirs);
  const auto reason = reason_to_refuse(hello("east"), theirs, "west");
  REQUIRE(reason);
  REQUIRE(reason->find('\n') == std::string::npos);
  return *reason;
}

}  // namespace

TEST_CASE("the expected site is let in") { REQUIRE_FALSE(reason_to_refuse(hello("east"), hello("west"), "west")); }

TEST_CASE("each mismatch is refused with both values") {
  REQUIRE(refusal([](wire::Hello& h) { h.version = 9; }).find("version 9") != std::string::npos);
  REQUIRE(refusal([](wire::Hello& h) { h.volume = "other"; }).find("\"other\"") != std::string::npos);
  REQUIRE(refusal([](wire::Hello& h) { h.volume_id.bytes[3] = 5; }).find("volume id") != std::string::npos);
  REQUIRE(refusal([](wire::Hello& h) { h.site = "east"; }).find("\"east\" too") != std::string::npos);
  REQUIRE(refusal([](wire::Hello& h) { h.site = "north"; }).find("\"north\"") != std::string::npos);
  REQUIRE(refusal([](wire::Hello& h) { h.store.bytes[0] = 'e'; }).find("store id") != std::string::npos);
  const std::string settings = refusal([](wire::Hello& h) {
    h.settings = "limits.inline=32KiB\nvolume.name=v\nx=1\n";
    h.settings_digest = 8;
  });
  for (const char* named : {"limits.inline", "64KiB", "32KiB", "x"}) REQUIRE(settings.find(named) != std::string::npos);
  REQUIRE(settings.find("volume.name") == std::string::npos);
}

TEST_CASE("what a stranger sent is shown short and printable") {
  const std::string reason = refusal([](wire::Hello& h) { h.volume = std::string(5000, '\n'); });
  REQUIRE(reason.size() < 400);
}
