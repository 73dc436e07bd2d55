// Requests as etcd takes them, and what its answers mean; the answers here are those of etcd 3.4.23.
#include "arbiter/etcd.h"

#include <fmt/format.h>

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include "arbiter/base64.h"

using namespace lockstep;
using namespace lockstep::arbiter;
using nlohmann::json;
using runtime::RegisterState;
using runtime::SwapResult;

namespace {

// The key "k1" is azE=, the value "hello" aGVsbG8=.
constexpr const char* kHeader =
    R"("header":{"cluster_id":"14841639068965178418","member_id":"10276657743932975437","revision":"7","raft_term":"2"})";
constexpr std::uint64_t kCluster = 14841639068965178418u;
constexpr const char* kKv =
    R"({"key":"azE=","create_revision":"2","mod_revision":"7","version":"1","value":"aGVsbG8="})";

std::string range_answer(std::string_view kvs) { return fmt::format(R"({{{},"kvs":[{}],"count":"1"}})", kHeader, kvs); }

std::string swap_answer(bool swapped, std::string_view kvs) {
  return fmt::format(R"({{{},{}"responses":[{}{{"response_range":{{"header":{{"revision":"7"}},"kvs":[{}],"count":"1"}}}}]}})",
                     kHeader, swapped ? R"("succeeded":true,)" : "",
                     swapped ? R"({"response_put":{"header":{"revision":"7"}}},)" : "", kvs);
}

Result<ReadAnswer> read(std::string body, int status = 200) { return parse_read({status, std::move(body)}, "k1"); }
Result<SwapAnswer> swap(std::string body, int status = 200) { return parse_swap({status, std::move(body)}, "k1", 2, "hello"); }

RegisterState state_of(const Result<ReadAnswer>& answer) {
  INFO((answer ? std::string() : answer.error().text));
  REQUIRE(answer);
  CHECK(answer->cluster == kCluster);
  return answer->state;
}

/// One line, printable and short.
std::string told(const Error& error) {
  CHECK(!error.text.empty());
  CHECK(error.text.size() < 1000);
  for (const char c : error.text) CHECK((c >= 0x20 && c < 0x7f));
  return error.text;
}

}  // namespace

TEST_CASE("a read asks for one key") { CHECK(json::parse(read_request("k1")) == json::parse(R"({"key":"azE="})")); }

TEST_CASE("a swap puts if the revision is the expected one, and asks for the state either way") {
  CHECK(json::parse(swap_request("k1", 18446744073709551615u, "hello")) == json::parse(R"({
    "compare": [{"key": "azE=", "target": "MOD", "result": "EQUAL", "mod_revision": "18446744073709551615"}],
    "success": [{"request_put": {"key": "azE=", "value": "aGVsbG8="}}, {"request_range": {"key": "azE="}}],
    "failure": [{"request_range": {"key": "azE="}}]})"));
}

TEST_CASE("a request holds any bytes") {
  std::string bytes;
  for (int i = 0; i < 256; ++i) bytes += static_cast<char>(i);
  const json body = json::parse(swap_request(bytes, 0, bytes));
  CHECK(body["success"][0]["request_put"]["value"] == base64(bytes));
  CHECK(swap_request("k", 0, std::string(runtime::kRegisterBytesMax, 'x')).size() < kAnswerBytesMax);
}

TEST_CASE("a key that is there has its value and revision") {
  CHECK(state_of(read(range_answer(kKv))) == RegisterState{7, "hello"});
  CHECK(state_of(read(range_answer(R"({"key":"azE=","mod_revision":"3"})"))) == RegisterState{3, ""});
  CHECK(state_of(read(range_answer(R"({"key":"azE=","mod_revision":3,"value":"AA=="})"))) == RegisterState{3, std::string(1, '\0')});
}

TEST_CASE("a key that is not there was never written") {
  CHECK(state_of(read(fmt::format("{{{}}}", kHeader))) == RegisterState{});
  CHECK(state_of(read(range_answer(""))) == RegisterState{});
  CHECK(state_of(read(fmt::format(R"({{{},"kvs":null}})", kHeader))) == RegisterState{});
}

TEST_CASE("a swap that was made tells its state") {
  const auto answer = swap(swap_answer(true, kKv));
  REQUIRE(answer);
  CHECK(answer->result == SwapResult{true, {7, "hello"}});
  CHECK(answer->cluster == kCluster);
}

TEST_CASE("a swap that was not made tells what is there instead") {
  const auto answer = swap(swap_answer(false, R"({"key":"azE=","mod_revision":"9","value":"AA=="})"));
  REQUIRE(answer);
  CHECK(answer->result == SwapResult{false, {9, std::string(1, '\0')}});
  const auto gone = swap(swap_answer(false, ""));
  REQUIRE(gone);
  CHECK(gone->result == SwapResult{false, {}});
}

