#include "area/record_ring.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "area/record_reader.h"
#include "core/check.h"
#include "core/checksum.h"
#include "core/log.h"

namespace lockstep::area {
namespace {

std::uint64_t checksum_of(const LogHeaderBytes& header) {
  return checksum(std::as_bytes(std::span(&header, 1)).first(offsetof(LogHeaderBytes, checksum)));
}

}  // namespace

RecordRing::RecordRing(std::unique_ptr<runtime::File> file, std::uint64_t ring_bytes, runtime::Scheduler& scheduler,
                       Failure& failure)
    : file_(std::move(file)), failure_(failure), forgetting_(scheduler, 1), ring_bytes_(ring_bytes) {}

runtime::Task<Result<>> RecordRing::write_headers(runtime::File& file, LogHeaderBytes& header) {
  for (std::size_t i = 0; i < 2; ++i) {
    ++header.generation;
    header.checksum = checksum_of(header);
    std::array<std::byte, kBlockBytes> block{};
    std::memcpy(block.data(), &header, sizeof header);
    const std::array<Bytes, 1> parts{Bytes(block)};
    const std::uint64_t offset = header.generation % 2 * kBlockBytes;
    Result<> done = file.write_now(offset, parts);
    // The second copy is written only when the first is stable: one of them is whole at any time.
    if (done) done = co_await file.sync({offset, kBlockBytes});
    if (!done) co_return done;
  }
  co_return Result<>{};
}

runtime::Task<Result<>> RecordRing::format(runtime::File& file, std::uint64_t log_bytes) {
  CHECK(log_bytes >= kLogBytesMin && log_bytes % kBlockBytes == 0 && log_bytes <= file.bytes());
  LogHeaderBytes header{};
  header.magic = LogHeaderBytes::kMagic;
  header.ring_bytes = log_bytes - kLogRingOffset;
  co_return co_await write_headers(file, header);
}

runtime::Task<Result<std::unique_ptr<RecordRing>>> RecordRing::open(std::unique_ptr<runtime::File> file,
                                                                    std::uint64_t log_bytes,
                                                                    runtime::Scheduler& scheduler, Failure& failure) {
  CHECK(log_bytes >= kLogBytesMin && log_bytes % kBlockBytes == 0 && log_bytes <= file->bytes());
  std::unique_ptr<RecordRing> ring(new RecordRing(std::move(file), log_bytes - kLogRingOffset, scheduler, failure));
  Result<> recovered = co_await ring->recover();
  if (!recovered) co_return std::unexpected(std::move(recovered.error()));
  ring->check_invariants();
  co_return std::move(ring);
}

runtime::Task<Result<>> RecordRing::read_headers() {
  bool found = false;
  std::vector<std::size_t> bad;
  for (std::size_t copy = 0; copy < 2; ++copy) {
    std::array<std::byte, kBlockBytes> block{};
    Result<> read = co_await file_->read(copy * kBlockBytes, block);
    LogHeaderBytes header{};
    std::memcpy(&header, block.data(), sizeof header);
    const bool good = read && header.magic == LogHeaderBytes::kMagic && header.checksum == checksum_of(header) &&
                      header.ring_bytes == ring_bytes_ && header.first_position % kRecordAlignment == 0;
    if (!good) {
      bad.push_back(copy);
    } else if (!found || header.generation > header_.generation) {
      header_ = header;
      found = true;
    }
  }
  if (!found) {
    co_return fail(Errc::corrupt,
                   "log: both copies of its header are damaged; format this site's area again and let it catch up "
                   "from the other site");
  }
  if (!bad.empty()) log::warning("log: copy {} of its header was damaged; it is written again from the other", bad.front());
  co_return Result<>{};
}

runtime::Task<Result<>> RecordRing::recover() {
  Result<> headers = co_await read_headers();
  if (!headers) co_return headers;
  first_ = header_.first_position;
  forgotten_ = Seq{header_.forgotten};
  RecordReader reader(*file_, ring_bytes_, Place{first_, forgotten_, header_.first_run}, first_ + ring_bytes_);
  while (true) {
    Result<bool> next = co_await reader.next();
    if (!next) co_return std::unexpected(std::move(next.error()));
    if (!*next) break;
    if (!reader.is_note()) note(reader.seq(), reader.before());
  }
  written_ = synced_ = reader.place().position;
  last_ = stable_ = reader.place().previous;
  last_run_ = std::max(reader.place().run, header_.run);
  pending_.resize(tail());
  Result<> read = co_await file_->read(kLogRingOffset + (written_ - tail()) % ring_bytes_, pending_);
  if (!read) co_return read;
  // What was read is told to others as being here, so it must not vanish when the power goes.
  Result<> stable = co_await file_->sync({0, kLogRingOffset + ring_bytes_});
  if (!stable) co_return stable;
  header_.run = ++last_run_;
  point_ = {header_.run, written_};
  co_return co_await write_headers(*file_, header_);
}

void RecordRing::note(Seq seq, Place place) {
  if (marks_.empty() || mark_at_ == place.position || place.position - marks_.back().place.position >= kMarkBytes)
    marks_.push_back({seq, place});
}

Result<> RecordRing::append(Seq seq, Bytes body) {
  CHECK(seq > last_);
  if (Result<> usable = failure_.check(); !usable) return usable;
  const std::uint64_t room = record_bytes(body.size());
  if (body.size() > kRecordBodyBytesMax || room > bytes()) {
    return fail(Errc::invalid, fmt::format("a record of {} bytes does not fit a log of {} bytes; make log_size larger",
                                           body.size(), bytes()));
  }
  if (bytes_used() + room > bytes()) return fail(Errc::busy, fmt::format("the log of {} bytes is full", bytes()));
  note(seq, Place{end(), last_, header_.run});
  put(RecordHeader::kMagic, seq, body);
  last_ = seq;
  return {};
}

Result<> RecordRing::append_note(Bytes body) {
  CHECK(forgetting_.used() > 0 && body.size() <= kRecordBodyBytesMax);
  if (Result<> usable = failure_.check(); !usable) return usable;
  if (marks_.empty()) return {};
  if (bytes_used() + record_bytes(body.size()) > ring_bytes_ - kSlack) return fail(Errc::busy, "the log has no room for notes");
  put(RecordHeader::kNoteMagic, last_, body);
  return {};
}

void RecordRing::put(std::uint32_t magic, Seq seq, Bytes body) {
  RecordHeader header{};
  header.magic = magic;
  header.length = static_cast<std::uint32_t>(body.size());
  header.seq = seq.value;
  header.previous = last_.value;
  header.position = end();
  header.run = header_.run;
  const std::size_t at = pending_.size();
  pending_.resize(at + record_bytes(body.size()));  // fills up with zeros
  std::memcpy(pending_.data() + at, &header, sizeof header);
  if (!body.empty()) std::memcpy(pending_.data() + at + sizeof header, body.data(), body.size());
  const std::uint64_t sum =
      checksum(Bytes(pending_).subspan(at + sizeof sum, sizeof header - sizeof sum + body.size()));
  std::memcpy(pending_.data() + at, &sum, sizeof sum);
  point_.position = end();
}

Result<> RecordRing::write_bytes(std::uint64_t position, Bytes bytes) {
  const std::uint64_t at = position % ring_bytes_;
  const std::uint64_t here = std::min<std::uint64_t>(bytes.size(), ring_bytes_ - at);
  const std::array<Bytes, 1> head{bytes.first(here)};
  Result<> done = file_->write_now(kLogRingOffset + at, head);
  if (!done || here == bytes.size()) return done;
  const std::array<Bytes, 1> rest{bytes.subspan(here)};
  return file_->write_now(kLogRingOffset, rest);
}

Result<> RecordRing::flush() {
  if (Result<> usable = failure_.check(); !usable) return usable;
  if (end() == written_) return {};
  const std::uint64_t from = written_ - tail();
  const std::uint64_t bytes = pending_.size();
  pending_.resize((bytes + kBlockBytes - 1) / kBlockBytes * kBlockBytes);
  Result<> done = write_bytes(from, pending_);
  pending_.resize(bytes);
  if (!done) return failure_.note(std::move(done.error()));
  written_ = from + bytes;
  pending_.erase(pending_.begin(), pending_.end() - static_cast<std::ptrdiff_t>(tail()));
  return {};
}

runtime::Task<Result<>> RecordRing::sync() {
  Result<> flushed = flush();
  if (!flushed) co_return flushed;
  const std::uint64_t from = synced_;
  const std::uint64_t to = written_;
  const Seq last = last_;
  if (from == to) co_return Result<>{};
  const std::uint64_t at = from % ring_bytes_;
  const std::uint64_t here = std::min(to - from, ring_bytes_ - at);
  Result<> done = co_await file_->sync({kLogRingOffset + at, here});
  if (done && here < to - from) done = co_await file_->sync({kLogRingOffset, to - from - here});
  if (!done) co_return failure_.note(std::move(done.error()));
  synced_ = std::max(synced_, to);
  stable_ = std::max(stable_, last);
  co_return Result<>{};
}

runtime::Task<Result<>> RecordRing::forget_through(Seq seq) {
  co_await forgetting_.take(1);
  Result<> done = co_await forget(seq);
  mark_at_.reset();
  forgetting_.give_back(1);
  co_return done;
}

runtime::Task<Result<>> RecordRing::forget(Seq seq) {
  Result<> flushed = flush();
  if (!flushed) co_return flushed;
  if (marks_.empty() || seq < marks_.front().seq) co_return Result<>{};
  Place to{written_, last_, last_run_};
  std::optional<Mark> new_first;
  if (seq < last_) {
    auto behind = std::upper_bound(marks_.begin(), marks_.end(), seq, [](Seq s, const Mark& m) { return s < m.seq; });
    RecordReader reader(*file_, ring_bytes_, std::prev(behind)->place, written_);
    do {
      Result<bool> next = co_await reader.next();
      if (!next) co_return failure_.note(std::move(next.error()));
      if (!*next) co_return failure_.note(reader.damaged());
    } while (reader.seq() <= seq);
    to = reader.before();
    new_first = Mark{reader.seq(), to};
  } else {
    mark_at_ = to.position;
  }
  LogHeaderBytes header = header_;
  header.first_position = to.position;
  header.forgotten = to.previous.value;
  header.first_run = to.run;
  Result<> written = co_await write_headers(*file_, header);
  if (!written) co_return failure_.note(std::move(written.error()));
  header_ = header;
  first_ = to.position;
  forgotten_ = to.previous;
  synced_ = std::max(synced_, first_);
  stable_ = std::max(stable_, forgotten_);
  while (!marks_.empty() && marks_.front().place.position < first_) marks_.pop_front();
  if (new_first && (marks_.empty() || marks_.front().place.position != first_)) marks_.push_front(*new_first);
  check_invariants();
  co_return Result<>{};
}

runtime::Task<Result<std::vector<RecordRing::Record>>> RecordRing::read_after(Seq after, std::uint64_t limit) {
  Result<> flushed = flush();
  if (!flushed) co_return std::unexpected(std::move(flushed.error()));
  std::vector<Record> out;
  if (after < forgotten_) {
    co_return fail(Errc::absent, fmt::format("log: the records behind {} were forgotten, it begins behind {}", after.value,
                                             forgotten_.value));
  }
  if (marks_.empty() || after >= last_) co_return out;
  auto behind = std::upper_bound(marks_.begin(), marks_.end(), after, [](Seq s, const Mark& m) { return s < m.seq; });
  RecordReader reader(*file_, ring_bytes_, behind == marks_.begin() ? behind->place : std::prev(behind)->place, written_);
  std::uint64_t bytes = 0;
  while (bytes < limit || out.empty()) {
    const std::uint64_t position = reader.place().position;
    if (position == reader.end()) break;
    Result<bool> next = co_await reader.next();
    if (!next) co_return std::unexpected(std::move(next.error()));
    if (position < first_) co_return fail(Errc::absent, "log: the records were forgotten while they were read");
    if (!*next) co_return std::unexpected(reader.damaged());
    if (reader.seq() <= after || reader.is_note()) continue;
    out.push_back({reader.seq(), {reader.body().begin(), reader.body().end()}});
    bytes += record_bytes(reader.body().size());
  }
  co_return out;
}

Result<RecordReader> RecordRing::read_all() {
  if (Result<> flushed = flush(); !flushed) return std::unexpected(std::move(flushed.error()));
  const Place from = marks_.empty() ? Place{written_, last_, last_run_} : marks_.front().place;
  return RecordReader(*file_, ring_bytes_, from, written_);
}

void RecordRing::check_invariants() const {
  CHECK(first_ <= synced_ && synced_ <= written_ && written_ <= end() && end() - first_ <= ring_bytes_);
  CHECK(marks_.empty() == (first_ == end()));
  CHECK(marks_.empty() || marks_.front().place.position == first_);
  for (std::size_t i = 1; i < marks_.size(); ++i) {
    CHECK(marks_[i - 1].seq < marks_[i].seq && marks_[i - 1].place.position < marks_[i].place.position);
  }
  CHECK(forgotten_ <= last_);
}

}  // namespace lockstep::area
