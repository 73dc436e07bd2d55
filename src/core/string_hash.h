// string_hash.h - looks strings up in an unordered container by a view of them: with std::equal_to<> as its equality.
#pragma once

#include <functional>
#include <string_view>

namespace lockstep {

struct StringHash {
  using is_transparent = void;
  std::size_t operator()(std::string_view s) const noexcept { return std::hash<std::string_view>{}(s); }
};

}  // namespace lockstep
