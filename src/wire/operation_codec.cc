#include "wire/operation_codec.h"

#include "wire/codec.h"

namespace lockstep::wire {
namespace {

static_assert(static_cast<int>(OpKind::release) == static_cast<int>(schema::OpKind::MAX));
constexpr int kErrnoMax = 4095;

Packed<schema::AttributeChange> pack(Builder& builder, const AttributeChange& change) {
  schema::AttributeChangeBuilder b(builder);
  b.add_mode_set(change.mode_set);
  b.add_uid_set(change.uid_set);
  b.add_gid_set(change.gid_set);
  b.add_size_set(change.size_set);
  b.add_atime_set(change.atime_set);
  b.add_mtime_set(change.mtime_set);
  b.add_ctime_set(change.ctime_set);
  b.add_atime_now(change.atime_now);
  b.add_mtime_now(change.mtime_now);
  b.add_kill_suid_gid(change.kill_suid_gid);
  b.add_mode(change.mode);
  b.add_uid(change.uid);
  b.add_gid(change.gid);
  b.add_size(change.size);
  b.add_atime(change.atime.value);
  b.add_mtime(change.mtime.value);
  b.add_ctime(change.ctime.value);
  return b.Finish();
}

void unpack(const schema::AttributeChange* packed, AttributeChange& into, Faults& faults) {
  if (packed == nullptr) return;
  into.mode_set = packed->mode_set();
  into.uid_set = packed->uid_set();
  into.gid_set = packed->gid_set();
  into.size_set = packed->size_set();
  into.atime_set = packed->atime_set();
  into.mtime_set = packed->mtime_set();
  into.ctime_set = packed->ctime_set();
  into.atime_now = packed->atime_now();
  into.mtime_now = packed->mtime_now();
  into.kill_suid_gid = packed->kill_suid_gid();
  into.mode = packed->mode();
  into.uid = packed->uid();
  into.gid = packed->gid();
  into.size = packed->size();
  into.atime = WallTime(packed->atime());
  into.mtime = WallTime(packed->mtime());
  into.ctime = WallTime(packed->ctime());
  faults.require(into.size <= kFileBytesMax, "operation.change.size", "no file is that long");
}

Packed<schema::LockRequest> pack(Builder& builder, const LockRequest& lock) {
  return schema::CreateLockRequest(builder, lock.owner.site.value, lock.owner.boot, lock.owner.id, static_cast<schema::LockType>(lock.type),
                                   lock.whole, lock.wait, lock.pid, lock.first, lock.last, lock.ticket);
}

void unpack(const schema::LockRequest* packed, LockRequest& into, Faults& faults) {
  if (packed == nullptr) return;
  if (!faults.require(packed->type() <= schema::LockType::MAX, "operation.lock.type", "unknown")) return;
  into.owner = {SiteId(packed->site()), packed->boot(), packed->owner()};
  into.type = static_cast<LockType>(packed->type());
  into.whole = packed->whole();
  into.wait = packed->wait();
  into.pid = packed->pid();
  into.first = packed->first();
  into.last = packed->last();
  into.ticket = packed->ticket();
  faults.require(packed->site() < kSitesMax, "operation.lock.site", "a site that no volume has");
  faults.require(into.first <= into.last && into.last <= kLockLastMax, "operation.lock", "no range of bytes");
}

bool is_about_locks(OpKind kind) { return kind == OpKind::lock || kind == OpKind::cancel_lock || kind == OpKind::break_locks; }

std::size_t text_bytes_max(OpKind kind) {
  switch (kind) {
    case OpKind::create: return kTargetBytesMax;
    case OpKind::rename: return kNameBytesMax;
    case OpKind::set_xattr: return kXattrBytesMax;
    case OpKind::reserve: return kTargetBytesMax;
    default: return 0;
  }
}

bool is_xattr_name(std::string_view name) { return !name.empty() && name.find('\0') == name.npos; }

void check_names(const Operation& operation, Faults& faults) {
  switch (operation.kind) {
    case OpKind::create:
      if (operation.anonymous) {
        faults.require(operation.name.empty(), "operation.name", "a file without a name has one");
      } else {
        faults.require(is_entry_name(operation.name), "operation.name", "not the name of a file");
      }
      break;
    case OpKind::rename:
      faults.require(is_entry_name(operation.text), "operation.text", "not the name of a file");
      [[fallthrough]];
    case OpKind::link:
    case OpKind::unlink:
    case OpKind::rmdir:
      faults.require(is_entry_name(operation.name), "operation.name", "not the name of a file");
      break;
    case OpKind::set_xattr:
    case OpKind::remove_xattr:
      faults.require(is_xattr_name(operation.name), "operation.name", "not the name of an xattr");
      break;
    default: break;
  }
}

}  // namespace

Packed<schema::Operation> pack(Builder& builder, const Operation& operation) {
  const auto name = pack_bytes(builder, operation.name);
  const auto text = pack_bytes(builder, operation.text);
  const auto change = pack(builder, operation.change);
  Packed<schema::LockRequest> lock;
  if (is_about_locks(operation.kind)) lock = pack(builder, operation.lock);
  schema::OperationBuilder b(builder);
  b.add_kind(static_cast<schema::OpKind>(operation.kind));
  b.add_inode(operation.inode.value);
  b.add_other(operation.other.value);
  b.add_name(name);
  b.add_text(text);
  b.add_offset(operation.offset);
  b.add_length(operation.length);
  b.add_flags(operation.flags);
  b.add_mode(operation.mode);
  b.add_rdev(operation.rdev);
  b.add_uid(operation.uid);
  b.add_gid(operation.gid);
  b.add_append(operation.append);
  b.add_exclusive(operation.exclusive);
  b.add_anonymous(operation.anonymous);
  b.add_kill_suid_gid(operation.kill_suid_gid);
  b.add_data_only(operation.data_only);
  b.add_change(change);
  if (!lock.IsNull()) b.add_lock(lock);
  b.add_expects(operation.expects.value);
  b.add_other_expects(operation.other_expects.value);
  return b.Finish();
}

void unpack(const schema::Operation& packed, Operation& into, Faults& faults) {
  if (!faults.require(packed.kind() <= schema::OpKind::MAX, "operation.kind", "unknown")) return;
  into.kind = static_cast<OpKind>(packed.kind());
  into.inode = InodeId(packed.inode());
  into.other = InodeId(packed.other());
  into.name = unpack_bytes(packed.name(), kNameBytesMax, "operation.name", faults);
  into.text = unpack_bytes(packed.text(), text_bytes_max(into.kind), "operation.text", faults);
  into.offset = packed.offset();
  into.length = packed.length();
  into.flags = packed.flags();
  into.mode = packed.mode();
  into.rdev = packed.rdev();
  into.uid = packed.uid();
  into.gid = packed.gid();
  into.append = packed.append();
  into.exclusive = packed.exclusive();
  into.anonymous = packed.anonymous();
  into.kill_suid_gid = packed.kill_suid_gid();
  into.data_only = packed.data_only();
  unpack(packed.change(), into.change, faults);
  unpack(packed.lock(), into.lock, faults);
  into.expects = InodeId(packed.expects());
  into.other_expects = InodeId(packed.other_expects());
  faults.require(is_about_locks(into.kind) == (packed.lock() != nullptr), "operation.lock", "of another operation, or missing");

  // Each at most 2^63 - 1, so that no sum of two of them overflows.
  faults.require(into.offset <= kFileBytesMax, "operation.offset", "no file is that long");
  faults.require(into.length <= kFileBytesMax, "operation.length", "no file is that long");
  if (into.kind == OpKind::write) {
    faults.require(into.length <= kPayloadBytesMax, "operation.length", "more than a payload holds");
  }
  check_names(into, faults);
}

Packed<schema::Outcome> pack(Builder& builder, const Outcome& outcome) {
  const auto attributes = pack(outcome.attributes);
  schema::OutcomeBuilder b(builder);
  b.add_error(outcome.error);
  if (outcome.attributes.inode != kNoInode) b.add_attributes(&attributes);
  b.add_value(outcome.value);
  b.add_offset(outcome.offset);
  b.add_existed(outcome.existed);
  b.add_unexpected(outcome.unexpected);
  return b.Finish();
}

void unpack(const schema::Outcome* packed, Outcome& into, Faults& faults) {
  if (packed == nullptr) return;
  into.error = packed->error();
  into.attributes = unpack(packed->attributes());
  into.value = packed->value();
  into.offset = packed->offset();
  into.existed = packed->existed();
  into.unexpected = packed->unexpected();
  faults.require(into.error >= 0 && into.error <= kErrnoMax, "outcome.error", "not an errno");
}

}  // namespace lockstep::wire
