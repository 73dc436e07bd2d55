// Reservations: what they hold back, where objects stand, and what becomes of them.
#include <algorithm>

#include "site.h"
#include "volume/reservations.h"

using namespace lockstep;
using namespace lockstep::volume;
using wire::OpKind;
using wire::Turn;

namespace {

constexpr SiteId kNorth{0}, kSouth{1};
constexpr std::uint64_t kToTheEnd = ~std::uint64_t{0};

/// As Pair::change(), asked for at `site`.
wire::Outcome change_by(Pair& pair, SiteId site, const wire::Operation& operation) {
  pair.now.value += 1000;
  Result<Planned> planned = pair.a.get([&] { return pair.a.volume->plan(operation, pair.now, site); });
  REQUIRE(planned);
  if (planned->changes) pair.put_into_force(planned->effect, {});
  return planned->effect.outcome;
}

int reserve(Pair& pair, SiteId site, InodeId inode, std::uint64_t offset = 0, std::uint64_t length = 0, std::uint32_t flags = 0) {
  wire::Operation it = Pair::op(OpKind::reserve, inode);
  it.offset = offset;
  it.length = length;
  it.flags = flags;
  it.text = "/path";
  return change_by(pair, site, it).error;
}

wire::Outcome release(Pair& pair, SiteId site, InodeId inode, std::uint64_t offset = 0, std::uint64_t length = 0, std::uint32_t flags = 0) {
  wire::Operation it = Pair::op(OpKind::release, inode);
  it.offset = offset;
  it.length = length;
  it.flags = flags;
  return change_by(pair, site, it);
}

/// A reservation of `site` holds back `operation` of the other one.
bool held(Pair& pair, SiteId site, const wire::Operation& operation) {
  const auto touched = pair.a.get([&] { return pair.a.volume->touched(operation); });
  if (!touched) return false;
  for (const auto& [place, it] : pair.a.volume->reservations().all()) {
    if (it.site != site) continue;
    std::vector<Turn> turns = turns_of(it);
    if (it.tree) turns.push_back(kAnyTree);
    for (const Turn& a : turns) {
      if (std::any_of(touched->begin(), touched->end(), [&](const Turn& b) { return overlap(a, b); })) return true;
    }
  }
  return false;
}

wire::Operation write_at(InodeId inode, std::uint64_t offset, std::uint64_t length, bool append = false) {
  wire::Operation it = Pair::op(OpKind::write, inode);
  it.offset = offset;
  it.length = length;
  it.append = append;
  return it;
}

wire::Operation chmod(InodeId inode) {
  wire::Operation it = Pair::op(OpKind::set_attributes, inode);
  it.change.mode_set = true;
  return it;
}

wire::Operation truncation(InodeId inode, std::uint64_t size) {
  wire::Operation it = Pair::op(OpKind::set_attributes, inode);
  it.change.size_set = true;
  it.change.size = size;
  return it;
}

wire::Operation creation(InodeId directory, const std::string& name, bool exclusive = true) {
  wire::Operation it = Pair::op(OpKind::create, directory, name);
  it.mode = S_IFREG | 0644;
  it.exclusive = exclusive;
  return it;
}

wire::Operation renaming(InodeId from, const std::string& name, InodeId to, const std::string& new_name) {
  wire::Operation it = Pair::op(OpKind::rename, from, name);
  it.other = to;
  it.text = new_name;
  return it;
}

wire::Operation linking(InodeId directory, const std::string& name, InodeId object) {
  wire::Operation it = Pair::op(OpKind::link, directory, name);
  it.other = object;
  return it;
}

}  // namespace

