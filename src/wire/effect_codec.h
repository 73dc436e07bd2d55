// effect_codec.h - what a request changes: the body of Mirror, Commit and Record, and the record of the log.
//
// Rules beyond bounds.h, refused when broken:
//   (1) Every write has bytes and ends within an area.
//   (2) There is one checksum for each block of each write, write by write.
//   (3) What the writes take of the payload is at most a payload.
//   (4) Only a drop of a name has a name, and one that a directory can hold.
#pragma once

#include "wire/parts_codec.h"

namespace lockstep::wire {

enum class Target {
  wire,
  log,  ///< without the turns
};
[[nodiscard]] Packed<schema::Effect> pack(Builder& builder, const Effect& effect, Target target);
void unpack(const schema::Effect& packed, Effect& into, Faults& faults);

/// Refuses an effect that has no place in the order. A Record may: it then carries blocks that were in flight.
void require_seq(const Effect& effect, Faults& faults);

/// Bytes of payload that `effect` writes.
[[nodiscard]] std::uint64_t payload_bytes(const Effect& effect);

}  // namespace lockstep::wire
