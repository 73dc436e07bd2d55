// results.h - which requests took effect, and what became of them (R5): so that one that is sent again has one answer.
//
// An effect that carries a request's id is noted when it is put into force, at every site. An entry goes when nobody will
// ask for it any more: its sender said that no request below some number waits (waits_from), or was started anew.
// Bounded by the requests that sites may have in work.
#pragma once

#include <map>

#include "wire/messages.h"

namespace lockstep::controller {

class Results {
 public:
  struct Entry {
    Seq seq;
    wire::Outcome outcome;
  };
  /// What a site said last: no request of its start `boot` below `n` waits any more. boot 0: it said nothing.
  struct From {
    std::uint64_t boot = 0;
    std::uint64_t n = 0;
  };

  void note(const RequestId& id, Seq seq, const wire::Outcome& outcome) {
    if (id.boot != 0 && id.n != 0 && id.n >= from_[id.site].n && (id.boot == from_[id.site].boot || from_[id.site].boot == 0)) {
      entries_[id] = {seq, outcome};
    }
  }
  [[nodiscard]] const Entry* find(const RequestId& id) const {
    const auto found = entries_.find(id);
    return found == entries_.end() ? nullptr : &found->second;
  }
  /// No request of `site` in its start `boot` below `n` waits for an answer any more, nor any of another start.
  void waits_from(SiteId site, std::uint64_t boot, std::uint64_t n) {
    From& from = from_[site];
    if (from.boot == boot && n <= from.n) return;
    from = {boot, n};
    const auto first = entries_.lower_bound(RequestId{site, 0, 0});
    for (auto it = first; it != entries_.end() && it->first.site == site;) {
      it = it->first.boot != boot || it->first.n < n ? entries_.erase(it) : std::next(it);
    }
  }
  [[nodiscard]] From from(SiteId site) const {
    const auto found = from_.find(site);
    return found == from_.end() ? From{} : found->second;
  }
  /// It did not happen.
  void forget(const RequestId& id) { entries_.erase(id); }
  /// Effects behind `seq` were taken back: they did not happen.
  void forget_after(Seq seq) {
    std::erase_if(entries_, [&](const auto& item) { return item.second.seq > seq; });
  }
  /// `what`(id, entry) of each request of `site`.
  template <class Do>
  void for_all(SiteId site, Do what) const {
    for (auto it = entries_.lower_bound(RequestId{site, 0, 0}); it != entries_.end() && it->first.site == site; ++it) what(it->first, it->second);
  }
  [[nodiscard]] std::size_t size() const { return entries_.size(); }

 private:
  std::map<RequestId, Entry> entries_;  // by site, start, number
  std::map<SiteId, From> from_;
};

}  // namespace lockstep::controller
