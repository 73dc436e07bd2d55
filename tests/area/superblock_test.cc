#include "area/superblock_format.h"

#include <cstring>

#include "area_world.h"
#include "core/checksum.h"

namespace lockstep::area {
namespace {

Superblock example() {
  Superblock s;
  s.identity.volume = "data";
  s.identity.site = "north";
  for (std::uint8_t i = 0; i < 16; ++i) {
    s.identity.volume_id.bytes[i] = i;
    s.identity.store.bytes[i] = static_cast<std::uint8_t>(0xF0 + i);
  }
  s.identity.blocks = 0x0102030405;
  s.identity.log_bytes = 0x10000000;
  s.generation = 7;
  s.clean = true;
  s.host_boot.bytes.fill(0x77);
  return s;
}

Bytes as_bytes(const SuperblockBytes& s) { return std::as_bytes(std::span(&s, 1)); }

std::string hex(Bytes bytes) {
  std::string out;
  for (std::byte b : bytes) {
    constexpr const char* kDigits = "0123456789abcdef";
    out += kDigits[static_cast<unsigned>(b) >> 4];
    out += kDigits[static_cast<unsigned>(b) & 15];
  }
  return out;
}

/// Puts `s` into copy `copy` of the machine's superblock file.
void store(TestWorld& w, std::size_t copy, const SuperblockBytes& s) {
  auto file = w.world().disk.open(kSuperblockFile);
  REQUIRE(file);
  const std::array<Bytes, 1> parts{as_bytes(s)};
  REQUIRE((*file)->write_now(copy * kSuperblockCopyBytes, parts));
}

}  // namespace

TEST_CASE("the bytes of a superblock stay what they are") {
  const SuperblockBytes bytes = encode(example());
  const Bytes all = as_bytes(bytes);
  CHECK(hex(all.first(80)) ==
        "4c4f434b53544550" "03000000" "01000000" "0700000000000000"
        "000102030405060708090a0b0c0d0e0f" "f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff"
        "0504030201000000" "0000001000000000" "00100000" "0400" "0500");
  CHECK(hex(all.subspan(80, 5)) == "6461746100");
  CHECK(hex(all.subspan(336, 6)) == "6e6f72746800");
  CHECK(hex(all.subspan(591, 18)) == "00" "77777777777777777777777777777777" "00");
  CHECK(bytes.checksum == checksum(all.first(4088)));
  CHECK(checksum(all) == 0x8c38342b7b7e7af8);
}

TEST_CASE("a superblock is read as it was written") {
  const Result<Superblock> read = decode_superblock(as_bytes(encode(example())));
  REQUIRE(read);
  CHECK(read->identity.volume == "data");
  CHECK(read->identity.site == "north");
  CHECK(read->identity.volume_id == example().identity.volume_id);
  CHECK(read->identity.store == example().identity.store);
  CHECK(read->identity.blocks == 0x0102030405);
  CHECK(read->identity.log_bytes == 0x10000000);
  CHECK(read->generation == 7);
  CHECK(read->clean);
  CHECK(read->host_boot == example().host_boot);
}

TEST_CASE("a superblock with any one byte changed is refused") {
  SuperblockBytes bytes = encode(example());
  auto raw = std::as_writable_bytes(std::span(&bytes, 1));
  for (std::size_t i = 0; i < raw.size(); ++i) {
    raw[i] ^= std::byte{0x40};
    CHECK(decode_superblock(raw).error().code == Errc::corrupt);
    raw[i] ^= std::byte{0x40};
  }
}

TEST_CASE("one bad copy of the superblock is repaired by open, and the area counts as not closed") {
  for (std::size_t copy : {0u, 1u}) {
    TestWorld w;
    REQUIRE(w.format(small_area()));
    w.storage().corrupt(kSuperblockFile, {copy * kSuperblockCopyBytes + 60, 1});
    Area& area = w.open();
    CHECK(area.identity().volume == "data");
    CHECK(area.unclean());
    // The damaged one may have been written in another boot of the machine.
    CHECK(area.power_lost());
    REQUIRE(w.run(area.power_loss_recorded()));
    REQUIRE(w.run(area.close()));
    w.kill();
    CHECK_FALSE(w.open().unclean());
    for (std::size_t i : {0u, 1u})
      CHECK(decode_superblock(w.storage().peek(kSuperblockFile).subspan(i * kSuperblockCopyBytes, kSuperblockCopyBytes)));
  }
}

TEST_CASE("two bad copies are an error that says what to do") {
  TestWorld w;
  REQUIRE(w.format(small_area()));
  w.storage().corrupt(kSuperblockFile, {0, 1});
  w.storage().corrupt(kSuperblockFile, {kSuperblockCopyBytes + 100, 1});
  const auto opened = w.try_open();
  REQUIRE_FALSE(opened);
  CHECK(opened.error().code == Errc::corrupt);
  CHECK(opened.error().text.find("format this site's area again") != std::string::npos);
}

TEST_CASE("another format version is refused and named") {
  TestWorld w;
  REQUIRE(w.format(small_area()));
  SuperblockBytes next = encode(example());
  next.version = kFormatVersion + 1;
  next.checksum = checksum(as_bytes(next).first(4088));
  store(w, 1, next);
  const auto opened = w.try_open();
  REQUIRE_FALSE(opened);
  CHECK(opened.error().code == Errc::refused);
  CHECK(opened.error().text.find("format 4, this program knows up to 3") != std::string::npos);
}

TEST_CASE("an area of the first format is refused, with what to do") {
  TestWorld w;
  REQUIRE(w.format(small_area()));
  SuperblockBytes old = encode(example());
  old.version = 1;
  old.checksum = checksum(as_bytes(old).first(4088));
  store(w, 0, old);
  store(w, 1, old);
  const auto opened = w.try_open();
  REQUIRE_FALSE(opened);
  CHECK(opened.error().code == Errc::refused);
  CHECK(opened.error().text.find("format 1, of an older program") != std::string::npos);
  CHECK(opened.error().text.find("format this site's area again") != std::string::npos);
}

TEST_CASE("a crash while the superblock is written leaves an area") {
  for (std::uint64_t seed = 1; seed <= 200; ++seed) {
    TestWorld w(seed);
    REQUIRE(w.format(small_area()));
    const std::uint64_t until = w.storage().writes() + 1 + seed % 6;
    w.storage().before_write = [&w, until](std::uint64_t n) {
      if (n == until) w.machine.lose_power();
    };
    for (int i = 0; i < 3 && w.process == w.machine.processes().back().get(); ++i) {
      // Opened again and again, until the power goes.
      auto opened = std::make_shared<std::optional<Result<std::unique_ptr<Area>>>>();
      sim::Process* before = w.process;
      before->spawn(keep_result(Area::open(w.world(), w.machine.boot_id()), opened));
      w.universe.run_for(std::chrono::seconds(2));
      if (w.machine.processes().empty() || w.machine.processes().back().get() != before) break;
      before->keep(std::make_shared<std::unique_ptr<Area>>(std::move(***opened)));
      w.kill();
    }
    w.storage().before_write = nullptr;
    if (w.machine.processes().empty()) w.process = &w.machine.start();
    CHECK(w.open().identity().volume == "data");
  }
}

}  // namespace lockstep::area
