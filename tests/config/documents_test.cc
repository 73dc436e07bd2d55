// The example and the man page say what the program does.
#include <fmt/format.h>

#include <fstream>
#include <sstream>

#include "config/settings.h"
#include "texts.h"

using namespace lockstep;
using namespace lockstep::config;

namespace {

std::string file(const std::string& name) {
  std::ifstream in(std::string(LOCKSTEP_SOURCE_ROOT) + "/" + name);
  REQUIRE(in);
  std::ostringstream text;
  text << in.rdbuf();
  return text.str();
}

std::string replaced(std::string text, std::string_view from, std::string_view to) {
  for (std::size_t at = 0; (at = text.find(from, at)) != std::string::npos; at += to.size())
    text.replace(at, from.size(), to);
  return text;
}

bool has(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

/// `number` as the file has it.
std::string written(const Setting& setting, std::uint64_t number) {
  return setting.kind == Kind::count ? setting.text(number) : "\"" + setting.text(number) + "\"";
}

}  // namespace

TEST_CASE("the example lacks nothing but an identity") {
  const std::string text = file("conf/lockstep.toml");
  CHECK(mistakes(text) ==
        "f:13: volume.id: the UUID of zeros stands for none; make one with: cat /proc/sys/kernel/random/uuid");
  const std::string with_id =
      replaced(text, "00000000-0000-0000-0000-000000000000", "6d0b6c6e-8b62-4b5b-a5d5-0d2b1a9f3c11");
  CHECK(config_of(with_id) == config_of(minimal()));
  // Its defaults, uncommented, are the defaults.
  std::string uncommented = with_id;
  for (const Setting& setting : settings())
    uncommented = replaced(uncommented, fmt::format("\n#{} = ", setting.key), fmt::format("\n{} = ", setting.key));
  uncommented = replaced(uncommented, "\n#control = ", "\ncontrol = ");
  CHECK(uncommented != with_id);
  CHECK(config_of(uncommented) == config_of(minimal()));
}

TEST_CASE("the example shows an arbiter, with its default where it has one") {
  std::string text = replaced(file("conf/lockstep.toml"), "00000000-0000-0000-0000-000000000000",
                              "6d0b6c6e-8b62-4b5b-a5d5-0d2b1a9f3c11");
  text = replaced(replaced(text, "\n#[arbiter]", "\n[arbiter]"), "http:", "https:");
  for (const std::string_view key : {"endpoints", "key", "timeout", "ca", "certificate", "private_key"}) {
    const std::string commented = fmt::format("\n#{} = ", key);
    REQUIRE(has(text, commented));
    text = replaced(text, commented, fmt::format("\n{} = ", key));
    CHECK(has(file("man/lockstep.toml.5"), fmt::format("{} ", key)));
  }
  const Config config = config_of(text);
  REQUIRE(config.arbiter);
  CHECK(config.arbiter->endpoints.size() == 3);
  CHECK(config.arbiter->timeout == Arbiter{}.timeout);
}

TEST_CASE("the example shows every setting, with its default") {
  const std::string text = file("conf/lockstep.toml");
  for (const Setting& setting : settings()) {
    INFO(setting.name());
    if (setting.required)
      CHECK(has(text, fmt::format("\n{} = ", setting.key)));
    else
      CHECK(has(text, fmt::format("\n#{} = {}\n", setting.key, written(setting, setting.get(Config{})))));
  }
}

TEST_CASE("the man page has every setting with default and bounds") {
  const std::string page = replaced(file("man/lockstep.toml.5"), "\\(dq", "\"");
  constexpr std::string_view kinds[] = {"size", "duration", "count", "word"};
  for (const Setting& setting : settings()) {
    INFO(setting.name());
    std::string head = fmt::format(".BR {} \" ({}", setting.key, kinds[static_cast<std::size_t>(setting.kind)]);
    head += setting.required ? std::string(", required")
                             : fmt::format(", default {}", written(setting, setting.get(Config{})));
    if (setting.kind != Kind::word)
      head += fmt::format("; {} to {}", written(setting, setting.least), written(setting, setting.most));
    CHECK(has(page, head + ")\""));
    for (const std::string_view word : setting.words) CHECK(has(page, fmt::format("\"{}\"", word)));
  }
}

TEST_CASE("the man page's example is right") {
  const std::string page = file("man/lockstep.toml.5");
  const auto from = page.find("[volume]\nname");
  const auto to = page.find(".EE", from);
  REQUIRE(from != std::string::npos);
  CHECK(config_of(page.substr(from, to - from)) == config_of(minimal()));
}
