#include "resync/changes_since.h"

#include "../volume/site.h"

using namespace lockstep;
using namespace lockstep::resync;
using volume::Pair;

namespace {

std::vector<std::string> listed(Pair& pair, Seq since, bool complete = true, std::vector<InodeId> unsettled = {}) {
  const Result<ChangesSince> found =
      pair.a.run(changes_since(pair.a.area->log(), pair.a.world().keys, since, std::move(unsettled)));
  REQUIRE(found);
  CHECK(found->complete == complete);
  CHECK_FALSE(found->cut_short);
  std::vector<std::string> lines;
  for (const Change& change : found->changes) lines.push_back(std::string(name_of(change.what)) + " " + change.path);
  return lines;
}

using Lines = std::vector<std::string>;

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

TEST_CASE("a log that has forgotten the first changes lists the others, and says so") {
  Pair pair;
  const Seq since{pair.seq};
  pair.file("forgotten");
  REQUIRE(pair.a.run(pair.a.world().keys.flush()));
  REQUIRE(pair.a.run(pair.a.area->log().forget_through(Seq{pair.seq})));
  pair.file("remembered");
  CHECK(listed(pair, since, false) == Lines{"made /remembered"});
}
