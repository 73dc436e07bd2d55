#include "fsck/object_rules.h"

#include <fmt/format.h>

#include <algorithm>

#include "volume/acl.h"

namespace lockstep::fsck {
namespace {

constexpr std::uint32_t kLink = 0120000;

bool known_type(std::uint32_t type) {
  return type == 0100000 || type == 0040000 || type == kLink || type == 0020000 || type == 0060000 || type == 0010000 ||
         type == 0140000;
}

std::string_view name_of(std::uint32_t type) {
  switch (type) {
    case 0100000: return "a file";
    case 0040000: return "a directory";
    case kLink: return "a symbolic link";
    case 0020000:
    case 0060000: return "a device";
    case 0010000: return "a pipe";
    case 0140000: return "a socket";
    default: return "an object of no known type";
  }
}

/// What is wrong with the inode in itself; empty: nothing.
std::string contradiction_of(const ObjectFacts& facts) {
  const volume::Inode& inode = facts.inode;
  const std::string_view kind = name_of(inode.type());
  if (!known_type(inode.type())) return fmt::format("mode {:o}", inode.mode);
  if (!inode.is_directory() && facts.entries > 0) return fmt::format("{} with {} entries", kind, facts.entries);
  if (!inode.is_file() && facts.chunks > 0) return fmt::format("{} with extents", kind);
  if (!inode.is_file() && (inode.ahead || !inode.cuts.empty())) return fmt::format("{} that says it has extents", kind);
  for (std::size_t i = 0; i < inode.cuts.size(); ++i) {
    const volume::Cut& cut = inode.cuts[i];
    if (cut.generation > inode.generation ||
        (i > 0 && (cut.from <= inode.cuts[i - 1].from || cut.generation <= inode.cuts[i - 1].generation)))
      return fmt::format("{} whose cuts are not in order", kind);
  }
  return {};
}

constexpr std::uint32_t kPermissions = 0777;

/// The access list of the object, if it can have one and that can be understood.
std::optional<volume::Acl> access_list_of(const ObjectFacts& facts) {
  if (!facts.access_acl || facts.inode.type() == kLink) return std::nullopt;
  return volume::Acl::unpack(*facts.access_acl);
}

void judge_acls(const ObjectFacts& facts, std::vector<Broken>& broken) {
  const volume::Inode& inode = facts.inode;
  const auto bad = [&broken](std::string found) {
    broken.push_back({Rule::acl, std::move(found), "none, or one that setfacl makes (setfacl -b removes it)", false});
  };
  if (facts.access_acl && inode.type() == kLink) bad("a symbolic link with an access control list");
  if (facts.default_acl && !inode.is_directory()) bad(fmt::format("{} with a default access control list", name_of(inode.type())));
  if (facts.default_acl && !volume::Acl::unpack(*facts.default_acl)) bad("a default access control list that can't be understood");
  if (facts.access_acl && !volume::Acl::unpack(*facts.access_acl)) bad("an access control list that can't be understood");
  const std::optional<volume::Acl> access = access_list_of(facts);
  if (access && access->mode_bits() != (inode.mode & kPermissions)) {
    broken.push_back({Rule::acl, fmt::format("mode {:o}, and an access control list of {:o}", inode.mode & kPermissions, access->mode_bits()),
                      "the mode of the list", true});
  }
}

}  // namespace

std::vector<Rule> judge_names(const NameFacts& facts) {
  std::vector<Rule> broken;
  if (facts.root) {
    if (facts.names > 0 || facts.links == 0) broken.push_back(Rule::root);
    if (facts.orphan) broken.push_back(Rule::orphan);
    return broken;
  }
  if (facts.names == 0) {
    if (facts.links > 0) broken.push_back(Rule::nameless);
    if (facts.links == 0 && !facts.orphan) broken.push_back(Rule::orphan);
    return broken;
  }
  const bool links_wrong = facts.directory ? facts.links == 0 : facts.links != facts.names;
  if (links_wrong) broken.push_back(Rule::links);
  if (!links_wrong && facts.orphan) broken.push_back(Rule::orphan);
  if (!facts.names_parent) broken.push_back(Rule::parent);
  if (facts.directory && facts.names > 1) broken.push_back(Rule::directory_names);
  return broken;
}

std::vector<Broken> judge_object(const ObjectFacts& facts) {
  const volume::Inode& inode = facts.inode;
  std::vector<Broken> broken;
  const auto differs = [&](Rule rule, std::uint64_t found, std::uint64_t expected, std::string_view what) {
    if (found != expected)
      broken.push_back({rule, fmt::format("{} {} counted", found, what), fmt::format("{}", expected), true});
  };
  if (std::string text = contradiction_of(facts); !text.empty())
    broken.push_back({Rule::kind, std::move(text), "one that has only what its type may have", false});
  if (inode.is_directory()) {
    differs(Rule::directory_entries, inode.size, facts.entries, "entries");
    if (inode.links > 0) differs(Rule::directory_links, inode.links, 2 + facts.directories, "links");
  }
  if (inode.type() == kLink && inode.size != inode.target.size()) {
    broken.push_back({Rule::kind, fmt::format("a symbolic link of size {}", inode.size),
                      fmt::format("{}", inode.target.size()), true});
  }
  if (facts.chunk_end > inode.chunk_end) {
    broken.push_back(
        {Rule::chunk,
         fmt::format("a chunk {}, and a map that ends before chunk {}", facts.chunk_end - 1, inode.chunk_end),
         "a map that ends behind its last chunk", true});
  }
  if (facts.generation > inode.generation) {
    broken.push_back(
        {Rule::chunk,
         fmt::format("a chunk of generation {}, of an inode of generation {}", facts.generation, inode.generation),
         "no later generation than the inode's", false});
  }
  if (facts.chunks_readable) differs(Rule::blocks, inode.blocks, facts.blocks, "blocks");
  if (inode.xattrs != facts.xattrs || inode.xattr_bytes != facts.xattr_bytes) {
    broken.push_back({Rule::xattrs, fmt::format("{} attributes of {} bytes counted", inode.xattrs, inode.xattr_bytes),
                      fmt::format("{} of {} bytes", facts.xattrs, facts.xattr_bytes), true});
  }
  judge_acls(facts, broken);
  return broken;
}

volume::Inode mended(const ObjectFacts& facts) {
  volume::Inode inode = facts.inode;
  if (inode.is_directory()) {
    inode.size = facts.entries;
    if (inode.links > 0) inode.links = static_cast<std::uint32_t>(2 + facts.directories);
  }
  if (inode.type() == kLink) inode.size = inode.target.size();
  inode.chunk_end = std::max(inode.chunk_end, facts.chunk_end);
  if (facts.chunks_readable) inode.blocks = facts.blocks;
  inode.xattrs = static_cast<std::uint32_t>(facts.xattrs);
  inode.xattr_bytes = static_cast<std::uint32_t>(facts.xattr_bytes);
  if (const auto access = access_list_of(facts)) inode.mode = (inode.mode & ~kPermissions) | access->mode_bits();
  return inode;
}

}  // namespace lockstep::fsck
