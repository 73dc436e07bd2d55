#include "fuse/reading.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>

#include "core/check.h"
#include "fuse/reserve_xattr.h"

namespace lockstep::fuse {

using namespace runtime;

void Reading::start(HostRequest request) {
  volume::Miss miss;
  if (state_.serving.now() && answer(request, miss)) return;
  const std::uint64_t unique = request.unique;
  state_.launch(unique, later(std::move(request), std::move(miss)));
}

Task<void> Reading::later(HostRequest request, volume::Miss miss) {
  for (;;) {
    if (!miss.empty()) {
      const bool loaded = co_await load_or_answer(state_, request, std::exchange(miss, {}));
      if (!loaded) co_return;
    }
    if (!state_.serving.now()) {
      const bool served = co_await state_.served(request);
      if (!served) co_return;
    }
    if (answer(request, miss)) co_return;
  }
}

bool Reading::answer(const HostRequest& request, volume::Miss& miss) {
  switch (request.op) {
    case HostOp::lookup: return lookup(request, miss);
    case HostOp::getattr: return getattr(request, miss);
    case HostOp::open: return open(request, miss);
    case HostOp::opendir: return opendir(request, miss);
    case HostOp::readlink: return readlink(request, miss);
    case HostOp::getxattr: return getxattr(request, miss);
    case HostOp::lseek: return lseek(request, miss);
    case HostOp::statfs: statfs(request); return true;
    default: CHECK(false);
  }
}

template <class T>
bool Reading::has_value(volume::Attempt<T>& attempt, const HostRequest& request, volume::Miss& miss, bool& done) {
  done = false;
  if (attempt.value() != nullptr) return true;
  if (attempt.miss() != nullptr) {
    miss = std::move(*attempt.miss());
    return false;
  }
  state_.answer_error(request, state_.errno_of(*attempt.error(), request));
  done = true;
  return false;
}

bool Reading::lookup(const HostRequest& request, volume::Miss& miss) {
  if (request.name == "." || request.name == "..") return find_again(request, miss);
  auto found = state_.volume.lookup(request.inode, request.name);
  const bool absent = found.error() != nullptr && found.error()->posix == ENOENT;
  bool done = false;
  if (!has_value(found, request, miss, done)) {
    if (absent) state_.told(request, request.name);
    return done;
  }
  const bool told = state_.hand_out(request, request.inode, state_.entry_of(*found.value(), request.inode), found.value()->inode);
  if (told) state_.told(request, request.name);
  return true;
}

/// A host has kept the number of an object in a handle, which the kernel forgot: "." is the object, ".." where it stands.
bool Reading::find_again(const HostRequest& request, volume::Miss& miss) {
  InodeId inode = request.inode;
  bool done = false;
  if (request.name == "..") {
    auto parent = state_.volume.parent(inode);
    if (!has_value(parent, request, miss, done)) return done;
    inode = *parent.value();
  }
  auto found = state_.volume.attributes(inode);
  if (!has_value(found, request, miss, done)) return done;
  if (found.value()->links == 0 && !state_.inodes.is_open(inode)) {
    state_.answer_error(request, ESTALE);  // about to be removed for good
    return true;
  }
  state_.hand_out(request, kNoInode, state_.entry_of(*found.value(), kNoInode), inode);
  return true;
}

/// What is left of an object that was removed, if this is the answer to `attempt`.
template <class T>
const HostAttributes* Reading::removed(InodeId inode, volume::Attempt<T>& attempt) {
  const Error* error = attempt.error();
  if (error == nullptr || error->code != Errc::posix || error->posix != ESTALE) return nullptr;
  const KnownInode* node = state_.inodes.find(inode);
  return node == nullptr ? nullptr : node->removed.get();
}

bool Reading::getattr(const HostRequest& request, volume::Miss& miss) {
  auto found = state_.volume.attributes(request.inode);
  bool done = false;
  if (const HostAttributes* attributes = removed(request.inode, found)) {
    (void)state_.kernel.reply(request.unique, AttributesReply{*attributes, Duration::zero()});
    return true;
  }
  if (!has_value(found, request, miss, done)) return done;
  (void)state_.kernel.reply(request.unique, state_.attributes_of(*found.value()));
  return true;
}

bool Reading::open(const HostRequest& request, volume::Miss& miss) {
  auto found = state_.volume.attributes(request.inode);
  bool done = false;
  if (!has_value(found, request, miss, done)) return done;
  if (found.value()->links == 0 && !state_.inodes.is_open(request.inode)) {
    state_.answer_error(request, ESTALE);  // about to be removed for good
    return true;
  }
  state_.inodes.opened(request.inode);
  if (!state_.kernel.reply(request.unique, state_.open_of(request.flags))) {
    std::uint32_t growths = 0;
    (void)state_.inodes.closed(request.inode, growths);
  }
  return true;
}

bool Reading::opendir(const HostRequest& request, volume::Miss& miss) {
  auto found = state_.volume.attributes(request.inode);
  bool done = false;
  if (removed(request.inode, found) == nullptr && !has_value(found, request, miss, done)) return done;
  OpenReply open;
  open.handle = next_directory_handle_++;
  open.keep_cache = true;
  open.cache_listing = true;
  (void)state_.kernel.reply(request.unique, open);
  return true;
}

bool Reading::readlink(const HostRequest& request, volume::Miss& miss) {
  auto found = state_.volume.symlink_target(request.inode);
  bool done = false;
  if (!has_value(found, request, miss, done)) return done;
  (void)state_.kernel.reply(request.unique, DataReply{std::as_bytes(std::span(*found.value()))});
  return true;
}

bool Reading::getxattr(const HostRequest& request, volume::Miss& miss) {
  if (request.name == kReserveXattr) {
    const std::string value = reserve_xattr_of(state_.volume.reservations(), request.inode, state_.options.sites);
    if (value.empty()) {
      state_.answer_error(request, ENODATA);
    } else {
      answer_xattr(request, value);
    }
    return true;
  }
  auto found = state_.volume.xattr(request.inode, request.name);
  bool done = false;
  if (!has_value(found, request, miss, done)) return done;
  answer_xattr(request, *found.value());
  return true;
}

void Reading::answer_xattr(const HostRequest& request, const std::string& value) {
  if (request.size == 0) {
    (void)state_.kernel.reply(request.unique, CountReply{value.size()});
  } else if (value.size() > request.size) {
    state_.answer_error(request, ERANGE);
  } else {
    (void)state_.kernel.reply(request.unique, DataReply{std::as_bytes(std::span(value))});
  }
}

bool Reading::lseek(const HostRequest& request, volume::Miss& miss) {
  if (request.flags != SEEK_DATA && request.flags != SEEK_HOLE) {
    state_.answer_error(request, EINVAL);  // the kernel does the others itself
    return true;
  }
  auto found = state_.volume.seek(request.inode, request.offset, request.flags == SEEK_DATA);
  bool done = false;
  if (!has_value(found, request, miss, done)) return done;
  (void)state_.kernel.reply(request.unique, CountReply{*found.value()});
  return true;
}

void Reading::statfs(const HostRequest& request) {
  const volume::Statistics s = state_.volume.statistics();
  StatfsReply reply;
  reply.block_bytes = kBlockBytes;
  reply.blocks = s.blocks;
  reply.blocks_free = s.blocks_free;
  // Inodes come out of the same space as data: as many as there are blocks.
  reply.files = s.files + s.blocks_free;
  reply.files_free = s.growth_held ? 0 : s.blocks_free;
  (void)state_.kernel.reply(request.unique, reply);
}

void Reading::start_listxattr(HostRequest request) {
  const std::uint64_t unique = request.unique;
  state_.launch(unique, listxattr(std::move(request)));
}

Task<void> Reading::listxattr(HostRequest request) {
  for (;;) {
    if (!state_.serving.now()) {
      const bool served = co_await state_.served(request);
      if (!served) co_return;
    }
    const std::uint64_t period = state_.serving.period();
    const Result<std::string> names = co_await state_.volume.xattr_names(request.inode);
    if (!state_.serving.still(period)) continue;
    if (names) {
      answer_xattr(request, *names);
    } else {
      state_.answer_error(request, state_.errno_of(names.error(), request));
    }
    co_return;
  }
}

}  // namespace lockstep::fuse
