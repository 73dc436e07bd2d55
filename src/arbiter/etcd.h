// etcd.h - the register as etcd's JSON gateway speaks of it (v3): bodies of requests, and what an answer says.
//
//   POST /v3/kv/range   {"key"}                                     -> header, kvs: none, or one with its mod_revision
//   POST /v3/kv/txn     if mod_revision(key) = expected             -> header, succeeded, responses: what each step gave
//                       then put key, range key; else range key
//
// The register's revision is the key's mod_revision, which is 0 where there is no key: for etcd in the comparison too. Both
// branches end with a range, so the answer tells the state either way. 64-bit numbers are strings in JSON, keys and values
// base64; what is zero, false or empty is left out.
//
// Functions of bytes alone. Answers are untrusted: they may be anything, up to kAnswerBytesMax; texts of errors are short and
// printable. Of an answer to a swap that can't be read one knows nothing: Errc::unknown. Only a clear refusal (a request
// that etcd did not take up, an error after which it changes nothing) is Errc::unavailable.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "core/result.h"
#include "runtime/register.h"

namespace lockstep::arbiter {

/// No answer is longer: the longest value in base64, and what stands around it.
inline constexpr std::size_t kAnswerBytesMax = 128 << 10;

inline constexpr std::string_view kRangePath = "/v3/kv/range";
inline constexpr std::string_view kTxnPath = "/v3/kv/txn";

/// An answer as HTTP brought it.
struct HttpAnswer {
  int status = 0;
  std::string body;
};

struct ReadAnswer {
  std::uint64_t cluster = 0;  ///< etcd's cluster_id; endpoints that give different ones are no arbiter
  runtime::RegisterState state;
};

struct SwapAnswer {
  std::uint64_t cluster = 0;
  runtime::SwapResult result;
};

/// The body that asks for `key`.
[[nodiscard]] std::string read_request(std::string_view key);
/// The body that makes `value` the value of `key` if its revision is `expected`.
[[nodiscard]] std::string swap_request(std::string_view key, std::uint64_t expected, std::string_view value);

/// Errc::unavailable: it tells no state of `key`.
[[nodiscard]] Result<ReadAnswer> parse_read(const HttpAnswer& answer, std::string_view key);
/// Errc::unavailable: refused, nothing was or will be changed. Errc::unknown: anything else that is no answer to
/// swap_request(key, expected, value).
[[nodiscard]] Result<SwapAnswer> parse_swap(const HttpAnswer& answer, std::string_view key, std::uint64_t expected,
                                            std::string_view value);

}  // namespace lockstep::arbiter
