#include "fuse/changing.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <optional>
#include <utility>
#include <vector>

#include "core/check.h"
#include "fuse/reserve_xattr.h"

namespace lockstep::fuse {

using namespace runtime;
using wire::Operation;
using wire::OpKind;
using wire::Outcome;

namespace {

constexpr std::uint32_t kTypeBits = 0170000, kPermissionBits = 0777;
/// Growths from which on a file has space ahead of its end.
constexpr std::uint32_t kGrowthsWithSpaceAhead = 2;

/// The umask counts but where the directory has a default access control list, which only who plans knows for sure.
Operation creation(const HostRequest& request, std::uint32_t mode) {
  Operation o = operation_by(request, OpKind::create);
  const std::uint32_t masked = request.caller.umask & kPermissionBits;
  o.mode = mode & ~masked;
  o.flags = mode & masked;
  o.rdev = request.rdev;
  o.exclusive = true;
  return o;
}

/// What `request` asks for; all that do with one operation.
Operation operation_of(const HostRequest& request) {
  switch (request.op) {
    case HostOp::mknod: return creation(request, (request.mode & kTypeBits) == 0 ? request.mode | S_IFREG : request.mode);
    case HostOp::mkdir: return creation(request, (request.mode & ~kTypeBits) | S_IFDIR);
    case HostOp::symlink: {
      Operation o = creation(request, S_IFLNK | 0777);
      o.text = request.other_name;
      return o;
    }
    case HostOp::setattr: {
      Operation o = operation_by(request, OpKind::set_attributes);
      o.change = request.change;
      return o;
    }
    case HostOp::link: {
      Operation o = operation_by(request, OpKind::link);
      o.other = request.other;
      return o;
    }
    case HostOp::unlink: return operation_by(request, OpKind::unlink);
    case HostOp::rmdir: return operation_by(request, OpKind::rmdir);
    case HostOp::rename: {
      Operation o = operation_by(request, OpKind::rename);
      o.other = request.other;
      o.text = request.other_name;
      o.flags = request.flags;
      return o;
    }
    case HostOp::setxattr: {
      Operation o = operation_by(request, OpKind::set_xattr);
      o.text.assign(reinterpret_cast<const char*>(request.data.data()), request.data.size());
      o.flags = request.flags;
      o.kill_suid_gid = request.kill_suid_gid;
      return o;
    }
    case HostOp::removexattr:
      return operation_by(request, request.name == kReserveXattr ? OpKind::release : OpKind::remove_xattr);
    case HostOp::fallocate: {
      Operation o = operation_by(request, OpKind::allocate);
      o.offset = request.offset;
      o.length = request.size;
      o.flags = request.flags;
      o.kill_suid_gid = request.caller.uid != 0;  // the kernel leaves that to who allocates, and says no more of the caller
      return o;
    }
    default: CHECK(false);
  }
}

/// A rename: the kernel knows the name in its new directory as it was told of it in the old one, without looking it up there.
class Move {
 public:
  Move(MountState& state, const HostRequest& request) : inodes_(state.inodes) {
    carries(state, request.inode, request.other);
    if ((request.flags & RENAME_EXCHANGE) != 0) carries(state, request.other, request.inode);
  }
  ~Move() {
    for (const InodeId inode : unkept_) {
      --inodes_.find(inode)->moves;
      inodes_.unpin(inode);
    }
  }
  Move(const Move&) = delete;
  Move& operator=(const Move&) = delete;

 private:
  void carries(MountState& state, InodeId from, InodeId to) {
    if (!state.is_contended(from) || inodes_.may_keep_names(from)) return inodes_.name_handed_out(to);
    // It stays so until the name is there.
    ++inodes_.pin(from).moves;
    unkept_.push_back(from);
  }

