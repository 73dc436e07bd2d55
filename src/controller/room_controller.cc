// Room for metadata at both sites: a disk that is full at one of them is ENOSPC at both (room.h).
#include <fmt/format.h>

#include <utility>

#include "controller/controller.h"
#include "controller/room.h"
#include "core/log.h"

namespace lockstep::controller {
namespace {

constexpr Duration kLookEvery = std::chrono::seconds(1);

}  // namespace

runtime::Task<void> Controller::room_watch() {
  runtime::World& world = replica_.world;
  bool told = false;
  do {
    const std::uint64_t log_bytes = replica_.area.log().bytes();
    const Result<runtime::KeyRoom> room = co_await world.keys.room(room_needed(room_.used, log_bytes));
    if (!room && !std::exchange(told, true)) log::error("{}", room.error().text);
    if (!room) continue;
    room_ = *room;
    const bool is_short = lacks_room(room_, log_bytes, short_here_);
    if (is_short == short_here_) continue;
    if (is_short) {
      log::warning("{}", room_problem(options_.keeper.names.at(options_.self.value)));
    } else {
      log::info("there is room for metadata again: {} MiB are free", room_.free >> 20);
    }
    note_room(is_short, short_there_);
    if (link_ != nullptr) link_->ping_now();
  } while (co_await world.clock.sleep_until(world.clock.now() + kLookEvery, stop_));
}

void Controller::note_room(bool short_here, bool short_there) {
  if (short_there != short_there_) log::info("site {} {}", options_.peer_name, short_there ? "has no room for metadata to grow" : "has room again");
  short_here_ = short_here;
  short_there_ = short_there;
  replica_.volume.hold_growth(short_here || short_there);
}

std::string Controller::room_problem(const std::string& site) const {
  return fmt::format("the file system that the area of {} is on has no room for metadata to grow: what would need some gets \"No space left on "
                     "device\" at both sites; make room there, or remove files of the volume", site);
}

std::string Controller::short_of_room() const {
  std::string text;
  if (short_here_) text = room_problem(options_.keeper.names.at(options_.self.value));
  if (short_there_) text += (text.empty() ? "" : "; ") + room_problem(options_.peer_name);
  return text;
}

}  // namespace lockstep::controller
