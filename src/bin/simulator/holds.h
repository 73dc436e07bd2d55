// holds.h - what sites reserved, what they were told of it, and whether what hosts saw may be (R4).
//
// From the acknowledgement of a reservation until its release or its breaking is asked for, it holds for certain: no change by another site's
// host that was asked and acknowledged in that time can have come about. From when it is asked for until its release is acknowledged
// it may hold: only in that time another site's host may be told EBUSY. One without an answer, and all there are when what is not
// stable is lost or the sites are apart, hold for certain no more, and may hold for ever.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/types.h"

namespace lockstep::simulator {

/// Blocks of a file, a file, or a directory with everything below it.
struct Part {
  std::string path;
  bool tree = false;
  std::uint64_t first = 0, count = 0;  ///< blocks; count 0: all of it
  /// Of a file or a name: the block, or what is not a block of its own.
  [[nodiscard]] bool covers(const std::string& other, std::optional<std::uint64_t> block) const;
};

class Holds {
 public:
  using Site = std::size_t;
  using Number = std::size_t;

  struct Hold {
    Site site;
    Part part;
    bool busy;
    Instant asked;
    std::optional<Instant> made;
    std::optional<Instant> ending;  ///< asked to be released or broken, first
    std::optional<Instant> ended;
    bool refused = false;
    std::optional<Instant> doubted;
    /// All the time from `from` to `to`.
    [[nodiscard]] bool certain(Instant from, Instant to) const {
      return made && *made <= from && (!ending || to < *ending) && (!doubted || to < *doubted);
    }
  };

  Number asked(Site site, Part part, bool busy, Instant at);
  void made(Number number, Instant at);
  void refused(Number number) { all_[number].refused = true; }
  /// No answer came, or none will.
  void doubt(Number number, Instant at);
  /// All that may hold now.
  void doubt_all(Instant at);
  /// What `site` or, without it, anybody has reserved of `part` is being released. Gives its number, for released().
  Number releasing(Part part, std::optional<Site> site, Instant at);
  /// It has been, or there was nothing. One that got no answer may still come.
  void released(Number number, Instant at);
  /// Whatever was made is not there any more, and everything that was asked for has its answer.
  void none_left(Instant at);
  /// How many times somebody asked for any site's to be released.
  [[nodiscard]] std::uint64_t breaks() const { return breaks_; }

  [[nodiscard]] const Hold& at(Number number) const { return all_[number]; }
  [[nodiscard]] const std::vector<Hold>& all() const { return all_; }

  /// A host of `site` changed `path`, or a block of it; asked at `from`, acknowledged or seen at `to`. Why that may not be, or nullopt.
  [[nodiscard]] std::optional<std::string> changed(Site site, const std::string& path, std::optional<std::uint64_t> block, Instant from,
                                                   Instant to) const;
  /// It was told EBUSY.
  [[nodiscard]] std::optional<std::string> told_busy(Site site, const std::string& path, std::optional<std::uint64_t> block, Instant from,
                                                     Instant to) const;
  /// A reservation of `part` was refused because of another site's.
  [[nodiscard]] std::optional<std::string> told_reserved(Site site, const Part& part, Instant from, Instant to) const;

 private:
  struct Release {
    Part part;
    std::optional<Site> site;
    Instant from;
    std::optional<Instant> to;
    [[nodiscard]] bool of(const Hold& hold) const;
  };
  std::vector<Hold> all_;
  std::vector<Release> releases_;
  std::uint64_t breaks_ = 0;
};

/// For people.
[[nodiscard]] std::string text_of(const Part& part);

}  // namespace lockstep::simulator
