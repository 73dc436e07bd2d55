#include "core/check.h"

#include <cstdio>
#include <cstdlib>

namespace lockstep {

void check_failed(const char* condition, const char* file, int line, const char* function) {
  std::fprintf(stderr, "lockstep: broken invariant: %s, in %s at %s:%d; stopping before any harm is done\n", condition,
               function, file, line);
  std::fflush(stderr);
  std::abort();
}

}  // namespace lockstep