  InodeTable& inodes_;
  std::vector<InodeId> unkept_;
};

/// The caller owns `a` and its bits allow what `flags` ask: no group and no ACL needs to be known for that.
bool plainly_allowed(const HostRequest& request, const HostAttributes& a) {
  if (request.caller.uid == 0) return true;
  if (request.caller.uid != a.uid) return false;
  const std::uint32_t how = request.flags & O_ACCMODE;
  const std::uint32_t needed = how == O_RDONLY ? S_IRUSR : how == O_WRONLY ? S_IWUSR : S_IRUSR | S_IWUSR;
  return (a.mode & needed) == needed;
}

}  // namespace

void Changing::start(HostRequest request) {
  const std::uint64_t unique = request.unique;
  switch (request.op) {
    case HostOp::open: return state_.launch(unique, open_truncated(std::move(request)));
    case HostOp::create:
      state_.saw_lock_of(request.inode);
      return state_.launch(unique, create(std::move(request)));
    case HostOp::mknod:
    case HostOp::mkdir:
    case HostOp::symlink:
    case HostOp::link:
      state_.saw_lock_of(request.inode);
      return state_.launch(unique, carry_out(std::move(request)));
    case HostOp::tmpfile: return state_.launch(unique, create_nameless(std::move(request)));
    case HostOp::setxattr:
      if (request.name == kReserveXattr) return state_.launch(unique, reserve(std::move(request)));
      return state_.launch(unique, carry_out(std::move(request)));
    default: return state_.launch(unique, carry_out(std::move(request)));
  }
}

Task<void> Changing::reserve(HostRequest request) {
  const std::string_view value(reinterpret_cast<const char*>(request.data.data()), request.data.size());
  std::optional<Operation> operation = reserve_by_xattr(request.inode, value);
  if (!operation || request.flags != 0) {
    state_.answer_error(request, EINVAL);
    co_return;
  }
  const Outcome outcome = co_await state_.change(request, std::move(*operation), Bytes(), nullptr);
  state_.answer_error(request, outcome.error);
}

Task<bool> Changing::expect(const HostRequest& request, Operation& operation) {
  const bool two = request.op == HostOp::rename;
  bool differs = false, other_differs = false;
  volume::Miss miss;
  const auto look = [&](InodeId directory, std::string_view name, bool something_else) {
    if (something_else) return wire::kSomethingElse;
    auto found = state_.volume.lookup(directory, name);
    if (found.miss() != nullptr) miss = std::move(*found.miss());
    return found.value() == nullptr ? kNoInode : found.value()->inode;
  };
  for (;;) {
    differs = differs || state_.may_differ(request, request.inode, request.name);
    other_differs = other_differs || (two && state_.may_differ(request, request.other, request.other_name));
    state_.saw_lock_of(request.inode);
    if (two) state_.saw_lock_of(request.other);
    operation.expects = look(request.inode, request.name, differs);
    if (two && miss.empty()) operation.other_expects = look(request.other, request.other_name, other_differs);
    if (miss.empty()) break;
    const bool loaded = co_await load_or_answer(state_, request, std::exchange(miss, {}));
    if (!loaded) co_return false;
  }
  if (state_.serving.now()) co_return true;
  co_return co_await state_.served(request);
}

void Changing::mistook(OpKind kind, InodeId expected, InodeId other_expected) {
  ++state_.counters.names_mistaken;
  // What it moves it believes under the new name, unless all that it was told before counts for nothing.
  if (kind == OpKind::rename) state_.drop_all_names();
  for (const InodeId counted_down : {expected, other_expected}) {
    if (counted_down != kNoInode && counted_down != wire::kSomethingElse) (void)state_.kernel.drop_attributes(counted_down);
  }
}

Task<void> Changing::carry_out(HostRequest request) {
  Operation operation = operation_of(request);
  const OpKind kind = operation.kind;
  if (kind == OpKind::unlink || kind == OpKind::rmdir || kind == OpKind::rename) {
    const bool known = co_await expect(request, operation);
    if (!known) co_return;
  }
  const InodeId expected = operation.expects, other_expected = operation.other_expects;
  std::optional<Move> move;
  if (request.op == HostOp::rename) move.emplace(state_, request);
  const bool takes_privileges = kind == OpKind::allocate && operation.kill_suid_gid && may_have_privileges(request.inode);
  Outcome outcome = co_await state_.change(request, std::move(operation), Bytes(), request.lease);
  // One effect allocates only so much: the rest is asked for again. It can't be let go any more.
  for (std::uint64_t done = outcome.value; kind == OpKind::allocate && outcome.error == 0 && outcome.value != 0 && done < request.size;
       done += outcome.value) {
    Operation rest = operation_of(request);
    rest.offset += done;
    rest.length -= done;
    outcome = co_await state_.changes.change(std::move(rest), Bytes(), request.lease, nullptr);
  }
  // The kernel does not expect that the mode has changed.
  if (takes_privileges) (void)state_.kernel.drop_attributes(request.inode);
  if (outcome.unexpected) mistook(kind, expected, other_expected);
  answer(request, outcome);
  recount_links(request, outcome);
  if (kind == OpKind::set_attributes) trim_if_asked(request.inode, outcome);
}

/// The kernel counts down the links of what it took the name for, which may be another object: the name was given to this one meanwhile.
void Changing::recount_links(const HostRequest& request, const Outcome& outcome) {
  if (outcome.error != 0) return;
  if (request.op == HostOp::unlink && outcome.attributes.links > 0) (void)state_.kernel.drop_attributes(outcome.attributes.inode);
  if (request.op == HostOp::rename && outcome.value != 0) (void)state_.kernel.drop_attributes(InodeId{outcome.value});
}

bool Changing::may_have_privileges(InodeId inode) {
  auto now = state_.volume.attributes(inode);
  return now.value() == nullptr || (now.value()->mode & (S_ISUID | S_ISGID)) != 0;
}

/// A file that was cut leaves more space behind than one effect gives back; whoever cut it may have been let go.
void Changing::trim_if_asked(InodeId inode, const Outcome& outcome) {
  if ((outcome.error == 0 || outcome.error == EINTR) && outcome.value == 1) (void)state_.scope.spawn(trim(inode));
}

Task<void> Changing::trim(InodeId inode) {
  Outcome outcome;
  do {
    Operation o;
    o.kind = OpKind::trim;
    o.inode = inode;
    outcome = co_await state_.changes.change(std::move(o), Bytes(), nullptr, nullptr);
  } while (outcome.error == 0 && outcome.value == 1);
  // The kernel's count of blocks is out of date; nothing else is.
  if (outcome.error == 0 && state_.inodes.known(inode)) (void)state_.kernel.drop_attributes(inode);
}

EntryReply Changing::made(const HostRequest& request, const Outcome& outcome) {
  auto now = state_.volume.lookup(request.inode, request.name);
  if (now.value() != nullptr && now.value()->inode == outcome.attributes.inode) return state_.entry_of(*now.value(), request.inode);
  EntryReply entry;
  entry.attributes = outcome.attributes;
  return entry;
}

void Changing::answer(const HostRequest& request, const Outcome& outcome) {
  if (outcome.error != 0) return state_.answer_error(request, outcome.error);
  switch (request.op) {
    case HostOp::mknod:
    case HostOp::mkdir:
    case HostOp::symlink:
      state_.hand_out(request, request.inode, made(request, outcome), outcome.attributes.inode);
      return;
    case HostOp::link: {
      // The kernel takes the attributes of a known object from this answer whatever was dropped meanwhile.
      EntryReply entry = made(request, outcome);
      entry.attributes_valid = Duration::zero();
      state_.hand_out(request, request.inode, entry, outcome.attributes.inode);
      return;
    }
    case HostOp::setattr: {
      auto now = state_.volume.attributes(request.inode);
      AttributesReply reply;
      if (now.value() != nullptr) {
        reply = state_.attributes_of(*now.value());
      } else {
        reply.attributes = outcome.attributes;
      }
      (void)state_.kernel.reply(request.unique, reply);
      return;
    }
    default: return state_.answer_error(request, 0);
  }
}

Task<Outcome> Changing::truncate(const HostRequest& request, InodeId inode) {
  Operation o = operation_by(request, OpKind::set_attributes);
  o.inode = inode;
  o.name.clear();
  o.change.size_set = true;
  o.change.kill_suid_gid = request.kill_suid_gid;
  const Outcome outcome = co_await state_.change(request, std::move(o), Bytes(), request.lease);
  trim_if_asked(inode, outcome);
  co_return outcome;
}

Task<void> Changing::open_truncated(HostRequest request) {
  const Outcome outcome = co_await truncate(request, request.inode);
  if (outcome.error != 0) {
    state_.answer_error(request, outcome.error);
    co_return;
  }
  request.flags &= ~static_cast<std::uint32_t>(O_TRUNC);  // that is done, however long the rest waits
  reading_.start(std::move(request));
}

class Changing::Making {
 public:
  explicit Making(Changing& changing) : changing_(changing), from_(changing.making_.insert(changing.state_.volume.next_inode())) {}
  Making(const Making&) = delete;
  Making& operator=(const Making&) = delete;
  ~Making() {
    std::multiset<InodeId>& making = changing_.making_;
    making.erase(from_);
    std::set<InodeId>& said = changing_.said_open_;
    const auto end = making.empty() ? said.end() : said.lower_bound(*making.begin());
    for (auto it = said.begin(); it != end; it = said.erase(it)) {
      if (!changing_.state_.inodes.is_open(*it)) changing_.state_.changes.orphan_closed(*it);
    }
  }

