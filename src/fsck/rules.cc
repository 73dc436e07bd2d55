#include "fsck/rules.h"

#include <array>

namespace lockstep::fsck {
namespace {

constexpr std::array kRules{
    RuleText{Rule::superblock_copy, "superblock-copy", "both copies of the superblock are whole and of one area",
             "writes the damaged copy again"},
    RuleText{Rule::file_bytes, "file-bytes", "every file of the area is there and as long as it was made", {}},
    RuleText{Rule::log_header, "log-header", "both copies of the log's header are whole",
             "writes the damaged copy again"},
    RuleText{Rule::log_record, "log-record", "the records of the log can be read, in rising order of seq", {}},
    RuleText{Rule::log_gap, "log-gap", "the log continues what the keys contain", {}},
    RuleText{Rule::key, "key", "every key is of a kind that is known", {}},
    RuleText{Rule::value, "value", "every value can be understood", "makes R, G, N and O keys anew, drops locks"},
    RuleText{Rule::entry_place, "entry-place", "a name stands under its own hash, and may be a name", "puts it there"},
    RuleText{Rule::entry_target, "entry-target", "a name is the name of an object that exists",
             "takes the name away, if nothing is left of the object"},
    RuleText{Rule::entry_type, "entry-type", "a directory entry has the type of its object", "corrects the entry"},
    RuleText{Rule::root, "root", "the root is a directory, its own parent, and has no name",
             "corrects its parent, takes the name away"},
    RuleText{Rule::links, "links", "a file has as many links as names", "counts the names"},
    RuleText{Rule::nameless, "nameless", "an object with links has a name", "gives it one in /lost+found"},
    RuleText{Rule::orphan, "orphan", "objects without links, and only those, are listed as orphans",
             "corrects the list"},
    RuleText{Rule::parent, "parent", "the parent of a directory has its name; the home of anything else, if known, has a name of it",
             "corrects the parent, forgets the home"},
    RuleText{Rule::directory_names, "directory-names", "a directory has one name",
             "leaves the one that its parent has"},
    RuleText{Rule::loop, "loop", "every directory is reached from the root", "moves one of each loop to /lost+found"},
    RuleText{Rule::ownerless, "ownerless", "entries, extents and attributes belong to an object that exists", {}},
    RuleText{Rule::directory_entries, "directory-entries", "the size of a directory is the number of its entries",
             "counts them"},
    RuleText{Rule::directory_links, "directory-links", "a directory has two links and one for each directory in it",
             "counts them"},
    RuleText{Rule::kind, "kind", "an object has only what its type may have", "corrects the size of a symbolic link"},
    RuleText{Rule::chunk, "chunk", "chunks of an extent map lie before the end of the map, and none is empty",
             "moves the end, removes empty chunks"},
    RuleText{Rule::blocks, "blocks", "an object counts the blocks that its extents have", "counts them"},
    RuleText{Rule::xattrs, "xattrs", "an object counts its attributes and their bytes", "counts them"},
    RuleText{Rule::extent_bounds, "extent-bounds", "extents lie in the area", {}},
    RuleText{Rule::overlap, "overlap", "no block belongs to two extents", {}},
    RuleText{Rule::reverse_key, "reverse-key", "every extent has its reverse key", "makes it from the extent"},
    RuleText{Rule::reverse_stray, "reverse-stray", "every reverse key has its extent", "removes it"},
    RuleText{Rule::group_free, "group-free", "a group counts as free what no extent has", "counts it"},
    RuleText{Rule::inode_bound, "inode-bound", "every inode number in use or to be given next is below the bound",
             "moves the bound"},
    RuleText{Rule::next_inode, "next-inode", "the next inode number is above every one in use", "moves it"},
    RuleText{Rule::files, "files", "the number of objects is what is counted", "counts them"},
    RuleText{Rule::bad_block, "bad-block", "an allocated block matches its checksum", {}},
    RuleText{Rule::locks, "locks", "advisory locks are of a file that exists", "drops them"},
    RuleText{Rule::reservation, "reservation", "what is reserved exists", "removes the reservation"},
    RuleText{Rule::acl, "acl", "an access control list can be understood, is of what may have one, and says what the mode says",
             "gives the object the mode of its list"},
};

constexpr bool in_order() {
  for (std::size_t i = 0; i < kRules.size(); ++i) {
    if (static_cast<std::size_t>(kRules[i].rule) != i) return false;
  }
  return kRules.size() == kRuleCount;
}
static_assert(in_order());

}  // namespace

std::span<const RuleText> rules() { return kRules; }
const RuleText& text_of(Rule rule) { return kRules[static_cast<std::size_t>(rule)]; }

}  // namespace lockstep::fsck
