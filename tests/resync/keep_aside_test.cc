#include "resync/keep_aside.h"

#include "../volume/site.h"
#include "controller/forgotten_changes.h"
#include "sim/aside.h"

using namespace lockstep;
using namespace lockstep::resync;
using volume::kMiB;
using volume::Pair;
using volume::pattern;

namespace {

/// Of these tests only repair() is asked, and nothing can be repaired.
class NoRepair final : public controller::Changes {
 public:
  runtime::Task<wire::Outcome> change(wire::Operation, Bytes, std::shared_ptr<runtime::Lease>, controller::Waiter*) override { std::abort(); }
  void waiter_went() override { std::abort(); }
  [[nodiscard]] wire::LockOwner lock_owner(std::uint64_t) const override { std::abort(); }
  runtime::Task<void> wait_readable(InodeId, ByteRange) override { std::abort(); }
  void orphan_closed(InodeId) override { std::abort(); }
  [[nodiscard]] bool readable_here(BlockRange) const override { std::abort(); }
  runtime::Task<Result<>> read_elsewhere(BlockRange, MutableBytes) override { std::abort(); }
  runtime::Task<Result<>> repair(BlockRange blocks) override {
    ++asked;
    co_return fail(Errc::unavailable, "nobody has it");
  }
  [[nodiscard]] std::uint64_t moment() const override { std::abort(); }
  [[nodiscard]] bool written_since(std::uint64_t, InodeId) const override { std::abort(); }
  std::uint64_t asked = 0;
};

struct Scene {
  Pair pair;
  Seq since;
  sim::SimAside aside{static_cast<sim::Process&>(pair.a.world().scheduler)};
  NoRepair repair;
  Kept kept;
  bool partly = false;
  std::function<bool()> ends = [] { return false; };

  void write(InodeId file, std::uint64_t offset, const std::string& text) {
    for (std::uint64_t at = 0; at < text.size(); at += kMiB) REQUIRE(pair.write(file, offset + at, text.substr(at, kMiB)).error == 0);
  }
  void from_here() { since = Seq{pair.seq}; }
  void forget() {
    REQUIRE(pair.a.run(controller::note_forgotten(pair.a.area->log(), pair.a.world().keys, Seq{pair.seq})));
    REQUIRE(pair.a.run(pair.a.world().keys.flush()));
    REQUIRE(pair.a.run(pair.a.area->log().forget_through(Seq{pair.seq})));
  }
  ChangesSince list() {
    Result<ChangesSince> found = pair.a.run(changes_since(pair.a.area->log(), pair.a.world().keys, {.since = since}));
    REQUIRE(found);
    return std::move(*found);
  }
  Result<> keep(const ChangesSince& list) {
    return keep([&list](InodeId) { return answered(list); });
  }
  Result<> keep(std::size_t at_once = kChangesAtOnce) {
    return keep([this, at_once](InodeId from) {
      return changes_since(pair.a.area->log(), pair.a.world().keys, {.since = since, .from = from, .at_once = at_once});
    });
  }
  static runtime::Task<Result<ChangesSince>> answered(ChangesSince list) { co_return list; }
  Result<> keep(NextChanges changes) {
    KeepOptions options{.directory = "/aside", .partial = "partial", .name = "whole", .heading = {"a list"}, .partly = partly};
    return pair.a.run(keep_aside({*pair.a.area, *pair.a.volume, repair}, aside, std::move(changes), std::move(options), ends, kept));
  }
  const sim::AsideObject& at(const std::string& path) {
    const auto tree = aside.trees().find("/aside/whole");
    REQUIRE(tree != aside.trees().end());
    const auto object = tree->second.find(path);
    INFO(path);
    REQUIRE(object != tree->second.end());
    return *object->second;
  }
  /// What stands behind the inode in the list's line of `path`, and before.
  std::string line_of(const std::string& path) {
    const std::string& list = at("changes").bytes;
    const std::size_t found = list.find("\t" + path + "\t");
    if (found == std::string::npos) return "no line";
    const std::size_t from = list.rfind('\n', found) + 1;
    const std::string line = list.substr(from, list.find('\n', found) - from);
    const std::size_t state = line.find('\t'), inode = line.find('\t', state + 1);
    return line.substr(0, inode) + " " + line.substr(line.rfind('\t') + 1);
  }
};

}  // namespace

