// All rows of what two sites send each other after a reconnection.
#include "controller/catch_up.h"

#include "catch.h"

using namespace lockstep;
using namespace lockstep::controller;

TEST_CASE("every row of the catching-up table") {
  for (const int logs : {-1, 0, 1}) {            // the secondary's log: behind, equal, ahead
    for (const bool met : {false, true}) {       // the primary lives on
      for (const bool restarted : {false, true}) {  // the secondary was restarted
        for (const bool blocks : {false, true}) {   // the primary found blocks in flight
          PrimaryState primary;
          primary.logged = Seq{10};
          primary.met_before = met;
          primary.blocks_in_flight = blocks;
          wire::Hello secondary;
          secondary.logged = Seq{static_cast<std::uint64_t>(10 + logs)};
          secondary.applied = restarted ? Seq{0} : Seq{9};
          CAPTURE(logs, met, restarted, blocks);
          const CatchUp plan = decide(primary, secondary);
          if (logs < 0) REQUIRE(plan.logs == Logs::records);
          if (logs == 0) REQUIRE(plan.logs == Logs::equal);
          if (logs > 0) REQUIRE(plan.logs == (met ? Logs::diverged : Logs::fetch));
          REQUIRE(plan.window == met);
          REQUIRE(plan.window_after == secondary.applied);
          if (!blocks || met) {
            REQUIRE(plan.blocks == BlocksInFlight::none);
          } else {
            REQUIRE(plan.blocks == (restarted ? BlocksInFlight::sent : BlocksInFlight::fetched));
          }
        }
      }
    }
  }
}
