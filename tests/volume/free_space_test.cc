#include "site.h"

using namespace lockstep;
using namespace lockstep::volume;

TEST_CASE("a full volume says ENOSPC and changes nothing; what is removed can be used again") {
  Pair pair(1, 2048);
  const std::uint64_t free = pair.a.volume->statistics().blocks_free;
  const InodeId f = pair.file("f");
  const std::string text = pattern(256 * kBlockBytes, 1);
  std::uint64_t size = 0;
  while (pair.append(f, text).error == 0) size += text.size();
  REQUIRE(pair.last.effect.outcome.error == ENOSPC);
  REQUIRE(size > 1536 * kBlockBytes);
  REQUIRE(pair.attributes(f).size == size);
  while (pair.append(f, "x" + std::string(4095, 'y')).error == 0) size += 4096;
  REQUIRE(pair.a.volume->statistics().blocks_free == 0);
  // Overwrites, removal and truncation need no space.
  REQUIRE(pair.write(f, 0, text).error == 0);
  REQUIRE(pair.truncate(f, size - 100).error == 0);
  REQUIRE(pair.create(kRootInode, "g").error == 0);
  REQUIRE(pair.unlink(kRootInode, "g").error == 0);
  REQUIRE(pair.unlink(kRootInode, "f").error == 0);
  pair.reap();
  REQUIRE(pair.a.volume->statistics().blocks_free == free);
  const InodeId h = pair.file("h");
  REQUIRE(pair.append(h, text).error == 0);
  REQUIRE(pair.read(pair.b, h, 0, text.size()) == text);
  pair.require_equal();
}

TEST_CASE("blocks that were freed wait for release before they are used again") {
  Pair pair(1, 2048);
  const InodeId f = pair.file("f");
  for (int i = 0; i < 5; ++i) REQUIRE(pair.append(f, pattern(kMiB, 1)).error == 0);
  pair.trim(f);
  pair.release_at_once = false;
  REQUIRE(pair.truncate(f, 0).error == 0);
  const wire::Effect freed = pair.last.effect;
  const InodeId g = pair.file("g");
  while (pair.append(g, pattern(256 * 1024, 2)).error == 0) {
    for (const BlockRange& taken : pair.last.effect.allocated) {
      for (const BlockRange& range : freed.freed) REQUIRE_FALSE(taken.overlaps(range));
    }
  }
  REQUIRE(pair.last.space_waits);
  pair.release(freed);
  REQUIRE(pair.append(g, pattern(256 * 1024, 2)).error == 0);
  pair.release_at_once = true;
  while (pair.append(g, pattern(256 * 1024, 2)).error == 0) {
  }
  REQUIRE_FALSE(pair.last.space_waits);
}

TEST_CASE("fragmented space is found, and every block has its owner") {
  Pair pair(1, 2048);
  std::vector<InodeId> files;
  for (int i = 0; i < 1500; ++i) {
    files.push_back(pair.file("f" + std::to_string(i)));
    REQUIRE(pair.write(files.back(), 0, pattern(4096, i)).error == 0);
  }
  for (int i = 0; i < 1500; i += 2) REQUIRE(pair.unlink(kRootInode, "f" + std::to_string(i)).error == 0);
  pair.reap();
  const InodeId big = pair.file("big");
  const std::string text = pattern(kMiB, 9);
  REQUIRE(pair.append(big, text).error == 0);
  REQUIRE(pair.append(big, text).error == 0);
  REQUIRE(pair.append(big, text).error == 0);
  REQUIRE(pair.read(pair.b, big, 2 * kMiB, kMiB) == text);
  // Small overwrites of a fragmented file have no batch.
  REQUIRE(pair.write(big, kMiB + 1000, text.substr(0, 20000)).error == 0);
  REQUIRE(pair.last.effect.batch.empty());
  std::uint64_t owned = 0;
  for (const auto& [key, value] : pair.a.machine().key_store().keys()) {
    if (key[0] == 'R') owned += unpack_owner(value)->count;
  }
  REQUIRE(owned == 2048 - pair.a.volume->statistics().blocks_free - 8);
  for (int i = 1; i < 1500; i += 2) REQUIRE(pair.read(files[i], 0, 4096) == pattern(4096, i));
  pair.require_equal();
}

TEST_CASE("files span groups, and no extent crosses their border") {
  Pair pair(1, 2 * kGroupBlocks);
  const InodeId f = pair.file("f");
  REQUIRE(pair.allocate(f, 0, (kGroupBlocks + 5000) * kBlockBytes, 0).value == (kGroupBlocks + 5000) * kBlockBytes);
  REQUIRE(pair.write(f, kGroupBlocks * kBlockBytes - 100, pattern(200, 1)).error == 0);
  REQUIRE(pair.read(f, kGroupBlocks * kBlockBytes - 100, 200) == pattern(200, 1));
  for (const auto& [key, value] : pair.a.machine().key_store().keys()) {
    if (key[0] != 'R') continue;
    const std::uint64_t block = *parse_block_key(key);
    REQUIRE(block / kGroupBlocks == (block + unpack_owner(value)->count - 1) / kGroupBlocks);
  }
  REQUIRE(pair.unlink(kRootInode, "f").error == 0);
  pair.reap();
  REQUIRE(pair.keys_of('R') == 0);
  pair.require_equal();
}

TEST_CASE("while growth is held, what would leave more metadata gets ENOSPC and changes nothing; what takes some away does not") {
  Pair pair(1, 2048);
  const InodeId f = pair.file("f");
  const std::string text = pattern(64 * kBlockBytes, 1);
  REQUIRE(pair.append(f, text).error == 0);
  pair.trim(f);
  REQUIRE(pair.file("g") != kNoInode);
  const std::uint64_t free = pair.a.volume->statistics().blocks_free;
  pair.a.volume->hold_growth(true);
  REQUIRE(pair.a.volume->statistics().growth_held);
  REQUIRE(pair.append(f, text).error == ENOSPC);
  REQUIRE_FALSE(pair.last.changes);
  REQUIRE_FALSE(pair.last.space_waits);
  REQUIRE(pair.last.growth_held);
  REQUIRE(pair.create(kRootInode, "h").error == ENOSPC);
  REQUIRE(pair.create(kRootInode, "g").error == EEXIST);
  REQUIRE(pair.a.volume->statistics().blocks_free == free);
  REQUIRE(pair.attributes(f).size == text.size());
  REQUIRE(pair.write(f, 0, text.substr(0, 5000)).error == 0);
  REQUIRE(pair.truncate(f, 10).error == 0);
  REQUIRE(pair.unlink(kRootInode, "g").error == 0);
  pair.reap();
  pair.a.volume->hold_growth(false);
  REQUIRE(pair.create(kRootInode, "h").error == 0);
  REQUIRE(pair.append(f, text).error == 0);
  pair.require_equal();
}
