// log_format.h - the bytes of the file `log`.
//
//   0              header, copy 0, one block
//   4096           header, copy 1, one block
//   8192           the ring: records one behind the other, each from a multiple of 8; one may go on at the ring's start
//
// A *position* counts the bytes ever written to the ring: position p stands at byte 8192 + p mod ring bytes of the file. It
// never goes back, so a record of an older lap is known by its position. A *run* is one opening of the log; its number is
// stable before the run's first record.
//
// A *note* looks like a record with another magic and the seq of the record before it: it has none of its own, and goes
// when that record goes. Its body: ranges of blocks that are stable as their files' blocks (first, count; 8 bytes each).
//
// A record (or note) is there if: its magic, length and checksum are good; it says the position it stands at; it names the seq
// of the record before it; its run is not lower than that of the record before it. Reading begins at the header's
// `first_position` and ends at the first place where no record is. What an earlier run left behind the end is
// never taken for a continuation: a record written there since has a higher run.
#pragma once

#include <array>
#include <bit>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "core/types.h"

namespace lockstep::area {

inline constexpr std::uint64_t kLogRingOffset = 2 * kBlockBytes;
inline constexpr std::uint64_t kLogBytesMin = 16 * kBlockBytes;
inline constexpr std::uint64_t kRecordAlignment = 8;
inline constexpr std::uint64_t kRecordBodyBytesMax = 8u << 20;

/// How far the log had come: grows over its whole life, whatever died in between.
struct LogPoint {
  std::uint64_t run = 0;
  std::uint64_t position = 0;  ///< where the next record was to begin
  constexpr auto operator<=>(const LogPoint&) const = default;
};
static_assert(sizeof(LogPoint) == 16 && std::has_unique_object_representations_v<LogPoint>);

struct LogHeaderBytes {
  static constexpr std::array<char, 8> kMagic{'L', 'K', 'S', 'T', 'P', 'L', 'O', 'G'};

  std::array<char, 8> magic;
  std::uint64_t generation;
  std::uint64_t run;             ///< of the last opening
  std::uint64_t first_position;  ///< of the first record that is needed
  std::uint64_t forgotten;       ///< seq of the last record before that
  std::uint64_t ring_bytes;
  std::uint64_t first_run;       ///< no record from first_position on has a lower run
  std::uint64_t checksum;        ///< XXH3-64 of all bytes before it
};
static_assert(sizeof(LogHeaderBytes) == 64 && std::has_unique_object_representations_v<LogHeaderBytes>);
static_assert(offsetof(LogHeaderBytes, first_position) == 24 && offsetof(LogHeaderBytes, checksum) == 56);

struct RecordHeader {
  static constexpr std::uint32_t kMagic = 0x4345524C;      ///< "LREC"
  static constexpr std::uint32_t kNoteMagic = 0x544F4E4C;  ///< "LNOT"

  std::uint64_t checksum;  ///< XXH3-64 of the rest of this header and the body
  std::uint32_t magic;
  std::uint32_t length;    ///< of the body; zeros fill up to the next multiple of 8
  std::uint64_t seq;       ///< of a note: `previous`
  std::uint64_t previous;  ///< seq of the record before
  std::uint64_t position;
  std::uint64_t run;
};
static_assert(sizeof(RecordHeader) == 48 && std::has_unique_object_representations_v<RecordHeader>);
static_assert(offsetof(RecordHeader, magic) == 8 && offsetof(RecordHeader, seq) == 16);
static_assert(offsetof(RecordHeader, position) == 32 && offsetof(RecordHeader, run) == 40);

/// What a record with a body of `length` takes in the ring.
constexpr std::uint64_t record_bytes(std::uint64_t length) {
  return (sizeof(RecordHeader) + length + kRecordAlignment - 1) / kRecordAlignment * kRecordAlignment;
}

}  // namespace lockstep::area
