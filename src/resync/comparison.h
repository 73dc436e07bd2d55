// comparison.h - one site's half of a comparison: digests of its keys at one seq, and of its blocks as they stand.
//
// Keys are looked at in a snapshot, taken at the same place of the stream of effects at both sites, so at the same seq.
// Blocks are looked at while the primary lets nobody write them.
#pragma once

#include <memory>
#include <string>

#include "area/area.h"
#include "controller/secondary.h"
#include "runtime/world.h"

namespace lockstep::resync {

/// Keys of one volume are between these; what sorts before belongs to one site.
inline constexpr char kFirstSharedKey = '\x01';

class Comparison final : public controller::Secondary::Comparison {
 public:
  Comparison(runtime::World& world, area::Area& area) : world_(world), area_(area) {}

  void begin(std::uint64_t number) override;
  /// Of blocks: digests of the bytes, and `bad`: those that do not match their own checksum or can't be read. Of keys:
  /// number and digest of at most `limit` keys in [from, to), and where to go on (`next`, empty: that was all). Suspends.
  runtime::Task<wire::VerifyAnswer> ask(wire::VerifyAsk question) override;
  void end() override { snapshot_.reset(); }

 private:
  runtime::Task<wire::VerifyAnswer> ask_blocks(wire::VerifyAsk question);

  runtime::World& world_;
  area::Area& area_;
  std::uint64_t number_ = 0;
  std::shared_ptr<runtime::KeySnapshot> snapshot_;
};

}  // namespace lockstep::resync
