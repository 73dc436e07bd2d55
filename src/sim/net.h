// net.h - a process's ends of the simulated network.
//
// Addresses: "MACHINE:PORT", or "unix:PATH" within one machine.
#pragma once

#include <deque>
#include <memory>
#include <string>

#include "runtime/net.h"
#include "sim/network.h"
#include "sim/process.h"

namespace lockstep::sim {

class SimConnection final : public runtime::Connection {
 public:
  SimConnection(Process& process, Network& network, std::shared_ptr<Stream> stream, int end);
  ~SimConnection() override;

  [[nodiscard]] std::string peer_address() const override;
  runtime::Task<Result<std::size_t>> receive(MutableBytes into) override;
  Result<std::size_t> try_send(std::span<const Bytes> parts) override;
  runtime::Task<Result<>> sendable() override;
  void shutdown() override;

  /// Something about the stream changed.
  void wake() { changed_.notify_all(); }

 private:
  [[nodiscard]] StreamEnd& mine() const { return stream_->ends[end_]; }
  [[nodiscard]] std::unexpected<Error> gone() const;

  Process& process_;
  Network& network_;
  std::shared_ptr<Stream> stream_;
  int end_;
  runtime::Event changed_;
};

class SimListener final : public runtime::Listener {
 public:
  SimListener(Process& process, Network& network) : process_(process), network_(network), changed_(process) {}
  ~SimListener() override;

  runtime::Task<Result<std::unique_ptr<runtime::Connection>>> accept() override;
  void shutdown() override;

  [[nodiscard]] Process& process() { return process_; }
  void arrived(std::shared_ptr<Stream> stream);

 private:
  Process& process_;
  Network& network_;
  bool stopped_ = false;
  std::deque<std::shared_ptr<Stream>> waiting_;
  runtime::Event changed_;
};

class SimNet final : public runtime::Net {
 public:
  SimNet(Process& process, Network& network) : process_(process), network_(network) {}
  Result<std::unique_ptr<runtime::Listener>> listen(const std::string& address) override;
  runtime::Task<Result<std::unique_ptr<runtime::Connection>>> connect(std::string address, Duration timeout,
                                                                      runtime::Stop& stop) override;

 private:
  [[nodiscard]] std::string full_address(const std::string& address) const;
  Process& process_;
  Network& network_;
};

}  // namespace lockstep::sim
