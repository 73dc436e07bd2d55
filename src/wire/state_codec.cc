#include "wire/state_codec.h"

namespace lockstep::wire {

PackedStructs<schema::EpochEntry> pack_history(Builder& builder, const std::vector<EpochEntry>& history) {
  return pack_structs<schema::EpochEntry>(builder, history, [](const EpochEntry& e) {
    return schema::EpochEntry(e.number.value, e.base.value, pack(e.id), e.in_sync.bits(), e.primary.value, e.forced);
  });
}

void unpack_history(const flatbuffers::Vector<const schema::EpochEntry*>* packed, std::vector<EpochEntry>& into, Faults& faults) {
  unpack_structs(packed, kHistoryMax, into, "history", faults, [&](const schema::EpochEntry& from) {
    EpochEntry entry;
    entry.number = Epoch(from.number());
    entry.base = Seq(from.base());
    entry.id = unpack(&from.id());
    entry.in_sync = SiteSet::from_bits(from.in_sync());
    entry.primary = SiteId(from.primary());
    entry.forced = from.forced();
    faults.require(from.primary() < kSitesMax, "history", "a site that no volume has");
    return entry;
  });
}

PackedStructs<schema::Uuid> pack_stores(Builder& builder, const std::vector<Uuid>& stores) {
  return pack_structs<schema::Uuid>(builder, stores, [](const Uuid& id) { return pack(id); });
}

void unpack_stores(const flatbuffers::Vector<const schema::Uuid*>* packed, std::vector<Uuid>& into, Faults& faults) {
  unpack_structs(packed, kSitesMax, into, "stores", faults, [](const schema::Uuid& id) { return unpack(&id); });
}

Packed<schema::SiteState> pack(Builder& builder, const SiteState& state) {
  const auto history = pack_history(builder, state.history);
  const auto stores = pack_stores(builder, state.stores);
  const auto proposal = pack_history(builder, state.proposal);
  return schema::CreateSiteState(builder, history, stores, state.wrote.value, state.unproven, state.incomplete,
                                 state.armed, state.promised, state.data_lost.value, state.discards, proposal, state.proposal_revision, state.left);
}

void unpack(const schema::SiteState* packed, SiteState& into, Faults& faults) {
  if (packed == nullptr) return;
  unpack_history(packed->history(), into.history, faults);
  unpack_stores(packed->stores(), into.stores, faults);
  into.wrote = Epoch(packed->wrote());
  into.unproven = packed->unproven();
  into.incomplete = packed->incomplete();
  into.armed = packed->armed();
  into.promised = packed->promised();
  into.data_lost = Seq(packed->data_lost());
  into.discards = packed->discards();
  unpack_history(packed->proposal(), into.proposal, faults);
  faults.require(into.proposal.size() <= 1, "proposal", "more than one");
  into.proposal_revision = packed->proposal_revision();
  into.left = packed->left();
}

}  // namespace lockstep::wire
