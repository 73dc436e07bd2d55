#include "fuse/file_writes.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>

#include "core/log.h"

namespace lockstep::fuse {

using namespace runtime;
using wire::Operation;
using wire::OpKind;
using wire::Outcome;

namespace {

constexpr std::uint64_t page_down(std::uint64_t at) { return at / kBlockBytes * kBlockBytes; }
constexpr std::uint64_t page_up(std::uint64_t at) { return (at + kBlockBytes - 1) / kBlockBytes * kBlockBytes; }

/// A write of `bytes` of `inode` by who asks `request`.
Operation write_of(const HostRequest& request, InodeId inode, ByteRange bytes) {
  Operation o = operation_by(request, OpKind::write);
  o.inode = inode;
  o.offset = bytes.offset;
  o.length = bytes.length;
  return o;
}

}  // namespace

bool overlap(ByteRange drop, ByteRange request) {
  return page_down(drop.offset) < page_up(request.end()) &&
         (drop.empty() || page_up(drop.end()) > page_down(request.offset));
}

std::vector<ByteRange> without(ByteRange range, std::span<const ByteRange> others) {
  std::vector<ByteRange> parts;
  if (!range.empty()) parts.push_back(range);
  for (const ByteRange& other : others) {
    const std::uint64_t end = other.empty() ? ~std::uint64_t{0} : other.end();
    std::vector<ByteRange> left;
    for (const ByteRange& part : parts) {
      if (const std::uint64_t stop = std::min(part.end(), other.offset); part.offset < stop) {
        left.push_back({part.offset, stop - part.offset});
      }
      if (const std::uint64_t from = std::max(part.offset, end); from < part.end()) left.push_back({from, part.end() - from});
    }
    parts = std::move(left);
  }
  return parts;
}

ByteRange whole_pages(ByteRange range) {
  const std::uint64_t from = page_up(range.offset), end = page_down(range.end());
  return from < end ? ByteRange{from, end - from} : ByteRange{from, 0};
}

void FileWrites::start_write(HostRequest request) {
  if (request.data.size() > kTransferBytesMax || request.offset + request.data.size() < request.offset) {
    return state_.answer_error(request, EINVAL);
  }
  const std::uint64_t unique = request.unique;
  state_.launch(unique, write(std::move(request)));
}

bool FileWrites::reaches_past_end(InodeId inode, ByteRange range) {
  auto now = state_.volume.attributes(inode);
  return now.value() == nullptr || range.end() > now.value()->size;
}

bool FileWrites::clears_mode_bits(const HostRequest& request) {
  if (!request.kill_suid_gid) return false;
  auto now = state_.volume.attributes(request.inode);
  return now.value() == nullptr || (now.value()->mode & (S_ISUID | S_ISGID)) != 0;
}

void FileWrites::answer_early(Activity& activity, PendingWrite& write) {
  if (!write.from_cache || write.answered) return;
  write.answered = true;
  ++activity.answered_early;
  ++state_.counters.answered_early;
  (void)state_.kernel.reply(write.unique, CountReply{write.range.length});
}

void FileWrites::meet_drop(Activity& activity, RunningDrop& drop) {
  for (PendingWrite* write : activity.writes) {
    if (!write->buffered || !overlap(drop.range, write->range)) continue;
    write->drop_again = true;
    answer_early(activity, *write);
  }
}

void FileWrites::meet_drops(Activity& activity, PendingWrite& write) {
  for (RunningDrop* drop : activity.drops) {
    if (!overlap(drop->range, write.range)) continue;
    answer_early(activity, write);
    if (write.from_cache && drop->changed) write.newer.push_back(drop->range);
    if (!write.buffered) continue;
    write.drop_again = true;
    if (write.answered) continue;
    drop->disturbed = true;
    drop->wake.set();
  }
}

void FileWrites::let_go(Activity& activity, PendingWrite& write, InodeId inode) {
  std::erase(activity.writes, &write);
  // The kernel took the pages back, but for mappings, which may show what was to be written.
  if (write.buffered) (void)state_.scope.spawn(drop_again(activity, inode, write.range));
}

Task<void> FileWrites::drop_again(Activity& activity, InodeId inode, ByteRange range) {
  ++state_.counters.dropped_pages;
  for (PendingWrite* write : activity.writes) {
    // Its page goes too, and a reader may bring back what stands there before it is published.
    if (write->buffered && overlap(range, write->range)) write->drop_again = true;
  }
  (void)co_await state_.kernel.drop_pages(inode, range);
}

Task<void> FileWrites::write(HostRequest request) {
  ++state_.counters.writes;
  KnownInode& node = state_.inodes.pin(request.inode);
  Activity& activity = state_.inodes.activity(node);
  PendingWrite pending;
  pending.range = {request.offset, request.data.size()};
  pending.unique = request.unique;
  pending.from_cache = request.from_cache;
  pending.buffered = request.from_cache || (request.handle & kHandleDirect) == 0;
  if (pending.buffered) {
    state_.inodes.pages_kept(request.inode, pending.range);
    // A write-back's pages are there.
    pending.drop_again = !pending.from_cache && state_.inodes.pages_doubtful(request.inode, pending.range, state_.world.clock.now());
  }
  activity.writes.push_back(&pending);
  meet_drops(activity, pending);
  if (!pending.from_cache && !state_.serving.now()) {
    const bool served = co_await state_.served(request);
    if (!served) {
      std::erase(activity.writes, &pending);
      state_.inodes.unpin(request.inode);
      co_return;
    }
  }

  Operation o = write_of(request, request.inode, pending.range);
  // What a mapping changed stands where it stands, however its file was opened.
  o.append = (request.flags & O_APPEND) != 0 && !request.from_cache;
  o.kill_suid_gid = request.kill_suid_gid;
  const bool mode_changes = clears_mode_bits(request);
  const bool grows = o.append || reaches_past_end(request.inode, pending.range);

  Outcome outcome;
  if (pending.newer.empty()) {
    outcome = co_await state_.change(request, std::move(o), request.data, request.lease, [&] { let_go(activity, pending, request.inode); });
  } else {
    outcome = co_await write_older(request, pending.newer);
  }

  std::erase(activity.writes, &pending);
  if (outcome.error != 0) {
    if (pending.answered) {
      log::error("inode {}: pages of a mapping at {}, {} bytes, could not be written: errno {}; they are lost",
                 request.inode.value, request.offset, request.data.size(), outcome.error);
    } else {
      state_.answer_error(request, outcome.error);
    }
  } else {
    if (grows) ++node.growths;
    const ByteRange written{outcome.offset, outcome.value};
    if ((!pending.buffered || outcome.offset != request.offset) && state_.inodes.may_keep_pages(request.inode, written)) {
      // Written past the page cache, where a page that was read meanwhile holds the old; or appended elsewhere than the
      // kernel thought, which made room at its own place only.
      co_await drop_again(activity, request.inode, written);
    }
    const ByteRange whole = whole_pages(pending.range);
    if (pending.drop_again && !pending.from_cache && !whole.empty()) {
      // Until this write is answered the kernel lets no other buffered write of the file fill pages.
      state_.inodes.pages_certain(request.inode, whole);
      co_await drop_again(activity, request.inode, whole);
    }
    if (mode_changes) (void)state_.kernel.drop_attributes(request.inode);
    if (!pending.answered) (void)state_.kernel.reply(request.unique, CountReply{outcome.value});
  }
  // A write-back holds its pages until it is answered.
  if (pending.drop_again && (pending.from_cache || whole_pages(pending.range) != pending.range)) {
    state_.inodes.pages_drop_begins(request.inode, state_.world.clock.now());
    co_await drop_again(activity, request.inode, pending.range);
  }
  if (pending.answered && --activity.answered_early == 0) activity.quiet.notify_all();
  state_.inodes.unpin(request.inode);
}

Task<Outcome> FileWrites::write_older(const HostRequest& request, std::vector<ByteRange> newer) {
  Outcome outcome;
  outcome.offset = request.offset;
  for (const ByteRange& part : without({request.offset, request.data.size()}, newer)) {
    Operation o = write_of(request, request.inode, part);
    const Bytes bytes = request.data.subspan(part.offset - request.offset, part.length);
    const Outcome written = co_await state_.changes.change(std::move(o), bytes, request.lease, nullptr);
    outcome.error = written.error;
    outcome.value += written.value;
    if (outcome.error != 0) break;
  }
  co_return outcome;
}

Task<void> FileWrites::write_copied(const HostRequest& request, Bytes bytes, std::shared_ptr<Lease> lease) {
  Outcome outcome;
  if (!bytes.empty()) {
    const ByteRange range{request.other_offset, bytes.size()};
    KnownInode& target = state_.inodes.pin(request.other);
    const bool grows = reaches_past_end(request.other, range);
    outcome = co_await state_.changes.change(write_of(request, request.other, range), bytes, std::move(lease), nullptr);
    if (grows && outcome.error == 0) ++target.growths;
    state_.inodes.unpin(request.other);
  }
  if (outcome.error != 0) co_return state_.answer_error(request, outcome.error);
  (void)state_.kernel.reply(request.unique, CountReply{outcome.value});
}

void FileWrites::start_sync(HostRequest request) {
  const std::uint64_t unique = request.unique;
  state_.launch(unique, sync(std::move(request)));
}

Task<void> FileWrites::sync(HostRequest request) {
  KnownInode& node = state_.inodes.pin(request.inode);
  while (node.activity && node.activity->answered_early != 0) co_await node.activity->quiet.wait();
  state_.inodes.unpin(request.inode);
  Operation o;
  o.kind = OpKind::sync;
  o.inode = request.inode;
  o.data_only = request.data_only;
  const Outcome outcome = co_await state_.change(request, std::move(o), Bytes(), request.lease);
  state_.answer_error(request, outcome.error);
}

}  // namespace lockstep::fuse
