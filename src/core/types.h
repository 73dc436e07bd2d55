// types.h - the small types that every layer uses: identities, sequence numbers, ranges.
//
// Identities are distinct types, so that a site can't be passed where a sequence number is due. They compare, hash and
// convert explicitly, and do nothing else.
#pragma once

#include <array>
#include <chrono>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <span>

namespace lockstep {

/// The unit of status, checksum and allocation, in bytes.
inline constexpr std::uint64_t kBlockBytes = 4096;

template <class Tag, class Rep>
struct Strong {
  Rep value{};
  constexpr Strong() = default;
  constexpr explicit Strong(Rep v) : value(v) {}
  constexpr auto operator<=>(const Strong&) const = default;
};

/// Position of a site in the configuration's sorted list of sites.
using SiteId = Strong<struct SiteIdTag, std::uint8_t>;
/// Number of a file, directory or other object; never used twice in one volume. 1 is the root, 0 is none.
using InodeId = Strong<struct InodeIdTag, std::uint64_t>;
/// Number of the membership in force.
using Epoch = Strong<struct EpochTag, std::uint64_t>;
/// Place of an effect in the primary's one order. 0 is before every effect. The upper bits are the epoch in which it was
/// given, so whatever a deposed primary still numbered is below everything of a later epoch.
using Seq = Strong<struct SeqTag, std::uint64_t>;

inline constexpr unsigned kSeqEpochShift = 40;
/// The first effect of `epoch`.
constexpr Seq first_seq_of(Epoch epoch) { return Seq{(epoch.value << kSeqEpochShift) + 1}; }
constexpr Epoch epoch_of(Seq seq) { return Epoch{seq.value >> kSeqEpochShift}; }

/// Some of the sites of a volume.
class SiteSet {
 public:
  static constexpr std::uint8_t kSitesMax = 32;
  constexpr SiteSet() = default;
  constexpr SiteSet(std::initializer_list<SiteId> sites) {
    for (const SiteId site : sites) add(site);
  }
  static constexpr SiteSet from_bits(std::uint32_t bits) {
    SiteSet set;
    set.bits_ = bits;
    return set;
  }
  [[nodiscard]] constexpr std::uint32_t bits() const { return bits_; }
  [[nodiscard]] constexpr bool has(SiteId site) const { return site.value < kSitesMax && (bits_ >> site.value & 1) != 0; }
  [[nodiscard]] constexpr bool empty() const { return bits_ == 0; }
  constexpr void add(SiteId site) { bits_ |= std::uint32_t{1} << site.value; }
  constexpr void remove(SiteId site) { bits_ &= ~(std::uint32_t{1} << site.value); }
  constexpr bool operator==(const SiteSet&) const = default;

 private:
  std::uint32_t bits_ = 0;
};

inline constexpr InodeId kRootInode{1};
inline constexpr InodeId kNoInode{0};

/// 128 random bits: a volume, a formatted area (store id), a start of a daemon.
struct Uuid {
  std::array<std::uint8_t, 16> bytes{};
  constexpr auto operator<=>(const Uuid&) const = default;
  [[nodiscard]] constexpr bool is_nil() const { return *this == Uuid{}; }
};

/// Identity of one request of a host: exactly one effect ever carries it (R5).
struct RequestId {
  SiteId site{};
  std::uint64_t boot = 0;  ///< random, new at each start of the site's daemon
  std::uint64_t n = 0;     ///< counts up from 1 in that start
  constexpr auto operator<=>(const RequestId&) const = default;
};

/// Bytes [offset, offset + length) of a file or of the area; the context says which.
struct ByteRange {
  std::uint64_t offset = 0;
  std::uint64_t length = 0;
  [[nodiscard]] constexpr std::uint64_t end() const { return offset + length; }
  [[nodiscard]] constexpr bool empty() const { return length == 0; }
  constexpr bool operator==(const ByteRange&) const = default;
};

/// Blocks [first, first + count) of the area.
struct BlockRange {
  std::uint64_t first = 0;
  std::uint64_t count = 0;
  [[nodiscard]] constexpr std::uint64_t end() const { return first + count; }
  [[nodiscard]] constexpr bool overlaps(const BlockRange& o) const { return first < o.end() && o.first < end(); }
  constexpr bool operator==(const BlockRange&) const = default;
};

using Bytes = std::span<const std::byte>;
using MutableBytes = std::span<std::byte>;

using Duration = std::chrono::nanoseconds;
/// A point on a clock that only goes forward and counts suspended time; its zero means nothing.
struct Instant {
  std::int64_t ns = 0;
  constexpr auto operator<=>(const Instant&) const = default;
  constexpr Instant operator+(Duration d) const { return Instant{ns + d.count()}; }
  constexpr Duration operator-(Instant o) const { return Duration{ns - o.ns}; }
};
/// Nanoseconds since 1970, as files' times store it.
using WallTime = Strong<struct WallTimeTag, std::int64_t>;

}  // namespace lockstep

template <class Tag, class Rep>
struct std::hash<lockstep::Strong<Tag, Rep>> {
  std::size_t operator()(const lockstep::Strong<Tag, Rep>& s) const noexcept { return std::hash<Rep>{}(s.value); }
};
template <>
struct std::hash<lockstep::RequestId> {
  std::size_t operator()(const lockstep::RequestId& r) const noexcept {
    return std::hash<std::uint64_t>{}(r.boot * 0x9E3779B97F4A7C15u + r.n * 31 + r.site.value);
  }
};
