// area_log.h - the operation log: effects with a batch, as records of a RecordRing.
#pragma once

#include "area/area.h"
#include "area/record_ring.h"

namespace lockstep::area {

class AreaLog final : public Log {
 public:
  explicit AreaLog(std::unique_ptr<RecordRing> ring) : ring_(std::move(ring)) {}

  [[nodiscard]] Seq last() const override { return ring_->last(); }
  [[nodiscard]] Seq stable() const override { return ring_->stable(); }
  [[nodiscard]] Seq first() const override { return ring_->first(); }
  [[nodiscard]] Result<> append(const wire::Effect& effect) override;
  [[nodiscard]] Result<> flush() override { return ring_->flush(); }
  runtime::Task<Result<>> sync() override { return ring_->sync(); }
  runtime::Task<Result<>> forget_through(Seq seq) override { return ring_->forget_through(seq); }
  [[nodiscard]] std::uint64_t bytes_used() const override { return ring_->bytes_used(); }
  [[nodiscard]] std::uint64_t bytes() const override { return ring_->bytes(); }
  runtime::Task<Result<std::vector<wire::Effect>>> read_after(Seq after, std::uint64_t limit) override;

 private:
  std::unique_ptr<RecordRing> ring_;
};

}  // namespace lockstep::area
