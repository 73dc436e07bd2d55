// etcd_server.h - members of a real etcd on ports of loopback, with their data in a temporary directory.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "real_world.h"

namespace lockstep::uring {

/// A port of 127.0.0.1 that was free a moment ago; never the same one twice.
int free_port();

class EtcdServer {
 public:
  /// Starts `members`, and waits until each answers. `more`: further arguments of each member; `scheme` of its clients.
  explicit EtcdServer(int members, const std::vector<std::string>& more = {}, const std::string& scheme = "http");
  ~EtcdServer();
  EtcdServer(const EtcdServer&) = delete;

  /// "SCHEME://127.0.0.1:PORT" of each.
  [[nodiscard]] const std::vector<std::string>& endpoints() const { return endpoints_; }
  /// Sends `signal` to a member: SIGSTOP, SIGCONT; SIGKILL, and waits for its end.
  void signal(std::size_t member, int signal);

 private:
  void start(std::size_t member, const std::string& peers, const std::vector<std::string>& more);
  void wait_until_it_answers(std::size_t member, const std::string& scheme);
  [[nodiscard]] std::string log_of(std::size_t member) const;

  TemporaryDirectory directory_;
  std::vector<std::string> endpoints_, peer_urls_;
  std::vector<int> ports_;
  std::vector<pid_t> pids_;
};

}  // namespace lockstep::uring
