// What a site has reserved: requests of the other site wait where they were asked, or are refused, whatever dies meanwhile.
#include <algorithm>
#include <cerrno>
#include <iterator>

#include "check_effect.h"
#include "scene.h"

using namespace lockstep;
using namespace lockstep::write_path;
using nlohmann::json;

namespace {

constexpr Duration kLong = std::chrono::seconds(20);

/// What is to be reserved so that `call` is held back.
json request_for(Scene& scene, Call call, const char* command) {
  json request{{"command", command}, {"path", "/somewhere"}};
  switch (call) {
    case Call::overwrite:
      request["inode"] = scene.inode("/data").value;
      request["offset"] = 3 * kBlockBytes;
      request["length"] = kBlockBytes;
      break;
    case Call::append: request["inode"] = scene.inode("/records").value; break;
    case Call::create:
    case Call::rename: request["inode"] = scene.inode("/names").value; break;
  }
  return request;
}

void reserve(Scene& scene, std::size_t site, Call call, bool busy = false) {
  json request = request_for(scene, call, "reserve");
  request["busy"] = busy;
  const auto answer = scene.command(site, request);
  REQUIRE(answer);
  INFO(answer->dump());
  REQUIRE(answer->contains("ok"));
}

void release(Scene& scene, std::size_t site, Call call) {
  const auto answer = scene.command(site, request_for(scene, call, "release"));
  REQUIRE(answer);
  INFO(answer->dump());
  REQUIRE(answer->contains("ok"));
}

/// Steps of the application's request since record(): those with turns. (One that was held goes on under another number.)
std::vector<Seen> steps_of(const Scene& scene) {
  std::vector<Seen> steps;
  std::copy_if(scene.seen().begin(), scene.seen().end(), std::back_inserter(steps), [](const Seen& s) { return s.event.object != kNoInode; });
  return steps;
}

bool has(const Scene& scene, std::size_t site, Step step) {
  const std::vector<Seen> steps = steps_of(scene);
  return std::any_of(steps.begin(), steps.end(), [&](const Seen& s) { return s.site == site && s.event.step == step; });
}

/// The request was asked for and waits for a reservation, at its own site: no site has begun anything for it.
void require_held(Scene& scene, std::size_t asker, const Answer& answer) {
  REQUIRE(answer.count == 0);
  REQUIRE(has(scene, asker, Step::held));
  for (std::size_t site : {kEast, kWest}) {
    for (const Step step : {Step::forward_sent, Step::queued, Step::exclusive, Step::planned, Step::area_written, Step::published}) {
      REQUIRE_FALSE(has(scene, site, step));
    }
  }
  for (const Seen& seen : steps_of(scene)) {
    REQUIRE((seen.new_blocks[kEast] == 0 && seen.new_blocks[kWest] == 0));
    if (seen.event.step == Step::held) REQUIRE(seen.event.status == Status::reserved);
  }
}

/// One daemon is killed twice while a request of the other site waits for its reservation.
void kill_holder(Call call, std::size_t holder) {
  const std::size_t asker = 1 - holder;  // its daemon lives: the mount of one that is killed goes with it
  Scene scene(11);
  reserve(scene, holder, call);
  scene.record();
  Answer answer;
  scene.start(asker, call, answer);
  scene.universe().run_for(std::chrono::seconds(1));
  for (int i = 0; i < 2; ++i) {
    scene.forget(holder);
    scene.cluster.kill(holder);
    scene.universe().run_for(std::chrono::milliseconds(500));
    scene.cluster.start(holder);
    REQUIRE(scene.universe().run_until([&] { return scene.cluster.in_sync(); }, std::chrono::minutes(1)));
    scene.universe().run_for(kLong);
    REQUIRE(answer.count == 0);
  }
  release(scene, holder, call);
  REQUIRE(scene.run_until_answered(answer));
  scene.settle();
  require_success(answer);
  REQUIRE(effects_of(scene, call) == 1);
}

const Call kCalls[] = {Call::overwrite, Call::append, Call::create, Call::rename};

}  // namespace

