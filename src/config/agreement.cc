#include "config/agreement.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <optional>

#include "config/settings.h"
#include "config/values.h"
#include "core/checksum.h"

namespace lockstep::config {
namespace {

constexpr std::size_t kTold = 16;

using Lines = std::map<std::string_view, std::string_view>;

/// nullopt: too long, a line without '=' or without newline, or a key that comes twice.
std::optional<Lines> split(std::string_view text) {
  if (text.size() > kAgreementBytesMax) return std::nullopt;
  Lines lines;
  while (!text.empty()) {
    const auto end = text.find('\n');
    if (end == std::string_view::npos) return std::nullopt;
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(end + 1);
    const auto equals = line.find('=');
    if (equals == std::string_view::npos) return std::nullopt;
    if (!lines.emplace(line.substr(0, equals), line.substr(equals + 1)).second) return std::nullopt;
  }
  return lines;
}

class Report {
 public:
  void differs(std::string_view key, std::optional<std::string_view> ours, std::optional<std::string_view> theirs) {
    if (++found_ > kTold) return;
    const auto shown = [](std::optional<std::string_view> value) { return value ? quoted(*value) : "not set"; };
    text_ += fmt::format("{}{}: {} here, {} there", text_.empty() ? "" : "; ", printable(key, 64), shown(ours),
                         shown(theirs));
  }
  std::string text() const { return found_ > kTold ? fmt::format("{}; and {} more", text_, found_ - kTold) : text_; }

 private:
  std::string text_;
  std::size_t found_ = 0;
};

}  // namespace

std::string settings_that_must_agree(const Config& config) {
  std::string text = fmt::format("volume.name={}\nvolume.id={}\nvolume.primary={}\n", config.volume,
                                 uuid_text(config.volume_id), config.at(config.primary).name);
  for (const Site& site : config.sites) text += fmt::format("site.{}.address={}\n", site.name, site.address.text());
  for (const Setting& setting : settings())
    if (setting.agree) text += fmt::format("{}={}\n", setting.name(), setting.text(config));
  if (config.arbiter) {
    std::vector<std::string> endpoints = config.arbiter->endpoints;
    std::ranges::sort(endpoints);
    text += fmt::format("arbiter.endpoints={}\narbiter.key={}\n", fmt::join(endpoints, ","), config.arbiter->key);
  }
  return text;
}

std::uint64_t digest(std::string_view settings) { return checksum(std::as_bytes(std::span(settings))); }

std::string differences(std::string_view ours, std::string_view theirs) {
  if (ours == theirs) return {};
  const auto our_lines = split(ours), their_lines = split(theirs);
  if (!our_lines || !their_lines) return "the settings that the other site sent are not KEY=VALUE lines, each key once";
  Report report;
  for (const auto& [key, value] : *our_lines) {
    const auto found = their_lines->find(key);
    if (found == their_lines->end())
      report.differs(key, value, std::nullopt);
    else if (found->second != value)
      report.differs(key, value, found->second);
  }
  for (const auto& [key, value] : *their_lines)
    if (!our_lines->contains(key)) report.differs(key, std::nullopt, value);
  const std::string text = report.text();
  return text.empty() ? "the same settings, in another order" : text;
}

}  // namespace lockstep::config
