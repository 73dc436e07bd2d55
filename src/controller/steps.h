// steps.h - the steps of requests as they happen: what `lockstep trace` shows and what order tests assert.
//
// The last kStepsKept steps stay in memory; an observer is called at each step, while nothing else runs, so that it can
// look into areas and tables as they are at that moment.
#pragma once

#include <cstdint>
#include <deque>
#include <string_view>

#include "controller/status_table.h"
#include "core/types.h"
#include "runtime/clock.h"

namespace lockstep::controller {

enum class Step : std::uint8_t {
  asked,         ///< a host's request arrived
  queued,        ///< its range is taken: it waits in line
  forward_sent,
  forward_received,
  exclusive,     ///< status neither -> exclusive
  grant_sent,
  grant_received,
  data_sent,
  data_received,
  planned,       ///< the effect has its seq
  mirror_sent,
  mirror_received,
  commit_sent,
  commit_received,
  area_written,
  logged,
  published,
  dropped,       ///< this site's kernel keeps nothing of the old
  mirrored_sent,
  mirrored_received,
  released,      ///< status exclusive -> neither
  refused,       ///< the request changed nothing
  acknowledged,  ///< the host has its answer
};

[[nodiscard]] std::string_view name_of(Step step);

struct StepEvent {
  std::uint64_t number = 0;  ///< counts up; a gap means that some were overwritten before they were read
  Instant at;
  RequestId request;
  Seq seq;                   ///< 0: not planned yet
  Step step{};
  InodeId object;
  wire::Turn::Kind kind{};
  std::uint64_t first = 0;   ///< block or hash of the first turn
  std::uint64_t count = 0;
  Status status{};           ///< of the first turn, after the step
};

inline constexpr std::size_t kStepsKept = 8192;

class StepObserver {
 public:
  virtual void step(const StepEvent& event) = 0;

 protected:
  ~StepObserver() = default;
};

class Steps {
 public:
  explicit Steps(runtime::Clock& clock) : clock_(clock) {}
  void note(Step step, const RequestId& request, Seq seq, std::span<const wire::Turn> turns, Status status);
  /// Steps with a number above `after`, as far as they are still kept.
  [[nodiscard]] std::vector<StepEvent> since(std::uint64_t after, std::size_t limit) const;
  [[nodiscard]] std::uint64_t last() const { return next_ - 1; }
  /// Null: none. The observer must outlive its use.
  void observe(StepObserver* observer) { observer_ = observer; }
  /// Off by default unless something observes: a step then costs nothing.
  void keep(bool on) { keeping_ = on; }

 private:
  runtime::Clock& clock_;
  StepObserver* observer_ = nullptr;
  bool keeping_ = false;
  std::uint64_t next_ = 1;
  std::deque<StepEvent> kept_;
};

}  // namespace lockstep::controller
