// Files become configurations, or lists of what is wrong with them.
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>

#include "config/settings.h"
#include "texts.h"

using namespace lockstep;
using namespace lockstep::config;
using namespace std::chrono_literals;

TEST_CASE("the shortest configuration has the defaults") {
  const Config config = config_of(minimal());
  CHECK(config.volume == "shared");
  CHECK(config.volume_id.bytes[0] == 0x6d);
  REQUIRE(config.sites.size() == 2);
  CHECK(
      config.sites[0] ==
      Site{
          "alpha", {"alpha.example.org", 7400}, "/var/lib/lockstep/shared", "/srv/shared", "/run/lockstep/alpha.sock"});
  CHECK(config.sites[1].control == "/run/lockstep/beta.sock");
  CHECK(config.primary == SiteId{0});
  CHECK(config.limits == Limits{.area_bytes = 8ull << 30});
  CHECK(config.timing == Timing{});
  CHECK(config.options == Options{});
  CHECK_FALSE(config.arbiter);
}

TEST_CASE("every setting can be given") {
  const Config config = config_of(minimal(R"(log = "128MiB"
inline = "16KiB"
window = "32MiB"
requests = 100
memory = "256MiB"
diskless = "0B"
resync_rate = "10MiB"
[timing]
heartbeat = "100ms"
peer_timeout = "1s"
read_lease = "1500ms"
takeover = "4s"
takeover_delay = "2s"
patience = "8s"
slow_peer = "9s"
lock_grace = "1min"
connect_timeout = "700ms"
reconnect = "20ms"
reconnect_max = "2s"
spin = "0us"
name_drop = "2ms"
contended = "3s"
settle = "1s"
attributes = "1min"
entries = "2min"
[options]
ack = "stable"
coherence = "strict"
alone = "never"
io = "buffered"
log_level = "debug"
)"));
  CHECK(config.limits == Limits{8ull << 30, 128 << 20, 16 << 10, 32 << 20, 100, 256 << 20, 0, 10 << 20});
  CHECK(config.timing == Timing{100ms, 1s, 700ms, 20ms, 2s, 0us, 2ms, 3s, 1s, 1min, 2min, 1500ms, 4s, 2s, 8s, 9s, 1min});
  CHECK(config.options == Options{Acknowledge::stable, Coherence::strict, Io::buffered, log::Level::debug, Alone::never});
}

TEST_CASE("an arbiter is a list of endpoints and what has defaults") {
  const Config config = config_of(minimal("[arbiter]\nendpoints = [\"http://h:2379/\", 'https://[::1]:1']"));
  CHECK(config.arbiter == Arbiter{.endpoints = {"http://h:2379", "https://[::1]:1"},
                                  .key = "/lockstep/6d0b6c6e-8b62-4b5b-a5d5-0d2b1a9f3c11"});
  const Config full = config_of(minimal(R"([arbiter]
endpoints = ["https://h:2379"]
key = "/k"
timeout = "5s"
ca = "/e//ca"
certificate = "/e/c"
private_key = "/e/k"
)"));
  CHECK(full.arbiter == Arbiter{{"https://h:2379"}, "/k", 5s, "/e/ca", "/e/c", "/e/k"});
}

TEST_CASE("what is wrong with an arbiter") {
  const auto endpoints = [](std::string_view value) {
    return mistakes(minimal(fmt::format("[arbiter]\nendpoints = {}", value)));
  };
  const std::string front = "f:16: arbiter.endpoints: ";
  CHECK(mistakes(minimal("[arbiter]")) ==
        "f:15: arbiter.endpoints: is missing; write where etcd is reached, [\"http://HOST:PORT\", ...]");
  const std::string list = "; it must be a list of 1 to 16 strings, [\"http://HOST:PORT\", ...]";
  CHECK(endpoints("\"http://h:1\"") == front + "is a string" + list);
  CHECK(endpoints("[]") == front + "is empty" + list);
  CHECK(endpoints("[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1]") == front + "is too long" + list);
  CHECK(endpoints("[\"http://h:1\", 1]") == front + "has a number in it; each endpoint must be a string");
  CHECK(endpoints("[\"http://h:1\", \"http://h:1/\"]") == front + "\"http://h:1\" comes twice");
  CHECK(endpoints("[\"h:1\"]") == front +
                                      "\"h:1\" is not an endpoint; write http://HOST:PORT or https://HOST:PORT, for "
                                      "example \"http://192.0.2.1:2379\"");
  const auto more = [](std::string_view line) {
    return mistakes(minimal(fmt::format("[arbiter]\nendpoints = [\"https://h:1\"]\n{}", line)));
  };
  const std::string key = " can't be the register's key; allowed: 1 to 256 printable bytes of ASCII without blanks";
  CHECK(more("key = \"a b\"") == "f:17: arbiter.key: \"a b\"" + key);
  CHECK(more("key = \"\"") == "f:17: arbiter.key: \"\"" + key);
  CHECK(more("key = \"" + std::string(257, 'k') + "\"").ends_with(key));
  CHECK(more("timeout = \"99ms\"") == "f:17: arbiter.timeout: \"99ms\" is out of bounds; allowed: \"100ms\" to \"1min\"");
  CHECK(more("ca = \"ca\"") == "f:17: arbiter.ca: \"ca\" is not an absolute path; it must start with \"/\"");
  CHECK(more("endpoint = 1").starts_with("f:17: arbiter.endpoint: unknown key; allowed: endpoints, key, timeout, ca, "));
}

TEST_CASE("sites are sorted by name, whatever their order in the file") {
  std::string text = std::string(kVolume) + R"([site.west]
address = "w:1"
area = "/w"
mount = "/m"
control = "/tmp/w.sock"
[site.alpha]
address = "a:1"
area = "/w"
mount = "/m"
)" + std::string(kLimits);
  const Config config = config_of(text);
  CHECK(config.sites[0].name == "alpha");
  CHECK(config.sites[1].name == "west");
  CHECK(config.sites[1].control == "/tmp/w.sock");
  CHECK(config.site("west") == SiteId{1});
  CHECK(config.at(SiteId{1}).address.text() == "w:1");
  CHECK(config.other(SiteId{1}) == SiteId{0});
  const auto none = config.site("north");
  REQUIRE_FALSE(none);
  CHECK(none.error().code == Errc::absent);
  CHECK(none.error().text == "\"north\" is not one of the sites; allowed: alpha, west");
}

TEST_CASE("the primary may be either site") {
  CHECK(config_of(minimal_but("primary = \"alpha\"", "primary = \"beta\"")).primary == SiteId{1});
  CHECK(mistakes(minimal_but("primary = \"alpha\"", "primary = \"gamma\"")) ==
        "f:4: volume.primary: \"gamma\" is not one of the sites; allowed: alpha, beta");
}

TEST_CASE("an unknown key is told with its line, what is allowed, and what was meant") {
  CHECK(mistakes(minimal("colour = 1")) ==
        "f:15: limits.colour: unknown key; allowed: area, log, inline, window, requests, memory, diskless, resync_rate");
  CHECK(mistakes(minimal("memry = \"1GiB\"")) ==
        "f:15: limits.memry: unknown key; allowed: area, log, inline, window, requests, memory, diskless, resync_rate; did you mean "
        "\"memory\"?");
  CHECK(mistakes(minimal("heartbeat = \"1s\"")) ==
        "f:15: limits.heartbeat: unknown key; allowed: area, log, inline, window, requests, memory, diskless, resync_rate; it belongs in "
        "[timing]");
  CHECK(mistakes(minimal_but("primary", "nam = 1\nprimary")) ==
        "f:4: volume.nam: unknown key; allowed: name, id, primary; did you mean \"name\"?");
  CHECK(mistakes(minimal_but("mount", "mont = 1\nmount")) ==
        "f:8: site.alpha.mont: unknown key; allowed: address, area, mount, control; did you mean \"mount\"?");
  CHECK(mistakes(minimal("\"a\\u001b\\nb\" = 1")).starts_with("f:15: limits.a\\x1b\\x0ab: unknown key;"));
  CHECK(mistakes(minimal("'" + std::string(5000, 'k') + "' = 1")).size() < 200);
}

TEST_CASE("an unknown section, or a key outside of all") {
  CHECK(mistakes(minimal("[limit]")) ==
        "f:15: limit: unknown section; allowed: volume, site, limits, timing, options, arbiter; did you mean \"limits\"?");
  CHECK(mistakes("ack = \"stable\"\n" + minimal()) ==
        "f:1: ack: unknown key outside of all sections; allowed: volume, site, limits, timing, options, arbiter; it belongs in "
        "[options]");
}

TEST_CASE("a section that is none") {
  CHECK(mistakes("timing = 3\n" + minimal()) == "f:1: timing: is a number; it must be a section, [timing]");
  CHECK(mistakes(minimal("[[timing]]\nspin = \"0us\"")) == "f:15: timing: is a list; it must be a section, [timing]");
  CHECK(mistakes("site = []\n" + std::string(kVolume) + std::string(kLimits)) ==
        "f:1: site: is an array; it must be a section, [site.NAME]");
  CHECK(mistakes("volume = true\n" + std::string(kSites) + std::string(kLimits)) ==
        "f:1: volume: is a truth value; it must be a section, [volume]");
  CHECK(mistakes(std::string(kSites) + std::string(kLimits)) ==
        "f: volume: section [volume] is missing; it has name, id and primary of the volume");
  CHECK(mistakes("limits = 'x'\n" + std::string(kVolume) + std::string(kSites)) ==
        "f:1: limits: is a string; it must be a section, [limits]");
}

TEST_CASE("what is missing is told, with the line of its section") {
  CHECK(mistakes("") ==
        "f: volume: section [volume] is missing; it has name, id and primary of the volume\n"
        "f: limits.area: is missing; allowed: \"16MiB\" to \"1024TiB\"\n"
        "f: site: sections [site.NAME] are missing; a volume has exactly two sites");
  CHECK(mistakes("[volume]\n" + std::string(kSites) + "[limits]\n") ==
        "f:1: volume.name: is missing; write the name of the volume\n"
        "f:1: volume.id: is missing; it is the identity of the volume, a UUID; make one with: cat "
        "/proc/sys/kernel/random/uuid\n"
        "f:1: volume.primary: is missing; write the name of the site that orders all writes\n"
        "f:10: limits.area: is missing; allowed: \"16MiB\" to \"1024TiB\"");
  CHECK(mistakes(std::string(kVolume) + "[site.alpha]\n[site.beta]\n" + std::string(kLimits)) ==
        "f:5: site.alpha.address: is missing; write HOST:PORT, where the other site reaches this one\n"
        "f:5: site.alpha.area: is missing; write the directory of the storage area\n"
        "f:5: site.alpha.mount: is missing; write the mount point of the volume\n"
        "f:6: site.beta.address: is missing; write HOST:PORT, where the other site reaches this one\n"
        "f:6: site.beta.area: is missing; write the directory of the storage area\n"
        "f:6: site.beta.mount: is missing; write the mount point of the volume");
}

TEST_CASE("a value of the wrong type") {
  CHECK(mistakes(minimal_but("\"shared\"", "3")) == "f:2: volume.name: is a number; it must be a string");
  CHECK(mistakes(minimal_but("mount = \"/srv/shared\"", "mount = [\"/srv\"]")) ==
        "f:8: site.alpha.mount: is an array; it must be a string");
  CHECK(mistakes(minimal("requests = \"1024\"")) ==
        "f:15: limits.requests: is a string; it must be a whole number without quotation marks, allowed: 8 to 65536");
  CHECK(mistakes(minimal("requests = 10.5")) ==
        "f:15: limits.requests: is a number with a fraction; it must be a whole number without quotation marks, "
        "allowed: 8 to "
        "65536");
  CHECK(mistakes(minimal("log = true")) ==
        "f:15: limits.log: is a truth value; write a size as a string with one of B, KiB, MiB, GiB, TiB, for example "
        "\"64MiB\"");
  CHECK(mistakes(minimal("[timing]\nspin = 10:00:00")) ==
        "f:16: timing.spin: is a date or time; write a duration as a string with one of us, ms, s, min, h, for example "
        "\"500ms\"");
  CHECK(mistakes(minimal("[options]\nack = 1")) == "f:16: options.ack: is a number; allowed: \"written\", \"stable\"");
  CHECK(mistakes(minimal("[options.ack]")) == "f:15: options.ack: is a section; allowed: \"written\", \"stable\"");
}

TEST_CASE("a number without a unit says which units there are") {
  CHECK(mistakes(minimal("log = 64")) ==
        "f:15: limits.log: is a number without a unit; write a size as a string with one of B, KiB, MiB, GiB, TiB, for "
        "example "
        "\"64MiB\"");
  CHECK(mistakes(minimal("[timing]\nspin = 0")) ==
        "f:16: timing.spin: is a number without a unit; write a duration as a string with one of us, ms, s, min, h, "
        "for example "
        "\"500ms\"");
  CHECK(mistakes(minimal("log = \"64\"")) ==
        "f:15: limits.log: \"64\" has no unit; write a size with one of B, KiB, MiB, GiB, TiB, for example \"64MiB\"");
  CHECK(mistakes(minimal("log = \"64MB\"")) ==
        "f:15: limits.log: \"64MB\" is not a size; write a whole number and one of B, KiB, MiB, GiB, TiB, for example "
        "\"64MiB\"");
}

TEST_CASE("a word that is not known") {
  CHECK(mistakes(minimal("[options]\nack = \"Written\"")) ==
        "f:16: options.ack: \"Written\" is not known; allowed: \"written\", \"stable\"; did you mean \"written\"?");
  CHECK(mistakes(minimal("[options]\nio = \"direct\"")) ==
        "f:16: options.io: \"direct\" is not known; allowed: \"buffered\"");
}

TEST_CASE("each setting is held against both of its bounds") {
  for (const Setting& setting : settings()) {
    if (setting.kind == Kind::word) continue;
    INFO(setting.name());
    const auto quote = [&](std::uint64_t number) {
      return setting.kind == Kind::count ? setting.text(number) : "\"" + setting.text(number) + "\"";
    };
    const auto said = [&](std::uint64_t number) -> std::string {
      // [limits] is there already; what relations between values say is another test's.
      std::string text = std::string(kVolume).append(kSites) + "[limits]\n";
      if (setting.name() != "limits.area") text += "area = \"8GiB\"\n";
      if (setting.section != "limits") text += fmt::format("[{}]\n", setting.section);
      const auto config = parse(text + fmt::format("{} = {}\n", setting.key, quote(number)), "f");
      return config ? "" : config.error().text;
    };
    const std::string bounds =
        fmt::format(" is out of bounds; allowed: {} to {}", quote(setting.least), quote(setting.most));
    const std::uint64_t little = setting.kind == Kind::duration ? 1000 : 1;
    CHECK(said(setting.least).find("out of bounds") == std::string::npos);
    CHECK(said(setting.most).find("out of bounds") == std::string::npos);
    CHECK(said(setting.most + little).find(quote(setting.most + little) + bounds) != std::string::npos);
    if (setting.least > 0)
      CHECK(said(setting.least - little).find(quote(setting.least - little) + bounds) != std::string::npos);
  }
}

TEST_CASE("sizes of an area are whole blocks") {
  CHECK(mistakes(minimal("log = \"67108865B\"")) ==
        "f:15: limits.log: \"67108865B\" is not a multiple of 4KiB; allowed: \"4MiB\" to \"64GiB\"");
  CHECK(mistakes(minimal("requests = -5")) == "f:15: limits.requests: -5 is out of bounds; allowed: 8 to 65536");
}

TEST_CASE("names of volume and sites") {
  const std::string why = " is not a name; allowed: 1 to 64 of A-Z a-z 0-9 - _ . with a letter or digit in front";
  for (const char* name : {"", "-a", ".a", "a b", "a/b", "\\u00e4"})
    CHECK(mistakes(minimal_but("\"shared\"", fmt::format("\"{}\"", name))).ends_with(why));
  CHECK(config_of(minimal_but("\"shared\"", "\"Vol_1.x-y\"")).volume == "Vol_1.x-y");
  for (const char* name :
       {"Beta", "\"\"", "-b", "b_b", "\"b b\"", "\"b\\u0000\"", "aaaaaaaabbbbbbbbaaaaaaaabbbbbbbbc"}) {
    const std::string said = mistakes(minimal_but("[site.beta]", fmt::format("[site.{}]", name)));
    CHECK(said.starts_with("f:9: site: \""));
    CHECK(said.ends_with("\" is not a name of a site; allowed: 1 to 32 of a-z 0-9 - with a letter or digit in front"));
  }
  CHECK(config_of(minimal_but("[site.beta]", "[site.aaaaaaaabbbbbbbbaaaaaaaabbbbbbbb]")).sites.size() == 2);
  CHECK(mistakes(minimal_but("[site.alpha]", "[site]\nx = 1\n[site.alpha]")) ==
        "f:6: site: \"x\" is a number; allowed: sections [site.NAME]");
}

TEST_CASE("texts have no control characters") {
  CHECK(mistakes(minimal_but("\"/srv/shared\"", "\"/srv\\nx=1\"")) ==
        "f:8: site.alpha.mount: \"/srv\\x0ax=1\" has control characters; none are allowed");
  CHECK(mistakes(minimal_but("\"shared\"", "\"a\\u0000\"")) ==
        "f:2: volume.name: \"a\\x00\" has control characters; none are allowed");
}

TEST_CASE("what the control socket's path may be") {
  const std::string longest = "/" + std::string(106, 's');
  CHECK(config_of(minimal_but("mount", "control = \"" + longest + "\"\nmount")).sites[0].control == longest);
  CHECK(mistakes(minimal_but("mount", "control = \"" + longest + "s\"\nmount"))
            .ends_with("is too long for a socket; allowed: up to 107 bytes"));
  CHECK(mistakes(minimal_but("mount", "control = \"x.sock\"\nmount")) ==
        "f:8: site.alpha.control: \"x.sock\" is not an absolute path; it must start with \"/\"");
}

TEST_CASE("text that is not TOML is told with its line") {
  CHECK(mistakes(minimal("area = \"9GiB\"")) ==
        "f:15: Error while parsing key-value pair: cannot redefine existing string 'area'");
  CHECK(mistakes(minimal("[volume]")).starts_with("f:15: "));
  CHECK(mistakes("[volume\n").starts_with("f:1: "));
  CHECK(mistakes("a = \"b\nc = 1").starts_with("f:1: "));
  CHECK(mistakes(std::string("a = \"\x01\"")).starts_with("f:1: "));
  CHECK(mistakes(std::string("\0\0\0", 3)).starts_with("f:1: "));
  CHECK(mistakes("[volume]\n[=]\n[limits]\n") ==
        "f:2: not TOML: the name of a section or key must be of A-Z a-z 0-9 _ - or stand in quotation marks");
  CHECK(mistakes(minimal("[+]")).starts_with("f:15: not TOML: "));
  CHECK(mistakes("\xff\xfe").starts_with("f:1: "));
}

TEST_CASE("comments may have any bytes, the rest only ASCII") {
  const std::string commented = minimal() + "# größer als \"nötig\", \xe2\x80\xa8 \xff\xfe \x01 '''' {{{{\n";
  CHECK(config_of(commented) == config_of(minimal()));
  CHECK(config_of(minimal_but("/srv/shared", "/srv/gr\\u00f6\\u00DFe")).sites[0].mount == "/srv/größe");
  const std::string allowed =
      " stands in a string; allowed there: printable ASCII, other letters as \\uXXXX between double "
      "quotation marks";
  CHECK(mistakes(minimal_but("/srv/shared", "/srv/größe")) == "f:8: \"\\xc3\\xb6\"" + allowed);
  CHECK(mistakes(minimal("log = '\x7f'")) == "f:15: \"\\x7f\"" + allowed);
  CHECK(mistakes("lrea=36Glimooooi\"!07\xef\xb3\xbfvol").starts_with("f:1: \"\\xef\\xb3\\xbf\" stands in a string"));
  CHECK(config_of("\xef\xbb\xbf" + minimal()) == config_of(minimal()));
  CHECK(mistakes(minimal("[site.ä]")) ==
        "f:15: \"\\xc3\\xa4\" stands outside of strings and comments; allowed there: printable ASCII");
  CHECK(mistakes(minimal("log =\xc2\xa0\"8GiB\"")).starts_with("f:15: \"\\xc2\\xa0\" stands outside"));
  CHECK(mistakes("# fine\n[\x01]").starts_with("f:2: \"\\x01\" stands outside"));
  CHECK(mistakes(minimal("log = \"a\\\"b'\" ä")).starts_with("f:15: \"\\xc3\\xa4\" stands outside"));
  CHECK(mistakes(minimal("log = 'a\\' ä")).starts_with("f:15: \"\\xc3\\xa4\" stands outside"));
  CHECK(mistakes(minimal("log = \"\" ä")).starts_with("f:15: \"\\xc3\\xa4\" stands outside"));
}

TEST_CASE("strings stand on one line") {
  CHECK(mistakes(minimal("log = \"\"\"8GiB\"\"\"")) ==
        "f:15: a string with three quotation marks; write it with one (\") on one line");
  CHECK(mistakes(minimal("log = '''8GiB'''")) ==
        "f:15: a string with three quotation marks; write it with one (') on one line");
  CHECK(mistakes(minimal("log = \"8\nGiB\"")) == "f:15: a string does not end on its line");
  CHECK(mistakes(minimal("log = \"8\\\nGiB\"")) == "f:15: a string does not end on its line");
  CHECK(mistakes(minimal("log = \"8GiB")).starts_with("f:15: "));
  CHECK(mistakes(minimal("log = \"8GiB\\")).starts_with("f:15: "));
}

TEST_CASE("every mistake is told, in the order of the lines") {
  CHECK(
      mistakes("[options]\nack = 1\nfoo = 1\n" + minimal("[timing]\nspin = 7\n")) ==
      "f:2: options.ack: is a number; allowed: \"written\", \"stable\"\n"
      "f:3: options.foo: unknown key; allowed: ack, coherence, alone, io, log_level\n"
      "f:19: timing.spin: is a number without a unit; write a duration as a string with one of us, ms, s, min, h, for "
      "example \"500ms\"");
}

TEST_CASE("fifty mistakes are told, the others counted") {
  std::string more;
  for (int i = 0; i < 60; ++i) more += fmt::format("nonsense{} = 1\n", i);
  const std::string said = mistakes(minimal(more));
  CHECK(std::count(said.begin(), said.end(), '\n') == 50);
  CHECK(said.ends_with("\nf: and 10 more mistakes"));
}

TEST_CASE("large and deeply nested files are refused in short time") {
  CHECK(mistakes(std::string(kFileBytesMax + 1, '#')) ==
        "f: the file is larger than 1MiB; this is no configuration of Lockstep");
  std::string deep = "a";
  for (int i = 0; i < 200'000; ++i) deep += ".a";
  CHECK(mistakes("\n" + deep + " = 1") == "f:2: more than 64 dots in one line; no key needs them");
  CHECK(mistakes("a = " + std::string(1000, '{')) == "f:1: more than 32 \"{\" in the file; no key needs them");
  CHECK(mistakes("a = " + std::string(100'000, '[')).starts_with("f:1: "));
  // As deep as is let through.
  std::string dotted = "a";
  for (int i = 0; i < 63; ++i) dotted += ".a";
  std::string nested = "[" + dotted + "]\n" + dotted + " = [";
  for (int i = 0; i < 32; ++i) nested += "\n{" + dotted + " = [";
  nested += "1";
  for (int i = 0; i < 32; ++i) nested += "]}";
  CHECK(mistakes(nested + "]").find("f:1: a: unknown section") != std::string::npos);
  std::string many;
  for (int i = 0; i < 50'000; ++i) many += fmt::format("k{}=1\n", i);
  CHECK(mistakes(many).ends_with(" more mistakes"));
  std::string sites(kVolume);
  for (int i = 0; i < 20'000; ++i) sites += fmt::format("[site.s{}]\n", i);
  CHECK(mistakes(sites).ends_with(" more mistakes"));
}

TEST_CASE("a file is loaded, or it is said why not") {
  char directory[] = "/tmp/lockstep-config-XXXXXX";
  REQUIRE(::mkdtemp(directory) != nullptr);
  const std::string path = std::string(directory) + "/lockstep.toml";
  const auto none = load(path);
  REQUIRE_FALSE(none);
  CHECK(none.error().code == Errc::absent);
  CHECK(none.error().text == path + ": there is no such configuration file");

  std::ofstream(path) << minimal();
  const auto config = load(path);
  REQUIRE(config);
  CHECK(*config == config_of(minimal()));

  std::ofstream(path) << minimal("log = 1");
  CHECK(load(path).error().text.starts_with(path + ":15: limits.log: "));

  std::ofstream(path) << std::string(kFileBytesMax + 5, '#');
  CHECK(load(path).error().text == path + ": the file is larger than 1MiB; this is no configuration of Lockstep");

  const auto not_a_file = load(directory);
  REQUIRE_FALSE(not_a_file);
  CHECK(not_a_file.error().code == Errc::io);
  CHECK(not_a_file.error().text ==
        std::string(directory) + ": the configuration can't be read: it is not a regular file");
  std::remove(path.c_str());
  REQUIRE(::mkfifo(path.c_str(), 0600) == 0);
  CHECK(load(path).error().code == Errc::io);
  std::remove(path.c_str());
  ::rmdir(directory);
}
