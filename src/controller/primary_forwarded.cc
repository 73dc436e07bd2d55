// Requests of the other site's host (W2): their turn, their data, and what became of them.
#include "controller/primary.h"
#include "core/probe.h"

namespace lockstep::controller {
namespace {

Probe earlier_session("a forwarded request of an earlier session was still in work");
Probe answered_before("a forwarded request had taken effect before");
Probe held_at_primary("a forwarded request met a reservation that its site had not applied");

}  // namespace

runtime::Task<void> Primary::forwarded(wire::Forward forward, Bytes payload, std::uint64_t session) {
  Request request;
  request.id = forward.request;
  // What an earlier session left of it ends first; its data is asked for again.
  const bool again = requests_.contains(request.id);
  if (again) earlier_session.hit();
  while (requests_.contains(request.id) && !over(session) && !stop_.requested()) co_await replica_.changed.wait();
  if (over(session) || stop_.requested()) co_return;
  if (const Results::Entry* done = replica_.results.find(request.id)) {
    // It took effect before, and the secondary has its effect: it is asked again for the answer only.
    answered_before.hit();
    session_->send(wire::Refusal{request.id, done->outcome});
    at_end_of_pass();
    if (forwarded_in_work_ > 0) --forwarded_in_work_;
    co_return;
  }
  request.operation = std::move(forward.operation);
  if (!again) request.payload = payload;
  request.forwarded = true;
  request.session = session;
  request.turns = replica_.volume.turns(request.operation);
  request.since = replica_.world.clock.now();
  requests_.emplace(request.id, &request);
  Steps& steps = replica_.steps;
  steps.note(Step::forward_received, request.id, {}, request.turns, Status::neither);

  const StatusTable::Taken taken = replica_.take(request.turns);
  request.claim = taken.id;
  bool have_payload = (forward.with_payload && !again) || request.operation.length == 0 || request.operation.kind != wire::OpKind::write;
  bool gone = false;
  if (taken.verdict == Verdict::queued) {
    // Its data is not kept while it waits: the secondary has it, and sends it after the GRANT.
    if (request.operation.kind == wire::OpKind::write && request.operation.length > 0) have_payload = false;
    request.payload = {};
    steps.note(Step::queued, request.id, {}, request.turns, Status::exclusive);
    gone = !co_await replica_.turn(taken.id);
  }
  bool claimed = !gone;
  if (!gone && request.session != sessions_) gone = true;
  if (!gone) steps.note(Step::exclusive, request.id, {}, request.turns, Status::exclusive);
  if (!gone && !have_payload) {
    runtime::OneShot<bool> data(replica_.world.scheduler);
    waiting_for_data_[request.id] = {&request, &data};
    session_->send(wire::Grant{request.id});
    steps.note(Step::grant_sent, request.id, {}, request.turns, Status::exclusive);
    at_end_of_pass();
    gone = !co_await data.take();
    waiting_for_data_.erase(request.id);
  }
  wire::Outcome refused;
  Seq seq;
  Made made = Made::gone;
  if (!gone) made = co_await execute(request, refused, seq);
  if (made != Made::committed && claimed) replica_.release(request.claim);
  if ((made == Made::refused || made == Made::held) && !over(request.session)) {
    // Held: the secondary, which has the reservation's effect before this, lets it wait. Nothing of it stays in this line.
    if (made == Made::held) held_at_primary.hit();
    session_->send(wire::Refusal{request.id, std::move(refused), made == Made::held});
    if (made == Made::refused) steps.note(Step::refused, request.id, {}, request.turns, Status::neither);
    at_end_of_pass();
  }
  requests_.erase(request.id);
  if (over(request.session)) replica_.changed.notify_all();
  if (request.session == sessions_ && forwarded_in_work_ > 0) --forwarded_in_work_;
}

void Primary::data_received(const wire::Data& data, Bytes payload) {
  const auto found = waiting_for_data_.find(data.request);
  if (found == waiting_for_data_.end() || found->second.second->given()) return;
  Request& request = *found->second.first;
  request.payload = payload;
  request.own_payload();
  replica_.steps.note(Step::data_received, request.id, {}, request.turns, Status::exclusive);
  found->second.second->give(true);
}

}  // namespace lockstep::controller
