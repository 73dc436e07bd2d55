#include "resync/comparison.h"

#include <algorithm>

#include "core/checksum.h"

namespace lockstep::resync {
namespace {

constexpr std::uint32_t kKeysMax = 4096;
constexpr std::uint64_t kBlocksMax = 256;

void add(std::string& text, const std::string& part) {
  const std::uint64_t size = part.size();
  text.append(reinterpret_cast<const char*>(&size), sizeof size);
  text += part;
}

}  // namespace

void Comparison::begin(std::uint64_t number) {
  number_ = number;
  snapshot_ = world_.keys.snapshot();
}

runtime::Task<wire::VerifyAnswer> Comparison::ask(wire::VerifyAsk question) {
  if (question.blocks.count > 0) co_return co_await ask_blocks(std::move(question));
  wire::VerifyAnswer answer;
  answer.number = question.number;
  // The snapshot may be ended while it is scanned: this holds it.
  const std::shared_ptr<runtime::KeySnapshot> snapshot = snapshot_;
  if (question.number != number_ || !snapshot) co_return answer;
  const std::uint32_t limit = std::clamp<std::uint32_t>(question.limit, 1, kKeysMax);
  const Result<std::vector<runtime::KeyPair>> pairs =
      co_await world_.keys.scan(question.from, question.to, limit, snapshot.get());
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

runtime::Task<wire::VerifyAnswer> Comparison::ask_blocks(wire::VerifyAsk question) {
  wire::VerifyAnswer answer;
  answer.number = question.number;
  const BlockRange blocks = question.blocks;
  if (blocks.count > kBlocksMax || blocks.first >= area_.identity().blocks ||
      blocks.count > area_.identity().blocks - blocks.first) {
    co_return answer;
  }
  std::vector<std::byte> bytes(blocks.count * kBlockBytes);
  const Result<> read = co_await area_.read_raw(blocks, bytes);
  for (std::uint64_t i = 0; i < blocks.count; ++i) {
    const std::uint64_t digest = read ? checksum(Bytes(bytes).subspan(i * kBlockBytes, kBlockBytes)) : 0;
    answer.block_digests.push_back(digest);
    if (!read || digest != area_.stored_checksum(blocks.first + i)) answer.bad.push_back(blocks.first + i);
  }
  co_return answer;
}

}  // namespace lockstep::resync
