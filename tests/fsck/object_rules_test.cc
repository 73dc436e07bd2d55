// The rules about one object: every combination of names, links and lists.
#include "fsck/object_rules.h"

#include <algorithm>

#include "../catch.h"
#include "fsck/report.h"

using namespace lockstep;
using namespace lockstep::fsck;

TEST_CASE("a file is judged by its names, links and the list of orphans") {
  for (std::uint32_t links = 0; links <= 3; ++links) {
    for (std::uint32_t names = 0; names <= 3; ++names) {
      for (const bool orphan : {false, true}) {
        const std::vector<Rule> broken = judge_names({.links = links, .names = names, .orphan = orphan});
        INFO(links << " links, " << names << " names, " << orphan);
        const auto has = [&](Rule rule) { return std::ranges::find(broken, rule) != broken.end(); };
        REQUIRE(broken.empty() == (links == names && orphan == (links == 0)));
        REQUIRE(broken.size() <= 1);
        REQUIRE(has(Rule::nameless) == (names == 0 && links > 0));
        REQUIRE(has(Rule::links) == (names > 0 && links != names));
      }
    }
  }
}

TEST_CASE("a directory has one name, in its parent") {
  const auto judge = [](std::uint32_t links, std::uint32_t names, bool in_parent, bool orphan = false) {
    return judge_names(
        {.links = links, .names = names, .directory = true, .orphan = orphan, .names_parent = in_parent});
  };
  REQUIRE(judge(2, 1, true).empty());
  REQUIRE(judge(9, 1, true).empty());
  REQUIRE(judge(0, 0, false, true).empty());
  REQUIRE(judge(2, 1, false) == std::vector{Rule::parent});
  REQUIRE(judge(2, 2, true) == std::vector{Rule::directory_names});
  REQUIRE(judge(2, 2, false) == std::vector{Rule::parent, Rule::directory_names});
  REQUIRE(judge(0, 1, true) == std::vector{Rule::links});
  REQUIRE(judge(2, 0, false) == std::vector{Rule::nameless});
}

TEST_CASE("anything else has a name in its home") {
  for (std::uint32_t links = 1; links <= 3; ++links) {
    REQUIRE(judge_names({.links = links, .names = links}).empty());
    REQUIRE(judge_names({.links = links, .names = links, .names_parent = false}) == std::vector{Rule::parent});
  }
  REQUIRE(judge_names({.links = 0, .names = 0, .orphan = true, .names_parent = false}).empty());
}

TEST_CASE("a mended object has nothing left to be mended") {
  ObjectFacts facts;
  facts.inode.id = InodeId{7};
  facts.inode.mode = 0040755;
  facts.inode.links = 9;
  facts.inode.size = 9;
  facts.inode.xattrs = 9;
  facts.entries = 4;
  facts.directories = 2;
  facts.xattrs = 1;
  facts.xattr_bytes = 10;
  REQUIRE(judge_object(facts).size() == 3);
  facts.inode = mended(facts);
  REQUIRE(judge_object(facts).empty());

  facts = {};
  facts.inode.mode = 0100644;
  facts.inode.links = 1;
  facts.chunks = 2;
  facts.blocks = 12;
  facts.chunk_end = 5;
  REQUIRE(judge_object(facts).size() == 2);
  facts.inode = mended(facts);
  REQUIRE(judge_object(facts).empty());
}

TEST_CASE("a finding is one line, whatever stands in names") {
  Finding finding{.rule = Rule::links,
                  .object = InodeId{12},
                  .found = "3 links counted",
                  .expected = "2",
                  .mend = Mend::can,
                  .path = "/a\nb\"c"};
  REQUIRE(line_of(finding) ==
          "12 links: inode 12 \"/a\\x0ab\\\"c\": found 3 links counted; should be 2; --repair mends it");
  finding.object = kNoInode;
  finding.place = "block 7";
  finding.mend = Mend::no;
  REQUIRE(line_of(finding) == "12 links: block 7: found 3 links counted; should be 2; not mended");
}