TEST_CASE("a reserved range holds back what touches one of its blocks, and the names of the file") {
  // Every range of up to three of six blocks against every write of up to three blocks.
  Pair pair;
  const InodeId f = pair.file("f");
  pair.write(f, 0, pattern(6 * kBlockBytes, 1));
  for (std::uint64_t first = 0; first < 6; ++first) {
    for (std::uint64_t count = 1; count <= 3; ++count) {
      // One byte of the first and one of the last block are enough.
      const std::uint64_t from = (first + 1) * kBlockBytes - 1, bytes = count == 1 ? 1 : (count - 2) * kBlockBytes + 2;
      REQUIRE(reserve(pair, kNorth, f, from, bytes) == 0);
      for (std::uint64_t at = 0; at < 6; ++at) {
        for (std::uint64_t n = 1; n <= 3; ++n) {
          REQUIRE(held(pair, kNorth, write_at(f, at * kBlockBytes, n * kBlockBytes)) == (at < first + count && first < at + n));
          wire::Operation punch = Pair::op(OpKind::allocate, f);
          punch.offset = at * kBlockBytes;
          punch.length = n * kBlockBytes;
          punch.flags = kPunchHoleFlag | kKeepSizeFlag;
          REQUIRE(held(pair, kNorth, punch) == (at < first + count && first < at + n));
        }
        REQUIRE(held(pair, kNorth, truncation(f, at * kBlockBytes)) == (at < first + count));
      }
      REQUIRE(held(pair, kNorth, write_at(f, 0, 1, true)) == (first + count > 6));  // an append goes to block 6
      REQUIRE_FALSE(held(pair, kNorth, chmod(f)));
      REQUIRE(held(pair, kNorth, Pair::op(OpKind::unlink, kRootInode, "f")));
      REQUIRE(held(pair, kNorth, renaming(kRootInode, "f", kRootInode, "g")));
      REQUIRE_FALSE(held(pair, kSouth, write_at(f, first * kBlockBytes, 1)));
      REQUIRE(release(pair, kNorth, f, from, bytes).value == 1);
      REQUIRE_FALSE(held(pair, kNorth, write_at(f, first * kBlockBytes, 1)));
    }
  }
  pair.require_equal();
}

TEST_CASE("a reserved file keeps contents, attributes and names") {
  Pair pair;
  const InodeId f = pair.file("f"), g = pair.file("g");
  pair.write(f, 0, "text");
  REQUIRE(reserve(pair, kNorth, f) == 0);
  for (const wire::Operation& op :
       {write_at(f, 0, 1), write_at(f, 1 << 20, 1), write_at(f, 0, 1, true), truncation(f, 0), truncation(f, 1 << 30), chmod(f),
        Pair::op(OpKind::set_xattr, f, "user.a"), Pair::op(OpKind::remove_xattr, f, "user.a"), Pair::op(OpKind::unlink, kRootInode, "f"),
        renaming(kRootInode, "f", kRootInode, "h"), renaming(kRootInode, "g", kRootInode, "f"), linking(kRootInode, "h", f)}) {
    INFO("kind " << static_cast<int>(op.kind) << " " << op.name);
    REQUIRE(held(pair, kNorth, op));
    REQUIRE_FALSE(held(pair, kSouth, op));
  }
  wire::Operation times = Pair::op(OpKind::set_attributes, f);  // handed over by a site, not asked for by a host
  times.change.mtime_set = times.change.ctime_set = true;
  for (const wire::Operation& op : {write_at(g, 0, 1), chmod(g), creation(kRootInode, "new"), Pair::op(OpKind::unlink, kRootInode, "g"),
                                    Pair::op(OpKind::sync, f), Pair::op(OpKind::trim, f), Pair::op(OpKind::settle, kNoInode), times}) {
    REQUIRE_FALSE(held(pair, kNorth, op));
  }
}

