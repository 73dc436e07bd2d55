// aside.h - what is kept aside, in directories of this machine.
//
// Everything runs on the pool: what blocks there blocks no request. Paths are walked component by component, so they may be longer than
// the kernel's limit, and no symbolic link in the tree is followed.
#pragma once

#include <string>

#include "runtime/aside.h"
#include "uring/pool.h"

namespace lockstep::uring {

class DirectoryAside final : public runtime::Aside {
 public:
  /// `area` and `mount`: of this site.
  DirectoryAside(Pool& pool, std::string area, std::string mount) : pool_(pool), area_(std::move(area)), mount_(std::move(mount)) {}
  runtime::Task<Result<std::unique_ptr<runtime::AsideTree>>> begin(std::string directory, std::string partial) override;

 private:
  Pool& pool_;
  std::string area_, mount_;
};

}  // namespace lockstep::uring
