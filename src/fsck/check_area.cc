// The superblock's copies, and whether the files of the area are there.
#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "area/blocks.h"
#include "area/slots.h"
#include "area/superblocks.h"
#include "area/table_format.h"
#include "fsck/phases.h"

namespace lockstep::fsck {
namespace {

using area::kSuperblockCopies;
using area::kSuperblockCopyBytes;
using runtime::Task;

struct Copies {
  std::array<Result<area::Superblock>, kSuperblockCopies> copies;
  std::size_t current = 0;  ///< the one in force
};

/// Both copies. Errc::refused, Errc::corrupt: none is usable.
Task<Result<Copies>> read_copies(runtime::Disk& disk) {
  Result<std::unique_ptr<runtime::File>> file = disk.open(area::kSuperblockFile);
  if (!file && file.error().code == Errc::absent)
    co_return fail(Errc::refused, fmt::format("{} is not a storage area: it has no superblock", disk.where()));
  if (!file) co_return std::unexpected(std::move(file.error()));
  if ((*file)->bytes() < kSuperblockCopies * kSuperblockCopyBytes)
    co_return fail(Errc::corrupt, fmt::format("{}/superblock: {} bytes expected, {} found", disk.where(),
                                              kSuperblockCopies * kSuperblockCopyBytes, (*file)->bytes()));
  Copies out;
  bool found = false;
  for (std::size_t i = 0; i < kSuperblockCopies; ++i) {
    std::vector<std::byte> bytes(kSuperblockCopyBytes);
    Result<> read = co_await (*file)->read(i * kSuperblockCopyBytes, bytes);
    out.copies[i] = read ? area::decode_superblock(bytes) : std::unexpected(read.error());
    if (!out.copies[i]) {
      if (out.copies[i].error().code == Errc::refused)
        co_return fail(Errc::refused, fmt::format("{}/superblock: {}", disk.where(), out.copies[i].error().text));
      continue;
    }
    if (!found || out.copies[i]->generation > out.copies[out.current]->generation) out.current = i;
    found = true;
  }
  if (!found) {
    co_return fail(Errc::corrupt,
                   fmt::format("{}/superblock: both copies are damaged ({}; {}); format this site's area again and "
                               "let it catch up from the other site",
                               disk.where(), out.copies[0].error().text, out.copies[1].error().text));
  }
  co_return std::move(out);
}

bool same_area(const area::Identity& a, const area::Identity& b) {
  return a.volume == b.volume && a.volume_id == b.volume_id && a.site == b.site && a.store == b.store &&
         a.blocks == b.blocks && a.log_bytes == b.log_bytes;
}

/// Writes the copy in force over the other one.
Task<Result<>> write_again(runtime::Disk& disk) {
  Result<std::unique_ptr<runtime::File>> file = disk.open(area::kSuperblockFile);
  if (!file) co_return std::unexpected(std::move(file.error()));
  Result<area::Superblocks> copies = co_await area::Superblocks::read(std::move(*file));
  if (!copies) co_return std::unexpected(std::move(copies.error()));
  area::Superblock next = copies->current();
  co_return co_await copies->write(std::move(next));
}

void check_bytes(Examination& x, const char* name, std::uint64_t expected) {
  runtime::Disk& disk = x.target.disk;
  Finding finding{
      .rule = Rule::file_bytes, .place = fmt::format("file {}", name), .expected = fmt::format("{} bytes", expected)};
  const Result<std::unique_ptr<runtime::File>> file = disk.open(name);
  if (!file) {
    finding.found = file.error().code == Errc::absent ? "no such file" : printable(file.error().text);
  } else if ((*file)->bytes() < expected) {
    finding.found = fmt::format("{} bytes", (*file)->bytes());
  } else {
    return;
  }
  x.leave(std::move(finding));
}

}  // namespace

Task<Result<>> can_be_examined(runtime::Disk& disk) {
  // The lock is a file: not in a directory that is no area.
  const Result<Copies> copies = co_await read_copies(disk);
  if (!copies) co_return std::unexpected(copies.error());
  co_return disk.lock();
}

Task<Result<>> check_area(Examination& x) {
  x.begin("the files of the area");
  const Result<Copies> copies = co_await read_copies(x.target.disk);
  if (!copies) co_return std::unexpected(copies.error());
  x.superblock = *copies->copies[copies->current];
  if (!x.superblock.clean)
    x.report.note("the area was not closed when it was last used: its daemon was killed, or the power was lost");
  const Result<area::Superblock>& other = copies->copies[1 - copies->current];
  Finding finding{.rule = Rule::superblock_copy, .place = fmt::format("copy {}", 1 - copies->current)};
  if (!other) {
    finding.found = fmt::format("damage ({})", other.error().text);
    finding.expected = fmt::format("a whole copy, as copy {} is", copies->current);
    if (x.repairing()) {
      if (Result<> written = co_await write_again(x.target.disk); !written) co_return written;
    }
    x.mend_elsewhere(std::move(finding));
  } else if (!same_area(other->identity, x.superblock.identity)) {
    finding.found = fmt::format("an area of {} blocks of site \"{}\" of volume \"{}\"", other->identity.blocks,
                                printable(other->identity.site), printable(other->identity.volume));
    finding.expected = fmt::format("the same area as in copy {}", copies->current);
    x.leave(std::move(finding));
  }
  const area::Identity& id = x.superblock.identity;
  check_bytes(x, area::kExtentsFile, id.blocks * kBlockBytes);
  check_bytes(x, area::kChecksumsFile, area::table_bytes(id.blocks));
  check_bytes(x, area::kInFlightFile, area::kInFlightBytes);
  check_bytes(x, area::kLogFile, id.log_bytes);
  co_return Result<>{};
}

}  // namespace lockstep::fsck