TEST_CASE("a reserved tree keeps everything in it, at any depth, and where it is not known what stands in it") {
  Pair pair;
  const InodeId tree = pair.directory(kRootInode, "tree"), deep = pair.directory(tree, "deep"), outside = pair.directory(kRootInode, "outside");
  const InodeId in = Pair::made(pair.create(deep, "in")), out = Pair::made(pair.create(outside, "out"));
  REQUIRE(reserve(pair, kNorth, tree) == 0);
  const auto in_tree = [&](InodeId inode) { return held(pair, kNorth, write_at(inode, 0, 1)); };
  REQUIRE(in_tree(in));
  REQUIRE_FALSE(in_tree(out));
  for (const wire::Operation& op :
       {chmod(in), chmod(deep), chmod(tree), creation(tree, "new"), creation(deep, "new"), Pair::op(OpKind::unlink, deep, "in"),
        Pair::op(OpKind::rmdir, tree, "deep"), Pair::op(OpKind::rmdir, kRootInode, "tree"), renaming(kRootInode, "tree", outside, "tree"),
        renaming(deep, "in", outside, "in"), renaming(outside, "out", deep, "out"), linking(deep, "out", out), linking(outside, "in", in)}) {
    INFO("kind " << static_cast<int>(op.kind) << " " << op.name);
    REQUIRE(held(pair, kNorth, op));
    REQUIRE_FALSE(held(pair, kSouth, op));
  }
  // To open what is there changes nothing; nor does what fails.
  REQUIRE_FALSE(held(pair, kNorth, creation(deep, "in", false)));
  REQUIRE_FALSE(held(pair, kNorth, chmod(outside)));
  REQUIRE_FALSE(held(pair, kNorth, creation(outside, "new")));
  REQUIRE_FALSE(held(pair, kNorth, chmod(kRootInode)));

  // Renames of the holder move things out and in, whole directories too.
  REQUIRE(pair.rename(deep, "in", outside, "in").error == 0);
  REQUIRE_FALSE(in_tree(in));
  REQUIRE(pair.rename(outside, "in", deep, "in").error == 0);
  REQUIRE(in_tree(in));
  REQUIRE(pair.rename(tree, "deep", outside, "deep").error == 0);
  REQUIRE_FALSE(in_tree(in));
  REQUIRE(pair.rename(outside, "deep", tree, "deep").error == 0);
  REQUIRE(pair.rename(deep, "in", outside, "out", 2).error == 0);  // exchanged
  REQUIRE(in_tree(out));
  REQUIRE_FALSE(in_tree(in));

  // Several names: anywhere. One again, and it is known which: where that stands.
  REQUIRE(pair.link(kRootInode, "second", in).error == 0);
  REQUIRE(in_tree(in));
  REQUIRE(pair.unlink(kRootInode, "second").error == 0);
  REQUIRE_FALSE(in_tree(in));
  REQUIRE(pair.link(kRootInode, "second", in).error == 0);
  REQUIRE(pair.unlink(outside, "out").error == 0);
  REQUIRE(in_tree(in));  // the name in its home is gone
  REQUIRE(pair.rename(kRootInode, "second", kRootInode, "only").error == 0);
  REQUIRE_FALSE(in_tree(in));  // now its home is known again
  REQUIRE(pair.unlink(kRootInode, "only").error == 0);
  REQUIRE_FALSE(in_tree(in));  // without a name it stands nowhere

  wire::Operation nameless = creation(outside, "");
  nameless.anonymous = true;
  const InodeId temporary = Pair::made(pair.change(nameless));
  REQUIRE_FALSE(in_tree(temporary));
  REQUIRE(pair.link(tree, "linked", temporary).error == 0);
  REQUIRE(in_tree(temporary));
  pair.require_equal();
}

