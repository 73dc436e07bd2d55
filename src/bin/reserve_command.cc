#include "bin/reserve_command.h"

#include <fmt/chrono.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <filesystem>

#include "bin/daemon_commands.h"
#include "control/lines.h"
#include "control/members.h"
#include "core/result.h"
#include "volume/reservations.h"

namespace lockstep::cli {
namespace {

using nlohmann::json;
using control::is_true, control::member, control::number, control::text;

constexpr long kFuseMagic = 0x65735546;

/// An object of the volume, and its path from the top of the volume.
struct Object {
  std::uint64_t inode = 0;
  std::string path;
};

/// Errc::refused: it is not in the mount of `site`; Errc::io: it can't be looked at.
Result<Object> object_at(const config::Site& site, const std::string& path) {
  struct stat mount{}, object{};
  struct statfs kind{};
  if (::stat(site.mount.c_str(), &mount) != 0 || ::statfs(site.mount.c_str(), &kind) != 0) {
    return fail(Errc::io, fmt::format("can't look at {}, the mount of {}: {}; is lockstepd running?", site.mount, site.name, std::strerror(errno)));
  }
  if (kind.f_type != kFuseMagic || mount.st_ino != kRootInode.value) {
    return fail(Errc::refused, fmt::format("nothing is mounted at {}; start lockstepd of {}", site.mount, site.name));
  }
  if (::stat(path.c_str(), &object) != 0) return fail(Errc::io, fmt::format("can't look at {}: {}", path, std::strerror(errno)));
  if (object.st_dev != mount.st_dev) {
    return fail(Errc::refused, fmt::format("{} is not in {}, the mount of {}; give a path below it", path, site.mount, site.name));
  }
  std::error_code error;
  const std::filesystem::path real = std::filesystem::canonical(path, error);
  const std::filesystem::path top = error ? std::filesystem::path() : std::filesystem::canonical(site.mount, error);
  if (error) return Object{object.st_ino, path};
  const std::string below = real.lexically_relative(top).string();
  return Object{object.st_ino, below == "." ? "/" : "/" + below};
}

/// The request about `object`, or bytes of it. Errc::invalid: the range.
Result<json> request_about(const Object& object, const char* command, const std::string& range) {
  json request{{"command", command}, {"inode", object.inode}, {"path", object.path}};
  if (range.empty()) return request;
  const Result<ByteRange> bytes = volume::parse_byte_range(range);
  if (!bytes) return std::unexpected(bytes.error());
  request["offset"] = bytes->offset;
  request["length"] = bytes->length;
  return request;
}

ExitStatus list(const config::Site& site, bool as_json) {
  json all = json::array();
  const json answer = ask(site.control, {{"command", "reservations"}},
                          [&](const json& line) {
                            if (const json& one = member(line, "reservation"); one.is_object()) all.push_back(one);
                          },
                          std::nullopt);
  if (answer.is_null()) return kCouldNot;
  std::string out;
  if (as_json) {
    out = control::to_line(json{{"reservations", std::move(all)}});
  } else {
    if (!all.empty()) out = fmt::format("{:<12} {:<6} {:<7} {:<24} {:<20} {}\n", "SITE", "OTHERS", "KIND", "BYTES", "SINCE", "PATH");
    for (const json& one : all) {
      const std::string path = text(one, "path").empty() ? fmt::format("inode {}", number(one, "inode")) : text(one, "path");
      const auto since = static_cast<std::time_t>(number(one, "since"));
      out += fmt::format("{:<12} {:<6} {:<7} {:<24} {:%Y-%m-%d %H:%M:%S}  {}\n", text(one, "site"), is_true(one, "busy") ? "EBUSY" : "wait",
                         text(one, "kind"), text(one, "range"), fmt::localtime(since), path);
    }
    if (out.empty()) out = "nothing is reserved\n";
  }
  std::fwrite(out.data(), 1, out.size(), stdout);
  return kYes;
}

ExitStatus carry_out(const config::Site& site, const Result<json>& request) {
  if (!request) {
    complain(request.error().text);
    return kCouldNot;
  }
  const json answer = ask(site.control, *request, {}, std::nullopt);
  if (answer.is_null()) return kCouldNot;
  fmt::print("{}\n", text(answer, "text"));
  return kYes;
}

}  // namespace

ExitStatus reserve(const config::Site& site, const ReserveCommand& command) {
  if (command.list) return list(site, command.json);
  if (command.path.empty()) {
    complain("which file or directory? lockstep reserve PATH, or lockstep reserve --list");
    return kCouldNot;
  }
  const Result<Object> object = object_at(site, command.path);
  if (!object) {
    complain(object.error().text);
    return kCouldNot;
  }
  if (command.breaks) {
    if (!command.force &&
        !confirmed(fmt::format("Programs at the site that has reserved {} rely on nobody else changing it. Break it?", command.path))) {
      return kNo;
    }
    Result<json> request = request_about(*object, "release", command.range);
    if (request) (*request)["any_site"] = true;
    return carry_out(site, request);
  }
  Result<json> request = request_about(*object, "reserve", command.range);
  if (request) (*request)["busy"] = command.busy;
  return carry_out(site, request);
}

ExitStatus release(const config::Site& site, const ReserveCommand& command) {
  const Result<Object> object = object_at(site, command.path);
  if (!object) {
    complain(object.error().text);
    return kCouldNot;
  }
  return carry_out(site, request_about(*object, "release", command.range));
}

}  // namespace lockstep::cli
