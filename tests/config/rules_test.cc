// What must hold between values that are right by themselves.
#include <fmt/format.h>

#include "texts.h"

using namespace lockstep;
using namespace lockstep::config;

namespace {

/// Two sites with these values.
std::string sites(std::string_view alpha, std::string_view beta, std::string_view more = {}) {
  return fmt::format("{}[site.alpha]\n{}\n[site.beta]\n{}\n{}{}", kVolume, alpha, beta, kLimits, more);
}

std::string site(std::string_view address, std::string_view area, std::string_view mount,
                 std::string_view control = {}) {
  std::string text = fmt::format("address = \"{}\"\narea = \"{}\"\nmount = \"{}\"", address, area, mount);
  return control.empty() ? text : text + fmt::format("\ncontrol = \"{}\"", control);
}

}  // namespace

TEST_CASE("two heartbeats are shorter than the peer's timeout") {
  CHECK(config_of(minimal("[timing]\nheartbeat = \"999ms\"\npeer_timeout = \"2s\"")).timing.heartbeat ==
        std::chrono::milliseconds(999));
  CHECK(mistakes(minimal("[timing]\npeer_timeout = \"2s\"\nheartbeat = \"1s\"")) ==
        "f:17: timing.heartbeat: \"1s\" is too long for timing.peer_timeout \"2s\"; allowed: less than half of it, so "
        "that one lost ping is not a lost site");
  // The default is held against what was given, and told where its section stands.
  CHECK(mistakes(minimal("[timing]\npeer_timeout = \"1s\""))
            .starts_with("f:15: timing.heartbeat: \"500ms\" is too long"));
}

TEST_CASE("a lost site is noticed, then serving ends, then the other one goes on") {
  CHECK(config_of(minimal("[timing]\npeer_timeout = \"2s\"\nread_lease = \"2001ms\"\ntakeover = \"3001ms\"")).sites.size() == 2);
  CHECK(mistakes(minimal("[timing]\nread_lease = \"2s\"")) ==
        "f:16: timing.read_lease: \"2s\" is not longer than timing.peer_timeout \"2s\"; it must be, so that a lost site is "
        "noticed before serving ends");
  CHECK(mistakes(minimal("[timing]\npeer_timeout = \"3s\"")) ==
        "f:15: timing.read_lease: \"3s\" is not longer than timing.peer_timeout \"3s\"; it must be, so that a lost site is "
        "noticed before serving ends");
  CHECK(mistakes(minimal("[timing]\ntakeover = \"3999ms\"")) ==
        "f:16: timing.takeover: \"3999ms\" is too short for timing.read_lease \"3s\"; allowed: 1s more at least, in which "
        "a site that was cut off stops and drops its caches");
}

TEST_CASE("a takeover is a pause for a host, not an error") {
  CHECK(config_of(minimal("[timing]\npatience = \"8001ms\"")).timing.patience == std::chrono::milliseconds(8001));
  CHECK(config_of(minimal("[timing]\npatience = \"0us\"")).timing.patience == Duration{});
  CHECK(mistakes(minimal("[timing]\npatience = \"8s\"")) ==
        "f:16: timing.patience: \"8s\" is not longer than a takeover takes: timing.peer_timeout \"2s\", "
        "timing.takeover_delay \"1s\" and timing.takeover \"5s\" together; it must be, or \"0us\": for ever");
}

TEST_CASE("a peer that answers within a heartbeat is not slow") {
  CHECK(config_of(minimal("[timing]\nslow_peer = \"0us\"")).timing.slow_peer == Duration{});
  CHECK(mistakes(minimal("[timing]\nslow_peer = \"500ms\"")) ==
        "f:16: timing.slow_peer: \"500ms\" is not longer than timing.heartbeat \"500ms\"; it must be, or \"0us\": never");
}

TEST_CASE("certificates are for https, and come with their keys") {
  const auto arbiter = [](std::string_view endpoint, std::string_view more) {
    return minimal(fmt::format("[arbiter]\nendpoints = [\"https://a:1\", \"{}\"]\n{}", endpoint, more));
  };
  CHECK(config_of(arbiter("https://b:1", "ca = \"/ca\"\ncertificate = \"/c\"\nprivate_key = \"/k\"")).arbiter);
  CHECK(config_of(arbiter("http://b:1", "")).arbiter->endpoints.size() == 2);
  CHECK(mistakes(arbiter("http://b:1", "ca = \"/ca\"")) ==
        "f:16: arbiter.endpoints: \"http://b:1\" is not https, but arbiter.ca is set; with it all of them must be");
  CHECK(mistakes(arbiter("http://b:1", "certificate = \"/c\"\nprivate_key = \"/k\"")) ==
        "f:16: arbiter.endpoints: \"http://b:1\" is not https, but arbiter.certificate is set; with it all of them must be");
  CHECK(mistakes(arbiter("https://b:1", "certificate = \"/c\"")) ==
        "f:17: arbiter.certificate: arbiter.certificate and arbiter.private_key come together; one is missing");
  CHECK(mistakes(arbiter("https://b:1", "private_key = \"/c\"")) ==
        "f:17: arbiter.private_key: arbiter.certificate and arbiter.private_key come together; one is missing");
}

TEST_CASE("the first wait before a connection is not longer than the longest") {
  CHECK(mistakes(minimal("[timing]\nreconnect = \"10s\"")) ==
        "f:16: timing.reconnect: \"10s\" is longer than timing.reconnect_max \"5s\"; allowed: up to that");
}

