#include "runtime/task.h"

#include <array>
#include <new>

#include "runtime/sync.h"

namespace lockstep::runtime {
namespace {

constexpr std::size_t kClassBytes = 128;
constexpr std::size_t kClasses = 32;  // frames of up to 4 KiB

struct FreeFrame {
  FreeFrame* next;
};

struct Freelist {
  std::array<FreeFrame*, kClasses> heads{};
  ~Freelist() {
    for (FreeFrame* head : heads) {
      while (head != nullptr) ::operator delete(std::exchange(head, head->next));
    }
  }
};
thread_local Freelist freelist;

/// Runs a spawned task and tells the scope's gate of its end; destroys itself.
struct Runner {
  struct promise_type {
    static void* operator new(std::size_t bytes) { return frame_allocate(bytes); }
    static void operator delete(void* p, std::size_t bytes) { frame_free(p, bytes); }
    Runner get_return_object() { return {}; }
    std::suspend_never initial_suspend() noexcept { return {}; }
    std::suspend_never final_suspend() noexcept { return {}; }
    void return_void() {}
    [[noreturn]] void unhandled_exception() noexcept { std::terminate(); }
  };
};

Runner run(Task<void> task, Gate& gate) {
  co_await task;
  task = Task<void>();  // its frame may refer to the scope: gone before the scope hears of it
  gate.leave();
}

}  // namespace

void* frame_allocate(std::size_t bytes) {
  const std::size_t size_class = (bytes + kClassBytes - 1) / kClassBytes;
  if (size_class >= kClasses) return ::operator new(bytes);
  if (FreeFrame*& head = freelist.heads[size_class]; head != nullptr) return std::exchange(head, head->next);
  return ::operator new(size_class * kClassBytes);
}

void frame_free(void* frame, std::size_t bytes) {
  const std::size_t size_class = (bytes + kClassBytes - 1) / kClassBytes;
  if (size_class >= kClasses) return ::operator delete(frame);
  freelist.heads[size_class] = new (frame) FreeFrame{freelist.heads[size_class]};
}

bool Scope::spawn(Task<void> task) {
  if (!gate_.enter()) return false;
  run(std::move(task), gate_);
  return true;
}

}  // namespace lockstep::runtime
