// Each object with its entries, chunks and attributes: four kinds of keys in order of the inode, side by side.
#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "fsck/key_cursor.h"
#include "fsck/object_rules.h"
#include "fsck/phases.h"
#include "volume/acl.h"

namespace lockstep::fsck {
namespace {

using runtime::Task;

constexpr std::uint32_t kDirectoryBits = 0040000;

class Objects {
 public:
  explicit Objects(Examination& x)
      : x_(x), inodes_(x.keys(), 'I'), entries_(x.keys(), 'D'), chunks_(x.keys(), 'E'), xattrs_(x.keys(), 'X') {}

  Task<Result<>> run();

 private:
  /// Counts what belongs to `id`, and goes behind it. Suspends.
  Task<Result<>> gather(std::uint64_t id, ObjectFacts& facts);
  Result<> take_chunk(std::uint64_t id, ObjectFacts& facts);
  Result<> judge(const ObjectFacts& facts);
  void ownerless(std::uint64_t id, const ObjectFacts& facts);

  Examination& x_;
  KeyCursor inodes_, entries_, chunks_, xattrs_;
};

Result<> Objects::take_chunk(std::uint64_t id, ObjectFacts& facts) {
  ++facts.chunks;
  const Result<std::uint32_t> index = volume::parse_chunk_key(chunks_.key());
  const Result<volume::ChunkValue> chunk = volume::unpack_chunk(chunks_.value(), ~std::uint64_t{0});
  if (!index || !chunk) {
    facts.chunks_readable = false;
    return {};
  }
  if (chunk->extents.empty()) {
    const Finding finding{.rule = Rule::chunk,
                          .object = InodeId{id},
                          .place = fmt::format("chunk {}", *index),
                          .found = "a chunk without extents",
                          .expected = "no such chunk"};
    return x_.mend(finding, {{chunks_.key(), std::nullopt}});
  }
  facts.chunk_end = *index + 1;
  facts.generation = std::max(facts.generation, chunk->generation);
  for (const volume::Extent& extent : chunk->extents) facts.blocks += extent.count;
  return {};
}

Task<Result<>> Objects::gather(std::uint64_t id, ObjectFacts& facts) {
  while (entries_.valid() && entries_.number() == id) {
    ++facts.entries;
    const Result<volume::EntryValue> entry = volume::unpack_entry(entries_.value());
    facts.directories += entry && entry->type == kDirectoryBits ? 1 : 0;
    const Result<bool> more = co_await entries_.next();
    if (!more) co_return std::unexpected(more.error());
  }
  while (chunks_.valid() && chunks_.number() == id) {
    if (Result<> taken = take_chunk(id, facts); !taken) co_return taken;
    const Result<bool> more = co_await chunks_.next();
    if (!more) co_return std::unexpected(more.error());
  }
  while (xattrs_.valid() && xattrs_.number() == id) {
    ++facts.xattrs;
    const std::string_view name = volume::parse_xattr_key(xattrs_.key());
    if (name == volume::kAccessAcl) facts.access_acl = xattrs_.value();
    if (name == volume::kDefaultAcl) facts.default_acl = xattrs_.value();
    facts.xattr_bytes += xattrs_.key().size() - 9 + xattrs_.value().size();
    const Result<bool> more = co_await xattrs_.next();
    if (!more) co_return std::unexpected(more.error());
  }
  co_return Result<>{};
}

Result<> Objects::judge(const ObjectFacts& facts) {
  const std::vector<Broken> broken = judge_object(facts);
  if (broken.empty()) return {};
  const InodeId id = facts.inode.id;
  const runtime::KeyBatch right{{volume::inode_key(id), volume::pack_inode(mended(facts))}};
  for (const Broken& it : broken) {
    // An entry that can't be understood may be that of a directory.
    if (it.rule == Rule::directory_links && x_.entries_unreadable > 0) continue;
    Finding finding{.rule = it.rule, .object = id, .found = it.found, .expected = it.expected};
    if (!it.mends) {
      x_.leave(std::move(finding));
    } else if (Result<> done = x_.mend(std::move(finding), right); !done) {
      return done;
    }
  }
  return {};
}

void Objects::ownerless(std::uint64_t id, const ObjectFacts& facts) {
  x_.leave(
      {.rule = Rule::ownerless,
       .place = fmt::format("inode {}", id),
       .found = fmt::format("{} entries, {} parts of an extent map and {} attributes of an object that is not there",
                            facts.entries, facts.chunks, facts.xattrs),
       .expected = "the object"});
}

Task<Result<>> Objects::run() {
  const std::array<KeyCursor*, 4> cursors{&inodes_, &entries_, &chunks_, &xattrs_};
  for (KeyCursor* cursor : cursors) {
    const Result<bool> first = co_await cursor->next();
    if (!first) co_return std::unexpected(first.error());
  }
  for (;;) {
    std::optional<std::uint64_t> next;
    for (const KeyCursor* cursor : cursors) {
      if (cursor->valid()) next = std::min(next.value_or(cursor->number()), cursor->number());
    }
    if (!next) co_return Result<>{};
    const std::uint64_t id = *next;
    ObjectFacts facts;
    if (Result<> gathered = co_await gather(id, facts); !gathered) co_return gathered;
    if (!inodes_.valid() || inodes_.number() != id) {
      ownerless(id, facts);
      continue;
    }
    Result<volume::Inode> inode = volume::unpack_inode(InodeId{id}, inodes_.value());
    if (inode) {
      facts.inode = std::move(*inode);
      if (Result<> judged = judge(facts); !judged) co_return judged;
    }
    const Result<bool> more = co_await inodes_.next();
    if (!more) co_return std::unexpected(more.error());
  }
}

}  // namespace

Task<Result<>> check_objects(Examination& x) {
  x.begin("objects and what belongs to them");
  Objects objects(x);
  co_return co_await objects.run();
}

}  // namespace lockstep::fsck
