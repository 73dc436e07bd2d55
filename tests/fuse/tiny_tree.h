// tiny_tree.h - a file system of a few lines for tests of the real mount: "hello", a link to it, and "slow".
#pragma once

#include "catch.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <map>
#include <string>
#include <vector>

#include "mounting.h"
#include "uring/fuse_kernel.h"

namespace lockstep::uring {
using namespace runtime;
using namespace std::chrono_literals;

inline constexpr InodeId kFile{2}, kTarget{3}, kSlow{4};


class TinyTree final : public HostHandler {
 public:
  FuseKernel* kernel = nullptr;
  std::string content = std::string(300'000, 'x');
  std::string written;
  std::vector<std::uint64_t> held;  ///< lookups of "slow", not answered
  int overtaken = 0;                ///< so many answers to GETATTR are overtaken by a drop of the same attributes
  bool hold_attributes = false;     ///< GETATTR is held, too
  bool aligned = true, gone = false, was_cut_off = false;
  std::map<HostOp, int> seen;
  std::uint32_t umask = 0;
  std::string xattr;  ///< name=value, as it was set last

  static HostAttributes attributes(InodeId inode, std::uint64_t size) {
    HostAttributes a;
    a.inode = inode;
    a.mode = inode == kRootInode ? S_IFDIR | 0755 : inode == kTarget ? S_IFLNK | 0777 : S_IFREG | 0644;
    a.links = 1;
    a.size = size;
    a.btime = WallTime{1'500'000'000'000'000'000};
    a.mtime = WallTime{1'600'000'000'000'000'000};
    return a;
  }
  EntryReply entry(InodeId inode) { return {attributes(inode, inode == kFile ? content.size() : 5), 1h, 1h}; }

  void handle(HostRequest r) override {
    ++seen[r.op];
    switch (r.op) {
      case HostOp::lookup:
        if (r.name == "hello") return answer(r, entry(kFile));
        if (r.name == "link") return answer(r, entry(kTarget));
        if (r.name == "slow") return held.push_back(r.unique);
        return answer(r, EntryReply{});
      case HostOp::getattr:
        if (hold_attributes) return held.push_back(r.unique);
        if (overtaken > 0) {
          --overtaken;
          kernel->drop_attributes(r.inode);
        }
        return answer(r, AttributesReply{attributes(r.inode, r.inode == kFile ? content.size() : 0), 1h});
      case HostOp::readlink: return answer(r, DataReply{std::as_bytes(std::span("hello", 5))});
      case HostOp::open: return answer(r, OpenReply{.handle = 7, .keep_cache = true});
      case HostOp::opendir: return answer(r, OpenReply{.handle = 8, .keep_cache = true, .cache_listing = true});
      case HostOp::read: {
        const auto from = std::min<std::uint64_t>(r.offset, content.size());
        return answer(r, DataReply{std::as_bytes(std::span(content)).subspan(from, std::min(r.size, content.size() - from))});
      }
      case HostOp::write:
        if (r.data.size() >= 4096) aligned = aligned && reinterpret_cast<std::uintptr_t>(r.data.data()) % 4096 == 0;
        written.append(reinterpret_cast<const char*>(r.data.data()), r.data.size());
        return answer(r, CountReply{r.data.size()});
      case HostOp::readdir: {
        ListingReply listing{{}, r.plus, r.size};
        const std::pair<const char*, InodeId> all[] = {{".", kRootInode}, {"..", kRootInode}, {"hello", kFile}, {"link", kTarget}};
        for (std::uint64_t i = r.offset; i < 4; ++i) listing.entries.push_back({all[i].first, i + 1, entry(all[i].second)});
        return answer(r, std::move(listing));
      }
      case HostOp::statfs: return answer(r, StatfsReply{4096, 1000, 500, 10, 5});
      case HostOp::setxattr:
        xattr = std::string(r.name) + "=" + std::string(reinterpret_cast<const char*>(r.data.data()), r.data.size());
        return answer(r, ErrorReply{0});
      case HostOp::mkdir:
        umask = r.caller.umask;
        return answer(r, ErrorReply{EDQUOT});
      case HostOp::tmpfile: return answer(r, ErrorReply{EDQUOT});
      case HostOp::release:
      case HostOp::releasedir:
      case HostOp::setattr:
      case HostOp::fsync: return answer(r, ErrorReply{0});
      default: return answer(r, ErrorReply{ENOSYS});
    }
  }
  void forget(InodeId, std::uint64_t) override {}
  void unmounted(bool cut_off) override {
    gone = true;
    was_cut_off = cut_off;
  }

 private:
  void answer(const HostRequest& r, HostReply reply) { kernel->reply(r.unique, reply); }
};

}  // namespace lockstep::uring
