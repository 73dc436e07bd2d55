#include "resync/keep_aside.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <map>
#include <set>

namespace lockstep::resync {
namespace {

using runtime::Task;
using volume::Piece;

constexpr std::uint64_t kBytesAtOnce = 1u << 20;
constexpr std::uint64_t kObjectBytes = 2 * kBlockBytes;  // what a file takes besides its blocks, about
constexpr std::size_t kRangesNamed = 16;
constexpr char kFiles[] = "files";

/// The answer to `ask`, once memory has what it needs. Suspends.
template <class Ask>
auto answer(volume::Volume& volume, Ask ask) -> Task<Result<std::remove_reference_t<decltype(*ask().value())>>> {
  for (;;) {
    auto attempt = ask();
    if (auto* value = attempt.value()) co_return std::move(*value);
    if (Error* error = attempt.error()) co_return std::unexpected(std::move(*error));
    const Result<> loaded = co_await volume.load(std::move(*attempt.miss()));
    if (!loaded) co_return std::unexpected(loaded.error());
  }
}

/// The medium that things are copied to takes no more: going on is useless.
bool ends_all(const Error& error) {
  return error.code == Errc::stopped ||
         (error.code == Errc::io && (error.posix == ENOSPC || error.posix == EDQUOT || error.posix == EIO || error.posix == EROFS));
}

std::string text_of(const Error& error) {
  return error.text.empty() ? fmt::format("error {} of the volume", error.posix) : error.text;
}

/// Parts of a file that can't be read.
class Unreadable {
 public:
  void add(std::uint64_t offset, std::uint64_t length) {
    if (!ranges_.empty() && ranges_.back().end() == offset) {
      ranges_.back().length += length;
    } else if (ranges_.size() < kRangesNamed) {
      ranges_.push_back({offset, length});
    }
    bytes_ += length;
  }
  [[nodiscard]] std::uint64_t bytes() const { return bytes_; }
  [[nodiscard]] std::string text() const {
    std::string list;
    for (const ByteRange& range : ranges_) list += fmt::format("{}{}-{}", list.empty() ? "" : ",", range.offset, range.end() - 1);
    return fmt::format("unreadable={} bytes={}", bytes_, list);
  }

 private:
  std::vector<ByteRange> ranges_;
  std::uint64_t bytes_ = 0;
};

class Copy {
 public:
  Copy(KeepSource source, runtime::AsideTree& tree, const NextChanges& changes, const KeepOptions& options, const std::function<bool()>& ends, Kept& kept)
      : source_(source), tree_(tree), changes_(changes), options_(options), ends_(ends), kept_(kept), buffer_(kBytesAtOnce) {}

  Task<Result<>> run(ChangesSince part) {
    for (const std::string& line : options_.heading) lines_ += "# " + escaped(line) + "\n";
    if (!part.complete) lines_ += "# INCOMPLETE: the log lost the first changes\n";
    Result<> done = co_await tree_.make_directory(kFiles);
    directories_.emplace("", kRootInode);
    while (done) {
      done = co_await keep_part(part.changes);
      if (!done || !part.next) break;
      const InodeId from = *part.next;
      part = {};  // not two of them at once
      Result<ChangesSince> next = co_await changes_(from);
      if (next) part = std::move(*next);
      else done = std::unexpected(next.error());
    }
    if (done) done = co_await copy_directories();
    lines_ += fmt::format("# {} changes\n", kept_.changes);
    if (done) done = co_await write_lines();
    co_return done;
  }

 private:
  Task<Result<>> keep_part(const std::vector<Change>& changes) {
    kept_.of += changes.size();
    Result<> done = co_await check_room(changes);
    for (std::size_t i = 0; done && i < changes.size(); ++i) {
      done = co_await keep(changes[i]);
      if (done) ++kept_.changes;
      if (done && lines_.size() >= kBytesAtOnce) done = co_await write_lines();
    }
    names_.clear();  // all names of an object are in one part
    if (done) done = co_await write_lines();
    co_return done;
  }

