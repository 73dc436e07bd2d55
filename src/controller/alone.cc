#include "controller/alone.h"

namespace lockstep::controller {

Alone decide_alone(const AloneInput& in) {
  const auto found = [](AloneFinding finding) { return Alone{finding, {}}; };
  if (in.diverged) return found(AloneFinding::diverged);
  if (!in.member) return found(AloneFinding::not_a_member);
  if (in.sole) return found(AloneFinding::sole);
  if (in.unproven) return found(AloneFinding::unproven);
  if (in.left) return found(AloneFinding::left);
  if (!in.arbiter && !(in.primary && in.policy_primary)) return found(AloneFinding::policy_forbids);
  if (in.arbiter && in.promised && !in.primary) return found(AloneFinding::promised);
  const Duration patience = in.peer_timeout + (in.arbiter && !in.primary ? in.takeover_delay : Duration{});
  const Instant until = in.away_since + patience;
  if (in.now < until) return Alone{AloneFinding::waiting, until};
  if (!in.arbiter) return found(AloneFinding::by_policy);
  if (in.armed && in.primary) return found(AloneFinding::armed);
  return found(AloneFinding::ask_arbiter);
}

std::string_view name_of(AloneFinding finding) {
  switch (finding) {
    case AloneFinding::not_a_member: return "not a member";
    case AloneFinding::unproven: return "unproven";
    case AloneFinding::left: return "left";
    case AloneFinding::diverged: return "diverged";
    case AloneFinding::sole: return "sole";
    case AloneFinding::promised: return "promised";
    case AloneFinding::waiting: return "waiting";
    case AloneFinding::armed: return "armed";
    case AloneFinding::ask_arbiter: return "ask arbiter";
    case AloneFinding::by_policy: return "by policy";
    case AloneFinding::policy_forbids: return "policy forbids";
  }
  return "?";
}

}  // namespace lockstep::controller
