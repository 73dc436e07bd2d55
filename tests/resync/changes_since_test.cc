#include "resync/changes_since.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "../volume/site.h"
#include "controller/forgotten_changes.h"

using namespace lockstep;
using namespace lockstep::resync;
using volume::Pair;

namespace {

using Lines = std::vector<std::string>;

ChangesSince part_of(Pair& pair, ChangesQuestion question) {
  const Result<ChangesSince> found = pair.a.run(changes_since(pair.a.area->log(), pair.a.world().keys, std::move(question)));
  REQUIRE(found);
  return *found;
}

/// "*": the log does not say it any more.
Lines lines_of(const ChangesSince& part) {
  Lines lines;
  for (const Change& change : part.changes) lines.push_back(std::string(name_of(change.what)) + (change.in_log ? " " : "* ") + change.path);
  return lines;
}

/// What the log has so far is forgotten, and `noted` down before.
void forget(Pair& pair, bool noted = true) {
  if (noted) REQUIRE(pair.a.run(controller::note_forgotten(pair.a.area->log(), pair.a.world().keys, Seq{pair.seq})));
  REQUIRE(pair.a.run(pair.a.world().keys.flush()));
  REQUIRE(pair.a.run(pair.a.area->log().forget_through(Seq{pair.seq})));
}

Lines listed(Pair& pair, Seq since, bool complete = true, std::vector<InodeId> unsettled = {}) {
  const ChangesSince found = part_of(pair, {.since = since, .unsettled = std::move(unsettled)});
  CHECK(found.complete == complete);
  CHECK_FALSE(found.next);
  return lines_of(found);
}

}  // namespace

TEST_CASE("what was changed behind an effect is listed by path, and nothing else") {
  Pair pair;
  const InodeId folder = pair.directory(kRootInode, "folder");
  const InodeId old = pair.made(pair.create(folder, "old"));
  pair.file("gone");
  pair.file("untouched");
  const InodeId moved = pair.file("moved");
  const Seq since{pair.seq};
  CHECK(listed(pair, since).empty());
  REQUIRE(pair.append(old, "more").error == 0);
  pair.made(pair.create(folder, "new"));
  REQUIRE(pair.unlink(kRootInode, "gone").error == 0);
  REQUIRE(pair.rename(kRootInode, "moved", folder, "here").error == 0);
  REQUIRE(pair.set_xattr(moved, "user.x", "y").error == 0);
  CHECK(listed(pair, since) ==
        Lines{"made /folder/here", "made /folder/new", "changed /folder/old", "removed /gone", "removed /moved"});
}

TEST_CASE("what came and went is gone, and what an unsettled time belongs to is changed") {
  Pair pair;
  const InodeId kept = pair.file("kept");
  const Seq since{pair.seq};
  pair.file("for a moment");
  REQUIRE(pair.unlink(kRootInode, "for a moment").error == 0);
  const InodeId folder = pair.directory(kRootInode, "folder");
  pair.made(pair.create(folder, "file"));
  REQUIRE(pair.unlink(folder, "file").error == 0);
  REQUIRE(pair.rmdir(kRootInode, "folder").error == 0);
  pair.reap();
  CHECK(listed(pair, since, true, {kept}) ==
        Lines{"removed (a directory that is gone)/file", "removed /folder", "removed /for a moment", "changed /kept"});
}

TEST_CASE("what was forgotten and not written down was at both sites") {
  Pair pair;
  const Seq since{pair.seq};
  pair.file("at both");
  forget(pair, false);
  pair.file("own");
  CHECK(listed(pair, since) == Lines{"made /own"});
  forget(pair);
  CHECK(listed(pair, since) == Lines{"changed* /", "changed* /own"});
}

TEST_CASE("a log that lost the first changes lists the others, and says that it did") {
  Pair pair;
  const Seq since{pair.seq};
  pair.file("lost");
  REQUIRE(pair.a.run(controller::note_gap(pair.a.world().keys, Seq{pair.seq})));
  forget(pair, false);
  const Seq behind{pair.seq};
  pair.file("remembered");
  CHECK(listed(pair, since, false) == Lines{"made /remembered"});
  forget(pair);
  CHECK(listed(pair, since, false) == Lines{"changed* /", "changed* /remembered"});
  CHECK(listed(pair, behind) == Lines{"changed* /", "changed* /remembered"});
  // Both sites have it all now.
  pair.file("at both");
  forget(pair, false);
  CHECK(listed(pair, since).empty());
}

TEST_CASE("where what is written down can't be read, that is said") {
  Pair pair;
  const Seq since{pair.seq};
  pair.file("own");
  forget(pair);
  REQUIRE(pair.a.world().keys.apply({{std::string(volume::kOwnKey), "?"}}));
  CHECK_FALSE(part_of(pair, {.since = since}).complete);
  pair.file("more");
  forget(pair);
  CHECK_FALSE(part_of(pair, {.since = since}).complete);
}

