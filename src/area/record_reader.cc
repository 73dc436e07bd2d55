#include "area/record_reader.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "core/checksum.h"

namespace lockstep::area {

runtime::Task<Result<>> RecordReader::fill(std::uint64_t position, std::uint64_t need) {
  if (position >= window_at_ && position + need <= window_at_ + window_.size()) co_return Result<>{};
  const std::uint64_t want = std::max(need, std::min(kWindowBytes, end_ - position));
  window_.resize(want);
  window_at_ = position;
  const std::uint64_t at = position % ring_bytes_;
  const std::uint64_t here = std::min(want, ring_bytes_ - at);
  Result<> read = co_await file_.read(kLogRingOffset + at, MutableBytes(window_).first(here));
  if (read && here < want) read = co_await file_.read(kLogRingOffset, MutableBytes(window_).subspan(here));
  if (!read) window_.clear();
  co_return read;
}

runtime::Task<Result<bool>> RecordReader::next() {
  const std::uint64_t position = place_.position;
  if (end_ - position < sizeof(RecordHeader)) co_return false;
  Result<> read = co_await fill(position, sizeof(RecordHeader));
  if (!read) co_return std::unexpected(std::move(read.error()));
  RecordHeader header;
  std::memcpy(&header, window(position, sizeof header).data(), sizeof header);
  const bool note = header.magic == RecordHeader::kNoteMagic;
  if ((header.magic != RecordHeader::kMagic && !note) || header.position != position || header.length > kRecordBodyBytesMax ||
      record_bytes(header.length) > end_ - position || Seq{header.previous} != place_.previous ||
      (note ? header.seq != header.previous : header.seq <= header.previous) || header.run < place_.run) {
    co_return false;
  }
  read = co_await fill(position, record_bytes(header.length));
  if (!read) co_return std::unexpected(std::move(read.error()));
  const std::size_t skip = sizeof header.checksum;
  if (checksum(window(position + skip, sizeof header - skip + header.length)) != header.checksum) co_return false;
  header_ = header;
  before_ = place_;
  body_ = window(position + sizeof header, header.length);
  place_ = {position + record_bytes(header.length), Seq{header.seq}, header.run};
  co_return true;
}

Error RecordReader::damaged() const {
  return Error{Errc::corrupt, 0,
               fmt::format("log: the record behind seq {}, at byte {} of the file, is damaged; if it is needed for catching "
                           "up, format the other site's area again",
                           place_.previous.value, kLogRingOffset + place_.position % ring_bytes_)};
}

}  // namespace lockstep::area
