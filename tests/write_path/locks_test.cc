// Advisory locks of two sites: they exclude, wait, are interrupted, and outlive what happens to daemons, roles and the link.
#include <fcntl.h>

#include <cerrno>

#include "scene.h"

using namespace lockstep;
using namespace lockstep::write_path;
using runtime::HostLock;
using runtime::Task;
using std::chrono::seconds;
using simulator::Cluster;

namespace {

HostLock want(HostLock::Type type, std::uint64_t first = 0, std::uint64_t last = wire::kLockLastMax) {
  HostLock lock;
  lock.type = type;
  lock.first = first;
  lock.last = last;
  lock.pid = 99;
  return lock;
}
HostLock waiting(HostLock lock) {
  lock.wait = true;
  return lock;
}
const HostLock kWrite = want(HostLock::Type::write), kRead = want(HostLock::Type::read), kUnlock = want(HostLock::Type::unlock);

/// One process of a site with /data open.
struct Locker {
  Locker(Cluster& c, std::size_t where, std::uint64_t owner = 1)
      : cluster(c), site(where), process(c.machine(where).start("locker")), host(process, owner) {
    open();
  }
  void open() {
    file = nullptr;
    process.spawn(opened());
    REQUIRE(cluster.universe().run_until([&] { return process.idle(); }, seconds(100)));
    REQUIRE(file);
  }
  Task<void> opened() {
    const Result<sim::FileHandle> made = co_await host.open("/data", O_RDWR | O_CREAT, 0644);
    if (made) file = *made;
  }
  Task<void> locked(HostLock lock, Answer& answer) {
    const Result<> done = co_await host.lock(file, lock);
    ++answer.count;
    answer.made = done.has_value();
    if (!done) answer.error = done.error();
  }
  Task<void> written(Answer& answer) {
    const Result<std::uint64_t> done = co_await host.write(file, 0, "x");
    ++answer.count;
    answer.made = done.has_value();
    if (!done) answer.error = done.error();
  }
  Task<void> closed(Answer& answer) {
    const Result<> done = co_await host.close(file);
    ++answer.count;
    answer.made = done.has_value();
  }
  void start(HostLock lock, Answer& answer) { process.spawn(locked(lock, answer)); }
  bool run_until(const Answer& answer) {
    return cluster.universe().run_until([&] { return answer.count == 1; }, seconds(100));
  }
  /// The errno; 0: done.
  int finish(Answer& answer) {
    REQUIRE(run_until(answer));
    return answer.made ? 0 : answer.error ? answer.error->posix : -1;
  }
  int lock(HostLock wanted) {
    Answer answer;
    start(wanted, answer);
    return finish(answer);
  }
  int write() {
    Answer answer;
    process.spawn(written(answer));
    return finish(answer);
  }
  void close() {
    Answer answer;
    process.spawn(closed(answer));
    (void)finish(answer);
  }
  /// A signal for everybody at this site who waits for a lock.
  void signal() { cluster.machine(site).mount()->signal(); }
  /// `answer` is not given for as long as anything that is under way takes.
  void require_waiting(const Answer& answer) {
    cluster.universe().run_for(std::chrono::milliseconds(200));
    REQUIRE(answer.count == 0);
  }

  Cluster& cluster;
  std::size_t site;
  sim::Process& process;
  sim::Host host;
  sim::FileHandle file;
};

void switch_over(Cluster& cluster, std::size_t from) {
  struct Run {
    static Task<void> over(site::Site& site, bool& done) {
      const std::string failed = co_await site.controller().switch_over();
      done = failed.empty();
    }
  };
  bool done = false;
  cluster.process(from).spawn(Run::over(cluster.site(from), done));
  REQUIRE(cluster.universe().run_until([&] { return done && cluster.in_sync(); }, seconds(100)));
  REQUIRE(cluster.site(1 - from).controller().primary() != nullptr);
}

const volume::FileLocks& locks_of(Cluster& cluster, std::size_t site, InodeId inode) { return cluster.site(site).volume().locks().of(inode); }

void require_same_locks(Cluster& cluster) {
  REQUIRE(cluster.universe().run_until([&] { return cluster.in_sync(); }, seconds(100)));
  REQUIRE(cluster.universe().run_until([&] { return cluster.site(kEast).volume().locks().files() == cluster.site(kWest).volume().locks().files(); }, seconds(10)));
}

}  // namespace

