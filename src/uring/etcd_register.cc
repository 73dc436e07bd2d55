#include "uring/etcd_register.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "arbiter/etcd.h"
#include "core/check.h"

namespace lockstep::uring {
namespace {

using runtime::RegisterState;
using runtime::SwapResult;
using runtime::Task;

constexpr Duration kLeast = std::chrono::milliseconds(1);

/// Wakes those who wait for `news`, at a time or when `stop` comes.
class Waker final : public Timer, public runtime::Stop::Listener {
 public:
  Waker(Loop& loop, runtime::Event& news, runtime::Stop& stop) : loop_(loop), news_(news), stop_(stop) { stop_.add(*this); }
  ~Waker() {
    stop_.remove(*this);
    loop_.remove(*this);
  }
  void at(Instant time) {
    loop_.remove(*this);
    loop_.add(*this, time);
  }

 private:
  void fire() override { news_.notify_all(); }
  void stopped() override { news_.notify_all(); }
  Loop& loop_;
  runtime::Event& news_;
  runtime::Stop& stop_;
};

/// What each endpoint that gave nothing said.
class Failures {
 public:
  void add(std::string_view text) {
    text_ += fmt::format("{}{}", count_ == 0 ? "" : "; ", text);
    ++count_;
  }
  [[nodiscard]] std::size_t count() const { return count_; }
  [[nodiscard]] std::unexpected<Error> error(Duration timeout) const {
    const auto whole = std::chrono::ceil<std::chrono::milliseconds>(timeout).count();
    if (count_ == 0) return fail(Errc::unavailable, fmt::format("the arbiter did not answer within {} ms", whole));
    return fail(Errc::unavailable, fmt::format("the arbiter can't be reached: {}", text_));
  }

