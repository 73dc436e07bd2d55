// The operation log: its headers, its records, and those that the keys have not got yet.
#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "area/log_format.h"
#include "area/record_reader.h"
#include "area/record_ring.h"
#include "area/superblocks.h"
#include "core/checksum.h"
#include "fsck/phases.h"
#include "wire/codec.h"

namespace lockstep::fsck {
namespace {

using area::kLogRingOffset;
using area::LogHeaderBytes;
using area::RecordHeader;
using runtime::Task;

/// The header in force; nullopt: both copies are damaged. Damaged ones are reported. Suspends.
Task<std::optional<LogHeaderBytes>> read_header(Examination& x, runtime::File& file, std::uint64_t ring_bytes) {
  std::optional<LogHeaderBytes> current;
  std::vector<std::size_t> bad;
  for (std::size_t copy = 0; copy < 2; ++copy) {
    std::array<std::byte, kBlockBytes> block{};
    const Result<> read = co_await file.read(copy * kBlockBytes, block);
    LogHeaderBytes header{};
    std::memcpy(&header, block.data(), sizeof header);
    const std::uint64_t sum = checksum(Bytes(block).first(offsetof(LogHeaderBytes, checksum)));
    const bool good = read && header.magic == LogHeaderBytes::kMagic && header.checksum == sum &&
                      header.ring_bytes == ring_bytes && header.first_position % area::kRecordAlignment == 0;
    if (!good) {
      bad.push_back(copy);
    } else if (!current || header.generation > current->generation) {
      current = header;
    }
  }
  for (const std::size_t copy : bad) {
    Finding finding{
        .rule = Rule::log_header, .place = fmt::format("copy {}", copy), .found = "damage", .expected = "a whole copy"};
    if (current) {
      x.mend_elsewhere(std::move(finding));
    } else {
      x.leave(std::move(finding));
    }
  }
  if (!bad.empty() && current && x.repairing()) {
    // What every opening does with a damaged copy.
    Result<std::unique_ptr<runtime::File>> log = x.target.disk.open(area::kLogFile);
    area::Failure failure;
    if (log) (void)co_await area::RecordRing::open(std::move(*log), ring_bytes + kLogRingOffset, x.target.scheduler, failure);
  }
  co_return current;
}

Finding record_finding(Seq behind, std::string found) {
  return {.rule = Rule::log_record,
          .place = fmt::format("the record behind seq {}", behind.value),
          .found = std::move(found),
          .expected = "a record that can be read and applied"};
}

/// What the volume does when it applies an effect, as far as keys go, but without a look at what they say.
Result<> apply(Examination& x, const wire::Effect& effect) {
  volume::Progress& progress = x.progress;
  runtime::KeyBatch batch(effect.batch.begin(), effect.batch.end());
  for (const runtime::KeyChange& change : effect.batch) {
    if (!change.key.starts_with('I')) continue;
    const Result<InodeId> inode = volume::parse_inode_key(change.key);
    if (!inode) continue;
    if (!change.value) {
      progress.files -= std::min<std::uint64_t>(progress.files, 1);
    } else if (inode->value >= progress.next_inode) {
      ++progress.files;
      progress.next_inode = inode->value + 1;
    }
  }
  progress.applied = effect.seq;
  batch.push_back(x.progress_change());
  return x.keys().apply(batch);
}

/// Applies what `record` says, if the keys have not got it. Errc::io. False: it can't be understood, and neither what
/// follows.
Result<bool> take(Examination& x, Seq seq, Seq previous, Bytes body) {
  const Result<wire::Effect> effect = wire::decode_record(body);
  if (!effect || effect->seq != seq) {
    x.leave(record_finding(previous, effect ? fmt::format("one that says that its seq is {}", effect->seq.value)
                                            : printable(effect.error().text)));
    return false;
  }
  const bool own =
      std::ranges::any_of(effect->batch, [](const runtime::KeyChange& c) { return c.key.empty() || c.key[0] == '\0'; });
  if (own) {
    x.leave(record_finding(previous, "one that changes keys that belong to one site"));
    return false;
  }
  if (!x.progress_known || seq <= x.progress.applied || effect->batch.empty()) return true;
  if (const Result<> applied = apply(x, *effect); !applied) return std::unexpected(applied.error());
  return true;
}

/// Where a record of the log's last run stands behind its end; 0: nowhere. After a kill there can be none: what is
/// written to a file is there; after a loss of power there may. Suspends.
Task<Result<std::uint64_t>> record_behind(runtime::File& file, std::uint64_t ring_bytes, area::Place end,
                                          std::uint64_t to, std::uint64_t run) {
  constexpr std::uint64_t kPart = 1u << 20;
  std::vector<std::byte> part;
  for (std::uint64_t at = end.position; at + sizeof(RecordHeader) <= to; at += kPart) {
    // A header may begin in one part and end in the next.
    const std::uint64_t want = std::min(kPart + sizeof(RecordHeader), to - at);
    part.resize(want);
    const std::uint64_t offset = at % ring_bytes;
    const std::uint64_t here = std::min(want, ring_bytes - offset);
    Result<> read = co_await file.read(kLogRingOffset + offset, MutableBytes(part).first(here));
    if (read && here < want) read = co_await file.read(kLogRingOffset, MutableBytes(part).subspan(here));
    if (!read) co_return std::unexpected(read.error());
    for (std::uint64_t i = 0; i < kPart && i + sizeof(RecordHeader) <= want; i += area::kRecordAlignment) {
      RecordHeader header;
      std::memcpy(&header, part.data() + i, sizeof header);
      if (header.magic == RecordHeader::kMagic && header.position == at + i && header.run == run &&
          Seq{header.seq} > end.previous)
        co_return header.seq;
    }
  }
  co_return 0;
}

Task<Result<>> read_progress(Examination& x) {
  const Result<std::optional<std::string>> bound = co_await x.keys().get(std::string(volume::kNextInodeKey));
  if (!bound) co_return std::unexpected(bound.error());
  const Result<std::uint64_t> number = *bound ? volume::unpack_u64(**bound) : Result<std::uint64_t>(0);
  const Result<std::optional<std::string>> value = co_await x.keys().get(std::string(volume::kSeqKey));
  if (!value) co_return std::unexpected(value.error());
  const Result<volume::Progress> progress = volume::counts_of(*value, number ? *number : 0);
  x.progress_known = progress.has_value();
  if (progress) x.progress = *progress;
  co_return Result<>{};
}

}  // namespace

Task<Result<>> check_log(Examination& x) {
  x.begin("the operation log");
  if (Result<> read = co_await read_progress(x); !read) co_return read;
  if (!x.progress_known)
    x.report.note("which records of the log the keys contain is not known: none was applied to them");
  const Result<std::unique_ptr<runtime::File>> opened = x.target.disk.open(area::kLogFile);
  const std::uint64_t log_bytes = x.superblock.identity.log_bytes;
  if (!opened || (*opened)->bytes() < log_bytes) co_return Result<>{};  // file-bytes has said so
  runtime::File& file = **opened;
  const std::uint64_t ring_bytes = log_bytes - kLogRingOffset;
  const std::optional<LogHeaderBytes> header = co_await read_header(x, file, ring_bytes);
  if (!header) co_return Result<>{};
  if (x.progress_known && x.progress.applied < Seq{header->forgotten}) {
    x.leave({.rule = Rule::log_gap,
             .found = fmt::format("keys that contain effects up to seq {}, and a log that begins behind seq {}",
                                  x.progress.applied.value, header->forgotten),
             .expected = "a log that goes on where the keys end"});
    co_return Result<>{};
  }
  area::RecordReader reader(file, ring_bytes,
                            area::Place{header->first_position, Seq{header->forgotten}, header->first_run},
                            header->first_position + ring_bytes);
  std::uint64_t applied = 0;
  for (;;) {
    const Seq before = x.progress.applied;
    const Seq previous = reader.place().previous;
    const Result<bool> next = co_await reader.next();
    if (!next) {
      x.leave(record_finding(previous, fmt::format("an error of the medium: {}", next.error().text)));
      co_return Result<>{};
    }
    if (!*next) break;
    if (reader.is_note()) continue;  // of the area's own business: what had been synced
    const Result<bool> taken = take(x, reader.seq(), previous, reader.body());
    if (!taken) co_return std::unexpected(taken.error());
    if (!*taken) co_return Result<>{};
    applied += x.progress.applied != before ? 1 : 0;
  }
  if (applied > 0)
    x.report.note(fmt::format("{} records of the log were applied to the keys, as a start does", applied));
  const area::Place end = reader.place();
  const Result<std::uint64_t> behind =
      co_await record_behind(file, ring_bytes, end, header->first_position + ring_bytes, header->run);
  if (!behind) co_return std::unexpected(behind.error());
  if (*behind != 0 && x.superblock.clean) {
    x.leave(record_finding(end.previous, fmt::format("damage, and a later record of seq {}", *behind)));
  } else if (*behind != 0) {
    x.report.note(fmt::format(
        "the log ends behind seq {}, with a later record of seq {} behind the end: so it is after a loss of "
        "power",
        end.previous.value, *behind));
  }
  co_return Result<>{};
}

}  // namespace lockstep::fsck
