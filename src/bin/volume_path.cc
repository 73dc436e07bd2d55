#include "bin/volume_path.h"

#include <fmt/format.h>

#include <filesystem>

#include "bin/asking.h"

namespace lockstep::cli {

std::optional<std::string> path_in_volume(const std::string& path, const std::string& mount) {
  std::error_code error;
  const std::filesystem::path whole = std::filesystem::absolute(path, error).lexically_normal();
  const std::filesystem::path inside = whole.lexically_relative(mount);
  if (error || inside.empty() || *inside.begin() == "..") {
    complain(fmt::format("{} is not below {}, where the volume is mounted", path, mount));
    return std::nullopt;
  }
  return "/" + inside.string();
}

}  // namespace lockstep::cli
