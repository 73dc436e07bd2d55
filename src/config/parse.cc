// The text of a configuration becomes a Config. toml++ reads TOML; what the keys mean is decided here.
#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <stdexcept>

namespace lockstep::config {
/// toml++ relies on something about the text that is not so.
struct Unexpected : std::logic_error {
  using std::logic_error::logic_error;
};
}  // namespace lockstep::config

// toml++ asserts what some texts violate ("[=]"), and takes it for granted where assertions are off. So it is
// compiled here, and only here, with assertions that throw.
#undef NDEBUG
#undef TOML_HEADER_ONLY
#undef TOML_SHARED_LIB
#define TOML_HEADER_ONLY 1
#define TOML_ASSERT(condition) \
  ((condition) ? static_cast<void>(0) : throw ::lockstep::config::Unexpected("not TOML: " #condition))
#include <toml++/toml.h>

#include "config/first_look.h"
#include "config/problems.h"
#include "config/rules.h"
#include "config/settings.h"
#include "config/values.h"

namespace lockstep::config {
namespace {

constexpr std::string_view kSections[] = {"volume", "site", "limits", "timing", "options", "arbiter"};
constexpr std::string_view kVolumeKeys[] = {"name", "id", "primary"};
constexpr std::string_view kSiteKeys[] = {"address", "area", "mount", "control"};
constexpr std::string_view kArbiterKeys[] = {"endpoints", "key", "timeout", "ca", "certificate", "private_key"};
constexpr std::size_t kEndpointsMax = 16;
constexpr std::size_t kArbiterKeyMax = 256;
constexpr Duration kArbiterTimeoutLeast = std::chrono::milliseconds(100), kArbiterTimeoutMost = std::chrono::minutes(1);
/// A socket's path must fit into sockaddr_un with its zero.
constexpr std::size_t kSocketPathMax = 107;

std::string joined(std::span<const std::string_view> words) { return fmt::format("{}", fmt::join(words, ", ")); }

std::vector<std::string_view> keys_of(std::string_view section) {
  std::vector<std::string_view> keys;
  for (const Setting& setting : settings())
    if (setting.section == section) keys.push_back(setting.key);
  return keys;
}

std::string_view type_name(const toml::node& node) {
  switch (node.type()) {
    case toml::node_type::string: return "a string";
    case toml::node_type::integer: return "a number";
    case toml::node_type::floating_point: return "a number with a fraction";
    case toml::node_type::boolean: return "a truth value";
    case toml::node_type::array: return "an array";
    case toml::node_type::table: return "a section";
    default: return "a date or time";
  }
}

/// Letters, digits and what `more` has; starts with a letter or digit.
bool is_name(std::string_view text, std::string_view more, bool capitals, std::size_t most) {
  if (text.empty() || text.size() > most) return false;
  const auto plain = [&](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || (capitals && c >= 'A' && c <= 'Z');
  };
  return plain(text.front()) && std::ranges::all_of(text, [&](char c) { return plain(c) || more.contains(c); });
}

class Reader {
 public:
  Reader(const toml::table& root, std::string_view file) : root_(root), problems_(file) {}

  Result<Config> read() {
    read_sections();
    read_volume();
    read_settings();
    read_sites();
    read_arbiter();
    check_rules(config_, primary_, [this](std::string_view key) { return line_of(key); }, problems_);
    if (!problems_.empty()) return std::unexpected(problems_.error());
    return std::move(config_);
  }

 private:
  static std::uint32_t line(const toml::node& node) { return node.source().begin.line; }

  std::uint32_t line_of(std::string_view key) const {
    for (;;) {
      if (const auto found = lines_.find(key); found != lines_.end()) return found->second;
      const auto dot = key.rfind('.');
      if (dot == std::string_view::npos) return 0;
      key = key.substr(0, dot);
    }
  }

  /// `what` is a key or a section that is not `allowed` in `section` (empty: outside of all).
  void unknown(std::string_view what, const toml::key& key, std::string_view section,
               std::span<const std::string_view> allowed) {
    const std::uint32_t at = key.source().begin.line;
    if (problems_.full()) return problems_.add(at, {}, {});
    std::string name = section.empty() ? "" : fmt::format("{}.", section);
    name += printable(key.str(), 64);
    std::string text = fmt::format("unknown {}; allowed: {}", what, joined(allowed));
    std::string_view belongs;
    for (const Setting& setting : settings())
      if (setting.key == key.str() && setting.section != section) belongs = setting.section;
    if (const auto near = nearest(key.str(), allowed); !near.empty())
      text += fmt::format("; did you mean \"{}\"?", near);
    else if (!belongs.empty())
      text += fmt::format("; it belongs in [{}]", belongs);
    problems_.add(at, name, text);
  }

  /// Looks at what stands outside of all sections, remembers where the sections are.
  void read_sections() {
    for (const auto& [key, node] : root_) {
      const bool known = std::ranges::find(kSections, key.str()) != std::end(kSections);
      if (!known) {
        unknown(node.is_table() ? "section" : "key outside of all sections", key, {}, kSections);
      } else if (!node.is_table()) {
        problems_.add(
            line(node), key.str(),
            fmt::format("is {}; it must be a section, [{}{}]", node.is_array_of_tables() ? "a list" : type_name(node),
                        key.str(), key.str() == "site" ? ".NAME" : ""));
      } else {
        lines_[std::string(key.str())] = line(node);
      }
    }
  }

  /// The section, its unknown keys reported and the lines of the others remembered. Null: there is none.
  const toml::table* section(std::string_view name, const toml::node* node, std::span<const std::string_view> allowed) {
    const toml::table* table = node ? node->as_table() : nullptr;
    if (!table) return nullptr;
    for (const auto& [key, value] : *table) {
      if (std::ranges::find(allowed, key.str()) == allowed.end())
        unknown("key", key, name, allowed);
      else
        lines_[fmt::format("{}.{}", name, key.str())] = key.source().begin.line;
    }
    return table;
  }

  /// Key `key` of `table` as text. nullopt: missing (reported if `or_what_to_do` is not empty), or not a text
  /// (reported).
  std::optional<std::string> text_of(const toml::table& table, std::string_view section, std::string_view key,
                                     std::string_view or_what_to_do) {
    const std::string name = fmt::format("{}.{}", section, key);
    const toml::node* node = table.get(key);
    if (!node) {
      if (!or_what_to_do.empty()) problems_.add(line_of(section), name, fmt::format("is missing; {}", or_what_to_do));
      return std::nullopt;
    }
    const auto* text = node->as_string();
    if (!text) {
      problems_.add(line(*node), name, fmt::format("is {}; it must be a string", type_name(*node)));
      return std::nullopt;
    }
    const bool control = std::ranges::any_of(text->get(), [](unsigned char c) { return c < 0x20 || c == 0x7f; });
    if (control) {
      problems_.add(line(*node), name, fmt::format("{} has control characters; none are allowed", quoted(text->get())));
      return std::nullopt;
    }
    return text->get();
  }

  /// What `parser` makes of the key; its error is reported.
  template <class T>
  void parse_into(T& place, Result<T> (*parser)(std::string_view), const std::optional<std::string>& text,
                  std::string_view name) {
    if (!text) return;
    Result<T> value = parser(*text);
    if (value)
      place = std::move(*value);
    else
      problems_.add(line_of(name), name, value.error().text);
  }

  void read_volume() {
    const toml::table* table = section("volume", root_.get("volume"), kVolumeKeys);
    if (!table) {
      if (!root_.contains("volume"))
        problems_.add(0, "volume", "section [volume] is missing; it has name, id and primary of the volume");
      return;
    }
    if (const auto name = text_of(*table, "volume", "name", "write the name of the volume")) {
      if (is_name(*name, "-_.", true, 64))
        config_.volume = *name;
      else
        problems_.add(
            line_of("volume.name"), "volume.name",
            fmt::format("{} is not a name; allowed: 1 to 64 of A-Z a-z 0-9 - _ . with a letter or digit in front",
                        quoted(*name)));
    }
    const auto id =
        text_of(*table, "volume", "id",
                "it is the identity of the volume, a UUID; make one with: cat /proc/sys/kernel/random/uuid");
    parse_into(config_.volume_id, parse_uuid, id, "volume.id");
    primary_ = text_of(*table, "volume", "primary", "write the name of the site that orders all writes").value_or("");
  }

  void read_settings() {
    for (const std::string_view name : {"limits", "timing", "options"}) {
      const toml::table* table = section(name, root_.get(name), keys_of(name));
      for (const Setting& setting : settings())
        if (setting.section == name && (table || !root_.contains(name))) read_setting(setting, table);
    }
  }

  void read_setting(const Setting& setting, const toml::table* table) {
    const toml::node* node = table ? table->get(setting.key) : nullptr;
    if (!node) {
      if (setting.required)
        problems_.add(line_of(setting.section), setting.name(), fmt::format("is missing; {}", allowed(setting)));
      return;
    }
    const auto number = number_of(setting, *node);
    if (!number) return problems_.add(line(*node), setting.name(), number.error().text);
    if (*number < setting.least || *number > setting.most)
      return problems_.add(line(*node), setting.name(),
                           fmt::format("{} is out of bounds; {}", shown(setting, *number), allowed(setting)));
    if (*number % setting.step != 0)
      return problems_.add(line(*node), setting.name(),
                           fmt::format("{} is not a multiple of {}; {}", shown(setting, *number),
                                       setting.text(setting.step), allowed(setting)));
    setting.set(config_, *number);
  }

  static std::string shown(const Setting& setting, std::uint64_t number) {
    return setting.kind == Kind::count ? setting.text(number) : fmt::format("\"{}\"", setting.text(number));
  }

  static std::string allowed(const Setting& setting) {
    if (setting.kind != Kind::word)
      return fmt::format("allowed: {} to {}", shown(setting, setting.least), shown(setting, setting.most));
    return fmt::format("allowed: \"{}\"", fmt::join(setting.words, "\", \""));
  }

  /// The value of `setting`, not yet held against its bounds. The error lacks the key.
  static Result<std::uint64_t> number_of(const Setting& setting, const toml::node& node) {
    if (setting.kind == Kind::count) {
      const auto* number = node.as_integer();
      if (!number)
        return fail(Errc::invalid, fmt::format("is {}; it must be a whole number without quotation marks, {}",
                                               type_name(node), allowed(setting)));
      if (number->get() < 0)
        return fail(Errc::invalid, fmt::format("{} is out of bounds; {}", number->get(), allowed(setting)));
      return static_cast<std::uint64_t>(number->get());
    }
    const auto* text = node.as_string();
    if (!text) return fail(Errc::invalid, no_string(setting, node));
    if (setting.kind == Kind::size) return parse_size(text->get());
    if (setting.kind == Kind::duration) {
      const auto duration = parse_duration(text->get());
      if (!duration) return std::unexpected(duration.error());
      return static_cast<std::uint64_t>(duration->count());
    }
    const auto word = std::ranges::find(setting.words, text->get());
    if (word != setting.words.end()) return static_cast<std::uint64_t>(word - setting.words.begin());
    const auto near = nearest(text->get(), setting.words);
    return fail(Errc::invalid, fmt::format("{} is not known; {}{}", quoted(text->get()), allowed(setting),
                                           near.empty() ? "" : fmt::format("; did you mean \"{}\"?", near)));
  }

  static std::string no_string(const Setting& setting, const toml::node& node) {
    if (setting.kind == Kind::word) return fmt::format("is {}; {}", type_name(node), allowed(setting));
    const bool size = setting.kind == Kind::size;
    const std::string_view what = size ? "a size" : "a duration", units = size ? kSizeUnits : kDurationUnits;
    const std::string_view example = size ? "64MiB" : "500ms";
    if (node.is_number())
      return fmt::format("is a number without a unit; write {} as a string with one of {}, for example \"{}\"", what,
                         units, example);
    return fmt::format("is {}; write {} as a string with one of {}, for example \"{}\"", type_name(node), what, units,
                       example);
  }

  void read_sites() {
    const toml::node* node = root_.get("site");
    const toml::table* all = node ? node->as_table() : nullptr;
    if (!all) {
      if (!node) problems_.add(0, "site", "sections [site.NAME] are missing; a volume has exactly two sites");
      return;
    }
    // toml++ keeps keys in the order of their bytes: that is the order of sites.
    for (const auto& [key, value] : *all) {
      const std::uint32_t at = key.source().begin.line;
      if (!value.is_table())
        problems_.add(at, "site",
                      fmt::format("{} is {}; allowed: sections [site.NAME]", quoted(key.str()), type_name(value)));
      else if (!is_name(key.str(), "-", false, 32))
        problems_.add(at, "site",
                      fmt::format("{} is not a name of a site; allowed: 1 to 32 of a-z 0-9 - with a letter or digit "
                                  "in front",
                                  quoted(key.str())));
      else
        read_site(std::string(key.str()), value);
    }
  }

  void read_site(const std::string& name, const toml::node& node) {
    const std::string prefix = fmt::format("site.{}", name);
    lines_[prefix] = line(node);
    const toml::table& table = *section(prefix, &node, kSiteKeys);
    Site site;
    site.name = name;
    const auto address = text_of(table, prefix, "address", "write HOST:PORT, where the other site reaches this one");
    parse_into(site.address, parse_address, address, prefix + ".address");
    const auto area = text_of(table, prefix, "area", "write the directory of the storage area");
    parse_into(site.area, parse_path, area, prefix + ".area");
    const auto mount = text_of(table, prefix, "mount", "write the mount point of the volume");
    parse_into(site.mount, parse_path, mount, prefix + ".mount");
    auto control = text_of(table, prefix, "control", {});
    if (!control && !table.contains("control")) control = fmt::format("/run/lockstep/{}.sock", name);
    parse_into(site.control, parse_path, control, prefix + ".control");
    if (site.control.size() > kSocketPathMax)
      problems_.add(
          line_of(prefix + ".control"), prefix + ".control",
          fmt::format("{} is too long for a socket; allowed: up to {} bytes", quoted(site.control), kSocketPathMax));
    config_.sites.push_back(std::move(site));
  }

  void read_arbiter() {
    const toml::table* table = section("arbiter", root_.get("arbiter"), kArbiterKeys);
    if (!table) return;
    Arbiter& arbiter = config_.arbiter.emplace();
    read_endpoints(arbiter, table->get("endpoints"));
    arbiter.key = text_of(*table, "arbiter", "key", {}).value_or("/lockstep/" + uuid_text(config_.volume_id));
    const bool plain = std::ranges::all_of(arbiter.key, [](char c) { return c > 0x20 && c < 0x7f; });
    if (!plain || arbiter.key.empty() || arbiter.key.size() > kArbiterKeyMax)
      problems_.add(line_of("arbiter.key"), "arbiter.key",
                    fmt::format("{} can't be the register's key; allowed: 1 to {} printable bytes of ASCII without blanks",
                                quoted(arbiter.key), kArbiterKeyMax));
    parse_into(arbiter.timeout, parse_duration, text_of(*table, "arbiter", "timeout", {}), "arbiter.timeout");
    if (arbiter.timeout < kArbiterTimeoutLeast || arbiter.timeout > kArbiterTimeoutMost)
      problems_.add(line_of("arbiter.timeout"), "arbiter.timeout",
                    fmt::format("\"{}\" is out of bounds; allowed: \"{}\" to \"{}\"", duration_text(arbiter.timeout),
                                duration_text(kArbiterTimeoutLeast), duration_text(kArbiterTimeoutMost)));
    parse_into(arbiter.ca, parse_path, text_of(*table, "arbiter", "ca", {}), "arbiter.ca");
    parse_into(arbiter.certificate, parse_path, text_of(*table, "arbiter", "certificate", {}), "arbiter.certificate");
    parse_into(arbiter.private_key, parse_path, text_of(*table, "arbiter", "private_key", {}), "arbiter.private_key");
  }

  void read_endpoints(Arbiter& arbiter, const toml::node* node) {
    const auto wrong = [&](const toml::node* at, std::string_view text) {
      problems_.add(at ? line(*at) : line_of("arbiter"), "arbiter.endpoints", text);
    };
    if (!node) return wrong(nullptr, "is missing; write where etcd is reached, [\"http://HOST:PORT\", ...]");
    const auto* list = node->as_array();
    if (!list || list->empty() || list->size() > kEndpointsMax)
      return wrong(node, fmt::format("is {}; it must be a list of 1 to {} strings, [\"http://HOST:PORT\", ...]",
                                     !list           ? type_name(*node)
                                     : list->empty() ? "empty"
                                                     : "too long",
                                     kEndpointsMax));
    for (const toml::node& item : *list) {
      const auto* text = item.as_string();
      if (!text) return wrong(&item, fmt::format("has {} in it; each endpoint must be a string", type_name(item)));
      const auto endpoint = parse_endpoint(text->get());
      if (!endpoint)
        wrong(&item, endpoint.error().text);
      else if (std::ranges::find(arbiter.endpoints, *endpoint) != arbiter.endpoints.end())
        wrong(&item, fmt::format("{} comes twice", quoted(*endpoint)));
      else
        arbiter.endpoints.push_back(*endpoint);
    }
  }

  const toml::table& root_;
  Problems problems_;
  Config config_;
  std::string primary_;
  std::map<std::string, std::uint32_t, std::less<>> lines_;
};

bool is_unexpected(std::string_view text) {
  try {
    static_cast<void>(toml::parse(text));
  } catch (const Unexpected&) {
    return true;
  } catch (const toml::parse_error&) {
  }
  return false;
}

/// The line at which toml++ comes upon what it did not expect: the first one that makes the lines up to it unexpected.
std::uint32_t line_of_unexpected(std::string_view text) {
  std::vector<std::size_t> ends;
  for (std::size_t at = text.find('\n'); at != std::string_view::npos; at = text.find('\n', at + 1)) ends.push_back(at);
  const auto first =
      std::ranges::partition_point(ends, [&](std::size_t end) { return !is_unexpected(text.substr(0, end)); });
  return static_cast<std::uint32_t>(first - ends.begin()) + 1;
}

}  // namespace

Result<Config> parse(std::string_view text, std::string_view file) {
  if (text.size() > kFileBytesMax)
    return fail(Errc::invalid, fmt::format("{}: the file is larger than {}; this is no configuration of Lockstep", file,
                                           size_text(kFileBytesMax)));
  const auto plain = first_look(text);
  if (!plain) return fail(Errc::invalid, fmt::format("{}:{}: {}", file, plain.error().line, plain.error().text));
  try {
    const toml::table root = toml::parse(*plain, file);
    return Reader(root, file).read();
  } catch (const toml::parse_error& wrong) {
    return fail(Errc::invalid,
                fmt::format("{}:{}: {}", file, wrong.source().begin.line, printable(wrong.description(), 300)));
  } catch (const Unexpected&) {
    return fail(Errc::invalid,
                fmt::format("{}:{}: not TOML: the name of a section or key must be of A-Z a-z 0-9 _ - or stand in "
                            "quotation marks",
                            file, line_of_unexpected(*plain)));
  } catch (const std::exception& wrong) {
    return fail(Errc::invalid, fmt::format("{}: can't be read: {}", file, printable(wrong.what(), 300)));
  }
}

}  // namespace lockstep::config
