// draft.h - one operation while it is planned: what was looked at, what is to change.
//
// Inodes and chunks are working copies that live as long as the draft. Nothing outside the draft changes; finish()
// makes the effect of it. A draft that met something which memory does not hold, or damaged metadata, is given up: `miss`
// or `damage` says why; plans go on as far as they can, to name all that they miss.
//
// Stale chunks. Making a huge file short sets its size at once, raises its generation and adds a cut: chunks behind it
// that were stored with an earlier generation are holes to everybody, and their blocks are given back by a trim, or when
// the chunk is first changed.
//
// The end of file. Blocks at or behind it are never read, whatever their extent says; the bytes behind it in its block
// are zeros. Blocks that are taken ahead of it are marked written, so that an append into them leaves the extent map alone;
// they are given back (give_back_ahead) before the end moves over them in any other way.
#pragma once

#include <list>
#include <optional>
#include <string_view>

#include "volume/extent_map.h"
#include "volume/state.h"

namespace lockstep::volume {

/// Why a plan can't go on: an errno for the host, or 0: see Draft::miss and Draft::damage.
struct Halt {
  int error = 0;
};
template <class T = void>
using Step = std::expected<T, Halt>;

inline std::unexpected<Halt> refuse(int error) { return std::unexpected(Halt{error}); }

/// So many chunks are looked up one by one; more are scanned.
inline constexpr std::uint32_t kChunksPeeked = 16;
/// At most this many chunks and extents are taken apart by one effect.
inline constexpr std::uint32_t kChunksPerEffect = 256;
inline constexpr std::size_t kExtentsPerEffect = 16384;

/// What hosts see of `inode`.
runtime::HostAttributes attributes_of(const Inode& inode);
/// A chunk of `file` that was stored with `generation` is a hole, see above.
bool is_stale(const Inode& file, std::uint32_t chunk, std::uint32_t generation);
/// Blocks that hold `bytes`.
constexpr std::uint64_t blocks_for(std::uint64_t bytes) { return (bytes + kBlockBytes - 1) / kBlockBytes; }

class Draft {
 public:
  Draft(State& state, WallTime now, SiteId asker = {}) : state(state), now(now), asker(asker) {}
  Draft(const Draft&) = delete;

  struct Object : Inode {
    enum class Fate : std::uint8_t { same, changed, removed } fate = Fate::same;
    void change() { fate = Fate::changed; }
  };
  struct Chunk {
    InodeId inode;
    std::uint32_t index = 0;
    ExtentMap map;
    std::vector<Extent> stored;     ///< as its E key has it, stale or not: what the R keys say
    std::vector<BlockRange> stale;  ///< blocks of a stale chunk, to be freed with the first change
    bool present = false;           ///< has an E key
    bool changed = false;
    /// First block of the file.
    [[nodiscard]] std::uint64_t base() const { return std::uint64_t{index} * kChunkBlocks; }
  };

  // Looking. ESTALE: no such inode.
  Step<Object*> inode(InodeId id);
  /// Nullopt: no such name.
  Step<std::optional<EntryValue>> entry(InodeId directory, std::string_view name);
  Step<Chunk*> chunk(const Object& file, std::uint32_t index);
  Step<std::optional<std::string>> xattr(InodeId inode, std::string_view name);
  /// Chunks of `file` in [first, end) that exist, some of them, in order. False: there are more behind them.
  Step<bool> chunks(const Object& file, std::uint32_t first, std::uint32_t end, std::vector<Chunk*>& found);
  Step<KnownKeys::Scanned> scan(KeySpan span, std::size_t limit);

  // Changing.
  /// A new object, with the times `now`.
  Object* make(std::uint32_t mode);
  /// The object goes: its I, O and V keys too.
  void remove(Object& object);
  void put(std::string key, std::string value) { batch_.push_back({std::move(key), std::move(value)}); }
  void erase(std::string key) { batch_.push_back({std::move(key), std::nullopt}); }
  /// Takes `blocks` from free space, near `goal` if there is one. Halt ENOSPC.
  Step<std::vector<BlockRange>> take(std::uint64_t blocks, std::optional<std::uint64_t> goal);
  /// Says that `chunk` of `file` is about to change.
  void touch(Object& file, Chunk& chunk);
  /// Maps blocks (numbered in the chunk). Requires: touched, a hole.
  void insert(Object& file, Chunk& chunk, const Extent& extent);
  /// Gives back what is mapped of blocks [from, to) of the chunk.
  void cut(Object& file, Chunk& chunk, std::uint32_t from, std::uint32_t to);
  /// Gives back the blocks ahead of the end of `file`.
  Step<> give_back_ahead(Object& file);

  void drop_attributes(InodeId inode) { drops_.push_back({wire::Drop::Kind::attributes, inode, {}, {}}); }
  void drop_listing(InodeId inode) { drops_.push_back({wire::Drop::Kind::listing, inode, {}, {}}); }
  void drop_pages(InodeId inode, ByteRange range) { drops_.push_back({wire::Drop::Kind::pages, inode, range, {}}); }
  void drop_name(InodeId directory, std::string_view name) {
    drops_.push_back({wire::Drop::Kind::name, directory, {}, std::string(name)});
  }

  /// The effect of all that, with the attributes of `about` (null: none) in its outcome.
  Planned finish(wire::Outcome outcome, const Object* about);
  /// Nothing changes; the outcome is the answer.
  static Planned answer(wire::Outcome outcome, const Object* about);

  State& state;
  const WallTime now;
  const SiteId asker;  ///< the site whose request it is
  Miss miss;
  std::optional<Error> damage;
  bool space_waits = false;
  std::vector<wire::AreaWrite> writes;
  wire::LazyTimes times;
  std::vector<ByteRange> sync;
  bool sync_all = false;

 private:
  Step<const std::string*> look(std::string key);
  Step<Chunk*> open_chunk(const Object& file, std::uint32_t index, const std::string* value);
  void count(BlockRange blocks, std::int64_t sign);
  void finish_chunk(const Chunk& chunk);

  std::list<Object> objects_;
  std::list<Chunk> chunks_;
  runtime::KeyBatch batch_;
  std::vector<wire::Drop> drops_;
  std::vector<BlockRange> allocated_, freed_;
  std::map<std::uint32_t, std::int64_t> group_change_;  // in free blocks
  bool made_ = false;
};

}  // namespace lockstep::volume
