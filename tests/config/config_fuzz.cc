// Any bytes as a configuration, and as what a peer says its settings are.
//
//   CXX=clang++-19 meson setup build-fuzz -Dfuzz=true && ninja -C build-fuzz tests/config/config_fuzz
//   build-fuzz/tests/config/config_fuzz -max_len=4096 NEW_CORPUS tests/config/corpus
//
// Checked: no crash and no exception; mistakes are bounded and printable; a configuration that was accepted keeps the
// invariants of config.h, and its settings, written as text, agree with themselves.
#include <cstdint>

#include "config/agreement.h"
#include "config/settings.h"
#include "config/values.h"
#include "core/check.h"

using namespace lockstep;
using namespace lockstep::config;

namespace {

void check_printable(std::string_view text, std::string_view more) {
  for (const char c : text) CHECK((c >= 0x20 && c < 0x7f) || more.contains(c));
}

void check_accepted(const Config& config) {
  CHECK(config.sites.size() == 2 && config.sites[0].name < config.sites[1].name);
  CHECK(config.primary.value < 2 && !config.volume_id.is_nil() && !config.volume.empty());
  CHECK(!(config.sites[0].address == config.sites[1].address));
  for (const Site& site : config.sites) {
    CHECK(parse_address(site.address.text()) == site.address);
    for (const std::string& path : {site.area, site.mount, site.control}) CHECK(parse_path(path) == path);
    CHECK(!lies_in(site.area, site.mount) && !lies_in(site.mount, site.area) && !lies_in(site.control, site.mount));
  }
  for (const Setting& setting : settings()) {
    const std::uint64_t number = setting.get(config);
    CHECK(number >= setting.least && number <= setting.most && number % setting.step == 0);
  }
  CHECK(config.timing.heartbeat * 2 < config.timing.peer_timeout);
  CHECK(config.timing.peer_timeout < config.timing.read_lease && config.timing.read_lease < config.timing.takeover);
  if (config.arbiter) {
    CHECK(!config.arbiter->endpoints.empty() && !config.arbiter->key.empty() && config.arbiter->timeout.count() > 0);
    for (const std::string& endpoint : config.arbiter->endpoints) CHECK(parse_endpoint(endpoint) == endpoint);
    for (const char c : config.arbiter->key) CHECK(c > 0x20 && c < 0x7f);
    CHECK(config.arbiter->certificate.empty() == config.arbiter->private_key.empty());
  }
  CHECK(config.timing.reconnect <= config.timing.reconnect_max);
  CHECK(config.limits.window_bytes <= config.limits.memory_bytes / 2);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(bytes), size);
  const std::string ours = "limits.area=8GiB\nvolume.name=shared\n";
  const std::string told = differences(ours, text);
  CHECK(told.empty() == (ours == text) && told.size() < 8192);
  check_printable(told, {});

  const Result<Config> config = parse(text, "f");
  if (!config) {
    CHECK(config.error().code == Errc::invalid && !config.error().text.empty());
    CHECK(config.error().text.size() < 64 * 1024);
    check_printable(config.error().text, "\n");
    return 0;
  }
  check_accepted(*config);
  const std::string settings = settings_that_must_agree(*config);
  CHECK(differences(settings, settings).empty());
  return 0;
}
