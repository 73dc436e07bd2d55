#include "wire/parts_codec.h"

#include <cstring>

namespace lockstep::wire {

schema::Uuid pack(const Uuid& id) {
  schema::Uuid packed;
  static_assert(sizeof(packed) == sizeof(id.bytes));
  std::memcpy(&packed, id.bytes.data(), sizeof(packed));
  return packed;
}

Uuid unpack(const schema::Uuid* id) {
  Uuid into;
  if (id != nullptr) std::memcpy(into.bytes.data(), id, sizeof(into.bytes));
  return into;
}

schema::RequestId pack(const RequestId& id) { return {id.boot, id.n, id.site.value}; }

RequestId unpack(const schema::RequestId* id) {
  if (id == nullptr) return {};
  return RequestId{SiteId{id->site()}, id->boot(), id->n()};
}

BlockRange unpack(const schema::BlockRange* range, const char* field, Faults& faults) {
  if (range == nullptr) return {};
  const BlockRange blocks{range->first(), range->count()};
  const bool fits = blocks.first <= kAreaBlocksMax && blocks.count <= kAreaBlocksMax - blocks.first;
  if (!faults.require(fits, field, "ends behind the end of any area")) return {};
  return blocks;
}

ByteRange unpack(const schema::ByteRange& range, std::uint64_t end_max, const char* field, Faults& faults) {
  const ByteRange bytes{range.offset(), range.length()};
  const bool fits = bytes.offset <= end_max && bytes.length <= end_max - bytes.offset;
  if (!faults.require(fits, field, "ends too far behind")) return {};
  return bytes;
}

schema::HostAttributes pack(const runtime::HostAttributes& a) {
  schema::HostAttributes packed;
  packed.mutate_inode(a.inode.value);
  packed.mutate_size(a.size);
  packed.mutate_blocks(a.blocks);
  packed.mutate_atime(a.atime.value);
  packed.mutate_mtime(a.mtime.value);
  packed.mutate_ctime(a.ctime.value);
  packed.mutate_btime(a.btime.value);
  packed.mutate_mode(a.mode);
  packed.mutate_links(a.links);
  packed.mutate_uid(a.uid);
  packed.mutate_gid(a.gid);
  packed.mutate_rdev(a.rdev);
  return packed;
}

runtime::HostAttributes unpack(const schema::HostAttributes* a) {
  runtime::HostAttributes into;
  if (a == nullptr) return into;
  into.inode = InodeId(a->inode());
  into.size = a->size();
  into.blocks = a->blocks();
  into.atime = WallTime(a->atime());
  into.mtime = WallTime(a->mtime());
  into.ctime = WallTime(a->ctime());
  into.btime = WallTime(a->btime());
  into.mode = a->mode();
  into.links = a->links();
  into.uid = a->uid();
  into.gid = a->gid();
  into.rdev = a->rdev();
  return into;
}

PackedBytes pack_bytes(Builder& builder, std::string_view bytes) {
  if (bytes.empty()) return 0;
  return builder.CreateVector(reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size());
}

std::string unpack_bytes(const flatbuffers::Vector<std::uint8_t>* bytes, std::size_t bytes_max, const char* field,
                         Faults& faults) {
  if (bytes == nullptr || !faults.require(bytes->size() <= bytes_max, field, "too long")) return {};
  return {reinterpret_cast<const char*>(bytes->data()), bytes->size()};
}

PackedStructs<schema::BlockRange> pack_blocks(Builder& builder, const std::vector<BlockRange>& list) {
  return pack_structs<schema::BlockRange>(builder, list, [](const BlockRange& range) { return pack(range); });
}

void unpack_blocks(const flatbuffers::Vector<const schema::BlockRange*>* list, std::size_t count_max,
                   std::vector<BlockRange>& into, const char* field, Faults& faults) {
  unpack_structs(list, count_max, into, field, faults, [&](const schema::BlockRange& range) {
    faults.require(range.count() != 0, field, "an empty range");
    return unpack(&range, field, faults);
  });
}

bool is_entry_name(std::string_view name) {
  return !name.empty() && name.size() <= kNameBytesMax && name != "." && name != ".." && name.find('/') == name.npos &&
         name.find('\0') == name.npos;
}

}  // namespace lockstep::wire
