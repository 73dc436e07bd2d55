// site.h - one or two sites with a volume each, and short words for what tests do with them.
#pragma once

#include "../catch.h"

#include <cerrno>
#include <memory>
#include <optional>
#include <string>
#include <sys/stat.h>
#include <vector>

#include "area/area.h"
#include "sim/key_value.h"
#include "sim/machine.h"
#include "sim/process.h"
#include "sim/universe.h"
#include "volume/file_volume.h"

namespace lockstep::volume {

template <class T>
runtime::Task<void> keep_result(runtime::Task<T> task, std::shared_ptr<std::optional<T>> out) {
  T result = co_await task;
  out->emplace(std::move(result));
}

/// A machine with a formatted area, and the volume on it.
class Site {
 public:
  Site(sim::Universe& universe, const std::string& name, std::uint64_t blocks)
      : universe_(universe), machine_(universe.add_machine(name)), process_(&machine_.start()) {
    area::FormatOptions options;
    options.volume = "data";
    options.volume_id.bytes.fill(0x11);
    options.site = name;
    options.bytes = blocks * kBlockBytes;
    options.log_bytes = 4u << 20;
    const Result<area::Identity> formatted = run(area::Area::format(world().disk, world().random, options, nullptr, nullptr));
    if (!formatted) FAIL(formatted.error().text);
    REQUIRE(world().keys.apply(Volume::initial_keys(blocks)));
    REQUIRE(run(world().keys.flush()));
    open();
  }

  void open() {
    Result<std::unique_ptr<area::Area>> opened = run(area::Area::open(world(), machine_.boot_id()));
    if (!opened) FAIL(opened.error().text);
    std::shared_ptr<area::Area> shared = std::move(*opened);
    process_->keep(shared);
    area = shared.get();
    REQUIRE(run(area->suspects().mark_all()));
    Result<std::unique_ptr<Volume>> made = run(Volume::open(world(), *area));
    if (!made) FAIL(made.error().text);
    std::shared_ptr<Volume> kept = std::move(*made);
    process_->keep(kept);
    volume = static_cast<FileVolume*>(kept.get());
  }
  /// Ends in order, and starts a process that opens nothing.
  void close() {
    REQUIRE(run(world().keys.flush()));
    REQUIRE(run(area->close()));
    machine_.kill(*process_);
    process_ = &machine_.start();
    area = nullptr;
    volume = nullptr;
  }
  /// Kills the process and starts one that opens nothing.
  void kill() {
    machine_.kill(*process_);
    process_ = &machine_.start();
    area = nullptr;
    volume = nullptr;
  }
  /// Kills the process and starts again.
  void restart() {
    machine_.kill(*process_);
    process_ = &machine_.start();
    open();
  }

  template <class T>
  T run(runtime::Task<T> task) {
    auto out = std::make_shared<std::optional<T>>();
    process_->spawn(keep_result(std::move(task), out));
    REQUIRE(universe_.run_until([&] { return out->has_value(); }, std::chrono::hours(1)));
    return std::move(**out);
  }
  runtime::World& world() { return process_->world(); }
  sim::Machine& machine() { return machine_; }

  /// Asks until nothing is missing. An error of a host comes back as Errc::posix.
  template <class Ask>
  auto get(Ask ask) -> Result<std::remove_reference_t<decltype(*ask().value())>> {
    for (int i = 0; i < 200; ++i) {
      auto attempt = ask();
      if (auto* value = attempt.value()) return std::move(*value);
      if (Error* error = attempt.error()) return std::unexpected(std::move(*error));
      REQUIRE(run(volume->load(std::move(*attempt.miss()))));
    }
    FAIL("an answer is never possible");
    return std::unexpected(Error{});
  }

  area::Area* area = nullptr;
  FileVolume* volume = nullptr;

 private:
  sim::Universe& universe_;
  sim::Machine& machine_;
  sim::Process* process_;
};

/// A primary, and a secondary that applies the same effects; data is written to both.
class Pair {
 public:
  explicit Pair(std::uint64_t seed = 1, std::uint64_t blocks = 8192)
      : universe(seed), a(universe, "north", blocks), b(universe, "south", blocks) {}

