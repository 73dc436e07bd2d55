// machine.h - one site's hardware: what survives the death of a process, and what loss of power does to it.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "core/types.h"
#include "sim/prng.h"
#include "sim/universe.h"

namespace lockstep::sim {

class KeyStore;
class Mount;
class Storage;

/// What the machine's clock makes of the universe's time.
struct ClockSettings {
  Duration offset{};           ///< of the monotonic clock
  std::int64_t drift_ppm = 0;  ///< how much too fast it runs, in millionths
  Duration wall_offset{};      ///< of the calendar's time; may be changed at any moment
};

class Machine {
 public:
  Machine(Universe& universe, std::string name, Prng prng);
  /// Kills what still runs.
  ~Machine();
  Machine(const Machine&) = delete;

  [[nodiscard]] Universe& universe() { return universe_; }
  [[nodiscard]] const std::string& name() const { return name_; }
  [[nodiscard]] Prng& prng() { return prng_; }
  [[nodiscard]] Storage& storage() { return *storage_; }
  [[nodiscard]] KeyStore& key_store() { return *key_store_; }
  [[nodiscard]] ClockSettings& clock_settings() { return clock_settings_; }
  /// What hosts of this machine see; null before the first mount and after a loss of power.
  [[nodiscard]] const std::shared_ptr<Mount>& mount() const { return mount_; }
  void set_mount(std::shared_ptr<Mount> mount) { mount_ = std::move(mount); }
  /// A number for a thread of an application.
  std::uint32_t next_thread() { return 0x8000'0000u | ++threads_; }
  /// Of the operating system: new after each loss of power.
  [[nodiscard]] Uuid boot_id() const { return boot_id_; }

  /// Starts a program. Valid until it ends, is killed, or the machine goes.
  Process& start(const std::string& program = "daemon");
  [[nodiscard]] const std::vector<std::shared_ptr<Process>>& processes() const { return processes_; }
  /// An orderly exit: keys go back to their last flush. Requires: every task of the process has ended.
  void end(Process& process);
  /// SIGKILL: what was written stays, keys go back to some prefix not older than their last flush, connections close.
  void kill(Process& process);
  /// Kills all; then what was not synced is lost, kept or torn. start() is possible at once.
  void lose_power();

 private:
  void destroy(Process& process, bool silently);
  Universe& universe_;
  std::string name_;
  Prng prng_;
  ClockSettings clock_settings_;
  Uuid boot_id_;
  std::uint64_t started_ = 0;
  std::uint32_t threads_ = 0;
  std::unique_ptr<Storage> storage_;
  std::unique_ptr<KeyStore> key_store_;
  std::shared_ptr<Mount> mount_;
  std::vector<std::shared_ptr<Process>> processes_;
};

}  // namespace lockstep::sim
