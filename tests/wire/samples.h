// samples.h - a valid message of each type with every field set, and the ones that the benchmark counts.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "wire/messages.h"

namespace lockstep::wire::samples {

struct Sample {
  std::string name;  ///< of its golden file
  Message message;
  std::uint32_t payload_bytes = 0;
};

/// At least one of each type; the same at each call.
[[nodiscard]] std::vector<Sample> all();
/// Every field set, valid, with a payload of kEffectPayloadBytes.
[[nodiscard]] Effect full_effect();
inline constexpr std::uint32_t kEffectPayloadBytes = 6000;

/// A history of two entries, and all the rest set.
[[nodiscard]] SiteState site_state();
/// An overwrite of one block: 4096 bytes of payload.
[[nodiscard]] Effect overwrite();
/// What a create changes: a batch of five keys.
[[nodiscard]] Effect creation();

}  // namespace lockstep::wire::samples
