// failure.h - the first failed write or sync of an area (C7): after it nothing more is written and nothing made stable.
//
// What a failed sync was to make stable may be lost although a later one succeeds, so no later answer may rely on it. One
// object serves all files of an area.
#pragma once

#include <optional>
#include <utility>

#include "core/result.h"

namespace lockstep::area {

class Failure {
 public:
  /// Keeps `error` if it is the first one; returns it.
  std::unexpected<Error> note(Error error) {
    if (!first_) first_ = error;
    return std::unexpected(std::move(error));
  }
  /// The first error, before anything else is written.
  [[nodiscard]] Result<> check() const {
    if (first_) return std::unexpected(*first_);
    return {};
  }
  [[nodiscard]] const std::optional<Error>& first() const { return first_; }

 private:
  std::optional<Error> first_;
};

}  // namespace lockstep::area
