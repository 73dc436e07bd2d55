// bitmap.h - bits in words of 64: set, clear, count and find, a word at a time.
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>
#include <optional>
#include <span>

namespace lockstep::area::bitmap {

/// The bits of one word that lie in [from, to), both counted from the word's first bit. Requires: from < to <= 64.
constexpr std::uint64_t mask(std::uint64_t from, std::uint64_t to) {
  return (~0ull << from) & (~0ull >> (64 - to));
}

/// Calls f(word, mask) for each word that [from, to) touches.
template <class Words, class F>
void each_word(Words& words, std::uint64_t from, std::uint64_t to, F f) {
  while (from < to) {
    const std::uint64_t end = std::min(to, (from / 64 + 1) * 64);
    f(words[from / 64], mask(from % 64, end - from / 64 * 64));
    from = end;
  }
}

template <class Words>
void set(Words& words, std::uint64_t from, std::uint64_t to) {
  each_word(words, from, to, [](std::uint64_t& word, std::uint64_t m) { word |= m; });
}
template <class Words>
void clear(Words& words, std::uint64_t from, std::uint64_t to) {
  each_word(words, from, to, [](std::uint64_t& word, std::uint64_t m) { word &= ~m; });
}

inline std::uint64_t count(std::span<const std::uint64_t> words) {
  std::uint64_t n = 0;
  for (const std::uint64_t word : words) n += static_cast<std::uint64_t>(std::popcount(word));
  return n;
}

/// First set bit of [from, to); `to` if there is none.
inline std::uint64_t next_set(std::span<const std::uint64_t> words, std::uint64_t from, std::uint64_t to) {
  while (from < to) {
    const std::uint64_t rest = words[from / 64] >> (from % 64);
    if (rest != 0) return std::min(to, from + static_cast<std::uint64_t>(std::countr_zero(rest)));
    from = (from / 64 + 1) * 64;
  }
  return to;
}

/// First clear bit of [from, to); `to` if there is none.
inline std::uint64_t next_clear(std::span<const std::uint64_t> words, std::uint64_t from, std::uint64_t to) {
  while (from < to) {
    const std::uint64_t rest = ~words[from / 64] >> (from % 64);
    if (rest != 0) return std::min(to, from + static_cast<std::uint64_t>(std::countr_zero(rest)));
    from = (from / 64 + 1) * 64;
  }
  return to;
}

/// Start of the first `n` clear bits in a row within [from, to).
inline std::optional<std::uint64_t> find_clear(std::span<const std::uint64_t> words, std::uint64_t from, std::uint64_t to,
                                               std::uint64_t n) {
  while ((from = next_clear(words, from, to)) != to && to - from >= n) {
    const std::uint64_t end = next_set(words, from, from + n);
    if (end == from + n) return from;
    from = end;
  }
  return std::nullopt;
}

}  // namespace lockstep::area::bitmap
