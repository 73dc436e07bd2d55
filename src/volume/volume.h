// volume.h - files: inodes, names, extent maps; operations become effects, effects are applied.
//
// The volume plans and applies without suspending: what it needs and memory does not hold is named in a Miss; the caller
// awaits load() of it and asks again. So everything between plan() and apply() is one step that nothing comes between.
//
//   primary:    plan(operation) -> effect          reads, decides, changes nothing
//   every site: apply(effect)                      keys, free space, caches; not the data
//
// Keys (lockstep-format(5)): I inode, D directory entry, E chunk of an extent map, X xattr, R block -> inode, G group of
// blocks, O object without a name, L locks of a file, N next inode number, V reservation; keys that start with a zero byte belong to one
// site.
#pragma once

#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "area/area.h"
#include "core/result.h"
#include "runtime/world.h"
#include "volume/lock_table.h"
#include "volume/reservations.h"
#include "wire/messages.h"

namespace lockstep::volume {

/// Up to `limit` keys with from <= key < to.
struct Range {
  std::string from, to;
  std::size_t limit = 0;
};

/// What must be brought into memory before an answer is possible.
struct Miss {
  std::vector<std::string> keys;
  std::vector<Range> ranges;
  std::vector<std::uint64_t> groups;  ///< of blocks, whose free space is not known yet
  [[nodiscard]] bool empty() const { return keys.empty() && ranges.empty() && groups.empty(); }
};

/// A value, or a Miss, or an Error (Errc::posix: the host's answer).
template <class T>
class [[nodiscard]] Attempt {
 public:
  Attempt(T value) : it_(std::move(value)) {}                                          // NOLINT
  Attempt(Miss miss) : it_(std::move(miss)) {}                                         // NOLINT
  Attempt(Error error) : it_(std::move(error)) {}                                      // NOLINT
  Attempt(std::unexpected<Error> error) : it_(std::move(error.error())) {}             // NOLINT
  [[nodiscard]] T* value() { return std::get_if<T>(&it_); }
  [[nodiscard]] Miss* miss() { return std::get_if<Miss>(&it_); }
  [[nodiscard]] Error* error() { return std::get_if<Error>(&it_); }

 private:
  std::variant<T, Miss, Error> it_;
};

/// A stretch of a file: where it stands in the area, or zeros.
struct Piece {
  std::uint64_t offset = 0;   ///< in the file
  std::uint64_t length = 0;
  std::uint64_t address = 0;  ///< in the area, bytes; meaningless for a hole
  bool hole = false;
};

struct Entry {
  std::string name;
  InodeId inode;
  std::uint32_t type = 0;     ///< the file type bits of st_mode
  std::uint64_t cookie = 0;   ///< list() goes on behind it
};

/// Where an object stands in the tree.
struct Home {
  InodeId directory;          ///< that has a name of it; 0: not known, or it has none
  std::uint32_t type = 0;     ///< the file type bits of st_mode
  std::uint32_t names = 0;
};

struct Statistics {
  std::uint64_t blocks = 0, blocks_free = 0, files = 0;
  bool growth_held = false;  ///< nothing can be made, see hold_growth()
};

/// A planned operation: an effect without seq, epoch and checksums; or only an outcome, when nothing changes.
struct Planned {
  wire::Effect effect;
  bool changes = true;        ///< false: effect.outcome is the whole answer
  bool space_waits = false;   ///< ENOSPC now, but not once the blocks that wait for release() got it
  bool growth_held = false;   ///< ENOSPC because of hold_growth()
};

using wire::Turn;

/// Objects that `effect` leaves without a name, and those without a name that it removes for good.
[[nodiscard]] std::vector<InodeId> orphans_made(const wire::Effect& effect);
[[nodiscard]] std::vector<InodeId> orphans_ended(const wire::Effect& effect);
/// What hosts see of `inode` after `effect`, if that changes it.
[[nodiscard]] std::optional<runtime::HostAttributes> attributes_in(const wire::Effect& effect, InodeId inode);
/// Files whose advisory locks `effect` changes.
[[nodiscard]] std::vector<InodeId> locks_changed(const wire::Effect& effect);
/// The operation that removes `inodes`, which have no name and are open nowhere. Its outcome's value is 1 when some are
/// left (each effect is bounded): ask again.
[[nodiscard]] wire::Operation reap_of(std::span<const InodeId> inodes);

class Volume {
 public:
  virtual ~Volume() = default;

  /// The keys of a new volume (root directory and counters), for format. The same at every site.
  static wire::KeyBatch initial_keys(std::uint64_t blocks);
  /// Reads the counters and applies what the log has and the keys have not. Not while being_replaced(). Suspends.
  static runtime::Task<Result<std::unique_ptr<Volume>>> open(runtime::World& world, area::Area& area);

  /// Seq of the last applied effect that had a batch.
  [[nodiscard]] virtual Seq applied() const = 0;

