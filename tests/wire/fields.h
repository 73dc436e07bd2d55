// fields.h - the fields of an aggregate as a tuple, so that tests cover every field of messages.h without naming it.
//
// A field that is added there is filled, sent and compared here at once: a codec that forgets it fails.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include "core/types.h"

namespace lockstep::fields {

struct Anything {
  template <class T>
  operator T() const;  // NOLINT: only named, never called
};

template <class T, std::size_t... I>
constexpr bool takes(std::index_sequence<I...>) {
  return requires { T{(static_cast<void>(I), Anything{})...}; };
}
/// Number of fields of aggregate T, at most 24.
template <class T, std::size_t N = 24>
constexpr std::size_t count() {
  if constexpr (N == 0) {
    return 0;
  } else if constexpr (takes<T>(std::make_index_sequence<N>())) {
    return N;
  } else {
    return count<T, N - 1>();
  }
}

/// References to the fields of `t`, in order.
template <class T>
constexpr auto tie(T& t) {
  constexpr std::size_t n = count<std::remove_const_t<T>>();
  static_assert(n >= 1 && n <= 21, "add a line for as many fields");
  // clang-format off
  if constexpr (n == 1) { auto& [a] = t; return std::tie(a); }
  else if constexpr (n == 2) { auto& [a, b] = t; return std::tie(a, b); }
  else if constexpr (n == 3) { auto& [a, b, c] = t; return std::tie(a, b, c); }
  else if constexpr (n == 4) { auto& [a, b, c, d] = t; return std::tie(a, b, c, d); }
  else if constexpr (n == 5) { auto& [a, b, c, d, e] = t; return std::tie(a, b, c, d, e); }
  else if constexpr (n == 6) { auto& [a, b, c, d, e, f] = t; return std::tie(a, b, c, d, e, f); }
  else if constexpr (n == 7) { auto& [a, b, c, d, e, f, g] = t; return std::tie(a, b, c, d, e, f, g); }
  else if constexpr (n == 8) { auto& [a, b, c, d, e, f, g, h] = t; return std::tie(a, b, c, d, e, f, g, h); }
  else if constexpr (n == 9) { auto& [a, b, c, d, e, f, g, h, i] = t; return std::tie(a, b, c, d, e, f, g, h, i); }
  else if constexpr (n == 10) { auto& [a, b, c, d, e, f, g, h, i, j] = t; return std::tie(a, b, c, d, e, f, g, h, i, j); }
  else if constexpr (n == 11) { auto& [a, b, c, d, e, f, g, h, i, j, k] = t; return std::tie(a, b, c, d, e, f, g, h, i, j, k); }
  else if constexpr (n == 12) { auto& [a, b, c, d, e, f, g, h, i, j, k, l] = t; return std::tie(a, b, c, d, e, f, g, h, i, j, k, l); }
  else if constexpr (n == 13) { auto& [a, b, c, d, e, f, g, h, i, j, k, l, m] = t; return std::tie(a, b, c, d, e, f, g, h, i, j, k, l, m); }
  else if constexpr (n == 14) { auto& [a, b, c, d, e, f, g, h, i, j, k, l, m, o] = t; return std::tie(a, b, c, d, e, f, g, h, i, j, k, l, m, o); }
  else if constexpr (n == 15) { auto& [a, b, c, d, e, f, g, h, i, j, k, l, m, o, p] = t; return std::tie(a, b, c, d, e, f, g, h, i, j, k, l, m, o, p); }
  else if constexpr (n == 16) { auto& [a, b, c, d, e, f, g, h, i, j, k, l, m, o, p, q] = t; return std::tie(a, b, c, d, e, f, g, h, i, j, k, l, m, o, p, q); }
  else if constexpr (n == 17) { auto& [a, b, c, d, e, f, g, h, i, j, k, l, m, o, p, q, r] = t; return std::tie(a, b, c, d, e, f, g, h, i, j, k, l, m, o, p, q, r); }
  else if constexpr (n == 18) { auto& [a, b, c, d, e, f, g, h, i, j, k, l, m, o, p, q, r, s] = t; return std::tie(a, b, c, d, e, f, g, h, i, j, k, l, m, o, p, q, r, s); }
  else if constexpr (n == 19) { auto& [a, b, c, d, e, f, g, h, i, j, k, l, m, o, p, q, r, s, u] = t; return std::tie(a, b, c, d, e, f, g, h, i, j, k, l, m, o, p, q, r, s, u); }
  else if constexpr (n == 20) { auto& [a, b, c, d, e, f, g, h, i, j, k, l, m, o, p, q, r, s, u, v] = t; return std::tie(a, b, c, d, e, f, g, h, i, j, k, l, m, o, p, q, r, s, u, v); }
  else { auto& [a, b, c, d, e, f, g, h, i, j, k, l, m, o, p, q, r, s, u, v, w] = t; return std::tie(a, b, c, d, e, f, g, h, i, j, k, l, m, o, p, q, r, s, u, v, w); }
  // clang-format on
}

template <class T> inline constexpr bool is_strong = false;
template <class Tag, class Rep> inline constexpr bool is_strong<Strong<Tag, Rep>> = true;
template <class T> inline constexpr bool is_vector = false;
template <class T> inline constexpr bool is_vector<std::vector<T>> = true;

/// Gives each field of `t` a value of its own that is not the default; lists get two elements.
template <class T>
void fill(T& t, std::uint64_t& n) {
  if constexpr (std::is_same_v<T, bool>) {
    t = true;
  } else if constexpr (std::is_enum_v<T>) {
    t = static_cast<T>(1);
  } else if constexpr (std::is_integral_v<T>) {
    ++n;
    t = static_cast<T>(n % 100 + 1 + (sizeof(T) == 8 ? n << 32 : 0));
  } else if constexpr (std::is_same_v<T, std::string>) {
    t = "text" + std::to_string(++n);
  } else if constexpr (std::is_same_v<T, std::optional<std::string>>) {
    t = "value" + std::to_string(++n);
  } else if constexpr (std::is_same_v<T, Uuid>) {
    for (auto& byte : t.bytes) byte = static_cast<std::uint8_t>(++n);
  } else if constexpr (std::is_same_v<T, SiteSet>) {
    t = SiteSet::from_bits(static_cast<std::uint32_t>(++n));
  } else if constexpr (is_strong<T>) {
    fill(t.value, n);
  } else if constexpr (is_vector<T>) {
    t.resize(2);
    for (auto& element : t) fill(element, n);
  } else {
    std::apply([&](auto&... field) { (fill(field, n), ...); }, tie(t));
  }
}

/// Equality of all fields, down to the last.
template <class T>
bool same(const T& a, const T& b) {
  if constexpr (is_vector<T>) {
    if (a.size() != b.size()) return false;
    for (std::size_t i = 0; i < a.size(); ++i) {
      if (!same(a[i], b[i])) return false;
    }
    return true;
  } else if constexpr (std::is_arithmetic_v<T> || std::is_enum_v<T> || is_strong<T> || std::is_same_v<T, std::string> ||
                       std::is_same_v<T, std::optional<std::string>> || std::is_same_v<T, Uuid> || std::is_same_v<T, SiteSet>) {
    return a == b;
  } else {
    return [&]<std::size_t... I>(const auto& x, const auto& y, std::index_sequence<I...>) {
      return (same(std::get<I>(x), std::get<I>(y)) && ...);
    }(tie(a), tie(b), std::make_index_sequence<count<T>()>());
  }
}

}  // namespace lockstep::fields
