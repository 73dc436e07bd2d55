#include "scene.h"

#include <fcntl.h>
#include <fmt/format.h>

#include <cstring>

#include "core/log.h"
#include "sim/storage.h"

namespace lockstep::write_path {
namespace {

using runtime::Task;
using sim::FileHandle;
using sim::Host;

constexpr std::uint64_t kAreaBytes = 4u << 20;
constexpr Duration kLimit = std::chrono::minutes(3);

std::uint64_t count_new(Bytes area) {
  std::uint64_t count = 0;
  for (std::size_t at = 0; at < area.size(); at += kBlockBytes) {
    count += std::memcmp(area.data() + at, &kNew, sizeof kNew) == 0 ? 1 : 0;
  }
  return count;
}

void note(Answer& answer, sim::Process& process, bool made, const Error* error) {
  ++answer.count;
  answer.made = made;
  if (error != nullptr) answer.error = *error;
  answer.at = process.universe().now();
}

Task<void> open_file(sim::Process& process, std::string path, std::uint32_t flags, FileHandle& file) {
  Host host(process);
  const Result<FileHandle> opened = co_await host.open(path, flags, 0644);
  if (opened) file = *opened;
}

Task<void> write(sim::Process& process, FileHandle file, std::uint64_t offset, std::string bytes, Answer& answer) {
  Host host(process);
  const std::uint64_t size = bytes.size();
  const Result<std::uint64_t> written = co_await host.write(file, offset, std::move(bytes));
  note(answer, process, written && *written == size, written ? nullptr : &written.error());
}

Task<void> create(sim::Process& process, std::string path, Answer& answer) {
  Host host(process);
  const Result<FileHandle> made = co_await host.open(path, O_CREAT | O_EXCL | O_RDWR, 0600);
  note(answer, process, made.has_value(), made ? nullptr : &made.error());
  if (made) co_await host.close(*made);
}

Task<void> rename(sim::Process& process, std::string from, std::string to, Answer& answer) {
  Host host(process);
  const Result<> renamed = co_await host.rename(from, to, 0);
  note(answer, process, renamed.has_value(), renamed ? nullptr : &renamed.error());
}

Task<void> read_all(sim::Process& process, std::string path, std::optional<std::string>& content) {
  Host host(process);
  const Result<FileHandle> file = co_await host.open(path, O_RDONLY, 0);
  if (!file) co_return;
  const Result<std::string> bytes = co_await host.read(*file, 0, 1u << 20);
  if (bytes) content = *bytes;
  co_await host.close(*file);
}

/// Takes the lines of an answer and drops them.
class NoLines final : public control::Stream {
 public:
  Task<bool> send(nlohmann::json) override { co_return true; }
  runtime::Stop& gone() override { return gone_; }

