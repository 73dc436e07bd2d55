// network.h - the streams between machines, in virtual time.
//
//   try_send -> [in flight, delayed, in order] -> [received] -> receive
//               '------ at most buffer_bytes until received and acknowledged ------'
//
// A cut ends streams: of what is in flight some prefix still arrives, then each end that notices sees `unavailable`.
// A block holds what is in flight until it is lifted, and lets connects time out; the streams live on, as TCP's do.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "sim/universe.h"

namespace lockstep::sim {

struct NetWeather {
  Duration delay_min{100'000}, delay_max{2'000'000};
  std::uint64_t bytes_per_ms = 1'000'000;
  std::uint64_t buffer_bytes = 256 << 10;
  unsigned short_send_permille = 100;     ///< try_send() takes less than it could
  unsigned short_receive_permille = 100;  ///< receive() gives less than it could
};

enum class CutNotice {
  both,   ///< both ends see it after some time
  first,  ///< only the first of the two machines does: the other end is half-open
  second,
  nobody,
};

class SimConnection;
class SimListener;
struct Stream;

/// One end of a stream; 0 belongs to the machine that connected.
struct StreamEnd {
  Machine* machine = nullptr;
  Process* process = nullptr;
  SimConnection* handle = nullptr;  ///< null: not accepted yet, or gone
  bool open = true;                 ///< false: shut down here, the process is gone
  bool broken = false;              ///< noticed that the stream was cut
  bool peer_closed = false;
  std::string received;
  // What this end sends:
  std::deque<std::pair<Instant, std::string>> in_flight;  ///< with the time of its arrival
  bool close_in_flight = false;
  Instant last_arrival;
  std::uint64_t outstanding = 0;  ///< bytes sent and not yet acknowledged
  std::uint64_t sent = 0, delivered = 0;
  std::uint64_t cut_after = ~0ull;  ///< the stream is cut when this many of its bytes arrived
};

struct Stream {
  StreamEnd ends[2];
  std::string address;
  bool cut = false;
};

class Network {
 public:
  Network(Universe& universe, Prng prng) : universe_(universe), prng_(prng) {}

  NetWeather weather;
  /// Ends every stream between the two now.
  void cut(Machine& first, Machine& second, CutNotice notice = CutNotice::both);
  /// What `from` sends to `to` stays on the way, connects included, until it is lifted.
  void block(Machine& from, Machine& to, bool on);
  void partition(Machine& a, Machine& b, bool on) {
    block(a, b, on);
    block(b, a, on);
  }
  /// The next stream between the two is cut when `bytes` bytes from `from` arrived at `to`; what `from` sent beyond is
  /// lost.
  void cut_next_after(Machine& from, Machine& to, std::uint64_t bytes) { cut_plans_[{&from, &to}] = bytes; }
  /// The streams that are open between the two are cut when `bytes` more bytes from `from`, of those it has not handed over
  /// yet, arrived at `to`; what `from` sends beyond is lost.
  void cut_after(Machine& from, Machine& to, std::uint64_t bytes);
  /// Sees what is handed over, before chance or a planned cut shortens what arrives; null: nobody.
  std::function<void(const Machine& from, const Machine& to, Bytes bytes)> tap;
  /// Bytes that `from` handed over for `to`, ever.
  [[nodiscard]] std::uint64_t sent(Machine& from, Machine& to) { return sent_[{&from, &to}]; }
  [[nodiscard]] std::size_t streams() const { return streams_.size(); }

  // For the ends of processes.
  [[nodiscard]] Universe& universe() { return universe_; }
  [[nodiscard]] Prng& prng() { return prng_; }
  /// Null: nobody listens. `address` as made by full_address().
  [[nodiscard]] SimListener* listener(const std::string& address);
  bool add_listener(const std::string& address, SimListener& listener) {
    return listeners_.emplace(address, &listener).second;
  }
  void remove_listener(const SimListener& listener);
  [[nodiscard]] bool blocked(Machine& from, Machine& to) const { return blocks_.contains({&from, &to}); }
  [[nodiscard]] Duration draw_delay(Machine& from, Machine& to);
  std::shared_ptr<Stream> open(Process& connecting, Process& listening, std::string address);
  /// How many bytes were taken.
  std::size_t send(const std::shared_ptr<Stream>& stream, int end, std::span<const Bytes> parts);
  /// `n` bytes were taken out of what `end` received.
  void acknowledge(const std::shared_ptr<Stream>& stream, int end, std::size_t n);
  /// This end is closed; the other sees that behind what was sent.
  void close(const std::shared_ptr<Stream>& stream, int end);
  void close_all_of(Process& process, bool silently);

 private:
  using Pair = std::pair<const Machine*, const Machine*>;
  void schedule_delivery(const std::shared_ptr<Stream>& stream, int from);
  void deliver(const std::shared_ptr<Stream>& stream, int from);
  void take_in(StreamEnd& sender, StreamEnd& receiver, std::string bytes);
  void cut_stream(const std::shared_ptr<Stream>& stream, bool notice0, bool notice1);
  void drop_if_over(const std::shared_ptr<Stream>& stream);

  Universe& universe_;
  Prng prng_;
  std::map<std::string, SimListener*> listeners_;
  std::vector<std::shared_ptr<Stream>> streams_;
  std::set<Pair> blocks_;
  std::map<Pair, std::uint64_t> cut_plans_;
  std::map<Pair, std::uint64_t> sent_;
};

}  // namespace lockstep::sim
