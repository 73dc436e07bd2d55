// storage.h - the medium of a machine: files in memory, each with what readers see and what is stable.
//
// Crash model. What was written is visible at once and survives the death of the process. When the power goes, each
// sector of 512 bytes that is visible and not stable is lost or kept as the seed has it; in one crash all are lost, in
// another all kept, in another each for itself. The medium may also take a sector at any moment before it is synced, so
// between two writes of one sector the first may become stable (write-back).
// A failed sync leaves what it was to sync unstable, and a later sync may pass over it although it answers well, as
// Linux does: only writing it again helps. (Of mapped files every later sync tries again.)
// Names are stable at once; a file whose create() was interrupted is there, shorter.
#pragma once

#include <cstddef>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "core/result.h"
#include "core/types.h"
#include "sim/prng.h"

namespace lockstep::sim {

class Process;
class Universe;

inline constexpr std::uint64_t kSectorBytes = 512;
inline constexpr std::uint64_t kPageBytes = 4096;

/// Zeroed memory that takes room only where it was written.
class Pages {
 public:
  explicit Pages(std::uint64_t bytes);
  Pages(const Pages&) = delete;
  ~Pages();
  [[nodiscard]] std::byte* data() const { return data_; }
  [[nodiscard]] std::uint64_t bytes() const { return bytes_; }

 private:
  std::uint64_t bytes_;
  std::byte* data_;
};

/// How long things take, how often chance strikes, and what is broken. May be changed at any time.
struct DiskWeather {
  unsigned miss_permille = 200;  ///< try_read() and prepare() would have to wait
  Duration read_min{50'000}, read_max{400'000};
  Duration sync_min{200'000}, sync_max{4'000'000};
  Duration slow{};  ///< added to every wait
  unsigned read_error_permille = 0, write_error_permille = 0, sync_error_permille = 0;
  unsigned write_back_permille = 100;  ///< a sector becomes stable before it is written again
  bool full = false;                   ///< create() answers ENOSPC
};

struct StoredFile {
  StoredFile(std::string n, std::uint64_t bytes);
  std::string name;
  std::uint64_t bytes;             ///< grows while it is created
  std::shared_ptr<Pages> visible;  ///< a mapping is this memory
  std::shared_ptr<Pages> stable;
  bool mapped = false;  ///< since the last loss of power: stores can't be seen, every page may differ
  std::set<const Process*> mapped_by;
  std::set<std::uint64_t> touched;                   ///< pages that were ever written, all of a file that was ever mapped; the others are zero
  std::set<std::uint64_t> dirty;                     ///< pages that were written and may differ
  std::set<std::uint64_t> forsaken;                  ///< pages of a failed sync
  std::map<std::uint64_t, std::uint64_t> synced_by;  ///< page -> number of the last sync that made it stable
  std::vector<ByteRange> unreadable;
};

/// What a sync took up when it was asked for.
struct SyncCopy {
  std::uint64_t number = 0;
  std::map<std::uint64_t, std::vector<std::byte>> pages;
};

class Storage {
 public:
  Storage(Universe& universe, std::string where, Prng prng);

  DiskWeather weather;
  /// Called before the n-th write (counted from 1, over the life of the machine) takes place; may kill the process,
  /// which then has not written.
  std::function<void(std::uint64_t n)> before_write;
  [[nodiscard]] std::uint64_t writes() const { return writes_; }
  [[nodiscard]] std::uint64_t syncs() const { return syncs_; }

  // Faults of a test.
  /// Inverts bytes on the medium and in memory. Requires: the file is there and long enough.
  void corrupt(std::string_view name, ByteRange range);
  /// Reads of `range` answer EIO until it is written again.
  void make_unreadable(std::string_view name, ByteRange range);
  [[nodiscard]] bool has(std::string_view name) const { return files_.find(name) != files_.end(); }
  /// What readers see. Requires: the file is there.
  [[nodiscard]] Bytes peek(std::string_view name) const;
  /// Numbers of its pages that may be something else than zero. Requires: the file is there.
  [[nodiscard]] const std::set<std::uint64_t>& touched(std::string_view name) const;
  /// What would be left if all that can be lost were. Requires: the file is there.
  [[nodiscard]] Bytes peek_stable(std::string_view name) const;

  // For the disks of processes.
  [[nodiscard]] const std::string& where() const { return where_; }
  [[nodiscard]] Prng& prng() { return prng_; }
  [[nodiscard]] Universe& universe() { return universe_; }
  [[nodiscard]] std::map<std::string, std::shared_ptr<StoredFile>, std::less<>>& files() { return files_; }
  /// Errno, or 0. `process` must be alive after before_write for anything to be written.
  int write(Process& process, StoredFile& file, std::uint64_t offset, std::span<const Bytes> parts);
  int read(StoredFile& file, std::uint64_t offset, MutableBytes into);
  [[nodiscard]] SyncCopy begin_sync(StoredFile& file, ByteRange range);
  /// Errno, or 0.
  int end_sync(StoredFile& file, const SyncCopy& copy);
  void write_back(StoredFile& file, ByteRange range);

  [[nodiscard]] const Process* holder() const { return holder_; }
  void set_holder(const Process* p) { holder_ = p; }

  void process_ended(const Process& process);
  void process_died(const Process& process);
  void lose_power();

 private:
  void make_stable(StoredFile& file, std::uint64_t sector);
  [[nodiscard]] std::set<std::uint64_t> unstable_pages(const StoredFile& file) const;

  Universe& universe_;
  std::string where_;
  Prng prng_;
  std::uint64_t writes_ = 0, syncs_ = 0;
  const Process* holder_ = nullptr;
  std::map<std::string, std::shared_ptr<StoredFile>, std::less<>> files_;
};

}  // namespace lockstep::sim
