#include "resync/comparison.h"

#include <algorithm>

#include "controller/key_digest.h"
#include "core/checksum.h"

namespace lockstep::resync {
namespace {

constexpr std::uint64_t kBlocksMax = 256;

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
  co_return co_await controller::digest_of_keys(world_.keys, snapshot, std::move(question));
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
