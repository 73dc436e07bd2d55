// object_rules.h - the rules about one object, as plain functions of what was counted.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "fsck/rules.h"
#include "volume/keys_format.h"

namespace lockstep::fsck {

/// What is known of an object and its names.
///
///   names   links   orphan    rule
///   0       0       no        orphan: must be listed
///   0       > 0     any       nameless, but for the root
///   some    other   any       links; of a directory: 0 (how many it has beside is directory-links)
///   some    right   yes       orphan: must not be listed
///   some              of a directory: parent, if its parent has no name of it; directory-names, if there are several
struct NameFacts {
  std::uint32_t links = 0;
  std::uint32_t names = 0;
  bool directory = false;
  bool root = false;
  bool orphan = false;       ///< listed as one
  bool names_parent = true;  ///< directory: one of its names is in its parent; else: in its home, or none is known
};
/// The rules that are broken, in order.
[[nodiscard]] std::vector<Rule> judge_names(const NameFacts& facts);

/// What is known of an object and everything that belongs to it but names. A chunk of its extent map that can't be
/// understood is left out of the counts.
struct ObjectFacts {
  volume::Inode inode;
  std::uint64_t entries = 0, directories = 0;  ///< entries of it as a directory
  std::uint64_t chunks = 0, blocks = 0;
  std::uint32_t chunk_end = 0;   ///< behind the last chunk
  std::uint32_t generation = 0;  ///< the highest of a chunk
  bool chunks_readable = true;
  std::uint64_t xattrs = 0, xattr_bytes = 0;
  std::optional<std::string> access_acl, default_acl;
};
struct Broken {
  Rule rule{};
  std::string found, expected;
  bool mends = false;  ///< mended() mends it
};
/// The rules that are broken, in order.
[[nodiscard]] std::vector<Broken> judge_object(const ObjectFacts& facts);
/// The inode as it should be, as far as that can be told.
[[nodiscard]] volume::Inode mended(const ObjectFacts& facts);

}  // namespace lockstep::fsck
