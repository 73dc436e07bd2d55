// C8: a block that is bad at one site is answered from the other one and repaired; what is beside a write counts as read.
#include <algorithm>

#include "damaged.h"

using namespace lockstep;
using namespace lockstep::write_path;

TEST_CASE("C8, a read that meets a bad block gives the right bytes, and the block is repaired", "[damage]") {
  const std::size_t site = GENERATE(kEast, kWest);
  const bool unreadable = GENERATE(false, true);
  Damaged scene(400 + site);
  if (unreadable) {
    scene.make_unreadable(site, kBlock);
  } else {
    scene.corrupt(site, kBlock);
    REQUIRE(!scene.good(site, kBlock));
  }
  CHECK(scene.read(site, kBlock).text == text_of(kOld, kBlockBytes));
  CHECK(scene.good(site, kBlock));
  CHECK(scene.replica(site).mends().repaired == 1);
  CHECK(scene.replica(1 - site).mends().repaired == 0);
  CHECK(scene.read(site, kBlock).text == text_of(kOld, kBlockBytes));
  CHECK(scene.cluster.site(site).host_side().counters().bad_reads_repaired == 1);
  CHECK(scene.cluster.site(site).host_side().counters().reads_elsewhere == 0);
}

TEST_CASE("C8, ten readers of one bad block fetch it once", "[damage]") {
  const std::size_t site = GENERATE(kEast, kWest);
  Damaged scene(410 + site);
  scene.corrupt(site, kBlock);
  Reading readings[10];
  for (Reading& reading : readings) scene.start_reading(site, kBlock, reading);
  REQUIRE(scene.universe().run_until([&] { return std::ranges::all_of(readings, [](const Reading& r) { return r.text.has_value(); }); },
                                     std::chrono::minutes(1)));
  for (const Reading& reading : readings) CHECK(reading.text == text_of(kOld, kBlockBytes));
  CHECK(scene.replica(site).mends().repaired == 1);
  CHECK(scene.cluster.site(site).host_side().counters().reads_elsewhere == 0);
}

TEST_CASE("C8, a block that is bad at both sites is EIO, and stays as it is", "[damage]") {
  const std::size_t site = GENERATE(kEast, kWest);
  Damaged scene(420 + site);
  for (const std::size_t at : {kEast, kWest}) scene.corrupt(at, kBlock);
  CHECK(scene.read(site, kBlock).error == EIO);
  CHECK(!scene.good(kEast, kBlock));
  CHECK(!scene.good(kWest, kBlock));
  CHECK(scene.replica(site).mends().left > 0);
  CHECK(scene.read(site, kBlock + 1).text == text_of(kOld, kBlockBytes));
}

TEST_CASE("C8, a write of a part of a block that is bad at one site keeps the rest of it", "[damage]") {
  const std::size_t writer = GENERATE(kEast, kWest);
  const std::size_t damaged = GENERATE(kEast, kWest);
  const bool unreadable = GENERATE(false, true);
  Damaged scene(430 + writer);
  if (unreadable) {
    scene.make_unreadable(damaged, kBlock);
  } else {
    scene.corrupt(damaged, kBlock);
  }
  scene.write_part(writer, kBlock);
  CHECK(scene.replica(damaged).mends().repaired == 1);
}

TEST_CASE("C8, a write of a part of a block that is bad at both sites is EIO, and changes nothing", "[damage]") {
  const std::size_t writer = GENERATE(kEast, kWest);
  Damaged scene(440 + writer);
  for (const std::size_t at : {kEast, kWest}) scene.corrupt(at, kBlock);
  Answer answer;
  scene.applications(writer).spawn(write_at(scene.applications(writer), kBlock * kBlockBytes + 1000, std::string(100, 'n'), answer));
  REQUIRE(scene.run_until_answered(answer));
  REQUIRE(answer.error);
  CHECK(answer.error->posix == EIO);
}

TEST_CASE("C8, a whole block that is bad is simply written", "[damage]") {
  Damaged scene(450);
  for (const std::size_t at : {kEast, kWest}) scene.corrupt(at, 3);
  Answer answer;
  scene.start(kWest, Call::overwrite, answer);
  REQUIRE(scene.run_until_answered(answer));
  REQUIRE(answer.made);
  for (const std::size_t at : {kEast, kWest}) CHECK(scene.good(at, 3));
}

TEST_CASE("C8, the connection is cut while a part of a block that is bad at the secondary waits for its repair", "[damage]") {
  const std::size_t writer = GENERATE(kEast, kWest);
  const std::uint64_t cut = GENERATE(40u, 200u, 600u, 3000u);
  Damaged scene(460 + writer);
  scene.corrupt(kWest, kBlock);
  scene.network().cut_after(scene.cluster.machine(kWest), scene.cluster.machine(kEast), cut);
  scene.write_part(writer, kBlock);
}