  Task<Result<>> copy_directories() {
    // Making something in a directory changes its times, so they come last, from the leaves to the root.
    for (auto at = directories_.rbegin(); at != directories_.rend(); ++at) {
      const Result<> done = co_await copy_attributes(kFiles + at->first, at->second);
      if (!done && (ends_all(done.error()) || !options_.partly)) co_return done;
      if (!done) ++kept_.lost;
      if (!done) lines_ += fmt::format("attributes\tlost\t{}\t{}\t{}\n", at->second.value, escaped(at->first + "/"), escaped(text_of(done.error())));
    }
    co_return Result<>{};
  }

  /// An answer early, where the room does not suffice by far; the writes say it exactly.
  Task<Result<>> check_room(const std::vector<Change>& changes) {
    std::uint64_t needed = kObjectBytes;
    std::set<InodeId> counted;
    for (const Change& change : changes) {
      needed += kBlockBytes / 8 + change.path.size();
      if (change.inode == kNoInode || !counted.insert(change.inode).second) continue;
      const Result<runtime::HostAttributes> attributes = co_await answer(source_.volume, [&] { return source_.volume.attributes(change.inode); });
      if (attributes) needed += attributes->blocks * 512 + kObjectBytes;
      if (ends_()) co_return fail(Errc::stopped, "it was interrupted");
    }
    const Result<runtime::AsideRoom> room = co_await tree_.room();
    if (!room) co_return std::unexpected(room.error());
    const std::uint64_t kept_free = room->of_area ? options_.area_needs : 0;
    if (room->free >= kept_free && room->free - kept_free >= needed) co_return Result<>{};
    co_return fail_io(ENOSPC, fmt::format("there is no room in {}: about {} bytes are needed and {} are free{}", options_.directory, needed, room->free,
                                          kept_free > 0 ? fmt::format(", of which {} have to be left for the metadata of this site", kept_free) : ""));
  }

  Task<Result<>> keep(const Change& change) {
    if (ends_()) co_return fail(Errc::stopped, "it was interrupted");
    if (change.what == Change::What::removed) {
      lines_ += fmt::format("{}\t-\t-\t{}\t{}\n", name_of(change.what), escaped(change.path), change.in_log ? "" : "not_in_log");
      co_return Result<>{};
    }
    note_ = change.in_log ? "" : "not_in_log";
    damaged_ = false;
    const Result<> copied = co_await copy_object(change);
    if (!copied) {
      const Error& error = copied.error();
      if (ends_all(error)) co_return copied;
      if (!options_.partly) co_return fail(Errc::refused, fmt::format("{} can't be kept: {}", escaped(change.path), text_of(error)));
      ++kept_.lost;
      add_note(text_of(error));
    } else {
      ++kept_.objects;
      if (damaged_) ++kept_.damaged;
    }
    lines_ += fmt::format("{}\t{}\t{}\t{}\t{}\n", name_of(change.what), !copied ? "lost" : damaged_ ? "damaged" : "kept", change.inode.value,
                          escaped(change.path), escaped(note_));
    co_return Result<>{};
  }

  void add_note(const std::string& text) { note_ += (note_.empty() ? "" : "; ") + text; }

  Task<Result<>> copy_object(const Change& change) {
    if (!change.path.starts_with('/')) co_return fail(Errc::invalid, "its directory is not reached from the root");
    if (change.inode == kRootInode) co_return Result<>{};  // there already
    const Result<> above = co_await make_above(change.path);
    if (!above) co_return above;
    if (directories_.contains(change.path)) co_return Result<>{};
    const Result<runtime::HostAttributes> found = co_await answer(source_.volume, [&] { return source_.volume.attributes(change.inode); });
    if (!found) co_return std::unexpected(found.error());
    const std::string path = kFiles + change.path;
    if (found->links > 1 && !S_ISDIR(found->mode)) {
      const auto [at, first] = names_.emplace(change.inode, path);
      if (!first) co_return co_await tree_.make_link(at->second, path);
    }
    Result<> made;
    switch (found->mode & S_IFMT) {
      case S_IFDIR:
        made = co_await tree_.make_directory(path);
        if (made) directories_.emplace(change.path, change.inode);
        co_return made;
      case S_IFREG: made = co_await copy_file(change.inode, found->size, path); break;
      case S_IFLNK: {
        Result<std::string> target = co_await answer(source_.volume, [&] { return source_.volume.symlink_target(change.inode); });
        if (!target) co_return std::unexpected(target.error());
        made = co_await tree_.make_symlink(path, std::move(*target));
        break;
      }
      default: made = co_await tree_.make_node(path, found->mode, found->rdev); break;
    }
    if (!made) names_.erase(change.inode);
    if (!made) co_return made;
    co_return co_await copy_attributes(path, change.inode);
  }

