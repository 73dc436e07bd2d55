// Extents against reverse keys and counters. Sums of each group are compared first; where they differ, runs are, group
// by group.
#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "fsck/group_compare.h"
#include "fsck/key_cursor.h"
#include "fsck/phases.h"
#include "volume/extent_map.h"

namespace lockstep::fsck {
namespace {

using runtime::Task;
using volume::kGroupBlocks;

/// Runs that are looked at together where sums differ: some 64 MiB.
constexpr std::uint64_t kRunsAtOnce = 1u << 20;

struct GroupSums {
  std::uint64_t extents = 0;  ///< sum of digests
  std::uint64_t reverse = 0;
  std::uint32_t allocated = 0;    ///< blocks of extents, and of reverse keys whose extents are not known
  std::uint32_t runs : 30 = 0;    ///< of extents and reverse keys
  std::uint32_t look : 1 = 0;     ///< at each run, whatever the sums say
  std::uint32_t counted : 1 = 0;  ///< its counter is there, read and right, or was said to be unreadable
};
static_assert(sizeof(GroupSums) == 24);

/// What is collected of a group that is looked at.
struct Runs {
  std::vector<OwnedRun> extents, reverse;
};

std::string blocks_place(const OwnedRun& run) { return fmt::format("blocks {} to {}", run.address, run.end() - 1); }
std::string owner_text(const OwnedRun& run) {
  return fmt::format("{} blocks of inode {} from its block {}", run.owner.count, run.owner.inode.value,
                     run.owner.file_block);
}
runtime::KeyChange reverse_change(const OwnedRun& run) {
  return {volume::block_key(run.address), volume::pack_owner(run.owner)};
}

class Space {
 public:
  explicit Space(Examination& x) : x_(x), sums_(x.groups()) {}
  Task<Result<>> run();

 private:
  /// Calls `take(run)` for each run of the extents; `report`: names extents that lie outside the area. Suspends.
  template <class Take>
  Task<Result<>> each_extent_run(bool report, Take take);
  /// The runs of the chunk at `at`. Requires: it can be understood.
  std::vector<OwnedRun> runs_of(const KeyCursor& at, volume::ChunkValue chunk, bool report);
  Task<Result<>> sum_reverse();
  /// What the reverse key says, readable or not.
  static OwnedRun reverse_run(const KeyCursor& at);
  [[nodiscard]] bool extents_unknown(const OwnedRun& run) const;
  Task<Result<>> look_closer();
  Task<Result<>> collect_reverse(std::uint64_t group, Runs& runs);
  Result<> judge_group(std::uint64_t group, Runs runs);
  Task<Result<>> check_counters_of_groups();
  Result<> check_counter(std::uint64_t group, const std::string* value);

