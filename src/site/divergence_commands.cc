// What this site has of its own after a divergence; lockstep(1), "divergence".
#include "resync/changes_since.h"
#include "site/site.h"

namespace lockstep::site {

using nlohmann::json;

runtime::Task<json> Site::list_divergence(control::Stream& stream) {
  const std::optional<Seq> fork = controller_->fork();
  if (!fork) co_return json{{"error", "the sites have not diverged, or have not met since this daemon started"}};
  std::vector<InodeId> unsettled;
  for (const wire::LazyTimes& times : volume_->unsettled(resync::kChangesMax)) unsettled.push_back(times.inode);
  const Result<resync::ChangesSince> since = co_await resync::changes_since(area_->log(), world_.keys, *fork, std::move(unsettled));
  if (!since) co_return json{{"error", "reading what was changed here failed: " + since.error().text}};
  for (const resync::Change& change : since->changes) {
    json line{{"what", std::string(resync::name_of(change.what))}, {"path", change.path}};
    if (change.inode != kNoInode) line["inode"] = change.inode.value;
    const bool there = co_await stream.send(json{{"change", std::move(line)}});
    if (!there) co_return json{{"error", "whoever asked has gone"}};
  }
  co_return json{{"site", config_.at(self_).name}, {"since_seq", fork->value},        {"changes", since->changes.size()},
                 {"effects", since->effects},      {"complete", since->complete}, {"cut_short", since->cut_short}};
}

}  // namespace lockstep::site
