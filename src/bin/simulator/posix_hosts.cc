#include "bin/simulator/posix_hosts.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <sys/stat.h>

#include <iterator>

namespace lockstep::simulator {
namespace {

using posix::Answer;
using posix::Attributes;
using posix::Call;
using posix::Path;
using sim::FileHandle;
using sim::Host;
using What = Call::What;

constexpr const char* kDirectories[] = {"a", "b"};
constexpr const char* kNames[] = {"x", "y", "z"};
constexpr const char* kBelow[] = {"u", "v"};
constexpr std::uint32_t kFileMode = 0640, kDirectoryMode = 0750;
constexpr Duration kAfterLoss = std::chrono::milliseconds(20);
constexpr Duration kWhileResting = std::chrono::milliseconds(5);

// How often each is called, of a hundred.
struct Weight {
  What what;
  std::uint64_t percent;
};
constexpr Weight kWeights[] = {{What::create, 14}, {What::open, 6}, {What::make_directory, 12}, {What::remove, 12}, {What::remove_directory, 8},
                               {What::link, 8}, {What::rename, 18}, {What::truncate, 6}, {What::set_mode, 4}, {What::look, 8}, {What::list, 4}};

template <std::size_t kSize>
const char* one_of(sim::Prng& prng, const char* const (&names)[kSize]) {
  return names[prng.below(kSize)];
}

What draw_what(sim::Prng& prng) {
  std::uint64_t left = prng.below(100);
  for (const Weight& weight : kWeights) {
    if (left < weight.percent) return weight.what;
    left -= weight.percent;
  }
  return What::look;
}

Path draw_path(sim::Prng& prng, const std::string& top) {
  Path path{top, one_of(prng, kDirectories), one_of(prng, kNames)};
  if (prng.chance(350)) path.emplace_back(one_of(prng, kBelow));
  return path;
}

Call draw_call(Stage& stage, const std::string& top) {
  sim::Prng& prng = stage.posix_prng;
  Call call{.what = draw_what(prng), .path = draw_path(prng, top), .to = {}};
  if (call.what == What::link || call.what == What::rename) call.to = draw_path(prng, top);
  if (call.what == What::rename) call.flags = prng.chance(600) ? 0 : 1 + static_cast<std::uint32_t>(prng.below(2));
  if (call.what == What::list && prng.chance(500)) call.path.resize(2);
  if (call.what == What::create || call.what == What::open) call.mode = kFileMode;
  if (call.what == What::make_directory) call.mode = kDirectoryMode;
  if (call.what == What::set_mode) call.mode = 0600 + static_cast<std::uint32_t>(prng.below(64));
  if (call.what == What::truncate) call.size = ++stage.posix_sizes;  // each file's size says by which call
  return call;
}

std::string string_of(const Path& path) { return fmt::format("/{}", fmt::join(path, "/")); }

runtime::Task<Result<>> open_and_close(Host& host, std::string path, std::uint32_t flags, std::uint32_t mode) {
  const Result<FileHandle> file = co_await host.open(path, flags, mode);
  if (!file) co_return std::unexpected(file.error());
  (void)co_await host.close(*file);  // FLUSH and RELEASE change no name
  co_return Result<>{};
}

runtime::Task<Result<>> change(Host& host, const Call& call) {
  const std::string path = string_of(call.path);
  switch (call.what) {
    case What::create: co_return co_await open_and_close(host, path, O_CREAT | O_EXCL | O_RDWR, call.mode);
    case What::open: co_return co_await open_and_close(host, path, O_CREAT | O_RDWR, call.mode);
    case What::make_directory: co_return co_await host.mkdir(path, call.mode);
    case What::remove: co_return co_await host.unlink(path);
    case What::remove_directory: co_return co_await host.rmdir(path);
    case What::link: co_return co_await host.link(path, string_of(call.to));
    case What::rename: co_return co_await host.rename(path, string_of(call.to), call.flags);
    case What::truncate: co_return co_await host.truncate(path, call.size);
    default: break;
  }
  runtime::AttributeChange mode;
  mode.mode_set = true;
  mode.mode = call.mode;
  co_return co_await host.setattr(path, mode);
}

/// One call; what it said is judged. Gives the names of a list. False: its daemon or mount is gone.
runtime::Task<bool> make(sim::Process& process, Stage& stage, posix::Check& check, std::string who, Call call, std::set<std::string>& names) {
  Host host(process);
  stage.look_at_sites();
  const posix::Check::Id id = check.began(call);
  const auto say = [&](const std::string& what) {
    if (stage.verbose) fmt::print("{:>12} {} {}{}\n", process.universe().now().ns / 1000, who, posix::text_of(call), what);
  };
  say("");
  Answer answer;
  std::optional<Error> error;
  if (call.what == What::list) {
    const auto listed = co_await host.list(string_of(call.path));
    if (listed) names.insert(listed->begin(), listed->end());
    if (!listed) error = listed.error();
    if (listed && names.size() != listed->size()) stage.fail(fmt::format("{} names one twice: {}", posix::text_of(call), fmt::join(*listed, " ")));
  } else if (call.what == What::look) {
    const auto attributes = co_await host.stat(string_of(call.path));
    if (!attributes) error = attributes.error();
    const bool directory = attributes && S_ISDIR(attributes->mode);
    if (attributes) answer.attributes = Attributes{directory, attributes->mode & 07777, attributes->links, directory ? 0 : attributes->size};
  } else {
    const Result<> done = co_await change(host, call);
    if (!done) error = done.error();
  }
  stage.look_at_sites();
  // A directory that moved could not be put where its name was found: nothing was done, but a directory that was made stays.
  const bool nowhere = error && error->posix == ELOOP;
  if (error && (lost(*error) || (nowhere && call.what == What::make_directory))) {
    check.lost(id);
    say(": lost");
    co_return false;
  }
  if (error) answer.error = error->posix;
  say(": " + posix::text_of(answer));
  if (nowhere) ++stage.refused_nowhere;
  if (nowhere || (stage.may_be_full() && answer.error == ENOSPC) || (stage.reserves && answer.error == EBUSY)) {
    check.refused(id);
  } else if (const auto wrong = call.what == What::list && !error ? check.listed(id, names) : check.ended(id, answer)) {
    stage.fail(*wrong);
  }
  co_return true;
}

/// Makes directories of its own for the names, unless something goes wrong.
runtime::Task<void> begin_ground(Host& host, Stage& stage) {
  if (stage.history.apart()) co_return;  // each site has names of its own
  const std::uint64_t losses = stage.losses;
  const std::string top = fmt::format("posix{}", ++stage.tops);
  std::vector<Call> calls{{.what = What::make_directory, .path = {top}, .to = {}, .mode = kDirectoryMode}};
  for (const char* name : kDirectories) calls.push_back({.what = What::make_directory, .path = {top, name}, .to = {}, .mode = kDirectoryMode});
  for (const Call& call : calls) {
    const Result<> made = co_await host.mkdir(string_of(call.path), call.mode);
    if (!made) co_return;
  }
  if (stage.losses == losses && !stage.history.apart()) stage.grounds.push_back(std::make_unique<Stage::Ground>(top, posix::Check(calls)));
}

}  // namespace

runtime::Task<void> work_on_names(sim::Process& process, Stage& stage, std::uint64_t number) {
  Host host(process);
  const std::string who = fmt::format("{} n{}", process.name(), number);
  while (!stage.quiet && stage.failure.empty()) {
    if (stage.rests(site_of(process))) {
      co_await process.delay(kWhileResting);
      continue;
    }
    if (stage.grounds.empty() || stage.grounds.back()->check.spent()) co_await begin_ground(host, stage);
    bool answered = !stage.grounds.empty();
    if (answered) {
      Stage::Ground& ground = *stage.grounds.back();
      std::set<std::string> names;
      answered = co_await make(process, stage, ground.check, who, draw_call(stage, ground.top), names);
    }
    if (!answered) co_await process.delay(kAfterLoss);
    if (stage.posix_prng.chance(300)) co_await process.delay(std::chrono::microseconds(stage.posix_prng.below(3000)));
  }
}

runtime::Task<void> look_at_names(sim::Process& process, Stage& stage, bool& done) {
  Host host(process);
  for (const auto& ground : stage.grounds) {
    std::vector<Path> open;
    if (!ground->check.stopped()) open.push_back({ground->top});
    while (!open.empty()) {
      const Path path = std::move(open.back());
      open.pop_back();
      std::set<std::string> names;
      const Call look{.what = What::look, .path = path, .to = {}}, list{.what = What::list, .path = path, .to = {}};
      if (!co_await make(process, stage, ground->check, process.name(), look, names)) stage.fail("a name can't be looked at in the end");
      const auto attributes = co_await host.stat(string_of(path));
      if (!attributes || !S_ISDIR(attributes->mode)) continue;
      if (!co_await make(process, stage, ground->check, process.name(), list, names)) stage.fail("a directory can't be listed in the end");
      for (const std::string& name : names) {
        open.push_back(path);
        open.back().push_back(name);
      }
    }
  }
  done = true;
}

}  // namespace lockstep::simulator
