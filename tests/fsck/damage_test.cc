// One kind of damage after the other: found by exactly its rule, and mended where the table says so.
#include "../acl_bytes.h"
#include "scene.h"
#include "volume/acl.h"
#include "volume/raw_keys.h"

using namespace lockstep;
using namespace lockstep::fsck;

namespace {

struct Damage {
  const char* what;
  Rule rule;
  bool mends;
  void (*plant)(Scene&);
  bool data = false;
  bool keep_log = true;
};

/// An extent of `from` is made to stand where one of `at` does. The blocks that it had are free.
void share_blocks(Scene& t, InodeId from, InodeId at) {
  volume::ChunkValue moved = t.chunk(from, 0);
  t.erase(volume::block_key(moved.extents[0].address));
  t.change_free(moved.extents[0].count);
  moved.extents[0].address = t.chunk(at, 0).extents[0].address;
  t.put(volume::chunk_key(from, 0), volume::pack_chunk(moved));
}

std::string raw_entry_key(InodeId directory, std::uint64_t hash, const std::string& name) {
  const std::string good = volume::entry_key(directory, name);
  std::string key = good.substr(0, 9);
  for (int shift = 56; shift >= 0; shift -= 8) key.push_back(static_cast<char>(hash >> shift));
  return key + name;
}

using volume::Inode;
const std::string kList =
    acl_bytes({{kAclOwner, 1}, {kAclUser, 7, 9}, {kAclOwningGroup, 7}, {kAclMask, 2}, {kAclOthers, 3}});

void give_acl(Scene& t, InodeId id, std::string_view name, const std::string& value) {
  t.put(volume::xattr_key(id, name), value);
  t.edit(id, [&](Inode& it) {
    ++it.xattrs;
    it.xattr_bytes += static_cast<std::uint32_t>(name.size() + value.size());
  });
}

const Damage kDamages[] = {
    {"copy 0 of the superblock", Rule::superblock_copy, true,
     [](Scene& t) {
       t.site().machine().storage().corrupt("superblock", {100, 8});
     }},
    {"copy 1 of the superblock", Rule::superblock_copy, true,
     [](Scene& t) {
       t.site().machine().storage().corrupt("superblock", {4096 + 100, 8});
     }},
    {"a file that is gone", Rule::file_bytes, false,
     [](Scene& t) { REQUIRE(t.site().world().disk.remove("inflight")); }},
    {"a header of the log", Rule::log_header, true,
     [](Scene& t) {
       t.site().machine().storage().corrupt("log", {16, 8});
     }},
    {"both headers of the log", Rule::log_header, false,
     [](Scene& t) {
       t.site().machine().storage().corrupt("log", {16, 8});
       t.site().machine().storage().corrupt("log", {4096 + 16, 8});
     }},
    {"a record of the log", Rule::log_record, false,
     [](Scene& t) {
       t.site().machine().storage().corrupt("log", {8192 + 70, 4});
     }},
    {"keys older than the log", Rule::log_gap, false,
     [](Scene& t) { t.edit_progress([](volume::Progress& it) { it.applied = Seq{1}; }); }, false, false},
    {"a key of no kind", Rule::key, false, [](Scene& t) { t.put("Zebra", "1"); }},
    {"a key that is too short", Rule::key, false, [](Scene& t) { t.put("I123", "1"); }},
    {"an inode number that can't be", Rule::key, false,
     [](Scene& t) {
       volume::Inode orphan = t.inode(t.p);
       orphan.links = 0;
       t.put(volume::inode_key(InodeId{~std::uint64_t{0} - 1}), volume::pack_inode(orphan));
       t.put(volume::orphan_key(InodeId{~std::uint64_t{0} - 1}), "");
       t.edit_progress([](volume::Progress& it) { ++it.files; });
     }},
    {"locks that can't be read", Rule::value, true, [](Scene& t) { t.put(volume::locks_key(t.f), "x"); }},
    {"locks of a file that is gone", Rule::locks, true,
     [](Scene& t) {
       volume::LocksValue locks;
       locks.held.push_back({.owner = {SiteId{0}, 1, 2}, .type = wire::LockType::read});
       t.put(volume::locks_key(InodeId{77777}), volume::pack_locks(locks));
     }},
    {"a group behind the end", Rule::key, false, [](Scene& t) { t.put(volume::group_key(7), volume::pack_u32(0)); }},
    {"an inode", Rule::value, false, [](Scene& t) { t.put(volume::inode_key(t.f), "nonsense"); }},
    {"the inode of a directory", Rule::value, false, [](Scene& t) { t.put(volume::inode_key(t.e), "nonsense"); }},
    {"the inode of the root", Rule::value, false, [](Scene& t) { t.put(volume::inode_key(kRootInode), "nonsense"); }},
    {"a directory entry", Rule::value, false, [](Scene& t) { t.put(volume::entry_key(t.d, "f"), "nonsense"); }},
    {"the entry of a directory", Rule::value, false, [](Scene& t) { t.put(volume::entry_key(t.d, "e"), "nonsense"); }},
    {"an extent map", Rule::value, false, [](Scene& t) { t.put(volume::chunk_key(t.f, 0), "nonsense"); }},
    {"the owner of blocks", Rule::value, true,
     [](Scene& t) { t.put(volume::block_key(t.chunk(t.f, 0).extents[0].address), "nonsense"); }},
    {"the owner of blocks that have none", Rule::value, true,
     [](Scene& t) { t.put(volume::block_key(8000), "nonsense"); }},
    {"a counter of a group", Rule::value, true, [](Scene& t) { t.put(volume::group_key(0), "12"); }},
    {"the bound of inodes", Rule::value, true, [](Scene& t) { t.put(std::string(volume::kNextInodeKey), "12"); }},
    {"an orphan with a value", Rule::value, true, [](Scene& t) { t.put(volume::orphan_key(t.o), "12"); }},
    {"a long attribute", Rule::value, false,
     [](Scene& t) {
       t.put(volume::xattr_key(t.x, "user.two"), std::string(70'000, 'v'));
       t.edit(t.x, [](Inode& it) { it.xattr_bytes += 70'000 - 7; });
     }},
    {"what was applied", Rule::value, false, [](Scene& t) { t.put(std::string(volume::kSeqKey), "12"); }},
    {"a name under another hash", Rule::entry_place, true,
     [](Scene& t) {
       t.put(raw_entry_key(t.d, 12345, "s"), t.value(volume::entry_key(t.d, "s")));
       t.erase(volume::entry_key(t.d, "s"));
     }},
    {"a name with a slash", Rule::entry_place, false,
     [](Scene& t) {
       t.add_name(t.d, "a/b", t.f, S_IFREG);
       t.edit(t.f, [](Inode& it) { ++it.links; });
     }},
    {"a name of nothing", Rule::entry_target, true, [](Scene& t) { t.add_name(t.d, "ghost", InodeId{999}, S_IFREG); }},
    {"a directory name of nothing", Rule::entry_target, true,
     [](Scene& t) { t.add_name(t.d, "ghost", InodeId{999}, S_IFDIR); }},
    {"a wrong type", Rule::entry_type, true,
     [](Scene& t) {
       t.put(volume::entry_key(t.d, "s"), volume::pack_entry({t.s, S_IFREG}));
     }},
    {"another parent of the root", Rule::root, true,
     [](Scene& t) { t.edit(kRootInode, [&](Inode& it) { it.parent = t.d; }); }},
    {"a name of the root", Rule::root, true, [](Scene& t) { t.add_name(t.d, "root", kRootInode, S_IFDIR); }},
    {"too many links", Rule::links, true, [](Scene& t) { t.edit(t.f, [](Inode& it) { it.links = 7; }); }},
    {"too few links", Rule::links, true, [](Scene& t) { t.edit(t.f, [](Inode& it) { it.links = 1; }); }},
    {"no links, and a name", Rule::links, true, [](Scene& t) { t.edit(t.x, [](Inode& it) { it.links = 0; }); }},
    {"a directory without links", Rule::links, true, [](Scene& t) { t.edit(t.e, [](Inode& it) { it.links = 0; }); }},
    {"a file that lost its name", Rule::nameless, true, [](Scene& t) { t.remove_name(t.e, "x"); }},
    {"a directory that lost its name", Rule::nameless, true, [](Scene& t) { t.remove_name(t.d, "e"); }},
    {"an orphan that is not listed", Rule::orphan, true, [](Scene& t) { t.erase(volume::orphan_key(t.o)); }},
    {"a listed object with a name", Rule::orphan, true, [](Scene& t) { t.put(volume::orphan_key(t.f), ""); }},
    {"a listed object that is not there", Rule::orphan, true,
     [](Scene& t) { t.put(volume::orphan_key(InodeId{999}), ""); }},
    {"another parent", Rule::parent, true, [](Scene& t) { t.edit(t.e, [&](Inode& it) { it.parent = t.l1; }); }},
    {"a parent that is not there", Rule::parent, true,
     [](Scene& t) { t.edit(t.e, [](Inode& it) { it.parent = InodeId{999}; }); }},
    {"a directory as its own parent", Rule::parent, true,
     [](Scene& t) { t.edit(t.e, [&](Inode& it) { it.parent = t.e; }); }},
    {"a home without a name of it", Rule::parent, true, [](Scene& t) { t.edit(t.x, [&](Inode& it) { it.parent = t.l1; }); }},
    {"a home that is not there", Rule::parent, true, [](Scene& t) { t.edit(t.f, [](Inode& it) { it.parent = InodeId{999}; }); }},
    {"a reservation of nothing", Rule::reservation, true,
     [](Scene& t) {
       const volume::Reservation it{.object = InodeId{999}};
       t.put(volume::reservation_key(it), volume::pack_reservation(it));
     }},
    {"a reservation that is not readable", Rule::value, false,
     [](Scene& t) { t.put(volume::reservation_key({.object = t.f}), "?"); }},
    {"a directory with two names", Rule::directory_names, true, [](Scene& t) { t.add_name(t.l1, "e", t.e, S_IFDIR); }},
    {"a directory with two names in one directory", Rule::directory_names, true,
     [](Scene& t) { t.add_name(t.d, "e2", t.e, S_IFDIR); }},
    {"two directories in each other", Rule::loop, true,
     [](Scene& t) {
       t.remove_name(kRootInode, "l1");
       t.add_name(t.l2, "l1", t.l1, S_IFDIR);
       t.edit(t.l1, [&](Inode& it) { it.parent = t.l2; });
     }},
    {"a directory in itself", Rule::loop, true,
     [](Scene& t) {
       t.remove_name(t.l1, "l2");
       t.add_name(t.l2, "l2", t.l2, S_IFDIR);
       t.edit(t.l2, [&](Inode& it) { it.parent = t.l2; });
     }},
    {"an attribute of nothing", Rule::ownerless, false,
     [](Scene& t) { t.put(volume::xattr_key(InodeId{999}, "user.a"), "1"); }},
    {"an entry in nothing", Rule::ownerless, false,
     [](Scene& t) {
       t.put(volume::entry_key(InodeId{999}, "f"), volume::pack_entry({t.f, S_IFREG}));
       t.edit(t.f, [](Inode& it) { ++it.links; });
     }},
    {"an object of which only extents are left", Rule::ownerless, false,
     [](Scene& t) {
       t.erase(volume::inode_key(t.o));
       t.erase(volume::orphan_key(t.o));
       t.edit_progress([](volume::Progress& it) { --it.files; });
     }},
    {"entries of a directory", Rule::directory_entries, true,
     [](Scene& t) { t.edit(t.d, [](Inode& it) { it.size += 3; }); }},
    {"links of a directory", Rule::directory_links, true,
     [](Scene& t) { t.edit(t.d, [](Inode& it) { it.links += 1; }); }},
    {"links of the root", Rule::directory_links, true,
     [](Scene& t) { t.edit(kRootInode, [](Inode& it) { it.links = 2; }); }},
    {"the size of a symbolic link", Rule::kind, true, [](Scene& t) { t.edit(t.s, [](Inode& it) { it.size += 1; }); }},
    {"a pipe with space", Rule::kind, false, [](Scene& t) { t.edit(t.p, [](Inode& it) { it.ahead = true; }); }},
    {"no type", Rule::kind, false,
     [](Scene& t) {
       t.edit(t.p, [](Inode& it) { it.mode = 0070000; });
       t.put(volume::entry_key(t.e, "p"), volume::pack_entry({t.p, 0070000}));
     }},
    {"cuts out of order", Rule::kind, false,
     [](Scene& t) {
       t.edit(t.x, [](Inode& it) {
         it.generation = 9;
         it.cuts = {{9, 4}, {8, 5}};
       });
     }},
    {"the end of an extent map", Rule::chunk, true, [](Scene& t) { t.edit(t.x, [](Inode& it) { it.chunk_end = 1; }); }},
    {"an empty chunk", Rule::chunk, true,
     [](Scene& t) {
       t.put(volume::chunk_key(t.x, 2), volume::pack_chunk({0, {}}));
     }},
    {"a later generation", Rule::chunk, false,
     [](Scene& t) {
       volume::ChunkValue chunk = t.chunk(t.x, 0);
       chunk.generation += 1;
       t.put(volume::chunk_key(t.x, 0), volume::pack_chunk(chunk));
     }},
    {"blocks of a file", Rule::blocks, true, [](Scene& t) { t.edit(t.f, [](Inode& it) { it.blocks += 2; }); }},
    {"how many attributes", Rule::xattrs, true, [](Scene& t) { t.edit(t.x, [](Inode& it) { it.xattrs = 1; }); }},
    {"bytes of attributes", Rule::xattrs, true, [](Scene& t) { t.edit(t.x, [](Inode& it) { it.xattr_bytes = 1; }); }},
    {"a list that is none", Rule::acl, false, [](Scene& t) { give_acl(t, t.x, volume::kAccessAcl, "x"); }},
    {"a default list of a file", Rule::acl, false, [](Scene& t) { give_acl(t, t.x, volume::kDefaultAcl, kList); }},
    {"a list of a symbolic link", Rule::acl, false, [](Scene& t) { give_acl(t, t.s, volume::kAccessAcl, kList); }},
    {"a mode that its list does not say", Rule::acl, true, [](Scene& t) { give_acl(t, t.x, volume::kAccessAcl, kList); }},
    {"an extent behind the end", Rule::extent_bounds, false,
     [](Scene& t) {
       volume::ChunkValue chunk = t.chunk(t.f, 0);
       t.erase(volume::block_key(chunk.extents[0].address));
       t.change_free(chunk.extents[0].count);
       chunk.extents[0].address = 8192;
       t.put(volume::chunk_key(t.f, 0), volume::pack_chunk(chunk));
     }},
    {"blocks of two files", Rule::overlap, false, [](Scene& t) { share_blocks(t, t.o, t.f); }},
    {"no reverse key", Rule::reverse_key, true,
     [](Scene& t) { t.erase(volume::block_key(t.chunk(t.f, 0).extents[0].address)); }},
    {"a reverse key of another", Rule::reverse_key, true,
     [](Scene& t) {
       const std::string key = volume::block_key(t.chunk(t.f, 0).extents[0].address);
       volume::Owner owner = *volume::unpack_owner(t.value(key));
       owner.inode = t.x;
       t.put(key, volume::pack_owner(owner));
     }},
    {"a reverse key too many", Rule::reverse_stray, true,
     [](Scene& t) {
       t.put(volume::block_key(8000), volume::pack_owner({t.f, 77, 3}));
     }},
    {"a reverse key in the middle of an extent", Rule::reverse_stray, true,
     [](Scene& t) {
       t.put(volume::block_key(t.chunk(t.f, 0).extents[0].address + 1), volume::pack_owner({t.f, 1, 2}));
     }},
    {"a reverse key behind the end", Rule::reverse_stray, true,
     [](Scene& t) {
       t.put(volume::block_key(9000), volume::pack_owner({t.f, 1, 2}));
     }},
    {"free blocks", Rule::group_free, true, [](Scene& t) { t.change_free(-1); }},
    {"no counter", Rule::group_free, true, [](Scene& t) { t.erase(volume::group_key(0)); }},
    {"the bound too low", Rule::inode_bound, true,
     [](Scene& t) { t.put(std::string(volume::kNextInodeKey), volume::pack_u64(3)); }},
    {"no bound", Rule::inode_bound, true, [](Scene& t) { t.erase(std::string(volume::kNextInodeKey)); }},
    {"the next inode number", Rule::next_inode, true,
     [](Scene& t) { t.edit_progress([](volume::Progress& it) { it.next_inode = 3; }); }},
    {"how many objects", Rule::files, true,
     [](Scene& t) { t.edit_progress([](volume::Progress& it) { it.files += 1; }); }},
    {"a block of a file", Rule::bad_block, false,
     [](Scene& t) {
       const std::uint64_t block = t.chunk(t.f, 0).extents[0].address + 1;
       t.site().machine().storage().corrupt("extents", {block * kBlockBytes + 5, 1});
     },
     true},
    {"a block that can't be read", Rule::bad_block, false,
     [](Scene& t) {
       const std::uint64_t block = t.chunk(t.f, 0).extents[0].address + 1;
       t.site().machine().storage().make_unreadable("extents", {block * kBlockBytes, kBlockBytes});
     },
     true},
};

}  // namespace

TEST_CASE("a sound area is found sound") {
  for (std::uint64_t seed = 1; seed <= 5; ++seed) {
    Scene scene(seed);
    const auto before = scene.keys();
    const Outcome outcome = scene.examine(true, true);
    INFO(lines_of(outcome.report));
    REQUIRE(outcome.report.total() == 0);
    REQUIRE(outcome.sound());
    REQUIRE_FALSE(outcome.repaired);
    REQUIRE(outcome.report.notes().empty());
    REQUIRE(scene.keys() == before);
    REQUIRE(scene.notice.told == 0);
  }
}

TEST_CASE("each damage is found by its rule and by no other") {
  for (const Damage& damage : kDamages) {
    DYNAMIC_SECTION(text_of(damage.rule).name << ": " << damage.what) {
      Scene scene(1, damage.keep_log);
      damage.plant(scene);
      const auto before = scene.keys();
      const Outcome outcome = scene.examine(false, damage.data);
      INFO(lines_of(outcome.report));
      REQUIRE(outcome.report.total() > 0);
      REQUIRE(outcome.report.of(damage.rule) == outcome.report.total());
      REQUIRE_FALSE(outcome.sound());
      REQUIRE_FALSE(outcome.repaired);
      REQUIRE(scene.keys() == before);
      REQUIRE(scene.notice.told == 0);
      for (const Finding& finding : outcome.report.findings())
        REQUIRE(finding.mend == (damage.mends ? Mend::can : Mend::no));
    }
  }
}

TEST_CASE("--repair mends what the rule says, and nothing else is broken by it") {
  for (const Damage& damage : kDamages) {
    DYNAMIC_SECTION(text_of(damage.rule).name << ": " << damage.what) {
      Scene scene(1, damage.keep_log);
      damage.plant(scene);
      const auto before = scene.keys();
      const Outcome outcome = scene.examine(true, damage.data);
      INFO(lines_of(outcome.report) << "--\n" << lines_of(outcome.afterwards));
      REQUIRE(outcome.report.of(damage.rule) == outcome.report.total());
      REQUIRE(outcome.repaired == damage.mends);
      REQUIRE(outcome.sound() == damage.mends);
      for (const Finding& finding : outcome.report.findings())
        REQUIRE(finding.mend == (damage.mends ? Mend::done : Mend::no));
      REQUIRE(scene.notice.told == (scene.keys() == before ? 0 : 1));
      if (!damage.mends) continue;
      // What was mended is stable, and a daemon starts on it.
      scene.site().kill();
      REQUIRE(scene.examine(false, true).report.total() == 0);
      scene.site().open();
      wire::Operation create = Pair::op(wire::OpKind::create, kRootInode, "new");
      create.mode = S_IFREG | 0644;
      REQUIRE(scene.site().get([&] { return scene.site().volume->plan(create, WallTime{5}); }));
    }
  }
}

TEST_CASE("every rule has a damage here") {
  for (const RuleText& rule : rules()) {
    INFO(rule.name);
    bool mended = false, found = false;
    for (const Damage& damage : kDamages) {
      found |= damage.rule == rule.rule;
      mended |= damage.rule == rule.rule && damage.mends;
    }
    REQUIRE(found);
    REQUIRE(mended == !rule.mends.empty());
  }
}
