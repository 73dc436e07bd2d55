// The command `watch`: who is told of what applications at either site do, with which names.
#include <sys/stat.h>

#include <algorithm>

#include "control/commands.h"
#include "scene.h"
#include "site/watched_tree.h"

using namespace lockstep;
using namespace lockstep::write_path;
using nlohmann::json;
using volume::Change;
using volume::NamePlace;

namespace {

/// A client that may stop reading.
class Client final : public control::Stream {
 public:
  explicit Client(runtime::Scheduler& scheduler) : reading(scheduler) { reading.set(); }
  runtime::Task<bool> send(json line) override {
    while (!reading.is_set() && !gone_.requested()) co_await reading.wait();
    if (gone_.requested()) co_return false;
    lines.push_back(std::move(line));
    co_return true;
  }
  runtime::Stop& gone() override { return gone_; }
  /// Texts of the changes: site, what, path.
  [[nodiscard]] std::vector<std::string> told() const {
    std::vector<std::string> texts;
    for (const json& line : lines) {
      if (line.contains("change")) {
        const json& c = line["change"];
        texts.push_back(c["site"].get<std::string>() + " " + c["what"].get<std::string>() + " " + c["path"].get<std::string>() +
                        (c.contains("to") ? " -> " + c["to"].get<std::string>() : ""));
      }
    }
    return texts;
  }
  runtime::Event reading;
  std::vector<json> lines;

 private:
  runtime::Stop gone_;
};

runtime::Task<void> ask(site::Site& site, json request, Client& client, json& answer) {
  answer = co_await site.execute(std::move(request), client);
}

struct Watched {
  Watched(Scene& s, std::size_t where, json paths, bool recursive = true) : scene(s), site(where), client(process()) {
    process().spawn(ask(scene.cluster.site(site), {{"command", "watch"}, {"paths", std::move(paths)}, {"recursive", recursive}}, client, answer));
    REQUIRE(scene.universe().run_until([&] { return !client.lines.empty() || !answer.is_null(); }, std::chrono::minutes(1)));
  }
  ~Watched() { end(); }
  sim::Process& process() { return scene.cluster.process(site); }
  /// The client goes.
  void end() {
    client.gone().request();
    client.reading.notify_all();
    REQUIRE(scene.universe().run_until([&] { return !answer.is_null(); }, std::chrono::minutes(1)));
  }
  void expect(const std::vector<std::string>& texts) {
    (void)scene.universe().run_until([&] { return client.told().size() >= texts.size(); }, std::chrono::minutes(1));
    CHECK(client.told() == texts);
  }
  Scene& scene;
  std::size_t site;
  Client client;
  json answer;
};

void run(Scene& scene, std::size_t site, Call call) {
  Answer answer;
  scene.start(site, call, answer);
  REQUIRE(scene.run_until_answered(answer));
  REQUIRE(answer.made);
}

Change renamed(InodeId object, NamePlace at, NamePlace to, std::uint32_t type = S_IFDIR) {
  Change change;
  change.kind = Change::Kind::renamed;
  change.object = object;
  change.type = type;
  change.at = std::move(at);
  change.to = std::move(to);
  return change;
}

}  // namespace

TEST_CASE("what a host of either site changes is told at both, once, with the site that did it", "[watch]") {
  const std::size_t asker = GENERATE(kEast, kWest);
  Scene scene(900 + asker);
  Watched east(scene, kEast, {"/"}), west(scene, kWest, {"/"});
  for (const Call call : {Call::overwrite, Call::append, Call::create, Call::rename}) run(scene, asker, call);
  scene.settle();
  const std::string by = kSites[asker];
  const std::vector<std::string> expected = {by + " written /data", by + " written /records", by + " created /names/new",
                                             by + " renamed /names/from -> /names/to"};
  east.expect(expected);
  west.expect(expected);
}

TEST_CASE("only what is at and below the paths is told", "[watch]") {
  Scene scene(910);
  Watched names(scene, kWest, {"/names"}, false), data(scene, kWest, {"/data"}), root(scene, kWest, {"/"}, false);
  for (const Call call : {Call::overwrite, Call::append, Call::create, Call::rename}) run(scene, kEast, call);
  scene.settle();
  names.expect({"east created /names/new", "east renamed /names/from -> /names/to"});
  data.expect({"east written /data"});
  root.expect({"east written /data", "east written /records"});
}

TEST_CASE("nobody watches: the write path knows of none; a path that is not there is refused", "[watch]") {
  Scene scene(920);
  CHECK(scene.replica(kEast).observer == nullptr);
  {
    Watched watch(scene, kEast, {"/"});
    CHECK(scene.replica(kEast).observer != nullptr);
    CHECK(scene.replica(kWest).observer == nullptr);
  }
  CHECK(scene.replica(kEast).observer == nullptr);
  Watched nothing(scene, kEast, {"/names/nothing"});
  CHECK(nothing.answer["error"] == "there is no /names/nothing in the volume");
  Watched none(scene, kEast, json::array());
  CHECK(none.answer.contains("error"));
  CHECK(scene.replica(kEast).observer == nullptr);
}

