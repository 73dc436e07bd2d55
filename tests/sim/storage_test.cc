#include <cerrno>
#include <cstring>
#include <set>

#include "catch.h"
#include "worlds.h"

using namespace lockstep;
using namespace lockstep::sim;
using runtime::Task;

namespace {

constexpr std::uint64_t kFileBytes = 64 << 10;

struct Site {
  explicit Site(std::uint64_t seed)
      : universe(seed), machine(universe.add_machine("alpha")), process(&machine.start()) {
    run(*process, make_file(process->world().disk, "file", kFileBytes));
    file = std::move(*process->world().disk.open("file"));
  }
  void lose_power() {
    Universe::bury(std::shared_ptr<void>(std::move(file)));  // belongs to the process that is no more
    machine.lose_power();
    process = &machine.start();
    file = std::move(*process->world().disk.open("file"));
  }
  std::string seen() { return text_of(machine.storage().peek("file")); }

  Universe universe;
  Machine& machine;
  Process* process;
  std::unique_ptr<runtime::File> file;
};

Task<void> sync_all(runtime::File& file, bool& ok) {
  const auto synced = co_await file.sync({0, kFileBytes});
  ok = synced.has_value();
}

bool sync(Site& site) {
  bool ok = false;
  run(*site.process, sync_all(*site.file, ok));
  return ok;
}

Task<void> read_byte(runtime::File& file, std::uint64_t offset, int& error) {
  std::byte b;
  const auto read = co_await file.read(offset, {&b, 1});
  error = read.has_value() ? 0 : read.error().posix;
}

int read_at(Site& site, std::uint64_t offset) {
  int error = -1;
  run(*site.process, read_byte(*site.file, offset, error));
  return error;
}

}  // namespace

