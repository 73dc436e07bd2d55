#include "site/reserve_commands.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <map>

#include "control/members.h"

namespace lockstep::site {
namespace {

using nlohmann::json;

constexpr std::size_t kWaitingShown = 16;

/// What is wrong with `request`, which names an object and perhaps bytes of it; empty: nothing.
std::string fault_of(const json& request) {
  if (control::number(request, "inode") == 0) return "\"inode\" is to be the number of a file or directory";
  if (control::number(request, "offset") > volume::kFileBytesMax || control::number(request, "length") > volume::kFileBytesMax)
    return "\"offset\" and \"length\" are bytes of a file, which is not that long";
  return {};
}

wire::Operation operation_of(const json& request, wire::OpKind kind) {
  wire::Operation operation;
  operation.kind = kind;
  operation.inode = InodeId{control::number(request, "inode")};
  operation.offset = control::number(request, "offset");
  operation.length = control::number(request, "length");
  return operation;
}

json error(std::string text) { return json{{"error", std::move(text)}}; }

}  // namespace

bool ReserveCommands::knows(std::string_view command) {
  return command == "reserve" || command == "release" || command == "reservations";
}

runtime::Task<json> ReserveCommands::execute(json request, control::Stream& stream) {
  const std::string command = control::text(request, "command");
  if (command == "reservations") co_return co_await list(stream);
  if (const std::string fault = fault_of(request); !fault.empty()) co_return error(fault);
  if (command == "reserve") co_return co_await reserve(std::move(request));
  co_return co_await release(std::move(request));
}

std::string ReserveCommands::name_of(SiteId site) const {
  return site.value < config_.sites.size() ? config_.at(site).name : fmt::format("site-{}", site.value);
}

runtime::Task<json> ReserveCommands::reserve(json request) {
  const std::string path = control::text(request, "path").substr(0, volume::kTargetBytesMax);
  const std::string what = path.empty() ? fmt::format("inode {}", control::number(request, "inode")) : path;
  const bool busy = control::is_true(request, "busy");
  wire::Operation operation = operation_of(request, wire::OpKind::reserve);
  operation.text = path;
  operation.flags = busy ? volume::kReserveBusy : 0;
  const bool whole = operation.length == 0;
  const wire::Outcome outcome = co_await controller_.change(std::move(operation), Bytes(), nullptr, nullptr);
  switch (outcome.error) {
    case 0:
      co_return json{{"ok", true}, {"text", fmt::format("{} has reserved {}{}: what other sites change there {}", name_of(self_),
                                                        whole ? "" : "a part of ", what, busy ? "gets EBUSY" : "waits")}};
    case EBUSY:
      co_return error(fmt::format("{} is reserved, in part or as a part of something, by another site; wait until that is released, "
                                  "or break it: lockstep reserve --list", what));
    case ENOLCK:
      co_return error(fmt::format("there are {} reservations, and can't be more; release some: lockstep reserve --list",
                                  volume::kReservationsMax));
    case ENOENT:
    case ESTALE: co_return error(fmt::format("{} has been removed; nothing was reserved", what));
    case EISDIR:
    case EINVAL: co_return error(fmt::format("{} is no regular file: it has no range to reserve; leave --range out", what));
    case ENOTCONN: co_return error("lockstepd is stopping; look at lockstep reserve --list when it is back");
    default: co_return error(fmt::format("{} could not be reserved: {}", what, std::strerror(outcome.error)));
  }
}

runtime::Task<json> ReserveCommands::release(json request) {
  const std::string path = control::text(request, "path");
  const std::string what = path.empty() ? fmt::format("inode {}", control::number(request, "inode")) : path;
  wire::Operation operation = operation_of(request, wire::OpKind::release);
  const bool any_site = control::is_true(request, "any_site");
  operation.flags = any_site ? volume::kReleaseBroken : 0;
  const wire::Outcome outcome = co_await controller_.change(std::move(operation), Bytes(), nullptr, nullptr);
  switch (outcome.error) {
    case 0:
      co_return json{{"ok", true}, {"released", outcome.value},
                     {"text", fmt::format("{} of {} {}", outcome.value == 1 ? "1 reservation" : fmt::format("{} reservations", outcome.value),
                                          what, any_site ? "broken" : "released")}};
    case EPERM:
      co_return error(fmt::format("{} is reserved by another site: release it there, or say: lockstep reserve --break {}", what, what));
    case ENODATA: co_return error(fmt::format("{} is not reserved like that; what is: lockstep reserve --list", what));
    case ENOTCONN: co_return error("lockstepd is stopping; look at lockstep reserve --list when it is back");
    default: co_return error(fmt::format("{} could not be released: {}", what, std::strerror(outcome.error)));
  }
}

runtime::Task<json> ReserveCommands::list(control::Stream& stream) {
  // A copy: what is reserved may change while lines are sent.
  std::vector<volume::Reservation> all;
  for (const auto& [place, it] : volume_.reservations().all()) all.push_back(it);
  for (const volume::Reservation& it : all) {
    json line{{"site", name_of(it.site)},
              {"inode", it.object.value},
              {"path", it.path},
              {"kind", it.tree ? "tree" : it.whole() ? "object" : "range"},
              {"range", volume::byte_range_text(it)},
              {"busy", it.busy},
              {"since", it.since.value / 1'000'000'000}};
    const bool there = co_await stream.send(json{{"reservation", std::move(line)}});
    if (!there) break;
  }
  co_return json{{"count", all.size()}};
}

json ReserveCommands::summary() const {
  const volume::Reservations& all = volume_.reservations();
  const auto& held = controller_.replica().held();
  if (all.size() == 0 && held.empty()) return nullptr;
  std::map<std::string, std::uint64_t> by;
  for (const auto& [place, it] : all.all()) ++by[name_of(it.site)];
  json waiting = json::array();
  for (const auto& [id, it] : held) {
    if (waiting.size() == kWaitingShown) break;
    const Duration waited = clock_.now() - it.since;
    waiting.push_back({{"request", fmt::format("{}-{}", name_of(id.site), id.n)},
                       {"reserved_by", name_of(it.holder)},
                       {"inode", it.object.value},
                       {"ms", std::chrono::duration_cast<std::chrono::milliseconds>(waited).count()}});
  }
  return json{{"count", all.size()}, {"by", by}, {"waiting_count", held.size()}, {"waiting", std::move(waiting)}};
}

}  // namespace lockstep::site
