// changes.h - what an effect changes, as whoever looks at the volume would say it. A pure function of the effect.
//
// Read from the batch (names, extended attributes, sizes), from the drops (which objects look different to hosts; bytes) and from the
// outcome (the object that the request was about, and where a write came to stand). What hosts do not see is no change: times that were
// kept in memory and are written now (settle, sync) or are handed over to another site, space that is given back behind a file's end
// (trim), the end of an object without a name (reap), locks and reservations.
//
//   batch                                      outcome
//   entry put, the object is not dropped       created; also a first name for an object made without one
//   entry put, the object is dropped           linked
//   entry erased                               removed
//   one entry put, one erased                  renamed; an object that had the new name has lost it
//   two entries put                            renamed, twice: they were exchanged
//
// Effects come from another site: a batch that no operation makes gives changes that say what stands in it, never an error.
#pragma once

#include <string>
#include <vector>

#include "core/types.h"
#include "wire/messages.h"

namespace lockstep::volume {

/// A name in a directory.
struct NamePlace {
  InodeId directory;
  std::string name;
  bool operator==(const NamePlace&) const = default;
};

struct Change {
  enum class Kind : std::uint8_t {
    created,        ///< object, at
    linked,         ///< object, at: one more name
    removed,        ///< object, at: that name
    renamed,        ///< object, at -> to; replaced
    written,        ///< object, bytes: they may read otherwise now
    resized,        ///< object, size
    attributes,     ///< object: mode, owner or times
    xattr_set,      ///< object, xattr
    xattr_removed,  ///< object, xattr
  } kind{};
  InodeId object;          ///< removed: 0 if not known
  std::uint32_t type = 0;  ///< file type bits of st_mode; 0: not known
  NamePlace at;
  NamePlace to;
  InodeId replaced;        ///< lost the name `to` to the object; 0: none
  ByteRange bytes;
  std::uint64_t size = 0;
  std::string xattr;
  bool operator==(const Change&) const = default;
};

/// In the order in which they are to be told. No memory but the result's.
[[nodiscard]] std::vector<Change> changes_of(const wire::Effect& effect);

}  // namespace lockstep::volume
