#include "sim/mount.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>

#include "core/check.h"
#include "sim/storage.h"

namespace lockstep::sim {
namespace {

using runtime::HostOp;

constexpr Duration kDeliveryMax{5000};
constexpr Duration kEffectMax{20'000};
// What entries of a listing take in the kernel's buffer (fuse_dirent, fuse_direntplus).
constexpr std::uint64_t kEntryBytes = 24;
constexpr std::uint64_t kEntryPlusBytes = 24 + 128;

struct CopiedLease final : runtime::Lease {
  std::string name, other_name, data;
};

}  // namespace

void KernelLock::lock(bool exclusive, std::function<void()> granted) {
  waiting_.emplace_back(exclusive, std::move(granted));
  grant();
}

void KernelLock::unlock(bool exclusive) {
  if (ended_) return;
  CHECK(exclusive ? writer_ : readers_ > 0);
  if (exclusive) {
    writer_ = false;
  } else {
    --readers_;
  }
  grant();
}

void KernelLock::end() {
  ended_ = true;
  grant();
}

void KernelLock::grant() {
  while (!waiting_.empty()) {
    const bool exclusive = waiting_.front().first;
    if (!ended_ && (writer_ || (exclusive && readers_ > 0))) return;
    if (exclusive) {
      writer_ = true;
    } else {
      ++readers_;
    }
    const auto granted = std::move(waiting_.front().second);
    waiting_.pop_front();
    granted();
  }
}

Mount::Mount(Process& daemon, runtime::HostHandler& handler, Prng prng, std::uint64_t first_unique)
    : daemon_(daemon), universe_(daemon.universe()), handler_(handler), prng_(prng), next_unique_(first_unique) {
  inodes_[kRootInode].lookups = 1;
}

void Mount::send(runtime::HostRequest request, Process* caller, Answered answered) {
  ++sent_[static_cast<std::uint64_t>(request.op)];
  if (gone_) {
    universe_.after(Duration::zero(), caller,
                    [answered = std::move(answered)] { answered(OwnedReply{runtime::ErrorReply{ENOTCONN}, nullptr}); });
    return;
  }
  auto lease = std::make_shared<CopiedLease>();
  lease->name = request.name;
  lease->other_name = request.other_name;
  lease->data.assign(reinterpret_cast<const char*>(request.data.data()), request.data.size());
  request.name = lease->name;
  request.other_name = lease->other_name;
  request.data = std::as_bytes(std::span(lease->data));
  request.lease = lease;
  request.unique = next_unique_;
  if (request.caller.pid == 0 && !request.from_cache) request.caller.pid = static_cast<std::uint32_t>(request.unique);
  next_unique_ += 2;
  pending_.emplace(request.unique, Pending{request, caller, std::move(answered), epoch_, version_});
  runtime::HostHandler* handler = &handler_;
  universe_.after(prng_.between(Duration::zero(), kDeliveryMax), &daemon_,
                  [self = shared_from_this(), handler, request] {
                    self->daemon_.when_running([self, handler, request] {
                      if (!self->gone_) handler->handle(request);
                    });
                  });
}

void Mount::signal() {
  for (const auto& [unique, pending] : pending_) signal(unique);
}

void Mount::signal(std::uint64_t unique) {
  universe_.after(prng_.between(Duration::zero(), kDeliveryMax), &daemon_, [self = shared_from_this(), handler = &handler_, unique] {
    self->daemon_.when_running([self, handler, unique] {
      if (!self->gone_) handler->interrupted(unique);
    });
  });
}

std::uint64_t Mount::sent(HostOp op) const {
  const auto it = sent_.find(static_cast<std::uint64_t>(op));
  return it == sent_.end() ? 0 : it->second;
}

std::optional<InodeId> Mount::cached_name(InodeId directory, const std::string& name) const {
  const auto it = names_.find({directory, name});
  if (it == names_.end() || it->second.epoch != epoch_ || it->second.valid_until <= universe_.now())
    return std::nullopt;
  return it->second.inode;
}

const runtime::HostAttributes* Mount::cached_attributes(InodeId inode) {
  const KnownInode* known = find(inode);
  if (known == nullptr || !known->has_attributes || known->valid_until <= universe_.now()) return nullptr;
  return &known->attributes;
}

KnownInode* Mount::find(InodeId inode) {
  const auto it = inodes_.find(inode);
  return it == inodes_.end() ? nullptr : &it->second;
}

std::shared_ptr<KernelLock> Mount::page_lock(InodeId inode, std::uint64_t page) {
  auto& lock = inodes_[inode].page_locks[page];
  if (lock == nullptr) lock = std::make_shared<KernelLock>();
  return lock;
}

std::optional<InodeId> Mount::step_down(InodeId above, InodeId below) {
  InodeId at = below;
  for (const KnownInode* known = find(at); known != nullptr && known->parent != kNoInode; known = find(at)) {
    if (known->parent == above) return at;
    at = known->parent;
  }
  return std::nullopt;
}

bool Mount::put(InodeId inode, InodeId parent) {
  KnownInode& known = inodes_[inode];
  if (!S_ISDIR(known.type) || known.parent == parent) return true;
  if (known.parent != kNoInode) {
    const KnownInode* before = find(known.parent);
    if (rename_lock_->held() || (before != nullptr && !before->lock->readable())) return false;
  }
  if (inode == parent || step_down(inode, parent).has_value()) return false;
  std::erase_if(names_, [&](const auto& entry) { return entry.second.inode == inode; });
  known.parent = parent;
  return true;
}

void Mount::move(const std::optional<InodeId>& inode, InodeId parent) {
  if (inode && is_directory(*inode)) find(*inode)->parent = parent;
}

std::optional<InodeId> Mount::name_of(InodeId directory, const std::string& name) const {
  const auto it = names_.find({directory, name});
  if (it == names_.end()) return std::nullopt;
  return it->second.inode;
}

void Mount::distrust(InodeId inode) {
  KnownInode* known = find(inode);
  if (known == nullptr) return;
  known->valid_until = Instant{};
  known->changed_at = ++version_;
}

void Mount::grow(InodeId inode, std::uint64_t size) {
  KnownInode* known = find(inode);
  if (known == nullptr || known->attributes.size >= size) return;
  known->attributes.size = size;
  distrust(inode);
}

bool Mount::forget(InodeId inode) {
  KnownInode* known = find(inode);
  if (known == nullptr || inode == kRootInode || known->references != 0 || known->lock->held()) return false;
  for (const auto& [number, page] : known->pages) {
    if (page.dirty) return false;
  }
  for (const auto& [number, lock] : known->page_locks) {
    if (lock->held()) return false;
  }
  // A request under way names it; the kernel would not forget it then.
  for (const auto& [unique, pending] : pending_) {
    if (pending.request.inode == inode || pending.request.other == inode) return false;
  }
  std::vector<InodeId> below;
  for (const auto& [other, child] : inodes_) {
    if (child.parent == inode) below.push_back(other);
  }
  if (!std::ranges::all_of(below, [this](InodeId child) { return forget(child); })) return false;
  // A directory stays as long as names in it are kept.
  std::erase_if(names_, [&](const auto& entry) { return entry.second.inode == inode || entry.first.first == inode; });
  const std::uint64_t count = known->lookups;
  inodes_.erase(inode);
  runtime::HostHandler* handler = &handler_;
  if (!gone_) {
    universe_.after(prng_.between(Duration::zero(), kDeliveryMax), &daemon_,
                    [self = shared_from_this(), handler, inode, count] {
                      self->daemon_.when_running([self, handler, inode, count] {
                        if (!self->gone_) handler->forget(inode, count);
                      });
                    });
  }
  return true;
}

std::size_t Mount::forget_all() {
  std::vector<InodeId> all;
  for (const auto& [inode, known] : inodes_) all.push_back(inode);
  const std::size_t before = inodes_.size();
  for (const InodeId inode : all) forget(inode);
  return before - inodes_.size();
}

std::size_t Mount::fitting(const runtime::ListingReply& listing) {
  std::uint64_t used = 0;
  std::size_t taken = 0;
  for (const auto& entry : listing.entries) {
    used += ((listing.plus ? kEntryPlusBytes : kEntryBytes) + entry.name.size() + 7) / 8 * 8;
    if (used > listing.size) break;
    ++taken;
  }
  return taken;
}

std::optional<std::size_t> Mount::reply(std::uint64_t unique, const runtime::HostReply& reply) {
  const auto it = pending_.find(unique);
  if (gone_ || it == pending_.end()) return std::nullopt;
  auto asked = std::make_shared<Pending>(std::move(it->second));
  pending_.erase(it);
  if (asked->caller != nullptr && !asked->caller->alive()) return std::nullopt;

  OwnedReply owned{reply, nullptr};
  std::size_t taken = 0;
  if (auto* data = std::get_if<runtime::DataReply>(&owned.reply)) {
    owned.bytes = std::make_shared<std::string>(reinterpret_cast<const char*>(data->bytes.data()), data->bytes.size());
    data->bytes = std::as_bytes(std::span(*owned.bytes));
  }
  if (auto* listing = std::get_if<runtime::ListingReply>(&owned.reply)) {
    if (listing->size == 0 || listing->size > asked->request.size) listing->size = asked->request.size;
    taken = fitting(*listing);
    listing->entries.resize(taken);
  }
  universe_.after(prng_.between(Duration::zero(), kEffectMax), nullptr, [self = shared_from_this(), asked, owned] {
    const int error = self->take_effect(*asked, owned);
    if (asked->caller != nullptr && !asked->caller->alive()) return;
    asked->answered(error == 0 ? owned : OwnedReply{runtime::ErrorReply{error}, nullptr});
  });
  return taken;
}

void Mount::take_attributes(const runtime::HostAttributes& attributes, Duration valid, std::uint64_t version,
                            bool versioned) {
  KnownInode& known = inodes_[attributes.inode];
  if (versioned && version < known.changed_at) return;
  const std::uint64_t size_before = known.has_attributes ? known.attributes.size : attributes.size;
  known.has_attributes = true;
  known.attributes = attributes;
  known.valid_until = universe_.now() + valid;
  if (attributes.size == size_before) return;
  // Pages behind the new end go, and so does what the last one holds behind it.
  known.pages.erase(known.pages.lower_bound((attributes.size + kPageBytes - 1) / kPageBytes), known.pages.end());
  const auto last = known.pages.find(attributes.size / kPageBytes);
  if (last == known.pages.end()) return;
  const auto from = last->second.bytes.begin() + static_cast<std::ptrdiff_t>(attributes.size % kPageBytes);
  if (attributes.size < size_before) std::fill(from, last->second.bytes.end(), '\0');
}

int Mount::take_entry(const Pending& asked, const runtime::EntryReply& entry, InodeId directory,
                      const std::string& name, bool versioned) {
  const InodeId inode = entry.attributes.inode;
  if (inode == kNoInode) return 0;
  ++inodes_[inode].lookups;
  inodes_[inode].type = entry.attributes.mode & S_IFMT;
  take_attributes(entry.attributes, entry.attributes_valid, asked.version, versioned);
  if (name.empty() || name == "." || name == "..") return 0;  // none that the kernel keeps
  if (!put(inode, directory)) return ELOOP;
  names_[{directory, name}] = CachedName{inode, universe_.now() + entry.entry_valid, asked.epoch};
  return 0;
}

int Mount::take_effect(const Pending& asked, const OwnedReply& reply) {
  const runtime::HostRequest& request = asked.request;
  const std::string name(request.name);
  if (const auto* entry = std::get_if<runtime::EntryReply>(&reply.reply)) {
    const bool lookup = request.op == HostOp::lookup;
    if (lookup) drop_cached_name(request.inode, name);
    const int error = take_entry(asked, *entry, request.inode, name, lookup);
    if (!lookup) distrust(request.inode);
    return error;
  } else if (const auto* created = std::get_if<runtime::CreateReply>(&reply.reply)) {
    take_entry(asked, created->entry, request.inode, name, false);
    distrust(request.inode);
  } else if (const auto* attributes = std::get_if<runtime::AttributesReply>(&reply.reply)) {
    const bool change = request.op == HostOp::setattr;
    const KnownInode* known = find(attributes->attributes.inode);
    const bool raced = known != nullptr && asked.version < known->changed_at;
    if (known != nullptr)
      take_attributes(attributes->attributes, raced ? Duration{} : attributes->valid, asked.version, !change);
    if (change && known != nullptr) inodes_[attributes->attributes.inode].changed_at = ++version_;
  } else if (const auto* listing = std::get_if<runtime::ListingReply>(&reply.reply)) {
    for (const auto& listed : listing->entries) {
      if (!listing->plus || listed.name == "." || listed.name == "..") continue;
      // Names of a listing are as old as the moment at which they are made, as in Linux.
      Pending made = asked;
      made.epoch = epoch_;
      (void)take_entry(made, listed.entry, request.inode, listed.name, true);  // what can't be put there is listed all the same
    }
  } else if (reply.error() == 0) {
    if (request.op == HostOp::unlink || request.op == HostOp::rmdir) {
      if (const auto it = names_.find({request.inode, name}); it != names_.end()) distrust(it->second.inode);
      drop_cached_name(request.inode, name);
      distrust(request.inode);
    } else if (request.op == HostOp::rename) {
      const std::string new_name(request.other_name);
      // What moved, and what made room for it or went the other way, have other links or another time of change.
      const auto moved = name_of(request.inode, name), other = name_of(request.other, new_name);
      if (moved) distrust(*moved);
      if (other) distrust(*other);
      move(moved, request.other);
      const bool exchange = (request.flags & RENAME_EXCHANGE) != 0;
      if (exchange) move(other, request.inode);
      // What the kernel had under the names changes places there, without being looked up, and is believed as long as it was.
      auto from = names_.extract({request.inode, name}), to = names_.extract({request.other, new_name});
      if (from) names_[{request.other, new_name}] = from.mapped();
      if (to && exchange) names_[{request.inode, name}] = to.mapped();
      distrust(request.inode);
      distrust(request.other);
    }
  } else if (request.op == HostOp::lookup && reply.error() == ENOENT) {
    drop_cached_name(request.inode, name);
  }
  return 0;
}

void Mount::cut_off() {
  abort();
  next_epoch();
  for (auto& [inode, known] : inodes_) {
    known.pages.clear();
    known.valid_until = Instant{};
    known.changed_at = ++version_;
  }
}

void Mount::abort() {
  if (std::exchange(gone_, true)) return;
  for (auto& [unique, pending] : std::exchange(pending_, {})) {
    if (pending.caller != nullptr && !pending.caller->alive()) continue;
    universe_.after(Duration::zero(), pending.caller, [answered = std::move(pending.answered)] {
      answered(OwnedReply{runtime::ErrorReply{ENOTCONN}, nullptr});
    });
  }
  std::vector<std::shared_ptr<KernelLock>> locks{rename_lock_};
  for (const auto& [inode, known] : inodes_) {
    locks.push_back(known.lock);
    for (const auto& [page, lock] : known.page_locks) locks.push_back(lock);
  }
  for (const auto& lock : locks) lock->end();
}

}  // namespace lockstep::sim
