// What this site has of its own after a divergence, and its end; lockstep(1), "divergence" and "resolve".
#include <fmt/chrono.h>

#include "control/members.h"
#include "controller/room.h"
#include "core/log.h"
#include "resync/changes_since.h"
#include "site/site.h"

namespace lockstep::site {
namespace {

using nlohmann::json;

constexpr const char* kKeepNothing = "none";

/// "20260131T235959Z"
std::string date_of(WallTime now) { return fmt::format("{:%Y%m%dT%H%M%SZ}", fmt::gmtime(static_cast<std::time_t>(now.value / 1'000'000'000))); }

json numbers_of(const resync::Kept& kept) {
  return {{"changes", kept.changes}, {"of", kept.of}, {"objects", kept.objects}, {"bytes", kept.bytes},
          {"damaged", kept.damaged}, {"lost", kept.lost}, {"xattrs_not_taken", kept.xattrs}};
}

std::string text_of(const resync::Kept& kept) {
  std::string text = fmt::format("{} files and directories, {} bytes, are kept in {}", kept.objects, kept.bytes, kept.where);
  if (kept.damaged > 0) text += fmt::format("; {} of them have BAD BLOCKS, which are zeros there", kept.damaged);
  if (kept.lost > 0) text += fmt::format("; {} COULD NOT BE KEPT", kept.lost);
  if (kept.xattrs > 0) text += fmt::format("; {} extended attributes are not taken there", kept.xattrs);
  return text + (kept.damaged + kept.lost + kept.xattrs > 0 ? "; its file \"changes\" says which" : "");
}

json line_of(const resync::Change& change) {
  json line{{"what", std::string(resync::name_of(change.what))}, {"path", change.path}};
  if (!change.in_log) line["forgotten"] = true;
  if (change.inode != kNoInode) line["inode"] = change.inode.value;
  return line;
}

}  // namespace

/// The part of them that begins with the object `from`. Suspends.
runtime::Task<Result<resync::ChangesSince>> Site::changes_of_own(InodeId from, std::function<bool()> ends) {
  const std::optional<Seq> fork = controller_->fork();
  if (!fork) co_return fail(Errc::stopped, "the sites have not diverged any more");
  resync::ChangesQuestion question{.since = *fork, .unsettled = {}, .from = from, .ends = std::move(ends)};
  for (const wire::LazyTimes& times : volume_->unsettled(resync::kChangesAtOnce)) question.unsettled.push_back(times.inode);
  Result<resync::ChangesSince> part = co_await resync::changes_since(area_->log(), world_.keys, std::move(question));
  if (!part && part.error().code != Errc::stopped) part.error().text = "reading what was changed here failed: " + part.error().text;
  co_return part;
}

runtime::Task<json> Site::list_divergence(control::Stream& stream) {
  const std::optional<Seq> fork = controller_->fork();
  if (!fork) co_return json{{"error", "the sites have not diverged, or have not met since this daemon started"}};
  const auto ends = [this, &stream] { return stopping_ || stream.gone().requested(); };
  json answer{{"site", config_.at(self_).name}, {"since_seq", fork->value}, {"effects", nullptr}, {"complete", true}, {"removals_complete", true}};
  std::uint64_t count = 0;
  for (std::optional<InodeId> from = kNoInode; from;) {
    const Result<resync::ChangesSince> part = co_await changes_of_own(*from, ends);
    if (!part) co_return json{{"error", part.error().text}};
    for (const resync::Change& change : part->changes) {
      const bool there = co_await stream.send(json{{"change", line_of(change)}});
      if (!there) co_return json{{"error", "whoever asked has gone"}};
    }
    count += part->changes.size();
    if (answer["effects"].is_null()) answer["effects"] = part->effects;
    answer["complete"] = answer["complete"] && part->complete;
    answer["removals_complete"] = answer["removals_complete"] && part->removals_complete;
    from = part->next;
  }
  answer["changes"] = count;
  co_return answer;
}

runtime::Task<json> Site::resolve(json request, control::Stream& stream) {
  const std::string name = control::text(request, "discard");
  if (name != config_.at(self_).name) {
    co_return json{{"error", fmt::format("the site whose changes go has to be asked itself: lockstep --site {} resolve --discard {}",
                                         name.empty() ? "NAME" : name, name.empty() ? "NAME" : name)}};
  }
  std::string keep = control::text(request, "keep");
  if (keep.empty()) keep = world_.disk.where() + "/" + resync::kDiscardedDirectory;
  std::string failed = co_await controller_->begin_discard();
  if (!failed.empty()) co_return json{{"error", failed}};
  resync::Kept kept;
  if (keep != kKeepNothing) {
    const Result<> done = co_await keep_own(std::move(keep), control::is_true(request, "partly"), stream, kept);
    if (!done) {
      controller_->keep_own();
      log::error("what {} has of its own was not discarded, since it can't be kept aside: {}", name, done.error().text);
      co_return json{{"error", fmt::format("nothing was discarded, the sites are diverged as before: {}. Make room or name another place (--keep DIR), "
                                           "keep what can be kept (--partly), or say that nothing is to be kept (--keep none)", done.error().text)}};
    }
    log::warning("before it is discarded: {}", text_of(kept));
    if (std::ranges::find(kept_, kept.where) == kept_.end()) kept_.push_back(kept.where);
  }
  failed = co_await controller_->discard();
  if (!failed.empty()) co_return json{{"error", kept.where.empty() ? failed : failed + "; " + text_of(kept)}};
  log::warning("what {} has of its own since the sites diverged goes, as an administrator said{}", name, kept.where.empty() ? "; nothing of it was kept" : "");
  json answer{{"ok", true},
              {"text", fmt::format("what {} has of its own goes; it is made equal to the other site when they meet{}", name,
                                   kept.where.empty() ? "" : "; " + text_of(kept))}};
  if (!kept.where.empty()) {
    answer["kept"] = numbers_of(kept);
    answer["kept"]["where"] = kept.where;
  }
  co_return answer;
}

/// Copies what would go into `directory`. Requires: nothing changes. Suspends.
runtime::Task<Result<>> Site::keep_own(std::string directory, bool partly, control::Stream& stream, resync::Kept& kept) {
  if (surroundings_.aside == nullptr) co_return fail(Errc::refused, "there is no place where it could be kept");
  const Seq fork = *controller_->fork();
  const std::string& name = config_.at(self_).name;
  const std::string date = date_of(world_.clock.wall());
  const std::uint64_t epoch = controller_->epoch().value;
  resync::KeepOptions options{.directory = std::move(directory), .partial = fmt::format(".{}.partial", name),
                              .name = fmt::format("{}-epoch-{}-{}", name, epoch, date), .heading = {}, .area_needs = 0, .partly = partly};
  options.heading = {"lockstep discarded 1",
                     fmt::format("volume {}, site {}, epoch {}, effects above {}, kept {}", config_.volume, name, epoch, fork.value, date)};
  // An eighth more than needed: as much as ends a shortage.
  const std::uint64_t needed = controller::room_needed(controller_->room().used, area_->log().bytes());
  options.area_needs = needed + needed / 8;
  log::info("keeping aside what {} has of its own, in {}", name, options.directory);
  keeping_ = &kept;
  const auto ends = [this, &stream] { return stopping_ || stream.gone().requested(); };
  const auto changes = [this, &ends](InodeId from) { return changes_of_own(from, ends); };
  Result<> done = co_await resync::keep_aside({*area_, *volume_, *controller_}, *surroundings_.aside, changes, std::move(options), ends, kept);
  keeping_ = nullptr;
  co_return done;
}

void Site::say_discarded(json& status) const {
  if (keeping_ != nullptr) status["keeping"] = numbers_of(*keeping_);
  if (!kept_.empty()) status["kept_aside"] = kept_;
}

}  // namespace lockstep::site
