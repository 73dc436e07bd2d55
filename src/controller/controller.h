// controller.h - the part of a site that decides about every write: the role, and what every other part may ask of it.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "controller/changes.h"
#include "controller/primary.h"
#include "controller/replica.h"
#include "controller/secondary.h"
#include "peer/link.h"

namespace lockstep::controller {

struct ControllerOptions {
  bool primary = false;
  SiteId self;
  SiteId peer;
  std::string peer_name;
  Uuid start;                    ///< of this start of the daemon
  Uuid host_boot;                ///< of the machine
  std::string settings;          ///< that must agree, KEY=VALUE lines
  std::uint64_t settings_digest = 0;
  std::uint64_t inline_limit = 0;
  std::uint64_t window_bytes = 0;
  std::uint64_t requests_max = 0;
  Duration settle{};
  bool stable = false;           ///< ack = "stable": every write is flushed before it is acknowledged
};

class Controller final : public Changes, public peer::LinkUser {
 public:
  Controller(runtime::World& world, volume::Volume& volume, area::Area& area, ControllerOptions options);

  /// `caches` is this site's mount; must outlive stop().
  void start(HostCaches& caches);
  /// Requests that wait are given up; what runs ends. Suspends.
  runtime::Task<void> stop();

  // Changes
  runtime::Task<wire::Outcome> change(wire::Operation operation, Bytes payload,
                                      std::shared_ptr<runtime::Lease> lease) override;
  runtime::Task<void> wait_readable(InodeId inode, ByteRange range) override;
  runtime::Task<bool> wait_serving() override;
  void orphan_closed(InodeId inode) override;
  [[nodiscard]] bool readable_here(BlockRange) const override { return true; }
  runtime::Task<Result<>> read_elsewhere(BlockRange blocks, MutableBytes into) override;
  [[nodiscard]] std::uint64_t moment() const override { return replica_.moment(); }
  [[nodiscard]] bool written_since(std::uint64_t moment, InodeId inode) const override {
    return replica_.written_since(moment, inode);
  }

  // LinkUser
  wire::Hello hello() override;
  peer::Pulse pulse() override { return {.stable = replica_.logged(), .waits_from = 0, .urgent = false}; }
  void pulse_of_peer(const peer::Pulse& pulse) override { replica_.peer_logged(pulse.stable); }
  void heard(Instant) override {}
  void answered(Instant) override {}
  runtime::Task<void> serve(peer::Link& link, peer::Session& session, wire::Hello theirs) override;
  void not_connected(std::string reason) override { not_connected_ = std::move(reason); }

  [[nodiscard]] Replica& replica() { return replica_; }
  [[nodiscard]] Primary* primary() { return primary_ ? &*primary_ : nullptr; }
  [[nodiscard]] Secondary* secondary() { return secondary_ ? &*secondary_ : nullptr; }

  enum class State { connecting, catching_up, in_sync };
  [[nodiscard]] State state() const;
  /// What keeps writes waiting, for people; empty when in sync.
  [[nodiscard]] std::string problem() const;
  struct Load {
    std::uint64_t requests = 0, effects = 0, bytes = 0;
    Duration oldest{};
  };
  [[nodiscard]] Load load();
  [[nodiscard]] Seq seq() const;
  [[nodiscard]] Epoch epoch() const { return Epoch{1}; }
  [[nodiscard]] bool connected() const { return connected_; }
  [[nodiscard]] const std::optional<wire::Hello>& peer() const { return peer_; }

 private:
  ControllerOptions options_;
  Replica replica_;
  std::optional<Primary> primary_;
  std::optional<Secondary> secondary_;
  std::optional<wire::Hello> peer_;  // the last that was accepted
  bool connected_ = false;
  bool stopping_ = false;
  std::string not_connected_;
};

}  // namespace lockstep::controller
