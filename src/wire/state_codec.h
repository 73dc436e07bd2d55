// state_codec.h - memberships and what a site remembers of them, to and from their form in the schema.
#pragma once

#include "wire/parts_codec.h"

namespace lockstep::wire {

[[nodiscard]] PackedStructs<schema::EpochEntry> pack_history(Builder& builder, const std::vector<EpochEntry>& history);
/// Sites that no volume has are refused; whether it is a history is for the controller to say.
void unpack_history(const flatbuffers::Vector<const schema::EpochEntry*>* packed, std::vector<EpochEntry>& into, Faults& faults);

[[nodiscard]] PackedStructs<schema::Uuid> pack_stores(Builder& builder, const std::vector<Uuid>& stores);
void unpack_stores(const flatbuffers::Vector<const schema::Uuid*>* packed, std::vector<Uuid>& into, Faults& faults);

[[nodiscard]] Packed<schema::SiteState> pack(Builder& builder, const SiteState& state);
/// Absent: as it is by default.
void unpack(const schema::SiteState* packed, SiteState& into, Faults& faults);

}  // namespace lockstep::wire
