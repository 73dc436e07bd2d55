// real_maker.cc - the real world for the conformance suite: storage and keys in a temporary directory, sockets of loopback.
#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "catch.h"
#include "conformance/world_maker.h"
#include "real_world.h"
#include "uring/descriptor.h"

namespace lockstep::conformance {
namespace {

/// Stands where a mount would; the suite asks nothing of it.
class NoKernel final : public runtime::Kernel {
 public:
  Result<> mount(runtime::HostHandler&) override { return fail(Errc::refused, "this world has no mount"); }
  runtime::Task<void> unmount() override { co_return; }
  runtime::Task<Result<>> mount_anew(runtime::HostHandler& handler) override { co_return mount(handler); }
  std::optional<std::size_t> reply(std::uint64_t, const runtime::HostReply&) override { return std::nullopt; }
  bool in_place() const override { return false; }
  bool ends(std::uint32_t) override { return false; }
  void give_up(std::uint64_t) override {}
  runtime::Dropped drop_attributes(InodeId) override { return runtime::Dropped::unknown; }
  runtime::Dropped drop_listing(InodeId) override { return runtime::Dropped::unknown; }
  runtime::Task<runtime::Dropped> drop_pages(InodeId, ByteRange) override { co_return runtime::Dropped::unknown; }
  runtime::Task<runtime::Dropped> grow(InodeId, ByteRange) override { co_return runtime::Dropped::unknown; }
  runtime::Task<runtime::Dropped> shrink(InodeId, Duration) override { co_return runtime::Dropped::unknown; }
  runtime::Task<std::vector<InodeId>> drop_unused(std::vector<InodeId> inodes) override { co_return inodes; }
  runtime::Task<runtime::Dropped> drop_name(InodeId, std::string, Duration) override { co_return runtime::Dropped::unknown; }
  runtime::Task<runtime::Dropped> look_up(InodeId, std::string, Duration) override { co_return runtime::Dropped::unknown; }
  void drop_all_names() override {}
  void serve_until(Instant) override {}
};

class RealMaker final : public WorldMaker {
 public:
  RealMaker() : real_(directory_.path()), other_disk_(open_again()) {}
  runtime::World& world() override { return world_; }
  void run(runtime::Task<void> task) override { real_.run(std::move(task)); }
  runtime::Disk& other_disk() override { return *other_disk_; }
  std::string free_address() override {
    const uring::Descriptor probe(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in at{};
    at.sin_family = AF_INET;
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t length = sizeof at;
    REQUIRE(::bind(probe.get(), reinterpret_cast<sockaddr*>(&at), length) == 0);
    REQUIRE(::getsockname(probe.get(), reinterpret_cast<sockaddr*>(&at), &length) == 0);
    return fmt::format("127.0.0.1:{}", ntohs(at.sin_port));
  }
  std::string dead_address() override { return "127.0.0.1:1"; }

 private:
  std::unique_ptr<uring::DirectoryDisk> open_again() {
    auto disk = uring::DirectoryDisk::open_directory(*real_.loop, real_.pool, real_.disk->where());
    REQUIRE(disk.has_value());
    return std::move(*disk);
  }
  uring::TemporaryDirectory directory_;
  uring::RealWorld real_;
  std::unique_ptr<uring::DirectoryDisk> other_disk_;
  NoKernel kernel_;
  runtime::World world_{*real_.loop, *real_.disk, *real_.keys, real_.net, real_.clock, real_.random, kernel_};
};

}  // namespace

std::unique_ptr<WorldMaker> make_world() { return std::make_unique<RealMaker>(); }

}  // namespace lockstep::conformance
