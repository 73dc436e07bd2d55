// operation_codec.h - what a host asked for, and what became of it.
#pragma once

#include "wire/parts_codec.h"

namespace lockstep::wire {

[[nodiscard]] Packed<schema::Operation> pack(Builder& builder, const Operation& operation);
/// Refuses kinds, names, texts and lengths that OpKind and bounds.h do not allow.
void unpack(const schema::Operation& packed, Operation& into, Faults& faults);

[[nodiscard]] Packed<schema::Outcome> pack(Builder& builder, const Outcome& outcome);
/// Absent: success. Refuses what is not an errno.
void unpack(const schema::Outcome* packed, Outcome& into, Faults& faults);

}  // namespace lockstep::wire
