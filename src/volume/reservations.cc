#include "volume/reservations.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

namespace lockstep::volume {
namespace {

constexpr std::uint64_t kToTheEnd = ~std::uint64_t{0};

/// End of a turn's range; a count that would pass the end of numbers means "to the end".
std::uint64_t end_of(const wire::Turn& turn) {
  return turn.first + turn.count < turn.first ? kToTheEnd : turn.first + turn.count;
}

Reservations::Place place_of(const Reservation& r) { return {r.object, r.first, r.count}; }

}  // namespace

bool overlap(const wire::Turn& a, const wire::Turn& b) {
  return a.object == b.object && a.kind == b.kind && a.first < end_of(b) && b.first < end_of(a);
}

wire::Turn data_turn(InodeId inode, std::uint64_t offset, std::uint64_t length) {
  const std::uint64_t first = offset / kBlockBytes;
  if (length > kToTheEnd - kBlockBytes - offset) return {wire::Turn::Kind::data, inode, first, kToTheEnd};
  const std::uint64_t end = (offset + length + kBlockBytes - 1) / kBlockBytes;
  return {wire::Turn::Kind::data, inode, first, std::max<std::uint64_t>(end, first + 1) - first};
}

std::string text_of(const wire::Turn& turn) {
  if (turn.kind == wire::Turn::Kind::tree) return "tree";
  if (turn.kind == wire::Turn::Kind::data) {
    if (turn.count == ~std::uint64_t{0}) return fmt::format("blocks {}-", turn.first);
    return fmt::format("blocks {}-{}", turn.first, turn.first + turn.count - (turn.count > 0 ? 1 : 0));
  }
  if (turn == attributes_turn(turn.object)) return "attributes";
  if (turn == locks_turn(turn.object)) return "locks";
  if (turn == reservations_turn(turn.object)) return "reservations";
  return fmt::format("name {:016x}", turn.first);
}

std::vector<wire::Turn> turns_of(const Reservation& r) {
  if (r.tree) return {tree_turn(r.object), attributes_turn(r.object)};
  std::vector<wire::Turn> turns{{wire::Turn::Kind::data, r.object, r.first, r.count}};
  if (r.whole()) turns.push_back(attributes_turn(r.object));
  return turns;
}

Result<ByteRange> parse_byte_range(std::string_view text) {
  const auto wrong = [&] {
    return fail(Errc::invalid, fmt::format("\"{}\" is no range of bytes; give FIRST-LAST or FIRST-, for example 0-4095", text));
  };
  std::uint64_t first = 0, last = kFileBytesMax - 1;
  const char* const end = text.data() + text.size();
  const auto [dash, bad] = std::from_chars(text.data(), end, first);
  if (bad != std::errc{} || dash == end || *dash != '-') return wrong();
  if (dash + 1 != end) {
    const auto [behind, bad_too] = std::from_chars(dash + 1, end, last);
    if (bad_too != std::errc{} || behind != end) return wrong();
  }
  if (last < first || last >= kFileBytesMax) return wrong();
  return ByteRange{first, last - first + 1};
}

std::string byte_range_text(const Reservation& r) {
  if (r.whole()) return "all";
  if (r.count >= kFileBytesMax / kBlockBytes - r.first) return fmt::format("{}-", r.first * kBlockBytes);
  return fmt::format("{}-{}", r.first * kBlockBytes, (r.first + r.count) * kBlockBytes - 1);
}

void Reservations::put(Reservation reservation) {
  erase(reservation);
  trees_ += reservation.tree ? 1 : 0;
  const Place place = place_of(reservation);
  all_.emplace(place, std::move(reservation));
  ++moment_;
}

void Reservations::erase(const Reservation& reservation) {
  const auto found = all_.find(place_of(reservation));
  if (found == all_.end()) return;
  trees_ -= found->second.tree ? 1 : 0;
  all_.erase(found);
  ++moment_;
}

void Reservations::clear() {
  all_.clear();
  trees_ = 0;
  ++moment_;
}

std::vector<const Reservation*> Reservations::of(InodeId object) const {
  std::vector<const Reservation*> found;
  for (auto it = all_.lower_bound(Place{object, 0, 0}); it != all_.end() && it->second.object == object; ++it) {
    found.push_back(&it->second);
  }
  return found;
}

const Reservation* Reservations::find(InodeId object, std::uint64_t first, std::uint64_t count) const {
  const auto found = all_.find(Place{object, first, count});
  return found == all_.end() ? nullptr : &found->second;
}

}  // namespace lockstep::volume
