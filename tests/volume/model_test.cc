// Random operations, by seed, against a model; both sites must end with the same keys and the same bytes.
#include "site.h"

#include "posix_model.h"

using namespace lockstep;
using namespace lockstep::volume;

namespace {

constexpr std::uint64_t kSeeds = 40;

class Run {
 public:
  explicit Run(std::uint64_t seed) : pair_(seed), prng_(seed) {}

  void steps(int n) {
    for (int i = 0; i < n; ++i) step();
  }

  void check_everything() {
    for (const auto& [inode, object] : model_.objects) {
      INFO("inode " << inode.value);
      const runtime::HostAttributes a = pair_.attributes(inode);
      REQUIRE(a.links == object.links);
      REQUIRE(a.mode == object.mode);
      if (object.is_directory()) {
        REQUIRE(a.size == object.entries.size());
        check_listing(inode, object);
      } else if (S_ISREG(object.mode)) {
        REQUIRE(a.size == object.text.size());
        REQUIRE(pair_.read(pair_.a, inode, 0, object.text.size() + 100) == object.text);
        REQUIRE(pair_.read(pair_.b, inode, 0, object.text.size() + 100) == object.text);
        check_seek(inode, object.text);
      }
      for (const auto& [name, value] : object.xattrs)
        REQUIRE(pair_.a.get([&] { return pair_.a.volume->xattr(inode, name); }) == value);
    }
    check_blocks();
    pair_.require_equal();
  }

  /// Removes everything, and finds all space free again.
  void remove_everything() {
    empty(kRootInode);
    for (const auto& [name, value] : model_.objects.at(kRootInode).xattrs)
      expect(pair_.change(Pair::op(wire::OpKind::remove_xattr, kRootInode, name)), 0);
    pair_.reap();
    REQUIRE(pair_.a.volume->statistics().blocks_free == free_);
    REQUIRE(pair_.a.volume->statistics().files == 1);
    for (const char kind : {'D', 'E', 'X', 'R', 'O'}) REQUIRE(pair_.keys_of(kind) == 0);
    REQUIRE(pair_.keys_of('I') == 1);
    pair_.require_equal();
  }

 private:
  std::string name() { return "n" + std::to_string(prng_.below(12)); }
  InodeId any() {
    auto at = model_.objects.begin();
    std::advance(at, static_cast<std::ptrdiff_t>(prng_.below(model_.objects.size())));
    return at->first;
  }
  InodeId directory() {
    for (int i = 0; i < 20; ++i) {
      const InodeId inode = any();
      if (model_.objects.at(inode).is_directory()) return inode;
    }
    return kRootInode;
  }
  InodeId file() {
    for (int i = 0; i < 20; ++i) {
      const InodeId inode = any();
      if (S_ISREG(model_.objects.at(inode).mode)) return inode;
    }
    return any();
  }
  std::uint64_t place(InodeId inode) {
    const std::uint64_t size = model_.objects.at(inode).text.size();
    switch (prng_.below(4)) {
      case 0: return size;
      case 1: return prng_.below(size + 1);
      case 2: return prng_.below(100) * 4096;
      default: return size + prng_.below(30000);
    }
  }
  void expect(const wire::Outcome& outcome, int error) { REQUIRE(outcome.error == error); }

  void step() {
    pair_.universe.note(1);
    switch (prng_.below(16)) {
      case 0: case 1: return create(S_IFREG | 0644);
      case 2: return create(prng_.chance(700) ? S_IFDIR | 0755 : S_IFLNK | 0777);
      case 3: {
        const InodeId d = directory(), f = any();
        const std::string n = name();
        return expect(pair_.link(d, n, f), model_.link(d, n, f));
      }
      case 4: {
        const InodeId d = any();
        const std::string n = name();
        const bool rmdir = prng_.chance(300);
        return expect(rmdir ? pair_.rmdir(d, n) : pair_.unlink(d, n), model_.remove(d, n, rmdir));
      }
      case 5: case 6: {
        const InodeId d = directory(), e = directory();
        const std::string n = name(), m = name();
        const auto flags = static_cast<std::uint32_t>(prng_.chance(600) ? 0 : 1 + prng_.below(2));
        return expect(pair_.rename(d, n, e, m, flags), model_.rename(d, n, e, m, flags));
      }
      case 7: case 8: return write(false);
      case 9: case 10: return write(true);
      case 11: {
        const InodeId f = file();
        const std::uint64_t size = place(f);
        return expect(pair_.truncate(f, size), model_.truncate(f, size));
      }
      case 12: {
        const InodeId f = file();
        const std::uint64_t offset = place(f), length = 1 + prng_.below(40000);
        static constexpr std::uint32_t kFlags[] = {0, 1, 3, 16, 17};
        const std::uint32_t flags = kFlags[prng_.below(5)];
        return expect(pair_.allocate(f, offset, length, flags), model_.allocate(f, offset, length, flags));
      }
      case 13: return xattr();
      case 14: {
        const InodeId f = any();
        if (prng_.chance(500)) return pair_.trim(f);
        return expect(pair_.change(Pair::op(prng_.chance(500) ? wire::OpKind::sync : wire::OpKind::settle, f)), 0);
      }
      default:
        if (prng_.chance(300)) {
          pair_.reap();
          model_.reap();
        } else if (prng_.chance(100)) {
          (prng_.chance(500) ? pair_.a : pair_.b).restart();
        }
    }
  }

