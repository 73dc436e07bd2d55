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
  const Result<std::vector<bool>> bad = co_await area_.check(blocks, bytes);
  for (std::uint64_t i = 0; i < blocks.count; ++i) {
    answer.block_digests.push_back(bad ? checksum(Bytes(bytes).subspan(i * kBlockBytes, kBlockBytes)) : 0);
    if (!bad || (*bad)[i]) answer.bad.push_back(blocks.first + i);
  }
  co_return answer;
}

}  // namespace lockstep::resync
