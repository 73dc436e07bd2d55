// fakes.h - a volume, an area and changes that a test holds in its hand, in any world.
#pragma once

#include "catch.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "area/area.h"
#include "controller/changes.h"
#include "runtime/world.h"
#include "volume/volume.h"

namespace lockstep::fuse {

using namespace runtime;
using namespace std::chrono_literals;

/// Suspends for `time`.
inline Task<void> delay(Clock& clock, Duration time) {
  Stop never;
  (void)co_await clock.sleep_until(clock.now() + time, never);
}

/// Blocks in memory. A file's bytes stand at its number times kFileBytes.
class FakeArea final : public area::Area {
 public:
  static constexpr std::uint64_t kFileBytes = 4u << 20;
  explicit FakeArea(World& world) : bytes(16 * kFileBytes), go(world.scheduler), clock_(world.clock) { go.set(); }
  std::vector<std::byte> bytes;
  bool in_memory = true;
  std::set<std::uint64_t> bad;  ///< blocks
  Event go;                     ///< reset: reads that are not in memory wait
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
    Result<> got = get(blocks, into);  // what stands there when it begins
    co_await delay(clock_, 100us);
    co_await go.wait();
    co_return got;
  }

  // Not of the host's side.
  const area::Identity& identity() const override { std::abort(); }
  bool unclean() const override { std::abort(); }
  Task<Result<>> close() override { std::abort(); }
  Task<Result<>> close_doubtful() override { std::abort(); }
  Task<Result<>> read_raw(BlockRange, MutableBytes) override { std::abort(); }
  Task<Result<std::vector<bool>>> check(BlockRange, MutableBytes) override { std::abort(); }
  Task<Result<std::uint64_t>> adopt(BlockRange) override { std::abort(); }
  bool power_lost() const override { std::abort(); }
  Task<Result<>> power_loss_recorded() override { std::abort(); }
  const std::optional<Error>& failure() const override { std::abort(); }
  const std::string& saved_state() const override { std::abort(); }
  Task<Result<>> save_state(std::string) override { std::abort(); }
  area::Suspects& suspects() override { std::abort(); }
  std::uint64_t stored_checksum(std::uint64_t) const override { std::abort(); }
  Task<Result<std::vector<std::uint64_t>>> stored_checksums(BlockRange) override { std::abort(); }
  std::optional<Result<area::Composed>> compose(std::span<const wire::AreaWrite>, Bytes, std::span<const std::uint64_t>) override {
    std::abort();
  }
  Task<Result<>> warm(std::vector<wire::AreaWrite>) override { std::abort(); }
  Result<> write(const area::Composed&) override { std::abort(); }
  Task<Result<>> sync(std::vector<ByteRange>, bool) override { std::abort(); }
  area::Log& log() override { std::abort(); }
  area::InFlight& in_flight() override { std::abort(); }
  const Counters& counters() const override { std::abort(); }

 private:
  Clock& clock_;
};

class FakeVolume final : public volume::Volume {
 public:
  explicit FakeVolume(World& world) : clock_(world.clock) {
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
  volume::Reservations reserved;
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

  InodeId next_inode() const override { return InodeId{next}; }
  void pass_over_lost_inodes(Epoch) override {}
  Task<Result<>> load(volume::Miss miss) override {
    ++loads;
    REQUIRE(!miss.keys.empty());
    co_await delay(clock_, 50us);
    not_loaded.clear();
    co_return Result<>{};
  }
  void hold_growth(bool) override {}
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
  volume::Attempt<volume::Home> home(InodeId) override { return volume::Home{}; }
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
    co_await delay(clock_, 20us);
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
  volume::LockTable table;
  const volume::LockTable& locks() const override { return table; }
  volume::Statistics statistics() const override { return {1000, 400, objects.size()}; }

  // Not of the host's side.
  Seq applied() const override { std::abort(); }
  std::vector<volume::Turn> turns(const wire::Operation&) override { std::abort(); }
  volume::Attempt<volume::Planned> plan(const wire::Operation&, WallTime, SiteId) override { std::abort(); }
  volume::Attempt<std::vector<volume::Turn>> touched(const wire::Operation&) override { std::abort(); }
  [[nodiscard]] const volume::Reservations& reservations() const override { return reserved; }
  Result<> apply(const wire::Effect&) override { std::abort(); }
  void release(std::span<const BlockRange>) override { std::abort(); }
  Task<Result<std::vector<InodeId>>> orphans() override { std::abort(); }
  std::vector<wire::LazyTimes> unsettled(std::size_t) const override { std::abort(); }
  Result<> apply_raw(const wire::KeyBatch&) override { std::abort(); }
  Task<Result<>> reload(Seq) override { std::abort(); }
  bool being_replaced() const override { std::abort(); }

 private:
  Clock& clock_;
};

/// Carries changes out on the fake volume, when the test lets it.
class FakeChanges final : public controller::Changes {
 public:
  FakeChanges(World& world, FakeVolume& volume, FakeArea& area)
      : go(world.scheduler), readable(world.scheduler), link(world.scheduler), volume_(volume), area_(area) {
    go.set();
    readable.set();
    link.set();
  }
  Event go;        ///< reset: changes wait
  Event readable;  ///< reset: direct reads wait
  Event link;      ///< reset: reads elsewhere wait
  std::set<std::uint64_t> pending;    ///< blocks that a resynchronisation has not reached
  std::vector<std::byte> elsewhere;   ///< what the other site has, as the area; empty: nothing can be read there
  std::uint64_t reads_elsewhere = 0, published = 0;
  std::map<InodeId, std::uint64_t> written;  ///< moment of the last effect of each
  std::vector<wire::Operation> asked;
  std::vector<InodeId> closed;
  int error = 0;
  bool in_line = false;  ///< locks have to wait
  bool under_way = false;  ///< what is asked happens, be it that nobody waits for it any more
  bool binds = false;      ///< what is asked is in force at once, be it that it is answered later
  std::size_t went = 0;    ///< waiters
  void waiter_went() override {
    ++went;
    go.notify_all();
  }
  HostAttributes unlinked;  ///< what an unlink took a name of
  InodeId replaced;         ///< by a rename: it has other names
  bool unexpected = false;  ///< of what asks by a name
  std::function<void(InodeId)> made;  ///< a file was, and nobody was told yet

