#include "fsck/examination.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/check.h"

namespace lockstep::fsck {

using runtime::Task;

std::string shown(std::string_view key) {
  std::string text;
  for (const char c : key) {
    const auto byte = static_cast<unsigned char>(c);
    text += byte > 0x20 && byte < 0x7f ? std::string(1, c) : fmt::format("\\x{:02x}", byte);
  }
  return text;
}

void Examination::begin(std::string_view phase) const {
  if (options.phase != nullptr) options.phase(options.with, phase);
}

void Examination::leave(Finding finding) {
  finding.mend = Mend::no;
  report.add(std::move(finding));
}

void Examination::mend_elsewhere(Finding finding) {
  finding.mend = repairing() ? Mend::done : Mend::can;
  report.add(std::move(finding));
}

Result<> Examination::mend(Finding finding, const runtime::KeyBatch& change_of) {
  if (repairing()) {
    if (Result<> done = change(change_of); !done) return done;
  }
  mend_elsewhere(std::move(finding));
  return {};
}

Result<> Examination::change(const runtime::KeyBatch& batch) {
  CHECK(repairing());
  if (!changed_) {
    if (Result<> told = notice_.metadata_may_differ(); !told) return told;
  }
  changed_ = true;
  return keys().apply(batch);
}

Task<Result<std::optional<volume::Inode>>> Examination::inode(InodeId id) {
  const Result<std::optional<std::string>> value = co_await keys().get(volume::inode_key(id));
  if (!value) co_return std::unexpected(value.error());
  if (!*value) co_return std::optional<volume::Inode>();
  Result<volume::Inode> unpacked = volume::unpack_inode(id, **value);
  if (!unpacked) co_return std::optional<volume::Inode>();
  co_return std::optional(std::move(*unpacked));
}

Task<Result<>> Examination::remove_entry(std::string key, InodeId directory, bool of_directory,
                                         runtime::KeyBatch& batch) {
  batch.push_back({std::move(key), std::nullopt});
  Result<std::optional<volume::Inode>> found = co_await inode(directory);
  if (!found) co_return std::unexpected(found.error());
  if (!*found) co_return Result<>{};
  volume::Inode& inode = **found;
  inode.size -= std::min<std::uint64_t>(inode.size, 1);
  if (of_directory && inode.links > 2) --inode.links;
  batch.push_back({volume::inode_key(directory), volume::pack_inode(inode)});
  co_return Result<>{};
}

BlockRange Examination::group(std::uint64_t number) const {
  const std::uint64_t first = number * volume::kGroupBlocks;
  return {first, std::min(volume::kGroupBlocks, blocks() - first)};
}

}  // namespace lockstep::fsck
