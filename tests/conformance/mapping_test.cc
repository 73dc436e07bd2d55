#include <cstring>

#include "catch.h"
#include "conformance/world_maker.h"

using namespace lockstep;
using namespace lockstep::conformance;
using runtime::Task;

namespace {

Task<void> stores_are_kept(WorldMaker& maker) {
  runtime::Disk& disk = maker.world().disk;
  const auto made = co_await disk.create("checksums", 64 << 10, nullptr, nullptr);
  REQUIRE(made.has_value());
  {
    auto mapping = disk.map("checksums");
    REQUIRE(mapping.has_value());
    const MutableBytes bytes = (*mapping)->bytes();
    REQUIRE(bytes.size() == 64 << 10);
    const auto ready = co_await (*mapping)->prepare({0, 64 << 10});
    REQUIRE(ready.has_value());
    CHECK(bytes[0] == std::byte{});
    CHECK(bytes.back() == std::byte{});
    std::memset(bytes.data() + 4090, 'x', 10000);
    const auto synced = co_await (*mapping)->sync({4090, 10000});
    CHECK(synced.has_value());
    bytes.back() = std::byte{7};
  }
  auto again = disk.map("checksums");
  REQUIRE(again.has_value());
  const auto ready = co_await (*again)->prepare({0, 64 << 10});
  REQUIRE(ready.has_value());
  CHECK((*again)->bytes()[4089] == std::byte{});
  CHECK((*again)->bytes()[4090] == std::byte{'x'});
  CHECK((*again)->bytes()[14089] == std::byte{'x'});
  CHECK((*again)->bytes()[14090] == std::byte{});
  CHECK((*again)->bytes().back() == std::byte{7});
}

Task<void> mapping_and_file_agree(WorldMaker& maker) {
  runtime::Disk& disk = maker.world().disk;
  const auto made = co_await disk.create("checksums", 16 << 10, nullptr, nullptr);
  REQUIRE(made.has_value());
  auto mapping = disk.map("checksums");
  auto file = disk.open("checksums");
  REQUIRE(mapping.has_value());
  REQUIRE(file.has_value());
  std::memset((*mapping)->bytes().data(), 'm', 8192);
  std::vector<std::byte> into(100);
  const auto read = co_await (*file)->read(8100, into);
  REQUIRE(read.has_value());
  CHECK(into[91] == std::byte{'m'});
  CHECK(into[92] == std::byte{});
}

}  // namespace

TEST_CASE("stores into a mapping are there in the next one") {
  const auto maker = make_world();
  maker->run(stores_are_kept(*maker));
}

TEST_CASE("a file shows what was stored through a mapping") {
  const auto maker = make_world();
  maker->run(mapping_and_file_agree(*maker));
}
