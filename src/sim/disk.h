// disk.h - a process's handles on the storage of its machine.
#pragma once

#include "runtime/disk.h"
#include "sim/process.h"
#include "sim/storage.h"

namespace lockstep::sim {

class SimDisk final : public runtime::Disk {
 public:
  SimDisk(Process& process, Storage& storage) : process_(process), storage_(storage) {}
  ~SimDisk() override;

  [[nodiscard]] std::string where() const override { return storage_.where(); }
  Result<> lock() override;
  Result<std::vector<std::string>> list() override;
  runtime::Task<Result<>> create(std::string name, std::uint64_t bytes, void (*progress)(void*, std::uint64_t),
                                 void* with) override;
  Result<> remove(std::string_view name) override;
  Result<std::unique_ptr<runtime::File>> open(std::string_view name) override;
  Result<std::unique_ptr<runtime::Mapping>> map(std::string_view name) override;

 private:
  Process& process_;
  Storage& storage_;
};

}  // namespace lockstep::sim
