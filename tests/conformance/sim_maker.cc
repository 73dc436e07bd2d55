// sim_maker.cc - the simulated world for the conformance suite; each world has a seed of its own.
#include <fmt/format.h>

#include <stdexcept>

#include "conformance/world_maker.h"
#include "sim/disk.h"
#include "sim/machine.h"
#include "sim/process.h"
#include "sim/universe.h"

namespace lockstep::conformance {
namespace {

class SimMaker final : public WorldMaker {
 public:
  explicit SimMaker(std::uint64_t seed)
      : universe_(seed),
        process_(universe_.add_machine("alpha").start()),
        other_(process_.machine().start("other")),
        other_disk_(other_, process_.machine().storage()) {}

  runtime::World& world() override { return process_.world(); }
  void run(runtime::Task<void> task) override {
    process_.spawn(std::move(task));
    if (!universe_.run_until([this] { return process_.idle(); }, std::chrono::minutes(10))) {
      throw std::runtime_error(fmt::format("seed {}: the test does not end", universe_.seed()));
    }
  }
  runtime::Disk& other_disk() override { return other_disk_; }
  std::string free_address() override { return fmt::format("alpha:{}", next_port_++); }
  std::string dead_address() override { return "alpha:1"; }

 private:
  sim::Universe universe_;
  sim::Process& process_;
  sim::Process& other_;
  sim::SimDisk other_disk_;
  int next_port_ = 7000;
};

}  // namespace

std::unique_ptr<WorldMaker> make_world() {
  static std::uint64_t seed = 0;
  return std::make_unique<SimMaker>(++seed);
}

}  // namespace lockstep::conformance
