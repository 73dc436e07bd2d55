// asked.h - one request of this site's host, whichever role answers it.
//
// It outlives roles: one that ends without an answer hands it back, and the next one goes on with it under the same
// id. Only one that waited for a reservation, of which nothing can stand anywhere, goes on under a new one: results of later
// requests are not kept for its sake.
#pragma once

#include <memory>
#include <vector>

#include "controller/waiter.h"
#include "wire/messages.h"

namespace lockstep::controller {

struct Asked {
  RequestId id;
  wire::Operation operation;
  Bytes payload;
  std::shared_ptr<void> keep;  ///< what holds the payload; null: it is about to go away, own_payload() before suspending
  Instant since;
  bool sent = false;           ///< forwarded under this id: it may have taken effect at another site
  Waiter* waiter = nullptr;    ///< null: nobody who could go

  /// Whoever waited for the answer went.
  [[nodiscard]] bool given_up() const { return waiter != nullptr && waiter->gone; }
  void own_payload() {
    if (keep || payload.empty()) return;
    auto copy = std::make_shared<std::vector<std::byte>>(payload.begin(), payload.end());
    payload = *copy;
    keep = std::move(copy);
  }
};

/// Of a start of a daemon, as ids of requests and locks name it.
[[nodiscard]] constexpr std::uint64_t boot_of(const Uuid& start) {
  std::uint64_t boot = 0;
  for (std::size_t i = 0; i < 8; ++i) boot = boot << 8 | start.bytes[i];
  return boot;
}

/// What a role made of a request: an answer for the host, or none because the role ended.
enum class Fate { answered, role_over };

}  // namespace lockstep::controller