TEST_CASE("reserved by a site, a request of the other waits at its own site, unforwarded, until the release (claims 28-30, 33, 36, 39, 43, 45)",
          "[reserve]") {
  for (const Call call : kCalls) {
    for (const std::size_t holder : {kEast, kWest}) {
      INFO(name_of(call) << ", reserved at " << kSites[holder]);
      const std::size_t asker = 1 - holder;
      Scene scene(7);
      reserve(scene, holder, call);
      scene.record();
      Answer answer;
      scene.start(asker, call, answer);
      scene.universe().run_for(kLong);
      require_held(scene, asker, answer);
      release(scene, holder, call);
      REQUIRE(scene.run_until_answered(answer));
      scene.settle();
      require_success(answer);
      REQUIRE(effects_of(scene, call) == 1);
      // Neither reserved nor exclusive any more: only now exclusive at the primary, and written.
      std::vector<Step> expected{Step::exclusive, Step::planned, Step::published}, found;
      for (const Seen& seen : steps_of(scene)) {
        const bool of_asker = seen.event.request.site == SiteId{static_cast<std::uint8_t>(asker)};
        if (of_asker && seen.site == kEast && std::find(expected.begin(), expected.end(), seen.event.step) != expected.end()) found.push_back(seen.event.step);
      }
      REQUIRE(found == expected);
    }
  }
}

TEST_CASE("the holder writes on, and does not stand behind those who wait for it", "[reserve]") {
  for (const std::size_t holder : {kEast, kWest}) {
    INFO("reserved at " << kSites[holder]);
    Scene scene(8);
    reserve(scene, holder, Call::overwrite);
    Answer of_other, of_holder, beside;
    scene.start_write(1 - holder, 3, 1, kNew, of_other);
    scene.universe().run_for(std::chrono::seconds(1));
    REQUIRE(of_other.count == 0);
    for (int i = 0; i < 3; ++i) {
      of_holder = {};
      scene.start_write(holder, 3, 1, kNew + 1, of_holder);
      REQUIRE(scene.run_until_answered(of_holder));
      REQUIRE(of_holder.made);
    }
    REQUIRE(of_other.count == 0);
    release(scene, holder, Call::overwrite);
    REQUIRE(scene.run_until_answered(of_other));
    scene.start_write(1 - holder, 5, 1, kNew + 1, beside);
    REQUIRE(scene.run_until_answered(beside));
    scene.settle();
    REQUIRE((of_other.made && beside.made));
    for (std::size_t site : {kEast, kWest}) REQUIRE(scene.content(site, "/data")->substr(3 * kBlockBytes, kBlockBytes) == text_of(kNew, kBlockBytes));
    REQUIRE(simulator::difference(scene.cluster) == std::nullopt);
  }
}

TEST_CASE("reserved so that others get EBUSY, they get it, and nothing is changed", "[reserve]") {
  for (const Call call : kCalls) {
    for (const std::size_t holder : {kEast, kWest}) {
      INFO(name_of(call) << ", reserved at " << kSites[holder]);
      Scene scene(9);
      reserve(scene, holder, call, true);
      Answer refused, made;
      scene.start(1 - holder, call, refused);
      REQUIRE(scene.run_until_answered(refused));
      REQUIRE_FALSE(refused.made);
      REQUIRE(refused.error);
      REQUIRE(refused.error->posix == EBUSY);
      scene.settle();
      REQUIRE(effects_of(scene, call) == 0);
      scene.start(holder, call, made);
      REQUIRE(scene.run_until_answered(made));
      scene.settle();
      require_success(made);
      REQUIRE(effects_of(scene, call) == 1);
    }
  }
}

