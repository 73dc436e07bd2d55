#include "fsck/key_cursor.h"

namespace lockstep::fsck {
namespace {

constexpr std::size_t kPageKeys = 1024;

}  // namespace

bool well_formed(std::string_view key) {
  if (key.empty()) return false;
  switch (key[0]) {
    case '\0': return true;
    case 'I':
    case 'R':
    case 'O':
    case 'L': return key.size() == 9;
    case 'D': return key.size() >= 18;
    case 'E': return key.size() == 13;
    case 'X': return key.size() > 9;
    case 'G': return key.size() == 5;
    case 'N': return key.size() == 1;
    case 'V': return key.size() == 25;
    default: return false;
  }
}

KeyCursor KeyCursor::over_everything(runtime::KeyValue& store) {
  KeyCursor cursor(store, {std::string(), std::string(16, '\xff')});
  cursor.everything_ = true;
  return cursor;
}

runtime::Task<Result<bool>> KeyCursor::next() {
  for (;;) {
    ++at_;
    if (at_ >= page_.size()) {
      const bool ended = last_page_;
      if (!page_.empty()) span_.from = page_.back().key + '\0';
      page_.clear();
      at_ = 0;
      if (ended) co_return false;
      Result<std::vector<runtime::KeyPair>> page = co_await store_.scan(span_.from, span_.to, kPageKeys, nullptr);
      if (!page) co_return std::unexpected(page.error());
      page_ = std::move(*page);
      last_page_ = page_.size() < kPageKeys;
      if (page_.empty()) co_return false;
    }
    if (everything_ || well_formed(page_[at_].key)) co_return true;
  }
}

std::uint64_t KeyCursor::number() const {
  std::uint64_t n = 0;
  for (std::size_t i = 1; i <= 8; ++i) n = n << 8 | static_cast<std::uint8_t>(key()[i]);
  return n;
}

}  // namespace lockstep::fsck