  /// The directories above `path`, as far as they are not there.
  Task<Result<>> make_above(const std::string& path) {
    InodeId above = kRootInode;
    for (std::size_t from = 1, end = path.find('/', from); end != path.npos; from = end + 1, end = path.find('/', from)) {
      const std::string directory = path.substr(0, end);
      if (const auto known = directories_.find(directory); known != directories_.end()) {
        above = known->second;
        continue;
      }
      const std::string name = path.substr(from, end - from);
      const Result<runtime::HostAttributes> found = co_await answer(source_.volume, [&] { return source_.volume.lookup(above, name); });
      if (!found) co_return std::unexpected(found.error());
      const Result<> made = co_await tree_.make_directory(kFiles + directory);
      if (!made) co_return made;
      above = found->inode;
      directories_.emplace(directory, above);
    }
    co_return Result<>{};
  }

  Task<Result<>> copy_attributes(std::string path, InodeId inode) {
    const Result<runtime::HostAttributes> found = co_await answer(source_.volume, [&] { return source_.volume.attributes(inode); });
    if (!found) co_return std::unexpected(found.error());
    runtime::AsideAttributes attributes{.mode = found->mode, .uid = found->uid, .gid = found->gid, .atime = found->atime, .mtime = found->mtime, .xattrs = {}};
    const Result<std::string> names = co_await source_.volume.xattr_names(inode);
    if (!names) co_return std::unexpected(names.error());
    for (std::size_t from = 0, end = names->find('\0'); end != names->npos; from = end + 1, end = names->find('\0', from)) {
      std::string name = names->substr(from, end - from);
      Result<std::string> value = co_await answer(source_.volume, [&] { return source_.volume.xattr(inode, name); });
      if (!value) co_return std::unexpected(value.error());
      attributes.xattrs.emplace_back(std::move(name), std::move(*value));
    }
    const Result<std::size_t> not_taken = co_await tree_.set_attributes(std::move(path), std::move(attributes));
    if (!not_taken) co_return std::unexpected(not_taken.error());
    kept_.xattrs += *not_taken;
    if (*not_taken > 0) add_note(fmt::format("xattrs_not_taken={}", *not_taken));
    co_return Result<>{};
  }

  Task<Result<>> copy_file(InodeId inode, std::uint64_t size, std::string path) {
    Result<> done = co_await tree_.make_file(std::move(path));
    Unreadable unreadable;
    for (std::uint64_t at = 0; done && at < size;) {
      const Result<std::uint64_t> data = co_await answer(source_.volume, [&] { return source_.volume.seek(inode, at, true); });
      if (!data && data.error().code == Errc::posix && data.error().posix == ENXIO) break;
      if (!data) co_return std::unexpected(data.error());
      const ByteRange range{*data, std::min(kBytesAtOnce, size - *data)};
      const Result<std::vector<Piece>> pieces = co_await answer(source_.volume, [&] { return source_.volume.map(inode, range); });
      if (!pieces) co_return std::unexpected(pieces.error());
      for (const Piece& piece : *pieces) {
        if (!piece.hole && done) done = co_await copy_piece(piece, unreadable);
      }
      at = range.end();
      if (ends_()) co_return fail(Errc::stopped, "it was interrupted");
    }
    if (done) done = co_await tree_.set_size(size);
    damaged_ = unreadable.bytes() > 0;
    if (damaged_) add_note(unreadable.text());
    co_return done;
  }