  /// What is made from now on has this number or a higher one: the next plan at the primary, the next effect elsewhere.
  [[nodiscard]] virtual InodeId next_inode() const = 0;
  /// Effects may have been lost that made objects, which hosts of another site still have in their hands: nothing that is made in `epoch` gets their
  /// numbers. Nor those of what was made in the epoch before and is lost, too: each epoch passes over another part.
  virtual void pass_over_lost_inodes(Epoch epoch) = 0;

  /// Everything that `miss` names. Suspends. Errc::io.
  virtual runtime::Task<Result<>> load(Miss miss) = 0;

  // Reading, at every site. Lazily kept times are included.
  virtual Attempt<runtime::HostAttributes> attributes(InodeId inode) = 0;                       // ESTALE
  virtual Attempt<runtime::HostAttributes> lookup(InodeId directory, std::string_view name) = 0;  // ENOENT
  virtual Attempt<InodeId> parent(InodeId directory) = 0;
  virtual Attempt<Home> home(InodeId inode) = 0;                                                // ESTALE
  /// The stretches of `range` that lie before the end of file, in order and without gaps.
  virtual Attempt<std::vector<Piece>> map(InodeId inode, ByteRange range) = 0;
  /// SEEK_DATA, SEEK_HOLE: ENXIO behind the end.
  virtual Attempt<std::uint64_t> seek(InodeId inode, std::uint64_t offset, bool data) = 0;
  virtual Attempt<std::string> symlink_target(InodeId inode) = 0;
  virtual Attempt<std::string> xattr(InodeId inode, std::string_view name) = 0;                 // ENODATA
  /// Names, each followed by a zero byte. Suspends.
  virtual runtime::Task<Result<std::string>> xattr_names(InodeId inode) = 0;
  /// Entries behind `cookie` (0: from the start; without "." and ".."), at most `limit`. Cookies stay valid whatever
  /// else changes. Suspends.
  virtual runtime::Task<Result<std::vector<Entry>>> list(InodeId directory, std::uint64_t cookie, std::size_t limit) = 0;
  [[nodiscard]] virtual Statistics statistics() const = 0;
  /// Advisory locks, as this site has published them.
  [[nodiscard]] virtual const LockTable& locks() const = 0;

  // Changing.
  // Operations that may take several effects say so in outcome.value, so that none is large:
  //   allocate        bytes done; fewer than asked for: plan the rest (offset + value, length - value)
  //   set_attributes  1: the size is set, space behind it waits for a trim
  //   trim, reap, settle  1: not finished, plan it again
  //   break_locks     how many it took away; above 0: there may be more, plan it again

  /// What `operation` must have exclusive, all at once (R1). None: it conflicts with nothing.
  [[nodiscard]] virtual std::vector<Turn> turns(const wire::Operation& operation) = 0;
  /// What `operation` would change now, at time `now`, asked for at site `asker`. An outcome with an error changes nothing.
  /// Primary only.
  virtual Attempt<Planned> plan(const wire::Operation& operation, WallTime now, SiteId asker = {}) = 0;
  /// While `hold`: plans that would leave more metadata behind (new objects, names, xattrs, extents) give ENOSPC; what only
  /// changes or removes some does not. Some site has no room for more.
  virtual void hold_growth(bool hold) = 0;
  /// What `operation` would change, for comparison with reservations; touched.h. An error (Errc::posix) where plan() gives one.
  virtual Attempt<std::vector<Turn>> touched(const wire::Operation& operation) = 0;
  [[nodiscard]] virtual const Reservations& reservations() const = 0;
  /// Publishes `effect`: reads give the new state. Its data was written before. Freed blocks are not used again before
  /// release(). One with a batch whose seq is not above applied() is in the keys: nothing happens. Errc::io.
  [[nodiscard]] virtual Result<> apply(const wire::Effect& effect) = 0;
  /// Blocks that an applied effect freed may be used again (C3).
  virtual void release(std::span<const BlockRange> freed) = 0;

  /// Objects without a name that `O` keys list, all of them. Suspends.
  virtual runtime::Task<Result<std::vector<InodeId>>> orphans() = 0;
  /// Files whose times are only in memory, at most `limit`.
  [[nodiscard]] virtual std::vector<wire::LazyTimes> unsettled(std::size_t limit) const = 0;

  // Being made equal to another site; raw_keys.h. No host is served, no effect is applied and nothing waits for release()
  // from the first apply_raw() until reload() has succeeded.
  /// Puts `pairs` (shared keys, kCountsKey; without a value: deleted) into the store, past everything kept in memory.
  /// Errc::invalid: another key, nothing changed; Errc::io.
  [[nodiscard]] virtual Result<> apply_raw(const wire::KeyBatch& pairs) = 0;
  /// The keys are those of the source after effect `seq`: writes that down, forgets everything that was in memory (times that
  /// are not settled too) and reads what open() reads. A load under way keeps nothing of what it finds. On an error it is to be
  /// called again. Errc::invalid: kCountsKey was not among the pairs, or is of a later seq. Suspends.
  virtual runtime::Task<Result<>> reload(Seq seq) = 0;
  /// The keys are a mixture: apply_raw() was called, here or before a restart, and reload() has not succeeded since.
  [[nodiscard]] virtual bool being_replaced() const = 0;
};

}  // namespace lockstep::volume
