// real_register_maker.cc - a real etcd for the conformance suite: one for the program, with a key for each register.
#include <fmt/format.h>
#include <signal.h>

#include "catch.h"
#include "conformance/register_maker.h"
#include "etcd_server.h"
#include "uring/etcd_register.h"

namespace lockstep::conformance {
namespace {

class RealRegisterMaker final : public RegisterMaker {
 public:
  RealRegisterMaker(uring::EtcdServer& server, std::string key)
      : server_(server), real_(directory_.path()), here_(make(key)), there_(make(key)) {}
  ~RealRegisterMaker() override { server_.signal(0, SIGCONT); }
  runtime::Scheduler& scheduler() override { return *real_.loop; }
  runtime::Clock& clock() override { return real_.clock; }
  runtime::Register& here() override { return *here_; }
  runtime::Register& there() override { return *there_; }
  void run(runtime::Task<void> task) override { real_.run(std::move(task)); }
  void set_available(bool on) override { server_.signal(0, on ? SIGCONT : SIGSTOP); }

 private:
  std::unique_ptr<uring::EtcdRegister> make(const std::string& key) {
    auto made = uring::EtcdRegister::make(*real_.loop, {.endpoints = server_.endpoints(), .key = key});
    REQUIRE(made.has_value());
    return std::move(*made);
  }
  uring::EtcdServer& server_;
  uring::TemporaryDirectory directory_;
  uring::RealWorld real_;
  std::unique_ptr<uring::EtcdRegister> here_, there_;
};

}  // namespace

std::unique_ptr<RegisterMaker> make_register() {
  static uring::EtcdServer server(1);
  static int registers = 0;
  return std::make_unique<RealRegisterMaker>(server, fmt::format("/lockstep/{}", ++registers));
}

}  // namespace lockstep::conformance
