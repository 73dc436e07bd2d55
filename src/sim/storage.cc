#include "sim/storage.h"

#include <sys/mman.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "core/check.h"
#include "core/checksum.h"
#include "sim/process.h"

namespace lockstep::sim {
namespace {

std::uint64_t pages_of(std::uint64_t bytes) { return (bytes + kPageBytes - 1) / kPageBytes; }

void erase_range(std::vector<ByteRange>& ranges, ByteRange gone) {
  std::vector<ByteRange> left;
  for (const ByteRange& r : ranges) {
    if (r.offset < gone.offset) left.push_back({r.offset, std::min(r.end(), gone.offset) - r.offset});
    if (r.end() > gone.end()) {
      const std::uint64_t from = std::max(r.offset, gone.end());
      left.push_back({from, r.end() - from});
    }
  }
  ranges = std::move(left);
}

bool same_page(const StoredFile& file, std::uint64_t page) {
  return std::memcmp(file.visible->data() + page * kPageBytes, file.stable->data() + page * kPageBytes, kPageBytes) ==
         0;
}

}  // namespace

Pages::Pages(std::uint64_t bytes) : bytes_(std::max<std::uint64_t>(pages_of(bytes), 1) * kPageBytes) {
  void* p = ::mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  CHECK(p != MAP_FAILED);
  data_ = static_cast<std::byte*>(p);
}

Pages::~Pages() { ::munmap(data_, bytes_); }

StoredFile::StoredFile(std::string n, std::uint64_t size)
    : name(std::move(n)), bytes(size), visible(std::make_shared<Pages>(size)), stable(std::make_shared<Pages>(size)) {}

Storage::Storage(Universe& universe, std::string where, Prng prng)
    : universe_(universe), where_("simulated disk of " + where), prng_(prng) {}

void Storage::corrupt(std::string_view name, ByteRange range) {
  const auto it = files_.find(name);
  CHECK(it != files_.end() && range.end() <= it->second->bytes);
  for (std::uint64_t i = range.offset; i < range.end(); ++i) {
    it->second->touched.insert(i / kPageBytes);
    it->second->visible->data()[i] ^= std::byte{0xFF};
    it->second->stable->data()[i] ^= std::byte{0xFF};
  }
}

void Storage::make_unreadable(std::string_view name, ByteRange range) {
  const auto it = files_.find(name);
  CHECK(it != files_.end());
  it->second->unreadable.push_back(range);
}

Bytes Storage::peek(std::string_view name) const {
  const auto it = files_.find(name);
  CHECK(it != files_.end());
  return {it->second->visible->data(), it->second->bytes};
}

Bytes Storage::peek_stable(std::string_view name) const {
  const auto it = files_.find(name);
  CHECK(it != files_.end());
  return {it->second->stable->data(), it->second->bytes};
}

const std::set<std::uint64_t>& Storage::touched(std::string_view name) const {
  const auto it = files_.find(name);
  CHECK(it != files_.end());
  return it->second->touched;
}

void Storage::make_stable(StoredFile& file, std::uint64_t sector) {
  std::memcpy(file.stable->data() + sector * kSectorBytes, file.visible->data() + sector * kSectorBytes, kSectorBytes);
}

int Storage::write(Process& process, StoredFile& file, std::uint64_t offset, std::span<const Bytes> parts) {
  ++writes_;
  if (before_write && process.alive()) before_write(writes_);
  if (!process.alive()) return 0;
  std::uint64_t length = 0;
  for (const Bytes part : parts) length += part.size();
  CHECK(offset + length <= file.bytes);

  std::uint64_t allowed = length;
  const bool failed = prng_.chance(weather.write_error_permille);
  if (failed) allowed = prng_.below(length / kSectorBytes + 1) * kSectorBytes;
  if (allowed == 0) return failed ? EIO : 0;

  const std::uint64_t end = offset + allowed;
  for (std::uint64_t page = offset / kPageBytes; page * kPageBytes < end; ++page) {
    file.touched.insert(page);
    if (file.dirty.insert(page).second || !prng_.chance(weather.write_back_permille)) continue;
    const std::uint64_t sectors_per_page = kPageBytes / kSectorBytes;
    for (std::uint64_t i = 0; i < sectors_per_page; ++i) {
      if (prng_.chance(500)) make_stable(file, page * sectors_per_page + i);
    }
  }
  std::uint64_t at = offset;
  for (const Bytes part : parts) {
    const std::uint64_t n = std::min<std::uint64_t>(part.size(), end - at);
    if (n != 0) std::memcpy(file.visible->data() + at, part.data(), n);
    at += n;
  }
  for (std::uint64_t page = offset / kPageBytes; page * kPageBytes < end; ++page) file.forsaken.erase(page);
  erase_range(file.unreadable, {offset, allowed});
  universe_.note(offset ^ checksum({file.visible->data() + offset, allowed}));
  return failed ? EIO : 0;
}

int Storage::read(StoredFile& file, std::uint64_t offset, MutableBytes into) {
  CHECK(offset + into.size() <= file.bytes);
  for (const ByteRange& bad : file.unreadable) {
    if (bad.offset < offset + into.size() && offset < bad.end()) return EIO;
  }
  if (prng_.chance(weather.read_error_permille)) return EIO;
  if (!into.empty()) std::memcpy(into.data(), file.visible->data() + offset, into.size());
  return 0;
}

std::set<std::uint64_t> Storage::unstable_pages(const StoredFile& file) const {
  std::set<std::uint64_t> pages;
  if (!file.mapped) {
    for (const std::uint64_t page : file.dirty) {
      if (!same_page(file, page)) pages.insert(page);
    }
    return pages;
  }
  for (std::uint64_t page = 0; page < pages_of(file.bytes); ++page) {
    if (!same_page(file, page)) pages.insert(page);
  }
  return pages;
}

SyncCopy Storage::begin_sync(StoredFile& file, ByteRange range) {
  CHECK(range.end() <= file.bytes);
  SyncCopy copy;
  copy.number = ++syncs_;
  if (range.empty()) return copy;
  const auto take = [&](std::uint64_t page) {
    const std::byte* from = file.visible->data() + page * kPageBytes;
    copy.pages.emplace(page, std::vector<std::byte>(from, from + kPageBytes));
  };
  const std::uint64_t first = range.offset / kPageBytes;
  const std::uint64_t last = (range.end() - 1) / kPageBytes;
  if (file.mapped) {
    for (std::uint64_t page = first; page <= last; ++page) {
      if (!same_page(file, page) || file.dirty.contains(page)) take(page);
    }
  } else {
    for (auto it = file.dirty.lower_bound(first); it != file.dirty.end() && *it <= last; ++it) take(*it);
  }
  return copy;
}

int Storage::end_sync(StoredFile& file, const SyncCopy& copy) {
  const bool failed = prng_.chance(weather.sync_error_permille);
  for (const auto& [page, bytes] : copy.pages) {
    if (!file.mapped && file.forsaken.contains(page)) continue;
    if (failed && prng_.chance(500)) {
      if (!file.mapped) file.forsaken.insert(page);
      continue;
    }
    // A sync that was asked for later and ended earlier had the newer bytes.
    auto& by = file.synced_by[page];
    if (by > copy.number) continue;
    by = copy.number;
    std::memcpy(file.stable->data() + page * kPageBytes, bytes.data(), kPageBytes);
    if (same_page(file, page)) file.dirty.erase(page);
  }
  return failed ? EIO : 0;
}

void Storage::write_back(StoredFile& file, ByteRange range) {
  if (range.empty()) return;
  for (std::uint64_t sector = range.offset / kSectorBytes; sector * kSectorBytes < range.end(); ++sector) {
    if (prng_.chance(500)) make_stable(file, sector);
  }
}

void Storage::process_ended(const Process& process) {
  if (holder_ == &process) holder_ = nullptr;
  for (auto& [name, file] : files_) file->mapped_by.erase(&process);
}

void Storage::process_died(const Process& process) {
  if (holder_ == &process) holder_ = nullptr;
  // The dead may still store into its mappings before it stops: from here on that is no longer the file.
  for (auto& [name, file] : files_) {
    if (file->mapped_by.erase(&process) == 0) continue;
    auto fresh = std::make_shared<Pages>(file->bytes);
    for (std::uint64_t page = 0; page < pages_of(file->bytes); ++page) {
      const std::byte* from = file->visible->data() + page * kPageBytes;
      if (std::any_of(from, from + kPageBytes, [](std::byte b) { return b != std::byte{}; })) {
        std::memcpy(fresh->data() + page * kPageBytes, from, kPageBytes);
      }
    }
    file->visible = std::move(fresh);
  }
}

void Storage::lose_power() {
  enum class Mode { all_lost, all_kept, by_page, by_sector };
  for (auto& [name, file] : files_) {
    const auto mode = static_cast<Mode>(prng_.below(4));
    const std::uint64_t sectors_per_page = kPageBytes / kSectorBytes;
    for (const std::uint64_t page : unstable_pages(*file)) {
      const bool page_kept = prng_.chance(500);
      for (std::uint64_t i = 0; i < sectors_per_page; ++i) {
        const bool kept = mode == Mode::all_kept || (mode == Mode::by_page && page_kept) ||
                          (mode == Mode::by_sector && prng_.chance(500));
        if (kept) make_stable(*file, page * sectors_per_page + i);
      }
      std::memcpy(file->visible->data() + page * kPageBytes, file->stable->data() + page * kPageBytes, kPageBytes);
    }
    file->dirty.clear();
    file->forsaken.clear();
    file->mapped = false;
    for (const std::uint64_t page : file->touched) universe_.note(page ^ checksum({file->visible->data() + page * kPageBytes, kPageBytes}));
  }
}

}  // namespace lockstep::sim
