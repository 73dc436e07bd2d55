// fuse_mount.h - the mount point: is it fit, what is there already, mounting, taking away.
//
// Everything here may wait for the system and belongs to start, to end, or on a pool.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "core/result.h"

namespace lockstep::uring {

struct MountOptions {
  std::string mount_point;
  std::string area;          ///< directory that must not be in the mount, nor the mount in it; empty: not checked
  std::string volume;        ///< shown as the source of the mount
  bool suid = false;         ///< setuid programs and
  bool devices = false;      ///< device files on the volume count
};

/// A mount as /proc/self/mountinfo shows it.
struct Mounted {
  std::string type;
  std::string source;
  std::string device;  ///< MAJOR:MINOR
};

/// What is mounted at `path` (on top, if several). Never asks the file system that is mounted there.
[[nodiscard]] std::optional<Mounted> mounted_at(const std::string& path);

struct PreparedMountPoint {
  std::string path;   ///< without symbolic links
  bool dead = false;  ///< the mount of a daemon that is gone is there, and nothing else
};

/// The mount point, fit to be mounted on: an existing directory, nothing but what is dead mounted on it, apart from the area. Errc::refused.
[[nodiscard]] Result<PreparedMountPoint> prepare_mount_point(const MountOptions& options);

/// Mounts there and returns the descriptor of the session, non-blocking. What is dead there goes, with a line in the log, and programs do not
/// find the directory below meanwhile: see open_channel_beneath(). Errc::io, Errc::refused.
[[nodiscard]] Result<int> open_channel(const PreparedMountPoint& point, const MountOptions& options);

/// The same beneath what is mounted at `path`, to be found there once that has been taken away: what programs write by that path never lands in
/// the directory below. Errc::io: also where the kernel can't (before 6.5), or nothing is mounted there.
[[nodiscard]] Result<int> open_channel_beneath(const std::string& path, const MountOptions& options);

/// The number of the connection of the mount at `path` in /sys/fs/fuse/connections. nullopt: nothing is mounted there.
[[nodiscard]] std::optional<std::uint32_t> connection_of(const std::string& path);

/// Takes the mount away; where hosts still use it, it is cut off from them and their calls end with an error. True: done,
/// or it was not there. Waits for answers to requests: not for the loop.
[[nodiscard]] bool take_away(const std::string& path);

/// Sets how far the kernel reads ahead on the mount at `path`. False: it would not.
[[nodiscard]] bool set_read_ahead(const std::string& path, unsigned kib);

}  // namespace lockstep::uring
