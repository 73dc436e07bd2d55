// scene.h - a volume with something of every kind in it, closed in order, whose keys a test may damage and have
// examined.
#pragma once

#include <functional>

#include "../volume/site.h"
#include "fsck/fsck.h"
#include "fsck/rules.h"
#include "sim/storage.h"

namespace lockstep::fsck {

using volume::Pair;
using volume::pattern;

class CountedNotice final : public RepairNotice {
 public:
  Result<> metadata_may_differ() override {
    ++told;
    if (fails) return fail(Errc::io, "nobody is to be reached");
    return {};
  }
  int told = 0;
  bool fails = false;
};

/// Examines what is on `site`, whose process has nothing open.
inline Result<Outcome> examine_site(volume::Site& site, Options options, RepairNotice& notice) {
  runtime::World& world = site.world();
  return site.run(examine({world.scheduler, world.disk, world.keys, WallTime{77}}, options, notice));
}

inline std::string lines_of(const Report& report) {
  std::string text;
  for (const Finding& finding : report.findings()) text += line_of(finding) + "\n";
  for (const std::string& note : report.notes()) text += "note: " + note + "\n";
  return text;
}

class Scene {
 public:
  /// Some of the log is in the keys and some not yet, if `keep_log`.
  explicit Scene(std::uint64_t seed = 1, bool keep_log = true) : pair(seed) {
    d = pair.directory(kRootInode, "d");
    e = pair.directory(d, "e");
    f = Pair::made(pair.create(d, "f"));
    REQUIRE(pair.append(f, pattern(100'000, seed)).error == 0);
    REQUIRE(pair.link(kRootInode, "g", f).error == 0);
    s = Pair::made(pair.create(d, "s", S_IFLNK | 0777));
    x = Pair::made(pair.create(e, "x"));
    REQUIRE(pair.set_xattr(x, "user.one", "value").error == 0);
    REQUIRE(pair.set_xattr(x, "user.two", "another").error == 0);
    // Two extents: one in its first chunk, one far behind.
    REQUIRE(pair.write(x, 0, pattern(20'000, seed + 1)).error == 0);
    REQUIRE(pair.write(x, 50 * volume::kMiB, pattern(20'000, seed + 2)).error == 0);
    p = Pair::made(pair.create(e, "p", S_IFIFO | 0600));
    o = Pair::made(pair.create(d, "o"));
    REQUIRE(pair.append(o, pattern(5'000, seed + 3)).error == 0);
    REQUIRE(pair.unlink(d, "o").error == 0);
    l1 = pair.directory(kRootInode, "l1");
    l2 = pair.directory(l1, "l2");
    pair.trim(f);
    if (!keep_log) REQUIRE(site().run(site().area->log().forget_through(site().volume->applied())));
    site().close();
  }

  volume::Site& site() { return pair.a; }
  const sim::KeyMap& keys() { return site().machine().key_store().keys(); }
  std::string value(const std::string& key) {
    REQUIRE(keys().contains(key));
    return keys().at(key);
  }
  void put(const std::string& key, const std::string& value) { REQUIRE(site().world().keys.apply({{key, value}})); }
  void erase(const std::string& key) {
    REQUIRE(keys().contains(key));
    REQUIRE(site().world().keys.apply({{key, std::nullopt}}));
  }
  volume::Inode inode(InodeId id) { return *volume::unpack_inode(id, value(volume::inode_key(id))); }
  void edit(InodeId id, const std::function<void(volume::Inode&)>& change) {
    volume::Inode it = inode(id);
    change(it);
    put(volume::inode_key(id), volume::pack_inode(it));
  }
  void edit_progress(const std::function<void(volume::Progress&)>& change) {
    volume::Progress it = *volume::unpack_progress(value(std::string(volume::kSeqKey)));
    change(it);
    put(std::string(volume::kSeqKey), volume::pack_progress(it));
  }
  /// Adds a name, and what its directory counts.
  void add_name(InodeId directory, const std::string& name, InodeId object, std::uint32_t type) {
    put(volume::entry_key(directory, name), volume::pack_entry({object, type}));
    edit(directory, [&](volume::Inode& it) {
      ++it.size;
      if (type == S_IFDIR) ++it.links;
    });
  }
  void remove_name(InodeId directory, const std::string& name) {
    const volume::EntryValue entry = *volume::unpack_entry(value(volume::entry_key(directory, name)));
    erase(volume::entry_key(directory, name));
    edit(directory, [&](volume::Inode& it) {
      --it.size;
      if (entry.type == S_IFDIR) --it.links;
    });
  }
  volume::ChunkValue chunk(InodeId id, std::uint32_t index) {
    return *volume::unpack_chunk(value(volume::chunk_key(id, index)), 1u << 20);
  }
  void change_free(std::int64_t by) {
    const std::string key = volume::group_key(0);
    put(key, volume::pack_u32(static_cast<std::uint32_t>(*volume::unpack_u32(value(key)) + by)));
  }

  Outcome examine(bool repair = false, bool data = false, std::size_t memory_bytes = 1u << 20) {
    Result<Outcome> outcome =
        examine_site(site(), {.repair = repair, .data = data, .memory_bytes = memory_bytes}, notice);
    if (!outcome) FAIL(outcome.error().text);
    return std::move(*outcome);
  }

  Pair pair;
  CountedNotice notice;
  InodeId d, e, f, s, x, p, o, l1, l2;  // /d /d/e /d/f=/g /d/s /d/e/x /d/e/p (orphan) /l1 /l1/l2
};

}  // namespace lockstep::fsck
