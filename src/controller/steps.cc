#include "controller/steps.h"

#include <algorithm>

namespace lockstep::controller {

std::string_view name_of(Step step) {
  switch (step) {
    case Step::asked: return "asked";
    case Step::held: return "held";
    case Step::queued: return "queued";
    case Step::forward_sent: return "forward-sent";
    case Step::forward_received: return "forward-received";
    case Step::exclusive: return "exclusive";
    case Step::grant_sent: return "grant-sent";
    case Step::grant_received: return "grant-received";
    case Step::data_sent: return "data-sent";
    case Step::data_received: return "data-received";
    case Step::planned: return "planned";
    case Step::mirror_sent: return "mirror-sent";
    case Step::mirror_received: return "mirror-received";
    case Step::commit_sent: return "commit-sent";
    case Step::commit_received: return "commit-received";
    case Step::area_written: return "area-written";
    case Step::logged: return "logged";
    case Step::published: return "published";
    case Step::dropped: return "dropped";
    case Step::mirrored_sent: return "mirrored-sent";
    case Step::mirrored_received: return "mirrored-received";
    case Step::released: return "released";
    case Step::refused: return "refused";
    case Step::acknowledged: return "acknowledged";
  }
  return "?";
}

void Steps::note(Step step, const RequestId& request, Seq seq, std::span<const wire::Turn> turns, Status status) {
  StepEvent event;
  event.request = request;
  event.seq = seq;
  event.step = step;
  event.status = status;
  keep(event, turns);
}

void Steps::note_held(const RequestId& request, std::span<const wire::Turn> turns, SiteId holder) {
  StepEvent event;
  event.request = request;
  event.step = Step::held;
  event.status = Status::reserved;
  event.holder = holder;
  keep(event, turns);
}

void Steps::keep(StepEvent event, std::span<const wire::Turn> turns) {
  event.number = next_++;
  event.at = clock_.now();
  if (probe_ != nullptr) event.costs = probe_(probe_with_);
  if (!turns.empty()) {
    event.object = turns.front().object;
    event.kind = turns.front().kind;
    event.first = turns.front().first;
    event.count = turns.front().count;
  }
  kept_[event.number % kStepsKept] = event;
  if (observer_ != nullptr) observer_->step(event);
}

std::vector<StepEvent> Steps::since(std::uint64_t after, std::size_t limit) const {
  std::vector<StepEvent> found;
  const std::uint64_t first = std::max(after + 1, next_ > kStepsKept ? next_ - kStepsKept : 1);
  for (std::uint64_t number = first; number < next_ && found.size() < limit; ++number) {
    found.push_back(kept_[number % kStepsKept]);
  }
  return found;
}

}  // namespace lockstep::controller
