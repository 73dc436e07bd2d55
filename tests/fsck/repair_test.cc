// What a repair does beside its rules: whom it tells, where lost objects go, what it refuses.
#include "scene.h"
#include "volume/raw_keys.h"

using namespace lockstep;
using namespace lockstep::fsck;

namespace {

InodeId looked_up(Scene& t, InodeId directory, const std::string& name) {
  const auto found = t.site().get([&] { return t.site().volume->lookup(directory, name); });
  return found ? found->inode : kNoInode;
}

}  // namespace

TEST_CASE("the notice is given once, before anything is changed") {
  Scene scene;
  scene.change_free(-1);
  scene.edit(scene.f, [](volume::Inode& it) { it.links = 7; });
  SECTION("and heard") {
    REQUIRE(scene.examine(true).sound());
    REQUIRE(scene.notice.told == 1);
  }
  SECTION("and if it fails, nothing is") {
    scene.notice.fails = true;
    const auto before = scene.keys();
    REQUIRE_FALSE(examine_site(scene.site(), {.repair = true}, scene.notice));
    REQUIRE(scene.keys() == before);
  }
}

TEST_CASE("lost objects are found in /lost+found, with what is in them") {
  Scene scene;
  scene.remove_name(scene.d, "e");
  scene.remove_name(scene.d, "s");
  REQUIRE(scene.examine(true).sound());
  scene.site().open();
  const InodeId lost = looked_up(scene, kRootInode, "lost+found");
  REQUIRE(lost != kNoInode);
  REQUIRE(looked_up(scene, lost, "#" + std::to_string(scene.e.value)) == scene.e);
  REQUIRE(looked_up(scene, lost, "#" + std::to_string(scene.s.value)) == scene.s);
  REQUIRE(looked_up(scene, scene.e, "x") == scene.x);
  REQUIRE(*scene.site().get([&] { return scene.site().volume->parent(scene.e); }) == lost);
}

TEST_CASE("a directory of that name is used, something else of that name is left alone") {
  Scene scene;
  scene.remove_name(scene.d, "e");
  SECTION("a directory") {
    scene.remove_name(kRootInode, "l1");
    scene.add_name(kRootInode, "lost+found", scene.l1, S_IFDIR);
    REQUIRE(scene.examine(true).sound());
    scene.site().open();
    REQUIRE(looked_up(scene, scene.l1, "#" + std::to_string(scene.e.value)) == scene.e);
  }
  SECTION("a file") {
    scene.remove_name(kRootInode, "g");
    scene.add_name(kRootInode, "lost+found", scene.f, S_IFREG);
    REQUIRE(scene.examine(true).sound());
    scene.site().open();
    REQUIRE(looked_up(scene, looked_up(scene, kRootInode, "lost+found.1"), "#" + std::to_string(scene.e.value)) ==
            scene.e);
    REQUIRE(looked_up(scene, kRootInode, "lost+found") == scene.f);
  }
}

TEST_CASE("much damage at once is mended, however little memory there is") {
  for (const std::size_t memory : {std::size_t{1} << 20, std::size_t{64}}) {
    Scene scene;
    scene.remove_name(scene.d, "e");
    scene.remove_name(kRootInode, "l1");
    scene.add_name(scene.l2, "l1", scene.l1, S_IFDIR);
    scene.edit(scene.l1, [&](volume::Inode& it) { it.parent = scene.l2; });
    scene.add_name(scene.d, "ghost", InodeId{999}, S_IFDIR);
    scene.put(volume::orphan_key(InodeId{998}), "");
    scene.put(volume::orphan_key(InodeId{2000}), "");
    scene.edit(scene.f, [](volume::Inode& it) { it.links = it.blocks = 7; });
    scene.erase(volume::block_key(scene.chunk(scene.x, 0).extents[0].address));
    scene.edit_progress([](volume::Progress& it) { it = {it.applied, 1, 2}; });
    scene.change_free(5);
    const Outcome outcome = scene.examine(true, true, memory);
    INFO(lines_of(outcome.report) << "--\n" << lines_of(outcome.afterwards));
    REQUIRE(outcome.report.left() == 0);
    REQUIRE(outcome.sound());
  }
}

TEST_CASE("a finding names the path of its object") {
  Scene scene;
  scene.edit(scene.x, [](volume::Inode& it) { it.blocks = 7; });
  const Outcome outcome = scene.examine();
  REQUIRE(outcome.report.findings().at(0).path == "/d/e/x");
}

TEST_CASE("a bad block that was being written when the daemon died is no finding") {
  Scene scene;
  const std::uint64_t block = scene.chunk(scene.f, 0).extents[0].address + 1;
  scene.site().open();
  REQUIRE(scene.site().area->in_flight().mark(Seq{1000}, std::vector<BlockRange>{{block, 1}}));
  scene.site().kill();
  scene.site().machine().storage().corrupt("extents", {block * kBlockBytes, 8});
  REQUIRE(scene.examine(false, true).report.total() == 0);
  scene.site().machine().storage().corrupt("extents", {(block + 1) * kBlockBytes, 8});
  const Outcome outcome = scene.examine(false, true);
  REQUIRE(outcome.report.total() == 1);
  REQUIRE(outcome.report.findings().at(0).path.ends_with("/f") != outcome.report.findings().at(0).path.ends_with("/g"));
}

TEST_CASE("unknown files of an area and keys of one site are let be") {
  Scene scene;
  REQUIRE(scene.site().run(scene.site().world().disk.create("notes", 4096, nullptr, nullptr)));
  scene.put(std::string("\0other", 6), "1");
  REQUIRE(scene.examine(true).report.total() == 0);
  REQUIRE(scene.keys().contains(std::string("\0other", 6)));
}

TEST_CASE("what can't be examined is refused") {
  Scene scene;
  CountedNotice notice;
  SECTION("both superblocks are damaged") {
    scene.site().machine().storage().corrupt("superblock", {100, 8});
    scene.site().machine().storage().corrupt("superblock", {4196, 8});
    REQUIRE(examine_site(scene.site(), {}, notice).error().code == Errc::corrupt);
  }
  SECTION("there is no area") {
    REQUIRE(scene.site().world().disk.remove("superblock"));
    REQUIRE(examine_site(scene.site(), {}, notice).error().code == Errc::refused);
  }
  SECTION("its keys are being replaced") {
    scene.put(std::string(volume::kMixedKey), "");
    REQUIRE(examine_site(scene.site(), {}, notice).error().code == Errc::refused);
  }
  SECTION("another process has it") {
    scene.site().open();
    sim::Process& other = scene.site().machine().start("fsck");
    auto out = std::make_shared<std::optional<Result<>>>();
    other.spawn(volume::keep_result(can_be_examined(other.world().disk), out));
    REQUIRE(scene.pair.universe.run_until([&] { return out->has_value(); }, std::chrono::hours(1)));
    REQUIRE((*out)->error().code == Errc::refused);
  }
  SECTION("the keys can't be read") {
    scene.site().machine().key_store().weather.read_error_permille = 1000;
    REQUIRE(examine_site(scene.site(), {}, notice).error().code == Errc::io);
  }
}
