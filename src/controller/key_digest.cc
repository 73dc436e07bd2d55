#include "controller/key_digest.h"

#include <algorithm>

#include "core/checksum.h"

namespace lockstep::controller {
namespace {

constexpr std::uint32_t kKeysMax = 4096;

void add(std::string& text, const std::string& part) {
  const std::uint64_t size = part.size();
  text.append(reinterpret_cast<const char*>(&size), sizeof size);
  text += part;
}

}  // namespace

runtime::Task<wire::VerifyAnswer> digest_of_keys(runtime::KeyValue& keys, std::shared_ptr<runtime::KeySnapshot> snapshot,
                                                 wire::VerifyAsk question) {
  wire::VerifyAnswer answer;
  answer.number = question.number;
  const std::uint32_t limit = std::clamp<std::uint32_t>(question.limit, 1, kKeysMax);
  const Result<std::vector<runtime::KeyPair>> pairs = co_await keys.scan(question.from, question.to, limit, snapshot.get());
  if (!pairs) co_return answer;
  std::string text;
  for (const runtime::KeyPair& pair : *pairs) {
    add(text, pair.key);
    add(text, pair.value);
  }
  answer.keys = pairs->size();
  answer.digest = checksum(std::as_bytes(std::span(text)));
  if (pairs->size() == limit) answer.next = pairs->back().key + '\0';
  co_return answer;
}

}  // namespace lockstep::controller