TEST_CASE("what was in line when a tree was reserved goes back, and waits where it was asked", "[reserve]") {
  for (const std::size_t holder : {kEast, kWest}) {
    INFO("reserved at " << kSites[holder]);
    const std::size_t asker = 1 - holder;
    Scene scene(13);
    Held line(scene, kEast);
    scene.record();
    const auto seen_of_data = [&](std::size_t site, Step step) {
      return std::any_of(scene.seen().begin(), scene.seen().end(), [&](const Seen& s) {
        return s.site == site && s.event.step == step && s.event.object == line.scene.data_turn(3, 1).object;
      });
    };
    Answer answer, beside;
    scene.start(asker, Call::overwrite, answer);
    scene.universe().run_for(std::chrono::seconds(1));
    REQUIRE(seen_of_data(kEast, Step::queued));
    REQUIRE(scene.command(holder, {{"command", "reserve"}, {"inode", kRootInode.value}})->contains("ok"));
    line.release();
    scene.universe().run_for(kLong);
    REQUIRE(answer.count == 0);
    REQUIRE(seen_of_data(asker, Step::held));
    REQUIRE_FALSE(seen_of_data(kEast, Step::planned));
    scene.start_write(holder, 3, 1, kNew + 1, beside);
    REQUIRE(scene.run_until_answered(beside));
    REQUIRE(beside.made);
    REQUIRE(scene.command(holder, {{"command", "release"}, {"inode", kRootInode.value}})->contains("ok"));
    REQUIRE(scene.run_until_answered(answer));
    scene.settle();
    require_success(answer);
    REQUIRE(effects_of(scene, Call::overwrite) == 1);
  }
}

TEST_CASE("who waits for whom is shown, and a reservation can be broken by the other site", "[reserve]") {
  Scene scene(10);
  reserve(scene, kEast, Call::overwrite);
  Answer answer;
  scene.start(kWest, Call::overwrite, answer);
  scene.universe().run_for(std::chrono::seconds(3));
  const auto status = scene.command(kWest, {{"command", "status"}});
  REQUIRE(status);
  const json& shown = status->at("reservations");
  INFO(shown.dump());
  REQUIRE(shown.at("count") == 1);
  REQUIRE(shown.at("by") == json{{"east", 1}});
  REQUIRE(shown.at("waiting_count") == 1);
  REQUIRE(shown.at("waiting").at(0).at("reserved_by") == "east");
  REQUIRE(shown.at("waiting").at(0).at("inode") == scene.inode("/data").value);
  REQUIRE(shown.at("waiting").at(0).at("ms") >= 2000);
  json request = request_for(scene, Call::overwrite, "release");
  REQUIRE(scene.command(kWest, request)->contains("error"));
  request["any_site"] = true;
  REQUIRE(scene.command(kWest, request)->contains("ok"));
  REQUIRE(scene.run_until_answered(answer));
  REQUIRE(answer.made);
  scene.settle();
  REQUIRE_FALSE(scene.command(kEast, {{"command", "status"}})->contains("reservations"));
  REQUIRE_FALSE(scene.command(kWest, {{"command", "status"}})->contains("reservations"));
}

TEST_CASE("who is told that a reservation is gone may count on it at both sites", "[reserve]") {
  std::size_t gone = 0;
  for (const std::size_t holder : {kEast, kWest}) {
    for (int moment = 0; moment <= 30; ++moment) {
      INFO("reserved at " << kSites[holder] << ", moment " << moment);
      Scene scene(11);
      reserve(scene, holder, Call::overwrite);
      const json mine = request_for(scene, Call::overwrite, "release");
      json broken = mine;
      broken["any_site"] = true;
      std::optional<json> answers[2];
      scene.start_command(1 - holder, broken, answers[0]);
      scene.universe().run_for(std::chrono::microseconds(30 * moment));
      scene.start_command(holder, mine, answers[1]);
      REQUIRE(scene.universe().run_until([&] { return answers[1].has_value(); }, std::chrono::minutes(1)));
      if (answers[1]->contains("error")) ++gone;
      for (const std::size_t site : {kEast, kWest}) REQUIRE(scene.replica(site).volume.reservations().size() == 0);
      REQUIRE(scene.universe().run_until([&] { return answers[0].has_value(); }, std::chrono::minutes(1)));
    }
  }
  REQUIRE(gone > 0);
}

