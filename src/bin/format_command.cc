#include "bin/format_command.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cstdio>
#include <filesystem>

#include "area/area.h"
#include "bin/units.h"
#include "config/values.h"
#include "controller/room.h"
#include "resync/keep_aside.h"
#include "uring/clock.h"
#include "uring/disk.h"
#include "uring/key_value.h"
#include "uring/loop.h"
#include "uring/pool.h"
#include "volume/volume.h"

namespace lockstep::cli {
namespace {

void show_progress(void* options, std::uint64_t bytes) {
  const auto& format = *static_cast<const area::FormatOptions*>(options);
  if (format.bytes == 0) return;
  fmt::print(stderr, "\r{:3} % of {} written", std::min<std::uint64_t>(bytes * 100 / format.bytes, 100), human_bytes(format.bytes));
  std::fflush(stderr);
}

/// Formats the area and puts the keys of an empty volume into its store, for which it sets `needed` bytes aside. `outcome` gets what happened.
/// Suspends.
runtime::Task<void> make_area(uring::Loop& loop, uring::Pool& pool, uring::DirectoryDisk& disk, area::FormatOptions options,
                              Result<area::Identity>& outcome, std::uint64_t needed, runtime::KeyRoom& room) {
  uring::RealRandom random;
  const bool show = ::isatty(STDERR_FILENO) == 1;
  outcome = co_await area::Area::format(disk, random, options, show ? &show_progress : nullptr, &options);
  if (show) fmt::print(stderr, "\r{:40}\r", "");
  if (!outcome) co_return;
  Result<std::unique_ptr<uring::KeyStore>> keys = uring::KeyStore::open(loop, pool, disk.where() + "/meta");
  Result<> done;
  if (keys) {
    done = (*keys)->apply(volume::Volume::initial_keys(outcome->blocks));
    if (done) done = co_await (*keys)->flush();
    const Result<runtime::KeyRoom> left = co_await (*keys)->room(needed);
    if (left) room = *left;
  } else {
    done = std::unexpected(keys.error());
  }
  if (!done) {
    outcome = std::unexpected(Error{done.error().code, done.error().posix,
                                    done.error().text + "; the area is not usable, format it again with --force"});
  }
}

Result<area::Identity> format(const std::string& directory, area::FormatOptions options) {
  std::error_code error;
  std::filesystem::create_directories(directory, error);
  if (error) return fail(Errc::io, fmt::format("can't make the directory {}: {}", directory, error.message()));
  auto loop = uring::Loop::make();
  if (!loop) return std::unexpected(loop.error());
  uring::Pool pool(**loop, 2, "format");
  auto disk = uring::DirectoryDisk::open_directory(**loop, pool, directory);
  if (!disk) return std::unexpected(disk.error());
  Result<area::Identity> outcome;
  runtime::KeyRoom room;
  const std::uint64_t needed = controller::room_needed(room.used, options.log_bytes);
  (*loop)->run(make_area(**loop, pool, **disk, std::move(options), outcome, needed, room));
  if (outcome && room.free < needed) {
    fmt::print(stderr, "lockstep: the file system of {} has {} left, and metadata need {} free before anything can be made in the volume: until there "
                       "is room, both sites answer \"No space left on device\"\n", directory, human_bytes(room.free), human_bytes(needed));
  }
  return outcome;
}

}  // namespace

ExitStatus format_area(const config::Config& config, SiteId site, const FormatCommand& command) {
  std::uint64_t bytes = config.limits.area_bytes;
  if (!command.size.empty()) {
    const Result<std::uint64_t> size = config::parse_size(command.size);
    if (!size) {
      fmt::print(stderr, "lockstep: --size: {}\n", size.error().text);
      return kCouldNot;
    }
    bytes = *size;
  }
  const config::Site& here = config.at(site);
  const Result<area::Identity> made = format(here.area, {.volume = config.volume, .volume_id = config.volume_id, .site = here.name,
                                                         .bytes = bytes, .log_bytes = config.limits.log_bytes, .force = command.force});
  if (!made) {
    fmt::print(stderr, "lockstep: the area of {} at {} was not formatted: {}\n", here.name, here.area, made.error().text);
    return kCouldNot;
  }
  fmt::print("{}: area of site {} of volume {} made, {}\n", here.area, here.name, config.volume, human_bytes(made->blocks * kBlockBytes));
  const std::string kept = here.area + "/" + resync::kDiscardedDirectory;
  std::error_code ignored;
  if (std::filesystem::exists(kept, ignored)) fmt::print("{} is left as it was: it has what was kept aside of a divergence\n", kept);
  return kYes;
}

}  // namespace lockstep::cli
