// slots.h - the file `inflight`: a fixed number of slots in mapped memory, each a range of blocks and the seq that writes it.
//
//   slot: seq, first block, count, check     4 x 8 bytes; check 0: free
//
// `check` is stored last and taken away first, so a kill between two stores leaves a free slot. It depends on the other
// three: what a loss of power tore is not taken for a mark. What a mark loses thereby was not begun (mark comes before
// write). One range takes one slot. No call here makes a system call or waits, once open() has touched the file.
#pragma once

#include <memory>
#include <unordered_map>

#include "area/area.h"

namespace lockstep::area {

inline constexpr std::size_t kSlots = 4096;

struct Slot {
  std::uint64_t seq;
  std::uint64_t first;
  std::uint64_t count;
  std::uint64_t check;
};
static_assert(sizeof(Slot) == 32);
inline constexpr std::uint64_t kInFlightBytes = kSlots * sizeof(Slot);

/// Never 0.
[[nodiscard]] std::uint64_t slot_check(const Slot& slot);

class Slots final : public InFlight {
 public:
  /// Reads what is marked. `blocks`: of the area; marks outside are not marks. Errc::corrupt: the file is too short. Suspends.
  static runtime::Task<Result<std::unique_ptr<Slots>>> open(std::unique_ptr<runtime::Mapping> mapping, std::uint64_t blocks);

  [[nodiscard]] Result<> mark(Seq seq, std::span<const BlockRange> blocks) override;
  void clear(Seq seq) override;
  [[nodiscard]] const std::vector<std::pair<Seq, BlockRange>>& found() const override { return found_; }
  void clear_found() override;

  [[nodiscard]] std::size_t free_slots() const { return free_.size(); }

 private:
  Slots(std::unique_ptr<runtime::Mapping> mapping, std::uint64_t blocks);
  [[nodiscard]] std::byte* at(std::uint16_t slot) { return mapping_->bytes().data() + slot * sizeof(Slot); }
  void store(std::uint16_t slot, Seq seq, BlockRange blocks);
  void erase(std::uint16_t slot);

  std::unique_ptr<runtime::Mapping> mapping_;
  std::vector<std::uint16_t> free_;
  std::unordered_map<Seq, std::vector<std::uint16_t>> taken_;  ///< never iterated
  std::vector<std::pair<Seq, BlockRange>> found_;
  std::vector<std::uint16_t> found_slots_;
};

}  // namespace lockstep::area
