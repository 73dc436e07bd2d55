// sim_register_maker.cc - the simulated register for the conformance suite; each has a seed of its own.
#include <fmt/format.h>

#include <stdexcept>

#include "conformance/register_maker.h"
#include "sim/arbiter.h"
#include "sim/machine.h"
#include "sim/process.h"
#include "sim/universe.h"

namespace lockstep::conformance {
namespace {

class SimRegisterMaker final : public RegisterMaker {
 public:
  explicit SimRegisterMaker(std::uint64_t seed)
      : universe_(seed),
        arbiter_(universe_.add_arbiter()),
        here_(universe_.add_machine("alpha").start()),
        // Tasks of a test run in one process: the other site is a second way to the arbiter from there.
        beside_(here_, arbiter_) {}
  runtime::Scheduler& scheduler() override { return here_; }
  runtime::Clock& clock() override { return here_.world().clock; }
  runtime::Register& here() override { return *here_.world().arbiter; }
  runtime::Register& there() override { return beside_; }
  void run(runtime::Task<void> task) override {
    here_.spawn(std::move(task));
    if (!universe_.run_until([this] { return here_.idle(); }, std::chrono::minutes(10)))
      throw std::runtime_error(fmt::format("seed {}: the test does not end", universe_.seed()));
  }
  void set_available(bool on) override { arbiter_.set_available(on); }

 private:
  sim::Universe universe_;
  sim::Arbiter& arbiter_;
  sim::Process& here_;
  sim::SimRegister beside_;
};

}  // namespace

std::unique_ptr<RegisterMaker> make_register() {
  static std::uint64_t seed = 0;
  return std::make_unique<SimRegisterMaker>(++seed);
}

}  // namespace lockstep::conformance
