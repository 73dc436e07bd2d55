// kept_results.h - results.h over a restart, in a key of this site only.
//
// A site that goes on alone, or that makes the other one equal, may have carried out requests of the other site's host whose sender never heard of
// it, and which it asks for again when the two meet. Effects with a batch are in the log, with the id; overwrites are not, and a log forgets. So what is
// known of such requests is written down, stable, before the site's first acknowledgement alone, and before a log forgets what the other site may lack.
// A daemon takes in what stands in its log behind that when it starts. What is written down is dropped before the site is made equal to the other one:
// effects may be taken back then. A site that was killed before it went alone takes it in only when it does go alone; meeting the other one, it drops it:
// overwrites that were in flight may be taken back.
#pragma once

#include <functional>

#include "area/area.h"
#include "controller/results.h"
#include "runtime/key_value.h"

namespace lockstep::controller {

/// Puts what became of requests of `site` up to `through`, if of any, into the keys, in place of what was kept before. True: the keys have changed, and are
/// to be made stable, after what these requests changed. Errc::io. Suspends.
runtime::Task<Result<bool>> put_results(runtime::KeyValue& keys, const Results& results, SiteId site, Seq through);
/// Takes in what an earlier start kept of requests of `site`, beside what is known, and says up to which seq it goes; 0, with a warning, where that is
/// damaged. Errc::io. Suspends.
runtime::Task<Result<Seq>> recall_kept(runtime::KeyValue& keys, Results& results, SiteId site);
/// Takes in the requests of `site` whose effects the log has behind `through`, if `happened` says so. Errc::io, Errc::corrupt. Suspends.
runtime::Task<Result<>> recall_logged(area::Log& log, Results& results, SiteId site, Seq through, std::function<bool(const wire::Effect&)> happened);
/// Nothing is kept any more. True: the keys have changed, and are to be made stable. Errc::io. Suspends.
runtime::Task<Result<bool>> drop_results(runtime::KeyValue& keys);

}  // namespace lockstep::controller