TEST_CASE("two sites can't reserve what overlaps, one may") {
  Pair pair;
  const InodeId tree = pair.directory(kRootInode, "tree"), sub = pair.directory(tree, "sub");
  const InodeId f = Pair::made(pair.create(sub, "f")), g = pair.file("g");
  enum class What { tree, sub, f, f_first, f_second, g };
  const auto make = [&](SiteId site, What what) {
    switch (what) {
      case What::tree: return reserve(pair, site, tree);
      case What::sub: return reserve(pair, site, sub);
      case What::f: return reserve(pair, site, f);
      case What::f_first: return reserve(pair, site, f, 0, kBlockBytes);
      case What::f_second: return reserve(pair, site, f, kBlockBytes, kBlockBytes);
      case What::g: return reserve(pair, site, g);
    }
    return -1;
  };
  const auto drop_all = [&] {
    for (const InodeId inode : {tree, sub, f, g}) release(pair, kNorth, inode, 0, 0, kReleaseBroken);
    REQUIRE(pair.a.volume->reservations().size() == 0);
  };
  const std::vector all{What::tree, What::sub, What::f, What::f_first, What::f_second, What::g};
  for (const What one : all) {
    for (const What other : all) {
      INFO(static_cast<int>(one) << " and " << static_cast<int>(other));
      const bool apart = one == What::g || other == What::g ? one != other
                                                            : (one == What::f_first && other == What::f_second) ||
                                                                  (one == What::f_second && other == What::f_first);
      REQUIRE(make(kNorth, one) == 0);
      REQUIRE(make(kSouth, other) == (apart ? 0 : EBUSY));
      drop_all();
      REQUIRE(make(kNorth, one) == 0);
      REQUIRE(make(kNorth, other) == 0);
      REQUIRE(pair.a.volume->reservations().size() == (one == other ? 1 : 2));
      drop_all();
    }
  }
}

TEST_CASE("what can't be reserved or released, and how many there may be") {
  Pair pair(1, 16384);
  const InodeId f = pair.file("f"), d = pair.directory(kRootInode, "d");
  REQUIRE(reserve(pair, kNorth, InodeId{999}) == ESTALE);
  REQUIRE(reserve(pair, kNorth, d, 0, 1) == EISDIR);
  REQUIRE(reserve(pair, kNorth, Pair::made(pair.create(kRootInode, "p", S_IFIFO | 0600)), 0, 1) == EINVAL);
  REQUIRE(reserve(pair, kNorth, f, 0, 0, 8) == EINVAL);
  REQUIRE(release(pair, kNorth, f).error == ENODATA);
  REQUIRE(reserve(pair, kNorth, f, 0, kBlockBytes) == 0);
  REQUIRE(release(pair, kNorth, f, 0, 2 * kBlockBytes).error == ENODATA);
  REQUIRE(release(pair, kSouth, f).error == EPERM);
  REQUIRE(release(pair, kSouth, f, 0, 0, kReleaseBroken).value == 1);
  for (std::size_t i = 0; i < kReservationsMax; ++i) REQUIRE(reserve(pair, kNorth, f, i * kBlockBytes, 1) == 0);
  REQUIRE(reserve(pair, kNorth, d) == ENOLCK);
  REQUIRE(reserve(pair, kNorth, f, 0, 1, kReserveBusy) == 0);  // one that is there may be changed
  REQUIRE(pair.a.volume->reservations().find(f, 0, 1)->busy);
  REQUIRE(release(pair, kNorth, f).value == kReservationsMax);
  REQUIRE(reserve(pair, kNorth, d) == 0);
  REQUIRE(pair.set_xattr(f, "user.lockstep.reserve", "").error == EOPNOTSUPP);  // never stored
  pair.require_equal();
}

TEST_CASE("reservations are the same at both sites, outlive a restart, and go with what they are of") {
  Pair pair;
  const InodeId f = pair.file("f"), d = pair.directory(kRootInode, "d");
  REQUIRE(reserve(pair, kSouth, f, kBlockBytes, kBlockBytes, kReserveBusy) == 0);
  REQUIRE(reserve(pair, kNorth, d) == 0);
  const auto all_of = [](Site& site) {
    std::vector<Reservation> all;
    for (const auto& [place, it] : site.volume->reservations().all()) all.push_back(it);
    return all;
  };
  const std::vector<Reservation> before = all_of(pair.a);
  REQUIRE(before.size() == 2);
  REQUIRE(before[0] == Reservation{f, 1, 1, kSouth, true, false, before[0].since, "/path"});
  REQUIRE(before[1] == Reservation{d, 0, kToTheEnd, kNorth, false, true, before[1].since, "/path"});
  REQUIRE(all_of(pair.b) == before);
  pair.b.restart();  // from the log
  REQUIRE(all_of(pair.b) == before);
  pair.a.close();    // from the keys
  pair.a.open();
  REQUIRE(all_of(pair.a) == before);
  REQUIRE(pair.a.volume->reservations().trees());

  REQUIRE(pair.unlink(kRootInode, "f").error == 0);
  REQUIRE(pair.rmdir(kRootInode, "d").error == 0);
  REQUIRE(all_of(pair.a) == before);  // they may still be open
  pair.reap();
  REQUIRE(all_of(pair.a).empty());
  REQUIRE_FALSE(pair.a.volume->reservations().trees());
  REQUIRE(pair.keys_of('V') == 0);
  pair.require_equal();
}

