#include "uring/fuse_mount.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <memory>
#include <sstream>
#include <vector>

#include "core/log.h"
#include "uring/descriptor.h"

namespace lockstep::uring {
namespace {

constexpr unsigned kMoveMountBeneath = 0x200;  // MOVE_MOUNT_BENEATH of linux/mount.h, which glibc 2.36 does not have

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

struct Layer {
  std::string id, below;  ///< of mounts
  Mounted mounted;
};

/// What is mounted at `path`, in no order.
std::vector<Layer> layers_at(const std::string& path) {
  std::ifstream in("/proc/self/mountinfo");
  std::vector<Layer> found;
  for (std::string line; std::getline(in, line);) {
    std::istringstream fields(line);
    Layer layer;
    std::string root, point, field;
    if (!(fields >> layer.id >> layer.below >> layer.mounted.device >> root >> point) || unescaped(point) != path) continue;
    while (fields >> field && field != "-") {
    }
    if (fields >> layer.mounted.type >> field) layer.mounted.source = unescaped(field);
    found.push_back(std::move(layer));
  }
  return found;
}

/// What the kernel has to say of why a step of making a mount failed; empty: nothing.
std::string complaint_of(int context) {
  char line[256];
  const ssize_t n = ::read(context, line, sizeof line);
  if (n <= 0) return {};
  std::string text(line, static_cast<std::size_t>(n));
  while (text.ends_with('\n')) text.pop_back();
  return ", " + text;
}

std::unexpected<Error> cannot_mount(const std::string& path, int error, const std::string& complaint) {
  return fail_io(error, fmt::format("mount point {}: cannot mount: {}{}; /dev/fuse and the right to mount are needed", path, std::strerror(error), complaint));
}

/// A mount that is nowhere yet, of which `channel` is the daemon's end.
Result<Descriptor> make_mount(const std::string& path, const MountOptions& options, int channel) {
  const Descriptor context(::fsopen("fuse", FSOPEN_CLOEXEC));
  const auto set = [&context](const char* key, const std::string& value) {
    return ::fsconfig(context.get(), FSCONFIG_SET_STRING, key, value.c_str(), 0) == 0;
  };
  const auto flag = [&context](const char* key) { return ::fsconfig(context.get(), FSCONFIG_SET_FLAG, key, nullptr, 0) == 0; };
  const bool made = context.get() >= 0 && set("source", options.volume) && set("subtype", "lockstep") && set("fd", std::to_string(channel)) &&
                    set("rootmode", "40000") && set("user_id", "0") && set("group_id", "0") && flag("default_permissions") && flag("allow_other") &&
                    ::fsconfig(context.get(), FSCONFIG_CMD_CREATE, nullptr, nullptr, 0) == 0;
  const int error = errno;
  if (!made) return cannot_mount(path, error, context.get() >= 0 ? complaint_of(context.get()) : std::string());
  const unsigned attributes = (options.suid ? 0u : MOUNT_ATTR_NOSUID) | (options.devices ? 0u : MOUNT_ATTR_NODEV);
  Descriptor mount(::fsmount(context.get(), FSMOUNT_CLOEXEC, attributes));
  if (mount.get() < 0) return cannot_mount(path, errno, {});
  return mount;
}

Result<int> open_channel_at(const std::string& path, const MountOptions& options, unsigned place) {
  Descriptor channel(::open("/dev/fuse", O_RDWR | O_CLOEXEC | O_NONBLOCK));
  if (channel.get() < 0) return cannot_mount(path, errno, {});
  const Result<Descriptor> mount = make_mount(path, options, channel.get());
  if (!mount) return std::unexpected(mount.error());
  if (::move_mount(mount->get(), "", AT_FDCWD, path.c_str(), MOVE_MOUNT_F_EMPTY_PATH | place) != 0) {
    const int error = errno;
    return cannot_mount(path, error, place == kMoveMountBeneath ? ", beneath what is there" : "");
  }
  return channel.release();
}

}  // namespace

std::optional<Mounted> mounted_at(const std::string& path) {
  const std::vector<Layer> layers = layers_at(path);
  for (const Layer& layer : layers) {
    const bool covered = std::any_of(layers.begin(), layers.end(), [&layer](const Layer& other) { return other.below == layer.id; });
    if (!covered) return layer.mounted;
  }
  return std::nullopt;
}

Result<PreparedMountPoint> prepare_mount_point(const MountOptions& options) {
  const std::string& wanted = options.mount_point;
  PreparedMountPoint point;
  struct statfs fs {};
  // Attributes may still be kept from when the daemon lived; this is always asked.
  while (::statfs(wanted.c_str(), &fs) != 0 && (errno == ENOTCONN || errno == ECONNABORTED)) {
    point.path = canonical_parent(wanted).value_or(wanted);
    point.dead = layers_at(point.path).size() == 1;
    if (point.dead) break;
    // What is below it has to be seen first.
    if (::umount2(point.path.c_str(), MNT_DETACH) != 0) {
      return fail(Errc::refused, fmt::format("mount point {}: the mount of a daemon that is gone is there and cannot be "
                                             "taken away ({}); run: umount -l {}",
                                             wanted, std::strerror(errno), wanted));
    }
    log::warning("mount point {}: took away the mount of a daemon that is gone", wanted);
  }
  if (!point.dead) {
    const auto path = canonical(wanted);
    struct stat st {};
    if (!path || ::stat(path->c_str(), &st) != 0) {
      return fail(Errc::refused, fmt::format("mount point {}: {}; make the directory first", wanted, std::strerror(errno)));
    }
    if (!S_ISDIR(st.st_mode)) return fail(Errc::refused, fmt::format("mount point {}: not a directory", wanted));
    if (const auto there = mounted_at(*path)) {
      return fail(Errc::refused, fmt::format("mount point {}: {} ({}) is mounted there; unmount it or choose another",
                                             wanted, there->source, there->type));
    }
    point.path = *path;
  }
  if (!options.area.empty()) {
    const auto area = canonical(options.area);
    if (area && inside(point.path, *area)) {
      return fail(Errc::refused, fmt::format("mount point {}: lies in the area {}; choose another", wanted, *area));
    }
    if (area && inside(*area, point.path)) {
      return fail(Errc::refused,
                  fmt::format("mount point {}: the area {} lies in it and would be hidden; choose another", wanted, *area));
    }
  }
  if (!point.dead && !empty_directory(point.path)) log::warning("mount point {}: not empty; what is there is hidden by the mount", wanted);
  return point;
}

Result<int> open_channel(const PreparedMountPoint& point, const MountOptions& options) {
  if (!point.dead) return open_channel_at(point.path, options, 0);
  Result<int> channel = open_channel_beneath(point.path, options);  // where that fails: after it is gone
  if (::umount2(point.path.c_str(), MNT_DETACH) != 0) {
    const int error = errno;
    if (channel) ::close(*channel);
    return fail(Errc::refused, fmt::format("mount point {}: the mount of a daemon that is gone is there and cannot be taken away ({}); run: umount -l {}",
                                           point.path, std::strerror(error), point.path));
  }
  log::warning("mount point {}: took away the mount of a daemon that is gone", point.path);
  if (!channel) channel = open_channel_at(point.path, options, 0);
  return channel;
}

Result<int> open_channel_beneath(const std::string& path, const MountOptions& options) { return open_channel_at(path, options, kMoveMountBeneath); }

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
