// forgotten_changes.h - which objects effects changed that a log forgets while the other site has not got them.
//
// Two sites that were changed apart have diverged, and an administrator is to see all of what one of them has of its own before it goes. The log says it
// until it needs the room. A site whose peer is no member therefore writes down, before it forgets records, which objects they changed: keys of this site
// only (keys_format.h, kOwnKey). No time is asked, so no clock that jumps takes anything away.
//
//   (1) Of every object that an effect behind the first seq of kOwnKey changed, up to the second one, a key says so. Objects that are gone have none.
//   (2) A key too many, or with a later effect than the true one, makes a list longer, never wrong.
//   (3) What was forgotten and not written down, both sites had: a log forgets only what the other site has stable, or what was written down. So where the
//       log begins later than kOwnKey ends, all before its beginning was at both, and nothing that is written down counts.
//   (4) Where the log lost records that the metadata have (a medium that failed), nobody can tell what they changed: kOwnKey has a gap from then on.
//
// Bounded by the objects that there are: a key of some 20 bytes for each that was changed, two for a directory, be it changed once or a million times.
// A name that is gone is not kept, only that its directory lost one: it holds nothing that could be lost, and there is no bound for them.
//
// Cost: records are read once more before they are forgotten, by a site that works alone.
#pragma once

#include <optional>

#include "area/area.h"
#include "runtime/key_value.h"

namespace lockstep::controller {

/// Writes down which objects the records up to `through` changed: stable with the next flush of `keys`, which must come before the log forgets them.
/// One at a time. Errc::io, Errc::corrupt. Suspends.
runtime::Task<Result<>> note_forgotten(area::Log& log, runtime::KeyValue& keys, Seq through);
/// Takes everything away that was written down. Errc::io. Suspends.
runtime::Task<Result<>> drop_forgotten(runtime::KeyValue& keys);
/// The log lost records up to `through`, which nobody can write down any more. Errc::io. Suspends.
runtime::Task<Result<>> note_gap(runtime::KeyValue& keys, Seq through);
/// All that this site has of its own behind `since`, if the two parted no earlier, is behind the answer, which may be later: in the log, or written down.
/// nullopt: some of it is not known. Errc::io. Suspends.
runtime::Task<Result<std::optional<Seq>>> own_since(area::Log& log, runtime::KeyValue& keys, Seq since);

}  // namespace lockstep::controller
