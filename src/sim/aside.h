// aside.h - what a process of a simulated machine keeps aside: in memory, with a bounded room.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include "runtime/aside.h"
#include "sim/process.h"

namespace lockstep::sim {

/// What stands at a path of a tree; several paths may lead to one.
struct AsideObject {
  runtime::AsideAttributes attributes;
  std::uint32_t rdev = 0;
  std::string bytes;   ///< of a file; the target of a symbolic link
};
using AsideObjects = std::map<std::string, std::shared_ptr<AsideObject>>;

class SimAside final : public runtime::Aside {
 public:
  explicit SimAside(Process& process) : process_(process) {}
  runtime::Task<Result<std::unique_ptr<runtime::AsideTree>>> begin(std::string directory, std::string partial) override;

  std::uint64_t room = std::uint64_t{1} << 30;  ///< bytes that all files together may have
  bool takes_xattrs = true;
  /// By "directory/name", be it a final name or not; what stands in each by its path there.
  [[nodiscard]] std::map<std::string, AsideObjects>& trees() { return trees_; }
  [[nodiscard]] std::uint64_t used() const;
  [[nodiscard]] Process& process() { return process_; }

 private:
  Process& process_;
  std::map<std::string, AsideObjects> trees_;
};

}  // namespace lockstep::sim