  void create(std::uint32_t mode) {
    const InodeId d = any();
    const std::string n = name();
    const wire::Outcome outcome = pair_.create(d, n, mode);
    expect(outcome, model_.create(d, n, mode, outcome.attributes.inode));
  }
  void write(bool append) {
    const InodeId f = file();
    const std::string text = pattern(1 + prng_.below(prng_.chance(500) ? 300 : 30000), prng_.next());
    const std::uint64_t offset = append ? model_.objects.at(f).text.size() : place(f);
    const wire::Outcome outcome = append ? pair_.append(f, text) : pair_.write(f, offset, text);
    expect(outcome, model_.write(f, offset, text));
    if (outcome.error == 0) REQUIRE(outcome.offset == offset);
  }
  void xattr() {
    const InodeId f = any();
    const std::string n = "user." + name();
    auto& xattrs = model_.objects.at(f).xattrs;
    if (prng_.chance(600)) {
      const std::string value = pattern(prng_.below(300), prng_.next());
      expect(pair_.set_xattr(f, n, value), 0);
      xattrs[n] = value;
    } else {
      expect(pair_.change(Pair::op(wire::OpKind::remove_xattr, f, n)), xattrs.contains(n) ? 0 : ENODATA);
      xattrs.erase(n);
    }
  }

  void check_listing(InodeId inode, const PosixModel::Object& object) {
    const auto entries = pair_.a.run(pair_.a.volume->list(inode, 0, 1000));
    REQUIRE(entries);
    REQUIRE(entries->size() == object.entries.size());
    for (const Entry& entry : *entries) {
      REQUIRE(object.entries.at(entry.name) == entry.inode);
      REQUIRE(entry.type == (model_.objects.at(entry.inode).mode & S_IFMT));
      REQUIRE(pair_.lookup(inode, entry.name) == entry.inode);
    }
  }
  /// What seek calls a hole is zeros.
  void check_seek(InodeId inode, const std::string& text) {
    std::uint64_t at = 0;
    while (at < text.size()) {
      const auto data = pair_.a.get([&] { return pair_.a.volume->seek(inode, at, true); });
      const std::uint64_t from = data ? *data : text.size();
      for (std::uint64_t i = at; i < from; ++i) REQUIRE(text[i] == '\0');
      if (!data) break;
      const auto hole = pair_.a.get([&] { return pair_.a.volume->seek(inode, from, false); });
      REQUIRE(hole);
      REQUIRE(*hole > from);
      at = *hole;
    }
  }
  /// E and R keys, inodes and counters tell of the same blocks.
  void check_blocks() {
    std::map<std::uint64_t, std::uint64_t> mapped, owned;  // block -> inode
    std::map<std::uint64_t, std::uint64_t> per_inode;
    const auto& keys = pair_.a.machine().key_store().keys();
    for (const auto& [key, value] : keys) {
      if (key[0] == 'E') {
        const std::uint64_t inode = parse_inode_key(key.substr(0, 9))->value;
        const auto chunk = unpack_chunk(value, 1u << 20);
        REQUIRE(chunk);
        REQUIRE_FALSE(chunk->extents.empty());
        for (const Extent& e : chunk->extents) {
          per_inode[inode] += e.count;
          for (std::uint64_t b = e.address; b < e.address + e.count; ++b) REQUIRE(mapped.emplace(b, inode).second);
        }
      } else if (key[0] == 'R') {
        const auto owner = unpack_owner(value);
        const std::uint64_t block = *parse_block_key(key);
        for (std::uint64_t b = block; b < block + owner->count; ++b) REQUIRE(owned.emplace(b, owner->inode.value).second);
      }
    }
    REQUIRE(mapped == owned);
    REQUIRE(pair_.a.volume->statistics().blocks_free + mapped.size() == free_);
    for (const auto& [key, value] : keys) {
      if (key[0] != 'I') continue;
      const InodeId inode = *parse_inode_key(key);
      REQUIRE(unpack_inode(inode, value)->blocks == per_inode[inode.value]);
    }
  }
  void empty(InodeId inode) {
    while (!model_.objects.at(inode).entries.empty()) {
      const auto [name, child] = *model_.objects.at(inode).entries.begin();
      const bool directory = model_.objects.at(child).is_directory();
      if (directory) empty(child);
      expect(directory ? pair_.rmdir(inode, name) : pair_.unlink(inode, name), model_.remove(inode, name, directory));
    }
  }

  Pair pair_;
  sim::Prng prng_;
  PosixModel model_;
  std::uint64_t free_ = pair_.a.volume->statistics().blocks_free;
};

}  // namespace

TEST_CASE("random operations agree with the model, and both sites with each other") {
  for (std::uint64_t seed = 1; seed <= kSeeds; ++seed) {
    INFO("seed " << seed);
    Run run(seed);
    for (int round = 0; round < 5; ++round) {
      run.steps(120);
      run.check_everything();
    }
    run.remove_everything();
  }
}
