// touched.h - what an operation would change, as turns that reservations can be compared with.
#pragma once

#include "volume/draft.h"

namespace lockstep::volume {

/// Adds the trees in which the object stands (a directory: itself, too).
Step<> add_trees(Draft& draft, InodeId object, std::vector<wire::Turn>& turns);
/// What `operation` would change: blocks, attributes (of objects that gain or lose a name, all there is of them), and, with
/// `trees`, the trees in which all that stands. Nothing for operations that hosts do not see (sync, trim, reap, settle; times
/// that another site hands over), and for a name that exists already.
Step<std::vector<wire::Turn>> touched(Draft& draft, const wire::Operation& operation, bool trees);

}  // namespace lockstep::volume
