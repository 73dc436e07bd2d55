// arbiter.h - the register outside of all machines, in virtual time.
//
//   site ---- connect ----> site ---- request -----> [compared, swapped] ---- answer ----> site
//       refused, cut off:        lost, late, held:                         lost:
//       unavailable              unknown                                   unknown
//
// A request that was sent goes its way whatever becomes of its caller. What comes to an arbiter that is not available, or from a
// machine that was cut off meanwhile, is lost or held by chance; held requests come when the obstacle is gone. So a swap
// whose result is unknown may have happened, may never happen, or may yet happen.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "runtime/register.h"
#include "sim/prng.h"
#include "sim/process.h"
#include "sim/universe.h"

namespace lockstep::sim {

struct ArbiterWeather {
  Duration delay_min{200'000}, delay_max{20'000'000};  ///< of each of connect, request, answer
  unsigned refused_permille = 0;                       ///< the connection fails, nothing was sent
  unsigned lost_permille = 0;                          ///< the request is lost after it was sent
  unsigned late_permille = 0;                          ///< the request takes up to `late_max` longer
  unsigned unanswered_permille = 0;                    ///< it was carried out, the answer is lost
  Duration late_max = std::chrono::seconds(30);
};

/// One call of a process.
struct ArbiterCall {
  /// Whoever waits for the answer.
  class Caller {
   public:
    virtual void answered() = 0;

   protected:
    ~Caller() = default;
  };
  Process& process;        ///< alive while `caller` is set
  const Machine& machine;  ///< that it runs on
  bool swap = false;  ///< else a read
  std::uint64_t expected = 0;
  std::string value;
  bool sent = false;         ///< from here on it may be carried out
  Caller* caller = nullptr;  ///< null: nobody waits (any more)
  std::optional<Result<runtime::SwapResult>> answer;  ///< of a read: only `now`
};

class Arbiter {
 public:
  Arbiter(Universe& universe, Prng prng) : universe_(universe), prng_(prng) {}
  Arbiter(const Arbiter&) = delete;

  ArbiterWeather weather;
  /// False: it refuses connections, and carries nothing out.
  void set_available(bool on);
  [[nodiscard]] bool available() const { return available_; }
  /// False: nothing gets from `machine` to it or back.
  void set_reachable(const Machine& machine, bool on);
  [[nodiscard]] bool reachable(const Machine& machine) const { return !cut_off_.contains(&machine); }
  [[nodiscard]] const runtime::RegisterState& state() const { return state_; }
  /// An administrator puts back an older state, or loses all.
  void restore(runtime::RegisterState state);

  // For the registers of processes.
  /// Sends `call` on its way.
  void begin(std::shared_ptr<ArbiterCall> call);

 private:
  using Call = std::shared_ptr<ArbiterCall>;
  [[nodiscard]] Duration travel() { return prng_.between(weather.delay_min, weather.delay_max); }
  [[nodiscard]] bool passes(const ArbiterCall& call) const;
  void connected(const Call& call);
  void arrived(const Call& call);
  void answer(const Call& call, Result<runtime::SwapResult> result);
  [[nodiscard]] runtime::SwapResult carry_out(const ArbiterCall& call);
  void send_held();

  Universe& universe_;
  Prng prng_;
  bool available_ = true;
  std::set<const Machine*> cut_off_;  // looked up only, never walked
  runtime::RegisterState state_;
  std::vector<Call> held_;
};

/// A process's way to the arbiter.
class SimRegister final : public runtime::Register {
 public:
  SimRegister(Process& process, Arbiter& arbiter) : process_(process), arbiter_(arbiter) {}
  runtime::Task<Result<runtime::RegisterState>> read(Duration timeout, runtime::Stop& stop) override;
  runtime::Task<Result<runtime::SwapResult>> swap(std::uint64_t expected, std::string value, Duration timeout,
                                                  runtime::Stop& stop) override;
  void accept_another() override {}  // there is one, whatever restore() makes of it

 private:
  runtime::Task<Result<runtime::SwapResult>> ask(std::shared_ptr<ArbiterCall> call, Duration timeout, runtime::Stop& stop);
  Process& process_;
  Arbiter& arbiter_;
};

}  // namespace lockstep::sim
