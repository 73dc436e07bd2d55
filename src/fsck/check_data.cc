// Every allocated block against its checksum, in the order of the area.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "area/blocks.h"
#include "area/slots.h"
#include "area/superblocks.h"
#include "area/table_format.h"
#include "core/checksum.h"
#include "fsck/group_compare.h"
#include "fsck/key_cursor.h"
#include "fsck/phases.h"
#include "runtime/sync.h"

namespace lockstep::fsck {
namespace {

using runtime::Task;

constexpr std::uint64_t kBlocksAtOnce = 256;
constexpr std::size_t kReadsAtOnce = 8;

class Data {
 public:
  explicit Data(Examination& x) : x_(x) {}
  Task<Result<>> run();

 private:
  struct Part {
    OwnedRun run;  ///< at most kBlocksAtOnce blocks
    std::vector<std::byte> bytes;
  };
  Task<Result<bool>> open();
  /// What was being written when the daemon died: such a block may be neither the old nor the new.
  Task<Result<>> read_in_flight();
  Task<Result<>> take(OwnedRun run);
  Task<Result<>> check_parts();
  Task<void> read(Part& part);
  Task<void> read_one(const Part& part, std::uint64_t i);
  void check_block(const Part& part, std::uint64_t i, Bytes bytes);
  void bad(const Part& part, std::uint64_t i, std::string found);
  [[nodiscard]] bool in_flight(std::uint64_t block) const;

  Examination& x_;
  std::unique_ptr<runtime::File> extents_;
  std::unique_ptr<runtime::Mapping> checksums_;
  std::vector<BlockRange> in_flight_;
  std::uint64_t in_flight_bad_ = 0;
  std::vector<Part> parts_;
};

bool Data::in_flight(std::uint64_t block) const {
  return std::ranges::any_of(in_flight_, [&](const BlockRange& r) { return block >= r.first && block < r.end(); });
}

void Data::bad(const Part& part, std::uint64_t i, std::string found) {
  const std::uint64_t block = part.run.address + i;
  if (in_flight(block)) {
    ++in_flight_bad_;
    return;
  }
  x_.leave({.rule = Rule::bad_block,
            .object = part.run.owner.inode,
            .place = fmt::format("block {} of it, block {} of the area", part.run.owner.file_block + i, block),
            .found = std::move(found),
            .expected = "contents that match their checksum"});
}

void Data::check_block(const Part& part, std::uint64_t i, Bytes bytes) {
  std::uint64_t stored = 0;
  std::memcpy(&stored, checksums_->bytes().data() + area::checksum_place(part.run.address + i), sizeof stored);
  const std::uint64_t sum = checksum(bytes);
  if (sum != stored) bad(part, i, fmt::format("contents with checksum {:016x}, stored is {:016x}", sum, stored));
}

Task<void> Data::read_one(const Part& part, std::uint64_t i) {
  std::vector<std::byte> bytes(kBlockBytes);
  const Result<> read = co_await extents_->read((part.run.address + i) * kBlockBytes, bytes);
  if (read) {
    check_block(part, i, bytes);
  } else {
    bad(part, i, "an error of the medium: " + printable(read.error().text));
  }
}

Task<void> Data::read(Part& part) {
  const std::uint64_t count = part.run.owner.count;
  part.bytes.resize(count * kBlockBytes);
  Result<> done = co_await checksums_->prepare(area::table_range({part.run.address, count}));
  if (!done) {
    for (std::uint64_t i = 0; i < count; ++i)
      bad(part, i, "a checksum that can't be read: " + printable(done.error().text));
    co_return;
  }
  done = co_await extents_->read(part.run.address * kBlockBytes, part.bytes);
  for (std::uint64_t i = 0; i < count; ++i) {
    if (done) check_block(part, i, Bytes(part.bytes).subspan(i * kBlockBytes, kBlockBytes));
    if (!done) co_await read_one(part, i);
  }
}

Task<Result<>> Data::check_parts() {
  runtime::Scope beside(x_.target.scheduler);
  for (Part& part : parts_) beside.spawn(read(part));
  co_await beside.join();
  parts_.clear();
  co_return Result<>{};
}

Task<Result<>> Data::take(OwnedRun run) {
  while (run.owner.count > 0) {
    const auto count = static_cast<std::uint32_t>(std::min<std::uint64_t>(run.owner.count, kBlocksAtOnce));
    parts_.push_back({{run.address, {run.owner.inode, run.owner.file_block, count}}, {}});
    run.address += count;
    run.owner.file_block += count;
    run.owner.count -= count;
    if (parts_.size() < kReadsAtOnce) continue;
    if (Result<> checked = co_await check_parts(); !checked) co_return checked;
  }
  co_return Result<>{};
}

Task<Result<>> Data::read_in_flight() {
  Result<std::unique_ptr<runtime::Mapping>> marks = x_.target.disk.map(area::kInFlightFile);
  if (!marks || (*marks)->bytes().size() < area::kInFlightBytes) co_return Result<>{};
  if (Result<> ready = co_await (*marks)->prepare({0, area::kInFlightBytes}); !ready) co_return ready;
  for (std::size_t i = 0; i < area::kSlots; ++i) {
    area::Slot slot;
    std::memcpy(&slot, (*marks)->bytes().data() + i * sizeof slot, sizeof slot);
    if (slot.check == area::slot_check(slot) && slot.count > 0) in_flight_.push_back({slot.first, slot.count});
  }
  co_return Result<>{};
}

Task<Result<bool>> Data::open() {
  Result<std::unique_ptr<runtime::File>> extents = x_.target.disk.open(area::kExtentsFile);
  Result<std::unique_ptr<runtime::Mapping>> checksums = x_.target.disk.map(area::kChecksumsFile);
  if (!extents || !checksums || (*extents)->bytes() < x_.blocks() * kBlockBytes ||
      (*checksums)->bytes().size() < area::table_bytes(x_.blocks())) {
    co_return false;  // file-bytes has said so
  }
  extents_ = std::move(*extents);
  checksums_ = std::move(*checksums);
  if (Result<> marks = co_await read_in_flight(); !marks) co_return std::unexpected(marks.error());
  co_return true;
}

Task<Result<>> Data::run() {
  const Result<bool> opened = co_await open();
  if (!opened) co_return std::unexpected(opened.error());
  if (!*opened) co_return Result<>{};
  KeyCursor at(x_.keys(), 'R');
  for (;;) {
    const Result<bool> more = co_await at.next();
    if (!more) co_return std::unexpected(more.error());
    if (!*more) break;
    const Result<volume::Owner> owner = volume::unpack_owner(at.value());
    if (!owner || at.number() >= x_.blocks() || owner->count > x_.blocks() - at.number()) continue;
    if (Result<> taken = co_await take({at.number(), *owner}); !taken) co_return taken;
  }
  Result<> done = co_await check_parts();
  if (in_flight_bad_ > 0) {
    x_.report.note(
        fmt::format("{} blocks were being written when the daemon died and do not match their checksums; they are made "
                    "good when the sites meet",
                    in_flight_bad_));
  }
  co_return done;
}

}  // namespace

Task<Result<>> check_data(Examination& x) {
  if (!x.options.data) co_return Result<>{};
  x.begin("every allocated block");
  Data data(x);
  co_return co_await data.run();
}

}  // namespace lockstep::fsck
