#include "controller/catch_up.h"

namespace lockstep::controller {

CatchUp decide(const PrimaryState& primary, const wire::Hello& secondary) {
  CatchUp plan;
  const bool secondary_restarted = secondary.applied == Seq{0};
  if (secondary.logged < primary.logged) plan.logs = Logs::records;
  if (secondary.logged > primary.logged) plan.logs = primary.met_before ? Logs::diverged : Logs::fetch;
  if (primary.blocks_in_flight && !primary.met_before) {
    plan.blocks = secondary_restarted ? BlocksInFlight::sent : BlocksInFlight::fetched;
  }
  plan.window = primary.met_before;
  plan.window_after = secondary.applied;
  return plan;
}

std::string_view name_of(Logs logs) {
  switch (logs) {
    case Logs::equal: return "equal";
    case Logs::records: return "records";
    case Logs::fetch: return "fetch";
    case Logs::diverged: return "diverged";
  }
  return "?";
}

std::string_view name_of(BlocksInFlight blocks) {
  switch (blocks) {
    case BlocksInFlight::none: return "none";
    case BlocksInFlight::fetched: return "fetched";
    case BlocksInFlight::sent: return "sent";
  }
  return "?";
}

}  // namespace lockstep::controller
