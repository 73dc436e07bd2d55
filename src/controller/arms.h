// arms.h - what two sites in sync have agreed on while the arbiter is away (M5): the primary goes on if the link is lost, too.
//
//     primary                                              secondary
//     the arbiter does not answer       ASK n ---------->  nor here: it promises not to use the arbiter against the primary
//     it is armed                       <---- PROMISED n   that is recorded
//       ...                                                  ...
//     the arbiter answers (or ANSWERS arrived: it does there)
//     it is armed no longer             RETURNED ------->  the promise is void: that is recorded
//
// An armed primary that loses the secondary records by itself that it goes on alone; a secondary that promised waits for it, whatever the
// arbiter says, or for an administrator. Nobody is armed whom the other site has not promised:
//   - both look for the arbiter just before, so that one that is back since it was last looked for is not taken for lost;
//   - each step is recorded before the next message is sent, and a site that is recording one meets nobody;
//   - a promise is void only in a session in sync, where both know every entry, with a primary that has said there that it is not armed:
//     in its HELLO, or by RETURNED;
//   - a primary that meets a site without a promise (its area is new, or it was forced) gives up the arms before anything else;
//   - whoever is not the primary of the entry in force is not armed.
// tests/model has the same, in membership.pml with -DARMED.
#pragma once

#include "core/types.h"

namespace lockstep::controller {

/// What was said in the session that runs.
struct ArmsTalk {
  std::uint64_t asked = 0;     ///< primary: the number of its ASK; 0: none that counts
  bool promised = false;       ///< primary: that was answered
  std::uint64_t to_answer = 0; ///< secondary: the ASK that waits for its promise; 0: none
  bool peer_armed = false;     ///< the other site may be armed
  Instant not_before;          ///< of the next ASK, or of the next ANSWERS
};

}  // namespace lockstep::controller