TEST_CASE("what was made or changed is kept with its bytes, attributes and names, and what was removed is in the list") {
  Scene s;
  const InodeId folder = s.pair.directory(kRootInode, "folder");
  const InodeId old = s.pair.made(s.pair.create(folder, "old"));
  REQUIRE(s.pair.append(old, "before").error == 0);
  s.pair.file("gone");
  s.pair.file("untouched");
  s.from_here();
  REQUIRE(s.pair.append(old, ", after").error == 0);
  REQUIRE(s.pair.set_xattr(old, "user.x", "y").error == 0);
  REQUIRE(s.pair.unlink(kRootInode, "gone").error == 0);
  const InodeId sparse = s.pair.file("sparse");
  const std::string text = pattern(3 * kMiB + 5000, 7);
  s.write(sparse, 20 * kMiB, text);
  REQUIRE(s.pair.truncate(sparse, 30 * kMiB + 1).error == 0);
  REQUIRE(s.pair.link(folder, "again", sparse).error == 0);
  s.pair.made(s.pair.create(kRootInode, "to\tno\nwhere", S_IFLNK | 0777));
  s.pair.made(s.pair.create(kRootInode, "fifo", S_IFIFO | 0640));
  REQUIRE(s.keep());
  CHECK(s.kept.where == "/aside/whole");
  CHECK(s.kept.damaged + s.kept.lost + s.kept.xattrs == 0);
  CHECK(s.kept.bytes == 3 * kMiB + 2 * kBlockBytes + std::string("before, after").size());  // blocks, where a file goes on behind them
  CHECK(s.at("files/folder/old").bytes == "before, after");
  CHECK(s.at("files/folder/old").attributes.mode == (S_IFREG | 0644));
  CHECK(s.at("files/folder/old").attributes.mtime == s.pair.attributes(old).mtime);
  CHECK(s.at("files/folder/old").attributes.xattrs == std::vector<std::pair<std::string, std::string>>{{"user.x", "y"}});
  CHECK(s.at("files/folder").attributes.mtime == s.pair.attributes(folder).mtime);
  CHECK(s.at("files").attributes.mode == (S_IFDIR | s.pair.attributes(kRootInode).mode));
  CHECK(s.at("files/sparse").bytes == std::string(20 * kMiB, '\0') + text + std::string(30 * kMiB + 1 - 20 * kMiB - text.size(), '\0'));
  CHECK(&s.at("files/sparse") == &s.at("files/folder/again"));
  CHECK(s.at("files/to\tno\nwhere").bytes == "target");
  CHECK(s.at("files/fifo").attributes.mode == (S_IFIFO | 0640));
  CHECK_FALSE(s.aside.trees().at("/aside/whole").contains("files/untouched"));
  CHECK(s.at("changes").bytes.starts_with("# a list\n"));
  CHECK(s.line_of("/folder/old") == "changed\tkept ");
  CHECK(s.line_of("/gone") == "removed\t- ");
  CHECK(s.line_of("/to\\tno\\nwhere") == "made\tkept ");
}

TEST_CASE("a bad block stops nothing: it is a hole where it is kept, and the list says which") {
  Scene s;
  s.from_here();
  const InodeId file = s.pair.file("file");
  const std::string text = pattern(10 * kBlockBytes - 100, 3);
  REQUIRE(s.pair.write(file, 0, text).error == 0);
  const auto pieces = s.pair.a.get([&] { return s.pair.a.volume->map(file, {0, text.size()}); });
  REQUIRE(pieces);
  for (const std::uint64_t block : {2u, 3u, 9u}) {
    const auto extents = s.pair.a.world().disk.open("extents");
    REQUIRE(extents);
    const Bytes wrong = std::as_bytes(std::span("wrong"));
    REQUIRE((*extents)->write_now(pieces->at(0).address + block * kBlockBytes, std::span(&wrong, 1)));
  }
  REQUIRE(s.keep());
  std::string expected = text;
  for (const std::size_t block : {2u, 3u, 9u}) {
    const std::size_t from = block * kBlockBytes, until = std::min<std::size_t>(from + kBlockBytes, text.size());
    expected.replace(from, until - from, std::string(until - from, '\0'));
  }
  CHECK(s.at("files/file").bytes == expected);
  CHECK(s.repair.asked == 3);
  CHECK(s.kept.damaged == 1);
  CHECK(s.line_of("/file") == "made\tdamaged unreadable=12188 bytes=8192-16383,36864-40859");
}

TEST_CASE("a list that lacks something is refused, unless it is said that a part will do") {
  Scene s;
  s.from_here();
  s.pair.file("file");
  ChangesSince forgotten = s.list();
  forgotten.complete = false;
  const Result<> refused = s.keep(forgotten);
  REQUIRE_FALSE(refused);
  CHECK(refused.error().code == Errc::refused);
  CHECK(s.aside.trees().empty());
  s.partly = true;
  REQUIRE(s.keep(forgotten));
  CHECK(s.line_of("/file") == "made\tkept ");
  CHECK(s.at("changes").bytes.starts_with("# a list\n# INCOMPLETE"));
}

