#include "sim/aside.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <set>

namespace lockstep::sim {
namespace {

using runtime::Task;

constexpr Duration kCall = std::chrono::microseconds(60);

std::unexpected<Error> failed(int error, std::string_view what, const std::string& path) {
  return fail_io(error, fmt::format("cannot {} {}: {}", what, path, std::strerror(error)));
}

class SimTree final : public runtime::AsideTree {
 public:
  SimTree(SimAside& aside, std::string directory, std::string partial)
      : aside_(aside), directory_(std::move(directory)), at_(directory_ + "/" + partial) {}

  Task<Result<runtime::AsideRoom>> room() override {
    co_await aside_.process().delay(kCall);
    co_return runtime::AsideRoom{.free = aside_.room - std::min(aside_.room, aside_.used()), .of_area = false};
  }
  Task<Result<>> make_directory(std::string path) override { return make(std::move(path), S_IFDIR | 0700, {}, 0); }
  Task<Result<>> make_file(std::string path) override {
    file_ = path;
    return make(std::move(path), S_IFREG | 0600, {}, 0);
  }
  Task<Result<>> write(std::uint64_t offset, Bytes bytes) override {
    co_await aside_.process().delay(kCall);
    std::string& into = objects().at(file_)->bytes;
    const std::uint64_t end = std::max<std::uint64_t>(into.size(), offset + bytes.size());
    if (aside_.used() + (end - into.size()) > aside_.room) co_return failed(ENOSPC, "write to", file_);
    into.resize(end);
    std::memcpy(into.data() + offset, bytes.data(), bytes.size());
    co_return Result<>{};
  }
  Task<Result<>> append(std::string path, Bytes bytes) override {
    if (!objects().contains(path)) {
      const Result<> made = co_await make(path, S_IFREG | 0600, {}, 0);
      if (!made) co_return made;
    }
    const std::string file = std::exchange(file_, path);
    const Result<> written = co_await write(objects().at(path)->bytes.size(), bytes);
    file_ = file;
    co_return written;
  }
  Task<Result<>> set_size(std::uint64_t bytes) override {
    co_await aside_.process().delay(kCall);
    objects().at(file_)->bytes.resize(bytes);
    co_return Result<>{};
  }
  Task<Result<>> make_symlink(std::string path, std::string target) override {
    return make(std::move(path), S_IFLNK | 0777, std::move(target), 0);
  }
  Task<Result<>> make_node(std::string path, std::uint32_t mode, std::uint32_t rdev) override {
    return make(std::move(path), (mode & S_IFMT) | 0600, {}, rdev);
  }
  Task<Result<>> make_link(std::string existing, std::string path) override {
    co_await aside_.process().delay(kCall);
    const auto from = objects().find(existing);
    if (from == objects().end()) co_return failed(ENOENT, "make a link to", existing);
    const Result<> free = may_be_made(path);
    if (free) objects().emplace(path, from->second);
    co_return free;
  }
  Task<Result<std::size_t>> set_attributes(std::string path, runtime::AsideAttributes attributes) override {
    co_await aside_.process().delay(kCall);
    const auto object = objects().find(path);
    if (object == objects().end()) co_return failed(ENOENT, "set attributes of", path);
    const std::size_t not_taken = aside_.takes_xattrs ? 0 : attributes.xattrs.size();
    if (not_taken > 0) attributes.xattrs.clear();
    object->second->attributes = std::move(attributes);
    co_return not_taken;
  }
  Task<Result<std::string>> finish(std::string name) override {
    co_await aside_.process().delay(kCall);
    const std::string path = directory_ + "/" + name;
    if (aside_.trees().contains(path)) co_return failed(EEXIST, "give its name to", path);
    auto tree = aside_.trees().extract(at_);
    tree.key() = path;
    aside_.trees().insert(std::move(tree));
    co_return path;
  }
  Task<Result<>> abandon() override {
    co_await aside_.process().delay(kCall);
    aside_.trees().erase(at_);
    co_return Result<>{};
  }

 private:
  AsideObjects& objects() { return aside_.trees().at(at_); }

  Result<> may_be_made(const std::string& path) {
    for (std::size_t from = 0; from <= path.size();) {
      const std::size_t end = std::min(path.find('/', from), path.size());
      const std::string name = path.substr(from, end - from);
      if (name.empty() || name == "." || name == ".." || name.find('\0') != std::string::npos) {
        return fail(Errc::invalid, fmt::format("'{}' is not the name of a file", name));
      }
      if (end < path.size() && !is_directory(path.substr(0, end))) return failed(ENOENT, "make", path);
      from = end + 1;
    }
    if (objects().contains(path)) return failed(EEXIST, "make", path);
    return {};
  }
  bool is_directory(const std::string& path) {
    const auto found = objects().find(path);
    return found != objects().end() && S_ISDIR(found->second->attributes.mode);
  }

  Task<Result<>> make(std::string path, std::uint32_t mode, std::string bytes, std::uint32_t rdev) {
    co_await aside_.process().delay(kCall);
    const Result<> free = may_be_made(path);
    if (!free) co_return free;
    auto object = std::make_shared<AsideObject>();
    object->attributes.mode = mode;
    object->rdev = rdev;
    object->bytes = std::move(bytes);
    objects().emplace(std::move(path), std::move(object));
    co_return Result<>{};
  }

  SimAside& aside_;
  const std::string directory_, at_;
  std::string file_;
};

}  // namespace

std::uint64_t SimAside::used() const {
  std::uint64_t bytes = 0;
  std::set<const AsideObject*> counted;
  for (const auto& [where, objects] : trees_) {
    for (const auto& [path, object] : objects) {
      if (S_ISREG(object->attributes.mode) && counted.insert(object.get()).second) bytes += object->bytes.size();
    }
  }
  return bytes;
}

Task<Result<std::unique_ptr<runtime::AsideTree>>> SimAside::begin(std::string directory, std::string partial) {
  co_await process_.delay(kCall);
  trees_[directory + "/" + partial].clear();
  co_return std::make_unique<SimTree>(*this, std::move(directory), std::move(partial));
}

}  // namespace lockstep::sim