 private:
  Changing& changing_;
  std::multiset<InodeId>::iterator from_;
};

Task<void> Changing::create(HostRequest request) {
  const Making making(*this);
  Operation o = creation(request, (request.mode & ~kTypeBits) | S_IFREG);
  o.exclusive = (request.flags & O_EXCL) != 0;
  Outcome outcome = co_await state_.change(request, std::move(o), Bytes(), request.lease);
  if (outcome.error != 0) {
    state_.answer_error(request, outcome.error);
    co_return;
  }
  const bool existed = outcome.existed;
  // To open what was there is reading: no file may come to be open while all that is kept is dropped.
  if (existed && !state_.serving.now()) {
    const bool served = co_await state_.served(request);
    if (!served) co_return;
  }
  if (existed && (outcome.attributes.mode & kTypeBits) == S_IFDIR) {
    state_.answer_error(request, EISDIR);
    co_return;
  }
  if (existed && ((outcome.attributes.mode & kTypeBits) != S_IFREG || !plainly_allowed(request, outcome.attributes))) {
    state_.answer_error(request, ESTALE);
    co_return;
  }
  if (existed && (request.flags & O_TRUNC) != 0) {
    const Outcome truncated = co_await truncate(request, outcome.attributes.inode);
    if (truncated.error != 0) {
      state_.answer_error(request, truncated.error);
      co_return;
    }
  }
  const InodeId inode = outcome.attributes.inode;
  auto now = state_.volume.attributes(inode);
  while (now.miss() != nullptr) {
    const bool loaded = co_await load_or_answer(state_, request, std::move(*now.miss()));
    if (!loaded) co_return;
    now = state_.volume.attributes(inode);
  }
  // Removed meanwhile. What was there before is looked for again by the kernel; what was made here was made, and is open without a name. While this
  // site was away it may even have gone for good: then it is what a file that was open here at that time is.
  const Error* error = now.error();
  const bool gone = error != nullptr && error->code == Errc::posix && error->posix == ESTALE;
  if (error != nullptr && !gone) {
    state_.answer_error(request, state_.errno_of(*error, request));
    co_return;
  }
  if (existed && (gone || (now.value()->links == 0 && !state_.inodes.is_open(inode)))) {
    state_.answer_error(request, ESTALE);
    co_return;
  }
  if (!gone) outcome.attributes = *now.value();
  CreateReply reply{made(request, outcome), state_.open_of(request.flags)};
  // As with LINK: the kernel may know the object already.
  if (existed) reply.entry.attributes_valid = Duration::zero();
  state_.inodes.opened(inode);
  if (gone) state_.inodes.lost_last_name(outcome.attributes);
  if (state_.hand_out(request, request.inode, reply, inode)) co_return;
  std::uint32_t growths = 0;
  (void)state_.inodes.closed(inode, growths);
}

Task<void> Changing::create_nameless(HostRequest request) {
  Operation o = creation(request, (request.mode & ~kTypeBits) | S_IFREG);
  o.anonymous = true;
  o.name.clear();
  const Making making(*this);
  const Outcome outcome = co_await state_.change(request, std::move(o), Bytes(), request.lease);
  if (outcome.error != 0) {
    state_.answer_error(request, outcome.error);
  } else {
    const InodeId inode = outcome.attributes.inode;
    const CreateReply reply{state_.entry_of(outcome.attributes, kNoInode), state_.open_of(request.flags)};
    state_.inodes.opened(inode);
    if (!state_.hand_out(request, kNoInode, reply, inode)) {
      std::uint32_t growths = 0;
      (void)state_.inodes.closed(inode, growths);
    }
  }
}

bool Changing::may_be_opening(InodeId inode) {
  if (making_.empty() || inode < *making_.begin()) return false;
  said_open_.insert(inode);
  return true;
}

void Changing::last_handle_closed(InodeId inode, std::uint32_t growths) {
  auto now = state_.volume.attributes(inode);
  if (now.error() != nullptr) return;
  if (now.value() != nullptr && now.value()->links != 0 && growths < kGrowthsWithSpaceAhead) return;
  (void)state_.scope.spawn(after_last_close(inode, growths));
}

Task<void> Changing::after_last_close(InodeId inode, std::uint32_t growths) {
  auto now = state_.volume.attributes(inode);
  while (now.miss() != nullptr) {
    const Result<> loaded = co_await state_.volume.load(std::move(*now.miss()));
    if (!loaded) co_return;  // the next close, or the next start, sees to it
    now = state_.volume.attributes(inode);
  }
  if (now.value() == nullptr || state_.inodes.is_open(inode)) co_return;
  if (now.value()->links == 0) {
    state_.changes.orphan_closed(inode);
    co_return;
  }
  if (growths < kGrowthsWithSpaceAhead) co_return;
  co_await trim(inode);
}

}  // namespace lockstep::fuse
