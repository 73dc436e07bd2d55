#include "bin/simulator/reservers.h"

#include <fcntl.h>
#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "bin/simulator/unread.h"

namespace lockstep::simulator {
namespace {

using nlohmann::json;
using sim::FileHandle;
using sim::Host;
using std::chrono::microseconds;
using std::chrono::milliseconds;

constexpr Duration kAskAgain = milliseconds(20);
constexpr Duration kLookForAnswer = microseconds(500);

runtime::Task<void> execute(sim::Process& daemon, site::Site& site, Unread& unread, json request, std::shared_ptr<Answer> answer) {
  answer->said = co_await site.execute(std::move(request), unread);
  answer->at = daemon.universe().now();
  answer->known = true;
}

/// A daemon that is stopping gives a request up, and does not know whether it takes effect.
bool given_up(const Answer& answer) { return answer.error().starts_with("lockstepd is stopping"); }

Part draw_part(const Stage& stage, sim::Prng& prng) {
  const std::uint64_t kind = prng.below(100);
  Part part{.path = data_file(prng.below(stage.files))};
  if (kind < 60) {
    part.first = prng.below(stage.blocks);
    part.count = 1 + prng.below(std::min<std::uint64_t>(stage.blocks - part.first, 4));
  } else if (kind >= 75 && kind < 85) {
    part.path = "/records";
  } else if (kind >= 85) {
    part.path = kind < 95 ? "/names" : "/";
    part.tree = true;
  }
  return part;
}

class Reserver {
 public:
  Reserver(sim::Process& process, Stage& stage, Cluster& cluster, sim::Prng& prng)
      : process_(process), stage_(stage), cluster_(cluster), prng_(prng), site_(site_of(process)) {}

  /// Nullopt: it was not made, or nobody knows.
  runtime::Task<std::optional<Holds::Number>> reserve(Part part, bool busy) {
    const std::optional<json> request = co_await request_for("reserve", part);
    if (!request) co_return std::nullopt;
    json with = *request;
    with["busy"] = busy;
    const Instant from = now();
    const Holds::Number number = stage_.holds.asked(site_, part, busy, from);
    const Answer answer = co_await command(process_, cluster_, site_, std::move(with));
    say("reserve", part, answer);
    if (!answer.known || given_up(answer)) {
      stage_.holds.doubt(number, now());
      co_return std::nullopt;
    }
    if (answer.ok()) {
      stage_.holds.made(number, answer.at);
      if (stage_.history.apart()) stage_.holds.doubt(number, answer.at);
      co_return number;
    }
    stage_.holds.refused(number);
    if (answer.error().find("by another site") == std::string::npos) {
      if (!stage_.may_be_full()) stage_.fail("reserving failed: " + answer.error());
    } else if (const auto wrong = stage_.holds.told_reserved(site_, part, from, answer.at)) {
      stage_.fail(*wrong);
    }
    co_return std::nullopt;
  }

  /// Until somebody says that it is not reserved any more.
  runtime::Task<void> release(Holds::Number number) {
    const Part part = stage_.holds.at(number).part;
    bool first = true;
    for (;;) {
      const std::optional<json> request = co_await request_for("release", part);
      if (request) {
        const Instant from = now();
        const bool certain = first && stage_.holds.at(number).certain(from, from);
        const std::uint64_t breaks = stage_.holds.breaks();
        const Holds::Number release = stage_.holds.releasing(part, site_, from);
        const Answer answer = co_await command(process_, cluster_, site_, *request);
        say("release", part, answer);
        first = false;
        if (answer.known && !given_up(answer)) {
          const bool theirs = stage_.holds.at(number).doubted || stage_.holds.breaks() != breaks;  // perhaps
          if (!answer.ok() && certain && !theirs && !stage_.may_be_full()) {
            stage_.fail(fmt::format("a reservation of {} that was acknowledged could not be released: {}", text_of(part), answer.error()));
          }
          if (answer.ok() || answer.error().find("is not reserved") != std::string::npos) {
            stage_.holds.released(release, answer.at);
            co_return;
          }
          if (answer.error().find("by another site") != std::string::npos) co_return;
        }
      }
      co_await process_.delay(kAskAgain);
    }
  }

