#include "config/config.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "config/values.h"
#include "core/check.h"

namespace lockstep::config {
namespace {

/// Owns a descriptor.
struct Descriptor {
  int number = -1;
  ~Descriptor() {
    if (number >= 0) ::close(number);
  }
};

std::unexpected<Error> unreadable(const std::string& path, int number) {
  if (number == ENOENT) return fail(Errc::absent, fmt::format("{}: there is no such configuration file", path));
  return fail_io(number, fmt::format("{}: the configuration can't be read: {}", path, std::strerror(number)));
}

}  // namespace

Result<SiteId> Config::site(std::string_view name) const {
  std::string names;
  for (std::size_t i = 0; i < sites.size(); ++i) {
    if (sites[i].name == name) return SiteId{static_cast<std::uint8_t>(i)};
    if (i < 8) names += fmt::format("{}{}", i == 0 ? "" : ", ", sites[i].name);
  }
  return fail(Errc::absent, fmt::format("{} is not one of the sites; allowed: {}", quoted(name), names));
}

const Site& Config::at(SiteId id) const {
  CHECK(id.value < sites.size());
  return sites[id.value];
}

SiteId Config::other(SiteId id) const {
  CHECK(sites.size() == 2 && id.value < 2);
  return SiteId{static_cast<std::uint8_t>(1 - id.value)};
}

Result<Config> load(const std::string& path) {
  // Nonblocking, so that a pipe in the file's place is refused and not waited for.
  const Descriptor file{::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)};
  if (file.number < 0) return unreadable(path, errno);
  struct stat status{};
  if (::fstat(file.number, &status) != 0) return unreadable(path, errno);
  if (!S_ISREG(status.st_mode))
    return fail_io(EINVAL, fmt::format("{}: the configuration can't be read: it is not a regular file", path));
  std::string text(kFileBytesMax + 1, '\0');
  std::size_t filled = 0;
  while (filled < text.size()) {
    const ssize_t got = ::read(file.number, text.data() + filled, text.size() - filled);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return unreadable(path, errno);
    if (got == 0) break;
    filled += static_cast<std::size_t>(got);
  }
  text.resize(filled);
  return parse(text, path);
}

}  // namespace lockstep::config
