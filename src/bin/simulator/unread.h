// unread.h - the client of a command who reads nothing of what it sends while it runs.
#pragma once

#include "control/commands.h"

namespace lockstep::simulator {

class Unread final : public control::Stream {
 public:
  runtime::Task<bool> send(nlohmann::json) override { co_return true; }
  runtime::Stop& gone() override { return gone_; }

 private:
  runtime::Stop gone_;
};

}  // namespace lockstep::simulator
