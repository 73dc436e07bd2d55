// The bytes of every frame and of a record, as files in golden/. They change only with kProtocolVersion; then:
//
//   build/tests/wire/wire "[write-golden]"
//
// writes them anew, and the commit that raises the version has them.
#include <fmt/format.h>

#include <fstream>
#include <iterator>

#include "../catch.h"
#include "samples.h"
#include "wire/codec.h"

using namespace lockstep;
using namespace lockstep::wire;

namespace {

std::string hex(Bytes bytes) {
  std::string text;
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    text +=
        fmt::format("{:02x}{}", static_cast<unsigned>(bytes[i]), i % 16 == 15 || i + 1 == bytes.size() ? "\n" : " ");
  }
  return text;
}

struct Golden {
  std::string name;
  std::vector<std::byte> bytes;
};

std::vector<Golden> current() {
  std::vector<Golden> list;
  for (const auto& sample : samples::all()) list.push_back({sample.name, encode(sample.message, sample.payload_bytes)});
  list.push_back({"log_record", encode_record(samples::full_effect())});
  list.push_back({"site_state", encode_state(samples::site_state())});
  return list;
}

std::string path_of(const Golden& golden) { return std::string(GOLDEN_DIRECTORY) + "/" + golden.name + ".hex"; }

}  // namespace

TEST_CASE("frames and records have the bytes they always had") {
  for (const auto& golden : current()) {
    INFO(path_of(golden));
    std::ifstream file(path_of(golden));
    REQUIRE(file);
    const std::string stored{std::istreambuf_iterator<char>(file), {}};
    CHECK(hex(golden.bytes) == stored);
  }
}

TEST_CASE("write the golden files", "[.][write-golden]") {
  for (const auto& golden : current()) {
    std::ofstream file(path_of(golden));
    file << hex(golden.bytes);
    REQUIRE(file.flush());
  }
}