 private:
  runtime::Stop gone_;
};

Task<void> carry_out(site::Site& site, nlohmann::json request, std::optional<nlohmann::json>& answer) {
  NoLines lines;
  answer = co_await site.execute(std::move(request), lines);
}

Task<void> find_inode(sim::Process& process, std::string path, InodeId& inode) {
  Host host(process);
  const Result<runtime::HostAttributes> found = co_await host.stat(path);
  if (found) inode = found->inode;
}

Task<void> look_at_names(sim::Process& process) {
  Host host(process);
  co_await host.stat("/names/from");
}

}  // namespace

std::string text_of(std::uint64_t value, std::uint64_t bytes) {
  std::string text(bytes, '\0');
  for (std::size_t at = 0; at + sizeof value <= bytes; at += sizeof value) std::memcpy(text.data() + at, &value, sizeof value);
  return text;
}

std::string name_of(Call call) {
  switch (call) {
    case Call::overwrite: return "overwrite";
    case Call::append: return "append";
    case Call::create: return "create";
    case Call::rename: return "rename";
  }
  return "?";
}

Task<void> make_files(sim::Process& process, bool& made) {
  Host host(process);
  for (const auto& [path, blocks] : {std::pair<std::string, std::uint64_t>{"/data", kDataBlocks}, {"/records", 1}}) {
    const Result<FileHandle> file = co_await host.open(path, O_CREAT | O_RDWR, 0644);
    if (!file) co_return;
    const Result<std::uint64_t> written = co_await host.write(*file, 0, text_of(kOld, blocks * kBlockBytes));
    if (!written) co_return;
    co_await host.close(*file);
  }
  const Result<> directory = co_await host.mkdir("/names", 0755);
  if (!directory) co_return;
  const Result<FileHandle> from = co_await host.open("/names/from", O_CREAT | O_RDWR, 0644);
  if (!from) co_return;
  const Result<std::uint64_t> written = co_await host.write(*from, 0, text_of(kOld, 64));
  co_await host.close(*from);
  made = written.has_value();
}

Scene::Scene(std::uint64_t seed, bool alone) : cluster(seed, {.area_bytes = kAreaBytes, .alone = alone}) {
  log::set_up("test", log::Level::error);
  network().weather.short_send_permille = 0;  // so that a frame's bytes are handed over with it
  REQUIRE(cluster.format());
  for (std::size_t site : {kEast, kWest}) {
    cluster.start(site);
    applications_[site] = &cluster.machine(site).start("applications");
    lookers_[site] = &cluster.machine(site).start("lookers");
  }
  REQUIRE(universe().run_until([&] { return cluster.in_sync(); }, kLimit));
  bool made = false;
  run(*applications_[kEast], make_files(*applications_[kEast], made));
  REQUIRE(made);
  for (std::size_t site : {kEast, kWest}) {
    run(*applications_[site], open_file(*applications_[site], "/data", O_RDWR, data_[site]));
    run(*applications_[site], open_file(*applications_[site], "/records", O_RDWR | O_APPEND, records_[site]));
    run(*applications_[site], look_at_names(*applications_[site]));
    REQUIRE((data_[site] && records_[site]));
  }
  settle();
}

Scene::~Scene() {
  for (std::size_t site : {kEast, kWest}) {
    if (!cluster.up(site)) continue;
    replica(site).steps.observe(nullptr);
    cluster.stop(site);
  }
}

void Scene::run(sim::Process& process, Task<void> task) {
  process.spawn(std::move(task));
  REQUIRE(universe().run_until([&] { return process.idle(); }, kLimit));
}

void Scene::start_write(std::size_t site, std::uint64_t block, std::uint64_t blocks, std::uint64_t value, Answer& answer) {
  applications_[site]->spawn(
      write(*applications_[site], data_[site], block * kBlockBytes, text_of(value, blocks * kBlockBytes), answer));
}

void Scene::start(std::size_t site, Call call, Answer& answer) {
  sim::Process& process = *applications_[site];
  switch (call) {
    case Call::overwrite: return start_write(site, 3, 1, kNew, answer);
    case Call::append: return process.spawn(write(process, records_[site], 0, text_of(kNew, 8 * kBlockBytes), answer));
    case Call::create: return process.spawn(create(process, "/names/new", answer));
    case Call::rename: return process.spawn(rename(process, "/names/from", "/names/to", answer));
  }
}

bool Scene::run_until_answered(const Answer& answer) {
  return universe().run_until([&] { return answer.count > 0; }, kLimit);
}

void Scene::settle() {
  // Times in memory are written and space allocated ahead is given back within the settling time.
  universe().run_for(std::chrono::seconds(3));
  REQUIRE(universe().run_until(
      [&] {
        return cluster.in_sync() && cluster.site(kEast).controller().load().effects == 0 &&
               cluster.site(kWest).controller().load().requests == 0 && applications_[kEast]->idle() && applications_[kWest]->idle();
      },
      kLimit));
  universe().run_for(std::chrono::milliseconds(100));
}

std::optional<std::string> Scene::content(std::size_t site, const std::string& path) {
  std::optional<std::string> content;
  run(*lookers_[site], read_all(*lookers_[site], path, content));
  return content;
}

void Scene::start_command(std::size_t site, nlohmann::json request, std::optional<nlohmann::json>& answer) {
  cluster.process(site).spawn(carry_out(cluster.site(site), std::move(request), answer));
}

std::optional<nlohmann::json> Scene::command(std::size_t site, nlohmann::json request) {
  std::optional<nlohmann::json> answer;
  start_command(site, std::move(request), answer);
  universe().run_until([&] { return answer.has_value(); }, kLimit);
  return answer;
}

InodeId Scene::inode(const std::string& path) {
  InodeId inode;
  run(*lookers_[kEast], find_inode(*lookers_[kEast], path, inode));
  REQUIRE(inode != kNoInode);
  return inode;
}

wire::Turn Scene::data_turn(std::uint64_t block, std::uint64_t blocks) const {
  return {.kind = wire::Turn::Kind::data, .object = data_[kEast]->inode, .first = block, .count = blocks};
}

void Scene::record() {
  seen_.clear();
  for (std::size_t site : {kEast, kWest}) {
    observers_[site].scene = this;
    observers_[site].site = site;
    observers_[site].live = true;
    replica(site).steps.observe(&observers_[site]);
  }
}

void Scene::saw(std::size_t site, const controller::StepEvent& event) {
  Seen seen;
  seen.site = site;
  seen.event = event;
  wire::Turn turn{.kind = event.kind, .object = event.object, .first = event.first, .count = event.count};
  for (std::size_t i : {kEast, kWest}) {
    seen.new_blocks[i] = count_new(cluster.machine(i).storage().peek("extents"));
    if (cluster.up(i)) seen.status[i] = replica(i).table.status(turn, SiteId{static_cast<std::uint8_t>(i)});
  }
  seen.sent_to_secondary = network().sent(cluster.machine(kEast), cluster.machine(kWest));
  seen_.push_back(seen);
  if (at_step) at_step(seen_.size());
}

std::vector<Seen> Scene::steps_of_request() const {
  std::vector<Seen> mine;
  std::optional<RequestId> id;
  for (const Seen& seen : seen_) {
    if (!id && seen.event.step == Step::asked) id = seen.event.request;
    if (id && seen.event.request == *id) mine.push_back(seen);
  }
  return mine;
}

}  // namespace lockstep::write_path
