#include <cerrno>
#include <cstring>

#include "catch.h"
#include "conformance/world_maker.h"

using namespace lockstep;
using namespace lockstep::conformance;
using runtime::Task;

namespace {

Bytes bytes_of(std::string_view text) { return std::as_bytes(std::span(text)); }

std::string text_of(MutableBytes bytes) { return {reinterpret_cast<const char*>(bytes.data()), bytes.size()}; }

/// Reads until memory has it, or from the medium.
Task<std::string> read_text(runtime::File& file, std::uint64_t offset, std::size_t n) {
  std::vector<std::byte> into(n, std::byte{0xEE});
  if (const auto now = file.try_read(offset, into)) {
    REQUIRE(now->has_value());
    co_return text_of(into);
  }
  const auto later = co_await file.read(offset, into);
  REQUIRE(later.has_value());
  co_return text_of(into);
}

Task<std::unique_ptr<runtime::File>> make_file(runtime::Disk& disk, std::string name, std::uint64_t bytes) {
  const auto made = co_await disk.create(name, bytes, nullptr, nullptr);
  REQUIRE(made.has_value());
  auto file = disk.open(name);
  REQUIRE(file.has_value());
  co_return std::move(*file);
}

Task<void> created_files_are_zeros(WorldMaker& maker) {
  const auto file = co_await make_file(maker.world().disk, "extents", 1 << 20);
  CHECK(file->bytes() == 1 << 20);
  const std::string first = co_await read_text(*file, 0, 4096);
  CHECK(first == std::string(4096, '\0'));
  const std::string last = co_await read_text(*file, (1 << 20) - 512, 512);
  CHECK(last == std::string(512, '\0'));
}

Task<void> create_reports_progress(WorldMaker& maker) {
  std::vector<std::uint64_t> seen;
  const auto note = [](void* with, std::uint64_t bytes) {
    static_cast<std::vector<std::uint64_t>*>(with)->push_back(bytes);
  };
  const auto made = co_await maker.world().disk.create("extents", 3 << 20, note, &seen);
  REQUIRE(made.has_value());
  REQUIRE(!seen.empty());
  CHECK(std::is_sorted(seen.begin(), seen.end()));
  CHECK(seen.back() == 3 << 20);
}

Task<void> create_refuses_what_exists(WorldMaker& maker) {
  runtime::Disk& disk = maker.world().disk;
  const auto file = co_await make_file(disk, "log", 8192);
  const Bytes part = bytes_of("kept");
  REQUIRE(file->write_now(0, std::span(&part, 1)).has_value());
  const auto again = co_await disk.create("log", 4096, nullptr, nullptr);
  REQUIRE(!again.has_value());
  CHECK(again.error().code == Errc::io);
  CHECK(again.error().posix == EEXIST);
  const std::string kept = co_await read_text(*file, 0, 4);
  CHECK(kept == "kept");
}

Task<void> writes_are_seen_at_once(WorldMaker& maker) {
  const auto file = co_await make_file(maker.world().disk, "extents", 64 << 10);
  const std::string a(5000, 'a'), b(300, 'b');
  const Bytes parts[] = {bytes_of(a), {}, bytes_of(b)};
  REQUIRE(file->write_now(4000, parts).has_value());
  const std::string all = co_await read_text(*file, 3999, 5302);
  CHECK(all == std::string(1, '\0') + a + b + std::string(1, '\0'));
  // Also through another handle.
  auto other = maker.world().disk.open("extents");
  REQUIRE(other.has_value());
  const std::string seen = co_await read_text(**other, 9000, 300);
  CHECK(seen == b);
}

Task<void> sync_succeeds(WorldMaker& maker) {
  const auto file = co_await make_file(maker.world().disk, "extents", 64 << 10);
  const Bytes part = bytes_of("something");
  REQUIRE(file->write_now(8192, std::span(&part, 1)).has_value());
  file->start_write_back({8192, 4096});
  const auto some = co_await file->sync({8192, 4096});
  CHECK(some.has_value());
  const auto all = co_await file->sync({0, file->bytes()});
  CHECK(all.has_value());
  const auto none = co_await file->sync({0, 0});
  CHECK(none.has_value());
}

Task<void> read_half(runtime::File& file, std::uint64_t offset, std::string& into) {
  into = co_await read_text(file, offset, 32 << 10);
}

Task<void> calls_overlap(WorldMaker& maker) {
  const auto file = co_await make_file(maker.world().disk, "extents", 64 << 10);
  const std::string low(32 << 10, 'l'), high(32 << 10, 'h');
  const Bytes parts[] = {bytes_of(low), bytes_of(high)};
  REQUIRE(file->write_now(0, parts).has_value());
  std::string first, second;
  runtime::Scope scope(maker.world().scheduler);
  scope.spawn(read_half(*file, 0, first));
  scope.spawn(read_half(*file, 32 << 10, second));
  const auto synced = co_await file->sync({0, 64 << 10});
  CHECK(synced.has_value());
  scope.close();
  co_await scope.join();
  CHECK(first == low);
  CHECK(second == high);
}

Task<void> make_one(runtime::Disk& disk, std::string name) {
  const auto made = co_await disk.create(name, 4096, nullptr, nullptr);
  REQUIRE(made.has_value());
}

}  // namespace

TEST_CASE("a created file has its size and is zeros") {
  const auto maker = make_world();
  maker->run(created_files_are_zeros(*maker));
}

TEST_CASE("create tells how far it is") {
  const auto maker = make_world();
  maker->run(create_reports_progress(*maker));
}

TEST_CASE("create does not touch a file that is there") {
  const auto maker = make_world();
  maker->run(create_refuses_what_exists(*maker));
}

TEST_CASE("a write is seen by every later read") {
  const auto maker = make_world();
  maker->run(writes_are_seen_at_once(*maker));
}

TEST_CASE("sync answers for a range, for all and for nothing") {
  const auto maker = make_world();
  maker->run(sync_succeeds(*maker));
}

TEST_CASE("reads and syncs of one file overlap") {
  const auto maker = make_world();
  maker->run(calls_overlap(*maker));
}

TEST_CASE("names are listed in order and can be removed") {
  const auto maker = make_world();
  runtime::Disk& disk = maker->world().disk;
  CHECK(disk.list().value().empty());
  for (const char* name : {"log", "extents", "superblock"}) maker->run(make_one(disk, name));
  CHECK(disk.list().value() == std::vector<std::string>{"extents", "log", "superblock"});
  CHECK(disk.remove("log").has_value());
  CHECK(disk.list().value() == std::vector<std::string>{"extents", "superblock"});
  CHECK(disk.open("extents").has_value());
}

TEST_CASE("what is not there is absent") {
  const auto maker = make_world();
  runtime::Disk& disk = maker->world().disk;
  CHECK(disk.open("nothing").error().code == Errc::absent);
  CHECK(disk.map("nothing").error().code == Errc::absent);
}

TEST_CASE("a disk has one lock, and the refusal says where") {
  const auto maker = make_world();
  REQUIRE(maker->world().disk.lock().has_value());
  const auto second = maker->other_disk().lock();
  REQUIRE(!second.has_value());
  CHECK(second.error().code == Errc::refused);
  CHECK(second.error().text.find(maker->world().disk.where()) != std::string::npos);
}
