// batch_codec.h - a key batch as one vector of bytes. wire.fbs, Effect.batch, has the layout.
#pragma once

#include "wire/parts_codec.h"

namespace lockstep::wire {

/// An empty batch is left out. Requires: keys, values and their number are within bounds.h.
[[nodiscard]] PackedBytes pack_batch(Builder& builder, const KeyBatch& batch);
/// Refuses empty keys, lengths over bounds.h, and bytes that are left over or missing.
void unpack_batch(const flatbuffers::Vector<std::uint8_t>* packed, KeyBatch& into, Faults& faults);

}  // namespace lockstep::wire
