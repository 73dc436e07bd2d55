// locks, locks-break: who holds advisory locks of the volume, and taking them away.
#include "control/members.h"
#include "core/log.h"
#include "site/site.h"

namespace lockstep::site {
namespace {

using nlohmann::json;
using wire::LockRequest;
using wire::LockType;

/// The object at `path`, from the root of the volume. Errc::absent, Errc::io. Suspends.
runtime::Task<Result<InodeId>> find_object(volume::Volume& volume, std::string path) {
  InodeId at = kRootInode;
  for (std::size_t first = 0; first < path.size();) {
    const std::size_t end = std::min(path.find('/', first), path.size());
    const std::string name = path.substr(first, end - first);
    first = end + 1;
    if (name.empty() || name == ".") continue;
    auto found = volume.lookup(at, name);
    while (found.miss() != nullptr) {
      const Result<> loaded = co_await volume.load(std::move(*found.miss()));
      if (!loaded) co_return std::unexpected(loaded.error());
      found = volume.lookup(at, name);
    }
    if (found.value() == nullptr) co_return fail(Errc::absent, fmt::format("there is no {} in the volume", path));
    at = found.value()->inode;
  }
  co_return at;
}

}  // namespace

/// One line a lock, held ones first in each file, then who waits, in order.
runtime::Task<json> Site::list_locks(json request, control::Stream& stream) {
  InodeId only = kNoInode;
  if (const std::string path = control::text(request, "path"); !path.empty()) {
    const Result<InodeId> found = co_await find_object(*volume_, path);
    if (!found) co_return json{{"error", found.error().text}};
    only = *found;
  }
  std::vector<std::pair<InodeId, LockRequest>> all;  // as it is now, however long it takes to be told
  for (const auto& [inode, locks] : volume_->locks().files()) {
    if (only != kNoInode && inode != only) continue;
    for (const LockRequest& lock : locks.held()) all.emplace_back(inode, lock);
    for (const LockRequest& lock : locks.waiting()) all.emplace_back(inode, lock);
  }
  for (const auto& [inode, lock] : all) {
    json line{{"inode", inode.value},
              {"site", site_name(lock.owner.site)},
              {"kind", lock.whole ? "flock" : "fcntl"},
              {"type", lock.type == LockType::write ? "write" : "read"},
              {"pid", lock.pid},
              {"waits", lock.wait}};
    if (!lock.whole) {
      line["first"] = lock.first;
      if (lock.last != wire::kLockLastMax) line["last"] = lock.last;
    }
    const bool going = co_await stream.send(json{{"lock", std::move(line)}});
    if (!going) break;
  }
  co_return json{{"ok", true}, {"locks", all.size()}};
}

runtime::Task<json> Site::break_locks(json request) {
  const Result<InodeId> inode = co_await find_object(*volume_, control::text(request, "path"));
  if (!inode) co_return json{{"error", inode.error().text}};
  if (!controller_->writable()) {
    co_return json{{"error", "this site can't change the volume just now: nothing was done; lockstep status says why"}};
  }
  const std::string holder = control::text(request, "holder");
  if (!holder.empty() && !config_.site(holder)) co_return json{{"error", config_.site(holder).error().text}};
  std::uint64_t broken = 0;
  for (std::size_t i = 0; i < config_.sites.size(); ++i) {
    if (!holder.empty() && config_.sites[i].name != holder) continue;
    wire::Outcome outcome;
    do {
      wire::Operation operation;
      operation.kind = wire::OpKind::break_locks;
      operation.inode = *inode;
      operation.lock.owner.site = SiteId{static_cast<std::uint8_t>(i)};
      outcome = co_await controller_->change(std::move(operation), Bytes(), nullptr, nullptr);
      if (outcome.error != 0) co_return json{{"error", fmt::format("after {} locks: errno {}", broken, outcome.error)}};
      broken += outcome.value;
    } while (outcome.value > 0);
  }
  if (broken > 0) log::warning("{} locks and waits on inode {} were broken by an administrator", broken, inode->value);
  co_return json{{"ok", true}, {"text", fmt::format("{} locks and waits were broken", broken)}};
}

}  // namespace lockstep::site