  runtime::Task<void> break_one() {
    std::vector<Holds::Number> there;
    for (Holds::Number n = 0; n < stage_.holds.all().size(); ++n) {
      const Holds::Hold& hold = stage_.holds.at(n);
      if (hold.site != site_ && !hold.refused && !hold.ended) there.push_back(n);
    }
    if (there.empty()) co_return;
    co_await break_part(stage_.holds.at(there[prng_.below(there.size())]).part);
  }

  runtime::Task<void> break_part(Part part) {
    std::optional<json> request = co_await request_for("release", part);
    if (!request) co_return;
    (*request)["any_site"] = true;
    const Holds::Number release = stage_.holds.releasing(part, std::nullopt, now());
    const Answer answer = co_await command(process_, cluster_, site_, *request);
    say("break", part, answer);
    if (answer.known && !given_up(answer)) stage_.holds.released(release, answer.at);
  }

  /// Holds it for a while, and looks whether others change it meanwhile.
  runtime::Task<void> hold(Holds::Number number) {
    const Holds::Hold hold = stage_.holds.at(number);
    const Duration time = prng_.chance(100) ? milliseconds(prng_.below(2000)) : microseconds(prng_.below(150'000));
    if (hold.part.tree || hold.part.path == "/records") {
      co_await process_.delay(time);
      co_return;
    }
    Host host(process_);
    const Result<FileHandle> file = co_await host.open(hold.part.path, O_RDONLY | (prng_.chance(300) ? O_DIRECT : 0), 0);
    const std::uint64_t block = hold.part.count == 0 ? prng_.below(stage_.blocks) : hold.part.first + prng_.below(hold.part.count);
    const std::optional<Value> before = file ? co_await value(*file, block) : std::nullopt;
    const Instant from = now();
    co_await process_.delay(time);
    const std::optional<Value> after = file ? co_await value(*file, block) : std::nullopt;
    // What a program writes here is in this site's kernel at once, and goes again if it is ended before that was sent.
    const std::optional<History::Origin> seen = before ? stage_.history.origin({hold.part.path, block}, *before) : std::nullopt;
    const bool may_go = seen && seen->site == site_ && !seen->acknowledged;
    if (before && after && before != after && !may_go && stage_.holds.at(number).certain(from, now())) {
      const std::optional<History::Origin> origin = stage_.history.origin({hold.part.path, block}, *after);
      if (!origin || origin->site != site_) {
        stage_.fail(fmt::format("{} block {} was {} and is {}, of the other site's host, while this one had reserved it", hold.part.path, block, *before,
                                *after));
      }
    }
    if (file) co_await host.close(*file);
  }

  [[nodiscard]] Instant now() { return process_.universe().now(); }

 private:
  /// With the number of the object, which the mount says. Nullopt: it is away.
  runtime::Task<std::optional<json>> request_for(const char* command, Part part) {
    Host host(process_);
    const Result<runtime::HostAttributes> found = co_await host.stat(part.path);
    if (!found) {
      if (!lost(found.error())) stage_.fail(fmt::format("{} can't be found to be reserved, errno {}", part.path, found.error().posix));
      co_return std::nullopt;
    }
    json request{{"command", command}, {"inode", found->inode.value}, {"path", part.path}};
    if (part.count != 0) {
      request["offset"] = part.first * kBlockBytes;
      request["length"] = part.count * kBlockBytes;
    }
    co_return request;
  }

  runtime::Task<std::optional<Value>> value(FileHandle file, std::uint64_t block) {
    Host host(process_);
    const Result<std::string> bytes = co_await host.read(file, block * kBlockBytes, kBlockBytes);
    co_return bytes ? value_of(*bytes) : std::nullopt;
  }

  void say(const char* what, const Part& part, const Answer& answer) {
    if (!stage_.verbose) return;
    fmt::print("{:>12} {} {} {}: {}\n", now().ns / 1000, process_.name(), what, text_of(part), answer.known ? answer.said.dump() : "no answer");
  }

  sim::Process& process_;
  Stage& stage_;
  Cluster& cluster_;
  sim::Prng& prng_;
  std::size_t site_;
};

std::vector<volume::Reservation> reserved_at(Cluster& cluster, std::size_t site) {
  std::vector<volume::Reservation> all;
  for (const auto& [place, it] : cluster.site(site).volume().reservations().all()) all.push_back(it);
  return all;
}

bool is_ready(Cluster& cluster, std::size_t site) { return cluster.up(site) && cluster.site(site).ready(); }

}  // namespace

runtime::Task<Answer> command(sim::Process& process, Cluster& cluster, std::size_t site, json request) {
  auto answer = std::make_shared<Answer>();
  if (!is_ready(cluster, site)) co_return *answer;
  sim::Process& daemon = cluster.process(site);
  const auto& all = cluster.machine(site).processes();
  const std::weak_ptr<sim::Process> life = *std::ranges::find(all, &daemon, &std::shared_ptr<sim::Process>::get);
  daemon.spawn(execute(daemon, cluster.site(site), daemon.make<Unread>(), std::move(request), answer));
  for (;;) {
    co_await process.delay(kLookForAnswer);
    if (answer->known) co_return *answer;
    const std::shared_ptr<sim::Process> lives = life.lock();
    if (!lives || !lives->alive()) co_return *answer;
  }
}

runtime::Task<void> reserve(sim::Process& process, Stage& stage, Cluster& cluster, sim::Prng& prng) {
  Reserver reserver(process, stage, cluster, prng);
  const std::size_t site = site_of(process);
  std::vector<Holds::Number> mine;
  while (!stage.quiet && stage.failure.empty()) {
    co_await process.delay(microseconds(prng.below(60'000)));
    if (stage.rests(site) || !cluster.up(site)) continue;
    const bool left_alone = !cluster.up(1 - site) || stage.history.apart();
    if (prng.chance(left_alone ? 500 : 60)) {
      co_await reserver.break_one();
      continue;
    }
    const std::optional<Holds::Number> number = co_await reserver.reserve(draw_part(stage, prng), prng.chance(400));
    if (!number) continue;
    if (prng.chance(150)) {  // until somebody breaks it, or the end
      mine.push_back(*number);
      continue;
    }
    co_await reserver.hold(*number);
    co_await reserver.release(*number);
  }
  for (const Holds::Number number : mine) co_await reserver.release(number);
}

runtime::Task<void> break_all(sim::Process& process, Stage& stage, Cluster& cluster, const bool& over, bool& done) {
  sim::Prng none(0);
  Reserver reserver(process, stage, cluster, none);
  const std::size_t site = site_of(process);
  for (;;) {
    bool any = false;
    if (is_ready(cluster, site)) {
      for (const volume::Reservation& it : reserved_at(cluster, site)) {
        any = true;
        // By its path of then: what the simulator reserves is not renamed.
        co_await reserver.break_part({.path = it.path, .tree = it.tree, .first = it.first, .count = it.whole() ? 0 : it.count});
      }
    }
    if (over && !any) break;
    co_await process.delay(kAskAgain);
  }
  stage.holds.none_left(reserver.now());
  done = true;
}

runtime::Task<void> reserve_to_the_end(sim::Process& process, Stage& stage, Cluster& cluster, sim::Prng& prng, bool& done) {
  Reserver reserver(process, stage, cluster, prng);
  for (std::uint64_t left = 1 + prng.below(4); left > 0; --left) co_await reserver.reserve(draw_part(stage, prng), prng.chance(400));
  done = true;
}

std::optional<std::string> reservations_wrong(Cluster& cluster, const Stage& stage) {
  const auto lines = [](const std::vector<volume::Reservation>& all) {
    std::vector<std::string> text;
    for (const volume::Reservation& it : all) {
      text.push_back(fmt::format("{}, site {}{}", text_of({.path = it.path, .tree = it.tree, .first = it.first, .count = it.whole() ? 0 : it.count}), it.site.value, it.busy ? ", busy" : ""));
    }
    std::ranges::sort(text);
    return text;
  };
  const std::vector<std::string> east = lines(reserved_at(cluster, 0)), west = lines(reserved_at(cluster, 1));
  if (east != west) return fmt::format("the sites do not have the same as reserved: \"{}\" and \"{}\"", fmt::join(east, "; "), fmt::join(west, "; "));
  std::map<std::string, bool> last;  // what is reserved again is as it was said last
  for (const Holds::Hold& hold : stage.holds.all()) {
    if (hold.made && !hold.ended && !hold.doubted) last[fmt::format("{}, site {}", text_of(hold.part), hold.site)] = hold.busy;
  }
  std::vector<std::string> told;
  for (const auto& [text, busy] : last) told.push_back(text + (busy ? ", busy" : ""));
  std::ranges::sort(told);
  if (told != east) return fmt::format("reserved is \"{}\", and hosts were told \"{}\"", fmt::join(east, "; "), fmt::join(told, "; "));
  return std::nullopt;
}

}  // namespace lockstep::simulator
