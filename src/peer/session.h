// session.h - one connection to the other site: frames out, frames in.
//
// Frames queue in memory and leave with flush(), all in one call of the transport. What it does not take at once leaves
// when it can; a connection whose queue would pass kQueueBytesMax is not fed further: room() waits.
// Anything malformed ends the session with one line of log. The session knows nothing of what messages mean.
#pragma once

#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "core/result.h"
#include "runtime/net.h"
#include "runtime/sync.h"
#include "wire/codec.h"

namespace lockstep::peer {

/// Bytes of frames that wait for the transport before room() makes callers wait.
inline constexpr std::uint64_t kQueueBytesMax = 8u << 20;

/// A received message. `payload` is valid until the next receive().
struct Incoming {
  wire::Message message;
  Bytes payload;
};

class Session {
 public:
  Session(runtime::Scheduler& scheduler, std::unique_ptr<runtime::Connection> connection);
  ~Session();
  Session(const Session&) = delete;

  [[nodiscard]] std::string peer_address() const { return connection_->peer_address(); }

  /// Queues one frame. `payload` is kept alive by `keep`, or (null) copied. After the end of the session: nothing happens.
  void send(const wire::Message& message, Bytes payload = {}, std::shared_ptr<void> keep = nullptr);
  /// Hands what is queued to the transport.
  void flush();
  /// Suspends while more than kQueueBytesMax wait.
  runtime::Task<void> room();

  /// The next message. Errc::unavailable: the session ended; Errc::invalid: bytes that break the protocol (what, where).
  /// Suspends.
  runtime::Task<Result<Incoming>> receive();

  /// Ends it: receive() answers, nothing more is sent. May be called at any time.
  void shutdown();
  [[nodiscard]] bool ended() const { return ended_; }
  /// Suspends until nothing of the session runs any more. Requires shutdown().
  runtime::Task<void> join();

  struct Counters {
    std::uint64_t frames_sent = 0, bytes_sent = 0, payload_sent = 0, frames_received = 0, bytes_received = 0, sends = 0;
  };
  [[nodiscard]] const Counters& counters() const { return counters_; }

 private:
  struct Frame {
    std::vector<std::byte> head;      // header and body
    std::vector<std::byte> owned;     // payload, when copied
    Bytes payload;
    std::shared_ptr<void> keep;
    [[nodiscard]] std::uint64_t bytes() const { return head.size() + payload.size(); }
  };
  runtime::Task<void> drain();
  runtime::Task<Result<>> fill(std::size_t needed);
  void take_sent(std::uint64_t bytes);

  std::unique_ptr<runtime::Connection> connection_;
  std::deque<Frame> queue_;
  std::uint64_t queued_bytes_ = 0;
  std::uint64_t front_sent_ = 0;  // bytes of the first frame that already left
  bool draining_ = false;
  bool ended_ = false;
  std::vector<std::byte> buffer_;
  std::size_t begin_ = 0, end_ = 0;  // unread bytes of buffer_
  Counters counters_;
  runtime::Event room_;
  runtime::Scope scope_;
};

}  // namespace lockstep::peer
