#include "site/profile.h"

#include <algorithm>

namespace lockstep::site {
namespace {

using controller::Step;

}  // namespace

void Profile::add(const controller::StepEvent& event) {
  if (!current_.empty() && current_.front().request != event.request) {
    // Another request began before this one's last step, or this one ended without our knowing.
    const bool ended = std::any_of(current_.begin(), current_.end(), [](const auto& e) {
      return e.step == Step::acknowledged || e.step == Step::mirrored_sent || e.step == Step::released;
    });
    if (ended) finish();
    current_.clear();
  }
  current_.push_back(event);
  if (event.step == Step::acknowledged) {
    finish();
    current_.clear();
  }
}

void Profile::finish() {
  if (current_.size() < 2) return;
  const auto has = [&](Step step) {
    return std::any_of(current_.begin(), current_.end(), [&](const auto& e) { return e.step == step; });
  };
  const std::string path = has(Step::forward_sent) || has(Step::forward_received) ? "W2" : "W1";
  ++requests_;
  Row& sum = sums_[path];
  ++sum.count;
  for (std::size_t i = 1; i < current_.size(); ++i) {
    const controller::StepEvent& before = current_[i - 1];
    const controller::StepEvent& after = current_[i];
    auto& [place, row] = rows_[path][std::string(controller::name_of(after.step))];
    place = std::max(place, i);
    ++row.count;
    for (Row* r : {&row, &sum}) {
      r->ns += static_cast<double>((after.at - before.at).count());
      r->calls += static_cast<double>(after.costs.system_calls - before.costs.system_calls);
      r->switches += static_cast<double>(after.costs.context_switches - before.costs.context_switches);
      r->hops += static_cast<double>(after.costs.thread_hops - before.costs.thread_hops);
    }
  }
}

std::vector<nlohmann::json> Profile::rows() const {
  std::vector<nlohmann::json> out;
  const auto make = [&](const std::string& path, const std::string& step, const Row& row) {
    const auto n = static_cast<double>(std::max<std::uint64_t>(row.count, 1));
    out.push_back({{"path", path}, {"site", site_}, {"step", step}, {"us", row.ns / n / 1000}, {"syscalls", row.calls / n},
                   {"switches", row.switches / n}, {"hops", row.hops / n}, {"count", row.count}});
  };
  for (const auto& [path, steps] : rows_) {
    std::vector<std::pair<std::size_t, std::string>> order;
    for (const auto& [name, placed] : steps) order.emplace_back(placed.first, name);
    std::sort(order.begin(), order.end());
    for (const auto& [place, name] : order) make(path, name, steps.at(name).second);
    make(path, "(whole)", sums_.at(path));
  }
  return out;
}

}  // namespace lockstep::site
