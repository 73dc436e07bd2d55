#include "bin/fsck_command.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cstdio>
#include <filesystem>

#include "area/superblocks.h"
#include "fsck/fsck.h"
#include "resync/keep_aside.h"
#include "uring/clock.h"
#include "uring/disk.h"
#include "uring/key_value.h"
#include "uring/loop.h"
#include "uring/pool.h"

namespace lockstep::cli {
namespace {

constexpr unsigned kThreads = 4;

void show_phase(void*, std::string_view phase) {
  fmt::print(stderr, "\r{:60}\rchecking {}", "", phase);
  std::fflush(stderr);
}
void end_of_phases() { fmt::print(stderr, "\r{:60}\r", ""); }

/// Says it to the administrator, who makes the other site equal.
class SaidToAdministrator final : public fsck::RepairNotice {
 public:
  Result<> metadata_may_differ() override {
    said = true;
    return {};
  }
  bool said = false;
};

runtime::Task<void> run(uring::Loop& loop, uring::Pool& pool, uring::DirectoryDisk& disk, fsck::Options options,
                        fsck::RepairNotice& notice, Result<fsck::Outcome>& outcome) {
  // Before the keys are opened: whoever has the area has them.
  if (Result<> usable = co_await fsck::can_be_examined(disk); !usable) {
    outcome = std::unexpected(std::move(usable.error()));
    co_return;
  }
  const std::string directory = disk.where() + "/" + area::kKeysDirectory;
  std::error_code ignored;
  if (!std::filesystem::exists(directory + "/CURRENT", ignored)) {
    outcome = fail(Errc::corrupt,
                   fmt::format("{} holds no keys; format this site's area again and let it catch up from the other "
                               "site",
                               directory));
    co_return;
  }
  Result<std::unique_ptr<uring::KeyStore>> keys = uring::KeyStore::open(loop, pool, directory);
  if (!keys) {
    outcome = std::unexpected(std::move(keys.error()));
    co_return;
  }
  uring::RealClock clock(loop);
  outcome = co_await fsck::examine({loop, disk, **keys, clock.wall()}, options, notice);
}

Result<fsck::Outcome> examine(const FsckCommand& command, fsck::RepairNotice& notice) {
  auto loop = uring::Loop::make();
  if (!loop) return std::unexpected(loop.error());
  uring::Pool pool(**loop, kThreads, "fsck");
  auto disk = uring::DirectoryDisk::open_directory(**loop, pool, command.area);
  if (!disk) return std::unexpected(disk.error());
  const bool show = ::isatty(STDERR_FILENO) == 1;
  Result<fsck::Outcome> outcome;
  (*loop)->run(run(**loop, pool, **disk,
                   {.repair = command.repair, .data = command.data, .phase = show ? &show_phase : nullptr}, notice,
                   outcome));
  if (show) end_of_phases();
  return outcome;
}

/// What stands in the directory and is not of the area.
void mention_discarded(const std::string& area) {
  const std::string kept = area + "/" + resync::kDiscardedDirectory;
  std::error_code ignored;
  if (std::filesystem::exists(kept, ignored)) fmt::print("note: {} has what was kept aside of a divergence; it is not looked into\n", kept);
}

void print_findings(const fsck::Report& report) {
  for (const std::string& note : report.notes()) fmt::print("note: {}\n", note);
  for (const fsck::Finding& finding : report.findings()) fmt::print("{}\n", fsck::line_of(finding));
  if (report.total() > report.findings().size())
    fmt::print("... and {} more\n", report.total() - report.findings().size());
}

}  // namespace

FsckStatus fsck_area(const FsckCommand& command) {
  SaidToAdministrator notice;
  const Result<fsck::Outcome> outcome = examine(command, notice);
  if (!outcome) {
    fmt::print(stderr, "lockstep: {} was not checked{}: {}\n", command.area,
               notice.said ? " to the end, and its metadata were changed" : "", outcome.error().text);
    return kNotChecked;
  }
  const fsck::Report& report = outcome->report;
  mention_discarded(command.area);
  print_findings(report);
  if (notice.said) {
    fmt::print(
        "{}: the metadata of this site may differ from those of the other site now; the other site must be made equal: "
        "lockstep verify\n",
        command.area);
  }
  if (report.total() == 0) {
    fmt::print("{}: sound\n", command.area);
    return kSound;
  }
  if (outcome->sound()) {
    fmt::print("{}: {} found, all mended\n", command.area, report.total());
    return kRepaired;
  }
  if (outcome->repaired && outcome->afterwards.total() != report.left()) {
    fmt::print("after the repair:\n");
    print_findings(outcome->afterwards);
  }
  if (command.repair) {
    fmt::print("{}: {} found, {} mended; NOT SOUND: what is left has to come from the other site\n", command.area,
               report.total(), report.mended());
  } else {
    fmt::print("{}: {} found; NOT SOUND: --repair mends {}\n", command.area, report.total(), report.mendable());
  }
  return kLeft;
}

}  // namespace lockstep::cli
