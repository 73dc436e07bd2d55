// fake_site.h - a mount of the simulated kernel on the host's side, over a volume and changes that a test holds in its hand.
#pragma once

#include "fakes.h"

#include <fcntl.h>

#include <deque>
#include <string>
#include <vector>

#include "fuse/host_side.h"
#include "sim/kernel.h"
#include "sim/machine.h"
#include "sim/universe.h"

namespace lockstep::fuse {

using sim::Notification;
using sim::OwnedReply;

/// One site's mount.
struct FakeSite {
  explicit FakeSite(HostOptions options = HostOptions(), std::uint64_t seed = 1)
      : universe(seed), process(universe.add_machine("alpha").start()), area(process.world()), volume(process.world()),
        changes(process.world(), volume, area), host(process.world(), area, volume, changes, options) {
    REQUIRE(kernel().mount(host).has_value());
    host.open();
  }
  ~FakeSite() {
    changes.go.set();
    changes.readable.set();
    changes.link.set();
    area.go.set();
    process.spawn(host.unmount());
    settle();
    process.spawn(host.stop());
    settle();
    CHECK(host.running() == 0);
  }
  sim::SimKernel& kernel() { return process.kernel(); }
  void settle(Duration time = 20ms) { universe.run_for(time); }

  /// Sends a request; the answer comes into what is returned.
  std::optional<OwnedReply>& send(HostRequest request) {
    replies.emplace_back();
    std::optional<OwnedReply>* into = &replies.back();
    kernel().mounted()->send(std::move(request), nullptr, [into](OwnedReply r) { *into = std::move(r); });
    return *into;
  }
  /// Sends and waits for the answer.
  OwnedReply ask(HostRequest request) {
    std::optional<OwnedReply>& reply = send(std::move(request));
    REQUIRE(universe.run_until([&] { return reply.has_value(); }, 1s));
    settle(1ms);
    return *reply;
  }
  template <class T>
  T ask_for(HostRequest request) {
    const OwnedReply reply = ask(std::move(request));
    INFO("errno " << reply.error());
    REQUIRE(std::holds_alternative<T>(reply.reply));
    return std::get<T>(reply.reply);
  }
  static HostRequest request(HostOp op, InodeId inode, std::string_view name = {}) {
    HostRequest r;
    r.op = op;
    r.inode = inode;
    r.name = name;
    return r;
  }
  static HostRequest read(InodeId inode, std::uint64_t offset, std::uint64_t size, std::uint32_t flags = 0) {
    HostRequest r = request(HostOp::read, inode);
    r.offset = offset;
    r.size = size;
    r.flags = flags;
    r.from_cache = (flags & O_DIRECT) == 0;
    return r;
  }
  static HostRequest write(InodeId inode, std::uint64_t offset, const std::string& data) {
    HostRequest r = request(HostOp::write, inode);
    r.offset = offset;
    r.data = std::as_bytes(std::span(data));
    r.size = data.size();
    return r;
  }
  std::string read_text(InodeId inode, std::uint64_t offset, std::uint64_t size) {
    const OwnedReply reply = ask(read(inode, offset, size));
    REQUIRE(std::holds_alternative<DataReply>(reply.reply));
    return *reply.bytes;
  }
  InodeId lookup(std::string_view name) { return ask_for<EntryReply>(request(HostOp::lookup, kRootInode, name)).attributes.inode; }

  /// Starts the drop of `drops`; `done` says when it ended.
  void drop(std::vector<wire::Drop> drops, bool& done) { process.spawn(dropped(std::move(drops), done)); }
  Task<void> dropped(std::vector<wire::Drop> drops, bool& done) {
    co_await host.drop(std::move(drops));
    done = true;
  }
  std::vector<Notification> notifications(Notification::Kind kind) {
    std::vector<Notification> out;
    for (const Notification& n : kernel().notifications()) {
      if (n.kind == kind) out.push_back(n);
    }
    return out;
  }

  sim::Universe universe;
  sim::Process& process;
  FakeArea area;
  FakeVolume volume;
  FakeChanges changes;
  HostSide host;
  std::deque<std::optional<OwnedReply>> replies;
};

}  // namespace lockstep::fuse
