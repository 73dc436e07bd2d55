// keep_aside.h - what a site has of its own is copied out of the volume before it is given up.
//
//   DIRECTORY/NAME/changes      a line for each change; lockstep(1), "resolve", has its fields
//   DIRECTORY/NAME/files/...    what was made or changed, each at its path, as ordinary files
//
// Directories above what is kept are there with their attributes. Files have holes where they have them in the volume; what can't be
// read of one is a hole, too, and the list says so. Nothing of it is found under NAME before all of it is stable.
//
// Memory: 1 MiB of a file, a name for each directory, and a part of the list. The volume must not change meanwhile.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "controller/changes.h"
#include "resync/changes_since.h"
#include "runtime/aside.h"
#include "volume/volume.h"

namespace lockstep::resync {

/// The directory of an area for what is kept, where none is named. Not part of the area: nothing else looks into it.
inline constexpr const char* kDiscardedDirectory = "discarded";

struct KeepOptions {
  std::string directory;            ///< absolute
  std::string partial;              ///< name until it is whole
  std::string name;                 ///< then
  std::vector<std::string> heading; ///< lines of the list before the changes; the last line of it says how many there are
  std::uint64_t area_needs = 0;     ///< bytes to be left, where the area is on the same file system
  bool partly = false;              ///< goes on where something can't be kept at all
};

struct Kept {
  std::string where;           ///< DIRECTORY/NAME; empty: not whole yet
  std::uint64_t changes = 0;   ///< that were dealt with
  std::uint64_t of = 0;        ///< that are listed so far: the list comes in parts
  std::uint64_t objects = 0;   ///< made or changed ones that are there
  std::uint64_t bytes = 0;
  std::uint64_t damaged = 0;   ///< of them, files of which a part can't be read
  std::uint64_t lost = 0;      ///< not there, or not whole: only with `partly`
  std::uint64_t xattrs = 0;    ///< extended attributes that the file system there does not take
};

/// What is read.
struct KeepSource {
  area::Area& area;
  volume::Volume& volume;
  controller::Changes& changes;  ///< mends blocks that a loss of power tore
};

/// The part of the list of changes that begins with this object; kNoInode: the first one. Suspends.
using NextChanges = std::function<runtime::Task<Result<ChangesSince>>(InodeId from)>;

/// Copies what the parts that `changes` gives list; `so_far` says how far it is. Errc::stopped: `ends` said that it is to end; Errc::refused: something can't be
/// kept, the room does not suffice, or the list itself lacks something and `partly` was not said. Nothing is left there then, as far as
/// it can be removed. Suspends.
runtime::Task<Result<>> keep_aside(KeepSource source, runtime::Aside& aside, NextChanges changes, KeepOptions options, std::function<bool()> ends,
                                   Kept& so_far);

/// `text` in one field of the list: "\\", control characters as \n, \t or \xHH.
[[nodiscard]] std::string escaped(std::string_view text);

}  // namespace lockstep::resync
