#include "uring/pool.h"

#include <pthread.h>

#include <csignal>

#include "core/check.h"

namespace lockstep::uring {

Pool::Pool(Loop& loop, unsigned threads, const char* name) : loop_(loop), threads_max_(threads), name_(name) {
  CHECK(threads > 0);
  threads_.reserve(threads);
}

Pool::~Pool() {
  {
    const std::lock_guard lock(mutex_);
    ending_ = true;
  }
  some_.notify_all();
  for (std::thread& t : threads_) t.join();
}

void Pool::start(Job& job) {
  ++loop_.statistics().pool_hops;
  bool more_threads = false;
  {
    const std::lock_guard lock(mutex_);
    job.next_ = nullptr;
    if (last_ != nullptr) {
      last_->next_ = &job;
    } else {
      first_ = &job;
    }
    last_ = &job;
    ++waiting_;
    more_threads = waiting_ > idle_ && threads_.size() < threads_max_;
  }
  some_.notify_one();
  if (!more_threads) return;
  // Signals are for the loop's thread.
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  threads_.emplace_back([this] { thread(); });
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

void Pool::thread() {
  pthread_setname_np(pthread_self(), name_);
  std::unique_lock lock(mutex_);
  for (;;) {
    ++idle_;
    some_.wait(lock, [this] { return first_ != nullptr || ending_; });
    --idle_;
    if (first_ == nullptr) return;
    Job* const job = first_;
    first_ = job->next_;
    if (first_ == nullptr) last_ = nullptr;
    --waiting_;
    lock.unlock();
    job->work();
    loop_.hand_back(*job);
    lock.lock();
  }
}

}  // namespace lockstep::uring
