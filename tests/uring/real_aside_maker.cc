// real_aside_maker.cc - directories of this machine, for the conformance suite.
#include <fcntl.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>

#include "conformance/aside_maker.h"
#include "real_world.h"
#include "uring/aside.h"

namespace lockstep::conformance {
namespace {

class RealAsideMaker final : public AsideMaker {
 public:
  runtime::Aside& aside() override { return aside_; }
  void run(runtime::Task<void> task) override { real_.run(std::move(task)); }
  std::string directory() override { return directory_.path() + "/aside"; }
  std::optional<SeenAside> look(const std::string& path) override {
    struct stat st {};
    if (::lstat(path.c_str(), &st) != 0) return std::nullopt;
    SeenAside seen{st.st_mode, WallTime{st.st_mtim.tv_sec * 1'000'000'000 + st.st_mtim.tv_nsec}, {}, S_ISDIR(st.st_mode) ? 0 : st.st_nlink};
    if (S_ISLNK(st.st_mode)) seen.bytes = std::filesystem::read_symlink(path);
    std::ifstream file;
    if (S_ISREG(st.st_mode)) file.open(path, std::ios::binary);
    if (S_ISREG(st.st_mode)) seen.bytes.assign(std::istreambuf_iterator<char>(file), {});
    return seen;
  }

 private:
  uring::TemporaryDirectory directory_;
  uring::RealWorld real_{directory_.path()};
  uring::DirectoryAside aside_{real_.pool, real_.disk->where(), directory_.path()};
};

}  // namespace

std::unique_ptr<AsideMaker> make_aside() { return std::make_unique<RealAsideMaker>(); }

}  // namespace lockstep::conformance
