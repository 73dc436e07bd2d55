// What only the real storage can show: locks between processes, links, devices, restarts, large mappings.
#include "catch.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <random>

#include "real_world.h"

namespace lockstep::uring {
namespace {

using runtime::KeyBatch;
using runtime::Peek;
using runtime::Task;

Bytes as_bytes(std::string_view s) { return std::as_bytes(std::span(s)); }

TEST_CASE("a disk locked by another process is refused, with the process's id") {
  const TemporaryDirectory directory;
  RealWorld here(directory.path());
  std::array<int, 2> locked{}, done{};
  REQUIRE(::pipe(locked.data()) == 0);
  REQUIRE(::pipe(done.data()) == 0);
  const pid_t child = ::fork();
  if (child == 0) {
    auto loop = Loop::make().value();
    Pool pool(*loop, 1, "ls-test");
    auto disk = DirectoryDisk::open_directory(*loop, pool, here.disk->where()).value();
    char byte = disk->lock() ? 'y' : 'n';
    ::write(locked[1], &byte, 1);
    ::read(done[0], &byte, 1);
    ::_exit(0);
  }
  char byte = 0;
  REQUIRE(::read(locked[0], &byte, 1) == 1);
  REQUIRE(byte == 'y');
  const auto refused = here.disk->lock();
  REQUIRE(!refused.has_value());
  CHECK(refused.error().code == Errc::refused);
  CHECK_THAT(refused.error().text, Catch::Contains(std::to_string(child)) && Catch::Contains(here.disk->where()));
  REQUIRE(::write(done[1], "x", 1) == 1);
  ::waitpid(child, nullptr, 0);
  CHECK(here.disk->lock().has_value());  // a dead process holds nothing
  for (const int fd : {locked[0], locked[1], done[0], done[1]}) ::close(fd);
}

TEST_CASE("a directory that is not there is absent; names with slashes are invalid") {
  const TemporaryDirectory directory;
  RealWorld here(directory.path());
  const auto none = DirectoryDisk::open_directory(*here.loop, here.pool, directory.path() + "/none");
  REQUIRE(!none.has_value());
  CHECK(none.error().code == Errc::absent);
  for (const char* name : {"", ".", "..", "a/b", "/etc/passwd"}) {
    const auto opened = here.disk->open(name);
    REQUIRE(!opened.has_value());
    CHECK(opened.error().code == Errc::invalid);
    CHECK(here.disk->remove(name).error().code == Errc::invalid);
  }
}

TEST_CASE("a link to a file elsewhere opens it; removing takes the link only, and directories whole") {
  const TemporaryDirectory directory;
  RealWorld here(directory.path());
  std::ofstream(directory.path() + "/elsewhere") << std::string(8192, 'a');
  std::filesystem::create_symlink(directory.path() + "/elsewhere", here.disk->where() + "/extents");
  {
    auto file = here.disk->open("extents");
    REQUIRE(file.has_value());
    CHECK((*file)->bytes() == 8192);
  }
  CHECK(here.disk->remove("extents").has_value());
  CHECK(std::filesystem::exists(directory.path() + "/elsewhere"));
  std::filesystem::create_directories(here.disk->where() + "/meta/deep");
  std::ofstream(here.disk->where() + "/meta/deep/file") << "x";
  CHECK(here.disk->remove("meta").has_value());
  CHECK(here.disk->list().value().empty());
  ::mkfifo((here.disk->where() + "/pipe").c_str(), 0600);
  CHECK(here.disk->open("pipe").error().code == Errc::refused);
}

Task<void> create(RealWorld& here, std::string name, std::uint64_t bytes, Result<>& result) {
  result = co_await here.disk->create(name, bytes, nullptr, nullptr);
}

TEST_CASE("what cannot be created leaves nothing behind") {
  const TemporaryDirectory directory;
  RealWorld here(directory.path());
  Result<> result;
  here.run(create(here, "extents", std::uint64_t{1} << 50, result));
  REQUIRE(!result.has_value());
  CHECK((result.error().posix == ENOSPC || result.error().posix == EFBIG));
  CHECK(here.disk->list().value().empty());
}

TEST_CASE("created files are private to the user and have no holes") {
  const TemporaryDirectory directory;
  RealWorld here(directory.path());
  Result<> result;
  here.run(create(here, "extents", 3 << 20, result));
  REQUIRE(result.has_value());
  struct stat st {};
  REQUIRE(::stat((here.disk->where() + "/extents").c_str(), &st) == 0);
  CHECK((st.st_mode & 0777) == 0600);
  CHECK(st.st_blocks * 512 >= 3 << 20);
}

Task<void> write_many_parts(RealWorld& here, bool& same) {
  auto created = co_await here.disk->create("extents", 1 << 20, nullptr, nullptr);
  REQUIRE(created.has_value());
  auto file = here.disk->open("extents");
  REQUIRE(file.has_value());
  std::string all;
  for (int i = 0; i < 1000; ++i) all += std::string(i % 37, static_cast<char>('a' + i % 26));
  std::vector<Bytes> parts;
  for (std::size_t at = 0, i = 0; at < all.size(); ++i) {
    const std::size_t n = std::min<std::size_t>(i % 91, all.size() - at);
    parts.push_back(as_bytes(std::string_view(all).substr(at, n)));
    at += n;
  }
  auto written = (*file)->write_now(4000, parts);
  REQUIRE(written.has_value());
  std::string back(all.size(), ' ');
  const auto read = (*file)->try_read(4000, std::as_writable_bytes(std::span(back)));
  REQUIRE(read.has_value());  // just written: it is in memory
  REQUIRE(read->has_value());
  same = back == all;
  CHECK((*file)->write_now((1 << 20) - 1, parts).error().posix == EIO);
  (*file)->start_write_back(ByteRange{0, 1 << 20});
}

TEST_CASE("a write of very many parts arrives whole; one beyond the end is refused") {
  const TemporaryDirectory directory;
  RealWorld here(directory.path());
  bool same = false;
  here.run(write_many_parts(here, same));
  CHECK(same);
}

Task<void> store_into_large(RealWorld& here) {
  constexpr std::uint64_t kBytes = 65 << 20;  // more than is locked in memory
  auto created = co_await here.disk->create("checksums", kBytes, nullptr, nullptr);
  REQUIRE(created.has_value());
  auto mapping = here.disk->map("checksums");
  REQUIRE(mapping.has_value());
  REQUIRE((*mapping)->bytes().size() == kBytes);
  const Descriptor fd(::open((here.disk->where() + "/checksums").c_str(), O_RDONLY | O_CLOEXEC));
  REQUIRE(::posix_fadvise(fd.get(), 0, 0, POSIX_FADV_DONTNEED) == 0);  // so that prepare() has something to load
  for (const std::uint64_t at : {std::uint64_t{0}, std::uint64_t{40 << 20}, kBytes - 8}) {
    auto prepared = co_await (*mapping)->prepare(ByteRange{at, 8});
    REQUIRE(prepared.has_value());
    std::memcpy((*mapping)->bytes().data() + at, "12345678", 8);
    auto synced = co_await (*mapping)->sync(ByteRange{at, 8});
    REQUIRE(synced.has_value());
    std::array<char, 8> back{};
    REQUIRE(::pread(fd.get(), back.data(), 8, static_cast<off_t>(at)) == 8);
    CHECK(std::string_view(back.data(), 8) == "12345678");
  }
  const auto hops = here.loop->statistics().pool_hops;
  const auto calls = here.loop->statistics().system_calls();
  auto again = co_await (*mapping)->prepare(ByteRange{40 << 20, 8});
  REQUIRE(again.has_value());
  CHECK(here.loop->statistics().pool_hops == hops);
  CHECK(here.loop->statistics().system_calls() == calls);  // seen a moment ago
  auto outside = co_await (*mapping)->prepare(ByteRange{kBytes - 4, 8});
  CHECK(!outside.has_value());
}

TEST_CASE("a mapping too large to be locked is loaded when it is prepared") {
  const TemporaryDirectory directory;
  RealWorld here(directory.path());
  here.run(store_into_large(here));
}

/// What this process has made dirty, in bytes.
std::uint64_t made_dirty() {
  std::ifstream io("/proc/self/io");
  std::string word;
  std::uint64_t bytes = 0;
  while (io >> word >> bytes) {
    if (word == "write_bytes:") return bytes;
  }
  FAIL("/proc/self/io has no write_bytes");
  return 0;
}

Task<void> store_a_byte(RealWorld& here) {
  auto mapped = here.disk->map("table");
  REQUIRE(mapped.has_value());
  const ByteRange all{0, 4096};
  auto prepared = co_await (*mapped)->prepare(all);
  REQUIRE(prepared.has_value());
  const std::uint64_t before = made_dirty();
  (*mapped)->bytes()[100] = std::byte{1};
  CHECK(made_dirty() - before == 4096);
  auto synced = co_await (*mapped)->sync(all);
  CHECK(synced.has_value());
}

TEST_CASE("a byte that is stored makes one page dirty, whatever pieces the file was written in") {
  const TemporaryDirectory directory;
  RealWorld here(directory.path());
  {
    const std::string zeros(4 << 20, '\0');
    std::ofstream(here.disk->where() + "/table").write(zeros.data(), static_cast<std::streamsize>(zeros.size()));
  }
  here.run(store_a_byte(here));
}

Task<void> flush(KeyStore& keys) {
  auto flushed = co_await keys.flush();
  REQUIRE(flushed.has_value());
}

TEST_CASE("flushed keys are there after a restart; of those after the flush nothing is left without the log") {
  const TemporaryDirectory directory;
  {
    RealWorld here(directory.path());
    REQUIRE(here.keys->apply({{"a", "1"}, {"b", "2"}}).has_value());
    REQUIRE(here.keys->apply({{"a", std::nullopt}}).has_value());
    here.run(flush(*here.keys));
    // It begins with its call: what is applied from there on waits for another one.
    static constexpr auto late = [](KeyStore& keys) -> Task<void> {
      REQUIRE(keys.apply({{"e", "5"}}).has_value());
      Task<Result<>> flushing = keys.flush();
      REQUIRE(keys.apply({{"d", "4"}}).has_value());
      const Result<> flushed = co_await std::move(flushing);
      REQUIRE(flushed.has_value());
    };
    here.run(late(*here.keys));
    REQUIRE(here.keys->apply({{"c", "3"}}).has_value());
  }
  RealWorld here(directory.path());
  std::string value;
  CHECK(here.keys->peek("c", value) == Peek::absent);
  CHECK(here.keys->peek("d", value) == Peek::absent);
  CHECK(here.keys->peek("e", value) != Peek::absent);
  struct Get {
    static Task<void> all(KeyStore& keys) {
      auto b = co_await keys.get("b");
      REQUIRE(b.has_value());
      CHECK(*b == "2");
      auto a = co_await keys.get("a");
      REQUIRE(a.has_value());
      CHECK(!*a);
    }
  };
  here.run(Get::all(*here.keys));
  CHECK(here.keys->peek("b", value) == Peek::found);
  CHECK(value == "2");
}

TEST_CASE("many batches in a row never fail, though memtables fill faster than they are flushed") {
  const TemporaryDirectory directory;
  RealWorld world(directory.path());
  KeyStoreOptions options;
  options.memtable_bytes = 64 << 10;
  auto keys = KeyStore::open(*world.loop, world.pool, directory.path() + "/small", options);
  REQUIRE(keys.has_value());
  for (int i = 0; i < 20'000; ++i) {
    const auto applied = (*keys)->apply({{"key" + std::to_string(i), std::string(100, 'v')}});
    REQUIRE(applied.has_value());
  }
  struct Scan {
    static Task<void> all(KeyStore& keys) {
      auto pairs = co_await keys.scan("key", "kez", 100'000, nullptr);
      REQUIRE(pairs.has_value());
      CHECK(pairs->size() == 20'000);
    }
  };
  world.run(Scan::all(**keys));
}

TEST_CASE("whether it has gathered or is handed over, everybody sees the last value") {
  const TemporaryDirectory directory;
  RealWorld world(directory.path());
  KeyStoreOptions options;
  options.gathered_changes_max = 5;
  options.gathered_bytes_max = 400;
  struct Random {
    using Model = std::map<std::string, std::string>;
    static Task<void> like(KeyStore& keys, const Model& model, const runtime::KeySnapshot* snapshot) {
      const auto pairs = co_await keys.scan("k", "l", 1000, snapshot);
      REQUIRE(pairs.has_value());
      REQUIRE(pairs->size() == model.size());
      CHECK(std::equal(pairs->begin(), pairs->end(), model.begin(), [](const auto& pair, const auto& of) { return pair.key == of.first && pair.value == of.second; }));
    }
    static Task<void> changes(KeyStore& keys) {
      std::mt19937 random(1);
      const auto key = [&] { return "k" + std::to_string(random() % 12); };
      Model model, then;
      std::unique_ptr<runtime::KeySnapshot> snapshot;
      for (int i = 0; i < 3000; ++i) {
        switch (random() % 8) {
          case 0: co_await like(keys, model, nullptr); break;
          case 1:
            snapshot = keys.snapshot();
            then = model;
            break;
          case 2:
            if (snapshot) co_await like(keys, then, snapshot.get());
            break;
          case 3: {
            const std::string one = key();
            const auto got = co_await keys.get(one);
            REQUIRE(got.has_value());
            CHECK(got->has_value() == model.contains(one));
            if (*got) CHECK(**got == model.at(one));
            std::string peeked;
            const Peek peek = keys.peek(one, peeked);
            if (peek != Peek::unknown) CHECK((peek == Peek::found) == model.contains(one));
            if (peek == Peek::found) CHECK(peeked == model.at(one));
            break;
          }
          case 4:
            if (random() % 10 == 0) co_await flush(keys);
            break;
          default: {
            runtime::KeyBatch batch;
            for (std::size_t n = random() % 4; n != 0; --n) {
              std::optional<std::string> value;
              if (random() % 3 != 0) value = std::string(random() % 90, 'v') + std::to_string(i);
              batch.push_back({key(), value});
              if (value) {
                model[batch.back().key] = *value;
              } else {
                model.erase(batch.back().key);
              }
            }
            const auto applied = keys.apply(batch);
            REQUIRE(applied.has_value());
          }
        }
      }
      co_await like(keys, model, nullptr);
    }
  };
  auto keys = KeyStore::open(*world.loop, world.pool, directory.path() + "/gathered", options);
  REQUIRE(keys.has_value());
  world.run(Random::changes(**keys));
}

TEST_CASE("a store that cannot be opened says where and why") {
  const TemporaryDirectory directory;
  RealWorld world(directory.path());
  std::ofstream(directory.path() + "/file") << "x";
  const auto keys = KeyStore::open(*world.loop, world.pool, directory.path() + "/file/keys");
  REQUIRE(!keys.has_value());
  CHECK_THAT(keys.error().text, Catch::Contains(directory.path()));
}

}  // namespace
}  // namespace lockstep::uring
