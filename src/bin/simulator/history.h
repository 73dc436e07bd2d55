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
#pragma once

#include <cstdint>
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

  /// A write was asked; gives its value.
  Value write_began(const Block& block, Instant at);
  void write_ended(const Block& block, Value value, Instant at);
  /// It failed with an errno.
  void write_refused(const Block& block, Value value);
  /// A read that began at `from` and ended at `to` saw `value`: why that may not be, or nullopt.
  [[nodiscard]] std::optional<std::string> read(const Block& block, Value value, Instant from, Instant to) const;
  /// The same for a block whose sectors do not hold one value.
  [[nodiscard]] std::optional<std::string> read_torn(const Block& block, const std::vector<Value>& sectors, Instant from, Instant to) const;

  std::uint64_t append_began(const std::string& file);
  void append_ended(const std::string& file, std::uint64_t record, Instant at);
  void append_refused(const std::string& file, std::uint64_t record);
  /// `records` stand in the file, in this order.
  [[nodiscard]] std::optional<std::string> final_records(const std::string& file, const std::vector<std::uint64_t>& records) const;

  enum class Told { yes, no, nothing };  ///< success, an errno, no answer
  void create_began(const std::string& name) { ++names_[name].unanswered; }
  void created(const std::string& name, Told told, Instant at);
  void remove_began(const std::string& name) { names_[name].removing = true; }
  void removed(const std::string& name, Instant at);
  [[nodiscard]] std::optional<std::string> final_name(const std::string& name, bool there) const;

  /// An fsync of `file` that was asked at `from` has returned.
  void synced(const std::string& file, Instant from);
  /// Whatever was acknowledged is stable (ack = "stable").
  void always_stable() { always_stable_ = true; }
  /// No site is left that held in memory what is not stable.
  void power_lost();
  [[nodiscard]] bool lost_power() const { return lost_power_; }

  [[nodiscard]] std::vector<std::string> names() const;
  /// Up to the last block that was ever written to a file; 0: none was.
  [[nodiscard]] std::uint64_t blocks_of(const std::string& file) const;
  [[nodiscard]] std::uint64_t acknowledged() const { return acknowledged_; }

 private:
  struct Write {
    Value value;
    Instant from;
    std::optional<Instant> to;  ///< acknowledged
    bool stable = false, refused = false;
  };
  struct Record {
    std::uint64_t number;
    std::optional<Instant> to;
    bool stable = false, refused = false;
  };
  struct Name {
    int told_yes = 0, unanswered = 0;
    Instant created_at, removed_at;
    bool removing = false, removed = false;
    bool created_stable = false, removed_stable = false;
  };
  std::uint64_t next_ = 0;
  std::uint64_t acknowledged_ = 0;
  bool always_stable_ = false;
  bool lost_power_ = false;
  std::map<Block, std::vector<Write>> writes_;
  std::map<Block, Instant> torn_;  ///< may hold sectors of several writes since then
  std::map<std::string, std::vector<Record>> records_;
  std::map<std::string, Name> names_;
  Instant last_;  ///< of all times that were told
};

}  // namespace lockstep::simulator