TEST_CASE("a lock at one site excludes the other one, which waits for it and gets it") {
  for (const std::size_t first : {kEast, kWest}) {
    INFO("held at " << kSites[first]);
    Scene scene(1);
    Locker a(scene.cluster, first), b(scene.cluster, 1 - first);
    REQUIRE(a.lock(kWrite) == 0);
    REQUIRE(b.lock(kWrite) == EAGAIN);
    REQUIRE(b.lock(kRead) == EAGAIN);
    Answer answer;
    b.start(waiting(kRead), answer);
    b.require_waiting(answer);
    REQUIRE(a.lock(kUnlock) == 0);
    REQUIRE(b.finish(answer) == 0);
    REQUIRE(a.lock(kWrite) == EAGAIN);
    REQUIRE(a.lock(kRead) == 0);
    require_same_locks(scene.cluster);
    a.close();
    REQUIRE(b.lock(kWrite) == 0);  // the other reader gave it up with its descriptor
    b.close();
    require_same_locks(scene.cluster);
    REQUIRE(scene.cluster.site(kEast).volume().locks().size() == 0);
    REQUIRE(scene.cluster.site(first).host_side().running() == 0);
  }
}

TEST_CASE("a signal ends a wait, wherever the lock is held, and leaves nothing in line") {
  for (const std::size_t holder : {kEast, kWest}) {
    for (const std::size_t waiter : {kEast, kWest}) {
      Scene scene(2);
      Locker a(scene.cluster, holder, 1), b(scene.cluster, waiter, 2);
      REQUIRE(a.lock(kWrite) == 0);
      Answer answer;
      b.start(waiting(kWrite), answer);
      b.require_waiting(answer);
      b.signal();
      REQUIRE(b.finish(answer) == EINTR);
      require_same_locks(scene.cluster);
      REQUIRE(scene.cluster.site(kEast).volume().locks().size() == 1);
      REQUIRE(a.lock(kUnlock) == 0);
      REQUIRE(scene.cluster.site(kEast).volume().locks().size() == 0);
    }
  }
}

TEST_CASE("a circle of waits over both sites is refused") {
  Scene scene(3);
  Locker a(scene.cluster, kEast), b(scene.cluster, kWest);
  const HostLock first = want(HostLock::Type::write, 0, 0), second = want(HostLock::Type::write, 1, 1);
  REQUIRE(a.lock(first) == 0);
  REQUIRE(b.lock(second) == 0);
  Answer answer;
  a.start(waiting(second), answer);
  a.require_waiting(answer);
  REQUIRE(b.lock(waiting(first)) == EDEADLK);
  REQUIRE(b.lock(kUnlock) == 0);
  REQUIRE(a.finish(answer) == 0);
}

TEST_CASE("locks and waits last over switchovers") {
  Scene scene(4);
  Locker a(scene.cluster, kEast), b(scene.cluster, kWest);
  REQUIRE(a.lock(kWrite) == 0);
  Answer answer;
  b.start(waiting(kWrite), answer);
  b.require_waiting(answer);
  switch_over(scene.cluster, kEast);
  b.require_waiting(answer);
  REQUIRE(locks_of(scene.cluster, kWest, a.file->inode).size() == 2);
  switch_over(scene.cluster, kWest);
  switch_over(scene.cluster, kEast);
  REQUIRE(a.lock(kUnlock) == 0);
  REQUIRE(b.finish(answer) == 0);
  require_same_locks(scene.cluster);
}

TEST_CASE("a daemon that dies takes its hosts' locks along once it is back, and nobody else's") {
  for (const std::size_t victim : {kEast, kWest}) {
    INFO(kSites[victim] << " dies");
    Scene scene(5);
    const std::size_t other = 1 - victim;
    const HostLock low = want(HostLock::Type::write, 0, 9), high = want(HostLock::Type::write, 10, 19);
    Locker dies(scene.cluster, victim), lives(scene.cluster, other), waits(scene.cluster, other, 2);
    REQUIRE(dies.lock(low) == 0);
    REQUIRE(lives.lock(high) == 0);
    Answer answer;
    waits.start(waiting(low), answer);
    waits.require_waiting(answer);
    scene.cluster.kill(victim);
    scene.universe().run_for(seconds(20));
    REQUIRE(answer.count == 0);  // the other site may not go on alone: nothing is known
    scene.cluster.start(victim);
    REQUIRE(waits.finish(answer) == 0);
    require_same_locks(scene.cluster);
    Locker again(scene.cluster, victim, 3);
    REQUIRE(again.lock(low) == EAGAIN);
    REQUIRE(again.lock(high) == EAGAIN);
    REQUIRE(lives.write() == 0);
  }
}

