// catch_up.h - what two sites have to send each other before they go on: a pure function of what their HELLOs say.
//
//   rule            when                                                    then
//   diverged        the primary lives on and the secondary's log is ahead   nobody serves
//   records         the secondary's log is behind                           primary sends records behind it
//   fetch           the primary was restarted, its log is behind            primary fetches the secondary's records
//   blocks fetched  primary restarted with blocks in flight, secondary not  primary takes the secondary's blocks
//   blocks sent     both restarted, blocks in flight                        primary sends its own, where they are whole
//   window          the primary lives on                                    primary sends overwrites of its window again
#pragma once

#include <string_view>

#include "wire/messages.h"

namespace lockstep::controller {

enum class Logs { equal, records, fetch, diverged };
enum class BlocksInFlight { none, fetched, sent };

struct CatchUp {
  Logs logs = Logs::equal;
  BlocksInFlight blocks = BlocksInFlight::none;
  bool window = false;          ///< overwrites of the window go again,
  Seq window_after;             ///< those behind this seq (0: all)
};

/// What the primary knows of itself.
struct PrimaryState {
  Seq logged;
  bool met_before = false;      ///< it has been in sync since it started
  bool blocks_in_flight = false;
};

/// `secondary` is its HELLO; applied 0 says that it was restarted and applied nothing since.
[[nodiscard]] CatchUp decide(const PrimaryState& primary, const wire::Hello& secondary);

[[nodiscard]] std::string_view name_of(Logs logs);
[[nodiscard]] std::string_view name_of(BlocksInFlight blocks);

}  // namespace lockstep::controller
