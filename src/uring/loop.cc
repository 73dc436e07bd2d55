#include "uring/loop.h"

#include <fmt/format.h>
#include <liburing.h>
#include <poll.h>
#include <sched.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <ctime>

#include "core/check.h"

namespace lockstep::uring {
namespace {

using runtime::Task;

// What waking from sleep adds to a wait, so that waits that slept can be compared with waits that polled.
constexpr Duration kWakeCost = std::chrono::microseconds(30);
// Where polling was given up it is tried again once in so many waits: the load may have changed.
constexpr std::uint32_t kWaitsAsleepMax = 32;

/// Runs the task of Loop::run() and says that it ended.
struct Main {
  struct promise_type {
    Main get_return_object() { return {std::coroutine_handle<promise_type>::from_promise(*this)}; }
    std::suspend_always initial_suspend() noexcept { return {}; }
    std::suspend_always final_suspend() noexcept { return {}; }
    void return_void() {}
    [[noreturn]] void unhandled_exception() noexcept { std::terminate(); }
  };
  std::coroutine_handle<promise_type> handle;
};

Main run_main(Task<void> task) { co_await task; }

}  // namespace

/// The poll that tells a sleeping loop that something lies in returned_. It stays armed, and since a multishot poll
/// completes at every write to the eventfd, nobody ever has to read that.
class Loop::Wake final : public Operation {
 public:
  explicit Wake(Loop& loop) : loop_(loop) {}
  void arm() {
    io_uring_sqe* const sqe = loop_.prepare(this);
    const auto user_data = sqe->user_data;
    io_uring_prep_poll_multishot(sqe, loop_.wake_fd_, POLLIN);
    sqe->user_data = user_data;
  }
  void completed(int, bool more, std::uint32_t) override {
    if (!more) arm();
  }

 private:
  Loop& loop_;
};

class Watch::Poll final : public Operation {
 public:
  Poll(Loop& loop, int fd, Watcher& watcher) : loop_(loop), fd_(fd), watcher_(&watcher) {}
  void arm() {
    if (armed_) return;
    armed_ = true;
    io_uring_sqe* const sqe = loop_.prepare(this);
    const auto user_data = sqe->user_data;
    io_uring_prep_poll_add(sqe, fd_, POLLIN);
    sqe->user_data = user_data;
  }
  void completed(int result, bool, std::uint32_t) override {
    armed_ = false;
    if (watcher_ != nullptr && result != -ECANCELED) watcher_->readable();
  }
  [[nodiscard]] bool armed() const { return armed_; }
  void forget_watcher() { watcher_ = nullptr; }

