#include "sim/machine.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/check.h"
#include "sim/disk.h"
#include "sim/key_value.h"
#include "sim/mount.h"
#include "sim/network.h"
#include "sim/process.h"
#include "sim/storage.h"

namespace lockstep::sim {
namespace {

Uuid draw_uuid(Prng& prng) {
  Uuid id;
  for (auto& byte : id.bytes) byte = static_cast<std::uint8_t>(prng.below(256));
  return id;
}

}  // namespace

Machine::Machine(Universe& universe, std::string name, Prng prng)
    : universe_(universe),
      name_(std::move(name)),
      prng_(prng),
      boot_id_(draw_uuid(prng_)),
      storage_(std::make_unique<Storage>(universe, name_, prng_.fork("storage"))),
      key_store_(std::make_unique<KeyStore>(universe, prng_.fork("keys"))) {}

Machine::~Machine() {
  while (!processes_.empty()) kill(*processes_.back());
}

Process& Machine::start(const std::string& program) {
  processes_.push_back(std::make_shared<Process>(*this, fmt::format("{}.{} on {}", program, ++started_, name_)));
  return *processes_.back();
}

void Machine::end(Process& process) {
  CHECK(process.alive() && process.idle());
  storage_->process_ended(process);
  key_store_->process_died(process);  // what it did not flush is gone, as in the real store
  universe_.network().close_all_of(process, false);
  if (mount_ != nullptr && &mount_->daemon() == &process) mount_->cut_off();
  universe_.forget_events_of(&process, false);
  std::erase_if(processes_, [&](const auto& p) { return p.get() == &process; });
}

void Machine::kill(Process& process) { destroy(process, false); }

void Machine::destroy(Process& process, bool silently) {
  CHECK(process.alive());
  process.die();
  storage_->process_died(process);
  key_store_->process_died(process);
  universe_.network().close_all_of(process, silently);
  if (mount_ != nullptr && &mount_->daemon() == &process) mount_->cut_off();
  universe_.forget_events_of(&process, true);
  const auto it =
      std::find_if(processes_.begin(), processes_.end(), [&](const auto& p) { return p.get() == &process; });
  Universe::bury(std::move(*it));
  processes_.erase(it);
}

void Machine::lose_power() {
  while (!processes_.empty()) destroy(*processes_.back(), true);
  mount_.reset();
  storage_->lose_power();
  boot_id_ = draw_uuid(prng_);
}

}  // namespace lockstep::sim
