#include "area/slots.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <cstring>

#include "core/check.h"
#include "core/checksum.h"

namespace lockstep::area {

std::uint64_t slot_check(const Slot& slot) {
  return checksum(std::as_bytes(std::span(&slot, 1)).first(offsetof(Slot, check))) | 1;
}

Slots::Slots(std::unique_ptr<runtime::Mapping> mapping, std::uint64_t blocks) : mapping_(std::move(mapping)) {
  for (std::size_t i = kSlots; i-- > 0;) {
    const auto slot = static_cast<std::uint16_t>(i);
    Slot s;
    std::memcpy(&s, at(slot), sizeof s);
    const bool marked = s.check == slot_check(s) && s.count > 0 && s.first < blocks && s.count <= blocks - s.first;
    if (marked) {
      found_.emplace_back(Seq{s.seq}, BlockRange{s.first, s.count});
      found_slots_.push_back(slot);
    } else {
      if (s.check != 0) erase(slot);
      free_.push_back(slot);
    }
  }
  std::ranges::sort(found_, [](const auto& a, const auto& b) {
    return std::tuple(a.first, a.second.first) < std::tuple(b.first, b.second.first);
  });
}

runtime::Task<Result<std::unique_ptr<Slots>>> Slots::open(std::unique_ptr<runtime::Mapping> mapping, std::uint64_t blocks) {
  if (mapping->bytes().size() < kInFlightBytes) {
    co_return fail(Errc::corrupt, fmt::format("inflight: {} bytes expected, {} found", kInFlightBytes,
                                              mapping->bytes().size()));
  }
  Result<> prepared = co_await mapping->prepare({0, kInFlightBytes});
  if (!prepared) co_return std::unexpected(std::move(prepared.error()));
  co_return std::unique_ptr<Slots>(new Slots(std::move(mapping), blocks));
}

void Slots::store(std::uint16_t slot, Seq seq, BlockRange blocks) {
  Slot s{seq.value, blocks.first, blocks.count, 0};
  s.check = slot_check(s);
  std::memcpy(at(slot), &s, offsetof(Slot, check));
  // A kill comes between two instructions of this thread: the order of the stores is all that is needed.
  std::atomic_signal_fence(std::memory_order_seq_cst);
  std::memcpy(at(slot) + offsetof(Slot, check), &s.check, sizeof s.check);
}

void Slots::erase(std::uint16_t slot) {
  const std::uint64_t none = 0;
  std::memcpy(at(slot) + offsetof(Slot, check), &none, sizeof none);
  std::atomic_signal_fence(std::memory_order_seq_cst);
}

Result<> Slots::mark(Seq seq, std::span<const BlockRange> blocks) {
  if (blocks.size() > free_.size())
    return fail(Errc::busy, fmt::format("{} writes are in flight, no slot is free", kSlots - free_.size()));
  if (blocks.empty()) return {};
  auto [it, fresh] = taken_.try_emplace(seq);
  CHECK(fresh);
  it->second.reserve(blocks.size());
  for (const BlockRange& range : blocks) {
    const std::uint16_t slot = free_.back();
    free_.pop_back();
    store(slot, seq, range);
    it->second.push_back(slot);
  }
  return {};
}

void Slots::clear(Seq seq) {
  const auto it = taken_.find(seq);
  if (it == taken_.end()) return;
  for (std::uint16_t slot : it->second) {
    erase(slot);
    free_.push_back(slot);
  }
  taken_.erase(it);
}

void Slots::clear_found() {
  for (std::uint16_t slot : found_slots_) {
    erase(slot);
    free_.push_back(slot);
  }
  found_slots_.clear();
  found_.clear();
}

}  // namespace lockstep::area
