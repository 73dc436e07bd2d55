#include "fuse/listings.h"

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>

namespace lockstep::fuse {

using namespace runtime;

namespace {

constexpr std::size_t kPageEntries = 256;
constexpr std::uint64_t kDotCookie = 1, kDotDotCookie = 2;
/// Bytes of an entry before its name, in the kernel's format.
constexpr std::uint64_t kPlainBytes = 24, kPlusBytes = 152;

std::uint64_t entry_bytes(bool plus, const std::string& name) {
  return ((plus ? kPlusBytes : kPlainBytes) + name.size() + 7) / 8 * 8;
}

}  // namespace

void Listings::start(HostRequest request) {
  const std::uint64_t unique = request.unique;
  state_.saw_lock_of(request.inode);
  state_.launch(unique, readdir(std::move(request)));
}

std::vector<volume::Entry> Listings::kept(const HostRequest& request, std::uint64_t cookie) const {
  const auto it = pages_.find(request.handle);
  if (it == pages_.end()) return {};
  const Page& page = *it->second;
  if (page.from == cookie) return page.entries;
  const auto at = std::find_if(page.entries.begin(), page.entries.end(),
                               [cookie](const volume::Entry& e) { return e.cookie == cookie; });
  if (at == page.entries.end()) return {};
  return {at + 1, page.entries.end()};
}

ListedEntry Listings::dot(const HostRequest&, const char* name, InodeId inode, std::uint64_t cookie) const {
  ListedEntry entry;
  entry.name = name;
  entry.cookie = cookie;
  entry.entry.attributes.inode = inode;
  entry.entry.attributes.mode = S_IFDIR;
  return entry;
}

Task<void> Listings::readdir(HostRequest request) {
  bool answered = false;
  while (!answered) {
    if (!state_.serving.now()) {
      const bool served = co_await state_.served(request);
      if (!served) co_return;
    }
    answered = co_await readdir_in(state_.serving.period(), request);
  }
}

Task<bool> Listings::readdir_in(std::uint64_t period, const HostRequest& request) {
  InodeId parent = request.inode;
  while (request.offset < kDotDotCookie) {
    auto found = state_.volume.parent(request.inode);
    if (found.value() != nullptr) parent = *found.value();
    if (found.miss() == nullptr) break;  // an error: a directory that was removed is its own parent
    const bool loaded = co_await load_or_answer(state_, request, std::move(*found.miss()));
    if (!loaded) co_return true;
  }
  std::uint64_t cookie = request.offset > kDotDotCookie ? request.offset : 0;
  for (;;) {
    if (!state_.serving.still(period)) co_return false;
    std::vector<volume::Entry> entries;
    // From the start means: as it is now.
    if (request.offset > kDotDotCookie) entries = kept(request, cookie);
    if (entries.empty()) {
      auto listed = co_await state_.volume.list(request.inode, cookie, kPageEntries);
      if (!state_.serving.still(period)) co_return false;
      if (!listed) {
        state_.answer_error(request, state_.errno_of(listed.error(), request));
        co_return true;
      }
      entries = std::move(*listed);
      const auto page = std::make_shared<Page>();
      page->from = cookie;
      page->entries = entries;
      pages_[request.handle] = page;
    }
    const bool end = entries.empty();
    volume::Miss miss;
    Step step = answer(request, parent, entries, miss);
    while (step == Step::missing) {
      const bool loaded = co_await load_or_answer(state_, request, std::exchange(miss, {}));
      if (!loaded) co_return true;
      if (!state_.serving.still(period)) co_return false;
      step = answer(request, parent, entries, miss);
    }
    if (step == Step::answered) co_return true;
    if (end) {
      (void)state_.kernel.reply(request.unique, ListingReply{{}, request.plus, request.size});
      co_return true;
    }
    cookie = entries.back().cookie;
  }
}

Listings::Step Listings::answer(const HostRequest& request, InodeId parent, const std::vector<volume::Entry>& entries,
                                volume::Miss& miss) {
  ListingReply reply{{}, request.plus, request.size};
  std::uint64_t used = 0;
  bool full = false;
  const auto add = [&](ListedEntry entry) {
    used += entry_bytes(request.plus, entry.name);
    full = used > request.size;
    if (!full) reply.entries.push_back(std::move(entry));
  };
  if (request.offset < kDotCookie) add(dot(request, ".", request.inode, kDotCookie));
  if (request.offset < kDotDotCookie) add(dot(request, "..", parent, kDotDotCookie));
  for (const volume::Entry& listed : entries) {
    if (full) break;
    ListedEntry entry;
    entry.name = listed.name;
    entry.cookie = listed.cookie;
    entry.entry.attributes.inode = listed.inode;
    entry.entry.attributes.mode = listed.type;
    if (request.plus) {
      auto found = state_.volume.lookup(request.inode, listed.name);
      if (found.miss() != nullptr) {
        // All that is missing is asked for at once; until then this entry counts with its size only.
        auto& keys = found.miss()->keys;
        miss.keys.insert(miss.keys.end(), std::make_move_iterator(keys.begin()), std::make_move_iterator(keys.end()));
        add(std::move(entry));
        continue;
      }
      if (found.value() == nullptr) continue;
      entry.entry = state_.entry_of(*found.value(), request.inode);
    }
    add(std::move(entry));
  }
  if (!miss.keys.empty()) return Step::missing;
  if (reply.entries.empty() && !full) return Step::nothing;
  if (reply.entries.empty()) {
    state_.answer_error(request, EINVAL);  // no room for one name
    return Step::answered;
  }

  const auto counted = [&](const ListedEntry& e) { return request.plus && e.name != "." && e.name != ".."; };
  for (const ListedEntry& e : reply.entries) {
    if (counted(e)) state_.inodes.count(e.entry.attributes.inode, e.entry.attributes.mode);
  }
  if (request.plus && !state_.is_contended(request.inode)) state_.inodes.name_handed_out(request.inode);
  state_.inodes.listed(request.inode);
  state_.listing_answered_at = state_.world.clock.now();
  const std::size_t taken = state_.kernel.reply(request.unique, reply).value_or(0);
  for (std::size_t i = 0; i < reply.entries.size(); ++i) {
    const ListedEntry& entry = reply.entries[i];
    if (!counted(entry)) continue;
    if (i < taken) {
      state_.told(request, entry.name);
    } else {
      state_.inodes.forget(entry.entry.attributes.inode, 1);
    }
  }
  return Step::answered;
}

}  // namespace lockstep::fuse
