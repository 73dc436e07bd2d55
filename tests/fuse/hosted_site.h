// hosted_site.h - a site's mount with applications on it, that is closed and opened.
#pragma once

#include "fake_site.h"

#include <memory>

#include "sim/host.h"

namespace lockstep::fuse {

/// A site with applications on it.
struct HostedSite : FakeSite {
  explicit HostedSite(std::uint64_t seed = 1, HostOptions options = HostOptions()) : FakeSite(std::move(options), seed), applications(process.machine().start("applications")), app(applications) {}

  void close(bool& done) { process.spawn(closed(done)); }
  Task<void> closed(bool& done) {
    co_await host.close();
    done = true;
  }
  void close_now() {
    bool done = false;
    close(done);
    REQUIRE(universe.run_until([&] { return done; }, 1s));
  }
  /// Starts a call of an application; its result comes into what is returned.
  template <class T>
  std::optional<T>& call(Task<T> task) {
    auto into = std::make_shared<std::optional<T>>();
    kept.push_back(into);
    applications.spawn(keep(std::move(task), *into));
    return *into;
  }
  template <class T>
  static Task<void> keep(Task<T> task, std::optional<T>& into) {
    into.emplace(co_await std::move(task));
  }
  template <class T>
  T wait_for(Task<T> task) {
    std::optional<T>& result = call(std::move(task));
    REQUIRE(universe.run_until([&] { return result.has_value(); }, 1s));
    return std::move(*result);
  }
  sim::FileHandle open_file(const std::string& path, std::uint32_t flags = O_RDWR) {
    auto file = wait_for(app.open(path, flags, 0644));
    REQUIRE(file.has_value());
    return *file;
  }
  /// A file that the kernel knows, and has open.
  InodeId add_open(const std::string& name, std::uint64_t size) {
    const InodeId inode = volume.add(name, S_IFREG | 0644, size);
    lookup(name);
    ask_for<runtime::OpenReply>(request(runtime::HostOp::open, inode));
    return inode;
  }
  void put(InodeId inode, std::uint64_t offset, const std::string& text) {
    std::memcpy(area.bytes.data() + inode.value * FakeArea::kFileBytes + offset, text.data(), text.size());
  }
  /// What this machine's kernel keeps, in words; empty: nothing.
  std::string kept_by_kernel() {
    const auto mount = kernel().mounted();
    std::string out;
    for (const auto& [inode, known] : mount->inodes()) {
      if (!known.pages.empty()) out += fmt::format("{} pages of inode {}; ", known.pages.size(), inode.value);
      if (mount->cached_attributes(inode) != nullptr) out += fmt::format("attributes of inode {}; ", inode.value);
    }
    for (const auto& [key, inode] : volume.names) {
      if (mount->cached_name(key.first, key.second)) out += fmt::format("name {}; ", key.second);
    }
    return out;
  }

  sim::Process& applications;
  sim::Host app;
  std::vector<std::shared_ptr<void>> kept;
};

}  // namespace lockstep::fuse
