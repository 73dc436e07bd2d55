// effect_observer.h - who is told of every change of the volume as it takes force at this site.
//
// Called from within the write path, while nothing else runs: what is done there is bounded and neither waits nor calls back.
#pragma once

#include "wire/messages.h"

namespace lockstep::controller {

class EffectObserver {
 public:
  /// `effect` is published here: reads give the new state. An overwrite whose answer got lost with the connection may come again.
  virtual void in_force(const wire::Effect& effect) = 0;
  /// This site is being made equal to another one by other means than effects: changes were passed over. `keys`: of the keys, too, which
  /// have been replaced; else only of data.
  virtual void passed_over(bool keys) = 0;

 protected:
  ~EffectObserver() = default;
};

}  // namespace lockstep::controller
