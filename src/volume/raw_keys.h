// raw_keys.h - keys of the volume as they stand in the store, for a site that is made equal to another (the source).
//
//   source   at one place of the stream of effects: snapshot(), then the values of `kCountsKey` and of ranges of shared
//   keys target   apply_raw() of what differs, absent keys too; then reload(seq of that place)
//
// Keys that start with a zero byte belong to one site. One of them travels all the same: what a site counted on its way
// (objects, the next inode number) is the same at every site after the same effects, and can't be told from the other
// keys.
#pragma once

#include <string>
#include <string_view>

#include "volume/keys_format.h"

namespace lockstep::volume {

/// Key whose value the target asks of the source beside the shared ones, and hands to apply_raw(); without a value: the
/// source has applied nothing since it was formatted.
inline constexpr std::string_view kCountsKey = kSeqKey;

/// The key is the same at every site after the same effects.
[[nodiscard]] constexpr bool shared_key(std::string_view key) { return !key.empty() && key[0] != '\0'; }
/// Every shared key that this program writes is in it.
[[nodiscard]] inline KeySpan shared_keys() { return {std::string(1, '\x01'), std::string(16, '\xff')}; }

}  // namespace lockstep::volume