TEST_CASE("a client that does not read holds nobody up, and is told in one line what it missed", "[watch]") {
  constexpr std::uint64_t kWrites = site::Watch::kLinesMax + 500;
  Scene scene(930);
  Watched watch(scene, kEast, {"/data"});
  watch.client.reading.reset();
  wire::Effect effect;
  const InodeId data = scene.inode("/data");
  effect.request.site = SiteId{1};
  effect.outcome.attributes.inode = data;
  effect.drops.push_back({wire::Drop::Kind::pages, data, {0, 1}, {}});
  for (std::uint64_t i = 0; i < kWrites; ++i) {
    effect.seq = Seq{scene.replica(kEast).last().value + 1 + i};
    scene.replica(kEast).observer->in_force(effect);
  }
  run(scene, kWest, Call::create);
  watch.client.reading.set();
  const auto missed = [&] {
    return std::ranges::count_if(watch.client.lines, [](const json& line) { return line.contains("missed"); });
  };
  REQUIRE(scene.universe().run_until([&] { return missed() > 0; }, std::chrono::minutes(1)));
  CHECK(missed() == 1);
  CHECK(watch.client.told().size() + watch.client.lines.back()["missed"].get<std::uint64_t>() == kWrites);
}

TEST_CASE("the tree: moved directories keep their names below, ones from elsewhere are looked through, ones that leave count no more", "[watch]") {
  const InodeId d{2}, sub{3}, other{4};
  site::WatchedTree tree;
  tree.know(d, {kRootInode, "d"});
  tree.watch({d, {kRootInode, "d"}, true, true});
  REQUIRE(tree.unlisted() == d);
  tree.begin_listing(d);
  // Renamed while the listing is under way, which still has the old name.
  tree.follow(renamed(sub, {d, "old"}, {d, "new"}));
  std::vector<volume::Entry> page = {{"old", sub, S_IFDIR, 20}, {"other", other, S_IFDIR, 30}};
  REQUIRE(tree.take(page));
  tree.end_listing();
  CHECK(page.size() == 1);
  CHECK(tree.path({sub, "f"}) == "/d/new/f");
  CHECK(tree.path({other, "f"}) == "/d/other/f");
  while (tree.unlisted()) {
    tree.begin_listing(*tree.unlisted());
    tree.end_listing();
  }
  tree.follow(renamed(sub, {d, "new"}, {other, "sub"}));
  CHECK(tree.path({sub, "f"}) == "/d/other/sub/f");
  CHECK(tree.whole());
  tree.follow(renamed(other, {d, "other"}, {InodeId{99}, "away"}));
  CHECK_FALSE(tree.watches(other));
  CHECK_FALSE(tree.watches(sub));
  CHECK_FALSE(tree.over());
  tree.follow(renamed(InodeId{50}, {InodeId{99}, "x"}, {d, "x"}));
  CHECK(tree.unlisted() == InodeId{50});
  Change removed = renamed(d, {kRootInode, "d"}, {});
  removed.kind = Change::Kind::removed;
  tree.follow(removed);
  CHECK(tree.over());
}

TEST_CASE("the tree is full beyond its bound, but not of directories that left", "[watch]") {
  const InodeId d{2}, away{3};
  site::WatchedTree tree;
  tree.watch({d, {kRootInode, "d"}, true, true});
  Change made;
  made.kind = Change::Kind::created;
  made.type = S_IFDIR;
  for (std::uint64_t i = 0; i < site::WatchedTree::kDirectoriesMax; ++i) {
    made.object = InodeId{3 + i};
    made.at = {i == 0 ? d : away, std::to_string(i)};
    if (i == site::WatchedTree::kDirectoriesMax - 1) tree.follow(renamed(away, {d, "0"}, {InodeId{1u << 30}, "0"}));
    if (i == site::WatchedTree::kDirectoriesMax - 1) made.at.directory = d;
    tree.follow(made);
  }
  CHECK_FALSE(tree.full());
  CHECK(tree.directories() == 2);
  for (std::uint64_t i = 0; i < site::WatchedTree::kDirectoriesMax; ++i) {
    made.object = InodeId{(1u << 20) + i};
    made.at = {d, "n" + std::to_string(i)};
    tree.follow(made);
  }
  CHECK(tree.full());
}

TEST_CASE("a file is watched by its name", "[watch]") {
  const InodeId old{10}, fresh{11};
  site::WatchedTree tree;
  tree.watch({old, {kRootInode, "f"}, false, false});
  CHECK(tree.place_of(old) == NamePlace{kRootInode, "f"});
  tree.follow(renamed(old, {kRootInode, "f"}, {kRootInode, "f~"}, S_IFREG));
  CHECK_FALSE(tree.place_of(old));
  tree.follow(renamed(fresh, {kRootInode, "f.new"}, {kRootInode, "f"}, S_IFREG));
  CHECK(tree.place_of(fresh) == NamePlace{kRootInode, "f"});
  CHECK(tree.tells({kRootInode, "f"}, InodeId{12}));
  CHECK_FALSE(tree.tells({kRootInode, "g"}, fresh));
  CHECK_FALSE(tree.over());
}
