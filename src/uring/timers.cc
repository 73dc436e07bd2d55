#include "uring/timers.h"

namespace lockstep::uring {

void Timers::put(std::size_t place, Timer* timer) {
  heap_[place] = timer;
  timer->place_ = place;
}

void Timers::up(std::size_t place) {
  Timer* const timer = heap_[place];
  while (place > 0) {
    const std::size_t parent = (place - 1) / 2;
    if (!before(*timer, *heap_[parent])) break;
    put(place, heap_[parent]);
    place = parent;
  }
  put(place, timer);
}

void Timers::down(std::size_t place) {
  Timer* const timer = heap_[place];
  for (;;) {
    std::size_t child = 2 * place + 1;
    if (child >= heap_.size()) break;
    if (child + 1 < heap_.size() && before(*heap_[child + 1], *heap_[child])) ++child;
    if (!before(*heap_[child], *timer)) break;
    put(place, heap_[child]);
    place = child;
  }
  put(place, timer);
}

void Timers::add(Timer& timer, Instant deadline) {
  CHECK(!timer.armed());
  timer.deadline_ = deadline;
  timer.order_ = ++order_;
  heap_.push_back(&timer);
  up(heap_.size() - 1);
}

void Timers::remove(Timer& timer) {
  if (!timer.armed()) return;
  const std::size_t place = timer.place_;
  Timer* const last = heap_.back();
  heap_.pop_back();
  timer.place_ = Timer::kNowhere;
  if (last == &timer) return;
  put(place, last);
  up(place);
  down(last->place_);
}

void Timers::fire_due(Instant now) {
  const std::uint64_t newest = order_;  // those added while firing wait for the next call
  while (!heap_.empty() && heap_.front()->deadline_ <= now && heap_.front()->order_ <= newest) {
    Timer& timer = *heap_.front();
    remove(timer);
    timer.fire();
  }
}

}  // namespace lockstep::uring
