// profile.h - what each step of unloaded requests cost at this site: a table made from a trace.
#pragma once

#include <map>
#include <nlohmann/json.hpp>
#include <string>

#include "controller/steps.h"

namespace lockstep::site {

/// Takes the steps of a trace, in order, and averages what passed between one step of a request and the next. Requests that
/// were in work at the same time as another are left out: what they cost can't be told apart.
class Profile {
 public:
  explicit Profile(std::string site) : site_(std::move(site)) {}
  void add(const controller::StepEvent& event);
  /// One row {path, site, step, us, syscalls, switches, hops, count} for each step, and a sum.
  [[nodiscard]] std::vector<nlohmann::json> rows() const;
  [[nodiscard]] std::uint64_t requests() const { return requests_; }

 private:
  struct Row {
    std::uint64_t count = 0;
    double ns = 0, calls = 0, switches = 0, hops = 0;
  };
  void finish();

  std::string site_;
  std::vector<controller::StepEvent> current_;
  std::uint64_t requests_ = 0;
  // path -> place of the step in the request -> (name, sums)
  std::map<std::string, std::map<std::string, std::pair<std::size_t, Row>>> rows_;
  std::map<std::string, Row> sums_;
};

}  // namespace lockstep::site