TEST_CASE("after a clear refusal nothing happens any more; after any other failure of a swap it may") {
  const auto error = [](std::string_view code, std::string_view message) {
    return fmt::format(R"({{"error":"{1}","message":"{1}","code":{0}}})", code, message);
  };
  const auto code_of = [](const Result<SwapAnswer>& answer) {
    REQUIRE_FALSE(answer);
    told(answer.error());
    return answer.error().code;
  };
  for (const char* code : {"3", "5", "7", "9", "12", "16"}) CHECK(code_of(swap(error(code, "no"), 400)) == Errc::unavailable);
  for (const char* code : {"1", "2", "4", "6", "10", "11", "13", "14", "15", "0", "99", "-3", "8"})
    CHECK(code_of(swap(error(code, "etc"), 503)) == Errc::unknown);
  CHECK(code_of(swap(error("8", "etcdserver: mvcc: database space exceeded"), 429)) == Errc::unavailable);
  CHECK(code_of(swap(error("14", "etcdserver: request timed out"), 503)) == Errc::unknown);
  CHECK(swap(error("14", "etcdserver: request timed out"), 503).error().text == "it answered: etcdserver: request timed out");
  // Something that is not etcd, or a gateway before it.
  for (const int status : {400, 401, 403, 404, 405, 413}) CHECK(code_of(swap("Not Found\n", status)) == Errc::unavailable);
  for (const int status : {0, 100, 201, 204, 301, 408, 409, 429, 500, 502, 503, 504, -1})
    CHECK(code_of(swap("<html>", status)) == Errc::unknown);
  CHECK(swap("Not Found\n", 404).error().text == "it answered with HTTP status 404: Not Found\\x0a");
  // A read has nothing to lose.
  const auto unread = read(error("14", "etcdserver: request timed out"), 503);
  REQUIRE_FALSE(unread);
  CHECK(unread.error().code == Errc::unavailable);
}

TEST_CASE("an answer that is none of etcd's is no state, and leaves a swap unknown") {
  const std::string big = base64(std::string(runtime::kRegisterBytesMax + 1, 'x'));
  const std::string kvs[] = {
      "1",
      "null",
      "[]",
      R"({"key":"azI=","mod_revision":"7","value":""})",
      R"({"key":7,"mod_revision":"7"})",
      R"({"mod_revision":"7"})",
      R"({"key":"azE="})",
      R"({"key":"azE=","mod_revision":"0"})",
      R"({"key":"azE=","mod_revision":"-1"})",
      R"({"key":"azE=","mod_revision":-1})",
      R"({"key":"azE=","mod_revision":7.5})",
      R"({"key":"azE=","mod_revision":""})",
      R"({"key":"azE=","mod_revision":"7x"})",
      R"({"key":"azE=","mod_revision":"9223372036854775808"})",
      R"({"key":"azE=","mod_revision":"99999999999999999999999"})",
      R"({"key":"azE=","mod_revision":["7"]})",
      R"({"key":"azE=","mod_revision":"7","value":"aGVsbG8"})",
      R"({"key":"azE=","mod_revision":"7","value":5})",
      fmt::format(R"({{"key":"azE=","mod_revision":"7","value":"{}"}})", big),
      fmt::format("{},{}", kKv, kKv),
  };
  for (const std::string& kv : kvs) {
    INFO(kv.substr(0, 100));
    for (const bool swapped : {true, false}) {
      const auto answer = swap(swap_answer(swapped, kv));
      REQUIRE_FALSE(answer);
      CHECK(answer.error().code == Errc::unknown);
      CHECK(told(answer.error()).starts_with("its answer is not one of etcd's: "));
    }
    const auto answer = read(range_answer(kv));
    REQUIRE_FALSE(answer);
    CHECK(answer.error().code == Errc::unavailable);
    told(answer.error());
  }
  const std::string bodies[] = {"", "null", "{}", "[]", "7", "\"\"", "{", "\xff\xfe", std::string(1, '\0'), "<html>\x1b[2J",
                                R"({"header":{}})", R"({"header":{"cluster_id":"x"}})", R"({"header":[]})",
                                fmt::format(R"({{{},"kvs":{{}}}})", kHeader), std::string(kAnswerBytesMax, '['),
                                std::string(kAnswerBytesMax, 'x')};
  for (const std::string& body : bodies) {
    INFO(body.substr(0, 100));
    const auto unread = read(body);
    REQUIRE_FALSE(unread);
    told(unread.error());
    const auto unswapped = swap(body);
    REQUIRE_FALSE(unswapped);
    CHECK(unswapped.error().code == Errc::unknown);
    told(unswapped.error());
  }
}

TEST_CASE("an answer to a swap that contradicts itself leaves it unknown") {
  const std::string wrong[] = {
      swap_answer(true, R"({"key":"azE=","mod_revision":"7","value":"AA=="})"),      // another value than was put
      swap_answer(true, R"({"key":"azE=","mod_revision":"2","value":"aGVsbG8="})"),  // not above the expected revision
      swap_answer(true, ""),                                                         // put, and not there
      swap_answer(false, R"({"key":"azE=","mod_revision":"2","value":"aGVsbG8="})"), // the expected revision is there
      fmt::format(R"({{{},"succeeded":true}})", kHeader),
      fmt::format(R"({{{},"succeeded":1,"responses":[{{"response_range":{{}}}}]}})", kHeader),
      fmt::format(R"({{{},"succeeded":true,"responses":[{{"response_range":{{"kvs":[{}]}}}}]}})", kHeader, kKv),
      fmt::format(R"({{{},"responses":[{{"response_put":{{}}}}]}})", kHeader),
      fmt::format(R"({{{},"responses":[{{"response_range":[]}}]}})", kHeader),
      fmt::format(R"({{{},"responses":[7]}})", kHeader),
      fmt::format(R"({{{},"responses":7}})", kHeader),
  };
  for (const std::string& body : wrong) {
    INFO(body);
    const auto answer = swap(body);
    REQUIRE_FALSE(answer);
    CHECK(answer.error().code == Errc::unknown);
    told(answer.error());
  }
}

TEST_CASE("an answer that is cut off anywhere is none") {
  const std::string whole = swap_answer(true, kKv);
  for (std::size_t n = 0; n < whole.size(); ++n) {
    const auto answer = swap(whole.substr(0, n));
    REQUIRE_FALSE(answer);
    REQUIRE(answer.error().code == Errc::unknown);
  }
}
