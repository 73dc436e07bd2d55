#include "uring/etcd_transfers.h"

#include <curl/curl.h>
#include <fmt/format.h>
#include <liburing.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "config/values.h"
#include "core/check.h"

namespace lockstep::uring {
namespace {

using arbiter::HttpAnswer;
using runtime::Task;

long milliseconds(Duration d) {
  const auto whole = std::chrono::ceil<std::chrono::milliseconds>(d).count();
  return static_cast<long>(std::clamp<std::int64_t>(whole, 1, 3'600'000));  // 0 is no limit to libcurl
}

template <class T>
void set(CURL* easy, CURLoption option, T value) {
  CHECK(curl_easy_setopt(easy, option, value) == CURLE_OK);
}

}  // namespace

/// A call of one of the functions here at a time, from the loop's timers.
class Transfers::Later final : public Timer {
 public:
  Later(Transfers& transfers, void (Transfers::*what)()) : transfers_(transfers), what_(what) {}
  ~Later() { transfers_.loop_.remove(*this); }
  void in(Duration wait) {
    transfers_.loop_.remove(*this);
    transfers_.loop_.add(*this, Loop::now() + wait);
  }
  void never() { transfers_.loop_.remove(*this); }

 private:
  void fire() override { (transfers_.*what_)(); }
  Transfers& transfers_;
  void (Transfers::*what_)();
};

/// The poll of one of libcurl's descriptors. What happened is kept until libcurl was told; then, if it still waits, the
/// poll is armed again.
class Transfers::Poll final : public Operation {
 public:
  Poll(Transfers& transfers, int fd) : transfers_(&transfers), fd_(fd) {}
  void want(int what) {
    const std::uint32_t events = ((what & CURL_POLL_IN) != 0 ? POLLIN : 0u) | ((what & CURL_POLL_OUT) != 0 ? POLLOUT : 0u);
    const bool changed = std::exchange(wanted_, events) != events;
    if (armed_ && changed) transfers_->loop_.cancel(*this);
  }
  void arm() {
    if (armed_ || happened_ != 0 || wanted_ == 0) return;
    armed_ = true;
    io_uring_sqe* const sqe = transfers_->loop_.prepare(this);
    const auto user_data = sqe->user_data;
    io_uring_prep_poll_add(sqe, fd_, wanted_);
    sqe->user_data = user_data;
  }
  void completed(int result, bool, std::uint32_t) override {
    armed_ = false;
    if (transfers_ == nullptr) return;
    // Given up for another set of events: nothing happened, and take_events() arms it again.
    if (result < 0 && result != -ECANCELED) happened_ = CURL_CSELECT_ERR;
    if (result > 0) {
      if ((result & (POLLIN | POLLHUP)) != 0) happened_ |= CURL_CSELECT_IN;
      if ((result & POLLOUT) != 0) happened_ |= CURL_CSELECT_OUT;
      if ((result & (POLLERR | POLLNVAL)) != 0) happened_ |= CURL_CSELECT_ERR;
    }
    if (!transfers_->events_->armed()) transfers_->events_->in(Duration::zero());
  }
  [[nodiscard]] bool armed() const { return armed_; }
  int take_happened() { return std::exchange(happened_, 0); }
  void forget() { transfers_ = nullptr; }

 private:
  Transfers* transfers_;
  int fd_;
  std::uint32_t wanted_ = 0;
  int happened_ = 0;
  bool armed_ = false;
};

/// One request, from its caller's frame.
class Transfers::Transfer final : private runtime::Stop::Listener {
 public:
  Transfer(Transfers& transfers, HttpRequest request, runtime::Stop& stop)
      : transfers_(transfers), request_(std::move(request)), stop_(stop), easy_(curl_easy_init()) {
    CHECK(easy_ != nullptr);
    headers_ = curl_slist_append(headers_, "Content-Type: application/json");
    headers_ = curl_slist_append(headers_, "Expect:");
    CHECK(headers_ != nullptr);
    set_up();
  }
  ~Transfer() {
    CHECK(!waiter_);
    curl_easy_cleanup(easy_);
    curl_slist_free_all(headers_);
  }
  Transfer(const Transfer&) = delete;

