#include "uring/fuse_mount.h"

#define FUSE_USE_VERSION 314
#include <dirent.h>
#include <fcntl.h>
#include <fuse3/fuse.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <memory>
#include <sstream>
#include <vector>

#include "core/log.h"

namespace lockstep::uring {
namespace {

/// A field of mountinfo: \ooo stands for a byte.
std::string unescaped(const std::string& field) {
  std::string out;
  for (std::size_t i = 0; i < field.size(); ++i) {
    if (field[i] == '\\' && i + 3 < field.size()) {
      out.push_back(static_cast<char>((field[i + 1] - '0') * 64 + (field[i + 2] - '0') * 8 + (field[i + 3] - '0')));
      i += 3;
    } else {
      out.push_back(field[i]);
    }
  }
  return out;
}

/// A value of a mount option: commas and backslashes are escaped.
std::string escaped(const std::string& value) {
  std::string out;
  for (const char c : value) {
    if (c == ',' || c == '\\') out.push_back('\\');
    out.push_back(c);
  }
  return out;
}

std::optional<std::string> canonical(const std::string& path) {
  const std::unique_ptr<char, decltype(&std::free)> real(::realpath(path.c_str(), nullptr), &std::free);
  if (!real) return std::nullopt;
  return std::string(real.get());
}

/// The same for a path whose last component may not answer: the root of a dead mount.
std::optional<std::string> canonical_parent(std::string path) {
  while (path.size() > 1 && path.back() == '/') path.pop_back();
  const auto slash = path.rfind('/');
  const std::string parent = slash == std::string::npos ? "." : path.substr(0, slash + 1);
  const auto real = canonical(parent);
  if (!real) return std::nullopt;
  const std::string name = slash == std::string::npos ? path : path.substr(slash + 1);
  return (*real == "/" ? "" : *real) + "/" + name;
}

/// `path` is `directory` or below it; both canonical.
bool inside(const std::string& path, const std::string& directory) {
  if (!path.starts_with(directory)) return false;
  return path.size() == directory.size() || directory == "/" || path[directory.size()] == '/';
}

bool empty_directory(const std::string& path) {
  const std::unique_ptr<DIR, decltype(&::closedir)> d(::opendir(path.c_str()), &::closedir);
  if (!d) return true;
  while (const dirent* e = ::readdir(d.get())) {
    if (std::strcmp(e->d_name, ".") != 0 && std::strcmp(e->d_name, "..") != 0) return false;
  }
  return true;
}

}  // namespace

std::optional<Mounted> mounted_at(const std::string& path) {
  std::ifstream in("/proc/self/mountinfo");
  std::optional<Mounted> found;
  for (std::string line; std::getline(in, line);) {
    std::istringstream fields(line);
    std::string id, parent, device, root, point, field;
    if (!(fields >> id >> parent >> device >> root >> point) || unescaped(point) != path) continue;
    while (fields >> field && field != "-") {
    }
    Mounted m;
    m.device = device;
    if (fields >> m.type >> field) m.source = unescaped(field);
    found = std::move(m);  // later lines are on top
  }
  return found;
}

Result<std::string> prepare_mount_point(const MountOptions& options) {
  const std::string& wanted = options.mount_point;
  struct stat st {};
  // Attributes may still be kept from when the daemon lived; this is always asked.
  struct statfs fs {};
  if (::statfs(wanted.c_str(), &fs) != 0 && (errno == ENOTCONN || errno == ECONNABORTED)) {
    const auto dead = canonical_parent(wanted);
    if (!dead || ::umount2(dead->c_str(), MNT_DETACH) != 0) {
      return fail(Errc::refused, fmt::format("mount point {}: the mount of a daemon that is gone is there and cannot be "
                                             "taken away ({}); run: umount -l {}",
                                             wanted, std::strerror(errno), wanted));
    }
    log::warning("mount point {}: took away the mount of a daemon that is gone", wanted);
  }
  const auto path = canonical(wanted);
  if (!path || ::stat(path->c_str(), &st) != 0) {
    return fail(Errc::refused, fmt::format("mount point {}: {}; make the directory first", wanted, std::strerror(errno)));
  }
  if (!S_ISDIR(st.st_mode)) return fail(Errc::refused, fmt::format("mount point {}: not a directory", wanted));
  if (const auto there = mounted_at(*path)) {
    return fail(Errc::refused, fmt::format("mount point {}: {} ({}) is mounted there; unmount it or choose another",
                                           wanted, there->source, there->type));
  }
  if (!options.area.empty()) {
    const auto area = canonical(options.area);
    if (area && inside(*path, *area)) {
      return fail(Errc::refused, fmt::format("mount point {}: lies in the area {}; choose another", wanted, *area));
    }
    if (area && inside(*area, *path)) {
      return fail(Errc::refused,
                  fmt::format("mount point {}: the area {} lies in it and would be hidden; choose another", wanted, *area));
    }
  }
  if (!empty_directory(*path)) log::warning("mount point {}: not empty; what is there is hidden by the mount", wanted);
  return *path;
}

Result<int> open_channel(const std::string& path, const MountOptions& options) {
  std::string text = "default_permissions,allow_other,subtype=lockstep,fsname=" + escaped(options.volume);
  text += options.suid ? ",suid" : ",nosuid";
  text += options.devices ? ",dev" : ",nodev";
  errno = 0;
  const int fd = ::fuse_open_channel(path.c_str(), text.c_str());
  if (fd < 0) {
    const int error = errno;
    return fail_io(error, fmt::format("mount point {}: cannot mount: {}; /dev/fuse and the right to mount are needed", path,
                                      error != 0 ? std::strerror(error) : "see the line before"));
  }
  if (::fcntl(fd, F_SETFL, ::fcntl(fd, F_GETFL) | O_NONBLOCK) != 0 || ::fcntl(fd, F_SETFD, FD_CLOEXEC) != 0) {
    const int error = errno;
    ::close(fd);
    return fail_io(error, fmt::format("mount point {}: fcntl: {}", path, std::strerror(error)));
  }
  return fd;
}

std::optional<std::uint32_t> connection_of(const std::string& path) {
  const auto there = mounted_at(path);
  if (!there || !there->device.starts_with("0:")) return std::nullopt;
  return static_cast<std::uint32_t>(std::strtoul(there->device.c_str() + 2, nullptr, 10));
}

bool take_away(const std::string& path) {
  if (::umount2(path.c_str(), 0) == 0) return true;
  if (errno == EINVAL || errno == ENOENT) return true;  // not mounted any more
  // In use: MNT_FORCE ends the connection, so that every call of a host and every blocked notification ends too.
  return ::umount2(path.c_str(), MNT_FORCE | MNT_DETACH) == 0 || errno == EINVAL;
}

bool set_read_ahead(const std::string& path, unsigned kib) {
  const auto there = mounted_at(path);
  if (!there) return false;
  std::ofstream out("/sys/class/bdi/" + there->device + "/read_ahead_kb");
  out << kib << std::flush;
  return out.good();
}

}  // namespace lockstep::uring
