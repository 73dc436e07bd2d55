// What plan() and apply() cost on RocksDB: overwrites of 4 KiB, appends, creations, lookups. No area is written.
#include <cstdio>
#include <filesystem>
#include <memory>
#include <string>
#include <sys/stat.h>
#include <unistd.h>
#include <vector>

#include "uring/key_value.h"
#include "uring/loop.h"
#include "uring/pool.h"
#include "volume/file_volume.h"

namespace {

using namespace lockstep;
using namespace lockstep::volume;

constexpr std::uint64_t kBlocks = 1u << 22;  // 16 GiB

struct Bench {
  Bench(runtime::Scheduler& scheduler, runtime::KeyValue& keys)
      : volume(scheduler, keys, *area::Allocator::make(kBlocks, std::vector<std::uint64_t>(kBlocks / kGroupBlocks, kGroupBlocks))) {}

  wire::Outcome change(const wire::Operation& operation) {
    Attempt<Planned> planned = volume.plan(operation, WallTime{++now});
    CHECK(planned.value() != nullptr);
    wire::Effect& effect = planned.value()->effect;
    CHECK(effect.outcome.error == 0);
    effect.seq = Seq{++seq};
    if (planned.value()->changes) CHECK(volume.apply(effect));
    return effect.outcome;
  }
  runtime::Task<void> load(Miss miss) {
    const Result<> loaded = co_await volume.load(std::move(miss));
    CHECK(loaded);
  }

  FileVolume volume;
  std::int64_t now = 0;
  std::uint64_t seq = 0;
};

template <class Step>
void measure(const char* what, std::uint64_t turns, Step step) {
  const Instant start = uring::Loop::now();
  for (std::uint64_t i = 0; i < turns; ++i) step(i);
  std::printf("%-28s %8.2f us\n", what, static_cast<double>((uring::Loop::now() - start).count()) / 1000.0 / static_cast<double>(turns));
}

wire::Operation create(InodeId directory, std::uint64_t i) {
  wire::Operation op;
  op.kind = wire::OpKind::create;
  op.inode = directory;
  op.name = "file" + std::to_string(i);
  op.mode = S_IFREG | 0644;
  op.exclusive = true;
  return op;
}

void run(Bench& bench, uring::Loop& loop, std::uint64_t turns) {
  Miss group;
  group.groups.push_back(0);
  loop.run(bench.load(std::move(group)));
  const InodeId file = bench.change(create(kRootInode, ~0ull)).attributes.inode;
  wire::Operation write;
  write.kind = wire::OpKind::write;
  write.inode = file;
  write.length = kBlockBytes;
  for (std::uint64_t i = 0; i < 2048; ++i) {
    write.offset = i * kBlockBytes;
    bench.change(write);
  }
  measure("overwrite 4 KiB", turns, [&](std::uint64_t i) {
    write.offset = i * 7919 % 2048 * kBlockBytes;
    bench.change(write);
  });
  const InodeId log = bench.change(create(kRootInode, ~1ull)).attributes.inode;
  wire::Operation append = write;
  append.inode = log;
  append.append = true;
  append.length = 200;
  measure("append 200 bytes", turns, [&](std::uint64_t) { bench.change(append); });
  measure("create", turns, [&](std::uint64_t i) { bench.change(create(kRootInode, i)); });
  measure("lookup", turns, [&](std::uint64_t i) { (void)bench.volume.lookup(kRootInode, "file" + std::to_string(i)); });
  measure("map 4 KiB", turns, [&](std::uint64_t i) { (void)bench.volume.map(file, {i % 2048 * kBlockBytes, kBlockBytes}); });
  wire::Operation unlink;
  unlink.kind = wire::OpKind::unlink;
  unlink.inode = kRootInode;
  measure("unlink", turns, [&](std::uint64_t i) {
    unlink.name = "file" + std::to_string(i);
    bench.change(unlink);
  });
}

}  // namespace

int main(int argc, char** argv) {
  const std::uint64_t turns = argc > 1 ? std::strtoull(argv[1], nullptr, 10) : 20000;
  const std::string directory = std::filesystem::temp_directory_path() / ("volume_bench." + std::to_string(::getpid()));
  {
    auto loop = uring::Loop::make(uring::LoopOptions()).value();
    uring::Pool pool(*loop, 2, "pool");
    auto keys = uring::KeyStore::open(*loop, pool, directory).value();
    CHECK(keys->apply(Volume::initial_keys(kBlocks)));
    Bench bench(*loop, *keys);
    run(bench, *loop, turns);
  }
  std::filesystem::remove_all(directory);
  return 0;
}
