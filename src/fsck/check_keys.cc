// Each key for itself: is its kind known, can its value be understood, does a name stand where it is looked for.
#include <fmt/format.h>

#include <algorithm>

#include "fsck/key_cursor.h"
#include "fsck/phases.h"
#include "volume/plan.h"

namespace lockstep::fsck {
namespace {

using runtime::Task;

constexpr std::size_t kXattrValueBytesMax = 65536;
constexpr std::size_t kShownBytesMax = 60;
/// No volume lives long enough to give a higher number.
constexpr std::uint64_t kInodeNumberMax = std::uint64_t{1} << 56;

std::string key_place(std::string_view key) {
  std::string text = shown(key.substr(0, kShownBytesMax));
  if (key.size() > kShownBytesMax) text += "...";
  return "key " + text;
}

/// The object that a well-formed key belongs to; 0: none.
InodeId object_of(const KeyCursor& at) {
  switch (at.key()[0]) {
    case 'I':
    case 'D':
    case 'E':
    case 'X':
    case 'O':
    case 'L':
    case 'V': return InodeId{at.number()};
    default: return kNoInode;
  }
}

Finding of_value(const KeyCursor& at, std::string found, std::string expected) {
  return {.rule = Rule::value,
          .object = object_of(at),
          .place = key_place(at.key()),
          .found = std::move(found),
          .expected = std::move(expected)};
}

/// What `error` says beside that something is damaged.
std::string reason_of(const Error& error) {
  std::string text = error.text;
  for (const std::string_view part : {"metadata are damaged: ", "; stop the daemon and run lockstep fsck"}) {
    if (const std::size_t at = text.find(part); at != text.npos) text.erase(at, part.size());
  }
  return text;
}

void check_inode(Examination& x, const KeyCursor& at) {
  const InodeId id{at.number()};
  ++x.objects;
  if (id == kNoInode || id.value > kInodeNumberMax) {
    x.leave({.rule = Rule::key,
             .place = key_place(at.key()),
             .found = "an inode of a number that none can have",
             .expected = "none"});
    return;
  }
  x.inode_max = std::max(x.inode_max, id);
  const Result<volume::Inode> inode = volume::unpack_inode(id, at.value());
  if (!inode) x.leave(of_value(at, reason_of(inode.error()), "an inode"));
}

void check_chunk(Examination& x, const KeyCursor& at) {
  const Result<std::uint32_t> index = volume::parse_chunk_key(at.key());
  const Result<volume::ChunkValue> chunk = volume::unpack_chunk(at.value(), ~std::uint64_t{0});
  if (chunk || !index) return;
  x.leave(of_value(at, reason_of(chunk.error()), "a part of an extent map"));
  if (x.chunks_unreadable.size() < kUnreadableMax) {
    x.chunks_unreadable.emplace(InodeId{at.number()}, *index);
  } else {
    x.chunks_unreadable_too_many = true;
  }
}

Task<Result<>> check_entry(Examination& x, const KeyCursor& at) {
  const InodeId directory{at.number()};
  const Result<volume::EntryValue> entry = volume::unpack_entry(at.value());
  if (!entry) {
    ++x.entries_unreadable;
    x.leave(of_value(at, reason_of(entry.error()), "a directory entry"));
    co_return Result<>{};
  }
  const Result<volume::EntryKey> key = volume::parse_entry_key(at.key());
  if (!key) co_return std::unexpected(key.error());
  const std::string name(key->name);
  Finding finding{
      .rule = Rule::entry_place, .object = directory, .place = fmt::format("entry \"{}\"", printable(name))};
  if (!volume::check_name(name)) {
    finding.found = "what can be no name";
    finding.expected = "a name of at most 255 bytes without / and zero bytes";
    x.leave(std::move(finding));
    co_return Result<>{};
  }
  if (key->hash == volume::name_hash(name)) co_return Result<>{};
  finding.found = fmt::format("it under the hash {:x}", key->hash);
  finding.expected = fmt::format("under {:x}", volume::name_hash(name));
  const std::string right = volume::entry_key(directory, name);
  const Result<std::optional<std::string>> there = co_await x.keys().get(right);
  if (!there) co_return std::unexpected(there.error());
  if (*there) {
    x.leave(std::move(finding));  // there are two of one name
    co_return Result<>{};
  }
  co_return x.mend(std::move(finding), {{at.key(), std::nullopt}, {right, at.value()}});
}

void check_counter_of_group(Examination& x, const KeyCursor& at) {
  const Result<std::uint32_t> group = volume::parse_group_key(at.key());
  if (!group || *group >= x.groups()) {
    x.leave({.rule = Rule::key,
             .place = key_place(at.key()),
             .found = "a group of blocks behind the end of the area",
             .expected = fmt::format("{} groups", x.groups())});
  } else if (const Result<std::uint32_t> free = volume::unpack_u32(at.value()); !free) {
    x.mend_elsewhere(of_value(at, reason_of(free.error()), "a number of free blocks"));
  }
}

/// Locks can be taken again; what keeps a volume from being opened, or stays for ever, goes.
Task<Result<>> check_locks(Examination& x, const KeyCursor& at) {
  const runtime::KeyBatch without{{at.key(), std::nullopt}};
  if (const Result<volume::LocksValue> locks = volume::unpack_locks(at.value()); !locks) {
    co_return x.mend(of_value(at, reason_of(locks.error()), "the advisory locks of a file"), without);
  }
  const Result<std::optional<std::string>> object = co_await x.keys().get(volume::inode_key(InodeId{at.number()}));
  if (!object) co_return std::unexpected(object.error());
  if (*object) co_return Result<>{};
  co_return x.mend({.rule = Rule::locks, .place = key_place(at.key()), .found = "advisory locks of a file that is not there", .expected = "none"},
                   without);
}

Task<Result<>> check_reservation(Examination& x, const KeyCursor& at) {
  if (const Result<volume::Reservation> it = volume::unpack_reservation(at.key(), at.value()); !it) {
    x.leave(of_value(at, reason_of(it.error()), "a reservation"));
    co_return Result<>{};
  }
  const Result<std::optional<std::string>> object = co_await x.keys().get(volume::inode_key(InodeId{at.number()}));
  if (!object) co_return std::unexpected(object.error());
  if (*object) co_return Result<>{};
  Finding finding{.rule = Rule::reservation,
                  .object = InodeId{at.number()},
                  .found = "a reservation of an object that is not there",
                  .expected = "no such reservation"};
  co_return x.mend(std::move(finding), {{at.key(), std::nullopt}});
}

Task<Result<>> check_one(Examination& x, const KeyCursor& at) {
  const std::string& key = at.key();
  if (!well_formed(key)) {
    x.leave({.rule = Rule::key, .place = key_place(key), .found = "a key of no known kind", .expected = "none"});
    co_return Result<>{};
  }
  switch (key[0]) {
    case 'I': check_inode(x, at); break;
    case 'D': co_return co_await check_entry(x, at);
    case 'E': check_chunk(x, at); break;
    case 'X':
      if (key.size() - 9 > volume::kNameBytesMax || at.value().size() > kXattrValueBytesMax)
        x.leave(of_value(at, fmt::format("an attribute of {} bytes", at.value().size()), "a shorter name or value"));
      break;
    case 'R':
      if (const Result<volume::Owner> owner = volume::unpack_owner(at.value()); !owner)
        x.mend_elsewhere(of_value(at, reason_of(owner.error()), "the owner of blocks"));
      break;
    case 'G': check_counter_of_group(x, at); break;
    case 'O':
      if (!at.value().empty()) co_return x.mend(of_value(at, "a value", "none"), {{key, std::string()}});
      break;
    case 'L': co_return co_await check_locks(x, at);
    case 'V': co_return co_await check_reservation(x, at);
    case 'N': {
      const Result<std::uint64_t> bound = volume::unpack_u64(at.value());
      x.inode_bound_known = bound.has_value();
      if (bound) x.inode_bound = *bound;
      if (!bound) x.mend_elsewhere(of_value(at, reason_of(bound.error()), "a number of inodes"));
      break;
    }
    default:
      if (key == volume::kSeqKey && !x.progress_known)
        x.leave(of_value(at, "not readable", "seq, number of objects and next inode number of this site"));
  }
  co_return Result<>{};
}

}  // namespace

Task<Result<>> check_keys(Examination& x) {
  x.begin("every key");
  KeyCursor at = KeyCursor::over_everything(x.keys());
  for (;;) {
    const Result<bool> more = co_await at.next();
    if (!more) co_return std::unexpected(more.error());
    if (!*more) co_return Result<>{};
    if (Result<> checked = co_await check_one(x, at); !checked) co_return checked;
  }
}

}  // namespace lockstep::fsck
