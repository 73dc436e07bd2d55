// The attribute that stands for reservations: what may be written into it, what it reads as.
#include "fuse/reserve_xattr.h"

#include "catch.h"

using namespace lockstep;
using namespace lockstep::fuse;

namespace {

constexpr InodeId kFile{7};

}  // namespace

TEST_CASE("the attribute's value is a range and a way, both may be left out") {
  struct Row {
    const char* value;
    std::uint64_t offset, length;
    std::uint32_t flags;
  };
  for (const Row& row : {Row{"", 0, 0, 0}, Row{"wait", 0, 0, 0}, Row{"busy", 0, 0, volume::kReserveBusy}, Row{"0-4095", 0, 4096, 0},
                         Row{"4096-8191 wait", 4096, 4096, 0}, Row{" 1-1  busy ", 1, 1, volume::kReserveBusy}}) {
    INFO(row.value);
    const auto operation = reserve_by_xattr(kFile, row.value);
    REQUIRE(operation);
    REQUIRE(operation->kind == wire::OpKind::reserve);
    REQUIRE(operation->inode == kFile);
    REQUIRE(operation->offset == row.offset);
    REQUIRE(operation->length == row.length);
    REQUIRE(operation->flags == row.flags);
  }
  for (const char* value : {"now", "busy busy", "wait busy", "busy 0-1", "0-1 2-3", "0-1x", "1-0", "\n"}) {
    INFO(value);
    REQUIRE_FALSE(reserve_by_xattr(kFile, value));
  }
  REQUIRE_FALSE(reserve_by_xattr(kFile, std::string_view("busy\0", 5)));
}

TEST_CASE("it reads as a line for each reservation of the object") {
  volume::Reservations all;
  const std::vector<std::string> sites{"east", "west"};
  REQUIRE(reserve_xattr_of(all, kFile, sites).empty());
  all.put({.object = kFile, .site = SiteId{1}});
  all.put({.object = kFile, .first = 2, .count = 1, .site = SiteId{0}, .busy = true});
  all.put({.object = InodeId{8}, .site = SiteId{0}});
  all.put({.object = kFile, .first = 9, .count = 1, .site = SiteId{9}});
  REQUIRE(reserve_xattr_of(all, kFile, sites) == "west all wait\neast 8192-12287 busy\nsite-9 36864-40959 wait\n");
}