TEST_CASE("a daemon dies at each step of a lock of the other site's host: it is taken once, and is what both sites say") {
  for (const std::size_t victim : {kEast, kWest}) {
    std::size_t steps = 100;
    for (std::size_t step = 1; step <= steps; ++step) {
      INFO(kSites[victim] << " dies at step " << step);
      Scene scene(6);
      Locker a(scene.cluster, 1 - victim);
      scene.settle();
      scene.record();
      bool dead = false;
      std::size_t last = 0;
      scene.at_step = [&](std::size_t number) {
        last = number;
        if (number != step || dead) return;
        dead = true;
        for (const std::size_t site : {kEast, kWest}) scene.forget(site);  // no more steps are of interest
        scene.cluster.kill(victim);
      };
      Answer answer;
      a.start(kWrite, answer);
      scene.universe().run_until([&] { return dead || answer.count == 1; }, seconds(10));
      if (!dead) {
        steps = last;
        break;
      }
      scene.at_step = nullptr;
      scene.cluster.start(victim);
      REQUIRE(a.finish(answer) == 0);
      require_same_locks(scene.cluster);
      REQUIRE(locks_of(scene.cluster, victim, a.file->inode).held().size() == 1);
      Locker b(scene.cluster, victim);
      REQUIRE(b.lock(kWrite) == EAGAIN);
      REQUIRE(a.lock(kUnlock) == 0);
      REQUIRE(b.lock(kWrite) == 0);
    }
    REQUIRE(steps < 100);
    REQUIRE(steps > 3);
  }
}

TEST_CASE("locks of a site that was left behind are broken after the grace time; who held one is told, others are not") {
  Cluster cluster(7, {.area_bytes = 4u << 20, .alone = true});
  REQUIRE(cluster.format());
  for (const std::size_t site : {kEast, kWest}) cluster.start(site);
  REQUIRE(cluster.universe().run_until([&] { return cluster.in_sync(); }, seconds(100)));
  const HostLock low = want(HostLock::Type::write, 0, 9);
  Locker east(cluster, kEast), west(cluster, kWest), reader(cluster, kWest, 2), bystander(cluster, kWest, 3);
  REQUIRE(west.lock(low) == 0);
  REQUIRE(reader.lock(want(HostLock::Type::read, 50, 59)) == 0);
  Answer answer;
  SECTION("it is back in time") {
    cluster.universe().network().partition(cluster.machine(kEast), cluster.machine(kWest), true);
    REQUIRE(cluster.universe().run_until([&] { return cluster.site(kEast).controller().state() == controller::Controller::State::alone; }, seconds(60)));
    east.start(waiting(low), answer);
    east.require_waiting(answer);
    cluster.universe().network().partition(cluster.machine(kEast), cluster.machine(kWest), false);
    REQUIRE(cluster.universe().run_until([&] { return cluster.in_sync(); }, seconds(100)));
    cluster.universe().run_for(seconds(60));
    REQUIRE(answer.count == 0);
    REQUIRE(west.write() == 0);
    REQUIRE(west.lock(kUnlock) == 0);
    REQUIRE(east.finish(answer) == 0);
  }
  SECTION("it is not") {
    cluster.universe().network().partition(cluster.machine(kEast), cluster.machine(kWest), true);
    REQUIRE(cluster.universe().run_until([&] { return cluster.site(kEast).controller().state() == controller::Controller::State::alone; }, seconds(60)));
    east.start(waiting(low), answer);
    east.require_waiting(answer);
    cluster.universe().run_for(seconds(25));
    REQUIRE(answer.count == 0);
    REQUIRE(east.finish(answer) == 0);
    REQUIRE(east.write() == 0);
    cluster.universe().network().partition(cluster.machine(kEast), cluster.machine(kWest), false);
    require_same_locks(cluster);
    REQUIRE(west.write() == EIO);
    REQUIRE(west.lock(low) == EIO);
    REQUIRE(bystander.write() == 0);
    west.close();
    west.open();
    REQUIRE(west.write() == 0);
    REQUIRE(west.lock(low) == EAGAIN);
  }
  for (const std::size_t site : {kEast, kWest}) REQUIRE(cluster.stop(site));
}

TEST_CASE("a lock that is broken while both sites are there: its holder gets EIO, and who waited the lock") {
  Scene scene(8);
  Locker a(scene.cluster, kWest), b(scene.cluster, kEast);
  REQUIRE(a.lock(kWrite) == 0);
  Answer answer;
  b.start(waiting(kWrite), answer);
  b.require_waiting(answer);
  struct Run {
    static Task<void> broken(controller::Controller& controller, InodeId inode, bool& done) {
      wire::Operation operation;
      operation.kind = wire::OpKind::break_locks;
      operation.inode = inode;
      operation.lock.owner.site = SiteId{kWest};
      const wire::Outcome outcome = co_await controller.change(std::move(operation), Bytes(), nullptr, nullptr);
      done = outcome.error == 0 && outcome.value == 1;
    }
  };
  bool done = false;
  scene.cluster.process(kEast).spawn(Run::broken(scene.cluster.site(kEast).controller(), a.file->inode, done));
  REQUIRE(b.finish(answer) == 0);
  REQUIRE(done);
  REQUIRE(a.write() == EIO);
  REQUIRE(b.write() == 0);
}