TEST_CASE("waiting for a name is shorter than the peer's timeout") {
  CHECK(mistakes(minimal("[timing]\npeer_timeout = \"100ms\"\nheartbeat = \"10ms\"\nname_drop = \"100ms\"")) ==
        "f:18: timing.name_drop: \"100ms\" is not shorter than timing.peer_timeout \"100ms\"; it must be");
}

TEST_CASE("half of the memory holds the window") {
  CHECK(config_of(minimal("memory = \"64MiB\"\nwindow = \"32MiB\"")).limits.window_bytes == 32u << 20);
  CHECK(mistakes(minimal("memory = \"64MiB\"\nwindow = \"33MiB\"")) ==
        "f:16: limits.window: \"33MiB\" is more than half of limits.memory \"64MiB\"; what is in flight lies in "
        "memory, beside "
        "the caches");
}

TEST_CASE("a value that is wrong by itself breaks no rule besides") {
  CHECK(mistakes(minimal("[timing]\npeer_timeout = \"1\"\nheartbeat = \"10s\"")) ==
        "f:16: timing.peer_timeout: \"1\" has no unit; write a duration with one of us, ms, s, min, h, for example "
        "\"500ms\"");
}

TEST_CASE("there are exactly two sites") {
  CHECK(mistakes(std::string(kVolume) + "[site.alpha]\n" + site("a:1", "/a", "/m") + "\n" + std::string(kLimits)) ==
        "f:5: site: 1 sections [site.NAME] found: alpha; a volume has exactly two sites");
  CHECK(mistakes(minimal("[site.c]\n" + site("c:1", "/a", "/m"))) ==
        "f:5: site: 3 sections [site.NAME] found: alpha, beta, c; a volume has exactly two sites");
  CHECK(mistakes(std::string(kVolume) + "[site]\n" + std::string(kLimits)) ==
        "f:5: site: 0 sections [site.NAME] found; a volume has exactly two sites");
}

TEST_CASE("sites have addresses of their own") {
  const std::string why = "is the address of site alpha too; each site listens on its own";
  CHECK(mistakes(sites(site("host:1", "/a1", "/m1"), site("HOST:1", "/a2", "/m2"))) ==
        "f:10: site.beta.address: \"HOST:1\" " + why);
  CHECK(config_of(sites(site("host:1", "/a1", "/m1"), site("host:2", "/a2", "/m2"))).sites.size() == 2);
}

TEST_CASE("an area below the site's mount point would wait for itself") {
  CHECK(mistakes(sites(site("a:1", "/srv/v/area", "/srv/v"), site("b:1", "/area", "/srv"))) ==
        "f:7: site.alpha.area: \"/srv/v/area\" lies in site.alpha.mount \"/srv/v\"; choose a path outside of it");
  CHECK(mistakes(sites(site("a:1", "/area", "/srv"), site("b:1", "/srv", "//srv/"))) ==
        "f:12: site.beta.mount: \"/srv\" is site.beta.area too; give each a path of its own");
  CHECK(mistakes(sites(site("a:1", "/area", "/area/mnt"), site("b:1", "/area", "/srv"))) ==
        "f:8: site.alpha.mount: \"/area/mnt\" lies in site.alpha.area \"/area\"; choose a path outside of it");
  CHECK(mistakes(sites(site("a:1", "/area", "/srv", "/srv/c.sock"), site("b:1", "/area", "/srv"))) ==
        "f:9: site.alpha.control: \"/srv/c.sock\" lies in site.alpha.mount \"/srv\"; choose a path outside of it");
  CHECK(config_of(sites(site("a:1", "/srv/v-area", "/srv/v"), site("b:1", "/area", "/srv"))).sites.size() == 2);
}

TEST_CASE("on two machines the same paths are the rule, on one they collide") {
  for (const auto& [a, b] :
       {std::pair{"h:1", "H:2"}, {"127.0.0.1:1", "127.0.0.2:1"}, {"localhost:1", "h:1"}, {"[::1]:1", "[::1]:2"}}) {
    INFO(a << " " << b);
    CHECK(mistakes(sites(site(a, "/area", "/m1"), site(b, "/area", "/m2"))) ==
          "f:11: site.beta.area: \"/area\" is site.alpha.area too; give each a path of its own");
    CHECK(mistakes(sites(site(a, "/a1", "/m1"), site(b, "/m1/area", "/m2"))) ==
          "f:11: site.beta.area: \"/m1/area\" lies in site.alpha.mount \"/m1\"; choose a path outside of it");
    CHECK(mistakes(sites(site(a, "/a1", "/m", "/c"), site(b, "/a2", "/m/b", "/d"))) ==
          "f:13: site.beta.mount: \"/m/b\" lies in site.alpha.mount \"/m\"; choose a path outside of it");
    CHECK(mistakes(sites(site(a, "/a1", "/m1", "/c"), site(b, "/a2", "/m2", "/c"))) ==
          "f:14: site.beta.control: \"/c\" is site.alpha.control too; give each a path of its own");
    CHECK(config_of(sites(site(a, "/a1", "/m1"), site(b, "/a2", "/m2"))).sites.size() == 2);
  }
  CHECK(config_of(sites(site("h:1", "/area", "/m"), site("k:1", "/area", "/m"))).sites.size() == 2);
}
