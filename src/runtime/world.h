// world.h - everything outside a site, as it was handed to it. Nothing ever asks whether it is simulated.
#pragma once

#include "runtime/clock.h"
#include "runtime/disk.h"
#include "runtime/kernel.h"
#include "runtime/key_value.h"
#include "runtime/net.h"
#include "runtime/register.h"
#include "runtime/scheduler.h"

namespace lockstep::runtime {

struct World {
  Scheduler& scheduler;
  Disk& disk;
  KeyValue& keys;
  Net& net;
  Clock& clock;
  Random& random;
  Kernel& kernel;
  Register* arbiter = nullptr;  ///< null: none is configured
};

}  // namespace lockstep::runtime