  /// Plans and applies. `payload` of a write: as many bytes of `fill` as the operation is long, or these.
  wire::Outcome change(wire::Operation operation, std::string payload = {}) {
    now.value += 1000;
    Result<Planned> planned = a.get([&] { return a.volume->plan(operation, now); });
    if (!planned) FAIL(planned.error().text << " " << planned.error().posix);
    last = std::move(*planned);
    if (last.changes) put_into_force(last.effect, payload);
    return last.effect.outcome;
  }

  void put_into_force(wire::Effect& effect, const std::string& payload) {
    effect.seq = Seq{++seq};
    for (Site* site : {&a, &b}) write(*site, effect, payload);
    if (release_at_once) release(effect);
  }
  void release(const wire::Effect& effect) {
    a.volume->release(effect.freed);
    b.volume->release(effect.freed);
  }

  /// Bytes of a file, as a host of `site` reads them.
  std::string read(Site& site, InodeId inode, std::uint64_t offset, std::uint64_t length) {
    const auto pieces = site.get([&] { return site.volume->map(inode, {offset, length}); });
    REQUIRE(pieces);
    std::string text;
    for (const Piece& piece : *pieces) {
      REQUIRE(piece.offset == offset + text.size());
      if (piece.hole) {
        text.append(piece.length, '\0');
        continue;
      }
      const std::uint64_t first = piece.address / kBlockBytes;
      const std::uint64_t end = (piece.address + piece.length + kBlockBytes - 1) / kBlockBytes;
      std::vector<std::byte> bytes((end - first) * kBlockBytes);
      REQUIRE(site.run(site.area->read({first, end - first}, bytes)));
      text.append(reinterpret_cast<const char*>(bytes.data()) + piece.address % kBlockBytes, piece.length);
    }
    return text;
  }
  std::string read(InodeId inode, std::uint64_t offset, std::uint64_t length) { return read(a, inode, offset, length); }

