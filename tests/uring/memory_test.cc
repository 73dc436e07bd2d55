// What a site has that works without its area: files and keys in memory.
#include "catch.h"

#include <cerrno>
#include <filesystem>
#include <random>

#include "real_world.h"
#include "uring/memory_disk.h"

namespace lockstep::uring {
namespace {

using runtime::Task;

Bytes as_bytes(std::string_view s) { return std::as_bytes(std::span(s)); }

Task<void> make_files(MemoryDisk& disk, bool& done) {
  done = (co_await disk.create("log", 8192, nullptr, nullptr)).has_value() && (co_await disk.create("extents", 1ull << 40, nullptr, nullptr)).has_value();
  const Result<> again = co_await disk.create("log", 8192, nullptr, nullptr);
  done = done && !again && again.error().posix == EEXIST;
}

TEST_CASE("a disk in memory keeps what is written, but of the files that are to keep nothing") {
  const TemporaryDirectory directory;
  RealWorld here(directory.path());
  MemoryDisk disk("memory", {"extents"});
  bool done = false;
  here.loop->run(make_files(disk, done));
  REQUIRE(done);
  CHECK(disk.list().value() == std::vector<std::string>{"extents", "log"});
  for (const bool keeps : {true, false}) {
    const auto file = disk.open(keeps ? "log" : "extents").value();
    const std::array<Bytes, 2> parts{as_bytes("ab"), as_bytes("cd")};
    REQUIRE(file->write_now(4094, parts).has_value());
    std::string read(6, 'x');
    const auto got = file->try_read(4093, std::as_writable_bytes(std::span(read)));
    REQUIRE((got && *got));
    CHECK(read == (keeps ? std::string("\0abcd\0", 6) : std::string(6, '\0')));
    CHECK_FALSE(file->write_now(file->bytes() - 1, parts).has_value());
    CHECK_FALSE(file->try_read(file->bytes() - 1, std::as_writable_bytes(std::span(read)))->has_value());
  }
  const auto mapping = disk.map("log").value();
  CHECK(static_cast<char>(mapping->bytes()[4094]) == 'a');
  CHECK(disk.open("state").error().code == Errc::absent);
  REQUIRE(disk.remove("log").has_value());
  CHECK(disk.open("log").error().code == Errc::absent);
}

Task<void> fill(KeyStore& keys, std::string& found, int& applied) {
  std::mt19937 random(1);
  std::string large(64u << 10, '\0');
  for (char& c : large) c = static_cast<char>(random());  // nothing makes it smaller
  for (int i = 0; i < 400; ++i) {
    if (!keys.apply({{"key" + std::to_string(i), large}})) break;
    ++applied;
    if (i % 50 != 0) continue;
    const Result<> flushed = co_await keys.flush();
    if (!flushed) break;
  }
  const Result<std::optional<std::string>> first = co_await keys.get("key0");
  if (first && *first == large) found = "the same";
}

TEST_CASE("keys in memory are bounded, and leave nothing on a medium") {
  const TemporaryDirectory directory;
  RealWorld here(directory.path());
  const std::string place = directory.path() + "/in-memory";
  KeyStoreOptions options;
  options.in_memory_max = 8u << 20;
  auto keys = KeyStore::open(*here.loop, here.pool, place, options).value();
  std::string found;
  int applied = 0;
  here.loop->run(fill(*keys, found, applied));
  CHECK(found == "the same");
  CHECK(applied > 100);  // 8 MiB, and what gathers before it is counted
  CHECK(applied < 400);
  CHECK_FALSE(std::filesystem::exists(place));
}

}  // namespace
}  // namespace lockstep::uring
