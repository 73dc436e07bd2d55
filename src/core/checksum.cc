#include "core/checksum.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

namespace lockstep {

std::uint64_t checksum(Bytes bytes) { return XXH3_64bits(bytes.data(), bytes.size()); }

std::uint64_t zero_block_checksum() {
  static const std::uint64_t it = [] {
    static constexpr std::array<std::byte, kBlockBytes> zeros{};
    return checksum(zeros);
  }();
  return it;
}

}  // namespace lockstep
