// reservations.h - what sites have reserved (R4), as the V keys say it; kept in memory at every site.
//
// A reservation is of a range of blocks of a file, of a whole object (contents, attributes, names), or of a directory with
// everything below it (a tree). It holds back what other sites would change there; it never holds back reading.
//
// Where an object stands. A directory has one parent. Of everything else the inode knows its home: a directory that has a
// name of it. An object with one name stands in its home. One with several names, or whose home is not known, may stand
// anywhere: it counts as part of every tree. An object without a name stands in no tree.
//
// Renaming by the holder moves things into a tree and out of it, as names say at each moment. Reservations of two sites never
// overlap when they are made; where a rename brings it about, both hold.
#pragma once

#include <map>
#include <span>
#include <tuple>
#include <vector>

#include "volume/keys_format.h"
#include "wire/messages.h"

namespace lockstep::volume {

/// So many at one time; more are refused with ENOLCK.
inline constexpr std::size_t kReservationsMax = 1024;

// Flags of the operations reserve and release.
inline constexpr std::uint32_t kReserveBusy = 1;    ///< other sites' requests get EBUSY instead of waiting
inline constexpr std::uint32_t kReleaseBroken = 2;  ///< reservations of any site; else only those of the site that asks

/// True if the two turns share a block, name or tree.
[[nodiscard]] bool overlap(const wire::Turn& a, const wire::Turn& b);

/// The turn of what lies in `directory`, at any depth.
[[nodiscard]] constexpr wire::Turn tree_turn(InodeId directory) { return {wire::Turn::Kind::tree, directory, 0, 1}; }
/// Part of every tree: what is changed may stand anywhere.
inline constexpr wire::Turn kAnyTree = tree_turn(kNoInode);
/// The turn of `length` bytes at `offset` of a file; length 0: of one block.
[[nodiscard]] wire::Turn data_turn(InodeId inode, std::uint64_t offset, std::uint64_t length);
/// No name has the hash 0, 1 or 2. 0 stands for the attributes of an object.
[[nodiscard]] constexpr wire::Turn attributes_turn(InodeId inode) { return {wire::Turn::Kind::names, inode, 0, 1}; }
/// 1 for its locks. What is answered about a lock rests on nothing that is still on its way to the other site.
[[nodiscard]] constexpr wire::Turn locks_turn(InodeId inode) { return {wire::Turn::Kind::names, inode, 1, 1}; }
/// 2 for its reservations: that one is gone is said when it holds nobody back any more.
[[nodiscard]] constexpr wire::Turn reservations_turn(InodeId inode) { return {wire::Turn::Kind::names, inode, 2, 1}; }
/// What of its object it is, for people: "blocks 3-5", "name 00c0ffee00c0ffee" (its hash), "attributes", "locks", "reservations", "tree".
[[nodiscard]] std::string text_of(const wire::Turn& turn);

/// What the reservation itself covers: what is exclusive while it is made.
[[nodiscard]] std::vector<wire::Turn> turns_of(const Reservation& reservation);

/// Bytes "FIRST-LAST", or "FIRST-" to the end of what a file may be, decimal. Errc::invalid.
[[nodiscard]] Result<ByteRange> parse_byte_range(std::string_view text);
/// The bytes of the blocks that are reserved, like that; "all": the whole object.
[[nodiscard]] std::string byte_range_text(const Reservation& reservation);

class Reservations {
 public:
  using Place = std::tuple<InodeId, std::uint64_t, std::uint64_t>;  ///< object, first, count

  void put(Reservation reservation);
  void erase(const Reservation& reservation);
  void clear();

  /// In the order of their keys.
  [[nodiscard]] const std::map<Place, Reservation>& all() const { return all_; }
  [[nodiscard]] std::vector<const Reservation*> of(InodeId object) const;
  /// Null: there is none of exactly this.
  [[nodiscard]] const Reservation* find(InodeId object, std::uint64_t first, std::uint64_t count) const;
  [[nodiscard]] std::size_t size() const { return all_.size(); }
  /// A tree is reserved.
  [[nodiscard]] bool trees() const { return trees_ > 0; }
  /// Goes up with every change.
  [[nodiscard]] std::uint64_t moment() const { return moment_; }

 private:
  std::map<Place, Reservation> all_;
  std::size_t trees_ = 0;
  std::uint64_t moment_ = 1;
};

}  // namespace lockstep::volume