  // Short words.
  static wire::Operation op(wire::OpKind kind, InodeId inode, std::string name = {}) {
    wire::Operation it;
    it.kind = kind;
    it.inode = inode;
    it.name = std::move(name);
    return it;
  }
  wire::Outcome create(InodeId directory, const std::string& name, std::uint32_t mode = S_IFREG | 0644) {
    wire::Operation it = op(wire::OpKind::create, directory, name);
    it.mode = mode;
    it.exclusive = true;
    if ((mode & S_IFMT) == S_IFLNK) it.text = "target";
    return change(it);
  }
  InodeId file(const std::string& name) { return made(create(kRootInode, name)); }
  InodeId directory(InodeId in, const std::string& name) { return made(create(in, name, S_IFDIR | 0755)); }
  static InodeId made(const wire::Outcome& outcome) {
    REQUIRE(outcome.error == 0);
    REQUIRE(outcome.attributes.inode != kNoInode);
    return outcome.attributes.inode;
  }
  wire::Outcome write(InodeId inode, std::uint64_t offset, const std::string& text) {
    wire::Operation it = op(wire::OpKind::write, inode);
    it.offset = offset;
    it.length = text.size();
    return change(it, text);
  }
  wire::Outcome append(InodeId inode, const std::string& text) {
    wire::Operation it = op(wire::OpKind::write, inode);
    it.append = true;
    it.length = text.size();
    return change(it, text);
  }
  wire::Outcome truncate(InodeId inode, std::uint64_t size) {
    wire::Operation it = op(wire::OpKind::set_attributes, inode);
    it.change.size_set = true;
    it.change.size = size;
    return change(it);
  }
  wire::Outcome allocate(InodeId inode, std::uint64_t offset, std::uint64_t length, std::uint32_t flags) {
    wire::Operation it = op(wire::OpKind::allocate, inode);
    it.offset = offset;
    it.length = length;
    it.flags = flags;
    return change(it);
  }
  wire::Outcome unlink(InodeId directory, const std::string& name) { return change(op(wire::OpKind::unlink, directory, name)); }
  wire::Outcome rmdir(InodeId directory, const std::string& name) { return change(op(wire::OpKind::rmdir, directory, name)); }
  wire::Outcome link(InodeId directory, const std::string& name, InodeId object) {
    wire::Operation it = op(wire::OpKind::link, directory, name);
    it.other = object;
    return change(it);
  }
  wire::Outcome rename(InodeId from, const std::string& name, InodeId to, const std::string& new_name, std::uint32_t flags = 0) {
    wire::Operation it = op(wire::OpKind::rename, from, name);
    it.other = to;
    it.text = new_name;
    it.flags = flags;
    return change(it);
  }
  wire::Outcome set_xattr(InodeId inode, const std::string& name, const std::string& value, std::uint32_t flags = 0) {
    wire::Operation it = op(wire::OpKind::set_xattr, inode, name);
    it.text = value;
    it.flags = flags;
    return change(it);
  }
  /// Trims until it is finished.
  void trim(InodeId inode) {
    while (change(op(wire::OpKind::trim, inode)).value == 1) {
    }
  }
  /// Reaps every orphan.
  void reap() {
    const auto orphans = a.run(a.volume->orphans());
    REQUIRE(orphans);
    if (orphans->empty()) return;
    while (change(reap_of(*orphans)).value == 1) {
    }
  }
  runtime::HostAttributes attributes(InodeId inode) {
    const auto found = a.get([&] { return a.volume->attributes(inode); });
    REQUIRE(found);
    return *found;
  }
  /// Inode 0: ENOENT.
  InodeId lookup(InodeId directory, const std::string& name) {
    const auto found = a.get([&] { return a.volume->lookup(directory, name); });
    if (found) return found->inode;
    REQUIRE(found.error().posix == ENOENT);
    return kNoInode;
  }
  /// Both sites have the same keys.
  void require_equal() {
    REQUIRE(a.machine().key_store().keys() == b.machine().key_store().keys());
    a.volume->check_invariants();
    b.volume->check_invariants();
  }
  std::size_t keys_of(char kind) {
    std::size_t n = 0;
    for (const auto& [key, value] : a.machine().key_store().keys()) n += key[0] == kind ? 1 : 0;
    return n;
  }

  sim::Universe universe;
  Site a, b;
  WallTime now{1'000'000'000};
  std::uint64_t seq = 0;
  bool release_at_once = true;
  Planned last;

 private:
  void write(Site& site, wire::Effect& effect, const std::string& payload) {
    const Bytes bytes = std::as_bytes(std::span(payload.data(), payload.size()));
    for (int i = 0; !effect.writes.empty() && i < 10; ++i) {
      auto composed = site.area->compose(effect.writes, bytes);
      if (!composed) {
        REQUIRE(site.run(site.area->warm(effect.writes)));
        continue;
      }
      REQUIRE(*composed);
      effect.checksums = (*composed)->checksums;
      REQUIRE(site.area->write(**composed));
      break;
    }
    if (!effect.batch.empty()) {
      REQUIRE(site.area->log().append(effect));
      REQUIRE(site.area->log().flush());
      if (site.area->log().bytes_used() > site.area->log().bytes() / 2) {
        REQUIRE(site.run(site.world().keys.flush()));
        REQUIRE(site.run(site.area->log().forget_through(site.volume->applied())));
      }
    }
    const Result<> applied = site.volume->apply(effect);
    if (!applied) FAIL(applied.error().text);
  }
};

inline constexpr std::uint32_t kKeepSizeFlag = 1, kPunchHoleFlag = 2, kZeroRangeFlag = 16;
inline constexpr std::uint64_t kMiB = 1u << 20;

inline std::string pattern(std::size_t bytes, std::uint64_t seed) {
  std::string text(bytes, '\0');
  sim::Prng prng(seed);
  for (char& c : text) c = static_cast<char>(1 + prng.next() % 255);
  return text;
}

}  // namespace lockstep::volume
