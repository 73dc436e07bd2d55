// sim_aside_maker.cc - what is kept aside in the simulation, for the conformance suite.
#include <sys/stat.h>

#include <stdexcept>

#include "conformance/aside_maker.h"
#include "sim/aside.h"
#include "sim/machine.h"
#include "sim/universe.h"

namespace lockstep::conformance {
namespace {

class SimAsideMaker final : public AsideMaker {
 public:
  runtime::Aside& aside() override { return aside_; }
  void run(runtime::Task<void> task) override {
    process_.spawn(std::move(task));
    if (!universe_.run_until([this] { return process_.idle(); }, std::chrono::minutes(10))) throw std::runtime_error("the test does not end");
  }
  std::string directory() override { return "/aside"; }
  std::optional<SeenAside> look(const std::string& path) override {
    for (const auto& [where, objects] : aside_.trees()) {
      if (path == where) return SeenAside{S_IFDIR | 0700, {}, {}, 0};
      if (!path.starts_with(where + "/")) continue;
      const auto found = objects.find(path.substr(where.size() + 1));
      if (found == objects.end()) return std::nullopt;
      const sim::AsideObject& object = *found->second;
      const auto names = static_cast<std::uint64_t>(found->second.use_count());
      return SeenAside{object.attributes.mode, object.attributes.mtime, object.bytes, S_ISDIR(object.attributes.mode) ? 0 : names};
    }
    return std::nullopt;
  }

 private:
  sim::Universe universe_{1};
  sim::Process& process_ = universe_.add_machine("alpha").start();
  sim::SimAside aside_{process_};
};

}  // namespace

std::unique_ptr<AsideMaker> make_aside() { return std::make_unique<SimAsideMaker>(); }

}  // namespace lockstep::conformance
