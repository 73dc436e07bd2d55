// format.cc - Area::format(): makes the files of an area, the superblock last, so that half an area is none.
#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "area/area.h"
#include "area/blocks.h"
#include "area/log_format.h"
#include "area/record_ring.h"
#include "area/slots.h"
#include "area/state_file.h"
#include "area/superblocks.h"
#include "area/suspect_map.h"
#include "core/checksum.h"

namespace lockstep::area {
namespace {

using runtime::Task;

/// The superblock goes first: a format that ends early leaves no area.
constexpr std::array<const char*, 8> kFiles{kSuperblockFile, kExtentsFile, kChecksumsFile, kSuspectFile,
                                            kStateFile, kInFlightFile, kLogFile, kKeysDirectory};

/// What a fresh file system brings along.
bool counts_as_empty(const std::string& name) { return name == "lost+found"; }

/// What stands there, for a person.
Task<std::string> describe(runtime::Disk& disk, std::vector<std::string> names) {
  Result<std::unique_ptr<runtime::File>> file = disk.open(kSuperblockFile);
  if (file) {
    Result<Superblocks> read = co_await Superblocks::read(std::move(*file));
    if (read) {
      const Identity& id = read->current().identity;
      co_return fmt::format("a storage area of volume {}, site {}", id.volume, id.site);
    }
  }
  constexpr std::size_t kNamed = 5;
  std::string list;
  for (std::size_t i = 0; i < std::min(names.size(), kNamed); ++i) list += (i == 0 ? "" : ", ") + names[i];
  co_return fmt::format("{} file{} ({}{})", names.size(), names.size() == 1 ? "" : "s", list, names.size() > kNamed ? ", ..." : "");
}

Result<> valid(const FormatOptions& options) {
  for (const auto& [what, name] : {std::pair("volume", &options.volume), std::pair("site", &options.site)}) {
    if (name->empty() || name->size() > kNameBytesMax)
      return fail(Errc::invalid, fmt::format("the name of a {} has 1 to {} bytes, not {}", what, kNameBytesMax, name->size()));
  }
  if (options.bytes < kBlockBytes) return fail(Errc::invalid, fmt::format("an area of {} bytes has no block", options.bytes));
  if (options.log_bytes < kLogBytesMin)
    return fail(Errc::invalid, fmt::format("a log of {} bytes is too small, {} is the least", options.log_bytes, kLogBytesMin));
  return {};
}

/// Every block is zeros: says so in the table.
Task<Result<>> fill_checksums(runtime::File& table, std::uint64_t blocks) {
  constexpr std::uint64_t kWords = kTableSectorBytes / kChecksumBytes;
  const std::uint64_t end = table_bytes(blocks);
  std::vector<std::uint64_t> part(std::min<std::uint64_t>(end, 1u << 20) / kChecksumBytes);
  for (std::size_t i = 0; i < part.size(); ++i) part[i] = i % kWords < kTableSectorBlocks ? zero_block_checksum() : 0;
  for (std::uint64_t done = 0; done < end;) {
    const std::array<Bytes, 1> bytes{std::as_bytes(std::span(part)).first(std::min(part.size() * kChecksumBytes, end - done))};
    const ByteRange range{done, bytes[0].size()};
    Result<> written = table.write_now(range.offset, bytes);
    if (!written) co_return written;
    table.start_write_back(range);
    done += range.length;
  }
  co_return co_await table.sync({0, end});
}

Task<Result<>> make_files(runtime::Disk& disk, Identity id, void (*progress)(void*, std::uint64_t), void* with) {
  Result<> done = co_await disk.create(kExtentsFile, id.blocks * kBlockBytes, progress, with);
  if (done) done = co_await disk.create(kChecksumsFile, table_bytes(id.blocks), nullptr, nullptr);
  if (done) done = co_await disk.create(kSuspectFile, SuspectMap::file_bytes(id.blocks), nullptr, nullptr);
  if (done) done = co_await disk.create(kStateFile, kStateFileBytes, nullptr, nullptr);
  if (done) done = co_await disk.create(kInFlightFile, kInFlightBytes, nullptr, nullptr);
  if (done) done = co_await disk.create(kLogFile, id.log_bytes, nullptr, nullptr);
  if (!done) co_return done;

  Result<std::unique_ptr<runtime::File>> table = disk.open(kChecksumsFile);
  if (!table) co_return std::unexpected(std::move(table.error()));
  done = co_await fill_checksums(**table, id.blocks);
  if (!done) co_return done;

  Result<std::unique_ptr<runtime::File>> state = disk.open(kStateFile);
  if (!state) co_return std::unexpected(std::move(state.error()));
  done = co_await StateFile::format(**state);
  if (!done) co_return done;

  Result<std::unique_ptr<runtime::File>> log = disk.open(kLogFile);
  if (!log) co_return std::unexpected(std::move(log.error()));
  done = co_await RecordRing::format(**log, id.log_bytes);
  if (!done) co_return done;

  done = co_await disk.create(kSuperblockFile, kSuperblockCopies * kSuperblockCopyBytes, nullptr, nullptr);
  if (!done) co_return done;
  Result<std::unique_ptr<runtime::File>> superblock = disk.open(kSuperblockFile);
  if (!superblock) co_return std::unexpected(std::move(superblock.error()));
  Superblocks copies(std::move(*superblock));
  // Both copies, so that neither is taken for a damaged one.
  for (std::size_t i = 0; i < kSuperblockCopies && done; ++i) done = co_await copies.write({id, 0, true, {}});
  co_return done;
}

}  // namespace

Task<Result<Identity>> Area::format(runtime::Disk& disk, runtime::Random& random, FormatOptions options,
                                    void (*progress)(void*, std::uint64_t), void* with) {
  if (Result<> good = valid(options); !good) co_return std::unexpected(std::move(good.error()));
  if (Result<> locked = disk.lock(); !locked) co_return std::unexpected(std::move(locked.error()));
  Result<std::vector<std::string>> names = disk.list();
  if (!names) co_return std::unexpected(std::move(names.error()));
  std::erase_if(*names, counts_as_empty);
  if (!names->empty() && !options.force) {
    std::string what = co_await describe(disk, *names);
    co_return fail(Errc::refused, fmt::format("{} is not empty: it has {}; --force formats it, and what the area holds is lost",
                                              disk.where(), what));
  }
  for (const char* name : kFiles) {
    if (!std::ranges::binary_search(*names, std::string_view(name))) continue;
    Result<> removed = disk.remove(name);
    if (!removed) co_return std::unexpected(std::move(removed.error()));
  }
  Identity id;
  id.volume = std::move(options.volume);
  id.volume_id = options.volume_id;
  id.site = std::move(options.site);
  id.store = runtime::make_uuid(random);
  id.blocks = options.bytes / kBlockBytes;
  id.log_bytes = options.log_bytes / kBlockBytes * kBlockBytes;
  Result<> made = co_await make_files(disk, id, progress, with);
  if (!made) co_return std::unexpected(std::move(made.error()));
  co_return id;
}

}  // namespace lockstep::area
