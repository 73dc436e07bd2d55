#include "uring/signals.h"

#include <fmt/format.h>
#include <pthread.h>
#include <sys/signalfd.h>

#include <cerrno>
#include <csignal>
#include <cstring>

namespace lockstep::uring {

Result<std::unique_ptr<Signals>> Signals::make(Loop& loop, runtime::Event& asked) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGTERM);
  sigaddset(&set, SIGINT);
  if (const int error = pthread_sigmask(SIG_BLOCK, &set, nullptr); error != 0) {
    return fail_io(error, fmt::format("cannot block signals: {}", std::strerror(error)));
  }
  Descriptor fd(::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!fd) return fail_io(errno, fmt::format("cannot make a signalfd: {}", std::strerror(errno)));
  return std::unique_ptr<Signals>(new Signals(loop, asked, std::move(fd)));
}

Signals::Signals(Loop& loop, runtime::Event& asked, Descriptor fd)
    : loop_(loop), asked_(asked), fd_(std::move(fd)), watch_(loop.watch(fd_.get(), *this)) {
  watch_->arm();
}

void Signals::readable() {
  signalfd_siginfo came{};
  for (;;) {
    ++loop_.statistics().reads;
    if (::read(fd_.get(), &came, sizeof came) != sizeof came) break;
    last_ = static_cast<int>(came.ssi_signo);
    asked_.set();
  }
  watch_->arm();
}

}  // namespace lockstep::uring
