#include "arbiter/base64.h"

#include <catch2/catch.hpp>

using namespace lockstep::arbiter;

TEST_CASE("base64 is that of RFC 4648") {
  const std::pair<const char*, const char*> samples[] = {{"", ""},         {"f", "Zg=="},     {"fo", "Zm8="},
                                                         {"foo", "Zm9v"},  {"foob", "Zm9vYg=="}, {"fooba", "Zm9vYmE="},
                                                         {"foobar", "Zm9vYmFy"}};
  for (const auto& [bytes, text] : samples) {
    CHECK(base64(bytes) == text);
    CHECK(from_base64(text) == bytes);
  }
  std::string all;
  for (int i = 0; i < 256; ++i) all += static_cast<char>(i);
  for (std::size_t n = 0; n <= all.size(); ++n) CHECK(from_base64(base64(all.substr(n))) == all.substr(n));
}

TEST_CASE("what base64() does not make is not base64") {
  for (const char* text : {"Z", "Zg", "Zg=", "Zg===", "Zh==", "Zm9=", "====", "=g==", "Z===", "Zg==Zg==", "Zm-v", "Zm_v", " Zg==",
                           "Zg==\n", "Zm\xc3\xa4"})
    CHECK_FALSE(from_base64(text));
  CHECK_FALSE(from_base64(std::string("Zm\0v", 4)));
}
