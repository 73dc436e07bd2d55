#include "peer/handshake.h"

#include <fmt/format.h>

#include <map>
#include <sstream>

namespace lockstep::peer {
namespace {

constexpr std::size_t kDifferencesShown = 8;
constexpr std::size_t kValueShown = 80;

std::string hex(const Uuid& id) {
  std::string text;
  for (const std::uint8_t b : id.bytes) text += fmt::format("{:02x}", b);
  return text;
}

/// What a stranger sent, as it may stand in a log: short, printable.
std::string shown(const std::string& text) {
  std::string out;
  for (const char c : text.substr(0, kValueShown)) out += (c >= 0x20 && c < 0x7f) ? c : '?';
  if (text.size() > kValueShown) out += "...";
  return out;
}

std::map<std::string, std::string> lines_of(const std::string& text) {
  std::map<std::string, std::string> lines;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) {
    const std::size_t equals = line.find('=');
    if (equals != std::string::npos) lines[line.substr(0, equals)] = line.substr(equals + 1);
  }
  return lines;
}

}  // namespace

std::optional<std::string> reason_to_refuse(const wire::Hello& ours, const wire::Hello& theirs,
                                            const std::string& expected) {
  if (theirs.version != ours.version) {
    return fmt::format("it speaks protocol version {}, this daemon {}; install the same release at both sites",
                       theirs.version, ours.version);
  }
  if (theirs.volume != ours.volume) {
    return fmt::format("it serves volume \"{}\", this daemon \"{}\"; check the addresses in the configuration",
                       shown(theirs.volume), ours.volume);
  }
  if (theirs.volume_id != ours.volume_id) {
    return fmt::format("its area was formatted for volume id {}, this one for {}; these are two different volumes of one name",
                       hex(theirs.volume_id), hex(ours.volume_id));
  }
  if (theirs.site == ours.site) {
    return fmt::format("it says that it is site \"{}\" too; each daemon must be started with its own --site", ours.site);
  }
  if (theirs.site != expected) {
    return fmt::format("it says that it is site \"{}\", expected \"{}\"", shown(theirs.site), expected);
  }
  if (theirs.store == ours.store) {
    return "its area has the same store id: one is a copy of the other; format one of them anew";
  }
  if (theirs.epoch != ours.epoch) {
    return fmt::format("it is in epoch {}, this daemon in {}", theirs.epoch.value, ours.epoch.value);
  }
  if (theirs.settings_digest != ours.settings_digest) {
    return "the two configurations differ where they must not: " + settings_that_differ(ours.settings, theirs.settings);
  }
  return std::nullopt;
}

std::string settings_that_differ(const std::string& ours, const std::string& theirs) {
  const auto mine = lines_of(ours);
  auto other = lines_of(theirs);
  std::string text;
  std::size_t count = 0;
  const auto add = [&](const std::string& key, const std::string& here, const std::string& there) {
    if (++count > kDifferencesShown) return;
    text += fmt::format("{}{}: here {}, there {}", text.empty() ? "" : "; ", shown(key), shown(here), shown(there));
  };
  for (const auto& [key, value] : mine) {
    const auto found = other.find(key);
    if (found == other.end()) {
      add(key, value, "not set");
    } else {
      if (found->second != value) add(key, value, found->second);
      other.erase(found);
    }
  }
  for (const auto& [key, value] : other) add(key, "not set", value);
  if (count > kDifferencesShown) text += fmt::format("; and {} more", count - kDifferencesShown);
  return text.empty() ? "the texts are equal but not their digests" : text;
}

}  // namespace lockstep::peer