TEST_CASE("what the log has forgotten is kept like everything else") {
  Scene s;
  const InodeId old = s.pair.made(s.pair.create(s.pair.directory(kRootInode, "folder"), "old"));
  s.pair.file("untouched");
  s.pair.file("gone");
  s.from_here();
  REQUIRE(s.pair.append(old, "bytes").error == 0);
  s.write(s.pair.file("new"), 0, pattern(kMiB, 4));
  REQUIRE(s.pair.link(kRootInode, "again", old).error == 0);
  REQUIRE(s.pair.unlink(kRootInode, "gone").error == 0);
  s.forget();
  REQUIRE(s.keep());
  CHECK(s.at("files/folder/old").bytes == "bytes");
  CHECK(&s.at("files/folder/old") == &s.at("files/again"));
  CHECK(s.at("files/new").bytes == pattern(kMiB, 4));
  CHECK_FALSE(s.aside.trees().at("/aside/whole").contains("files/untouched"));
  CHECK(s.line_of("/new") == "changed\tkept not_in_log");
  CHECK(s.line_of("/(names that the log has forgotten)") == "removed\t- not_in_log");
}

TEST_CASE("a list in parts is kept as a whole") {
  Scene s;
  s.from_here();
  const InodeId folder = s.pair.directory(kRootInode, "folder");
  for (int i = 0; i < 30; ++i) {
    const InodeId file = s.pair.made(s.pair.create(folder, "file-" + std::to_string(i)));
    REQUIRE(s.pair.append(file, std::to_string(i)).error == 0);
    if (i % 7 == 0) REQUIRE(s.pair.link(kRootInode, "link-" + std::to_string(i), file).error == 0);
    if (i == 15) s.forget();
  }
  REQUIRE(s.keep(4));
  for (int i = 0; i < 30; ++i) CHECK(s.at("files/folder/file-" + std::to_string(i)).bytes == std::to_string(i));
  CHECK(&s.at("files/link-21") == &s.at("files/folder/file-21"));
  CHECK(s.at("files/folder").attributes.mtime == s.pair.attributes(folder).mtime);
  CHECK(s.kept.changes == s.kept.of);
  CHECK(s.at("changes").bytes.ends_with("# " + std::to_string(s.kept.changes) + " changes\n"));
}

TEST_CASE("where the room does not suffice nothing is left, be it said before or in the middle") {
  Scene s;
  s.from_here();
  s.write(s.pair.file("a"), 0, pattern(3 * kMiB, 1));
  for (const std::uint64_t room : {2 * kMiB, 3 * kMiB}) {
    s.partly = true;  // which does not help
    s.aside.room = room;
    const Result<> kept = s.keep();
    REQUIRE_FALSE(kept);
    CHECK(kept.error().posix == ENOSPC);
    CHECK(s.aside.trees().empty());
  }
  s.aside.room = 4 * kMiB;
  const auto fills = [&] {
    s.aside.room = kMiB;  // somebody else takes it
    return false;
  };
  s.ends = fills;
  const Result<> kept = s.keep();
  REQUIRE_FALSE(kept);
  CHECK(kept.error().posix == ENOSPC);
  CHECK(s.aside.trees().empty());
}

TEST_CASE("it can be ended at any step, and leaves nothing then") {
  Scene s;
  s.from_here();
  const InodeId folder = s.pair.directory(kRootInode, "folder");
  s.write(s.pair.made(s.pair.create(folder, "file")), 0, pattern(2 * kMiB, 1));
  int last = 0;
  for (int allowed = 0; allowed < 50; ++allowed) {
    int asked = 0;
    s.ends = [&] { return asked++ >= allowed; };
    const Result<> kept = s.keep();
    last = allowed;
    if (kept) break;
    REQUIRE(kept.error().code == Errc::stopped);
    REQUIRE(s.aside.trees().empty());
  }
  CHECK(last > 3);
  CHECK(s.at("files/folder/file").bytes.size() == 2 * kMiB);
}

TEST_CASE("what can't be kept at all stops it, or is named in the list") {
  Scene s;
  s.from_here();
  s.pair.file("file");
  ChangesSince list = s.list();
  list.changes.push_back({Change::What::changed, InodeId{777}, "/nothing"});
  const Result<> refused = s.keep(list);
  REQUIRE_FALSE(refused);
  CHECK(refused.error().code == Errc::refused);
  CHECK(refused.error().text.starts_with("/nothing can't be kept"));
  CHECK(s.aside.trees().empty());
  s.partly = true;
  REQUIRE(s.keep(list));
  CHECK(s.kept.lost == 1);
  CHECK(s.line_of("/nothing").starts_with("changed\tlost error "));
  CHECK(s.line_of("/file") == "made\tkept ");
}

TEST_CASE("extended attributes that are not taken there are counted and named") {
  Scene s;
  s.from_here();
  REQUIRE(s.pair.set_xattr(s.pair.file("file"), "user.x", "y").error == 0);
  s.aside.takes_xattrs = false;
  REQUIRE(s.keep());
  CHECK(s.kept.xattrs == 1);
  CHECK(s.line_of("/file") == "made\tkept xattrs_not_taken=1");
}

TEST_CASE("a field of the list has neither tabs nor newlines, and can be read back") {
  CHECK(escaped("a\\b\tc\nd\x01\x7f\xc3\xa4") == "a\\\\b\\tc\\nd\\x01\\x7f\xc3\xa4");
}
