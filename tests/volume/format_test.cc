#include "../catch.h"

#include "sim/prng.h"
#include "volume/keys_format.h"

using namespace lockstep;
using namespace lockstep::volume;

namespace {

std::string hex(std::string_view bytes) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string text;
  for (const char c : bytes) {
    text += kDigits[static_cast<std::uint8_t>(c) >> 4];
    text += kDigits[static_cast<std::uint8_t>(c) & 15];
  }
  return text;
}

Inode sample() {
  Inode inode;
  inode.id = InodeId{7};
  inode.mode = 0100644;
  inode.links = 2;
  inode.uid = 1000;
  inode.gid = 100;
  inode.size = 0x1122334455;
  inode.blocks = 9;
  inode.atime = WallTime{1};
  inode.mtime = WallTime{-2};
  inode.ctime = WallTime{3};
  inode.btime = WallTime{4};
  inode.generation = 5;
  inode.cuts = {{6, 4}, {9, 5}};
  inode.chunk_end = 10;
  inode.xattrs = 1;
  inode.xattr_bytes = 20;
  inode.growths = 3;
  inode.ahead = true;
  return inode;
}

}  // namespace

TEST_CASE("keys have the bytes of the format") {
  REQUIRE(hex(inode_key(InodeId{0x0102})) == "490000000000000102");
  REQUIRE(hex(entry_key(InodeId{1}, "a")) == "440000000000000001" "7363195b0f4b270f" "61");
  REQUIRE(hex(chunk_key(InodeId{1}, 0x0a0b)) == "450000000000000001" "00000a0b");
  REQUIRE(hex(xattr_key(InodeId{1}, "user.x")) == "580000000000000001" "757365722e78");
  REQUIRE(hex(block_key(3)) == "520000000000000003");
  REQUIRE(hex(group_key(3)) == "4700000003");
  REQUIRE(hex(orphan_key(InodeId{3})) == "4f0000000000000003");
  REQUIRE(hex(own_key(InodeId{0x0102}, false)) == "006f776e" "0000000000000102");
  REQUIRE(hex(own_key(InodeId{0x0102}, true)) == "006f776e" "0000000000000102" "2d");
  REQUIRE(kOwnKey == std::string_view("\0own", 4));
  REQUIRE(kSeqKey == std::string_view("\0seq", 4));
}

TEST_CASE("values have the bytes of the format") {
  REQUIRE(hex(pack_inode(sample())) ==
          "01010300" "a4810000" "02000000" "e8030000" "64000000" "00000000" "5544332211000000" "0900000000000000"
          "0100000000000000" "feffffffffffffff" "0300000000000000" "0400000000000000" "0000000000000000"
          "05000000" "0a000000" "01000000" "14000000" "02000000" "0600000004000000" "0900000005000000");
  REQUIRE(hex(pack_entry({InodeId{9}, 0040000})) == "01" "0900000000000000" "00400000");
  REQUIRE(hex(pack_chunk({2, {{1, 3, 0x10, false}, {2047, 1, 0x20, true}}})) ==
          "01" "02000000" "0100" "0300" "1000000000000000" "ff07" "0100" "2000000000000080");
  REQUIRE(hex(pack_progress({Seq{1}, 2, 3})) == "0100000000000000" "0200000000000000" "0300000000000000");
  REQUIRE(hex(pack_own({Seq{1}, Seq{2}, true})) == "01" "0100000000000000" "0200000000000000" "01");
  REQUIRE(hex(pack_owner({InodeId{9}, 0x0800, 2048})) == "01" "0900000000000000" "0008000000000000" "0008");
}

TEST_CASE("what was packed comes back") {
  REQUIRE(unpack_inode(InodeId{7}, pack_inode(sample())) == sample());
  Inode link = sample();
  link.mode = 0120777;
  link.target = "../x";
  REQUIRE(unpack_inode(InodeId{7}, pack_inode(link)) == link);
  REQUIRE(unpack_own(pack_own({Seq{5}, Seq{9}})) == OwnSpan{Seq{5}, Seq{9}});
  REQUIRE(unpack_own(pack_own({Seq{5}, Seq{9}, true})) == OwnSpan{Seq{5}, Seq{9}, true});
  REQUIRE(parse_own_key(own_key(InodeId{7}, true))->removal);
  REQUIRE(parse_own_key(own_key(InodeId{7}, false))->inode == InodeId{7});
  REQUIRE_FALSE(parse_own_key(kOwnKey));
}

TEST_CASE("bytes that are no values are corrupt, whatever they are") {
  const std::string inode = pack_inode(sample());
  for (std::size_t n = 0; n < inode.size(); ++n) REQUIRE_FALSE(unpack_inode(InodeId{7}, inode.substr(0, n)));
  REQUIRE_FALSE(unpack_inode(InodeId{7}, inode + "x"));
  REQUIRE_FALSE(unpack_chunk(pack_chunk({0, {{0, 2, 0, false}, {1, 1, 9, false}}}), 100));  // overlap
  REQUIRE_FALSE(unpack_chunk(pack_chunk({0, {{0, 2, 99, false}}}), 100));                  // beyond the area
  REQUIRE_FALSE(unpack_chunk(pack_chunk({0, {{2047, 2, 0, false}}}), 100));                // beyond the chunk
  REQUIRE_FALSE(unpack_chunk(pack_chunk({0, {{0, 2, kGroupBlocks - 1, false}}}), 2 * kGroupBlocks));
  sim::Prng prng(3);
  for (int i = 0; i < 20000; ++i) {
    std::string bytes(prng.below(140), '\0');
    for (char& c : bytes) c = static_cast<char>(prng.next());
    if (!bytes.empty() && prng.chance(700)) bytes[0] = 1;
    const auto a = unpack_inode(InodeId{1}, bytes);
    const auto b = unpack_chunk(bytes, 1000);
    const auto c = unpack_entry(bytes);
    const auto d = unpack_owner(bytes);
    const auto e = unpack_progress(bytes);
    const auto f = unpack_own(bytes);
    REQUIRE((e || e.error().code == Errc::corrupt));
    REQUIRE((f || f.error().code == Errc::corrupt));
    for (const bool corrupt : {a || a.error().code == Errc::corrupt, b || b.error().code == Errc::corrupt,
                               c || c.error().code == Errc::corrupt, d || d.error().code == Errc::corrupt})
      REQUIRE(corrupt);
    if (b) REQUIRE(pack_chunk(*b) == bytes);
  }
}

TEST_CASE("no name has one of the first sixteen hashes, or more than 63 bits") {
  for (int i = 0; i < 10000; ++i) {
    const std::uint64_t hash = name_hash("name" + std::to_string(i));
    REQUIRE(hash >= 16);
    REQUIRE(hash < (std::uint64_t{1} << 63));
  }
}