TEST_CASE("the bytes of a reservation are as the format says, and no other bytes are one") {
  const Reservation it{InodeId{7}, 2, 3, kSouth, true, false, WallTime{0x0102030405060708}, "/p"};
  const std::string key = reservation_key(it), value = pack_reservation(it);
  REQUIRE(key == std::string("V\0\0\0\0\0\0\0\7\0\0\0\0\0\0\0\2\0\0\0\0\0\0\0\3", 25));
  REQUIRE(value == std::string("\1\1\1\0\x08\7\6\5\4\3\2\1/p", 14));
  REQUIRE(*unpack_reservation(key, value) == it);
  for (std::size_t n = 0; n < 12; ++n) REQUIRE_FALSE(unpack_reservation(key, value.substr(0, n)));
  for (std::size_t n = 0; n < key.size(); ++n) REQUIRE_FALSE(unpack_reservation(key.substr(0, n), value));
  for (const auto& [at, byte] : {std::pair{0, 2}, {1, 32}, {2, 4}, {2, 2}, {3, 1}}) {
    std::string spoiled = value;
    spoiled[static_cast<std::size_t>(at)] = static_cast<char>(byte);
    REQUIRE_FALSE(unpack_reservation(key, spoiled));
  }
  REQUIRE_FALSE(unpack_reservation(key.substr(0, 17) + std::string(8, '\0'), value));
  REQUIRE_FALSE(unpack_reservation(key, value + std::string(kTargetBytesMax, 'p')));
}

TEST_CASE("ranges of bytes are read and written") {
  REQUIRE(*parse_byte_range("0-4095") == ByteRange{0, 4096});
  REQUIRE(*parse_byte_range("5-5") == ByteRange{5, 1});
  REQUIRE(*parse_byte_range("4096-") == ByteRange{4096, kFileBytesMax - 4096});
  for (const char* text : {"", "-", "5", "-5", "6-5", "a-b", "1-2x", "1--2", "0x1-2", "1-18014398509481984", "99999999999999999999-"}) {
    INFO(text);
    REQUIRE_FALSE(parse_byte_range(text));
  }
  REQUIRE(byte_range_text({.object = InodeId{1}}) == "all");
  REQUIRE(byte_range_text({.object = InodeId{1}, .first = 1, .count = 2}) == "4096-12287");
  const Turn to_the_end = data_turn(InodeId{1}, 4096, kFileBytesMax - 4096);
  REQUIRE(byte_range_text({.object = InodeId{1}, .first = to_the_end.first, .count = to_the_end.count}) == "4096-");
}

TEST_CASE("turns are named for people") {
  REQUIRE(text_of(data_turn(InodeId{1}, 3 * kBlockBytes, 3 * kBlockBytes)) == "blocks 3-5");
  REQUIRE(text_of(Turn{Turn::Kind::data, InodeId{1}, 2, ~std::uint64_t{0}}) == "blocks 2-");
  REQUIRE(text_of(Turn{Turn::Kind::names, InodeId{1}, 0xC0FFEE, 1}) == "name 0000000000c0ffee");
  REQUIRE(text_of(attributes_turn(InodeId{1})) == "attributes");
  REQUIRE(text_of(locks_turn(InodeId{1})) == "locks");
  REQUIRE(text_of(reservations_turn(InodeId{1})) == "reservations");
  REQUIRE(text_of(tree_turn(InodeId{1})) == "tree");
}
