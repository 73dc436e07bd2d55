// history.h - what simulated hosts did and saw, and whether that may be.
//
// Blocks (R2). Every write gives a block a value of its own. A read of block b from time s to time e may return the value of
// a write w if w was asked before e, and no other write of b began after w was acknowledged and was itself acknowledged
// before s. A write whose answer never came (its daemon was killed) may have happened or not, once, at any later time.
//
// Records. Every appended record has a number of its own; at the end an acknowledged one stands in the file exactly once,
// one without an answer at most once, and nothing else stands there.
//
// Names. A name that was created with O_EXCL and acknowledged is there until its removal was asked; one whose removal was
// acknowledged is gone; of several that create one name at most one is told that it did.
//
// Stable. What was acknowledged is lost only with both sites' power, and only if no fsync that began after its acknowledgement
// has returned: of a file for its blocks and records, of anything for names (one log holds them all). From such a loss on,
// what was not stable counts as if it had had no answer; a block may then hold sectors of several writes.
//
// Refused. A write that failed with an errno has left nothing anywhere.
//
// Apart. A takeover by force can part the sites: from then on each has a history of its own. What was acknowledged before counts at both;
// what was asked at a site afterwards must not be seen at the other one; what was under way may have happened at either. In the end
// nothing was lost (join()), or what one site acknowledged of its own is gone (discard()): that, and nothing else.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "core/types.h"

namespace lockstep::simulator {

/// 0 is what a block holds before any write.
using Value = std::uint64_t;

class History {
 public:
  using Block = std::pair<std::string, std::uint64_t>;  // file and block of the file
  using Site = std::size_t;                             // 0 or 1: whose hosts asked

  /// A write was asked; gives its value.
  Value write_began(const Block& block, Site site, Instant at);
  void write_ended(const Block& block, Value value, Instant at);
  /// It failed with an errno.
  void write_refused(const Block& block, Value value);
  /// A read at `site` that began at `from` and ended at `to` saw `value`: why that may not be, or nullopt.
  [[nodiscard]] std::optional<std::string> read(const Block& block, Value value, Site site, Instant from, Instant to) const;
  /// The same for a block whose sectors do not hold one value.
  [[nodiscard]] std::optional<std::string> read_torn(const Block& block, const std::vector<Value>& sectors, Site site, Instant from,
                                                     Instant to) const;
  /// Who wrote a value, and when that was asked.
  struct Origin {
    Site site;
    Instant from;
    bool acknowledged;
  };
  /// Nullopt: nobody wrote it there.
  [[nodiscard]] std::optional<Origin> origin(const Block& block, Value value) const;

  std::uint64_t append_began(const std::string& file, Site site, Instant at);
  void append_ended(const std::string& file, std::uint64_t record, Instant at);
  void append_refused(const std::string& file, std::uint64_t record);
  /// `records` stand in the file, in this order.
  [[nodiscard]] std::optional<std::string> final_records(const std::string& file, const std::vector<std::uint64_t>& records) const;

  enum class Told { yes, no, nothing };  ///< success, an errno, no answer
  /// Gives its number, for created().
  std::size_t create_began(const std::string& name, Site site, Instant at);
  void created(const std::string& name, std::size_t number, Told told, Instant at);
  void remove_began(const std::string& name, Site site, Instant at);
  void removed(const std::string& name, Told told, Instant at);
  [[nodiscard]] std::optional<std::string> final_name(const std::string& name, bool there) const;
  /// It was created, but may not be there at `site`: it was not stable when the last one who had it lost its power. False for other names.
  [[nodiscard]] bool may_be_missing(const std::string& name, Site site) const;

  /// An fsync of `file` that was asked at `site` at `from` has returned.
  void synced(const std::string& file, Site site, Instant from);
  /// Whatever was acknowledged is stable (ack = "stable").
  void always_stable() { always_stable_ = true; }
  /// No site is left that held in memory what is not stable.
  void power_lost();
  /// This one has lost what is not stable; what counts at the other one is still there. Requires: apart().
  void power_lost(Site site);
  /// A medium failed in the middle of a write: of what is under way some sectors may be there, and stay when it is mended.
  void write_failed();
  [[nodiscard]] bool lost_power() const { return lost_power_; }

  /// From `at` on `primary` may acknowledge what the other site never hears of. Requires: they are not apart.
  void part(Site primary, Instant at);
  /// From `at` on the other one may, too: an administrator forces it.
  void part_both(Instant at);
  /// The sites are equal again, or one of them is being made equal to `survivor`, and nothing was to be lost.
  void join(Site survivor, Instant at);
  /// From `at` on `site` has what the other one has, and nothing of its own; an administrator said so at `said`. How many changes were
  /// asked after that, acknowledged, and are gone.
  [[nodiscard]] std::uint64_t discard(Site site, Instant said, Instant at);
  [[nodiscard]] bool apart() const { return apart_; }
  /// What hosts of this site were told has been discarded, at some time.
  [[nodiscard]] bool discarded(Site site) const { return discarded_[site]; }
  /// Changes that were acknowledged and discarded.
  [[nodiscard]] std::uint64_t gone() const { return gone_; }

  [[nodiscard]] std::vector<std::string> names() const;
  /// Up to the last block that was ever written to a file; 0: none was.
  [[nodiscard]] std::uint64_t blocks_of(const std::string& file) const;
  [[nodiscard]] std::uint64_t acknowledged() const { return acknowledged_; }

 private:
  struct Change {
    Site site;
    Instant from;
    std::optional<Instant> to;  ///< acknowledged
    bool stable = false, refused = false;
    bool gone = false;          ///< with the site's own history
    std::array<bool, 2> lost{}; ///< with the power of that site, while they were apart; perhaps
  };
  struct Write : Change {
    Value value;
  };
  struct Record : Change {
    std::uint64_t number;
  };
  struct Name {
    std::deque<Change> creations;
    std::optional<Change> removal;
  };
  /// Acknowledged, and not known to be stable; some may have become so, or be lost. Changes stay where they are.
  using Unstable = std::vector<Change*>;
  enum class Stands { yes, maybe, no };
  /// Whether `change` is to be seen at `site` if it is the last one. yes: it has happened; no: it must not be seen.
  [[nodiscard]] Stands stands(const Change& change, Site site) const;
  void acknowledge(Change& change, Instant at, Unstable& unstable);
  void synced(Unstable& unstable, Site site, Instant from);
  /// One that counts no more unless a host sees it.
  static void doubt(Change& change) { change.to.reset(); }
  void tear(Site site);
  /// Only what `survivor` has counts from now on.
  void end_apart(Site survivor, Instant at);
  template <class Do>
  void for_all(Do what);

  std::uint64_t next_ = 0;
  std::uint64_t acknowledged_ = 0;
  bool always_stable_ = false;
  bool lost_power_ = false;
  std::map<Block, std::deque<Write>> writes_;
  std::array<std::map<Block, Instant>, 2> torn_;  ///< of each site; may hold sectors of several writes since then
  std::map<std::string, std::deque<Record>> records_;
  std::map<std::string, Name> names_;
  std::map<std::string, Unstable> unstable_;  ///< of the blocks and records of a file
  Unstable unstable_names_;
  Instant last_;  ///< of all times that were told

  bool apart_ = false;
  Instant parted_;                 ///< since when; when they last came together
  std::array<Instant, 2> own_{};   ///< what a site acknowledges from then on may be its own
  std::array<bool, 2> discarded_{};
  std::uint64_t gone_ = 0;
};

}  // namespace lockstep::simulator
