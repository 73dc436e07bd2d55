// pool.h - a few threads for calls that block: page drops, reads that missed, names to resolve.
//
//   auto work = [fd] { return ::fsync(fd); };
//   const int result = co_await pool.run(work);
//
// A hop costs some 60 us (two wake-ups). Threads start when they are first needed and end with the pool. Jobs lie in the
// frames of those who await them: the line is as long as there are waiters, who are bounded, and takes no memory.
//
// Jobs that may wait for each other through a lock somewhere (a page drop waits for a write, the write for a read of a
// key) must not share a pool: with every thread taken by the first kind the second would never run.
#pragma once

#include <condition_variable>
#include <coroutine>
#include <mutex>
#include <optional>
#include <thread>
#include <type_traits>
#include <vector>

#include "uring/loop.h"

namespace lockstep::uring {

class Pool {
 public:
  /// At most `threads` threads, called `name` (15 characters count).
  Pool(Loop& loop, unsigned threads, const char* name);
  Pool(const Pool&) = delete;
  /// Waits until every job that was started has been worked on.
  ~Pool();

  class Job : public Returned {
   protected:
    friend class Pool;
    virtual void work() = 0;
    ~Job() = default;

   private:
    Job* next_ = nullptr;
  };
  /// Works on `job` on some thread, then calls its returned() on the loop.
  void start(Job& job);

  template <class F>
  class Run final : private Job {
   public:
    using Value = std::invoke_result_t<F&>;
    static_assert(!std::is_void_v<Value>, "give something back, if only whether it worked");
    Run(Pool& pool, F function) : pool_(pool), function_(std::move(function)) {}
    bool await_ready() const noexcept { return false; }
    void await_suspend(std::coroutine_handle<> h) {
      waiter_ = h;
      pool_.start(*this);
    }
    Value await_resume() { return std::move(*value_); }

   private:
    void work() override { value_.emplace(function_()); }
    void returned() override { pool_.loop_.post(waiter_); }
    Pool& pool_;
    F function_;
    std::optional<Value> value_;
    std::coroutine_handle<> waiter_;
  };
  /// Calls `function()` on a thread and suspends until it returned; gives what it returned. What it refers to must
  /// outlive the await.
  template <class F>
  [[nodiscard]] Run<F> run(F function) {
    return Run<F>(*this, std::move(function));
  }

 private:
  void thread();

  Loop& loop_;
  const unsigned threads_max_;
  const char* const name_;
  std::mutex mutex_;
  std::condition_variable some_;
  Job* first_ = nullptr;
  Job* last_ = nullptr;
  std::size_t waiting_ = 0;  // jobs in line
  std::size_t idle_ = 0;     // threads without one
  bool ending_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace lockstep::uring
