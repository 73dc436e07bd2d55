// fake_site.h - a mount of the simulated kernel on the host's side, over a volume and changes that a test holds in its hand.
#pragma once

#include "catch.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstring>
#include <deque>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "fuse/host_side.h"
#include "sim/kernel.h"
#include "sim/machine.h"
#include "sim/universe.h"

namespace lockstep::fuse {

using namespace runtime;
using sim::Notification;
using sim::OwnedReply;
using namespace std::chrono_literals;

/// Blocks in memory. A file's bytes stand at its number times kFileBytes.
class FakeArea final : public area::Area {
 public:
  static constexpr std::uint64_t kFileBytes = 4u << 20;
  explicit FakeArea(sim::Process& process) : bytes(16 * kFileBytes), process_(process) {}
  std::vector<std::byte> bytes;
  bool in_memory = true;
  std::set<std::uint64_t> bad;  ///< blocks
  std::uint64_t reads = 0;

  Result<> get(BlockRange blocks, MutableBytes into) {
    for (std::uint64_t b = blocks.first; b < blocks.end(); ++b) {
      if (bad.contains(b)) return fail(Errc::corrupt, "block is bad");
    }
    std::memcpy(into.data(), bytes.data() + blocks.first * kBlockBytes, blocks.count * kBlockBytes);
    return {};
  }
  std::optional<Result<>> try_read(BlockRange blocks, MutableBytes into) override {
    REQUIRE(into.size() == blocks.count * kBlockBytes);
    if (!in_memory) return std::nullopt;
    return get(blocks, into);
  }
  Task<Result<>> read(BlockRange blocks, MutableBytes into) override {
    ++reads;
    co_await process_.delay(100us);
    co_return get(blocks, into);
  }

  // Not of the host's side.
  const area::Identity& identity() const override { std::abort(); }
  bool unclean() const override { std::abort(); }
  bool power_lost() const override { std::abort(); }
  Task<Result<>> power_loss_recorded() override { std::abort(); }
  Task<Result<>> close() override { std::abort(); }
  const std::optional<Error>& failure() const override { std::abort(); }
  const std::string& saved_state() const override { std::abort(); }
  Task<Result<>> save_state(std::string) override { std::abort(); }
  Task<Result<>> read_raw(BlockRange, MutableBytes) override { std::abort(); }
  Task<Result<std::vector<bool>>> check(BlockRange, MutableBytes) override { std::abort(); }
  Task<Result<std::uint64_t>> adopt(BlockRange) override { std::abort(); }
  std::uint64_t stored_checksum(std::uint64_t) const override { std::abort(); }
  Task<Result<std::vector<std::uint64_t>>> stored_checksums(BlockRange) override { std::abort(); }
  std::optional<Result<area::Composed>> compose(std::span<const wire::AreaWrite>, Bytes) override { std::abort(); }
  Task<Result<>> warm(std::vector<wire::AreaWrite>) override { std::abort(); }
  Result<> write(const area::Composed&) override { std::abort(); }
  Task<Result<>> sync(std::vector<ByteRange>, bool) override { std::abort(); }
  area::Log& log() override { std::abort(); }
  area::InFlight& in_flight() override { std::abort(); }
  area::Suspects& suspects() override { std::abort(); }
  const Counters& counters() const override { std::abort(); }

 private:
  sim::Process& process_;
};

class FakeVolume final : public volume::Volume {
 public:
  explicit FakeVolume(sim::Process& process) : process_(process) {
    HostAttributes root;
    root.inode = kRootInode;
    root.mode = S_IFDIR | 0755;
    root.links = 2;
    objects[kRootInode] = root;
  }
  std::map<InodeId, HostAttributes> objects;
  std::map<std::pair<InodeId, std::string>, InodeId> names;
  std::set<InodeId> not_loaded;
  std::set<InodeId> holes;  ///< files that are one hole
  std::uint64_t loads = 0, lists = 0;
  std::uint64_t next = 2;

  InodeId add(const std::string& name, std::uint32_t mode, std::uint64_t size = 0, InodeId directory = kRootInode) {
    HostAttributes a;
    a.inode = InodeId{next++};
    a.mode = mode;
    a.links = name.empty() ? 0 : 1;
    a.size = size;
    objects[a.inode] = a;
    if (!name.empty()) names[{directory, name}] = a.inode;
    return a.inode;
  }

