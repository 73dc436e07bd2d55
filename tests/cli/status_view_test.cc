#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include "control/members.h"
#include "bin/status_view.h"
#include "bin/trace_view.h"
#include "bin/units.h"

namespace lockstep::cli {
namespace {

using Catch::Matchers::Contains;
using Catch::Matchers::StartsWith;
using nlohmann::json;

json in_sync() {
  return json::parse(R"({"volume": "demo", "site": "east", "state": "in-sync", "reason": "", "epoch": 3, "primary": "east",
    "role": "primary", "in_sync": ["east", "west"], "seq": 42,
    "sites": [{"name": "east", "address": "10.0.0.1:7400", "connected": true, "in_sync": true, "applied_seq": 42, "since_seconds": 90},
              {"name": "west", "address": "10.0.0.2:7400", "connected": true, "in_sync": true, "applied_seq": 41, "since_seconds": 8000,
               "last_seen_ms": 12}],
    "requests_pending": 2, "oldest_pending_ms": 7, "window_effects": 1, "window_bytes": 4096,
    "log": {"used": 4096, "bytes": 67108864}, "area": {"blocks": 100, "free_blocks": 50, "bytes": 409600, "free_bytes": 204800},
    "memory_bytes": 104857600})");
}

TEST_CASE("A volume in sync is called safe in the first line") {
  const std::string screen = render_status(in_sync());
  CHECK_THAT(screen, StartsWith("SAFE: both sites hold every acknowledged write\n"));
  CHECK_THAT(screen, Contains("to do: nothing"));
  CHECK_THAT(screen, Contains("2 requests under way, the oldest for 7 ms"));
  CHECK_THAT(screen, Contains("200.0 KiB of 400.0 KiB free"));
  CHECK_THAT(screen, Contains("12 ms ago"));
}

TEST_CASE("A volume that is not mounted is mentioned, with how to mount it") {
  json status = in_sync();
  status["mount"] = {{"path", "/srv/data"}, {"mounted", true}, {"problem", ""}};
  CHECK_THAT(render_status(status), Contains("to do: nothing"));
  status["mount"]["mounted"] = false;
  CHECK_THAT(render_status(status), StartsWith("SAFE:") && !Contains("to do: nothing") && Contains("what programs write to /srv/data is not in it") &&
                                        Contains("lockstep --site east mount"));
  status["mount"]["problem"] = "mount point /srv/data: not a directory";
  CHECK_THAT(render_status(status), Contains("  to do: the volume is not mounted at this site: mount point /srv/data: not a directory\n"));
  status["state"] = "alone";
  CHECK_THAT(render_status(status), Contains("not a directory\n") && Contains("to do: bring"));
}

TEST_CASE("Reservations are counted by site, with who waits for them") {
  json status = in_sync();
  CHECK_THAT(render_status(status), !Contains("reserved"));
  status["reservations"] = json::parse(R"({"count": 3, "by": {"east": 2, "west": 1}, "waiting_count": 0, "waiting": []})");
  CHECK_THAT(render_status(status), Contains("  reserved: 2 by east, 1 by west (lockstep reserve --list)\n"));
  status["reservations"]["waiting_count"] = 2;
  status["reservations"]["waiting"] = json::parse(R"([{"request": "west-9", "reserved_by": "east", "inode": 7, "ms": 12}])");
  CHECK_THAT(render_status(status), Contains("1 by west; 2 requests here wait for a reservation of east, for 12 ms (lockstep"));
}

TEST_CASE("What was discarded is said to be where it is kept, and how far the copy is") {
  json status = in_sync();
  CHECK_THAT(render_status(status), !Contains("kept aside"));
  status["keeping"] = json::parse(R"({"changes": 3, "of": 10, "bytes": 4096})");
  status["kept_aside"] = json::parse(R"(["/area/discarded"])");
  CHECK_THAT(render_status(status), Contains("  kept aside: 3 of 10 changes so far, 4.0 KiB; changes wait\n"));
  CHECK_THAT(render_status(status), Contains("  kept aside: what was discarded is in /area/discarded; remove it when nobody needs it any more\n"));
}

TEST_CASE("A site that is away is named, with what to do") {
  json status = in_sync();
  status["state"] = "suspended";
  status["reason"] = "west does not answer at 10.0.0.2:7400; start its lockstepd or mend the network";
  status["sites"][1]["connected"] = false;
  const std::string screen = render_status(status);
  CHECK_THAT(screen, StartsWith("WAITING: reads and writes wait for west; nothing acknowledged is lost\n"));
  CHECK_THAT(screen, Contains("to do: west does not answer at 10.0.0.2:7400; start its lockstepd"));
  CHECK_THAT(screen, Contains("do not format or remove either"));
}

TEST_CASE("A site that goes on alone after a divergence does not say that the other one is away") {
  json status = in_sync();
  status["state"] = "alone";
  status["peer"] = "west";
  CHECK_THAT(render_status(status), StartsWith("AT RISK"));
  status["diverged"] = true;
  const std::string screen = render_status(status);
  CHECK_THAT(screen, StartsWith("DIVERGED: east goes on, and west was changed apart"));
  CHECK_THAT(screen, Contains("each area holds writes that the other has not"));
}

TEST_CASE("Every state that a daemon may answer has its own word") {
  json status = in_sync();
  const auto word = [&](const char* state) {
    status["state"] = state;
    const std::string screen = render_status(status);
    return screen.substr(0, screen.find(':'));
  };
  CHECK(word("in-sync") == "SAFE");
  CHECK(word("connecting") == "WAITING");
  CHECK(word("catching-up") == "WAITING");
  CHECK(word("suspended") == "WAITING");
  CHECK(word("stopping") == "STOPPING");
  CHECK(word("something new") == "UNKNOWN");
}

TEST_CASE("An answer with missing members or other types is shown, not a crash") {
  for (const char* answer : {"{}", R"({"state": 7, "sites": 3, "area": [], "log": "x", "seq": -1})", R"({"sites": [1, "x", {}], "seq": 1e300})", "[]"}) {
    INFO(answer);
    CHECK_THAT(render_status(json::parse(answer)), StartsWith("UNKNOWN"));
  }
}

TEST_CASE("An area with less than a twentieth free is called nearly full") {
  json status = in_sync();
  status["area"]["free_bytes"] = 20479;
  CHECK_THAT(render_status(status), Contains("NEARLY FULL"));
  status["area"]["free_bytes"] = 20480;
  CHECK_THAT(render_status(status), !Contains("NEARLY FULL"));
}

TEST_CASE("A step of a trace keeps what this program does not know") {
  const std::string line = render_step(json::parse(R"({"at_us": 1000002, "request": "west/7", "site": "east", "step": "exclusive",
    "object": "inode 5", "range": "blocks 0+1", "status": "neither -> exclusive", "seq": 9})"));
  CHECK_THAT(line, Contains("1.000002  west/7"));
  CHECK_THAT(line, Contains("neither -> exclusive seq=9"));
  CHECK_THAT(render_step(json::parse("[1]")), Contains("0.000000"));
}

TEST_CASE("A row of a profile shows a dash for what was not measured") {
  CHECK_THAT(render_profile(json::parse(R"({"path": "W1", "site": "east", "step": "mirror", "us": 12.34, "syscalls": 1, "count": 5})")),
             Contains("12.3        1.0          -        -        5"));
}

TEST_CASE("Sizes and times are short") {
  CHECK(human_bytes(1023) == "1023 B");
  CHECK(human_bytes(1536) == "1.5 KiB");
  CHECK(human_bytes(~0ull) == "16.0 EiB");
  CHECK(human_ms(999) == "999 ms");
  CHECK(human_ms(1900) == "1.9 s");
  CHECK(human_ms(125000) == "2 min 5 s");
  CHECK(human_ms(3725000ull * 2) == "2 h 4 min");
  CHECK(human_ms(86400000ull * 3) == "3 days");
}

}  // namespace
}  // namespace lockstep::cli
