#include "area/superblocks.h"

#include <fmt/format.h>

#include "core/log.h"

namespace lockstep::area {

runtime::Task<Result<Superblocks>> Superblocks::read(std::unique_ptr<runtime::File> file) {
  constexpr std::uint64_t kBytes = kSuperblockCopies * kSuperblockCopyBytes;
  if (file->bytes() < kBytes)
    co_return fail(Errc::corrupt, fmt::format("superblock: {} bytes expected, {} found", kBytes, file->bytes()));
  Superblocks out(std::move(file));
  bool found = false;
  std::optional<Error> refused;
  std::array<std::string, kSuperblockCopies> reasons;
  for (std::size_t i = 0; i < kSuperblockCopies; ++i) {
    std::vector<std::byte> bytes(kSuperblockCopyBytes);
    Result<> read = co_await out.file_->read(i * kSuperblockCopyBytes, bytes);
    Result<Superblock> copy = read ? decode_superblock(bytes) : std::unexpected(read.error());
    if (copy) {
      if (!found || copy->generation > out.current_.generation) out.current_ = std::move(*copy);
      found = true;
    } else {
      if (copy.error().code == Errc::refused) refused = copy.error();
      reasons[i] = copy.error().text;
    }
  }
  if (refused) co_return fail(Errc::refused, fmt::format("superblock: {}", refused->text));
  if (!found) {
    co_return fail(Errc::corrupt, fmt::format("superblock: both copies are damaged ({}; {}); format this site's area again "
                                              "and let it catch up from the other site",
                                              reasons[0], reasons[1]));
  }
  for (std::size_t i = 0; i < kSuperblockCopies; ++i) {
    if (reasons[i].empty()) continue;
    out.damaged_ = true;
    log::warning("superblock: copy {} was damaged ({}); it is written again from the other", i, reasons[i]);
  }
  co_return out;
}

runtime::Task<Result<>> Superblocks::write(Superblock next) {
  // The one in force stands at its generation's place, so this one goes over the other, damaged or not.
  next.generation = current_.generation + 1;
  const SuperblockBytes bytes = encode(next);
  const std::array<Bytes, 1> parts{std::as_bytes(std::span(&bytes, 1))};
  const std::uint64_t offset = next.generation % kSuperblockCopies * kSuperblockCopyBytes;
  Result<> done = file_->write_now(offset, parts);
  if (done) done = co_await file_->sync({offset, kSuperblockCopyBytes});
  if (!done) co_return done;
  current_ = std::move(next);
  damaged_ = false;
  co_return Result<>{};
}

}  // namespace lockstep::area