 private:
  std::string text_;
  std::size_t count_ = 0;
};

Result<> check_readable(const std::string& path, std::string_view what) {
  if (path.empty() || ::access(path.c_str(), R_OK) == 0) return {};
  return fail(Errc::invalid, fmt::format("arbiter.{}: {} can't be read: {}", what, path, std::strerror(errno)));
}

std::unexpected<Error> stopped() { return fail(Errc::stopped, "stopped while the arbiter was asked"); }

}  // namespace

/// One read, asked of several endpoints.
struct EtcdRegister::Reading {
  explicit Reading(Loop& loop) : news(loop) {}
  runtime::Event news;
  runtime::Stop enough;
  std::optional<RegisterState> state;
  Failures failures;
};

Result<std::unique_ptr<EtcdRegister>> EtcdRegister::make(Loop& loop, EtcdOptions options) {
  CHECK(!options.endpoints.empty() && !options.key.empty());
  const TlsFiles& tls = options.tls;
  for (const auto& [path, what] :
       {std::pair(&tls.ca, "ca"), std::pair(&tls.certificate, "certificate"), std::pair(&tls.private_key, "private_key")})
    if (auto readable = check_readable(*path, what); !readable) return std::unexpected(readable.error());
  auto transfers = Transfers::make(loop, tls, arbiter::kAnswerBytesMax);
  if (!transfers) return std::unexpected(transfers.error());
  return std::unique_ptr<EtcdRegister>(new EtcdRegister(loop, std::move(options), std::move(*transfers)));
}

Result<> EtcdRegister::check_cluster(std::uint64_t cluster, std::size_t endpoint) {
  if (!cluster_) cluster_ = cluster;
  if (*cluster_ == cluster) return {};
  return fail(Errc::unavailable,
              fmt::format("{} belongs to the etcd with cluster_id {:x}, and others to {:x}; all endpoints must be members of "
                          "one; if that was replaced, say: lockstep replace --arbiter",
                          options_.endpoints[endpoint], cluster, *cluster_));
}

Task<void> EtcdRegister::ask(Reading& reading, std::size_t endpoint, Duration timeout) {
  HttpRequest request{.url = options_.endpoints[endpoint] + std::string(arbiter::kRangePath),
                      .body = arbiter::read_request(options_.key),
                      .connect_timeout = timeout,
                      .timeout = timeout};
  Result<arbiter::HttpAnswer> answer = co_await transfers_->post(std::move(request), reading.enough);
  reading.news.notify_all();
  if (!answer) {
    reading.failures.add(answer.error().text);
    co_return;
  }
  Result<arbiter::ReadAnswer> read = arbiter::parse_read(*answer, options_.key);
  if (!read) {
    reading.failures.add(fmt::format("{}: {}", options_.endpoints[endpoint], read.error().text));
  } else if (const Result<> ours = check_cluster(read->cluster, endpoint); !ours) {
    reading.failures.add(ours.error().text);
  } else if (!reading.state) {
    reading.state = std::move(read->state);
    preferred_ = endpoint;
  }
}

Task<Result<RegisterState>> EtcdRegister::read(Duration timeout, runtime::Stop& stop) {
  const std::size_t all = options_.endpoints.size();
  const Instant start = Loop::now();
  const Instant deadline = start + timeout;
  const Duration share = std::max(timeout / static_cast<std::int64_t>(all), kLeast);
  const std::size_t first = preferred_;
  Reading reading(loop_);
  runtime::Scope scope(loop_);
  Waker waker(loop_, reading.news, stop);
  for (std::size_t asked = 0; !reading.state && !stop.requested();) {
    const Instant now = Loop::now();
    const std::size_t failed = reading.failures.count();
    if (now >= deadline || failed == all) break;
    const Instant next = asked < all ? start + share * static_cast<std::int64_t>(asked - failed) : deadline;
    if (asked < all && (asked == failed || now >= next)) {
      scope.spawn(ask(reading, (first + asked) % all, deadline - now));
      ++asked;
      continue;
    }
    waker.at(std::min(next, deadline));
    co_await reading.news.wait();
  }
  // Before the others are told to give up: that is no failure of theirs.
  Result<RegisterState> result = reading.failures.error(timeout);
  if (stop.requested()) result = stopped();
  reading.enough.request();
  scope.close();
  co_await scope.join();
  if (reading.state) result = std::move(*reading.state);
  co_return result;
}

Task<Result<SwapResult>> EtcdRegister::swap(std::uint64_t expected, std::string value, Duration timeout,
                                            runtime::Stop& stop) {
  const std::string body = arbiter::swap_request(options_.key, expected, value);
  const std::size_t all = options_.endpoints.size(), first = preferred_;
  const Instant deadline = Loop::now() + timeout;
  Failures failures;
  for (std::size_t n = 0; n < all && Loop::now() < deadline; ++n) {
    if (stop.requested()) co_return stopped();
    const std::size_t endpoint = (first + n) % all;
    const Duration left = std::max(deadline - Loop::now(), kLeast);
    HttpRequest request{.url = options_.endpoints[endpoint] + std::string(arbiter::kTxnPath),
                        .body = body,
                        .connect_timeout = left / static_cast<std::int64_t>(all - n),
                        .timeout = left};
    Result<arbiter::HttpAnswer> answer = co_await transfers_->post(std::move(request), stop);
    if (!answer && answer.error().code == Errc::unavailable) {
      failures.add(answer.error().text);
      continue;
    }
    if (!answer) {
      if (answer.error().code == Errc::unknown) preferred_ = (endpoint + 1) % all;
      co_return std::unexpected(answer.error());
    }
    Result<arbiter::SwapAnswer> swapped = arbiter::parse_swap(*answer, options_.key, expected, value);
    if (!swapped) {
      const std::string text = fmt::format("{}: {}", options_.endpoints[endpoint], swapped.error().text);
      failures.add(text);
      if (swapped.error().code == Errc::unavailable) continue;
      preferred_ = (endpoint + 1) % all;
      co_return fail(swapped.error().code, text);
    }
    // Another etcd's state was changed, or not: of ours that says nothing.
    if (const Result<> ours = check_cluster(swapped->cluster, endpoint); !ours)
      co_return fail(Errc::unknown, ours.error().text);
    preferred_ = endpoint;
    co_return std::move(swapped->result);
  }
  if (stop.requested()) co_return stopped();
  co_return failures.error(timeout);
}

}  // namespace lockstep::uring
