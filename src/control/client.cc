#include "control/client.h"

#include <fmt/format.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include "control/lines.h"

namespace lockstep::control {
namespace {

/// A daemon's line is a few KiB; more than this is not a daemon.
constexpr std::size_t kAnswerBytes = 16 << 20;

std::string why(int number) { return std::strerror(number); }

}  // namespace

Client::Client(Client&& other) noexcept
    : socket_(std::exchange(other.socket_, -1)), path_(std::move(other.path_)), received_(std::move(other.received_)) {}

Client& Client::operator=(Client&& other) noexcept {
  std::swap(socket_, other.socket_);
  std::swap(path_, other.path_);
  std::swap(received_, other.received_);
  return *this;
}

Client::~Client() {
  if (socket_ >= 0) ::close(socket_);
}

Result<Client> Client::connect(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) {
    return fail(Errc::invalid, fmt::format("the path of the control socket, {}, is longer than {} bytes; configure a shorter one", path,
                                           sizeof address.sun_path - 1));
  }
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  const int socket = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (socket < 0) return fail(Errc::unavailable, fmt::format("can't make a socket: {}", why(errno)));
  Client client(socket, path);
  if (::connect(socket, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    const int error = errno;
    if (error == EACCES || error == EPERM) {
      return fail(Errc::unavailable, fmt::format("not allowed to use the control socket {}; run this as the user of lockstepd (root)", path));
    }
    return fail(Errc::unavailable, fmt::format("no lockstepd answers at {} ({}); start it, or look into its log", path, why(error)));
  }
  return client;
}

Result<nlohmann::json> Client::call(const nlohmann::json& request, const std::function<void(const nlohmann::json&)>& on_line,
                                    std::optional<std::chrono::milliseconds> patience) {
  const std::string line = to_line(request);
  for (std::size_t sent = 0; sent < line.size();) {
    const ssize_t n = ::send(socket_, line.data() + sent, line.size() - sent, MSG_NOSIGNAL);
    if (n < 0 && errno == EINTR) continue;
    // A daemon that turns a client away closes at once; its reason may still be there to be read.
    if (n < 0) break;
    sent += static_cast<std::size_t>(n);
  }
  while (true) {
    const Result<std::string> answer = receive_line(patience);
    if (!answer) return std::unexpected(answer.error());
    nlohmann::json object = nlohmann::json::parse(*answer, nullptr, /*allow_exceptions=*/false);
    if (!object.is_object()) {
      return fail(Errc::invalid, fmt::format("what listens at {} does not answer as lockstepd does; is it another program's socket?", path_));
    }
    if (object.contains("done")) return object;
    if (on_line) on_line(object);
  }
}

Result<std::string> Client::receive_line(std::optional<std::chrono::milliseconds> patience) {
  std::size_t searched = 0;
  while (true) {
    if (const std::size_t end = received_.find('\n', searched); end != std::string::npos) {
      std::string line = received_.substr(0, end);
      received_.erase(0, end + 1);
      return line;
    }
    searched = received_.size();
    if (received_.size() > kAnswerBytes) {
      return fail(Errc::invalid, fmt::format("what listens at {} sends a line without an end; is it another program's socket?", path_));
    }
    pollfd waiting{socket_, POLLIN, 0};
    const int ready = ::poll(&waiting, 1, patience ? static_cast<int>(patience->count()) : -1);
    if (ready < 0 && errno == EINTR) continue;
    if (ready == 0) {
      return fail(Errc::unavailable, fmt::format("lockstepd at {} said nothing for {} ms; it may be stuck: look into its log", path_, patience->count()));
    }
    std::array<char, 65536> bytes;
    const ssize_t n = ::recv(socket_, bytes.data(), bytes.size(), 0);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) {
      return fail(Errc::unavailable, fmt::format("lockstepd at {} closed the connection{}; look into its log", path_, n < 0 ? ": " + why(errno) : ""));
    }
    received_.append(bytes.data(), static_cast<std::size_t>(n));
  }
}

}  // namespace lockstep::control
