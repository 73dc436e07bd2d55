#include "samples.h"

#include "fields.h"

namespace lockstep::wire::samples {
namespace {

template <class T>
T filled() {
  T t;
  std::uint64_t n = 0;
  fields::fill(t, n);
  return t;
}

Operation operation_of(OpKind kind) {
  auto operation = filled<Operation>();
  operation.kind = kind;
  operation.anonymous = false;
  if (kind >= OpKind::lock && kind <= OpKind::break_locks) {
    operation.lock.owner.site = SiteId{1};
  } else {
    operation.lock = {};
  }
  if (kind == OpKind::write) operation.length = 8192;
  if (kind != OpKind::create && kind != OpKind::rename && kind != OpKind::set_xattr && kind != OpKind::reserve) operation.text.clear();
  return operation;
}

template <class M>
M with_effect() {
  auto m = filled<M>();
  m.effect = full_effect();
  return m;
}

}  // namespace

Effect full_effect() {
  auto effect = filled<Effect>();
  effect.batch[1].value.reset();
  effect.batch.push_back({"key", ""});
  // Blocks 2 and 3 in part, 8 and 9 as a whole.
  effect.writes = {{2 * kBlockBytes + 100, kEffectPayloadBytes, true, false},
                   {8 * kBlockBytes, 2 * kBlockBytes, false, true}};
  effect.checksums = {101, 102, 103, 104};
  effect.drops = {{Drop::Kind::attributes, InodeId(7), {}, {}},
                  {Drop::Kind::pages, InodeId(8), {4096, 8192}, {}},
                  {Drop::Kind::listing, InodeId(9), {}, {}},
                  {Drop::Kind::name, InodeId(9), {}, "old"},
                  {Drop::Kind::name, InodeId(10), {}, std::string(255, 'n')}};
  return effect;
}

Effect overwrite() {
  Effect effect;
  effect.epoch = Epoch(3);
  effect.seq = Seq(123456);
  effect.request = {SiteId(1), 0x1234567812345678, 99};
  effect.turns = {{Turn::Kind::data, InodeId(77), 2, 1}};
  effect.writes = {{512 * kBlockBytes, kBlockBytes, false, false}};
  effect.checksums = {0x1122334455667788};
  effect.drops = {{Drop::Kind::pages, InodeId(77), {8192, 4096}, {}}};
  effect.times = {InodeId(77), WallTime(1700000000000000000), WallTime(1700000000000000000)};
  effect.outcome.value = kBlockBytes;
  effect.outcome.offset = 8192;
  return effect;
}

Effect creation() {
  Effect effect;
  effect.epoch = Epoch(3);
  effect.seq = Seq(123457);
  effect.request = {SiteId(0), 0x1234567812345678, 100};
  effect.turns = {{Turn::Kind::names, InodeId(5), 0x123456789abcdef0, 1}};
  effect.batch = {{std::string("I") + std::string(8, 'i'), std::string(90, 'v')},
                  {std::string("I") + std::string(8, 'd'), std::string(90, 'w')},
                  {std::string("D") + std::string(24, 'n'), std::string(9, 'e')},
                  {std::string("O") + std::string(8, 'o'), std::nullopt},
                  {std::string("N"), std::string(8, 'c')}};
  effect.drops = {{Drop::Kind::listing, InodeId(5), {}, {}}, {Drop::Kind::name, InodeId(5), {}, "a new file.txt"}};
  std::uint64_t n = 0;
  fields::fill(effect.outcome.attributes, n);
  return effect;
}

SiteState site_state() {
  auto state = filled<SiteState>();
  state.history[0].primary = SiteId(0);
  state.history[0].forced = false;
  state.history[1].primary = SiteId(1);
  state.proposal.resize(1);
  state.proposal[0].primary = SiteId(1);
  return state;
}

std::vector<Sample> all() {
  std::vector<Sample> list;
  const auto add = [&](std::string name, Message message, std::uint32_t payload_bytes = 0) {
    list.push_back({std::move(name), std::move(message), payload_bytes});
  };

  auto hello = filled<Hello>();
  hello.state = site_state();
  add("hello", hello);
  add("refuse", filled<Refuse>());

  auto forward = filled<Forward>();
  forward.waits_from = 0x1700000018;  // stays, whatever fields an operation gets
  forward.operation = operation_of(OpKind::write);
  add("forward", forward, 8192);
  forward.with_payload = false;
  for (int kind = 0; kind <= static_cast<int>(OpKind::release); ++kind) {
    forward.operation = operation_of(static_cast<OpKind>(kind));
    add("forward_" + std::to_string(kind), forward);
  }
  forward.operation = operation_of(OpKind::create);
  forward.operation.anonymous = true;
  forward.operation.name.clear();
  add("forward_anonymous", forward);

  add("grant", filled<Grant>());
  add("data", filled<Data>(), 5000);
  add("commit", with_effect<Commit>());
  add("dropped", filled<DroppedAt>());
  auto refusal = filled<Refusal>();
  add("refusal_held", refusal);
  refusal.held = false;
  add("refusal", refusal);
  auto mirror = with_effect<Mirror>();
  add("mirror_without_payload", mirror);
  mirror.without_payload = false;
  add("mirror", mirror, kEffectPayloadBytes);
  add("mirror_overwrite", Mirror{overwrite()}, kBlockBytes);
  add("mirror_creation", Mirror{creation()});
  add("mirrored", filled<Mirrored>());
  add("orphan_closed", filled<OrphanClosed>());
  add("ping", filled<Ping>());

  add("fetch_blocks", FetchBlocks{5, {1000, 256}});
  add("blocks", Blocks{5, {1000, 2}, true, {11, 12}}, 2 * kBlockBytes);
  add("blocks_unreadable", Blocks{5, {1000, 2}, true, {}});
  add("fetch_log", filled<FetchLog>());
  auto record = with_effect<Record>();
  add("record_without_payload", record);
  record.without_payload = false;
  add("record", record, kEffectPayloadBytes);
  add("synced", filled<Synced>());

  add("verify_begin", filled<VerifyBegin>());
  auto ask = filled<VerifyAsk>();
  ask.blocks = {3, 4};
  add("verify_ask", ask);
  add("verify_answer", filled<VerifyAnswer>());
  add("verify_end", filled<VerifyEnd>());

  add("membership", Membership{site_state().history, site_state().stores});
  add("recorded", filled<Recorded>());
  add("leave", filled<Leave>());
  add("serves_nobody", filled<ServesNobody>());
  add("checkpoint", filled<Checkpoint>());
  add("checkpointed", filled<Checkpointed>());
  add("clear", filled<Clear>());
  add("keys_mark", filled<KeysMark>());
  add("keys_fetch", filled<KeysFetch>());
  auto keys = filled<Keys>();
  keys.pairs[1].value.reset();
  add("keys", keys);
  auto suspects = filled<Suspects>();
  suspects.first = 64;
  add("suspects", suspects);
  add("compare", filled<Compare>());
  add("want", filled<Want>());
  add("copy", Copy{3, {3072, 2}, {11, 12}, true}, 2 * kBlockBytes);
  add("copy_end", Copy{3, {}, {}, true});
  add("command", filled<Command>());
  add("command_answer", filled<CommandAnswer>());
  add("data_lost", filled<DataLost>());
  add("arms", Arms{ArmsStep::promised, 7});
  return list;
}

}  // namespace lockstep::wire::samples
