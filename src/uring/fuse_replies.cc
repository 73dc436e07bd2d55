// How a HostReply becomes the bytes that the kernel reads.

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/uio.h>

#include <cerrno>
#include <cstring>

#include "core/check.h"
#include "uring/fuse_kernel.h"
#include "uring/fuse_operations.h"

namespace lockstep::uring {
namespace {

using runtime::HostOp;

void put_time(WallTime time, std::uint64_t& seconds, std::uint32_t& ns) {
  std::int64_t s = time.value / 1'000'000'000;
  std::int64_t rest = time.value % 1'000'000'000;
  if (rest < 0) {
    rest += 1'000'000'000;
    --s;
  }
  seconds = static_cast<std::uint64_t>(s);
  ns = static_cast<std::uint32_t>(rest);
}

void put_validity(Duration valid, std::uint64_t& seconds, std::uint32_t& ns) {
  seconds = static_cast<std::uint64_t>(valid.count() / 1'000'000'000);
  ns = static_cast<std::uint32_t>(valid.count() % 1'000'000'000);
}

fuse_attr to_wire(const runtime::HostAttributes& a) {
  fuse_attr out{};
  out.ino = a.inode.value;
  out.size = a.size;
  out.blocks = a.blocks;
  put_time(a.atime, out.atime, out.atimensec);
  put_time(a.mtime, out.mtime, out.mtimensec);
  put_time(a.ctime, out.ctime, out.ctimensec);
  out.mode = a.mode;
  out.nlink = a.links;
  out.uid = a.uid;
  out.gid = a.gid;
  out.rdev = a.rdev;
  out.blksize = kBlockBytes;
  return out;
}

StatxTime statx_time(WallTime time) {
  std::uint64_t seconds = 0;
  StatxTime out{};
  put_time(time, seconds, out.ns);
  out.seconds = static_cast<std::int64_t>(seconds);
  return out;
}

StatxOut to_statx(const runtime::AttributesReply& r) {
  const runtime::HostAttributes& a = r.attributes;
  StatxOut out{};
  put_validity(r.valid, out.valid, out.valid_ns);
  out.mask = STATX_BASIC_STATS | STATX_BTIME;
  out.block_bytes = kBlockBytes;
  out.links = a.links;
  out.uid = a.uid;
  out.gid = a.gid;
  out.mode = static_cast<std::uint16_t>(a.mode);
  out.inode = a.inode.value;
  out.size = a.size;
  out.blocks = a.blocks;
  out.atime = statx_time(a.atime);
  out.btime = statx_time(a.btime);
  out.ctime = statx_time(a.ctime);
  out.mtime = statx_time(a.mtime);
  // As the kernel packs numbers of devices into 32 bits.
  out.rdev_major = a.rdev >> 8 & 0xfff;
  out.rdev_minor = (a.rdev & 0xff) | (a.rdev >> 12 & 0xfff00);
  return out;
}

fuse_entry_out to_wire(const runtime::EntryReply& e, bool names_kept) {
  fuse_entry_out out{};
  out.nodeid = e.attributes.inode.value;
  if (names_kept) put_validity(e.entry_valid, out.entry_valid, out.entry_valid_nsec);
  put_validity(e.attributes_valid, out.attr_valid, out.attr_valid_nsec);
  out.attr = to_wire(e.attributes);
  return out;
}

fuse_open_out to_wire(const runtime::OpenReply& o) {
  fuse_open_out out{};
  out.fh = o.handle;
  if (o.direct) out.open_flags |= FOPEN_DIRECT_IO;
  if (o.keep_cache) out.open_flags |= FOPEN_KEEP_CACHE;
  if (o.cache_listing) out.open_flags |= FOPEN_CACHE_DIR;
  if (o.parallel_direct) out.open_flags |= FOPEN_PARALLEL_DIRECT_WRITES;
  return out;
}

/// An answer's bytes: `fixed`, filled from its start, or data that lies elsewhere.
struct Encoded {
  int error = 0;
  alignas(8) std::byte fixed[320];
  Bytes bytes;

  template <class T>
  void put(const T& value) {
    CHECK(bytes.size() + sizeof value <= sizeof fixed);
    std::memcpy(fixed + bytes.size(), &value, sizeof value);
    bytes = Bytes(fixed, bytes.size() + sizeof value);
  }
};

struct Encoder {
  Encoded& out;
  HostOp op;
  bool names_kept;
  bool statx;  ///< op getattr: what the kernel asked

  void operator()(const runtime::ErrorReply& r) const { out.error = r.number; }
  void operator()(const runtime::EntryReply& r) const {
    if (r.attributes.inode == kNoInode) {
      out.error = ENOENT;
    } else {
      out.put(to_wire(r, names_kept));
    }
  }
  void operator()(const runtime::AttributesReply& r) const {
    if (statx) return out.put(to_statx(r));
    fuse_attr_out attributes{};
    put_validity(r.valid, attributes.attr_valid, attributes.attr_valid_nsec);
    attributes.attr = to_wire(r.attributes);
    out.put(attributes);
  }
  void operator()(const runtime::OpenReply& r) const { out.put(to_wire(r)); }
  void operator()(const runtime::CreateReply& r) const {
    out.put(to_wire(r.entry, names_kept));
    out.put(to_wire(r.open));
  }
  void operator()(const runtime::DataReply& r) const {
    out.bytes = r.bytes;
  }
  void operator()(const runtime::CountReply& r) const {
    switch (op) {
      case HostOp::lseek: return out.put(fuse_lseek_out{r.count});
      case HostOp::getxattr:
      case HostOp::listxattr: return out.put(fuse_getxattr_out{static_cast<std::uint32_t>(r.count), 0});
      default: return out.put(fuse_write_out{static_cast<std::uint32_t>(r.count), 0});
    }
  }
  void operator()(const runtime::StatfsReply& r) const {
    fuse_statfs_out st{};
    st.st.blocks = r.blocks;
    st.st.bfree = st.st.bavail = r.blocks_free;
    st.st.files = r.files;
    st.st.ffree = r.files_free;
    st.st.bsize = st.st.frsize = static_cast<std::uint32_t>(r.block_bytes);
    st.st.namelen = 255;
    out.put(st);
  }
  void operator()(const runtime::LockReply& r) const {
    using Type = runtime::HostLock::Type;
    fuse_lk_out lock{};
    lock.lk.type = r.lock.type == Type::unlock ? F_UNLCK : r.lock.type == Type::read ? F_RDLCK : F_WRLCK;
    lock.lk.start = r.lock.first;
    lock.lk.end = r.lock.last;
    lock.lk.pid = r.lock.pid;
    out.put(lock);
  }
  void operator()(const runtime::ListingReply&) const { CHECK(false); }  // send_listing()
};

}  // namespace

std::optional<std::size_t> FuseKernel::reply(std::uint64_t unique, const runtime::HostReply& reply) {
  const auto index = static_cast<std::uint32_t>(unique);
  CHECK(index < slots_.size() && slots_[index].used && slots_[index].generation == unique >> 32);
  const Slot slot = slots_[index];
  slots_[index].used = false;
  if (++slots_[index].generation == 0) slots_[index].generation = 1;
  free_slots_.push_back(index);

  ++counters_.replies;
  if (slot.gone) {
    ++counters_.replies_lost;
    return std::nullopt;
  }
  const std::optional<InodeId> open = opens(slot, reply);
  if (open) open_.opened(*open);  // before the kernel knows
  std::size_t taken = 0;
  int rc = 0;
  if (const auto* listing = std::get_if<runtime::ListingReply>(&reply)) {
    rc = send_listing(slot, *listing, taken);
  } else {
    Encoded encoded;
    std::visit(Encoder{encoded, slot.op, epochs_, slot.op == HostOp::getattr && slot.request == nullptr}, reply);
    rc = send(slot, encoded.error, encoded.bytes);
  }
  if (rc == 0) return taken;
  ++counters_.replies_lost;
  if (open) open_.closed(*open);
  return std::nullopt;
}

void FuseKernel::give_up(std::uint64_t unique) {
  const auto index = static_cast<std::uint32_t>(unique);
  CHECK(index < slots_.size() && slots_[index].used && slots_[index].generation == unique >> 32);
  Slot& slot = slots_[index];
  if (std::exchange(slot.gone, true)) return;
  (void)send(slot, EINTR, {});
  slot.request = nullptr;
}

std::optional<InodeId> FuseKernel::opens(const Slot& slot, const runtime::HostReply& reply) {
  if (const auto* created = std::get_if<runtime::CreateReply>(&reply)) return created->entry.attributes.inode;
  if (std::holds_alternative<runtime::OpenReply>(reply)) return slot.inode;
  return std::nullopt;
}

int FuseKernel::send(const Slot& slot, int error, Bytes bytes) {
  if (slot.request != nullptr) {
    return error != 0 ? fuse_reply_err(slot.request, error)
                      : fuse_reply_buf(slot.request, reinterpret_cast<const char*>(bytes.data()), bytes.size());
  }
  if (error != 0) bytes = {};
  fuse_out_header header{};
  header.len = static_cast<std::uint32_t>(sizeof header + bytes.size());
  header.error = -error;
  header.unique = slot.raw;
  iovec parts[] = {{&header, sizeof header}, {const_cast<std::byte*>(bytes.data()), bytes.size()}};
  ++loop_.statistics().writes;
  return ::writev(fd_, parts, bytes.empty() ? 1 : 2) < 0 ? -errno : 0;
}

int FuseKernel::send_listing(const Slot& slot, const runtime::ListingReply& listing, std::size_t& taken) {
  std::vector<std::byte> bytes;
  bytes.reserve(listing.size);
  for (const runtime::ListedEntry& entry : listing.entries) {
    const std::size_t fixed = listing.plus ? FUSE_NAME_OFFSET_DIRENTPLUS : FUSE_NAME_OFFSET;
    const std::size_t whole = FUSE_DIRENT_ALIGN(fixed + entry.name.size());
    if (bytes.size() + whole > listing.size) break;
    const std::size_t at = bytes.size();
    bytes.resize(at + whole);
    if (listing.plus) {
      fuse_entry_out out{};
      // "." and ".." are names that the kernel has already: only their place is listed.
      if (entry.name != "." && entry.name != "..") out = to_wire(entry.entry, epochs_);
      std::memcpy(bytes.data() + at, &out, sizeof out);
    }
    fuse_dirent dirent{};
    dirent.ino = entry.entry.attributes.inode.value;
    dirent.off = entry.cookie;
    dirent.namelen = static_cast<std::uint32_t>(entry.name.size());
    dirent.type = (entry.entry.attributes.mode & 0170000) >> 12;
    std::memcpy(bytes.data() + at + fixed - FUSE_NAME_OFFSET, &dirent, FUSE_NAME_OFFSET);
    std::memcpy(bytes.data() + at + fixed, entry.name.data(), entry.name.size());
    ++taken;
  }
  return send(slot, 0, bytes);
}

}  // namespace lockstep::uring
