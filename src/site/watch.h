// watch.h - one running `lockstep watch`: changes of the volume at and below some paths, a line each.
//
//     in force (write path) --take()--> queue --send--> client
//                                         ^
//                     find: names of objects that are not known yet
//
// Invariants:
//   (1) take() neither waits nor reads a medium. Changes of names have their paths at once; what else changes an object whose name is not
//       known waits in the queue, in its place, until the name is found, or that it is not below the paths.
//   (2) The queue is bounded, in lines and bytes. What does not fit is counted, in one line at its end, until that line was sent.
//   (3) A name that is found is the one that the object had when it changed: changes of its names in between are looked at.
//
// A file with several names is told under one of them.
#pragma once

#include <deque>
#include <functional>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <vector>

#include "control/commands.h"
#include "runtime/world.h"
#include "site/watched_tree.h"
#include "volume/recent.h"

namespace lockstep::site {

struct WatchOptions {
  std::vector<std::string> paths;   ///< from the root of the volume
  bool recursive = false;
  std::uint64_t count = 0;          ///< ends after so many changes; 0: not
  std::vector<std::string> sites;   ///< their names
};

class Watch final : private runtime::Stop::Listener {
 public:
  static constexpr std::size_t kLinesMax = 8192;
  static constexpr std::size_t kLineBytesMax = 4u << 20;

  Watch(runtime::World& world, volume::Volume& volume, WatchOptions options);
  ~Watch();

  /// Sends lines until enough were sent, the client goes, or nothing is left to watch. Requires: take() is called from now on. Suspends.
  runtime::Task<nlohmann::json> run(control::Stream& stream);
  /// Changes that took force, of one effect, made by a host of `by`.
  void take(const std::vector<volume::Change>& changes, SiteId by, WallTime at);
  /// Changes were passed over; `keys`: the names are others now, too.
  void passed_over(bool keys);

 private:
  struct Line {
    enum class Kind : std::uint8_t { change, missed, passed_over, watching } kind{};
    std::uint64_t missed = 0;
    SiteId by;
    WallTime at;
    volume::Change change;
    std::string path, to;             // of the change; `to` empty: none, or not known
    const char* what = "";
    std::size_t bytes = 0;            // counted in line_bytes_
    enum class Waits : std::uint8_t { no, for_object, for_directory } waits{};
  };

  void take_name(const volume::Change& change, Line line);
  void take_object(const volume::Change& change, Line line);
  /// Sets what the line says of a change of names. False: nothing, it is not watched.
  [[nodiscard]] bool describe(Line& line) const;
  void remember_name(const volume::Change& change);
  void push(Line line);
  void drop_lines(const std::function<bool(const Line&)>& goes);
  void learned(InodeId object, const volume::NamePlace* place);
  void look_at_end();

  runtime::Task<void> find_names();
  runtime::Task<void> begin();
  runtime::Task<void> find_root(std::string path);
  runtime::Task<void> list(InodeId directory);
  runtime::Task<void> find(InodeId object);
  void place_waiting_names();
  runtime::Task<bool> send_lines(control::Stream& stream);
  [[nodiscard]] nlohmann::json json_of(const Line& line) const;
  void stopped() override { changed_.notify_all(); }

  runtime::World& world_;
  volume::Volume& volume_;
  const WatchOptions options_;
  runtime::Event changed_;
  runtime::Scope finding_;
  WatchedTree tree_;
  volume::Recent<InodeId, volume::NamePlace> names_;  // of objects; in no directory: not below the paths
  std::set<InodeId> unknown_;                         // objects that lines wait for
  std::deque<Line> lines_;
  std::size_t line_bytes_ = 0;
  std::uint64_t sent_ = 0;
  bool telling_ = false;   // the directories are known
  bool again_ = false;     // names were replaced: look for the paths again
  bool ended_ = false;
  bool gone_ = false;      // nothing is left to watch
  std::string failure_;    // why it ends, for people
};

}  // namespace lockstep::site
