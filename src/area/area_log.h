// area_log.h - the operation log: effects with a batch, as records of a RecordRing.
#pragma once

#include "area/area.h"
#include "area/record_ring.h"
#include "area/unproven.h"

namespace lockstep::area {

/// The effect in the record of `seq`. Errc::corrupt: it can't be understood.
[[nodiscard]] Result<wire::Effect> decode_effect(Seq seq, Bytes body);
/// The ranges in a note behind `seq`. Errc::corrupt: they are none, or not in an area of `blocks`.
[[nodiscard]] Result<std::vector<BlockRange>> decode_note(Seq seq, Bytes body, std::uint64_t blocks);

class AreaLog final : public Log {
 public:
  /// Of an area of `blocks`.
  AreaLog(std::unique_ptr<RecordRing> ring, std::uint64_t blocks);

  [[nodiscard]] Seq last() const override { return ring_->last(); }
  [[nodiscard]] Seq stable() const override { return ring_->stable(); }
  [[nodiscard]] Seq first() const override { return ring_->first(); }
  [[nodiscard]] Seq forgotten() const override { return ring_->forgotten(); }
  [[nodiscard]] Result<> append(const wire::Effect& effect) override;
  void told() override { ring_->told(); }
  [[nodiscard]] bool outruns(const wire::Effect& effect) const override;
  [[nodiscard]] Result<> flush() override { return ring_->flush(); }
  runtime::Task<Result<>> sync() override { return ring_->sync(); }
  runtime::Task<Result<>> forget_through(Seq seq) override { return ring_->forget_through(seq); }
  [[nodiscard]] std::uint64_t bytes_used() const override { return ring_->bytes_used(); }
  [[nodiscard]] std::uint64_t bytes() const override { return ring_->bytes(); }
  runtime::Task<Result<std::vector<wire::Effect>>> read_after(Seq after, std::uint64_t limit) override;

  [[nodiscard]] RecordRing& ring() { return *ring_; }

  // What is new (unproven.h). A sync of blocks: begin_proof(), the blocks, prove(), and then the log.
  [[nodiscard]] bool new_blocks_in(std::span<const BlockRange> ranges) const { return unproven_.any(ranges); }
  [[nodiscard]] std::uint64_t begin_proof() { return unproven_.begin(); }
  /// Appends notes that `ranges` are stable as they were at the begin_proof() that answered `proof`. Errc::io. Suspends.
  runtime::Task<Result<>> prove(std::vector<BlockRange> ranges, std::uint64_t proof);

 private:
  std::unique_ptr<RecordRing> ring_;
  Unproven unproven_;
};

}  // namespace lockstep::area
