// scene.h - two simulated sites in sync with some files, one application at each, and a record of what the sites do.
//
//   /data      16 blocks of kOld, written; overwritten in place
//   /records   one block of kOld; appended to
//   /names     a directory with "from" in it
//
// Everything is set up and settled when the constructor returns: only what a test starts happens afterwards.
#pragma once

#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "bin/simulator/checks.h"
#include "bin/simulator/cluster.h"
#include "catch.h"
#include "controller/steps.h"
#include "sim/host.h"

namespace lockstep::write_path {

using controller::Status;
using controller::Step;
using simulator::kSites;

inline constexpr std::size_t kEast = 0, kWest = 1;  // the primary, the secondary
inline constexpr std::uint64_t kOld = 0x01D01D01D01D01D0, kNew = 0x5E35E35E35E35E35;
inline constexpr std::uint64_t kDataBlocks = 16;

/// `bytes` bytes that say `value` over and over.
[[nodiscard]] std::string text_of(std::uint64_t value, std::uint64_t bytes);

/// A step, with the world as it stood at that moment.
struct Seen {
  std::size_t site = 0;
  controller::StepEvent event;
  std::uint64_t new_blocks[2] = {};        ///< blocks of each area that start with kNew
  Status status[2] = {};                   ///< of the step's range, in each site's table
  std::uint64_t sent_to_secondary = 0;     ///< bytes that the primary handed to the network, ever
};

/// What an application did, and what came of it.
struct Answer {
  std::size_t count = 0;
  std::optional<Error> error;
  bool made = false;                       ///< success
  Instant at;
};

enum class Call { overwrite, append, create, rename };
[[nodiscard]] std::string name_of(Call call);

class Scene {
 public:
  /// `alone`: the primary may go on without the other site.
  explicit Scene(std::uint64_t seed, bool alone = false);
  ~Scene();
  Scene(const Scene&) = delete;

  simulator::Cluster cluster;
  [[nodiscard]] sim::Universe& universe() { return cluster.universe(); }
  [[nodiscard]] sim::Network& network() { return cluster.universe().network(); }
  [[nodiscard]] controller::Replica& replica(std::size_t site) { return cluster.site(site).controller().replica(); }
  [[nodiscard]] sim::Process& applications(std::size_t site) { return *applications_[site]; }

  /// Starts an application's system call at a site; `answer` must live until it has ended.
  /// overwrite: block 3 of /data; append: 32 KiB to /records; create: /names/new, exclusively; rename: /names/from to /names/to.
  void start(std::size_t site, Call call, Answer& answer);
  /// Writes `blocks` blocks of `value` at `block` of /data.
  void start_write(std::size_t site, std::uint64_t block, std::uint64_t blocks, std::uint64_t value, Answer& answer);
  /// Runs until the call has ended; false: it does not within minutes.
  bool run_until_answered(const Answer& answer);
  /// Runs until both sites are in sync and nothing is in flight or waits to be written.
  void settle();

  /// Runs a command of the control socket at the daemon of `site`. nullopt: it has no answer within minutes.
  std::optional<nlohmann::json> command(std::size_t site, nlohmann::json request);
  /// Starts one; `answer` must live until it is there, or the daemon is dead.
  void start_command(std::size_t site, nlohmann::json request, std::optional<nlohmann::json>& answer);
  InodeId inode(const std::string& path);

  /// A file as an application at `site` reads it; nullopt: it is not there.
  std::optional<std::string> content(std::size_t site, const std::string& path);
  /// The turn of `blocks` blocks of /data at `block`.
  [[nodiscard]] wire::Turn data_turn(std::uint64_t block, std::uint64_t blocks) const;

  // What was done since record().
  void record();
  [[nodiscard]] const std::vector<Seen>& seen() const { return seen_; }
  /// Steps of the first request that was asked for since record(), in the order of their time.
  [[nodiscard]] std::vector<Seen> steps_of_request() const;
  /// Called at each step with its number since record(), from 1.
  std::function<void(std::size_t)> at_step;
  /// No more steps of that site's daemon count: it is dead.
  void forget(std::size_t site) { observers_[site].live = false; }

 private:
  struct Observer final : controller::StepObserver {
    Scene* scene = nullptr;
    std::size_t site = 0;
    bool live = false;
    void step(const controller::StepEvent& event) override {
      if (live) scene->saw(site, event);
    }
  };
  void saw(std::size_t site, const controller::StepEvent& event);
  void run(sim::Process& process, runtime::Task<void> task);

  sim::Process* applications_[2] = {};
  sim::Process* lookers_[2] = {};  // look while an application waits
  sim::FileHandle data_[2], records_[2];
  Observer observers_[2];
  std::vector<Seen> seen_;
};

/// A claim on block 3 of /data in the table of one site, as another request would hold it.
struct Held {
  Held(Scene& s, std::size_t where) : scene(s), site(where) {
    const auto taken = scene.replica(site).table.take({.turns = {scene.data_turn(3, 1)}});
    REQUIRE(taken.has_value());
    REQUIRE(taken->verdict == controller::Verdict::granted);
    id = taken->id;
  }
  void release() { scene.replica(site).release(id); }
  Scene& scene;
  std::size_t site;
  controller::ClaimId id;
};

/// Sets up the files, from one site. Suspends.
runtime::Task<void> make_files(sim::Process& process, bool& made);

}  // namespace lockstep::write_path
