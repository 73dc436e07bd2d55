#include "resync/damage.h"

#include <algorithm>

#include "core/log.h"

namespace lockstep::resync {

void Damage::note(std::uint64_t block, std::string why) {
  if (waiting_.size() >= kWaiting) {
    ++unnamed_;
  } else {
    Event event;
    event.place.block = block;
    event.why = std::move(why);
    waiting_.push_back(std::move(event));
  }
  noted_.notify_all();
}

runtime::Task<void> Damage::loop() {
  while (!stopping_) {
    if (waiting_.empty()) {
      co_await noted_.wait();
      continue;
    }
    std::vector<Event> some;
    std::vector<std::uint64_t> blocks;
    while (!waiting_.empty() && some.size() < kPlacesMax) {
      blocks.push_back(waiting_.front().place.block);
      some.push_back(std::move(waiting_.front()));
      waiting_.pop_front();
    }
    std::vector<Place> places = co_await places_of(world_.keys, std::move(blocks));
    for (std::size_t i = 0; i < some.size(); ++i) {
      some[i].place = std::move(places[i]);
      if (some[i].why.empty()) {
        log::warning("{}: was bad here, and was repaired with the other site's copy", some[i].place.text());
      } else {
        log::error("{}: is bad here, and was not repaired: {}; if that stays, restore the file", some[i].place.text(), some[i].why);
      }
      events_.push_back(std::move(some[i]));
      if (events_.size() > kKept) events_.pop_front();
    }
    if (unnamed_ > 0 && waiting_.empty()) log::warning("{} more bad blocks were met; lockstep scrub names what is still bad", std::exchange(unnamed_, 0));
  }
}

runtime::Task<void> Damage::stop() {
  stopping_ = true;
  noted_.notify_all();
  co_await scope_.join();
}

}  // namespace lockstep::resync
