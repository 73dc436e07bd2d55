// small_daemon.h - a file system of a few lines that answers at once, for tests of what the kernel keeps of it.
//
// Tests change its nodes behind the kernel's back and look whether hosts see that before and after a drop.
#pragma once

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "sim/kernel.h"

namespace lockstep::sim {

struct SmallDaemon final : runtime::HostHandler {
  struct Node {
    std::uint32_t mode = S_IFREG | 0644;
    std::string bytes;
    std::map<std::string, std::uint64_t> names;
  };

  explicit SmallDaemon(SimKernel& k) : kernel(k) { nodes[1].mode = S_IFDIR | 0755; }

  void handle(runtime::HostRequest request) override {
    if (held.contains(request.op)) {
      waiting.push_back(std::move(request));
      return;
    }
    answer(request);
  }
  void forget(InodeId, std::uint64_t) override {}
  void unmounted(bool) override {}
  /// Answers what was held back.
  void let_go() {
    held.clear();
    for (const auto& request : std::exchange(waiting, {})) answer(request);
  }

  runtime::EntryReply entry(std::uint64_t inode) {
    runtime::EntryReply reply;
    reply.attributes.inode = InodeId{inode};
    reply.attributes.mode = nodes[inode].mode;
    reply.attributes.size = nodes[inode].bytes.size();
    reply.attributes_valid = reply.entry_valid = std::chrono::hours(1);
    return reply;
  }

  void answer(const runtime::HostRequest& r) {
    using runtime::HostOp;
    Node& node = nodes[r.inode.value];
    const std::string name(r.name);
    runtime::HostReply reply = runtime::ErrorReply{0};
    const auto child = node.names.find(name);
    switch (r.op) {
      case HostOp::lookup:
        if (child == node.names.end())
          reply = runtime::ErrorReply{ENOENT};
        else
          reply = entry(child->second);
        break;
      case HostOp::getattr:
        reply = runtime::AttributesReply{entry(r.inode.value).attributes, std::chrono::hours(1)};
        break;
      case HostOp::setattr:
        if (r.change.size_set) node.bytes.resize(r.change.size);
        reply = runtime::AttributesReply{entry(r.inode.value).attributes, std::chrono::hours(1)};
        break;
      case HostOp::create:
      case HostOp::mkdir:
        node.names[name] = next;
        if (r.op == HostOp::mkdir) nodes[next].mode = S_IFDIR | 0755;
        if (r.op == HostOp::mkdir)
          reply = entry(next);
        else
          reply = runtime::CreateReply{entry(next), opening};
        ++next;
        break;
      case HostOp::link:
        node.names[name] = r.other.value;
        reply = entry(r.other.value);
        break;
      case HostOp::open:
      case HostOp::opendir: reply = opening; break;
      case HostOp::read: {
        const std::size_t from = std::min<std::size_t>(r.offset, node.bytes.size());
        reply = runtime::DataReply{std::as_bytes(std::span(node.bytes))
                                       .subspan(from, std::min<std::size_t>(r.size, node.bytes.size() - from))};
        break;
      }
      case HostOp::write:
        node.bytes.resize(std::max<std::size_t>(node.bytes.size(), r.offset + r.data.size()));
        std::copy_n(reinterpret_cast<const char*>(r.data.data()), r.data.size(),
                    node.bytes.begin() + static_cast<std::ptrdiff_t>(r.offset));
        reply = runtime::CountReply{r.data.size()};
        break;
      case HostOp::readdir: {
        runtime::ListingReply listing;
        listing.plus = true;
        listing.size = r.size;
        std::uint64_t cookie = 0;
        for (const auto& [n, inode] : node.names) {
          if (++cookie > r.offset) listing.entries.push_back({n, cookie, entry(inode)});
        }
        reply = listing;
        break;
      }
      case HostOp::unlink:
      case HostOp::rmdir: node.names.erase(name); break;
      case HostOp::rename:
        nodes[r.other.value].names[std::string(r.other_name)] = child->second;
        node.names.erase(name);
        break;
      default: break;
    }
    kernel.reply(r.unique, reply);
  }

  SimKernel& kernel;
  runtime::OpenReply opening{.handle = 7, .keep_cache = true};
  std::map<std::uint64_t, Node> nodes;
  std::uint64_t next = 2;
  std::set<runtime::HostOp> held;
  std::vector<runtime::HostRequest> waiting;
};

}  // namespace lockstep::sim
