#include "fsck/fsck.h"

#include "fsck/paths.h"
#include "fsck/phases.h"

namespace lockstep::fsck {
namespace {

using runtime::Task;

using Phase = Task<Result<>> (*)(Examination&);
constexpr Phase kPhases[] = {check_area,  check_log,    check_keys,     check_names, check_objects,
                             check_loops, check_blocks, check_counters, check_data,  find_paths};

Task<Result<>> run_phases(Examination& x) {
  for (const Phase phase : kPhases) {
    if (Result<> done = co_await phase(x); !done) co_return done;
  }
  co_return Result<>{};
}

Task<Result<>> refuse_mixed_keys(runtime::KeyValue& keys) {
  const Result<std::optional<std::string>> mixed = co_await keys.get(std::string(volume::kMixedKey));
  if (!mixed) co_return std::unexpected(mixed.error());
  if (!*mixed) co_return Result<>{};
  co_return fail(Errc::refused,
                 "the keys of this area are being replaced by those of the other site: start the daemon, and let it "
                 "finish that");
}

}  // namespace

Task<Result<Outcome>> examine(Target target, Options options, RepairNotice& notice) {
  if (Result<> usable = co_await can_be_examined(target.disk); !usable) co_return std::unexpected(usable.error());
  if (Result<> whole = co_await refuse_mixed_keys(target.keys); !whole) co_return std::unexpected(whole.error());
  Outcome outcome;
  Examination first(target, options, notice);
  if (Result<> done = co_await run_phases(first); !done) co_return std::unexpected(done.error());
  outcome.repaired = first.report.mended() > 0;
  if (first.changed()) {
    if (Result<> flushed = co_await target.keys.flush(); !flushed) co_return std::unexpected(flushed.error());
  }
  outcome.report = std::move(first.report);
  if (outcome.repaired) {
    options.repair = options.data = false;
    Examination second(target, options, notice);
    if (Result<> done = co_await run_phases(second); !done) co_return std::unexpected(done.error());
    outcome.afterwards = std::move(second.report);
  }
  co_return std::move(outcome);
}

}  // namespace lockstep::fsck
