// key_digest.h - what two sites tell each other of their keys instead of the keys.
#pragma once

#include "runtime/key_value.h"
#include "wire/messages.h"

namespace lockstep::controller {

/// Number and digest of the first keys in [from, to) of `snapshot`, at most `limit` of them, and where to go on (`next`,
/// empty: that was all). Keys can't be read: an answer without keys and next, whose digest is 0. Suspends.
[[nodiscard]] runtime::Task<wire::VerifyAnswer> digest_of_keys(runtime::KeyValue& keys, std::shared_ptr<runtime::KeySnapshot> snapshot,
                                                               wire::VerifyAsk question);

}  // namespace lockstep::controller
