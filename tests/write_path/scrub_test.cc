// scrub and verify --repair, as the control socket asks for them.
#include "control/commands.h"
#include "damaged.h"
#include "volume/keys_format.h"

using namespace lockstep;
using namespace lockstep::write_path;
using nlohmann::json;

namespace {

class Client final : public control::Stream {
 public:
  runtime::Task<bool> send(json line) override {
    lines.push_back(std::move(line));
    co_return true;
  }
  runtime::Stop& gone() override { return gone_; }
  std::vector<json> lines;

 private:
  runtime::Stop gone_;
};

runtime::Task<void> ask(site::Site& site, json request, Client& client, json& answer) {
  answer = co_await site.execute(std::move(request), client);
}

struct Asked : Damaged {
  using Damaged::Damaged;
  json command(std::size_t site, json request) {
    Client client;
    json answer;
    cluster.process(site).spawn(ask(cluster.site(site), std::move(request), client, answer));
    REQUIRE(universe().run_until([&] { return !answer.is_null(); }, std::chrono::minutes(5)));
    INFO(answer.dump());
    CHECK(!answer.contains("error"));
    lines = std::move(client.lines);
    return answer;
  }
  /// Good, and another: bytes and checksum of block `from` stand in `block` of one area.
  void make_impostor(std::size_t site, std::uint64_t block, std::uint64_t value) {
    area::Area& area = replica(site).area;
    const std::string bytes = text_of(value, kBlockBytes);
    std::vector<wire::AreaWrite> writes{{.address = place(block).offset, .length = kBlockBytes}};
    const auto composed = area.compose(writes, std::as_bytes(std::span(bytes)));
    REQUIRE(composed);
    REQUIRE(*composed);
    const std::vector<BlockRange> blocks{{first + block, 1}};
    REQUIRE(area.suspects().cover(blocks));
    REQUIRE(area.write(**composed));
  }
  void require_equal() {
    const json answer = command(kEast, {{"command", "verify"}});
    INFO(answer.dump());
    CHECK(answer["equal"] == true);
  }
  std::vector<json> lines;
};

}  // namespace

TEST_CASE("scrub repairs what is bad at its site, names nothing then, and finds nothing the next time", "[scrub]") {
  const std::size_t site = GENERATE(kEast, kWest);
  Asked scene(600 + site);
  for (const std::uint64_t block : {1u, 2u, 9u}) scene.corrupt(site, block);
  scene.make_unreadable(site, 11);
  json answer = scene.command(site, {{"command", "scrub"}});
  CHECK(answer["bad"] == 4);
  CHECK(answer["repaired"] == 4);
  CHECK(answer["good"] == true);
  CHECK(answer["blocks"] >= kDataBlocks);
  for (const std::uint64_t block : {1u, 2u, 9u, 11u}) CHECK(scene.good(site, block));
  answer = scene.command(site, {{"command", "scrub"}});
  CHECK(answer["bad"] == 0);
  CHECK(answer["good"] == true);
}

TEST_CASE("scrub names the file of a block that stays bad, and says no", "[scrub]") {
  Asked scene(610);
  for (const std::size_t at : {kEast, kWest}) scene.corrupt(at, kBlock);
  scene.corrupt(kWest, kBlock + 1);
  const json answer = scene.command(kWest, {{"command", "scrub"}});
  CHECK(answer["good"] == false);
  CHECK(answer["bad"] == 2);
  CHECK(answer["repaired"] == 1);
  REQUIRE(answer["first_left"].size() == 1);
  const std::string place = answer["first_left"][0].get<std::string>();
  CHECK(place.find("bytes 20480 to 24575 of /data (inode") != std::string::npos);
}

TEST_CASE("scrub keeps to its rate, and says how far it is", "[scrub]") {
  Asked scene(620);
  const Instant before = scene.universe().now();
  const json answer = scene.command(kEast, {{"command", "scrub"}, {"rate", 16 * 1024}});
  const Duration took = scene.universe().now() - before;
  CHECK(took >= std::chrono::seconds(4));  // 64 KiB at least
  CHECK(took < std::chrono::seconds(60));
  CHECK(!scene.lines.empty());
}

TEST_CASE("verify --repair: the good copy counts, whichever site has it; then both are equal", "[scrub]") {
  Asked scene(630);
  scene.corrupt(kEast, 1);
  scene.corrupt(kWest, 2);
  scene.make_unreadable(kWest, 4);
  json answer = scene.command(kEast, {{"command", "verify"}});
  CHECK(answer["equal"] == false);
  answer = scene.command(kEast, {{"command", "verify"}, {"repair", true}});
  CHECK(answer["equal"] == true);
  CHECK(answer["repaired"]["east"] == 1);
  CHECK(answer["repaired"]["west"] == 2);
  CHECK(answer["conflicts"] == 0);
  for (const std::size_t at : {kEast, kWest}) {
    for (const std::uint64_t block : {1u, 2u, 4u}) {
      CHECK(scene.good(at, block));
      CHECK(scene.read(at, block).text == text_of(kOld, kBlockBytes));
    }
  }
}

TEST_CASE("verify --repair: of copies that are good and different the primary's counts, and that is said", "[scrub]") {
  Asked scene(640);
  scene.make_impostor(kWest, kBlock, kNew);
  REQUIRE(scene.good(kWest, kBlock));
  const json answer = scene.command(kWest, {{"command", "verify"}, {"repair", true}});
  CHECK(answer["equal"] == true);
  CHECK(answer["conflicts"] == 1);
  REQUIRE(answer["first_conflicts"].size() == 1);
  CHECK(answer["first_conflicts"][0].get<std::string>().find("of /data") != std::string::npos);
  CHECK(scene.read(kWest, kBlock).text == text_of(kOld, kBlockBytes));
}

TEST_CASE("verify --repair: what is bad at both sites stays, and is no reason to touch anything else", "[scrub]") {
  Asked scene(650);
  for (const std::size_t at : {kEast, kWest}) scene.corrupt(at, kBlock);
  const json answer = scene.command(kEast, {{"command", "verify"}, {"repair", true}});
  CHECK(answer["equal"] == false);
  CHECK(answer["repaired"]["east"] == 0);
  CHECK(answer["repaired"]["west"] == 0);
  CHECK(!scene.good(kEast, kBlock));
}

TEST_CASE("verify --repair: keys that differ are taken from the primary", "[scrub]") {
  Asked scene(660);
  runtime::KeyBatch wrong;
  wrong.push_back({volume::xattr_key(InodeId{2}, "user.wrong"), "only at west"});
  REQUIRE(scene.cluster.process(kWest).world().keys.apply(wrong));
  json answer = scene.command(kEast, {{"command", "verify"}});
  CHECK(answer["keys_differ"] == 1);
  answer = scene.command(kEast, {{"command", "verify"}, {"repair", true}});
  CHECK(answer["equal"] == true);
  CHECK(answer["repaired"]["keys"] == 1);
  scene.require_equal();
  scene.settle();
  CHECK(scene.content(kWest, "/data") == text_of(kOld, kDataBlocks * kBlockBytes));
}