  bool await_ready() const { return false; }
  void await_suspend(std::coroutine_handle<> h) {
    waiter_ = h;
    stop_.add(*this);
    ++transfers_.under_way_;
    CHECK(curl_multi_add_handle(transfers_.multi_, easy_) == CURLM_OK);
  }
  Result<HttpAnswer> await_resume() {
    if (whole_) return std::move(answer_);
    if (!sent_ && stop_.requested()) return fail(Errc::stopped, "stopped before " + request_.url + " was asked");
    return fail(sent_ ? Errc::unknown : Errc::unavailable, fmt::format("{}: {}", request_.url, why_));
  }

  void finished(CURLcode code) {
    long status = 0;
    curl_easy_getinfo(easy_, CURLINFO_RESPONSE_CODE, &status);
    answer_.status = static_cast<int>(status);
    whole_ = code == CURLE_OK;
    if (too_long_)
      why_ = fmt::format("its answer has more than {} bytes", transfers_.answer_bytes_max_);
    else
      why_ = config::printable(error_[0] != '\0' ? error_ : curl_easy_strerror(code), 200);
    leave();
  }

 private:
  void stopped() override {
    why_ = "stopped while it was asked";
    leave();
  }
  void leave() {
    stop_.remove(*this);
    curl_multi_remove_handle(transfers_.multi_, easy_);
    --transfers_.under_way_;
    transfers_.loop_.post(std::exchange(waiter_, {}));
  }

  void set_up() {
    const TlsFiles& tls = transfers_.tls_;
    set(easy_, CURLOPT_URL, request_.url.c_str());
    set(easy_, CURLOPT_PROTOCOLS_STR, "http,https");
    set(easy_, CURLOPT_HTTP_VERSION, static_cast<long>(CURL_HTTP_VERSION_1_1));
    set(easy_, CURLOPT_HTTPHEADER, headers_);
    set(easy_, CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(request_.body.size()));
    set(easy_, CURLOPT_POSTFIELDS, request_.body.c_str());
    set(easy_, CURLOPT_PROXY, "");
    set(easy_, CURLOPT_NOSIGNAL, 1L);
    set(easy_, CURLOPT_FRESH_CONNECT, 1L);
    set(easy_, CURLOPT_FORBID_REUSE, 1L);
    set(easy_, CURLOPT_QUICK_EXIT, 1L);  // removing a request does not wait for the lookup of its name
    set(easy_, CURLOPT_CONNECTTIMEOUT_MS, milliseconds(request_.connect_timeout));
    set(easy_, CURLOPT_TIMEOUT_MS, milliseconds(request_.timeout));
    set(easy_, CURLOPT_ERRORBUFFER, error_);
    set(easy_, CURLOPT_PRIVATE, this);
    set(easy_, CURLOPT_WRITEFUNCTION, &Transfer::take_body);
    set(easy_, CURLOPT_WRITEDATA, this);
    set(easy_, CURLOPT_PREREQFUNCTION, &Transfer::about_to_send);
    set(easy_, CURLOPT_PREREQDATA, this);
    set(easy_, CURLOPT_OPENSOCKETFUNCTION, &Transfer::open_socket);
    set(easy_, CURLOPT_SSLVERSION, static_cast<long>(CURL_SSLVERSION_TLSv1_2));
    if (!tls.ca.empty()) {
      set(easy_, CURLOPT_CAINFO, tls.ca.c_str());
      set(easy_, CURLOPT_CAPATH, static_cast<const char*>(nullptr));  // else what the system has vouches too
    }
    if (tls.certificate.empty()) return;
    set(easy_, CURLOPT_SSLCERT, tls.certificate.c_str());
    set(easy_, CURLOPT_SSLKEY, tls.private_key.c_str());
  }

  static std::size_t take_body(char* bytes, std::size_t, std::size_t n, void* self) {
    auto& it = *static_cast<Transfer*>(self);
    if (n > it.transfers_.answer_bytes_max_ - it.answer_.body.size()) {
      it.too_long_ = true;
      return 0;
    }
    it.answer_.body.append(bytes, n);
    return n;
  }
  /// Called once connected (and known to each other), before the first byte of the request.
  static int about_to_send(void* self, char*, char*, int, int) {
    static_cast<Transfer*>(self)->sent_ = true;
    return CURL_PREREQFUNC_OK;
  }
  static curl_socket_t open_socket(void*, curlsocktype, curl_sockaddr* address) {
    return ::socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
  }

