// rules.h - what must be true of a storage area, as one table: lockstep(1), "RULES OF FSCK", repeats it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace lockstep::fsck {

enum class Rule : std::uint8_t {
  // The files of the area.
  superblock_copy,
  file_bytes,
  log_header,
  log_record,
  log_gap,
  // Each key for itself.
  key,
  value,
  entry_place,
  // Names and objects.
  entry_target,
  entry_type,
  root,
  links,
  nameless,
  orphan,
  parent,
  directory_names,
  loop,
  ownerless,
  // Each object with what belongs to it.
  directory_entries,
  directory_links,
  kind,
  chunk,
  blocks,
  xattrs,
  // Space.
  extent_bounds,
  overlap,
  reverse_key,
  reverse_stray,
  group_free,
  // Counters.
  inode_bound,
  next_inode,
  files,
  // Contents, with --data.
  bad_block,
  // Advisory locks.
  locks,
  // Reservations.
  reservation,
  // Access control lists.
  acl,
};

inline constexpr std::size_t kRuleCount = static_cast<std::size_t>(Rule::acl) + 1;

struct RuleText {
  Rule rule{};
  std::string_view name;   ///< as findings and the man page print it
  std::string_view says;   ///< what is true of a sound area
  std::string_view mends;  ///< what --repair does; empty: nothing, the other site has what is needed
};

/// All rules, in order; the number of a rule is its place, counted from 1.
[[nodiscard]] std::span<const RuleText> rules();
[[nodiscard]] const RuleText& text_of(Rule rule);
[[nodiscard]] constexpr unsigned number_of(Rule rule) { return static_cast<unsigned>(rule) + 1; }

}  // namespace lockstep::fsck
