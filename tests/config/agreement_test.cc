// What two sites must have in common.
#include "config/agreement.h"

#include <fmt/format.h>

#include "config/settings.h"
#include "core/checksum.h"
#include "texts.h"

using namespace lockstep;
using namespace lockstep::config;

TEST_CASE("the text of what must agree") {
  CHECK(settings_that_must_agree(config_of(minimal())) ==
        "volume.name=shared\n"
        "volume.id=6d0b6c6e-8b62-4b5b-a5d5-0d2b1a9f3c11\n"
        "volume.primary=alpha\n"
        "site.alpha.address=alpha.example.org:7400\n"
        "site.beta.address=beta.example.org:7400\n"
        "limits.area=8GiB\n"
        "limits.log=64MiB\n"
        "limits.inline=64KiB\n"
        "limits.window=64MiB\n"
        "limits.requests=1024\n"
        "timing.heartbeat=500ms\n"
        "timing.peer_timeout=2s\n"
        "timing.read_lease=3s\n"
        "timing.takeover=5s\n"
        "timing.takeover_delay=1s\n"
        "timing.patience=10min\n"
        "timing.slow_peer=30s\n"
        "timing.lock_grace=30s\n"
        "options.ack=written\n"
        "options.coherence=cached\n"
        "options.alone=primary\n");
}

TEST_CASE("sites agree on the arbiter, not on how each reaches it best") {
  const Config without = config_of(minimal());
  const Config with = config_of(minimal("[arbiter]\nendpoints = [\"http://a:1\", \"http://b:1\"]\nkey = \"/k\""));
  Config other = with;
  other.arbiter->endpoints = {"http://b:1", "http://a:1"};
  other.arbiter->timeout = std::chrono::seconds(9);
  other.arbiter->ca = "/ca";
  CHECK(settings_that_must_agree(with) ==
        settings_that_must_agree(without) + "arbiter.endpoints=http://a:1,http://b:1\narbiter.key=/k\n");
  CHECK(settings_that_must_agree(with) == settings_that_must_agree(other));
  other.arbiter->key = "/l";
  CHECK(differences(settings_that_must_agree(with), settings_that_must_agree(other)) ==
        "arbiter.key: \"/k\" here, \"/l\" there");
  CHECK(differences(settings_that_must_agree(with), settings_that_must_agree(without)) ==
        "arbiter.endpoints: \"http://a:1,http://b:1\" here, not set there; arbiter.key: \"/k\" here, not set there");
}

TEST_CASE("files that say the same agree, however they say it") {
  const Config one = config_of(minimal());
  const Config other = config_of(minimal_but("\"8GiB\"", "\"8192MiB\" # eight") +
                                 "log = \"65536KiB\"\n[options]\nlog_level = \"debug\"\n[timing]\nspin = \"0us\"\n");
  CHECK(settings_that_must_agree(one) == settings_that_must_agree(other));
  CHECK(digest(settings_that_must_agree(one)) == digest(settings_that_must_agree(other)));
  CHECK(differences(settings_that_must_agree(one), settings_that_must_agree(other)).empty());
}

TEST_CASE("the digest is the core checksum") {
  const std::string text = "a=b\n";
  CHECK(digest(text) == checksum(std::as_bytes(std::span(text))));
  CHECK(digest("a=b\n") != digest("a=c\n"));
}

TEST_CASE("each setting that must agree changes the text, no other does") {
  const Config base = config_of(minimal());
  for (const Setting& setting : settings()) {
    if (setting.least == setting.most) continue;
    INFO(setting.name());
    Config changed = base;
    setting.set(changed, setting.get(base) == setting.most ? setting.least : setting.most);
    REQUIRE(!(changed == base));
    const std::string told = differences(settings_that_must_agree(base), settings_that_must_agree(changed));
    CHECK(told == (setting.agree ? fmt::format("{}: \"{}\" here, \"{}\" there", setting.name(), setting.text(base),
                                               setting.text(changed))
                                 : ""));
  }
}

TEST_CASE("every setting that differs is named with both values") {
  CHECK(differences("a=1\nb=2\nc=3\n", "a=1\nb=9\nd=4\n") ==
        "b: \"2\" here, \"9\" there; c: \"3\" here, not set there; d: not set here, \"4\" there");
  CHECK(differences("a=1\n", "a=1=2\n") == "a: \"1\" here, \"1=2\" there");
  CHECK(differences("a=1\nb=2\n", "b=2\na=1\n") == "the same settings, in another order");
  CHECK(differences("", "").empty());
}

TEST_CASE("what the other site sends is untrusted") {
  const std::string no_lines = "the settings that the other site sent are not KEY=VALUE lines, each key once";
  CHECK(differences("a=1\n", "") == "a: \"1\" here, not set there");
  CHECK(differences("a=1\n", "a=1") == no_lines);
  CHECK(differences("a=1\n", "a\n") == no_lines);
  CHECK(differences("a=1\n", "a=1\na=1\n") == no_lines);
  CHECK(differences("a=1\n", "\n") == no_lines);
  CHECK(differences("a=1\n", "=" + std::string(kAgreementBytesMax, 'x') + "\n") == no_lines);
  CHECK(differences("a=1\n", "a=\x1b[2J\n") == "a: \"1\" here, \"\\x1b[2J\" there");
  std::string many;
  for (int i = 0; i < 5000; ++i) many += fmt::format("k{}={}\n", i, std::string(3, '\xff'));
  REQUIRE(many.size() <= kAgreementBytesMax);
  const std::string told = differences("a=1\n", many);
  CHECK(told.size() < 2000);
  CHECK(told.ends_with("; and 4985 more"));
}
