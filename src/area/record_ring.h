// record_ring.h - the file `log` as a ring of records of bytes, in the order of their seq.
//
//   forgotten | records, stable | records, written | records in memory | free
//             first             synced             written             end
//
// Invariants:
//   (1) first <= synced <= written <= end <= first + ring bytes - kSlack, where `first` is what both copies of the header say,
//       stable. So nothing that a recovery may need is ever written over.
//   (2) Seqs grow along the ring.
//   (3) After a crash of the process every written record is there; after a loss of power every synced one, and no record
//       that does not follow the one before it (log_format.h has the rule).
//   (4) The first thing in it is a record.
//   (5) Whole blocks are written, from the one that holds the end of what was written before, filled up with zeros: the part of a block
//       would have the medium read, where the system below has forgotten it.
//   (6) After a failed write or sync every later one answers the same error.
//
// It knows no effects; what a record's bytes mean is area_log.h's.
#pragma once

#include <algorithm>
#include <deque>
#include <memory>
#include <optional>
#include <vector>

#include "area/failure.h"
#include "area/log_format.h"
#include "area/record_reader.h"
#include "core/result.h"
#include "runtime/disk.h"
#include "runtime/sync.h"

namespace lockstep::area {

class RecordRing {
 public:
  /// Between the end and the first record of the round before: so they never share a block.
  static constexpr std::uint64_t kSlack = 2 * kBlockBytes;
  struct Record {
    Seq seq;
    std::vector<std::byte> body;
  };

  /// Writes the headers of an empty ring into a file of zeros, of which `log_bytes` are used. Suspends. Requires:
  /// log_bytes >= kLogBytesMin, whole blocks, not more than the file has (so for open()).
  static runtime::Task<Result<>> format(runtime::File& file, std::uint64_t log_bytes);
  /// Finds the records, makes what was found stable, begins a run. Errc::corrupt: both headers are bad. One bad header is
  /// written again, with a warning. Suspends.
  static runtime::Task<Result<std::unique_ptr<RecordRing>>> open(std::unique_ptr<runtime::File> file, std::uint64_t log_bytes,
                                                                 runtime::Scheduler& scheduler, Failure& failure);

  /// Last record known to be on the medium, be it forgotten since.
  [[nodiscard]] Seq stable() const { return stable_; }
  [[nodiscard]] Seq last() const { return last_; }
  [[nodiscard]] Seq first() const { return marks_.empty() ? Seq{} : marks_.front().seq; }
  /// Last record that is not there any more; 0: none.
  [[nodiscard]] Seq forgotten() const { return forgotten_; }
  /// Errc::busy: no room; Errc::invalid: larger than the ring. Requires: seq > last().
  [[nodiscard]] Result<> append(Seq seq, Bytes body);
  /// Whoever has the same records was told stable(), and may forget what stands before.
  void told() { told_ = synced_; }
  /// Such a ring may have no room for a record of `bytes`: it keeps what was appended since told(), and that would be more than half of it.
  [[nodiscard]] bool outruns(std::uint64_t bytes) const {
    const std::uint64_t ahead = end() - std::max(told_, first_);
    return ahead > 0 && ahead + record_bytes(bytes) > this->bytes() / 2;
  }
  [[nodiscard]] Result<> flush();
  runtime::Task<Result<>> sync();
  /// Gives the room of the records up to `seq`. Suspends.
  runtime::Task<Result<>> forget_through(Seq seq);
  /// Records behind `after`, up to about `limit` bytes, at least one if there is one. Errc::absent: forgotten. Suspends.
  runtime::Task<Result<std::vector<Record>>> read_after(Seq after, std::uint64_t limit);

  /// Behind the last record, written or pending, in this run. The reference stays valid.
  [[nodiscard]] const LogPoint& point() const { return point_; }
  /// Notes (log_format.h), which survive what the records before them survive. They come between begin_notes(), which waits
  /// until no forget_through() runs and keeps others waiting, and end_notes(). Suspends.
  runtime::Budget::Awaiter begin_notes() { return forgetting_.take(1); }
  void end_notes() { forgetting_.give_back(1); }
  /// Errc::busy: no room, though more than for records. Nothing happens if there is no record. Requires: begin_notes().
  [[nodiscard]] Result<> append_note(Bytes body);
  /// Reads all that is there, from the first record on. The ring outlives it.
  [[nodiscard]] Result<RecordReader> read_all();

  /// With notes.
  [[nodiscard]] std::uint64_t bytes_used() const { return end() - first_; }
  /// For records; notes may take some more.
  [[nodiscard]] std::uint64_t bytes() const { return ring_bytes_ - kSlack - kept_for_notes(); }
  void check_invariants() const;

 private:
  /// Where a record begins; kept for the first one and about every kMarkBytes of the ring, so that a seq is found without
  /// reading it all.
  struct Mark {
    Seq seq;
    Place place;
  };
  static constexpr std::uint64_t kMarkBytes = 64 * 1024;

  RecordRing(std::unique_ptr<runtime::File> file, std::uint64_t ring_bytes, runtime::Scheduler& scheduler, Failure& failure);
  runtime::Task<Result<>> recover();
  runtime::Task<Result<>> read_headers();
  /// Both copies, one after the other, stable.
  static runtime::Task<Result<>> write_headers(runtime::File& file, LogHeaderBytes& header);
  runtime::Task<Result<>> forget(Seq seq);
  Result<> write_bytes(std::uint64_t position, Bytes bytes);
  void note(Seq seq, Place place);
  void put(std::uint32_t magic, Seq seq, Bytes body);
  [[nodiscard]] std::uint64_t kept_for_notes() const {
    return std::min<std::uint64_t>(ring_bytes_ / 8, 1u << 20) / kRecordAlignment * kRecordAlignment;
  }
  /// Bytes before the end of what was written, in its last block.
  [[nodiscard]] std::uint64_t tail() const { return written_ % kBlockBytes; }
  [[nodiscard]] std::uint64_t end() const { return written_ - tail() + pending_.size(); }
  std::unique_ptr<runtime::File> file_;
  Failure& failure_;
  runtime::Budget forgetting_;  ///< one forget_through at a time, or notes
  std::uint64_t ring_bytes_ = 0;
  LogHeaderBytes header_{};
  std::uint64_t first_ = 0;
  Seq forgotten_;
  std::uint64_t synced_ = 0;
  std::uint64_t told_ = 0;  ///< synced_ when the other site was told
  std::uint64_t written_ = 0;
  Seq last_;
  Seq stable_;
  LogPoint point_;
  std::uint64_t last_run_ = 0;
  std::vector<std::byte> pending_;  ///< begins with the tail
  std::deque<Mark> marks_;
  std::optional<std::uint64_t> mark_at_;  ///< a record that begins here gets a mark: it will be the first
};

}  // namespace lockstep::area