 private:
  Loop& loop_;
  int fd_;
  Watcher* watcher_;
  bool armed_ = false;
};

Watch::Watch(Loop& loop, int fd, Watcher& watcher) : loop_(loop), poll_(std::make_unique<Poll>(loop, fd, watcher)) {}

Watch::~Watch() {
  if (!poll_->armed()) return;
  poll_->forget_watcher();
  loop_.cancel(*poll_);
  loop_.abandon(std::move(poll_));
  loop_.submit();  // the ring holds the file open until the poll is gone
}

void Watch::arm() { poll_->arm(); }

Result<std::unique_ptr<Loop>> Loop::make(LoopOptions options) {
  auto ring = std::make_unique<io_uring>();
  io_uring_params params{};
  // The completion ring is larger than the submission ring: polls and syncs stay outstanding over many passes.
  params.flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_CQSIZE;
  params.flags |= options.deferred_task_work ? IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_TASKRUN_FLAG
                                             : IORING_SETUP_COOP_TASKRUN;
  params.cq_entries = options.entries * 8;
  if (const int rc = io_uring_queue_init_params(options.entries, ring.get(), &params); rc < 0) {
    return fail_io(-rc, fmt::format("cannot set up io_uring: {}; Linux 6.1 or newer is needed, with "
                                    "sysctl kernel.io_uring_disabled=0", std::strerror(-rc)));
  }
  const int wake_fd = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (wake_fd < 0) {
    const int error = errno;
    io_uring_queue_exit(ring.get());
    return fail_io(error, fmt::format("cannot make an eventfd: {}", std::strerror(error)));
  }
  return std::unique_ptr<Loop>(new Loop(std::move(ring), wake_fd, options));
}

Loop::Loop(std::unique_ptr<io_uring> ring, int wake_fd, LoopOptions options)
    : options_(options), ring_(std::move(ring)), wake_fd_(wake_fd), wake_(std::make_unique<Wake>(*this)) {
  wake_->arm();
}

Loop::~Loop() {
  CHECK(!inside_);
  take_returned();  // what pools finished since the last pass and owns itself
  io_uring_queue_exit(ring_.get());  // ends what is outstanding; nothing completes any more
  ::close(wake_fd_);
}

Instant Loop::now() {
  timespec ts{};
  ::clock_gettime(CLOCK_BOOTTIME, &ts);
  return Instant{ts.tv_sec * 1'000'000'000 + ts.tv_nsec};
}

io_uring_sqe* Loop::prepare(Operation* operation) {
  io_uring_sqe* sqe = io_uring_get_sqe(ring_.get());
  while (sqe == nullptr) {
    submit();
    sqe = io_uring_get_sqe(ring_.get());
  }
  io_uring_sqe_set_data(sqe, operation);
  return sqe;
}

void Loop::cancel(Operation& operation) {
  io_uring_sqe* const sqe = prepare(nullptr);
  io_uring_prep_cancel(sqe, &operation, 0);
  io_uring_sqe_set_data(sqe, nullptr);
}

void Loop::abandon(std::unique_ptr<Operation> operation) { abandoned_.push_back(std::move(operation)); }

void Loop::submit() {
  if (io_uring_sq_ready(ring_.get()) == 0) return;
  ++statistics_.enters;
  const int rc = io_uring_submit(ring_.get());
  // EBUSY, EAGAIN: completions have to be taken first, or memory is short; the entries stay prepared.
  CHECK(rc >= 0 || rc == -EINTR || rc == -EBUSY || rc == -EAGAIN);
  if (rc == -EBUSY) take_completions();
}

void Loop::hand_back(Returned& it) {
  Returned* before = returned_.load(std::memory_order_relaxed);
  do {
    it.next_ = before;
  } while (!returned_.compare_exchange_weak(before, &it, std::memory_order_seq_cst));
  // Either this sees that the loop parked, or the loop sees `it` before it sleeps: both sides write, then look.
  if (!parked_.exchange(false, std::memory_order_seq_cst)) return;
  const std::uint64_t one = 1;
  CHECK(::write(wake_fd_, &one, sizeof one) == sizeof one);
}

bool Loop::take_returned() {
  if (returned_.load(std::memory_order_relaxed) == nullptr) return false;
  Returned* list = returned_.exchange(nullptr, std::memory_order_seq_cst);
  Returned* in_order = nullptr;
  while (list != nullptr) {
    Returned* const next = list->next_;
    list->next_ = in_order;
    in_order = list;
    list = next;
  }
  while (in_order != nullptr) std::exchange(in_order, in_order->next_)->returned();
  return true;
}

bool Loop::take_completions() {
  struct Entry {
    std::uint64_t user_data;
    int result;
    std::uint32_t flags;
  };
  std::array<io_uring_cqe*, 64> entries{};
  std::array<Entry, 64> taken{};
  bool any = false;
  for (;;) {
    if (io_uring_cq_ready(ring_.get()) == 0) {
      // The kernel holds completions back until it is entered: their ring was full, or they are deferred.
      constexpr unsigned kHeldBack = IORING_SQ_CQ_OVERFLOW | IORING_SQ_TASKRUN;
      if ((__atomic_load_n(ring_->sq.kflags, __ATOMIC_RELAXED) & kHeldBack) == 0) return any;
      ++statistics_.enters;
      const int rc = io_uring_get_events(ring_.get());
      if (rc < 0 || io_uring_cq_ready(ring_.get()) == 0) return any;
    }
    const unsigned n = io_uring_peek_batch_cqe(ring_.get(), entries.data(), entries.size());
    if (n == 0) return any;
    any = true;
    statistics_.completions += n;
    // Out of the ring before anybody hears of them: what completed() starts may come back here.
    for (unsigned i = 0; i < n; ++i) taken[i] = {entries[i]->user_data, entries[i]->res, entries[i]->flags};
    io_uring_cq_advance(ring_.get(), n);
    for (unsigned i = 0; i < n; ++i) {
      const Entry& cqe = taken[i];
      auto* const operation = reinterpret_cast<Operation*>(cqe.user_data);
      if (operation == nullptr) continue;
      const bool more = (cqe.flags & IORING_CQE_F_MORE) != 0;
      operation->completed(cqe.result, more, cqe.flags);
      if (more || abandoned_.empty()) continue;
      std::erase_if(abandoned_, [operation](const auto& kept) { return kept.get() == operation; });
    }
  }
}

bool Loop::anything() const {
  return !ready_.empty() || io_uring_cq_ready(ring_.get()) != 0 ||
         returned_.load(std::memory_order_relaxed) != nullptr ||
         (__atomic_load_n(ring_->sq.kflags, __ATOMIC_RELAXED) & IORING_SQ_TASKRUN) != 0;
}

void Loop::pass() {
  ++statistics_.passes;
  take_returned();
  take_completions();
  if (!timers_.empty()) timers_.fire_due(now());
  while (!ready_.empty()) {
    running_.swap(ready_);
    statistics_.resumes += running_.size();
    for (auto h : running_) h.resume();
    running_.clear();
  }
  hooks_wait_ = false;
  hooks_.run();
}

bool Loop::poll_until(Instant end) {
  ++statistics_.spins;
  for (;;) {
    if (anything()) break;
    if (now() >= end) return false;
    ++statistics_.yields;
    ::sched_yield();
  }
  ++statistics_.spins_won;
  return true;
}

void Loop::sleep() {
  parked_.store(true, std::memory_order_seq_cst);
  if (returned_.load(std::memory_order_seq_cst) == nullptr) {
    __kernel_timespec limit{};
    if (!timers_.empty()) {
      const std::int64_t left = std::max<std::int64_t>(0, timers_.next().ns - now().ns);
      limit.tv_sec = left / 1'000'000'000;
      limit.tv_nsec = left % 1'000'000'000;
    }
    ++statistics_.enters;
    ++statistics_.sleeps;
    io_uring_cqe* first = nullptr;
    const int rc = io_uring_submit_and_wait_timeout(ring_.get(), &first, 1, timers_.empty() ? nullptr : &limit, nullptr);
    CHECK(rc >= 0 || rc == -ETIME || rc == -EINTR || rc == -EBUSY || rc == -EAGAIN);
  }
  parked_.store(false, std::memory_order_relaxed);
}

void Loop::wait() {
  if (!ready_.empty() || hooks_wait_) {  // the hooks left something to do; what was prepared must not wait for that
    submit();
    return;
  }
  if (options_.spin.count() == 0) return sleep();
  const Instant start = now();
  if (usual_wait_ >= options_.spin && ++waits_asleep_ < kWaitsAsleepMax) {
    sleep();
    usual_wait_ += (std::clamp(now() - start - kWakeCost, Duration{}, 4 * options_.spin) - usual_wait_) / 8;
    return;
  }
  waits_asleep_ = 0;
  submit();
  Instant end = start + options_.spin;
  if (!timers_.empty()) end = std::min(end, timers_.next());
  if (!poll_until(end)) sleep();
  usual_wait_ += (std::min(now() - start, 4 * options_.spin) - usual_wait_) / 8;
}

void Loop::run(Task<void> task) {
  CHECK(!inside_);
  inside_ = true;
  const Main main = run_main(std::move(task));
  post(main.handle);
  for (;;) {
    pass();
    if (main.handle.done()) break;
    wait();
  }
  main.handle.destroy();
  inside_ = false;
}

}  // namespace lockstep::uring
