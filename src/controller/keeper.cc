#include "controller/keeper.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/log.h"
#include "wire/codec.h"

namespace lockstep::controller {
namespace {

constexpr Duration kAskAgain = std::chrono::milliseconds(500);

bool has(const std::vector<EpochEntry>& history, const Uuid& id) {
  return std::any_of(history.begin(), history.end(), [&](const EpochEntry& e) { return e.id == id; });
}

}  // namespace

Keeper::Keeper(runtime::World& world, area::Area& area, KeeperOptions options)
    : world_(world),
      area_(area),
      options_(std::move(options)),
      membership_(Membership::fresh(options_.volume_id, options_.primary, {})),
      changed_(world.scheduler) {
  SiteSet all;
  for (std::size_t i = 0; i < options_.names.size(); ++i) all.add(SiteId{static_cast<std::uint8_t>(i)});
  membership_ = Membership::fresh(options_.volume_id, options_.primary, all);
  state_.history = membership_.history();
  state_.stores.resize(options_.names.size());
}

Result<> Keeper::open() {
  const std::string& bytes = area_.saved_state();
  if (bytes.empty()) return {};
  const auto damaged = [](const std::string& what) {
    return fail(Errc::corrupt, fmt::format("what this area remembers of the volume's membership is damaged ({}); format the area "
                                           "again and let it copy from the other site (lockstep replace)", what));
  };
  Result<wire::SiteState> state = wire::decode_state(std::as_bytes(std::span(bytes)));
  if (!state) return damaged(state.error().text);
  Result<Membership> membership = Membership::make(state->history);
  if (!membership) return damaged(membership.error().text);
  if (membership->history().back().in_sync.bits() >> options_.names.size() != 0) return damaged("it names sites that are not configured");
  for (const EpochEntry& entry : state->proposal) {
    if (entry.number <= membership->in_force().number || !entry.in_sync.has(entry.primary)) return damaged("an impossible proposal");
  }
  membership_ = std::move(*membership);
  state_ = std::move(*state);
  state_.stores.resize(options_.names.size());
  return {};
}

EpochEntry Keeper::next(SiteId primary, SiteSet in_sync, Seq base, bool forced, Epoch above) {
  EpochEntry entry = membership_.next(runtime::make_uuid(world_.random), primary, in_sync, base, forced);
  if (entry.number <= above) entry.number = Epoch{above.value + 1};
  return entry;
}

std::vector<Uuid> Keeper::stores_with(SiteId site, Uuid store) const {
  std::vector<Uuid> stores = state_.stores;
  stores.at(site.value) = store;
  return stores;
}

runtime::Task<void> Keeper::save(std::function<void(wire::SiteState&)> change) {
  const Result<> saved = co_await try_save(std::move(change));
  if (saved) co_return;
  if (on_failure) on_failure(saved.error());
  for (;;) co_await changed_.wait();  // nothing may rely on what is not recorded
}

runtime::Task<bool> Keeper::give_up(std::optional<EpochEntry> entry) {
  const Result<> saved = co_await try_save([&](wire::SiteState& state) {
    if (entry) state.history.push_back(*entry);
    if (state.history.size() > kHistoryMax) state.history.erase(state.history.begin());
    state.unproven = true;
  });
  co_return saved.has_value();
}

runtime::Task<bool> Keeper::note_leaving() {
  const Result<> saved = co_await try_save([](wire::SiteState& state) { state.left = true; });
  co_return saved.has_value();
}

runtime::Task<bool> Keeper::note_data_lost(Seq seq) {
  const Result<> saved = co_await try_save([seq](wire::SiteState& state) { state.data_lost = seq; });
  co_return saved.has_value();
}

runtime::Task<Result<>> Keeper::try_save(std::function<void(wire::SiteState&)> change) {
  while (saving_) co_await changed_.wait();
  saving_ = true;
  wire::SiteState next = state_;
  change(next);
  const EpochEntry& last = next.history.back();
  next.armed = next.armed && last.primary == options_.self;
  if (last.in_sync != SiteSet{options_.self}) next.data_lost = {};
  next.promised = next.promised && !(last.forced && last.primary == options_.self);
  const std::vector<std::byte> bytes = wire::encode_state(next);
  const Result<> saved = co_await area_.save_state(std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size()));
  if (!saved) {
    saving_ = false;
    changed_.notify_all();
    co_return saved;
  }
  Result<Membership> membership = Membership::make(next.history);
  CHECK(membership.has_value());
  membership_ = std::move(*membership);
  state_ = std::move(next);
  saving_ = false;
  changed_.notify_all();
  co_return Result<>{};
}

