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
  /// A read that began at `from` and ended at `to` saw `value`: why that may not be, or nullopt.
  [[nodiscard]] std::optional<std::string> read(const Block& block, Value value, Instant from, Instant to) const;

  std::uint64_t append_began(const std::string& file) { return appended_[file].emplace_back(false, ++next_).second; }
  void append_ended(const std::string& file, std::uint64_t record);
  /// `records` stand in the file, in this order.
  [[nodiscard]] std::optional<std::string> final_records(const std::string& file, const std::vector<std::uint64_t>& records) const;

  enum class Told { yes, no, nothing };  ///< success, an errno, no answer
  void create_began(const std::string& name) { ++names_[name].unanswered; }
  void created(const std::string& name, Told told);
  void remove_began(const std::string& name) { names_[name].removing = true; }
  void removed(const std::string& name, Told told);
  [[nodiscard]] std::optional<std::string> final_name(const std::string& name, bool there) const;

  [[nodiscard]] std::vector<Block> blocks() const;
  [[nodiscard]] std::vector<std::string> files_appended() const;
  [[nodiscard]] std::vector<std::string> names() const;
  [[nodiscard]] std::uint64_t acknowledged() const { return acknowledged_; }

 private:
  struct Write {
    Value value;
    Instant from;
    std::optional<Instant> to;
  };
  struct Name {
    int told_yes = 0, unanswered = 0;
    bool removing = false, removed = false;
  };
  std::uint64_t next_ = 0;
  std::uint64_t acknowledged_ = 0;
  std::map<Block, std::vector<Write>> writes_;
  std::map<std::string, std::vector<std::pair<bool, std::uint64_t>>> appended_;
  std::map<std::string, Name> names_;
};

}  // namespace lockstep::simulator
