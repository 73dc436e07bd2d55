// What a start reads instead of counting: inode numbers and the number of objects.
#include <fmt/format.h>

#include <algorithm>

#include "fsck/phases.h"

namespace lockstep::fsck {

using runtime::Task;

Task<Result<>> check_counters(Examination& x) {
  x.begin("counters");
  if (x.progress_known) {
    volume::Progress& progress = x.progress;
    if (progress.next_inode <= x.inode_max.value) {
      Finding finding{.rule = Rule::next_inode,
                      .found = fmt::format("{}", progress.next_inode),
                      .expected = fmt::format("above {}", x.inode_max.value)};
      progress.next_inode = x.inode_max.value + 1;
      if (Result<> done = x.mend(std::move(finding), {x.progress_change()}); !done) co_return done;
    }
    if (progress.files != x.objects) {
      Finding finding{.rule = Rule::files,
                      .found = fmt::format("{} objects counted", progress.files),
                      .expected = fmt::format("{}", x.objects)};
      progress.files = x.objects;
      if (Result<> done = x.mend(std::move(finding), {x.progress_change()}); !done) co_return done;
    }
  }
  const std::uint64_t least = std::max(x.inode_max.value + 1, x.progress_known ? x.progress.next_inode : 0);
  const runtime::KeyBatch right{{std::string(volume::kNextInodeKey), volume::pack_u64(least)}};
  if (x.inode_bound_known) {
    if (x.inode_bound >= least) co_return Result<>{};
    co_return x.mend({.rule = Rule::inode_bound,
                      .found = fmt::format("{}", x.inode_bound),
                      .expected = fmt::format("at least {}", least)},
                     right);
  }
  const Result<std::optional<std::string>> there = co_await x.keys().get(std::string(volume::kNextInodeKey));
  if (!there) co_return std::unexpected(there.error());
  if (!*there)
    co_return x.mend({.rule = Rule::inode_bound, .found = "none", .expected = fmt::format("at least {}", least)},
                     right);
  if (x.repairing()) co_return x.change(right);  // `value` has said so
  co_return Result<>{};
}

}  // namespace lockstep::fsck
