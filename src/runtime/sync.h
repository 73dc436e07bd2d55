// sync.h - how coroutines of one loop wait for each other: Event, Stop, OneShot, Gate, Scope.
//
// None of these is for threads. Waking never resumes inside the call: the woken run later in the same pass, in order.
#pragma once

#include <coroutine>
#include <cstdint>
#include <deque>
#include <optional>
#include <utility>
#include <vector>

#include "core/check.h"
#include "runtime/scheduler.h"
#include "runtime/task.h"

namespace lockstep::runtime {

/// A flag that coroutines wait for. Stays set until reset.
class Event {
 public:
  explicit Event(Scheduler& scheduler) : scheduler_(scheduler) {}
  Event(const Event&) = delete;
  ~Event() { CHECK(waiters_.empty()); }

  [[nodiscard]] bool is_set() const { return set_; }
  void set() {
    set_ = true;
    for (auto h : std::exchange(waiters_, {})) scheduler_.post(h);
  }
  void reset() { set_ = false; }
  /// Wakes those who wait now, without setting it: each looks again at what it waits for.
  void notify_all() {
    for (auto h : std::exchange(waiters_, {})) scheduler_.post(h);
  }
  [[nodiscard]] std::size_t waiters() const { return waiters_.size(); }

  struct Awaiter {
    Event& event;
    explicit Awaiter(Event& e) : event(e) {}
    bool await_ready() const noexcept { return event.set_; }
    void await_suspend(std::coroutine_handle<> h) { event.waiters_.push_back(h); }
    void await_resume() const noexcept {}
  };
  /// Suspends until set, or until the next notify_all().
  Awaiter wait() { return Awaiter(*this); }

 private:
  Scheduler& scheduler_;
  bool set_ = false;
  std::vector<std::coroutine_handle<>> waiters_;
};

/// A value that one coroutine gives and one takes, once.
template <class T>
class OneShot {
 public:
  explicit OneShot(Scheduler& scheduler) : scheduler_(scheduler) {}
  OneShot(const OneShot&) = delete;
  ~OneShot() { CHECK(!waiter_); }

  /// Requires: not given before.
  void give(T value) {
    CHECK(!value_);
    value_.emplace(std::move(value));
    if (waiter_) scheduler_.post(std::exchange(waiter_, {}));
  }
  [[nodiscard]] bool given() const { return value_.has_value(); }

  struct Awaiter {
    OneShot& it;
    explicit Awaiter(OneShot& o) : it(o) {}
    bool await_ready() const noexcept { return it.value_.has_value(); }
    void await_suspend(std::coroutine_handle<> h) {
      CHECK(!it.waiter_);
      it.waiter_ = h;
    }
    T await_resume() { return std::move(*it.value_); }
  };
  /// Suspends until the value was given.
  Awaiter take() { return Awaiter(*this); }

 private:
  Scheduler& scheduler_;
  std::optional<T> value_;
  std::coroutine_handle<> waiter_;
};

/// Tells those who wait for something outside (a timer, a connection) to give up. Set once, never unset.
class Stop {
 public:
  class Listener {
   public:
    virtual void stopped() = 0;

   protected:
    ~Listener() = default;
  };

  Stop() = default;
  Stop(const Stop&) = delete;
  ~Stop() { CHECK(listeners_.empty()); }

  [[nodiscard]] bool requested() const { return requested_; }
  /// Calls every listener, in the order in which they were added; each is removed before its call.
  void request() {
    if (std::exchange(requested_, true)) return;
    while (!listeners_.empty()) {
      Listener* first = listeners_.front();
      listeners_.pop_front();
      first->stopped();
    }
  }
  void add(Listener& l) { listeners_.push_back(&l); }
  void remove(Listener& l) { std::erase(listeners_, &l); }

 private:
  bool requested_ = false;
  std::deque<Listener*> listeners_;
};

/// Counts what is going on, so that an end can wait for it; closed, it admits nothing more.
class Gate {
 public:
  explicit Gate(Scheduler& scheduler) : idle_(scheduler) { idle_.set(); }
  [[nodiscard]] bool enter() {
    if (closed_) return false;
    if (count_++ == 0) idle_.reset();
    return true;
  }
  void leave() {
    CHECK(count_ > 0);
    if (--count_ == 0) idle_.set();
  }
  void close() { closed_ = true; }
  [[nodiscard]] bool closed() const { return closed_; }
  [[nodiscard]] std::size_t count() const { return count_; }
  /// Suspends until nothing is inside.
  Event::Awaiter idle() { return idle_.wait(); }

 private:
  Event idle_;
  std::size_t count_ = 0;
  bool closed_ = false;
};

/// Inside of a gate for as long as it lives. Requires: the gate is not closed.
class Inside {
 public:
  explicit Inside(Gate& gate) : gate_(gate) { CHECK(gate_.enter()); }
  Inside(const Inside&) = delete;
  ~Inside() { gate_.leave(); }

 private:
  Gate& gate_;
};

/// Tasks that run beside their owner. Nothing is detached: the owner awaits join() before it goes away.
class Scope {
 public:
  explicit Scope(Scheduler& scheduler) : scheduler_(scheduler), gate_(scheduler) {}
  ~Scope() { CHECK(gate_.count() == 0); }

  /// Starts `task` at once, up to its first suspension. After close() it is destroyed unstarted; false then.
  bool spawn(Task<void> task);
  void close() { gate_.close(); }
  [[nodiscard]] std::size_t running() const { return gate_.count(); }
  /// Suspends until every spawned task has ended.
  Event::Awaiter join() { return gate_.idle(); }
  [[nodiscard]] Scheduler& scheduler() { return scheduler_; }

 private:
  Scheduler& scheduler_;
  Gate gate_;
};

/// A count of something bounded (bytes, slots) that coroutines wait for in line.
class Budget {
 public:
  Budget(Scheduler& scheduler, std::uint64_t limit) : scheduler_(scheduler), limit_(limit) {}
  ~Budget() { CHECK(queue_.empty()); }

  [[nodiscard]] std::uint64_t used() const { return used_; }
  [[nodiscard]] std::uint64_t limit() const { return limit_; }
  /// Takes `n` if nobody waits and it fits (or nothing is taken: one larger than the limit gets its turn alone).
  [[nodiscard]] bool try_take(std::uint64_t n) {
    if (!queue_.empty() || (used_ != 0 && used_ + n > limit_)) return false;
    used_ += n;
    return true;
  }
  void give_back(std::uint64_t n) {
    CHECK(used_ >= n);
    used_ -= n;
    while (!queue_.empty() && (used_ == 0 || used_ + queue_.front().n <= limit_)) {
      used_ += queue_.front().n;
      scheduler_.post(queue_.front().handle);
      queue_.pop_front();
    }
  }
  struct Awaiter {
    Budget& budget;
    std::uint64_t n;
    Awaiter(Budget& b, std::uint64_t count) : budget(b), n(count) {}
    bool await_ready() { return budget.try_take(n); }
    void await_suspend(std::coroutine_handle<> h) { budget.queue_.push_back({n, h}); }
    void await_resume() const noexcept {}
  };
  /// Suspends until `n` are free and it is this caller's turn; then they are taken.
  Awaiter take(std::uint64_t n) { return Awaiter(*this, n); }

 private:
  struct Waiting {
    std::uint64_t n;
    std::coroutine_handle<> handle;
  };
  Scheduler& scheduler_;
  std::uint64_t limit_;
  std::uint64_t used_ = 0;
  std::deque<Waiting> queue_;
};

}  // namespace lockstep::runtime
