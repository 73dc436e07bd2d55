// Whether the judge of concurrent calls knows what POSIX allows of them, and what not.
#include "bin/simulator/posix_check.h"

#include <cerrno>

#include "catch.h"

namespace lockstep::simulator::posix {
namespace {

using What = Call::What;

constexpr Answer kDone;
constexpr Answer failed(int error) { return {error, std::nullopt}; }
Answer file(std::uint64_t size, std::uint64_t links = 1) { return {0, Attributes{false, 0640, links, size}}; }

Call make(What what, Path path) { return {.what = what, .path = std::move(path), .to = {}, .mode = 0640}; }
Call two(What what, Path from, Path to, std::uint32_t flags = 0) { return {.what = what, .path = std::move(from), .to = std::move(to), .flags = flags}; }
Call truncate(Path path, std::uint64_t size) { return {.what = What::truncate, .path = std::move(path), .to = {}, .size = size}; }

struct Judge {
  Check check{{make(What::make_directory, {"a"}), make(What::make_directory, {"b"})}};
  /// A call that nothing else overlaps.
  bool alone(const Call& call, const Answer& answer) { return !check.ended(check.began(call), answer); }
  bool ends(Check::Id id, const Answer& answer) { return !check.ended(id, answer); }
  bool shows(const Path& path, const std::set<std::string>& names) { return !check.listed(check.began(make(What::list, path)), names); }
};

}  // namespace

TEST_CASE("one call after the other has to say what POSIX says") {
  Judge j;
  CHECK(j.alone(make(What::create, {"a", "x"}), kDone));
  CHECK(j.alone(make(What::create, {"a", "x"}), failed(EEXIST)));
  CHECK(j.alone(make(What::make_directory, {"a", "x", "u"}), failed(ENOTDIR)));
  CHECK(j.alone(make(What::make_directory, {"a", "y", "u"}), failed(ENOENT)));
  CHECK(j.alone(make(What::make_directory, {"b", "d"}), kDone));
  CHECK(j.alone(make(What::create, {"b", "d", "f"}), kDone));
  CHECK(j.alone(make(What::remove_directory, {"b", "d"}), failed(ENOTEMPTY)));
  CHECK(j.alone(make(What::remove, {"b", "d"}), failed(EISDIR)));
  CHECK(j.alone(two(What::link, {"a", "x"}, {"b", "x"}), kDone));
  CHECK(j.alone(truncate({"b", "x"}, 7), kDone));
  CHECK(j.alone(make(What::look, {"a", "x"}), file(7, 2)));
  CHECK(j.alone(two(What::rename, {"a", "x"}, {"b", "x"}), kDone));  // one file: nothing happens
  CHECK(j.alone(two(What::rename, {"b", "d"}, {"b", "d", "e"}), failed(EINVAL)));
  CHECK(j.alone(two(What::rename, {"b", "d"}, {"a", "x"}), failed(ENOTDIR)));
  CHECK(j.alone(two(What::rename, {"a", "x"}, {"b", "d"}, kNoReplace), failed(EEXIST)));
  CHECK(j.alone(two(What::rename, {"a", "x"}, {"b", "d"}, kExchange), kDone));
  CHECK(j.alone(make(What::look, {"b", "d"}), file(7, 2)));
  CHECK(j.shows({"a", "x"}, {"f"}));
  CHECK(j.check.worlds() == 1);
}

TEST_CASE("what was acknowledged is there, and nothing is there twice") {
  SECTION("a size") {
    Judge j;
    CHECK(j.alone(make(What::create, {"a", "x"}), kDone));
    CHECK(j.alone(truncate({"a", "x"}, 5), kDone));
    CHECK_FALSE(j.alone(make(What::look, {"a", "x"}), file(0)));
  }
  SECTION("a name") {
    Judge j;
    CHECK(j.alone(make(What::create, {"a", "x"}), kDone));
    CHECK_FALSE(j.shows({"a"}, {}));
  }
  SECTION("one file removed by two") {
    Judge j;
    CHECK(j.alone(make(What::create, {"a", "x"}), kDone));
    const auto one = j.check.began(make(What::remove, {"a", "x"}));
    const auto two = j.check.began(make(What::remove, {"a", "x"}));
    CHECK(j.ends(one, kDone));
    CHECK_FALSE(j.ends(two, kDone));
  }
  SECTION("one name made by two") {
    Judge j;
    const auto one = j.check.began(make(What::create, {"a", "x"}));
    const auto two = j.check.began(make(What::make_directory, {"a", "x"}));
    CHECK(j.ends(two, kDone));
    CHECK_FALSE(j.ends(one, kDone));
  }
  SECTION("one file that was made, removed, and is there again") {
    Judge j;
    const auto made = j.check.began(make(What::create, {"a", "x"}));
    CHECK(j.alone(make(What::remove, {"a", "x"}), kDone));
    CHECK(j.alone(make(What::create, {"a", "x"}), kDone));
    CHECK_FALSE(j.ends(made, failed(EEXIST)));
  }
}

TEST_CASE("calls that overlap took effect in some order") {
  Judge j;
  CHECK(j.alone(make(What::create, {"a", "x"}), kDone));
  const auto five = j.check.began(truncate({"a", "x"}, 5));
  const auto seven = j.check.began(truncate({"a", "x"}, 7));
  CHECK(j.ends(five, kDone));
  CHECK(j.check.worlds() == 2);
  CHECK(j.ends(seven, kDone));
  SECTION("the one that answered first was the last") { CHECK(j.alone(make(What::look, {"a", "x"}), file(5))); }
  SECTION("or the other one") { CHECK(j.alone(make(What::look, {"a", "x"}), file(7))); }
  SECTION("but not both") {
    CHECK(j.alone(make(What::look, {"a", "x"}), file(5)));
    CHECK_FALSE(j.alone(make(What::look, {"a", "x"}), file(7)));
  }
  SECTION("nor neither") { CHECK_FALSE(j.alone(make(What::look, {"a", "x"}), file(0))); }
}

TEST_CASE("what has no answer yet may be seen, and not be seen by the other site") {
  Judge j;
  const auto made = j.check.began(make(What::create, {"a", "x"}));
  const auto looked = j.check.began(make(What::look, {"a", "x"}));
  CHECK(j.alone(make(What::look, {"a", "x"}), file(0)));
  CHECK(j.ends(looked, failed(ENOENT)));
  CHECK(j.alone(make(What::look, {"a", "x"}), failed(ENOENT)));
  CHECK_FALSE(j.ends(made, failed(EEXIST)));  // somebody saw it
}

TEST_CASE("a call whose answer is lost took effect at any time, or never") {
  for (const bool did : {true, false}) {
    Judge j;
    const auto made = j.check.began(make(What::create, {"a", "x"}));
    j.check.lost(made);
    CHECK(j.alone(make(What::look, {"a", "x"}), failed(ENOENT)));
    if (did) CHECK(j.alone(make(What::look, {"a", "x"}), file(0)));
    if (did) CHECK(j.alone(make(What::remove, {"a", "x"}), kDone));
    CHECK(j.alone(make(What::create, {"a", "x"}), kDone));
    CHECK_FALSE(j.check.spent());
    CHECK_FALSE(j.alone(make(What::make_directory, {"a", "x"}), kDone));
  }
}

TEST_CASE("a call whose answer is lost may be seen at one site and not yet at the other, until nothing is in flight") {
  for (const bool settled : {false, true}) {
    Judge j;
    const auto made = j.check.began(make(What::create, {"a", "x"}));
    CHECK(j.alone(make(What::look, {"a", "x"}), file(0)));
    j.check.lost(made);
    if (settled) j.check.seen_by_all();
    CHECK(j.alone(make(What::look, {"a", "x"}), failed(ENOENT)) == !settled);
  }
}

TEST_CASE("a change that stands everywhere is not known to the kernel that made it before its answer") {
  for (const bool answered : {false, true}) {
    Judge j;
    const auto made = j.check.began(make(What::create, {"a", "x"}));
    CHECK(j.alone(make(What::look, {"a", "x"}), file(0)));
    j.check.seen_by_all();
    if (answered) CHECK(j.ends(made, kDone));
    CHECK(j.alone(make(What::look, {"a", "x"}), failed(ENOENT)) == !answered);
  }
}

TEST_CASE("a change that somebody has seen may be undone only while it has no answer") {
  for (const bool answered : {false, true}) {
    Judge j;
    const auto made = j.check.began(make(What::create, {"a", "x"}));
    CHECK(j.alone(make(What::look, {"a", "x"}), file(0)));
    if (answered) CHECK(j.ends(made, kDone));
    j.check.may_be_undone();
    CHECK(j.check.stopped() == !answered);
    if (answered) CHECK_FALSE(j.alone(make(What::look, {"a", "x"}), failed(ENOENT)));
  }
}

TEST_CASE("a call that was refused has done nothing") {
  Judge j;
  const auto made = j.check.began(make(What::create, {"a", "x"}));
  SECTION("nobody saw it") {
    j.check.refused(made);
    CHECK(j.alone(make(What::look, {"a", "x"}), failed(ENOENT)));
    CHECK_FALSE(j.alone(make(What::look, {"a", "x"}), file(0)));
  }
  SECTION("somebody did") {
    CHECK(j.alone(make(What::look, {"a", "x"}), file(0)));
    j.check.refused(made);
    CHECK_FALSE(j.alone(make(What::look, {"a", "x"}), file(0)));
  }
}

TEST_CASE("a path leads where it led at some moment, also when that has moved since") {
  Judge j;
  CHECK(j.alone(make(What::make_directory, {"a", "x"}), kDone));
  const auto inside = j.check.began(make(What::create, {"a", "x", "u"}));
  CHECK(j.alone(two(What::rename, {"a", "x"}, {"b", "y"}), kDone));
  CHECK(j.ends(inside, kDone));
  CHECK(j.shows({"b", "y"}, {"u"}));
  CHECK_FALSE(j.alone(make(What::look, {"a", "x", "u"}), file(0)));
}

TEST_CASE("a path leads where another call without an answer has put something") {
  Judge j;
  CHECK(j.alone(make(What::make_directory, {"a", "x"}), kDone));
  const auto moved = j.check.began(two(What::rename, {"a", "x"}, {"b", "y"}));
  CHECK(j.alone(make(What::create, {"b", "y", "u"}), kDone));
  CHECK(j.ends(moved, kDone));
  CHECK(j.shows({"b", "y"}, {"u"}));
}

TEST_CASE("a change without an answer that one site has seen hides nothing from the other, whatever got its answer meanwhile") {
  Judge j;
  CHECK(j.alone(make(What::make_directory, {"a", "x"}), kDone));
  CHECK(j.alone(make(What::create, {"a", "x", "u"}), kDone));
  CHECK(j.alone(make(What::create, {"a", "x", "v"}), kDone));
  CHECK(j.alone(make(What::make_directory, {"a", "y"}), kDone));
  const auto removed = j.check.began(make(What::remove, {"a", "x", "u"}));
  const auto swapped = j.check.began(two(What::rename, {"a", "x"}, {"a", "y"}, kExchange));
  CHECK(j.alone(make(What::look, {"a", "x", "u"}), failed(ENOENT)));  // removed
  CHECK(j.shows({"a", "x"}, {}));                                     // and swapped
  CHECK(j.ends(removed, kDone));
  CHECK(j.alone(make(What::make_directory, {"a", "x", "v"}), failed(EEXIST)));  // the other site sees no swap yet
  CHECK(j.ends(swapped, kDone));
  CHECK(j.shows({"a", "y"}, {"v"}));
}

TEST_CASE("a change without an answer need not be seen, though one that got its answer would not have been possible without it") {
  Judge j;
  CHECK(j.alone(make(What::make_directory, {"a", "x"}), kDone));
  CHECK(j.alone(make(What::create, {"a", "x", "u"}), kDone));
  const auto moved = j.check.began(two(What::rename, {"a", "x", "u"}, {"b", "y"}));
  CHECK(j.alone(make(What::remove_directory, {"a", "x"}), kDone));
  SECTION("the new name") { CHECK(j.alone(make(What::look, {"b", "y"}), failed(ENOENT))); }
  SECTION("but it has happened") { CHECK_FALSE(j.ends(moved, failed(ENOENT))); }
  SECTION("and nothing happens before what was there when it began") { CHECK_FALSE(j.alone(make(What::create, {"a", "x", "v"}), kDone)); }
  SECTION("and is there once it has its answer") {
    CHECK(j.ends(moved, kDone));
    CHECK_FALSE(j.alone(make(What::look, {"b", "y"}), failed(ENOENT)));
  }
}

TEST_CASE("each name of a path is found at a moment of its own") {
  Judge j;
  CHECK(j.alone(make(What::make_directory, {"a", "x"}), kDone));
  CHECK(j.alone(make(What::make_directory, {"a", "y"}), kDone));
  const auto looked = j.check.began(make(What::look, {"a", "x", "u"}));
  CHECK(j.alone(two(What::rename, {"a", "x"}, {"a", "y"}, kExchange), kDone));
  CHECK(j.alone(make(What::create, {"a", "y", "u"}), kDone));
  CHECK(j.ends(looked, file(0)));  // it found x before the exchange, and u behind it
  CHECK_FALSE(j.alone(make(What::look, {"a", "x", "u"}), file(0)));
}

TEST_CASE("a list shows each name at a moment of its own") {
  Judge j;
  CHECK(j.alone(make(What::create, {"a", "x"}), kDone));
  const auto list = j.check.began(make(What::list, {"a"}));
  CHECK(j.alone(two(What::rename, {"a", "x"}, {"a", "y"}), kDone));
  CHECK(j.alone(make(What::create, {"a", "z"}), kDone));
  SECTION("both, or neither") {
    CHECK_FALSE(j.check.listed(list, {"x", "y"}).has_value());
  }
  SECTION("neither") { CHECK_FALSE(j.check.listed(list, {}).has_value()); }
  SECTION("but none that was never there") { CHECK(j.check.listed(list, {"x", "w"}).has_value()); }
}

TEST_CASE("of what was found and is gone its finder may still see the last, without a name") {
  Judge j;
  CHECK(j.alone(make(What::create, {"a", "x"}), kDone));
  const auto looked = j.check.began(make(What::look, {"a", "x"}));
  const auto cut = j.check.began(truncate({"a", "x"}, 5));
  CHECK(j.alone(make(What::remove, {"a", "x"}), kDone));
  CHECK(j.ends(looked, file(0, 0)));
  CHECK(j.ends(cut, kDone));
  CHECK_FALSE(j.alone(make(What::look, {"a", "x"}), file(0, 0)));
}

TEST_CASE("what a link found as a directory is one, though it is removed before the new name's directory is found") {
  Judge j;
  CHECK(j.alone(make(What::make_directory, {"a", "x"}), kDone));
  const auto link = j.check.began(two(What::link, {"a", "x"}, {"b", "d", "n"}));
  CHECK(j.alone(make(What::remove_directory, {"a", "x"}), kDone));
  SECTION("the directory is made behind that") {
    CHECK(j.alone(make(What::make_directory, {"b", "d"}), kDone));
    CHECK(j.ends(link, failed(EPERM)));
  }
  SECTION("there is none") { CHECK_FALSE(j.ends(link, failed(EPERM))); }
}

TEST_CASE("where more can be explained than there is time for nothing is judged any more") {
  Judge j;
  for (int i = 0; i < 40; ++i) (void)j.check.began(truncate({"a"}, 1));
  std::vector<Check::Id> made;
  for (int i = 0; i < 9; ++i) made.push_back(j.check.began(make(What::open, {"b", "x"})));
  for (int i = 0; i < 9; ++i) made.push_back(j.check.began(two(What::rename, {"b", "x"}, {"b", "y"})));
  for (const auto id : made) CHECK(j.ends(id, kDone));
  CHECK(j.check.gave_up());
  CHECK(j.check.spent());
}

}  // namespace lockstep::simulator::posix
