#include "peer/handshake.h"

#include <fmt/format.h>

#include "config/agreement.h"

namespace lockstep::peer {
namespace {

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
  if (theirs.settings_digest != ours.settings_digest) {
    return "the two configurations differ where they must not: " + config::differences(ours.settings, theirs.settings);
  }
  return std::nullopt;
}

}  // namespace lockstep::peer
