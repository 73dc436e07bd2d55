// A site that is made equal to another by its keys.
#include "runtime/sync.h"
#include "site.h"
#include "volume/raw_keys.h"

using namespace lockstep;
using namespace lockstep::volume;

namespace {

/// Every pair of `from` between `first` and `to`, in pages of a snapshot.
std::vector<runtime::KeyPair> all_pairs(Site& site, const runtime::KeySnapshot& snapshot) {
  std::vector<runtime::KeyPair> found;
  KeySpan span = shared_keys();
  for (;;) {
    auto page = site.run(site.world().keys.scan(span.from, span.to, 7, &snapshot));
    REQUIRE(page);
    if (page->empty()) return found;
    span.from = page->back().key + '\0';
    for (runtime::KeyPair& pair : *page) found.push_back(std::move(pair));
  }
}

/// Makes the keys of `to` those of `from`, in small batches, without telling the volume that they are complete.
void copy_keys(Site& from, Site& to) {
  const auto source = from.world().keys.snapshot();
  const auto mine = to.world().keys.snapshot();
  wire::KeyBatch changes;
  for (const runtime::KeyPair& pair : all_pairs(to, *mine)) changes.push_back({pair.key, std::nullopt});
  for (runtime::KeyPair& pair : all_pairs(from, *source)) changes.push_back({pair.key, std::move(pair.value)});
  const std::string counts(kCountsKey);
  const auto counted = from.run(from.world().keys.scan(counts, counts + '\0', 1, source.get()));
  REQUIRE(counted);
  changes.push_back({counts, counted->empty() ? std::nullopt : std::optional(counted->front().value)});
  for (std::size_t at = 0; at < changes.size(); at += 5) {
    const wire::KeyBatch some(changes.begin() + static_cast<std::ptrdiff_t>(at),
                              changes.begin() + static_cast<std::ptrdiff_t>(std::min(at + 5, changes.size())));
    REQUIRE(to.volume->apply_raw(some));
  }
}

void copy_times(Site& from, Site& to) {
  for (const wire::LazyTimes& times : from.volume->unsettled(kLazyTimesMax)) {
    wire::Effect effect;
    effect.times = times;
    REQUIRE(to.volume->apply(effect));
  }
}

/// Some history of every kind: files, directories, links, space given back, an orphan, times that are not settled.
void fill(Pair& pair, std::uint64_t seed) {
  const InodeId d = pair.directory(kRootInode, "d");
  const InodeId f = Pair::made(pair.create(d, "f"));
  REQUIRE(pair.append(f, pattern(100'000, seed)).error == 0);
  REQUIRE(pair.link(kRootInode, "g", f).error == 0);
  REQUIRE(pair.set_xattr(f, "user.x", "value").error == 0);
  REQUIRE(pair.create(d, "s", S_IFLNK | 0777).error == 0);
  const InodeId gone = Pair::made(pair.create(d, "gone"));
  REQUIRE(pair.append(gone, pattern(50'000, seed + 1)).error == 0);
  REQUIRE(pair.unlink(d, "gone").error == 0);
  pair.reap();
  REQUIRE(pair.create(d, "orphan").error == 0);
  REQUIRE(pair.unlink(d, "orphan").error == 0);
  REQUIRE(pair.write(f, 10, "over").error == 0);
}

wire::Effect planned(Pair& pair, Site& site, const wire::Operation& operation) {
  auto plan = site.get([&] { return site.volume->plan(operation, pair.now); });
  REQUIRE(plan);
  return std::move(plan->effect);
}

bool same(const runtime::HostAttributes& a, const runtime::HostAttributes& b) {
  const auto all = [](const runtime::HostAttributes& h) {
    return std::tie(h.inode, h.mode, h.links, h.uid, h.gid, h.rdev, h.size, h.blocks, h.atime, h.mtime, h.ctime,
                    h.btime);
  };
  return all(a) == all(b);
}

void require_same_answers(Pair& pair, Site& one, Site& other) {
  REQUIRE(one.volume->applied() == other.volume->applied());
  REQUIRE(one.volume->statistics().blocks_free == other.volume->statistics().blocks_free);
  REQUIRE(one.volume->statistics().files == other.volume->statistics().files);
  REQUIRE(one.run(one.volume->orphans()).value() == other.run(other.volume->orphans()).value());
  REQUIRE(one.volume->unsettled(100) == other.volume->unsettled(100));
  for (std::uint64_t inode = 1; inode < 12; ++inode) {
    const auto ask = [&](Site& site) { return site.get([&] { return site.volume->attributes(InodeId{inode}); }); };
    const auto a = ask(one), b = ask(other);
    REQUIRE(a.has_value() == b.has_value());
    if (a) REQUIRE(same(*a, *b));
  }
  const InodeId f = pair.lookup(kRootInode, "g");
  wire::Operation append = Pair::op(wire::OpKind::write, f);
  append.append = true;
  append.length = 300'000;
  wire::Operation create = Pair::op(wire::OpKind::create, kRootInode, "new");
  create.mode = S_IFREG | 0644;
  for (const wire::Operation& operation : {append, create}) {
    const wire::Effect a = planned(pair, one, operation), b = planned(pair, other, operation);
    REQUIRE(a.batch == b.batch);
    REQUIRE(a.allocated == b.allocated);
    REQUIRE(same(a.outcome.attributes, b.outcome.attributes));
  }
  other.volume->check_invariants();
}

/// A third site, beside those of the pair, that lived through something else.
std::unique_ptr<Pair> another_past(std::uint64_t seed) {
  auto pair = std::make_unique<Pair>(seed);
  for (int i = 0; i < 20; ++i) {
    const InodeId f = pair->file("mine" + std::to_string(i));
    REQUIRE(pair->append(f, pattern(20'000, seed)).error == 0);
  }
  return pair;
}

/// Keys whose reads take the value at once and give it when the test says so.
class HeldKeys final : public runtime::KeyValue {
 public:
  explicit HeldKeys(runtime::Scheduler& scheduler) : go(scheduler) {}
  std::map<std::string, std::string> pairs;
  runtime::Event go;
  int reads = 0;

  runtime::Peek peek(std::string_view, std::string&) override { return runtime::Peek::unknown; }
  runtime::Task<Result<std::optional<std::string>>> get(std::string key) override {
    const auto found = pairs.find(key);
    std::optional<std::string> value = found == pairs.end() ? std::nullopt : std::optional(found->second);
    ++reads;
    co_await go.wait();
    co_return value;
  }
  Result<> apply(const runtime::KeyBatch&) override { return fail(Errc::io, "read only"); }
  runtime::Task<Result<std::vector<runtime::KeyPair>>> scan(std::string from, std::string to, std::size_t,
                                                            const runtime::KeySnapshot*) override {
    std::vector<runtime::KeyPair> found;
    for (auto it = pairs.lower_bound(from); it != pairs.end() && it->first < to; ++it)
      found.push_back({it->first, it->second});
    ++reads;
    co_await go.wait();
    co_return found;
  }
  std::unique_ptr<runtime::KeySnapshot> snapshot() override { return nullptr; }
  runtime::Task<Result<>> flush() override { co_return Result<>{}; }
  runtime::Task<Result<runtime::KeyRoom>> room(std::uint64_t) override { co_return runtime::KeyRoom{}; }
};

}  // namespace

TEST_CASE("a site whose keys were replaced answers and plans as the source does") {
  for (std::uint64_t seed = 1; seed <= 5; ++seed) {
    Pair source(seed);
    fill(source, seed);
    REQUIRE(source.a.volume->unsettled(10).size() == 1);
    const std::unique_ptr<Pair> target = another_past(seed + 100);
    Site& c = target->a;
    copy_keys(source.a, c);
    REQUIRE(c.volume->being_replaced());
    REQUIRE(c.run(c.volume->reload(source.a.volume->applied())));
    REQUIRE_FALSE(c.volume->being_replaced());
    REQUIRE(c.volume->unsettled(10).empty());
    copy_times(source.a, c);
    require_same_answers(source, source.a, c);
    REQUIRE(source.a.machine().key_store().keys() == c.machine().key_store().keys());

    // And follows it from there.
    REQUIRE(source.append(source.lookup(kRootInode, "g"), pattern(5000, 9)).error == 0);
    REQUIRE(c.volume->apply(source.last.effect));
    REQUIRE(source.create(kRootInode, "later").error == 0);
    REQUIRE(c.volume->apply(source.last.effect));
    REQUIRE(source.a.machine().key_store().keys() == c.machine().key_store().keys());
  }
}

TEST_CASE("a site can be made equal to one that was just formatted") {
  Pair source(1);
  const std::unique_ptr<Pair> target = another_past(2);
  Site& c = target->a;
  copy_keys(source.a, c);
  REQUIRE(c.run(c.volume->reload(Seq{7})));
  REQUIRE(c.volume->applied() == Seq{7});
  REQUIRE(c.volume->statistics().files == 1);
  REQUIRE(c.volume->statistics().blocks_free == source.a.volume->statistics().blocks_free);
  wire::Operation create = Pair::op(wire::OpKind::create, kRootInode, "new");
  create.mode = S_IFREG | 0644;
  REQUIRE(planned(source, source.a, create).batch == planned(source, c, create).batch);
}

TEST_CASE("the seq of a reload may be above that of the source's last batch, and not below") {
  Pair source(1);
  fill(source, 1);
  const std::unique_ptr<Pair> target = another_past(2);
  Site& c = target->a;
  copy_keys(source.a, c);
  REQUIRE(c.run(c.volume->reload(Seq{source.a.volume->applied().value - 1})).error().code == Errc::invalid);
  REQUIRE(c.volume->being_replaced());
  REQUIRE(c.run(c.volume->reload(Seq{source.a.volume->applied().value + 3})));
  REQUIRE(c.volume->applied() == Seq{source.a.volume->applied().value + 3});
}

TEST_CASE("a site that was killed while its keys were replaced knows it, and is replaced again") {
  Pair source(3);
  fill(source, 3);
  const std::unique_ptr<Pair> target = another_past(4);
  Site& c = target->a;
  // Without counters no volume opens.
  REQUIRE(c.volume->apply_raw({{group_key(0), std::nullopt}, {inode_key(kRootInode), std::nullopt}}));
  REQUIRE(c.run(c.world().keys.flush()));
  c.restart();
  REQUIRE(c.volume->being_replaced());
  wire::Effect effect;
  effect.seq = Seq{1000};
  effect.batch.push_back({"x", "1"});
  REQUIRE(c.volume->apply(effect).error().code == Errc::invalid);
  REQUIRE(c.run(c.volume->reload(Seq{1000})).error().code == Errc::invalid);
  copy_keys(source.a, c);
  REQUIRE(c.run(c.volume->reload(source.a.volume->applied())));
  copy_times(source.a, c);
  require_same_answers(source, source.a, c);
}

TEST_CASE("keys of one site are not replaced") {
  Pair pair;
  const auto before = pair.a.machine().key_store().keys();
  REQUIRE(pair.a.volume->apply_raw({{"I", "1"}, {std::string(kMixedKey), std::nullopt}}).error().code == Errc::invalid);
  REQUIRE(pair.a.volume->apply_raw({{"", "1"}}).error().code == Errc::invalid);
  REQUIRE(pair.a.volume->apply_raw({{std::string(kCountsKey), "short"}}).error().code == Errc::invalid);
  REQUIRE(pair.a.machine().key_store().keys() == before);
  REQUIRE_FALSE(pair.a.volume->being_replaced());
}

TEST_CASE("a load that was under way when the keys were replaced leaves nothing old behind") {
  sim::Universe universe(1);
  sim::Process& process = universe.add_machine("north").start();
  HeldKeys store(process.world().scheduler);
  KnownKeys known(store, 1 << 20);
  const std::string key = inode_key(kRootInode);
  store.pairs[key] = "old";
  const auto begin = [&]<class T>(runtime::Task<T> task) {
    auto out = std::make_shared<std::optional<T>>();
    const int before = store.reads;
    process.spawn(keep_result(std::move(task), out));
    REQUIRE(universe.run_until([&] { return store.reads > before; }, std::chrono::hours(1)));
    return out;
  };
  const auto finished = [&](const auto& out) {
    return universe.run_until([&] { return out->has_value(); }, std::chrono::hours(1));
  };
  SECTION("a key") {
    const auto loading = begin(known.load_key(key));
    store.pairs[key] = "new";
    known.forget();
    store.go.set();
    REQUIRE(finished(loading));
    REQUIRE(known.look(key).peek == runtime::Peek::unknown);
    REQUIRE(finished(begin(known.load_key(key))));
    REQUIRE(*known.look(key).value == "new");
  }
  SECTION("a range") {
    const auto loading = begin(known.load_range({"I", "J", 10}));
    store.pairs[key] = "new";
    known.forget();
    store.go.set();
    REQUIRE(finished(loading));
    Miss miss;
    REQUIRE_FALSE(known.scanned({"I", "J", 10}, miss));
    REQUIRE(finished(begin(known.load_range({"I", "J", 10}))));
    REQUIRE(known.scanned({"I", "J", 10}, miss)->pairs.at(0).value == "new");
  }
  SECTION("everything in a range") {
    const auto reading = begin(known.read_all("I", "J"));
    store.pairs[key] = "new";
    known.forget();
    store.go.set();
    REQUIRE(finished(reading));
    REQUIRE((*reading)->value().at(key) == "new");
  }
}

TEST_CASE("an effect that was applied before changes nothing") {
  Pair pair;
  fill(pair, 1);
  REQUIRE(pair.append(pair.lookup(kRootInode, "g"), pattern(300'000, 2)).error == 0);
  const wire::Effect old = pair.last.effect;
  REQUIRE_FALSE(old.batch.empty());
  REQUIRE(pair.create(kRootInode, "later").error == 0);
  const auto before = pair.a.machine().key_store().keys();
  const Statistics statistics = pair.a.volume->statistics();
  REQUIRE(pair.a.volume->apply(old));
  REQUIRE(pair.a.machine().key_store().keys() == before);
  REQUIRE(pair.a.volume->applied() == Seq{pair.seq});
  REQUIRE(pair.a.volume->statistics().blocks_free == statistics.blocks_free);
  pair.a.volume->check_invariants();
}