TEST_CASE("every object that the log has forgotten a change of is listed under all its names") {
  Pair pair;
  const InodeId folder = pair.directory(kRootInode, "folder");
  const InodeId quiet = pair.directory(kRootInode, "quiet");
  const InodeId old = pair.made(pair.create(quiet, "old"));
  const InodeId marked = pair.made(pair.create(quiet, "marked"));
  const InodeId moved = pair.file("moved");
  pair.file("untouched");
  pair.file("gone");
  const Seq since{pair.seq};
  REQUIRE(pair.append(old, "more").error == 0);
  REQUIRE(pair.set_xattr(marked, "user.x", "y").error == 0);
  const InodeId fresh = pair.made(pair.create(folder, "new"));
  REQUIRE(pair.link(kRootInode, "again", fresh).error == 0);
  REQUIRE(pair.rename(kRootInode, "moved", folder, "here").error == 0);
  REQUIRE(pair.unlink(kRootInode, "gone").error == 0);
  forget(pair);
  const Lines all{"changed* /", "removed* /(names that the log has forgotten)", "changed* /again", "changed* /folder", "changed* /folder/here",
                  "changed* /folder/new", "changed* /quiet/marked", "changed* /quiet/old"};
  CHECK(listed(pair, since) == all);
  CHECK_FALSE(part_of(pair, {.since = since}).removals_complete);
  // What the log does say it says better, and what is not behind the effect is not listed.
  REQUIRE(pair.link(folder, "third", moved).error == 0);
  const Lines some = listed(pair, since);
  CHECK(std::ranges::count(some, "made /folder/third") == 1);
  CHECK(some.size() == all.size() + 1);
  CHECK(listed(pair, Seq{pair.seq - 1}) == Lines{"made /folder/third"});
  forget(pair);
  CHECK(listed(pair, Seq{pair.seq}).empty());
  CHECK(listed(pair, Seq{pair.seq - 1}) == Lines{"changed* /folder", "changed* /folder/here", "changed* /folder/third"});
  CHECK(part_of(pair, {.since = Seq{pair.seq - 1}}).removals_complete);
}

TEST_CASE("what is written down outlives a restart, and nothing of objects that are gone is left of it") {
  Pair pair;
  const InodeId folder = pair.directory(kRootInode, "folder");
  const Seq since{pair.seq};
  for (int round = 0; round < 3; ++round) {
    pair.made(pair.create(folder, "for a moment"));
    REQUIRE(pair.unlink(folder, "for a moment").error == 0);
    pair.reap();
    forget(pair);
  }
  pair.made(pair.create(folder, "stays"));
  forget(pair);
  pair.a.restart();
  CHECK(listed(pair, since) == Lines{"changed* /folder", "removed* /folder/(names that the log has forgotten)", "changed* /folder/stays"});
  const volume::KeySpan own = volume::all_own();
  const auto kept = pair.a.run(pair.a.world().keys.scan(own.from, own.to, 100, nullptr));
  REQUIRE(kept);
  CHECK(kept->size() == 5);  // how far, the root, the folder, that it lost names, the file
  REQUIRE(pair.a.run(controller::drop_forgotten(pair.a.world().keys)));
  CHECK(listed(pair, since).empty());
}

TEST_CASE("what was written down before something was forgotten without that counts for nothing") {
  Pair pair;
  const Seq first{pair.seq};
  pair.file("first");
  forget(pair);
  const Seq second{pair.seq};
  pair.file("second");
  forget(pair, false);
  const Seq third{pair.seq};
  pair.file("third");
  for (const Seq since : {first, second, third}) CHECK(listed(pair, since) == Lines{"made /third"});
  forget(pair);
  for (const Seq since : {first, second, third}) CHECK(listed(pair, since) == Lines{"changed* /", "changed* /third"});
}

TEST_CASE("a long list comes in parts, which together are the whole list") {
  Pair pair;
  const InodeId folder = pair.directory(kRootInode, "folder");
  for (int i = 0; i < 20; ++i) pair.file(fmt::format("old-{}", i));
  const Seq since{pair.seq};
  for (int i = 0; i < 40; ++i) pair.made(pair.create(folder, fmt::format("new-{}", i)));
  for (int i = 0; i < 20; i += 2) REQUIRE(pair.unlink(kRootInode, fmt::format("old-{}", i)).error == 0);
  for (int i = 0; i < 40; i += 3) REQUIRE(pair.rename(folder, fmt::format("new-{}", i), kRootInode, fmt::format("moved-{}", i)).error == 0);
  const auto together = [&](std::size_t at_once) {
    std::set<std::string> lines;
    std::size_t parts = 0;
    for (std::optional<InodeId> from = kNoInode; from; ++parts) {
      const ChangesSince part = part_of(pair, {.since = since, .from = *from, .at_once = at_once});
      CHECK(part.complete);
      for (const std::string& line : lines_of(part)) lines.insert(line);
      from = part.next;
    }
    CHECK((parts > 1) == (at_once < 1000));
    // A directory is said to be changed where no entry of it is in the same part.
    lines.erase("changed /");
    lines.erase("changed /folder");
    return lines;
  };
  for (const bool forgotten : {false, true}) {
    if (forgotten) forget(pair);
    const std::set<std::string> whole = together(100'000);
    CHECK(whole.size() > 40);
    for (const std::size_t at_once : {1u, 7u, 30u}) CHECK(together(at_once) == whole);
  }
}

TEST_CASE("a list ends where it is told to") {
  Pair pair;
  const Seq since{pair.seq};
  pair.file("file");
  const auto ended = pair.a.run(changes_since(pair.a.area->log(), pair.a.world().keys, {.since = since, .ends = [] { return true; }}));
  REQUIRE_FALSE(ended);
  CHECK(ended.error().code == Errc::stopped);
}