TEST_CASE("what was synced survives loss of power") {
  for (std::uint64_t seed = 0; seed < 50; ++seed) {
    Site site(seed);
    const std::string text(20'000, 's');
    write_text(*site.file, 1000, text);
    REQUIRE(sync(site));
    site.lose_power();
    CHECK(site.seen().substr(1000, text.size()) == text);
  }
}

TEST_CASE("what was not synced is lost, kept or torn by sectors") {
  bool lost = false, kept = false, torn = false;
  for (std::uint64_t seed = 0; seed < 100; ++seed) {
    Site site(seed);
    write_text(*site.file, 0, std::string(16'384, 'o'));
    REQUIRE(sync(site));
    write_text(*site.file, 0, std::string(16'384, 'n'));
    site.lose_power();
    const std::string seen = site.seen();
    std::set<char> found;
    for (std::uint64_t sector = 0; sector < 16'384 / kSectorBytes; ++sector) {
      const std::string_view bytes = std::string_view(seen).substr(sector * kSectorBytes, kSectorBytes);
      const bool uniform = bytes == std::string(kSectorBytes, 'o') || bytes == std::string(kSectorBytes, 'n');
      CHECK(uniform);
      found.insert(bytes[0]);
    }
    lost = lost || found == std::set<char>{'o'};
    kept = kept || found == std::set<char>{'n'};
    torn = torn || found.size() == 2;
  }
  CHECK(lost);
  CHECK(kept);
  CHECK(torn);
}

TEST_CASE("a killed process loses nothing that it wrote") {
  Site site(1);
  write_text(*site.file, 5, "written");
  Universe::bury(std::shared_ptr<void>(std::move(site.file)));
  site.machine.kill(*site.process);
  CHECK(site.seen().substr(5, 7) == "written");
}

TEST_CASE("an older write may come to the medium although a newer one does not") {
  std::set<char> found;
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    Site site(seed);
    for (const char c : {'a', 'b', 'c'}) write_text(*site.file, 0, std::string(kSectorBytes, c));
    site.lose_power();
    found.insert(site.seen()[0]);
  }
  CHECK(found == std::set<char>{'\0', 'a', 'b', 'c'});
}

TEST_CASE("power lost during a sync leaves any of it") {
  std::set<char> found;
  for (std::uint64_t seed = 0; seed < 100; ++seed) {
    Site site(seed);
    write_text(*site.file, 0, std::string(kSectorBytes, 'x'));
    bool ok = false;
    site.process->spawn(sync_all(*site.file, ok));
    site.universe.run_for(Duration(150'000));
    REQUIRE(!ok);
    site.lose_power();
    found.insert(site.seen()[0]);
  }
  CHECK(found == std::set<char>{'\0', 'x'});
}

TEST_CASE("stores into a mapping are lost or torn like writes, unless synced") {
  bool lost = false, kept = false;
  for (std::uint64_t seed = 0; seed < 50; ++seed) {
    Site site(seed);
    auto mapping = std::move(*site.process->world().disk.map("file"));
    std::memset(mapping->bytes().data(), 'm', 8192);
    REQUIRE(sync(site));
    std::memset(mapping->bytes().data() + 4096, 'n', 4096);
    Universe::bury(std::shared_ptr<void>(std::move(mapping)));
    site.lose_power();
    CHECK(site.seen().substr(0, 4096) == std::string(4096, 'm'));
    lost = lost || site.seen().substr(4096, 4096) == std::string(4096, 'm');
    kept = kept || site.seen().substr(4096, 4096) == std::string(4096, 'n');
  }
  CHECK(lost);
  CHECK(kept);
}

TEST_CASE("two syncs at a time: the one that ends later does not bring back older bytes") {
  for (std::uint64_t seed = 0; seed < 50; ++seed) {
    Site site(seed);
    bool first = false, second = false;
    write_text(*site.file, 0, "1");
    site.process->spawn(sync_all(*site.file, first));
    site.universe.run_for(Duration(100'000));
    write_text(*site.file, 0, "2");
    site.process->spawn(sync_all(*site.file, second));
    REQUIRE(site.universe.run_until([&] { return first && second; }, std::chrono::seconds(1)));
    CHECK(site.machine.storage().peek_stable("file")[0] == std::byte{'2'});
  }
}

TEST_CASE("a sync after a failed one answers well and may not help, writing again does") {
  bool forsaken = false;
  for (std::uint64_t seed = 0; seed < 50; ++seed) {
    Site site(seed);
    write_text(*site.file, 0, "x");
    site.machine.storage().weather.sync_error_permille = 1000;
    CHECK(!sync(site));
    site.machine.storage().weather.sync_error_permille = 0;
    CHECK(sync(site));
    forsaken = forsaken || site.machine.storage().peek_stable("file")[0] != std::byte{'x'};
    write_text(*site.file, 0, "x");
    CHECK(sync(site));
    CHECK(site.machine.storage().peek_stable("file")[0] == std::byte{'x'});
  }
  CHECK(forsaken);
}

TEST_CASE("a failed write may have written a part") {
  std::set<std::size_t> lengths;
  for (std::uint64_t seed = 0; seed < 50; ++seed) {
    Site site(seed);
    site.machine.storage().weather.write_error_permille = 1000;
    const std::string text(4096, 'w');
    const Bytes part = std::as_bytes(std::span(text));
    const auto written = site.file->write_now(0, std::span(&part, 1));
    REQUIRE(!written.has_value());
    CHECK(written.error().code == Errc::io);
    CHECK(written.error().posix == EIO);
    lengths.insert(site.seen().find('\0'));
  }
  CHECK(lengths.size() > 3);
}

TEST_CASE("unreadable bytes answer EIO until they are written") {
  Site site(1);
  site.machine.storage().make_unreadable("file", {4096, 4096});
  CHECK(read_at(site, 4095) == 0);
  CHECK(read_at(site, 4096) == EIO);
  CHECK(read_at(site, 8191) == EIO);
  CHECK(read_at(site, 8192) == 0);
  write_text(*site.file, 4096, std::string(4096, 'x'));
  CHECK(read_at(site, 4096) == 0);
}

TEST_CASE("silent corruption changes what is read and what is stable") {
  Site site(1);
  write_text(*site.file, 0, "abc");
  REQUIRE(sync(site));
  site.machine.storage().corrupt("file", {1, 1});
  CHECK(site.seen().substr(0, 3) == std::string{'a', static_cast<char>('b' ^ 0xFF), 'c'});
  site.lose_power();
  CHECK(site.seen()[1] == static_cast<char>('b' ^ 0xFF));
}

TEST_CASE("a full disk refuses new files") {
  Site site(1);
  site.machine.storage().weather.full = true;
  const auto create = [](runtime::Disk& disk, int& error) -> Task<void> {
    const auto made = co_await disk.create("more", 4096, nullptr, nullptr);
    error = made.has_value() ? 0 : made.error().posix;
  };
  int error = 0;
  run(*site.process, create(site.process->world().disk, error));
  CHECK(error == ENOSPC);
}