runtime::Task<void> Keeper::set(Flags flags) {
  co_await save([&](wire::SiteState& state) {
    if (flags.unproven) state.unproven = *flags.unproven;
    if (flags.left) state.left = *flags.left;
    if (flags.incomplete) state.incomplete = *flags.incomplete;
    if (flags.discards) state.discards = *flags.discards;
    if (flags.armed) state.armed = *flags.armed;
    if (flags.promised) state.promised = *flags.promised;
    if (flags.wrote) state.wrote = std::max(state.wrote, *flags.wrote);
  });
}

runtime::Task<void> Keeper::know_store(SiteId site, Uuid store) {
  co_await save([&](wire::SiteState& state) { state.stores.at(site.value) = store; });
}

runtime::Task<Result<>> Keeper::adopt(const std::vector<EpochEntry>& history, const std::vector<Uuid>& stores, bool incomplete,
                                      bool unproven) {
  Result<Membership> membership = Membership::make(history);
  if (!membership) co_return std::unexpected(membership.error());
  if (stores.size() != options_.names.size()) co_return fail(Errc::invalid, "another number of sites than is configured");
  co_await save([&](wire::SiteState& state) {
    state.history = history;
    state.stores = stores;
    state.incomplete = incomplete;
    state.unproven = unproven;
    state.left = false;
    state.discards = false;
    state.proposal.clear();
    // Effects that it gave in entries that are gone count no more; nor does any that it has of its own, once it is a target.
    const bool member = history.back().in_sync.has(options_.self);
    state.wrote = member ? std::min(state.wrote, history.back().number) : Epoch{};
  });
  co_return Result<>{};
}

std::string Keeper::value_with(std::optional<EpochEntry> entry) const {
  ArbiterRecord record{state_.history, state_.stores};
  if (entry) record.history.push_back(*entry);
  return encode(record, options_.volume, options_.names);
}

runtime::Task<std::optional<std::uint64_t>> Keeper::ask_arbiter(bool empty_will_do, Recorded& why, runtime::Stop& stop) {
  const Result<runtime::RegisterState> now = co_await world_.arbiter->read(options_.arbiter_timeout, stop);
  arbiter_away_ = !now.has_value();
  why = Recorded::unavailable;
  if (!now) {
    problem_ = "the arbiter can't be asked: " + now.error().text;
    if (stop.requested()) why = Recorded::stopped;
    co_return std::nullopt;
  }
  if (now->revision == 0) {
    if (empty_will_do) co_return 0;
    problem_ = "the arbiter knows nothing of this volume (it was never told, or lost it): both sites must meet before one goes on alone";
    why = Recorded::refused;
    co_return std::nullopt;
  }
  Result<ArbiterRecord> record = decode_arbiter_record(now->value);
  why = Recorded::refused;
  if (!record) {
    problem_ = fmt::format("what the arbiter has under this volume's key is not Lockstep's: {}; look at it, and remove the key when both "
                           "sites are in sync", record.error().text);
    co_return std::nullopt;
  }
  const EpochEntry last = record->history.back();
  if (has(state_.history, last.id)) {
    problem_.clear();
    published_ = last.id;
    co_return now->revision;
  }
  // Somebody recorded more than this site was told. If it is in there, and so is everything that is known here, it is told now.
  const Uuid mine = membership_.in_force().id;
  if (last.in_sync == membership_.in_force().in_sync && last.in_sync.has(options_.self) && last.number > membership_.in_force().number &&
      has(record->history, mine) && !last.forced) {
    log::info("the arbiter has epoch {}, which this site was not told of: taking it over", last.number.value);
    std::vector<EpochEntry> history = state_.history;
    bool behind = false;
    for (const EpochEntry& entry : record->history) {
      if (behind) history.push_back(entry);
      behind = behind || entry.id == mine;
    }
    const Result<> adopted = co_await adopt(history, state_.stores, state_.incomplete, state_.unproven);
    if (adopted) {
      published_ = last.id;
      co_return now->revision;
    }
  }
  problem_ = fmt::format("the arbiter has epoch {} without this site's part in it: the other site goes on, and this one has to meet it", last.number.value);
  co_return std::nullopt;
}

