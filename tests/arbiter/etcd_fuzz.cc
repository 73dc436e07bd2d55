// Any bytes as an answer of etcd, to a read and to a swap.
//
// Checked: no crash and no exception; errors are short and printable; a state that was accepted is within the register's bounds,
// a swap that was accepted did what it says.
#include <cstdint>

#include "arbiter/base64.h"
#include "arbiter/etcd.h"
#include "core/check.h"

using namespace lockstep;
using namespace lockstep::arbiter;

namespace {

void check_told(const Error& error) {
  CHECK(!error.text.empty() && error.text.size() < 1000);
  for (const char c : error.text) CHECK(c >= 0x20 && c < 0x7f);
}

void check_state(const runtime::RegisterState& state) {
  CHECK(state.value.size() <= runtime::kRegisterBytesMax);
  CHECK(state.revision != 0 || state.value.empty());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(bytes), size);
  if (const auto decoded = from_base64(text)) CHECK(base64(*decoded) == text);
  for (const int status : {200, 400, 503}) {
    const HttpAnswer answer{status, std::string(text)};
    if (const auto read = parse_read(answer, "k1")) {
      CHECK(status == 200);
      check_state(read->state);
    } else {
      CHECK(read.error().code == Errc::unavailable);
      check_told(read.error());
    }
    if (const auto swap = parse_swap(answer, "k1", 2, "hello")) {
      CHECK(status == 200);
      check_state(swap->result.now);
      if (swap->result.swapped) CHECK(swap->result.now.value == "hello" && swap->result.now.revision > 2);
      if (!swap->result.swapped) CHECK(swap->result.now.revision != 2);
    } else {
      CHECK(swap.error().code == Errc::unknown || (swap.error().code == Errc::unavailable && status != 200));
      check_told(swap.error());
    }
  }
  return 0;
}
