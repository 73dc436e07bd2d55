// listings.h - READDIR: entries of a directory, with attributes where the kernel asks for them.
//
//   cookie 0 starts, "." has cookie 1, ".." has cookie 2, all others have the volume's cookies (above 15)
//
// A handle keeps a page of entries, so that the next READDIR need not search again; whoever seeks elsewhere gets a new
// page from there. A kept entry may be out of date. A plain listing may say so; a listing with attributes makes names in
// the kernel, so each entry is looked up again in the step that answers, and what has gone is left out.
#pragma once

#include <memory>
#include <unordered_map>
#include <vector>

#include "fuse/mount_state.h"

namespace lockstep::fuse {

class Listings {
 public:
  explicit Listings(MountState& state) : state_(state) {}

  void start(runtime::HostRequest request);
  void closed(std::uint64_t handle) { pages_.erase(handle); }
  /// What is kept is not to be shown any more.
  void clear() { pages_.clear(); }

 private:
  struct Page {
    std::uint64_t from = 0;   ///< the entries stand behind this cookie
    std::vector<volume::Entry> entries;
  };
  enum class Step { answered, missing, nothing };

  runtime::Task<void> readdir(runtime::HostRequest request);
  /// False: hosts were not served any more before it could be answered.
  runtime::Task<bool> readdir_in(std::uint64_t period, const runtime::HostRequest& request);
  /// Entries behind `cookie` that are kept for `request`'s handle; empty: none.
  [[nodiscard]] std::vector<volume::Entry> kept(const runtime::HostRequest& request, std::uint64_t cookie) const;
  [[nodiscard]] runtime::ListedEntry dot(const runtime::HostRequest& request, const char* name, InodeId inode,
                                         std::uint64_t cookie) const;
  /// Nothing: every entry has gone, and there may be more behind `entries`.
  Step answer(const runtime::HostRequest& request, InodeId parent, const std::vector<volume::Entry>& entries,
              volume::Miss& miss);

  MountState& state_;
  std::unordered_map<std::uint64_t, std::shared_ptr<Page>> pages_;  ///< by handle
};

}  // namespace lockstep::fuse
