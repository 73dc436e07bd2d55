// Blocks that this site can't or must not answer itself are read at the other site, for as long as that takes.

#include "hosted_site.h"

namespace lockstep::fuse {

namespace {

struct TwoSites : HostedSite {
  TwoSites() : a(volume.add("a", S_IFREG | 0644, 64 * kBlockBytes)), first(a.value * FakeArea::kFileBytes / kBlockBytes) {
    changes.elsewhere = area.bytes;
    put_there(0, std::string(64 * kBlockBytes, 't'));
    put(a, 0, std::string(64 * kBlockBytes, 'h'));
  }
  void put_there(std::uint64_t offset, const std::string& text) {
    std::memcpy(changes.elsewhere.data() + first * kBlockBytes + offset, text.data(), text.size());
  }
  const InodeId a;
  const std::uint64_t first;  ///< block of the area
};

}  // namespace

TEST_CASE("blocks that a resynchronisation has not reached are read at the other site, others here") {
  TwoSites s;
  s.changes.pending = {s.first + 1};
  CHECK(s.read_text(s.a, kBlockBytes, 3) == "ttt");
  CHECK(s.read_text(s.a, 2 * kBlockBytes, 3) == "hhh");
  CHECK(s.changes.reads_elsewhere == 1);
  CHECK(s.host.counters().bad_reads_repaired == 0);
}

TEST_CASE("a block that is bad here is answered from the other site, and counted") {
  TwoSites s;
  s.area.bad = {s.first + 1};
  CHECK(s.read_text(s.a, kBlockBytes, 3) == "ttt");
  s.area.in_memory = false;
  CHECK(s.read_text(s.a, kBlockBytes, 3) == "ttt");
  CHECK(s.host.counters().bad_reads_elsewhere == 2);
  CHECK(s.host.counters().bad_reads_repaired == 0);
  CHECK(s.host.counters().bad_reads == 0);
}

TEST_CASE("a block that is bad here is repaired, and then read here") {
  TwoSites s;
  s.area.bad = {s.first + 1};
  std::uint64_t repairs = 0;
  s.changes.mend = [&](BlockRange blocks) -> Result<> {
    ++repairs;
    for (std::uint64_t b = blocks.first; b < blocks.end(); ++b) s.area.bad.erase(b);
    return {};
  };
  CHECK(s.read_text(s.a, kBlockBytes, 3) == "hhh");
  CHECK(s.read_text(s.a, kBlockBytes, 3) == "hhh");
  CHECK(repairs == 1);
  CHECK(s.changes.reads_elsewhere == 0);
  CHECK(s.host.counters().bad_reads_repaired == 1);
}

TEST_CASE("a block that stays bad whatever is written to it is answered from the other site") {
  TwoSites s;
  s.area.bad = {s.first + 1};
  s.changes.mend = [](BlockRange) { return Result<>{}; };
  CHECK(s.read_text(s.a, kBlockBytes, 3) == "ttt");
  CHECK(s.host.counters().bad_reads_elsewhere == 1);
}

TEST_CASE("a read that waits for the other site looks again when the file was written meanwhile") {
  TwoSites s;
  s.lookup("a");
  s.changes.pending = {s.first};
  s.changes.link.reset();
  auto& read = s.send(s.read(s.a, 0, 3));
  s.settle();
  CHECK(!read.has_value());
  s.put_there(0, "new");
  s.changes.publish(s.a);
  s.changes.link.set();
  s.settle();
  REQUIRE(read.has_value());
  CHECK(*read->bytes == "new");
  CHECK(s.changes.reads_elsewhere == 2);
}

TEST_CASE("the drop for another site's change does not wait for a read that waits for the other site") {
  TwoSites s;
  const auto file = s.open_file("/a");
  CHECK(s.wait_for(s.app.read(file, 8 * kBlockBytes, 3)).value() == "hhh");
  s.changes.pending = {s.first};
  s.changes.link.reset();
  auto& before = s.call(s.app.read(file, 0, 3));
  s.settle();
  bool done = false;
  s.drop({{wire::Drop::Kind::pages, s.a, {0, 0}, ""}}, done);
  s.settle();
  CHECK(done);
  CHECK(s.wait_for(s.app.read(file, 8 * kBlockBytes, 3)).value() == "hhh");
  s.changes.pending.insert(s.first + 20);
  done = false;
  s.kernel().mounted()->page_lock(s.a, 30)->lock(true, [] {});  // holds the drop until the next read has come
  s.drop({{wire::Drop::Kind::pages, s.a, {0, 0}, ""}}, done);
  auto& during = s.call(s.app.read(file, 20 * kBlockBytes, 3));
  s.settle();
  CHECK(!done);
  s.kernel().mounted()->page_lock(s.a, 30)->unlock(true);
  s.settle();
  CHECK(done);
  CHECK((!before.has_value() && !during.has_value()));
  // What is brought at last is kept, and another site's change finds it.
  s.changes.link.set();
  s.settle();
  REQUIRE((before.has_value() && during.has_value()));
  CHECK(before->value() == "ttt");
  CHECK(!s.host.drop_now(std::vector<wire::Drop>{{wire::Drop::Kind::pages, s.a, {0, 1}, ""}}));
}

TEST_CASE("reads that wait for the other site leave memory to those that do not") {
  HostOptions options;
  options.read_bytes_max = 2 * kBlockBytes;
  FakeSite s(options);
  const InodeId a = s.volume.add("a", S_IFREG | 0644, 64 * kBlockBytes);
  const std::uint64_t first = a.value * FakeArea::kFileBytes / kBlockBytes;
  s.changes.elsewhere = s.area.bytes;
  s.area.in_memory = false;
  for (std::uint64_t b = 0; b < 4; ++b) s.changes.pending.insert(first + b);
  s.changes.link.reset();
  std::vector<std::optional<OwnedReply>*> waiting;
  for (std::uint64_t b = 0; b < 4; ++b) waiting.push_back(&s.send(s.read(a, b * kBlockBytes, 10)));
  s.settle();
  CHECK(s.ask(s.read(a, 10 * kBlockBytes, 10)).error() == 0);
  for (const auto* reply : waiting) CHECK(!reply->has_value());
  s.changes.link.set();
  s.settle();
  for (const auto* reply : waiting) CHECK(reply->has_value());
}

TEST_CASE("a read that waits for the other site waits on while the gate is closed, and looks again") {
  TwoSites s;
  const auto file = s.open_file("/a");
  s.changes.pending = {s.first};
  s.changes.link.reset();
  auto& read = s.call(s.app.read(file, 0, 3));
  s.settle();
  s.close_now();
  s.changes.link.set();
  s.settle();
  CHECK(!read.has_value());
  s.changes.pending.clear();
  s.host.open();
  s.settle();
  REQUIRE(read.has_value());
  CHECK(read->value() == "hhh");
}

}  // namespace lockstep::fuse
