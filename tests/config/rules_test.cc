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

TEST_CASE("three heartbeats fit into the peer's timeout") {
  CHECK(config_of(minimal("[timing]\nheartbeat = \"1s\"\npeer_timeout = \"3s\"")).timing.heartbeat ==
        std::chrono::seconds(1));
  CHECK(mistakes(minimal("[timing]\npeer_timeout = \"3s\"\nheartbeat = \"1001ms\"")) ==
        "f:17: timing.heartbeat: \"1001ms\" is too long for timing.peer_timeout \"3s\"; allowed: a third of it at "
        "most, so "
        "that one lost ping is not a lost site");
  // The default is held against what was given, and told where its section stands.
  CHECK(mistakes(minimal("[timing]\npeer_timeout = \"1s\""))
            .starts_with("f:15: timing.heartbeat: \"500ms\" is too long"));
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
