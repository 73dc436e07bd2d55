// arbiter_record.h - what the arbiter's register holds: the history of the volume's memberships, as JSON that people can read.
//
//   {"volume": "...", "epoch": 7, "primary": "east", "in_sync": ["east", "west"], "history": [...], "stores": [...]}
//
// Only `history` and `stores` count; the rest is for people. Bytes of the register are untrusted.
#pragma once

#include <string>
#include <vector>

#include "controller/membership.h"

namespace lockstep::controller {

struct ArbiterRecord {
  std::vector<EpochEntry> history;  ///< the last kArbiterEntries of it
  std::vector<Uuid> stores;
};

inline constexpr std::size_t kArbiterEntries = 64;

/// `names` by SiteId.
[[nodiscard]] std::string encode(const ArbiterRecord& record, const std::string& volume, const std::vector<std::string>& names);
/// Errc::invalid: not such a record (what, where); Membership::make() has looked at the history.
[[nodiscard]] Result<ArbiterRecord> decode_arbiter_record(const std::string& text);

}  // namespace lockstep::controller
