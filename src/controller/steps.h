// steps.h - the steps of requests as they happen: what `lockstep trace` shows and what order tests assert.
//
// The last kStepsKept steps stay in memory; an observer is called at each step, while nothing else runs, so that it can
// look into areas and tables as they are at that moment.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "controller/status_table.h"
#include "core/types.h"
#include "runtime/clock.h"

namespace lockstep::controller {

enum class Step : std::uint8_t {
  asked,         ///< a host's request arrived
  held,          ///< another site has reserved what it would change: it waits until that is released
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

/// What the daemon has spent since its start.
struct Costs {
  std::uint64_t system_calls = 0, context_switches = 0, thread_hops = 0;
};

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
  SiteId holder;             ///< held: the site whose reservation it is
  Costs costs;               ///< when probed
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
  explicit Steps(runtime::Clock& clock) : clock_(clock), kept_(kStepsKept) {}
  /// Some 50 ns.
  void note(Step step, const RequestId& request, Seq seq, std::span<const wire::Turn> turns, Status status);
  /// Step::held: by a reservation of `holder`.
  void note_held(const RequestId& request, std::span<const wire::Turn> turns, SiteId holder);
  /// Steps with a number above `after`, as far as they are still kept.
  [[nodiscard]] std::vector<StepEvent> since(std::uint64_t after, std::size_t limit) const;
  [[nodiscard]] std::uint64_t last() const { return next_ - 1; }
  /// Null: none. The observer must outlive its use.
  void observe(StepObserver* observer) { observer_ = observer; }
  /// Called at each step to say what was spent so far; null: not. Itself costs a system call or two.
  void probe(Costs (*costs)(void*), void* with) {
    probe_ = costs;
    probe_with_ = with;
  }

 private:
  void keep(StepEvent event, std::span<const wire::Turn> turns);

  runtime::Clock& clock_;
  StepObserver* observer_ = nullptr;
  Costs (*probe_)(void*) = nullptr;
  void* probe_with_ = nullptr;
  std::uint64_t next_ = 1;
  std::vector<StepEvent> kept_;  // ring, by number
};

}  // namespace lockstep::controller