TEST_CASE("a reservation and those who wait for it outlive the kill of either daemon", "[reserve]") {
  for (const Call call : kCalls) {
    for (const std::size_t holder : {kEast, kWest}) {
      INFO(name_of(call) << ", reserved at " << kSites[holder] << ", whose daemon is killed");
      in_a_child([&] { kill_holder(call, holder); });
    }
  }
}

TEST_CASE("a switchover takes reservations and those who wait for them along", "[reserve]") {
  for (const std::size_t holder : {kEast, kWest}) {
    INFO("reserved at " << kSites[holder]);
    Scene scene(12);
    reserve(scene, holder, Call::overwrite);
    Answer answer;
    scene.start(1 - holder, Call::overwrite, answer);
    scene.universe().run_for(std::chrono::seconds(1));
    for (const std::size_t primary : {kWest, kEast}) {
      const auto switched = scene.command(1 - primary, {{"command", "switchover"}});
      REQUIRE(switched);
      INFO(switched->dump());
      REQUIRE(switched->contains("ok"));
      REQUIRE(scene.universe().run_until([&] { return scene.cluster.in_sync(); }, std::chrono::minutes(1)));
      scene.universe().run_for(kLong);
      REQUIRE(answer.count == 0);
    }
    release(scene, holder, Call::overwrite);
    REQUIRE(scene.run_until_answered(answer));
    scene.settle();
    require_success(answer);
    REQUIRE(effects_of(scene, Call::overwrite) == 1);
  }
}

TEST_CASE("once a reservation is acknowledged nothing of the other site comes to be, whenever it was asked", "[reserve]") {
  // The other site's request begins at each of many moments around the reservation.
  std::size_t before = 0, behind = 0;
  for (const Call call : kCalls) {
    for (const std::size_t holder : {kEast, kWest}) {
      for (int moment = -4; moment <= 8; ++moment) {
        INFO(name_of(call) << ", reserved at " << kSites[holder] << ", moment " << moment);
        Scene scene(static_cast<std::uint64_t>(100 + moment));
        json request = request_for(scene, call, "reserve");
        Answer answer;
        std::optional<json> reserved;
        if (moment < 0) scene.start(1 - holder, call, answer);
        scene.universe().run_for(std::chrono::microseconds(60 * std::abs(moment)));
        scene.start_command(holder, request, reserved);
        if (moment >= 0) {
          scene.universe().run_for(std::chrono::microseconds(60 * moment));
          scene.start(1 - holder, call, answer);
        }
        REQUIRE(scene.universe().run_until([&] { return reserved.has_value(); }, std::chrono::minutes(1)));
        REQUIRE(reserved->contains("ok"));
        const bool done = answer.count == 1;
        // The asker's directory is locked in its kernel while it waits: the holder looks.
        const char* path = call == Call::overwrite ? "/data" : call == Call::append ? "/records" : call == Call::create ? "/names/new" : "/names/to";
        const std::optional<std::string> then = scene.content(holder, path);
        scene.universe().run_for(kLong);
        REQUIRE(scene.content(holder, path) == then);
        REQUIRE(simulator::difference(scene.cluster) == std::nullopt);
        if (done) REQUIRE(answer.made);
        (answer.count == 1 ? before : behind) += 1;
        release(scene, holder, call);
        REQUIRE(scene.run_until_answered(answer));
        scene.settle();
        require_success(answer);
        REQUIRE(effects_of(scene, call) == 1);
      }
    }
  }
  REQUIRE(before > 0);
  REQUIRE(behind > 0);
}
