#include "peer/session.h"

#include <algorithm>
#include <cstring>

namespace lockstep::peer {
namespace {

constexpr std::size_t kPartsMax = 256;            // parts handed to the transport at once
constexpr std::size_t kBufferBytes = 256u << 10;  // grows to one frame where that is larger

}  // namespace

Session::Session(runtime::Scheduler& scheduler, std::unique_ptr<runtime::Connection> connection)
    : connection_(std::move(connection)), buffer_(kBufferBytes), room_(scheduler), scope_(scheduler) {}

Session::~Session() { CHECK(scope_.running() == 0); }

void Session::send(const wire::Message& message, Bytes payload, std::shared_ptr<void> keep) {
  if (ended_) return;
  CHECK(payload.size() <= wire::kPayloadBytesMax);
  Frame& frame = queue_.emplace_back();
  frame.head = wire::encode(message, static_cast<std::uint32_t>(payload.size()));
  if (keep || payload.empty()) {
    frame.payload = payload;
    frame.keep = std::move(keep);
  } else {
    frame.owned.assign(payload.begin(), payload.end());
    frame.payload = frame.owned;
  }
  queued_bytes_ += frame.bytes();
  ++counters_.frames_sent;
  counters_.payload_sent += payload.size();
}

void Session::take_sent(std::uint64_t bytes) {
  queued_bytes_ -= bytes;
  counters_.bytes_sent += bytes;
  bytes += front_sent_;
  while (!queue_.empty() && bytes >= queue_.front().bytes()) {
    bytes -= queue_.front().bytes();
    queue_.pop_front();
  }
  front_sent_ = bytes;
}

void Session::flush() {
  while (!ended_ && !draining_ && !queue_.empty()) {
    std::array<Bytes, kPartsMax> parts;
    std::size_t count = 0;
    std::uint64_t total = 0;
    std::uint64_t skip = front_sent_;
    for (const Frame& frame : queue_) {
      if (count + 2 > kPartsMax) break;
      for (Bytes part : {Bytes(frame.head), frame.payload}) {
        const std::uint64_t cut = std::min<std::uint64_t>(skip, part.size());
        skip -= cut;
        part = part.subspan(cut);
        if (part.empty()) continue;
        parts[count++] = part;
        total += part.size();
      }
    }
    ++counters_.sends;
    const Result<std::size_t> sent = connection_->try_send(std::span(parts).first(count));
    if (!sent) {
      shutdown();
      return;
    }
    take_sent(*sent);
    if (*sent < total) {
      draining_ = true;
      scope_.spawn(drain());
      return;
    }
  }
}

runtime::Task<void> Session::drain() {
  const Result<> ready = co_await connection_->sendable();
  draining_ = false;
  if (!ready) {
    shutdown();
    co_return;
  }
  flush();
  if (queued_bytes_ <= kQueueBytesMax) room_.notify_all();
}

runtime::Task<void> Session::room() {
  while (!ended_ && queued_bytes_ > kQueueBytesMax) co_await room_.wait();
}

runtime::Task<Result<>> Session::fill(std::size_t needed) {
  if (begin_ == end_) begin_ = end_ = 0;
  if (begin_ + needed > buffer_.size()) {
    if (begin_ > 0) {
      std::memmove(buffer_.data(), buffer_.data() + begin_, end_ - begin_);
      end_ -= begin_;
      begin_ = 0;
    }
    if (needed > buffer_.size()) buffer_.resize(needed);
  }
  while (end_ - begin_ < needed) {
    const Result<std::size_t> got = co_await connection_->receive(MutableBytes(buffer_).subspan(end_));
    if (!got) co_return std::unexpected(got.error());
    if (ended_) co_return fail(Errc::unavailable, "the connection was closed here");
    if (*got == 0) co_return fail(Errc::unavailable, "the other side closed the connection");
    end_ += *got;
    counters_.bytes_received += *got;
  }
  co_return Result<>{};
}

runtime::Task<Result<Incoming>> Session::receive() {
  Result<> filled = co_await fill(wire::kHeaderBytes);
  if (!filled) co_return std::unexpected(filled.error());
  const Result<wire::FrameHeader> header =
      wire::decode_header(Bytes(buffer_).subspan(begin_, wire::kHeaderBytes));
  if (!header) co_return std::unexpected(header.error());
  const std::size_t whole = wire::kHeaderBytes + header->body_bytes + header->payload_bytes;
  filled = co_await fill(whole);
  if (!filled) co_return std::unexpected(filled.error());
  const Bytes frame = Bytes(buffer_).subspan(begin_, whole);
  begin_ += whole;
  ++counters_.frames_received;
  Result<wire::Message> message = wire::decode_body(*header, frame.subspan(wire::kHeaderBytes, header->body_bytes));
  if (!message) co_return std::unexpected(message.error());
  Incoming incoming{std::move(*message), frame.subspan(wire::kHeaderBytes + header->body_bytes)};
  co_return Result<Incoming>(std::move(incoming));
}

void Session::shutdown() {
  if (std::exchange(ended_, true)) return;
  connection_->shutdown();
  room_.notify_all();
}

runtime::Task<void> Session::join() {
  CHECK(ended_);
  co_await scope_.join();
}

}  // namespace lockstep::peer
