// record_reader.h - reads the records of the log's ring one after the other, and knows where they end.
#pragma once

#include <vector>

#include "area/log_format.h"
#include "core/result.h"
#include "runtime/disk.h"

namespace lockstep::area {

/// A place between two records of the ring, and what the one behind it must say.
struct Place {
  std::uint64_t position = 0;
  Seq previous;           ///< seq of the record before
  std::uint64_t run = 0;  ///< the record behind has no lower run
};

class RecordReader {
 public:
  /// Reads from `from`, no record that ends behind `end`. `file` outlives it.
  RecordReader(runtime::File& file, std::uint64_t ring_bytes, Place from, std::uint64_t end)
      : file_(file), ring_bytes_(ring_bytes), place_(from), end_(end) {}

  /// Goes to the next record or note. False: there is none at place() (log_format.h has the rule). Errc::io. Suspends.
  runtime::Task<Result<bool>> next();

  // Of the record or note that next() went to:
  [[nodiscard]] bool is_note() const { return header_.magic == RecordHeader::kNoteMagic; }
  /// Of a note: of the record before it.
  [[nodiscard]] Seq seq() const { return Seq{header_.seq}; }
  [[nodiscard]] Place before() const { return before_; }
  /// Valid until next().
  [[nodiscard]] Bytes body() const { return body_; }

  /// Behind it.
  [[nodiscard]] Place place() const { return place_; }
  [[nodiscard]] std::uint64_t end() const { return end_; }
  /// What to say where a record must be and is not.
  [[nodiscard]] Error damaged() const;

 private:
  static constexpr std::uint64_t kWindowBytes = 1u << 20;
  /// Makes the window hold `need` bytes from `position`, which end before end_. Suspends.
  runtime::Task<Result<>> fill(std::uint64_t position, std::uint64_t need);
  [[nodiscard]] Bytes window(std::uint64_t position, std::uint64_t length) const {
    return Bytes(window_).subspan(position - window_at_, length);
  }

  runtime::File& file_;
  std::uint64_t ring_bytes_;
  Place place_;
  std::uint64_t end_;
  RecordHeader header_{};
  Place before_;
  Bytes body_;
  std::vector<std::byte> window_;
  std::uint64_t window_at_ = 0;
};

}  // namespace lockstep::area