  Task<Result<>> load(volume::Miss miss) override {
    ++loads;
    REQUIRE(!miss.keys.empty());
    co_await process_.delay(50us);
    not_loaded.clear();
    co_return Result<>{};
  }
  volume::Attempt<HostAttributes> attributes(InodeId inode) override {
    if (not_loaded.contains(inode)) return volume::Miss{{"I"}, {}};
    const auto it = objects.find(inode);
    if (it == objects.end()) return fail_posix(ESTALE);
    return it->second;
  }
  volume::Attempt<HostAttributes> lookup(InodeId directory, std::string_view name) override {
    const auto it = names.find({directory, std::string(name)});
    if (it == names.end()) return fail_posix(ENOENT);
    return attributes(it->second);
  }
  volume::Attempt<InodeId> parent(InodeId) override { return kRootInode; }
  volume::Attempt<std::vector<volume::Piece>> map(InodeId inode, ByteRange range) override {
    if (not_loaded.contains(inode)) return volume::Miss{{"E"}, {}};
    std::vector<volume::Piece> pieces;
    const std::uint64_t end = std::min(range.end(), objects.at(inode).size);
    if (range.offset < end) {
      pieces.push_back({range.offset, end - range.offset, inode.value * FakeArea::kFileBytes + range.offset, holes.contains(inode)});
    }
    return pieces;
  }
  volume::Attempt<std::uint64_t> seek(InodeId, std::uint64_t offset, bool data) override { return data ? offset : offset + 1; }
  volume::Attempt<std::string> symlink_target(InodeId) override { return std::string("target"); }
  volume::Attempt<std::string> xattr(InodeId, std::string_view name) override {
    if (name != "user.a") return fail_posix(ENODATA);
    return std::string("value");
  }
  Task<Result<std::string>> xattr_names(InodeId) override { co_return std::string("user.a\0", 7); }
  Task<Result<std::vector<volume::Entry>>> list(InodeId directory, std::uint64_t cookie, std::size_t limit) override {
    ++lists;
    co_await process_.delay(20us);
    std::vector<volume::Entry> out;
    for (const auto& [key, inode] : names) {
      const std::uint64_t place = 16 + inode.value;
      if (key.first != directory || place <= cookie) continue;
      out.push_back({key.second, inode, objects.at(inode).mode & S_IFMT, place});
    }
    std::sort(out.begin(), out.end(), [](const auto& a, const auto& b) { return a.cookie < b.cookie; });
    if (out.size() > limit) out.resize(limit);
    co_return out;
  }
  volume::Statistics statistics() const override { return {1000, 400, objects.size()}; }

  // Not of the host's side.
  Seq applied() const override { std::abort(); }
  std::vector<volume::Turn> turns(const wire::Operation&) override { std::abort(); }
  volume::Attempt<volume::Planned> plan(const wire::Operation&, WallTime) override { std::abort(); }
  Result<> apply(const wire::Effect&) override { std::abort(); }
  void release(std::span<const BlockRange>) override { std::abort(); }
  Task<Result<std::vector<InodeId>>> orphans() override { std::abort(); }
  std::vector<wire::LazyTimes> unsettled(std::size_t) const override { std::abort(); }
  Result<> apply_raw(const wire::KeyBatch&) override { std::abort(); }
  Task<Result<>> reload(Seq) override { std::abort(); }
  bool being_replaced() const override { std::abort(); }

 private:
  sim::Process& process_;
};

/// Carries changes out on the fake volume, when the test lets it.
class FakeChanges final : public controller::Changes {
 public:
  FakeChanges(sim::Process& process, FakeVolume& volume, FakeArea& area)
      : go(process), readable(process), volume_(volume), area_(area) {
    go.set();
    readable.set();
  }
  Event go;        ///< reset: changes wait
  Event readable;  ///< reset: direct reads wait
  std::vector<wire::Operation> asked;
  std::vector<InodeId> closed;
  int error = 0;

  Task<wire::Outcome> change(wire::Operation o, Bytes payload, std::shared_ptr<Lease> lease) override {
    asked.push_back(o);
    co_await go.wait();
    wire::Outcome out;
    out.error = error;
    if (error != 0) co_return out;
    switch (o.kind) {
      case wire::OpKind::write: {
        HostAttributes& a = volume_.objects.at(o.inode);
        out.offset = o.append ? a.size : o.offset;
        out.value = payload.size();
        std::memcpy(area_.bytes.data() + o.inode.value * FakeArea::kFileBytes + out.offset, payload.data(), payload.size());
        a.size = std::max(a.size, out.offset + payload.size());
        out.attributes = a;
        break;
      }
      case wire::OpKind::create: {
        const auto there = volume_.names.find({o.inode, o.name});
        out.existed = !o.anonymous && there != volume_.names.end();
        if (out.existed && o.exclusive) {
          out.error = EEXIST;
        } else {
          const InodeId inode = out.existed ? there->second : volume_.add(o.anonymous ? "" : o.name, o.mode, 0, o.inode);
          out.attributes = volume_.objects.at(inode);
        }
        break;
      }
      case wire::OpKind::unlink: volume_.names.erase({o.inode, o.name}); break;
      case wire::OpKind::set_attributes: {
        HostAttributes& a = volume_.objects.at(o.inode);
        if (o.change.size_set) a.size = o.change.size;
        if (o.change.mode_set) a.mode = o.change.mode;
        out.attributes = a;
        break;
      }
      default: break;
    }
    co_return out;
  }
  Task<void> wait_readable(InodeId, ByteRange) override { co_await readable.wait(); }
  bool readable_here(BlockRange) const override { return true; }
  Task<Result<>> read_elsewhere(BlockRange, MutableBytes) override { co_return fail(Errc::corrupt, "bad there, too"); }
  std::uint64_t moment() const override { return 0; }
  bool written_since(std::uint64_t, InodeId) const override { return false; }
  void orphan_closed(InodeId inode) override { closed.push_back(inode); }

  [[nodiscard]] std::size_t count(wire::OpKind kind) const {
    return static_cast<std::size_t>(std::count_if(asked.begin(), asked.end(), [kind](const auto& o) { return o.kind == kind; }));
  }

 private:
  FakeVolume& volume_;
  FakeArea& area_;
};

/// One site's mount.
struct FakeSite {
  explicit FakeSite(HostOptions options = HostOptions())
      : universe(1), process(universe.add_machine("alpha").start()), area(process), volume(process),
        changes(process, volume, area), host(process.world(), area, volume, changes, options) {
    REQUIRE(kernel().mount(host).has_value());
    host.open();
  }
  ~FakeSite() {
    changes.go.set();
    changes.readable.set();
    process.spawn(kernel().unmount());
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