  Task<wire::Outcome> change(wire::Operation o, Bytes payload, std::shared_ptr<Lease> lease, controller::Waiter* waiter) override {
    asked.push_back(o);
    if (waiter != nullptr && binds) waiter->bound = true;
    const auto went_in_vain = [&] { return waiter != nullptr && waiter->gone && !under_way; };
    while (!go.is_set() && !went_in_vain()) co_await go.wait();
    if (went_in_vain()) {
      wire::Outcome none;
      none.error = EINTR;
      co_return none;
    }
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
          if (made && !out.existed) made(inode);
        }
        break;
      }
      case wire::OpKind::unlink:
        volume_.names.erase({o.inode, o.name});
        out.attributes = unlinked;
        out.unexpected = unexpected;
        break;
      case wire::OpKind::rename:
        out.value = replaced.value;
        out.unexpected = unexpected;
        break;
      case wire::OpKind::set_attributes: {
        HostAttributes& a = volume_.objects.at(o.inode);
        if (o.change.size_set) a.size = o.change.size;
        if (o.change.mode_set) a.mode = o.change.mode;
        out.attributes = a;
        break;
      }
      case wire::OpKind::lock: out.value = in_line ? 1 : 0; break;
      default: break;
    }
    co_return out;
  }
  wire::LockOwner lock_owner(std::uint64_t owner) const override { return {SiteId{0}, 7, owner}; }
  Task<void> wait_readable(InodeId, ByteRange) override { co_await readable.wait(); }
  bool readable_here(BlockRange blocks) const override {
    const auto first = pending.lower_bound(blocks.first);
    return first == pending.end() || *first >= blocks.end();
  }
  Task<Result<>> read_elsewhere(BlockRange blocks, MutableBytes into) override {
    REQUIRE(blocks.count <= controller::kElsewhereBlocksMax);
    ++reads_elsewhere;
    if (elsewhere.empty()) co_return fail(Errc::corrupt, "bad there, too");
    const std::vector<std::byte> then(elsewhere.begin() + static_cast<std::ptrdiff_t>(blocks.first * kBlockBytes),
                                      elsewhere.begin() + static_cast<std::ptrdiff_t>(blocks.end() * kBlockBytes));
    co_await link.wait();
    std::memcpy(into.data(), then.data(), then.size());
    co_return Result<>{};
  }
  /// Null: the other site is away.
  std::function<Result<>(BlockRange)> mend;
  Task<Result<>> repair(BlockRange blocks) override {
    if (!mend) co_return fail(Errc::unavailable, "away");
    Result<> done = mend(blocks);
    co_return done;
  }
  /// An effect of the other site changed data of `inode`.
  void publish(InodeId inode) { written[inode] = ++published; }
  std::uint64_t moment() const override { return published; }
  bool written_since(std::uint64_t moment, InodeId inode) const override {
    const auto it = written.find(inode);
    return it != written.end() && it->second > moment;
  }
  void orphan_closed(InodeId inode) override { closed.push_back(inode); }

  [[nodiscard]] std::size_t count(wire::OpKind kind) const {
    return static_cast<std::size_t>(std::count_if(asked.begin(), asked.end(), [kind](const auto& o) { return o.kind == kind; }));
  }

 private:
  FakeVolume& volume_;
  FakeArea& area_;
};

}  // namespace lockstep::fuse
