#include "real_world.h"

#include <cstdlib>
#include <filesystem>

#include "catch.h"
#include "core/check.h"

namespace lockstep::uring {
namespace {

template <class T>
T must(Result<T> result) {
  if (!result) FAIL(result.error().text);
  return std::move(*result);
}

std::string make_directory(std::string path) {
  std::error_code error;
  std::filesystem::create_directory(path, error);
  if (error) FAIL(path << ": " << error.message());
  return path;
}

/// A test that hangs says so, with whatever the debugger can tell of the aborted process.
class Deadline final : public Timer {
 public:
  explicit Deadline(Loop& loop) : loop_(loop) { loop.add(*this, Loop::now() + std::chrono::seconds(30)); }
  ~Deadline() { loop_.remove(*this); }

 private:
  void fire() override { check_failed("the task ends within 30 s", __FILE__, __LINE__, __func__); }
  Loop& loop_;
};

}  // namespace

TemporaryDirectory::TemporaryDirectory() {
  const char* const base = std::getenv("TMPDIR");
  path_ = std::string(base == nullptr ? "/tmp" : base) + "/lockstep-test-XXXXXX";
  REQUIRE(::mkdtemp(path_.data()) != nullptr);
}

TemporaryDirectory::~TemporaryDirectory() {
  std::error_code error;
  std::filesystem::remove_all(path_, error);
}

RealWorld::RealWorld(const std::string& directory, LoopOptions options)
    : loop(must(Loop::make(options))),
      pool(*loop, 3, "ls-storage"),
      disk(must(DirectoryDisk::open_directory(*loop, pool, make_directory(directory + "/area")))),
      keys(must(KeyStore::open(*loop, pool, directory + "/keys"))),
      net(*loop),
      clock(*loop) {}

void RealWorld::run(runtime::Task<void> task) {
  const Deadline deadline(*loop);
  loop->run(std::move(task));
}

}  // namespace lockstep::uring