runtime::Task<Keeper::Recorded> Keeper::record(EpochEntry entry, std::vector<Uuid> stores, bool consented, runtime::Stop& stop) {
  CHECK(!frozen());
  while (saving_) co_await changed_.wait();
  if (frozen() || entry.number <= membership_.in_force().number) co_return Recorded::refused;  // something else was recorded first
  if (!has_arbiter() || consented) {
    co_await save([&](wire::SiteState& state) {
      state.history.push_back(entry);
      if (state.history.size() > kHistoryMax) state.history.erase(state.history.begin());
      state.stores = stores;
      state.unproven = state.left = false;
      state.discards = false;
    });
    co_return Recorded::yes;
  }
  Recorded why{};
  const std::optional<std::uint64_t> revision = co_await ask_arbiter(false, why, stop);
  if (!revision) co_return why;
  if (entry.number <= membership_.in_force().number) co_return Recorded::refused;  // it was told of more meanwhile
  co_await save([&](wire::SiteState& state) {
    state.proposal = {entry};
    state.proposal_revision = *revision;
  });
  co_return co_await swap_until_known(false, stop);
}

runtime::Task<Keeper::Recorded> Keeper::resolve(runtime::Stop& stop) {
  CHECK(frozen());
  if (!has_arbiter()) {  // the configuration has none any more: an administrator decided
    co_await save([](wire::SiteState& state) { state.proposal.clear(); });
    co_return Recorded::refused;
  }
  co_return co_await swap_until_known(true, stop);
}

runtime::Task<Keeper::Recorded> Keeper::swap_until_known(bool may_be_under_way, runtime::Stop& stop) {
  const EpochEntry entry = state_.proposal.front();
  const std::string value = value_with(entry);
  for (;;) {
    const Result<runtime::SwapResult> swapped =
        co_await world_.arbiter->swap(state_.proposal_revision, value, options_.arbiter_timeout, stop);
    arbiter_away_ = !swapped.has_value();
    if (swapped) {
      const Result<ArbiterRecord> there = decode_arbiter_record(swapped->now.value);
      const bool mine = swapped->swapped || (there && has(there->history, entry.id));
      if (mine) {
        co_await save([&](wire::SiteState& state) {
          state.history.push_back(entry);
          if (state.history.size() > kHistoryMax) state.history.erase(state.history.begin());
          state.proposal.clear();
          state.unproven = state.left = false;
          state.discards = false;
        });
        published_ = entry.id;
        problem_.clear();
        co_return Recorded::yes;
      }
      if (swapped->now.revision > state_.proposal_revision) {
        problem_ = "the arbiter recorded another membership first";
        co_await save([](wire::SiteState& state) { state.proposal.clear(); });
        co_return Recorded::refused;
      }
      problem_ = "the arbiter has an older state than it had: its data was restored or lost; this site waits for the other one";
    } else if (swapped.error().code == Errc::unavailable && !may_be_under_way) {
      problem_ = "the arbiter can't be asked: " + swapped.error().text;
      co_await save([](wire::SiteState& state) { state.proposal.clear(); });
      co_return Recorded::unavailable;
    } else {
      if (swapped.error().code == Errc::unknown) may_be_under_way = true;
      problem_ = "whether the arbiter took this site's proposal is not known: " + swapped.error().text;
    }
    if (stop.requested()) co_return Recorded::stopped;
    co_await world_.clock.sleep_until(world_.clock.now() + kAskAgain, stop);
    if (stop.requested()) co_return Recorded::stopped;
  }
}

runtime::Task<void> Keeper::look_at_arbiter(runtime::Stop& stop) {
  const Result<runtime::RegisterState> now = co_await world_.arbiter->read(options_.arbiter_timeout, stop);
  if (frozen() || stop.requested()) co_return;
  arbiter_away_ = !now.has_value();
  if (!now) {
    away_ = "the arbiter can't be asked: " + now.error().text;
    co_return;
  }
  const Result<ArbiterRecord> record = decode_arbiter_record(now->value);
  published_ = record ? record->history.back().id : Uuid{};
  if (published()) problem_.clear();
}

void Keeper::arbiter_replaced() {
  world_.arbiter->accept_another();
  published_ = {};
  problem_.clear();
}

runtime::Task<bool> Keeper::publish(runtime::Stop& stop) {
  if (!has_arbiter() || published()) co_return true;
  Recorded why{};
  const std::optional<std::uint64_t> revision = co_await ask_arbiter(true, why, stop);
  if (!revision) co_return false;
  if (published() || frozen()) co_return true;
  const Uuid id = membership_.in_force().id;
  const Result<runtime::SwapResult> swapped =
      co_await world_.arbiter->swap(*revision, value_with(std::nullopt), options_.arbiter_timeout, stop);
  arbiter_away_ = !swapped.has_value();
  if (!swapped || !swapped->swapped) co_return false;
  published_ = id;
  problem_.clear();
  co_return true;
}

}  // namespace lockstep::controller
