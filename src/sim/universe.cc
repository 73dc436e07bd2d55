#include "sim/universe.h"

#include <fmt/format.h>

#include "core/check.h"
#include "sim/arbiter.h"
#include "sim/machine.h"
#include "sim/network.h"
#include "sim/process.h"

namespace lockstep::sim {

Universe::Universe(std::uint64_t seed)
    : seed_(seed), prng_(seed), network_(std::make_unique<Network>(*this, prng_.fork("network"))) {}

Universe::~Universe() = default;

Machine& Universe::add_machine(const std::string& name) {
  machines_.push_back(std::make_unique<Machine>(*this, name, prng_.fork(name)));
  return *machines_.back();
}

Arbiter& Universe::add_arbiter() {
  CHECK(arbiter_ == nullptr);
  arbiter_ = std::make_unique<Arbiter>(*this, prng_.fork("arbiter"));
  return *arbiter_;
}

Universe::EventId Universe::after(Duration delay, Process* owner, std::function<void()> what) {
  CHECK(delay >= Duration::zero());
  if (owner != nullptr && !owner->alive()) {
    bury(std::make_shared<std::function<void()>>(std::move(what)));
    return 0;
  }
  const EventId id = next_event_++;
  const std::int64_t time = (now_ + delay).ns;
  queue_.emplace(std::pair(time, id), Event{owner, std::move(what)});
  times_.emplace(id, time);
  return id;
}

void Universe::cancel(EventId id) {
  const auto it = times_.find(id);
  if (it == times_.end()) return;
  queue_.erase({it->second, id});
  times_.erase(it);
}

bool Universe::step(Instant limit) {
  if (queue_.empty() || queue_.begin()->first.first > limit.ns) return false;
  auto node = queue_.extract(queue_.begin());
  const auto [time, id] = node.key();
  times_.erase(id);
  now_ = Instant{time};
  note(static_cast<std::uint64_t>(time));
  note(id);
  node.mapped().what();
  return true;
}

bool Universe::run_until(const std::function<bool()>& done, Duration limit) {
  const Instant end = now_ + limit;
  for (std::uint64_t events = 0; !done(); ++events) {
    if (events == events_max_) {
      throw Livelock(fmt::format("seed {}: {} events and no end at {} ms", seed_, events, now_.ns / 1'000'000));
    }
    if (step(end)) continue;
    now_ = end;
    return false;
  }
  return true;
}

void Universe::run_for(Duration time) {
  run_until([] { return false; }, time);
}

void Universe::forget_events_of(const Process* owner, bool keep) {
  auto remains = std::make_shared<std::vector<std::function<void()>>>();
  for (auto it = queue_.begin(); it != queue_.end();) {
    if (it->second.owner != owner) {
      ++it;
      continue;
    }
    remains->push_back(std::move(it->second.what));
    times_.erase(it->first.second);
    it = queue_.erase(it);
  }
  if (keep) bury(std::move(remains));
}

void Universe::bury(std::shared_ptr<void> remains) {
  static auto& graveyard = *new std::vector<std::shared_ptr<void>>;
  graveyard.push_back(std::move(remains));
}

}  // namespace lockstep::sim
