// etcd_transfers.h - HTTP requests of the loop: libcurl's multi socket interface on the ring's polls and the loop's timers.
//
// libcurl says which descriptors it waits for and until when. What happened is noted as it comes, and handed to libcurl by a
// timer that is due at once, never from within its callbacks. Its system calls are not in the loop's statistics.
//
// Each request has a connection of its own, which is closed behind it: on a connection that is used again libcurl sends a request
// a second time if the first got no answer, and a swap must not be sent twice. They are few. No proxy of the environment is
// used, no redirection followed, and names are looked up by a thread of libcurl, which is left behind when it takes too long.
#pragma once

#include <coroutine>
#include <cstddef>
#include <map>
#include <memory>
#include <string>

#include "arbiter/etcd.h"
#include "core/result.h"
#include "core/types.h"
#include "runtime/sync.h"
#include "runtime/task.h"
#include "uring/loop.h"

namespace lockstep::uring {

/// How endpoints are known, and this site to them; files in PEM, empty: none (of `ca`: what the system has).
struct TlsFiles {
  std::string ca, certificate, private_key;
};

struct HttpRequest {
  std::string url;
  std::string body;          ///< JSON
  Duration connect_timeout;  ///< until the request is on its way
  Duration timeout;          ///< until its answer is complete
};

class Transfers final {
 public:
  /// Longer answers are given up. Errc::unavailable: libcurl can't be had.
  static Result<std::unique_ptr<Transfers>> make(Loop& loop, TlsFiles tls, std::size_t answer_bytes_max);
  /// Requires: nothing is under way.
  ~Transfers();
  Transfers(const Transfers&) = delete;

  /// Sends one POST; its answer, whatever status it has. Errc::unavailable: nothing was sent. Errc::unknown: something was,
  /// and no whole answer came, or `stop`. Errc::stopped: `stop` came before anything was sent. Suspends.
  runtime::Task<Result<arbiter::HttpAnswer>> post(HttpRequest request, runtime::Stop& stop);

 private:
  class Transfer;
  class Poll;
  class Later;
  struct Callbacks;

  Transfers(Loop& loop, TlsFiles tls, std::size_t answer_bytes_max);
  void wanted(int fd, int what);
  void time_is_over();
  void take_events();
  void act(int fd, int events);
  void take_finished();

  Loop& loop_;
  TlsFiles tls_;
  std::size_t answer_bytes_max_;
  void* multi_ = nullptr;
  std::map<int, std::unique_ptr<Poll>> polls_;
  std::unique_ptr<Later> alarm_;   // time_is_over(), when libcurl wants it
  std::unique_ptr<Later> events_;  // take_events(), when something happened
  std::size_t under_way_ = 0;
};

}  // namespace lockstep::uring
