// suspects.h - which parts of an area may differ at the other site, or may not be stable here (C1, C6).
//
// One bit for each granule of 4 MiB, in the file `suspect`:
//
//   clear --- mark() ---> being marked --- stable ---> suspect --- clear() ---> clear
//             (set in memory)           (may be written)
//
//   (1) A granule is written only while its bit is set on the medium: cover() says so, Area::write() insists on it.
//   (2) A bit is cleared only if a sync of the whole area that began after the granule's last touch has ended well.
//       Who calls clear() promises the rest of C6: the blocks are equal and stable at the other site.
//   (3) A bit too many is harmless: clearing becomes stable when something else is.
//
// The granules touched last stay suspect, so a steady writer over as many costs no sync. Whoever goes on behind a suspect granule probably
// writes what follows as well: some of that is marked with it, and more of it before the stream comes to its end (runs_out()), so that a stream
// waits only where it begins.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "core/result.h"
#include "core/types.h"
#include "runtime/task.h"

namespace lockstep::area {

inline constexpr std::uint64_t kGranuleBytes = 4u << 20;
inline constexpr std::uint64_t kGranuleBlocks = kGranuleBytes / kBlockBytes;
/// So many granules touched last are not offered for clearing: 16 GiB that are written steadily.
inline constexpr std::size_t kKeptGranules = 4096;

/// So many granules behind one that becomes suspect become so with it, if the one before it was: 128 MiB.
inline constexpr std::uint64_t kMarkedAhead = 32;

class Suspects {
 public:
  virtual ~Suspects() = default;
  /// Of the area; the last one may have fewer blocks.
  [[nodiscard]] virtual std::uint64_t granules() const = 0;
  /// May differ at the other site, be it stable here or not. Requires: granule < granules().
  [[nodiscard]] virtual bool suspect(std::uint64_t granule) const = 0;
  /// All granules that `blocks` touch are suspect on the medium: until this coroutine suspends they may be written. Also notes
  /// them as touched now. False: await mark() and ask again; so for blocks that are not in the area.
  [[nodiscard]] virtual bool cover(std::span<const BlockRange> blocks) = 0;
  /// Makes the bits of the granules of `blocks` stable; several callers at once share one sync. Errc::io; Errc::invalid: blocks
  /// outside the area. Suspends.
  virtual runtime::Task<Result<>> mark(std::vector<BlockRange> blocks) = 0;
  /// What was marked ahead of a stream comes to its end, which is no further than kMarkedAhead / 2 granules: mark_ahead() now, and the stream
  /// need not wait.
  [[nodiscard]] virtual bool runs_out() const = 0;
  /// Marks more of what lies ahead of the stream that was touched last. Errc::io. Suspends.
  virtual runtime::Task<Result<>> mark_ahead() = 0;
  /// All of the area: it is blank or unproven. Errc::io. Suspends.
  virtual runtime::Task<Result<>> mark_all() = 0;
  /// Granules that may be offered for clearing now: suspect, and not among the kKeptGranules touched last unless `all`; at most
  /// `limit`, another part of the area each time. Begins a round: touches from now on are remembered.
  [[nodiscard]] virtual std::vector<std::uint64_t> begin_clearing(std::size_t limit, bool all) = 0;
  /// Clears those of `granules` that were not touched since begin_clearing() here, nor since the last sync of the whole area
  /// that ended well began (at a site that did not begin a round that alone counts). Lazily stable: a set bit too many is
  /// harmless. What was marked ahead of a stream and not touched since is cleared as well. A round lasts until the first sync of the whole area after its first clear(). Errc::invalid: no such granule,
  /// nothing was cleared; Errc::io: the area has failed. Suspends.
  virtual runtime::Task<Result<>> clear(std::vector<std::uint64_t> granules) = 0;
  /// Suspect granules.
  [[nodiscard]] virtual std::uint64_t count() const = 0;
  /// Bits of `count` granules from `first` on, 8 in a byte, the lowest first, as the wire message Suspects has them.
  /// Requires: first + count <= granules().
  [[nodiscard]] virtual std::string bits(std::uint64_t first, std::uint64_t count) const = 0;

  struct Counters {
    std::uint64_t marks = 0;    ///< granules that became suspect
    std::uint64_t syncs = 0;    ///< of the file, for them
    std::uint64_t cleared = 0;  ///< granules
  };
  [[nodiscard]] virtual const Counters& counters() const = 0;
};

/// The granules that `blocks` touch. Requires: blocks.count > 0.
constexpr std::uint64_t first_granule(BlockRange blocks) { return blocks.first / kGranuleBlocks; }
constexpr std::uint64_t end_granule(BlockRange blocks) { return (blocks.end() - 1) / kGranuleBlocks + 1; }

}  // namespace lockstep::area