  /// Requires: it begins with a block and is not longer than the buffer.
  Task<Result<>> copy_piece(Piece piece, Unreadable& unreadable) {
    const BlockRange blocks{piece.address / kBlockBytes, (piece.length + kBlockBytes - 1) / kBlockBytes};
    const MutableBytes into = MutableBytes(buffer_).first(blocks.count * kBlockBytes);
    const Result<> read = co_await source_.area.read(blocks, into);
    if (read) co_return co_await write({piece.offset, piece.length}, into);
    Result<std::vector<bool>> bad = co_await source_.area.check(blocks, into);
    if (!bad) bad = std::vector<bool>(blocks.count, true);
    for (std::uint64_t i = 0; i < blocks.count; ++i) {
      const ByteRange part{piece.offset + i * kBlockBytes, std::min(kBlockBytes, piece.length - i * kBlockBytes)};
      const MutableBytes bytes = into.subspan(i * kBlockBytes, kBlockBytes);
      if ((*bad)[i] && !co_await mended({blocks.first + i, 1}, bytes)) {
        unreadable.add(part.offset, part.length);
        continue;
      }
      const Result<> written = co_await write(part, bytes);
      if (!written) co_return written;
    }
    co_return Result<>{};
  }

  Task<bool> mended(BlockRange block, MutableBytes into) {
    const Result<> repaired = co_await source_.changes.repair(block);
    if (!repaired) co_return false;
    const Result<> read = co_await source_.area.read(block, into);
    co_return read.has_value();
  }

  Task<Result<>> write(ByteRange range, MutableBytes from) {
    const Result<> written = co_await tree_.write(range.offset, from.first(range.length));
    if (written) kept_.bytes += range.length;
    co_return written;
  }

  Task<Result<>> write_lines() {
    const Result<> written = co_await tree_.append("changes", std::as_bytes(std::span(lines_)));
    lines_.clear();
    co_return written;
  }

  KeepSource source_;
  runtime::AsideTree& tree_;
  const NextChanges& changes_;
  const KeepOptions& options_;
  const std::function<bool()>& ends_;
  Kept& kept_;
  std::vector<std::byte> buffer_;
  std::map<std::string, InodeId> directories_;  // that are there, by path; the root: ""
  std::map<InodeId, std::string> names_;        // of objects with several in this part: the first that is there
  std::string lines_;                           // of the list, not written yet
  std::string note_;                            // of the change in work
  bool damaged_ = false;
};

}  // namespace

std::string escaped(std::string_view text) {
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '\\') out += "\\\\";
    else if (c == '\n') out += "\\n";
    else if (c == '\t') out += "\\t";
    else if (byte < 0x20 || byte == 0x7f) out += fmt::format("\\x{:02x}", byte);
    else out += c;
  }
  return out;
}

Task<Result<>> keep_aside(KeepSource source, runtime::Aside& aside, NextChanges changes, KeepOptions options, std::function<bool()> ends, Kept& so_far) {
  so_far = {};
  Result<ChangesSince> first = co_await changes(kNoInode);
  if (!first) co_return std::unexpected(first.error());
  if (!options.partly && !first->complete) {
    co_return fail(Errc::refused, "the list of changes is incomplete: the log lost the first of them, so that files which were changed early are unknown");
  }
  const Result<std::unique_ptr<runtime::AsideTree>> tree = co_await aside.begin(options.directory, options.partial);
  if (!tree) co_return std::unexpected(tree.error());
  Copy copy(source, **tree, changes, options, ends, so_far);
  Result<> done = co_await copy.run(std::move(*first));
  if (done) {
    Result<std::string> where = co_await (*tree)->finish(options.name);
    if (where) so_far.where = std::move(*where);
    if (where) co_return Result<>{};
    done = std::unexpected(where.error());
  }
  const Result<> removed = co_await (*tree)->abandon();
  if (!removed) done.error().text += "; " + removed.error().text;
  co_return done;
}

}  // namespace lockstep::resync
