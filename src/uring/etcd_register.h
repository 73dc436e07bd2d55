// etcd_register.h - the arbiter as one key of an etcd, through the members' JSON gateways.
//
// A read is asked of the endpoint that answered last, and of one more whenever one fails, or has not answered within its
// share of the time; the first answer counts. A swap goes to the next endpoint only while nothing was sent, or after a clear
// refusal: one that was sent and not answered is unknown.
//
// All endpoints are members of one etcd: an answer of another cluster than the first one's is none, until accept_another().
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "runtime/register.h"
#include "uring/etcd_transfers.h"

namespace lockstep::uring {

struct EtcdOptions {
  std::vector<std::string> endpoints;  ///< "http://HOST:PORT" or "https://HOST:PORT", at least one
  std::string key;
  TlsFiles tls;
};

class EtcdRegister final : public runtime::Register {
 public:
  /// Connects to nobody yet. Errc::invalid: a file of `tls` can't be read; Errc::unavailable: there is no libcurl.
  static Result<std::unique_ptr<EtcdRegister>> make(Loop& loop, EtcdOptions options);

  runtime::Task<Result<runtime::RegisterState>> read(Duration timeout, runtime::Stop& stop) override;
  runtime::Task<Result<runtime::SwapResult>> swap(std::uint64_t expected, std::string value, Duration timeout,
                                                  runtime::Stop& stop) override;
  void accept_another() override { cluster_.reset(); }

 private:
  struct Reading;

  EtcdRegister(Loop& loop, EtcdOptions options, std::unique_ptr<Transfers> transfers)
      : loop_(loop), options_(std::move(options)), transfers_(std::move(transfers)) {}
  runtime::Task<void> ask(Reading& reading, std::size_t endpoint, Duration timeout);
  [[nodiscard]] Result<> check_cluster(std::uint64_t cluster, std::size_t endpoint);

  Loop& loop_;
  EtcdOptions options_;
  std::unique_ptr<Transfers> transfers_;
  std::size_t preferred_ = 0;  // answered last
  std::optional<std::uint64_t> cluster_;
};

}  // namespace lockstep::uring