  Transfers& transfers_;
  HttpRequest request_;
  runtime::Stop& stop_;
  CURL* easy_;
  curl_slist* headers_ = nullptr;
  std::coroutine_handle<> waiter_;
  char error_[CURL_ERROR_SIZE] = {};
  HttpAnswer answer_;
  std::string why_;
  bool sent_ = false;
  bool whole_ = false;
  bool too_long_ = false;
};

struct Transfers::Callbacks {
  static int socket(CURL*, curl_socket_t fd, int what, void* self, void*) {
    static_cast<Transfers*>(self)->wanted(fd, what);
    return 0;
  }
  static int timer(CURLM*, long milliseconds, void* self) {
    Later& alarm = *static_cast<Transfers*>(self)->alarm_;
    if (milliseconds < 0)
      alarm.never();
    else
      alarm.in(std::chrono::milliseconds(milliseconds));
    return 0;
  }
};

Result<std::unique_ptr<Transfers>> Transfers::make(Loop& loop, TlsFiles tls, std::size_t answer_bytes_max) {
  static const CURLcode ready = curl_global_init(CURL_GLOBAL_DEFAULT);
  if (ready != CURLE_OK) return fail(Errc::unavailable, fmt::format("libcurl can't be used: {}", curl_easy_strerror(ready)));
  return std::unique_ptr<Transfers>(new Transfers(loop, std::move(tls), answer_bytes_max));
}

Transfers::Transfers(Loop& loop, TlsFiles tls, std::size_t answer_bytes_max)
    : loop_(loop),
      tls_(std::move(tls)),
      answer_bytes_max_(answer_bytes_max),
      multi_(curl_multi_init()),
      alarm_(std::make_unique<Later>(*this, &Transfers::time_is_over)),
      events_(std::make_unique<Later>(*this, &Transfers::take_events)) {
  CHECK(multi_ != nullptr);
  curl_multi_setopt(multi_, CURLMOPT_SOCKETFUNCTION, &Callbacks::socket);
  curl_multi_setopt(multi_, CURLMOPT_SOCKETDATA, this);
  curl_multi_setopt(multi_, CURLMOPT_TIMERFUNCTION, &Callbacks::timer);
  curl_multi_setopt(multi_, CURLMOPT_TIMERDATA, this);
}

Transfers::~Transfers() {
  CHECK(under_way_ == 0);
  curl_multi_cleanup(multi_);
  CHECK(polls_.empty());
}

void Transfers::wanted(int fd, int what) {
  auto& poll = polls_[fd];
  if (what != CURL_POLL_REMOVE) {
    if (poll == nullptr) poll = std::make_unique<Poll>(*this, fd);
    poll->want(what);
    poll->arm();
    return;
  }
  // The descriptor is about to be closed, and its number given to another one.
  if (poll != nullptr && poll->armed()) {
    poll->forget();
    loop_.cancel(*poll);
    loop_.abandon(std::move(poll));
    loop_.submit();
  }
  polls_.erase(fd);
}

void Transfers::act(int fd, int events) {
  int running = 0;
  CHECK(curl_multi_socket_action(multi_, fd, events, &running) == CURLM_OK);
}

void Transfers::time_is_over() {
  act(CURL_SOCKET_TIMEOUT, 0);
  take_finished();
}

void Transfers::take_events() {
  std::vector<std::pair<int, int>> happened;
  for (const auto& [fd, poll] : polls_)
    if (const int events = poll->take_happened(); events != 0) happened.emplace_back(fd, events);
  for (const auto& [fd, events] : happened)
    if (polls_.contains(fd)) act(fd, events);
  take_finished();
  for (const auto& [fd, poll] : polls_) poll->arm();  // those that happened, and those that want something else now
}

void Transfers::take_finished() {
  int left = 0;
  while (const CURLMsg* const message = curl_multi_info_read(multi_, &left)) {
    if (message->msg != CURLMSG_DONE) continue;
    void* transfer = nullptr;
    const CURLcode code = message->data.result;
    curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &transfer);
    static_cast<Transfer*>(transfer)->finished(code);
  }
}

Task<Result<HttpAnswer>> Transfers::post(HttpRequest request, runtime::Stop& stop) {
  if (stop.requested()) co_return fail(Errc::stopped, "stopped before " + request.url + " was asked");
  Transfer transfer(*this, std::move(request), stop);
  co_return co_await transfer;
}

}  // namespace lockstep::uring
