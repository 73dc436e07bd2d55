#include "sim/network.h"

#include <algorithm>

#include "core/check.h"
#include "core/checksum.h"
#include "sim/machine.h"
#include "sim/net.h"
#include "sim/process.h"

namespace lockstep::sim {
namespace {

constexpr Duration kLocalDelayMax{20'000};

void wake(StreamEnd& end) {
  if (end.handle != nullptr) end.handle->wake();
}

}  // namespace

SimListener* Network::listener(const std::string& address) {
  const auto it = listeners_.find(address);
  return it == listeners_.end() ? nullptr : it->second;
}

void Network::remove_listener(const SimListener& listener) {
  std::erase_if(listeners_, [&](const auto& entry) { return entry.second == &listener; });
}

Duration Network::draw_delay(Machine& from, Machine& to) {
  if (&from == &to) return prng_.between(Duration(1000), kLocalDelayMax);
  return prng_.between(weather.delay_min, weather.delay_max);
}

std::shared_ptr<Stream> Network::open(Process& connecting, Process& listening, std::string address) {
  auto stream = std::make_shared<Stream>();
  stream->address = std::move(address);
  stream->ends[0].machine = &connecting.machine();
  stream->ends[0].process = &connecting;
  stream->ends[1].machine = &listening.machine();
  stream->ends[1].process = &listening;
  for (int from = 0; from < 2; ++from) {
    const auto plan = cut_plans_.find({stream->ends[from].machine, stream->ends[1 - from].machine});
    if (plan == cut_plans_.end()) continue;
    stream->ends[from].cut_after = plan->second;
    cut_plans_.erase(plan);
  }
  streams_.push_back(stream);
  return stream;
}

std::size_t Network::send(const std::shared_ptr<Stream>& stream, int end, std::span<const Bytes> parts) {
  StreamEnd& from = stream->ends[end];
  StreamEnd& to = stream->ends[1 - end];
  std::uint64_t wanted = 0;
  for (const Bytes part : parts) wanted += part.size();
  const std::uint64_t room = weather.buffer_bytes - std::min(weather.buffer_bytes, from.outstanding);
  std::uint64_t taken = std::min(wanted, room);
  if (taken > 1 && prng_.chance(weather.short_send_permille)) taken = 1 + prng_.below(taken);
  if (taken == 0) return 0;

  std::string bytes;
  bytes.reserve(taken);
  for (const Bytes part : parts) {
    const std::size_t n = std::min<std::size_t>(part.size(), taken - bytes.size());
    bytes.append(reinterpret_cast<const char*>(part.data()), n);
  }
  universe_.note(checksum(std::as_bytes(std::span(bytes))));
  if (tap) tap(*from.machine, *to.machine, std::as_bytes(std::span(bytes)));
  sent_[{from.machine, to.machine}] += taken;
  from.outstanding += taken;
  // Behind the place of a planned cut nothing travels, but the sender does not know.
  const std::uint64_t left = from.cut_after - std::min(from.cut_after, from.sent);
  from.sent += taken;
  if (bytes.size() > left) bytes.resize(left);
  const Duration travel = draw_delay(*from.machine, *to.machine);
  const Duration pushing(static_cast<std::int64_t>(taken * 1'000'000 / weather.bytes_per_ms));
  from.last_arrival = std::max(from.last_arrival, universe_.now() + travel) + pushing;
  from.in_flight.emplace_back(from.last_arrival, std::move(bytes));
  schedule_delivery(stream, end);
  return taken;
}

void Network::schedule_delivery(const std::shared_ptr<Stream>& stream, int from) {
  const Instant arrival = stream->ends[from].last_arrival;
  const Duration wait = std::max(arrival - universe_.now(), Duration::zero());
  universe_.after(wait, nullptr, [this, stream, from] { deliver(stream, from); });
}

void Network::take_in(StreamEnd& sender, StreamEnd& receiver, std::string bytes) {
  if (!receiver.open) {
    sender.outstanding -= std::min<std::uint64_t>(sender.outstanding, bytes.size());
    return;
  }
  receiver.received += bytes;
  wake(receiver);
}

void Network::deliver(const std::shared_ptr<Stream>& stream, int from) {
  StreamEnd& sender = stream->ends[from];
  StreamEnd& receiver = stream->ends[1 - from];
  if (stream->cut || blocked(*sender.machine, *receiver.machine)) return;
  while (!sender.in_flight.empty() && sender.in_flight.front().first <= universe_.now()) {
    std::string bytes = std::move(sender.in_flight.front().second);
    sender.in_flight.pop_front();
    sender.delivered += bytes.size();
    take_in(sender, receiver, std::move(bytes));
  }
  if (sender.sent > 0 && sender.delivered >= sender.cut_after) return cut_stream(stream, true, true);
  if (!sender.in_flight.empty()) return;
  if (sender.close_in_flight && sender.last_arrival <= universe_.now()) {
    receiver.peer_closed = true;
    wake(receiver);
    drop_if_over(stream);
  }
}

void Network::acknowledge(const std::shared_ptr<Stream>& stream, int end, std::size_t n) {
  const int sender = 1 - end;
  const Duration travel = draw_delay(*stream->ends[end].machine, *stream->ends[sender].machine);
  universe_.after(travel, nullptr, [stream, sender, n] {
    StreamEnd& it = stream->ends[sender];
    it.outstanding -= std::min<std::uint64_t>(it.outstanding, n);
    wake(it);
  });
}

void Network::close(const std::shared_ptr<Stream>& stream, int end) {
  StreamEnd& it = stream->ends[end];
  if (!it.open) return;
  it.open = false;
  it.received.clear();
  wake(it);
  it.close_in_flight = true;
  const Duration travel = draw_delay(*it.machine, *stream->ends[1 - end].machine);
  it.last_arrival = std::max(it.last_arrival, universe_.now() + travel);
  schedule_delivery(stream, end);
  drop_if_over(stream);
}

void Network::drop_if_over(const std::shared_ptr<Stream>& stream) {
  const auto over = [](const StreamEnd& end) { return !end.open; };
  if (over(stream->ends[0]) && over(stream->ends[1])) std::erase(streams_, stream);
}

void Network::cut_stream(const std::shared_ptr<Stream>& stream, bool notice0, bool notice1) {
  if (stream->cut) return;
  stream->cut = true;
  for (int from = 0; from < 2; ++from) {
    StreamEnd& sender = stream->ends[from];
    StreamEnd& receiver = stream->ends[1 - from];
    std::string rest;
    for (auto& [time, bytes] : sender.in_flight) rest += bytes;
    sender.in_flight.clear();
    const bool held = blocked(*sender.machine, *receiver.machine);
    rest.resize(held || rest.empty() ? 0 : prng_.below(rest.size() + 1));
    if (!rest.empty()) take_in(sender, receiver, std::move(rest));
  }
  const bool notices[2] = {notice0, notice1};
  for (int end = 0; end < 2; ++end) {
    if (!notices[end]) continue;
    universe_.after(draw_delay(*stream->ends[0].machine, *stream->ends[1].machine), nullptr, [stream, end] {
      stream->ends[end].broken = true;
      wake(stream->ends[end]);
    });
  }
}

void Network::cut(Machine& first, Machine& second, CutNotice notice) {
  const bool of_first = notice == CutNotice::both || notice == CutNotice::first;
  const bool of_second = notice == CutNotice::both || notice == CutNotice::second;
  const auto streams = streams_;
  for (const auto& stream : streams) {
    const Machine* a = stream->ends[0].machine;
    const Machine* b = stream->ends[1].machine;
    if (a == &first && b == &second) cut_stream(stream, of_first, of_second);
    if (a == &second && b == &first && a != b) cut_stream(stream, of_second, of_first);
  }
}

void Network::cut_after(Machine& from, Machine& to, std::uint64_t bytes) {
  for (const auto& stream : streams_) {
    for (int end = 0; end < 2; ++end) {
      StreamEnd& it = stream->ends[end];
      if (it.machine == &from && stream->ends[1 - end].machine == &to) it.cut_after = it.sent + bytes;
    }
  }
}

void Network::block(Machine& from, Machine& to, bool on) {
  if (on) {
    blocks_.emplace(&from, &to);
    return;
  }
  blocks_.erase({&from, &to});
  // What was held goes on its way again.
  for (const auto& stream : streams_) {
    for (int end = 0; end < 2; ++end) {
      StreamEnd& sender = stream->ends[end];
      if (sender.machine != &from || stream->ends[1 - end].machine != &to) continue;
      const Instant arrival = universe_.now() + draw_delay(from, to);
      for (auto& [time, bytes] : sender.in_flight) time = std::max(time, arrival);
      sender.last_arrival = std::max(sender.last_arrival, arrival);
      schedule_delivery(stream, end);
    }
  }
}

void Network::close_all_of(Process& process, bool silently) {
  std::vector<SimListener*> ended;
  for (const auto& [address, listener] : listeners_) {
    if (&listener->process() == &process) ended.push_back(listener);
  }
  for (const SimListener* listener : ended) remove_listener(*listener);
  const auto streams = streams_;
  for (const auto& stream : streams) {
    for (int end = 0; end < 2; ++end) {
      StreamEnd& it = stream->ends[end];
      if (it.process != &process || !it.open) continue;
      it.handle = nullptr;
      if (!silently) {
        close(stream, end);
        continue;
      }
      // The machine lost its power: nobody says goodbye, and what is on its way to it is lost.
      it.open = false;
      stream->cut = true;
      drop_if_over(stream);
    }
  }
}

}  // namespace lockstep::sim
