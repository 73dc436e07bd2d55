// check_effect.h - what must hold after a call, whatever happened on the way.
#pragma once

#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <functional>
#include <iostream>

#include "scene.h"

namespace lockstep::write_path {

/// Runs `test` in a child process: what a kill abandons stays in memory for ever (see sim/universe.h). The child reports what
/// failed in it.
inline void in_a_child(const std::function<void()>& test) {
  std::cout.flush();
  std::fflush(stdout);
  const pid_t child = fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    int status = 0;
    try {
      test();
    } catch (...) {
      status = 1;
    }
    std::cout.flush();
    std::fflush(stdout);
    _exit(status);
  }
  int status = -1;
  REQUIRE(waitpid(child, &status, 0) == child);
  INFO("what failed is shown above");
  REQUIRE(status == 0);
}

/// One answer, success.
inline void require_success(const Answer& answer) {
  REQUIRE(answer.count == 1);
  INFO("errno " << (answer.error ? answer.error->posix : 0));
  REQUIRE(answer.made);
}

/// How often the call took effect, the same at both sites. Everything else is as it was.
inline std::size_t effects_of(Scene& scene, Call call) {
  REQUIRE(simulator::difference(scene.cluster).value_or("") == "");
  const std::string old_block = text_of(kOld, kBlockBytes);
  std::size_t effects[2] = {};
  for (std::size_t site : {kEast, kWest}) {
    INFO("as seen at " << kSites[site]);
    const std::optional<std::string> data = scene.content(site, "/data"), records = scene.content(site, "/records");
    REQUIRE((data && records));
    std::string expected_data = text_of(kOld, kDataBlocks * kBlockBytes);
    if (call == Call::overwrite && *data != expected_data) {
      expected_data.replace(3 * kBlockBytes, kBlockBytes, text_of(kNew, kBlockBytes));
      effects[site] = 1;
    }
    REQUIRE(*data == expected_data);
    if (call == Call::append) {
      REQUIRE((records->size() - kBlockBytes) % (8 * kBlockBytes) == 0);
      effects[site] = (records->size() - kBlockBytes) / (8 * kBlockBytes);
    }
    REQUIRE(*records == old_block + text_of(kNew, effects[site] * (call == Call::append ? 8 : 0) * kBlockBytes));
    const bool made = scene.content(site, "/names/new").has_value();
    const std::optional<std::string> from = scene.content(site, "/names/from"), to = scene.content(site, "/names/to");
    REQUIRE(from.has_value() != to.has_value());
    REQUIRE((from ? *from : *to) == text_of(kOld, 64));
    if (call == Call::create) effects[site] = made ? 1 : 0;
    if (call == Call::rename) effects[site] = to ? 1 : 0;
    if (call != Call::create) REQUIRE_FALSE(made);
    if (call != Call::rename) REQUIRE(from.has_value());
  }
  REQUIRE(effects[kEast] == effects[kWest]);
  return effects[kEast];
}

/// The primary gave the request that was asked for first one place in its order, and its host was answered once. Requires: no
/// daemon was killed.
inline void require_planned_once(const Scene& scene) {
  std::size_t planned = 0, acknowledged = 0;
  for (const Seen& seen : scene.steps_of_request()) {
    planned += seen.event.step == Step::planned ? 1 : 0;
    acknowledged += seen.event.step == Step::acknowledged ? 1 : 0;
  }
  REQUIRE(planned == 1);
  REQUIRE(acknowledged == 1);
}

}  // namespace lockstep::write_path
