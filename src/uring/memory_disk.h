// memory_disk.h - what a site has that works without its area, through the other site (C7): files in memory, that end with the daemon.
//
// Such a site never reads blocks of its own: the files of blocks and of their checksums keep nothing, what is written there is dropped.
#pragma once

#include <map>
#include <set>

#include "runtime/disk.h"

namespace lockstep::uring {

class MemoryDisk final : public runtime::Disk {
 public:
  using Names = std::set<std::string, std::less<>>;
  /// `where` for messages; files with names in `keep_nothing` do so.
  MemoryDisk(std::string where, Names keep_nothing) : where_(std::move(where)), keep_nothing_(std::move(keep_nothing)) {}
  [[nodiscard]] std::string where() const override { return where_; }
  Result<> lock() override { return {}; }
  Result<std::vector<std::string>> list() override;
  runtime::Task<Result<>> create(std::string name, std::uint64_t bytes, void (*progress)(void*, std::uint64_t), void* with) override;
  Result<> remove(std::string_view name) override;
  Result<std::unique_ptr<runtime::File>> open(std::string_view name) override;
  Result<std::unique_ptr<runtime::Mapping>> map(std::string_view name) override;

 private:
  class Memory;
  class OpenFile;
  class OpenMapping;
  Result<std::shared_ptr<Memory>> find(std::string_view name);

  const std::string where_;
  const Names keep_nothing_;
  std::map<std::string, std::shared_ptr<Memory>, std::less<>> files_;
};

}  // namespace lockstep::uring