  Examination& x_;
  std::vector<GroupSums> sums_;
};

std::vector<OwnedRun> Space::runs_of(const KeyCursor& at, volume::ChunkValue chunk, bool report) {
  const Result<std::uint32_t> index = volume::parse_chunk_key(at.key());
  const std::uint64_t base = std::uint64_t{index ? *index : 0} * volume::kChunkBlocks;
  const InodeId inode{at.number()};
  std::erase_if(chunk.extents, [&](const volume::Extent& extent) {
    if (extent.address < x_.blocks() && extent.count <= x_.blocks() - extent.address) return false;
    if (report) {
      x_.leave({.rule = Rule::extent_bounds,
                .object = inode,
                .place = fmt::format("block {} of it", base + extent.first),
                .found = fmt::format("{} blocks from {} on", extent.count, extent.address),
                .expected = fmt::format("blocks below {}", x_.blocks())});
    }
    return true;
  });
  std::vector<OwnedRun> runs;
  for (const volume::Run& run : volume::ExtentMap(std::move(chunk.extents)).runs())
    runs.push_back({run.address, {inode, base + run.first, run.count}});
  return runs;
}

template <class Take>
Task<Result<>> Space::each_extent_run(bool report, Take take) {
  KeyCursor at(x_.keys(), 'E');
  for (;;) {
    const Result<bool> more = co_await at.next();
    if (!more) co_return std::unexpected(more.error());
    if (!*more) co_return Result<>{};
    Result<volume::ChunkValue> chunk = volume::unpack_chunk(at.value(), ~std::uint64_t{0});
    if (!chunk) continue;
    for (const OwnedRun& run : runs_of(at, std::move(*chunk), report)) take(run);
  }
}

OwnedRun Space::reverse_run(const KeyCursor& at) {
  const Result<volume::Owner> owner = volume::unpack_owner(at.value());
  return {at.number(), owner ? *owner : volume::Owner{}, owner.has_value()};
}

bool Space::extents_unknown(const OwnedRun& run) const {
  const auto chunk = static_cast<std::uint32_t>(run.owner.file_block / volume::kChunkBlocks);
  return run.readable && x_.chunks_unreadable.contains({run.owner.inode, chunk});
}

Task<Result<>> Space::sum_reverse() {
  KeyCursor at(x_.keys(), 'R');
  std::uint64_t end = 0;
  for (;;) {
    const Result<bool> more = co_await at.next();
    if (!more) co_return std::unexpected(more.error());
    if (!*more) co_return Result<>{};
    const OwnedRun run = reverse_run(at);
    if (run.address >= x_.blocks()) {
      const Finding finding{.rule = Rule::reverse_stray,
                            .place = fmt::format("block {}", run.address),
                            .found = "a reverse key of a block behind the end of the area",
                            .expected = "no such key"};
      if (Result<> done = x_.mend(finding, {{at.key(), std::nullopt}}); !done) co_return done;
      continue;
    }
    GroupSums& sums = sums_[run.address / kGroupBlocks];
    if (extents_unknown(run)) {
      sums.allocated += run.owner.count;
      continue;
    }
    sums.reverse += digest_of(run);
    ++sums.runs;
    if (!run.readable || run.address < end) sums.look = 1;
    end = std::max(end, run.end());
  }
}

Task<Result<>> Space::collect_reverse(std::uint64_t group, Runs& runs) {
  const BlockRange blocks = x_.group(group);
  KeyCursor at(x_.keys(), volume::blocks_in(blocks.first, blocks.end()));
  for (;;) {
    const Result<bool> more = co_await at.next();
    if (!more) co_return std::unexpected(more.error());
    if (!*more) co_return Result<>{};
    const OwnedRun run = reverse_run(at);
    if (!extents_unknown(run)) runs.reverse.push_back(run);
  }
}

Result<> Space::judge_group(std::uint64_t group, Runs runs) {
  std::uint64_t before = 0;
  for (const OwnedRun& run : runs.extents) before += run.owner.count;
  const GroupVerdict verdict = compare_group(std::move(runs.extents), std::move(runs.reverse));
  sums_[group].allocated -= static_cast<std::uint32_t>(before - verdict.allocated);  // blocks of two extents count once
  for (const GroupVerdict::Overlap& overlap : verdict.overlaps) {
    x_.leave({.rule = Rule::overlap,
              .object = overlap.second.owner.inode,
              .place = blocks_place(overlap.second),
              .found = fmt::format("blocks that inode {} has as well, as {} to {}", overlap.first.owner.inode.value,
                                   overlap.first.address, overlap.first.end() - 1),
              .expected = "blocks of one extent"});
  }
  Result<> done;
  for (const GroupVerdict::Missing& missing : verdict.missing) {
    if (!done) return done;
    if (missing.other && !missing.there.readable) {
      if (x_.repairing()) done = x_.change({reverse_change(missing.run)});  // `value` has said so
      continue;
    }
    const Finding finding{.rule = Rule::reverse_key,
                          .object = missing.run.owner.inode,
                          .place = blocks_place(missing.run),
                          .found = missing.other ? "a reverse key of " + owner_text(missing.there) : "no reverse key",
                          .expected = "one of " + owner_text(missing.run)};
    done = x_.mend(finding, {reverse_change(missing.run)});
  }
  for (const OwnedRun& stray : verdict.stray) {
    if (!done) return done;
    const runtime::KeyBatch removal{{volume::block_key(stray.address), std::nullopt}};
    if (!stray.readable) {
      if (x_.repairing()) done = x_.change(removal);
      continue;
    }
    const Finding finding{.rule = Rule::reverse_stray,
                          .place = blocks_place(stray),
                          .found = "a reverse key of " + owner_text(stray) + ", which has no such extent",
                          .expected = "no such key"};
    done = x_.mend(finding, removal);
  }
  return done;
}

Task<Result<>> Space::look_closer() {
  for (std::uint64_t first = 0; first < sums_.size();) {
    std::map<std::uint64_t, Runs> looked_at;
    std::uint64_t runs = 0;
    for (; first < sums_.size() && runs < kRunsAtOnce; ++first) {
      const GroupSums& sums = sums_[first];
      if (sums.look == 0 && sums.extents == sums.reverse) continue;
      looked_at.emplace(first, Runs{});
      runs += sums.runs;
    }
    if (looked_at.empty()) continue;
    const auto collect = [&](const OwnedRun& run) {
      const auto group = looked_at.find(run.address / kGroupBlocks);
      if (group != looked_at.end()) group->second.extents.push_back(run);
    };
    if (Result<> done = co_await each_extent_run(false, collect); !done) co_return done;
    for (auto& [group, collected] : looked_at) {
      Result<> done = co_await collect_reverse(group, collected);
      if (done) done = judge_group(group, std::move(collected));
      if (!done) co_return done;
    }
  }
  co_return Result<>{};
}

Result<> Space::check_counter(std::uint64_t group, const std::string* value) {
  GroupSums& sums = sums_[group];
  sums.counted = 1;
  const std::uint64_t size = x_.group(group).count;
  const auto expected = static_cast<std::uint32_t>(size - std::min<std::uint64_t>(size, sums.allocated));
  const Result<std::uint32_t> free = value != nullptr ? volume::unpack_u32(*value) : Result<std::uint32_t>(0);
  const runtime::KeyChange right{volume::group_key(static_cast<std::uint32_t>(group)), volume::pack_u32(expected)};
  if (!free) {  // `value` has said so
    if (x_.repairing()) return x_.change({right});
    return {};
  }
  if (value != nullptr && *free == expected) return {};
  const Finding finding{.rule = Rule::group_free,
                        .place = fmt::format("group {}", group),
                        .found = value != nullptr ? fmt::format("{} free blocks counted", *free) : "no counter",
                        .expected = fmt::format("{}", expected)};
  return x_.mend(finding, {right});
}

Task<Result<>> Space::check_counters_of_groups() {
  KeyCursor at(x_.keys(), 'G');
  for (;;) {
    const Result<bool> more = co_await at.next();
    if (!more) co_return std::unexpected(more.error());
    if (!*more) break;
    const Result<std::uint32_t> group = volume::parse_group_key(at.key());
    if (!group || *group >= sums_.size()) continue;
    if (Result<> checked = check_counter(*group, &at.value()); !checked) co_return checked;
  }
  for (std::uint64_t group = 0; group < sums_.size(); ++group) {
    if (sums_[group].counted == 1) continue;
    if (Result<> checked = check_counter(group, nullptr); !checked) co_return checked;
  }
  co_return Result<>{};
}

Task<Result<>> Space::run() {
  const auto sum = [this](const OwnedRun& run) {
    GroupSums& sums = sums_[run.address / kGroupBlocks];
    sums.extents += digest_of(run);
    sums.allocated += run.owner.count;
    ++sums.runs;
  };
  Result<> done = co_await each_extent_run(true, sum);
  if (done) done = co_await sum_reverse();
  if (done) done = co_await look_closer();
  if (done) done = co_await check_counters_of_groups();
  co_return done;
}

}  // namespace

Task<Result<>> check_blocks(Examination& x) {
  if (x.chunks_unreadable_too_many) {
    x.report.note(
        fmt::format("space was not checked: more than {} parts of extent maps can't be understood", kUnreadableMax));
    co_return Result<>{};
  }
  x.begin("space");
  Space space(x);
  co_return co_await space.run();
}

}  // namespace lockstep::fsck
