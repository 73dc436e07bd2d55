#include "site/watch.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>

namespace lockstep::site {
namespace {

using nlohmann::json;
using volume::Change;
using volume::NamePlace;
using Kind = Change::Kind;

constexpr std::size_t kNameBytesMax = 2u << 20;
constexpr std::size_t kNameCost = 96;
constexpr std::size_t kPageEntries = 1024;
constexpr std::size_t kLinesAtOnce = 64;
constexpr Duration kPause = std::chrono::milliseconds(1);

bool is_of_names(Kind kind) { return kind == Kind::created || kind == Kind::linked || kind == Kind::removed || kind == Kind::renamed; }

const char* word_of(Kind kind) {
  switch (kind) {
    case Kind::created: return "created";
    case Kind::linked: return "linked";
    case Kind::removed: return "removed";
    case Kind::renamed: return "renamed";
    case Kind::written: return "written";
    case Kind::resized: return "resized";
    case Kind::attributes: return "attributes";
    case Kind::xattr_set: return "xattr";
    case Kind::xattr_removed: return "xattr-removed";
  }
  return "?";
}

const char* type_word(std::uint32_t type) {
  switch (type) {
    case S_IFREG: return "file";
    case S_IFDIR: return "directory";
    case S_IFLNK: return "symlink";
    case S_IFIFO: return "fifo";
    case S_IFSOCK: return "socket";
    case S_IFCHR:
    case S_IFBLK: return "device";
    default: return "";
  }
}

}  // namespace

Watch::Watch(runtime::World& world, volume::Volume& volume, WatchOptions options)
    : world_(world), volume_(volume), options_(std::move(options)), changed_(world.scheduler), finding_(world.scheduler), names_(kNameBytesMax) {}

Watch::~Watch() = default;

// --- in the write path ---------------------------------------------------------------------------------------------------

void Watch::take(const std::vector<Change>& changes, SiteId by, WallTime at) {
  if (ended_ || again_) return;
  for (const Change& change : changes) {
    Line line;
    line.by = by;
    line.at = at;
    line.change = change;
    line.what = word_of(change.kind);
    if (is_of_names(change.kind)) {
      take_name(change, std::move(line));
    } else if (telling_) {
      take_object(change, std::move(line));
    }
  }
  look_at_end();
}

void Watch::take_name(const Change& change, Line line) {
  const bool loses = change.kind == Kind::removed || change.kind == Kind::renamed;
  if (loses && unknown_.contains(change.object)) learned(change.object, &change.at);
  if (unknown_.contains(change.replaced)) learned(change.replaced, &change.to);
  const bool told = describe(line);
  tree_.follow(change);
  remember_name(change);
  if (!telling_) return;
  if (told) return push(std::move(line));
  // Below a directory that was moved in and is still being looked through.
  if (tree_.whole()) return;
  line.waits = Line::Waits::for_directory;
  push(std::move(line));
}

bool Watch::describe(Line& line) const {
  const Change& change = line.change;
  const bool renamed = change.kind == Kind::renamed;
  const bool from = tree_.tells(change.at, change.object);
  const bool to = renamed && tree_.tells(change.to, change.object);
  if (!from && !to) return false;
  std::optional<std::string> path = tree_.path(change.at);
  if (!renamed) {
    if (path) line.path = std::move(*path);
    return path.has_value();
  }
  std::optional<std::string> new_path = tree_.path(change.to);
  if (path && new_path) {
    line.path = std::move(*path);
    line.to = std::move(*new_path);
  } else if (path || new_path) {
    line.what = path ? "moved-out" : "moved-in";
    line.path = std::move(path ? *path : *new_path);
  }
  return path || new_path;
}

/// What is known of the object's names follows the change.
void Watch::remember_name(const Change& change) {
  const auto put = [&](const NamePlace& place) { names_.put(change.object, place, kNameCost + place.name.size()); };
  const auto forget = [&](InodeId object, const NamePlace& place) {
    if (const NamePlace* known = names_.find(object); known != nullptr && *known == place) names_.erase(object);
  };
  const bool renamed = change.kind == Kind::renamed;
  if (change.kind == Kind::removed) return forget(change.object, change.at);
  if (renamed) forget(change.object, change.at);
  if (change.replaced != kNoInode) forget(change.replaced, change.to);
  const NamePlace& now = renamed ? change.to : change.at;
  if (!tree_.watches(now.directory)) return;
  // What stands below a directory that was moved in is not outside any more.
  if (renamed && change.type == S_IFDIR && !tree_.watches(change.at.directory)) names_.clear();
  const NamePlace* known = names_.find(change.object);
  if (known == nullptr || known->directory == kNoInode || renamed) put(now);
}

void Watch::take_object(const Change& change, Line line) {
  std::optional<NamePlace> place = tree_.place_of(change.object);
  if (place && !tree_.tells(*place, change.object)) return;
  if (!place) {
    if (!tree_.watches_directories()) return;
    if (const NamePlace* known = names_.find(change.object)) {
      if (known->directory == kNoInode) return;
      if (tree_.watches(known->directory)) place = *known;
    }
  }
  if (place) {
    std::optional<std::string> path = tree_.path(*place);
    if (!path) return;
    line.path = std::move(*path);
    return push(std::move(line));
  }
  auto home = volume_.home(change.object);
  if (const volume::Home* it = home.value(); it != nullptr) {
    if (it->names == 0) return;
    const bool elsewhere = it->names == 1 && it->directory != kNoInode && !tree_.watches(it->directory);
    if (elsewhere && tree_.whole()) return;
  } else if (home.error() != nullptr) {
    return;
  }
  line.waits = Line::Waits::for_object;
  push(std::move(line));
}

void Watch::push(Line line) {
  if (!lines_.empty() && lines_.back().kind == Line::Kind::missed) {
    ++lines_.back().missed;
    return;
  }
  const Change& change = line.change;
  line.bytes = sizeof(Line) + line.path.size() + line.to.size() + change.xattr.size() + change.at.name.size() + change.to.name.size();
  if (lines_.size() >= kLinesMax || line_bytes_ + line.bytes > kLineBytesMax) {
    Line missed;
    missed.kind = Line::Kind::missed;
    missed.missed = 1;
    lines_.push_back(std::move(missed));
    return;
  }
  line_bytes_ += line.bytes;
  if (line.waits == Line::Waits::for_object) unknown_.insert(line.change.object);
  lines_.push_back(std::move(line));
  changed_.notify_all();
}

void Watch::drop_lines(const std::function<bool(const Line&)>& goes) {
  std::erase_if(lines_, [&](const Line& line) {
    if (!goes(line)) return false;
    line_bytes_ -= line.bytes;
    return true;
  });
}

void Watch::passed_over(bool keys) {
  if (ended_ || !telling_) {
    again_ = again_ || keys;
    return;
  }
  drop_lines([](const Line& line) { return line.waits != Line::Waits::no; });
  unknown_.clear();
  Line line;
  line.kind = Line::Kind::passed_over;
  if (lines_.empty() || lines_.back().kind != Line::Kind::passed_over) lines_.push_back(std::move(line));
  if (keys) again_ = true;
  changed_.notify_all();
}

void Watch::look_at_end() {
  if (tree_.full() && failure_.empty()) {
    failure_ = fmt::format("there are more than {} directories at and below what is to be watched, and a watch follows no more; watch parts of it, "
                           "or without --recursive", WatchedTree::kDirectoriesMax);
  }
  if (telling_ && tree_.over()) gone_ = true;
  if (gone_ || !failure_.empty()) changed_.notify_all();
}

// --- names ---------------------------------------------------------------------------------------------------------------

/// Lines that wait for the name of `object`, which is at `place` (null: not below the paths), get it, or go.
void Watch::learned(InodeId object, const NamePlace* place) {
  unknown_.erase(object);
  std::optional<std::string> path;
  if (place != nullptr && tree_.watches(place->directory)) path = tree_.path(*place);
  const auto waits = [&](const Line& line) { return line.waits == Line::Waits::for_object && line.change.object == object; };
  if (!path) drop_lines(waits);
  for (Line& line : lines_) {
    if (!waits(line)) continue;
    line.path = *path;
    line.waits = Line::Waits::no;
  }
  changed_.notify_all();
}

/// Every directory is known: lines that waited for that are below the paths, or not.
void Watch::place_waiting_names() {
  bool any = false;
  for (Line& line : lines_) {
    if (line.waits != Line::Waits::for_directory) continue;
    any = true;
    line.waits = Line::Waits::no;
    if (!describe(line)) line.what = "";
  }
  if (!any) return;
  drop_lines([](const Line& line) { return line.kind == Line::Kind::change && *line.what == '\0'; });
  changed_.notify_all();
}

runtime::Task<void> Watch::find_names() {
  co_await begin();
  while (!ended_ && failure_.empty()) {
    if (again_) {
      again_ = telling_ = false;
      tree_ = {};
      names_.clear();
      co_await begin();
    } else if (const std::optional<InodeId> directory = tree_.unlisted()) {
      co_await list(*directory);
    } else if (!telling_) {
      telling_ = true;
      Line line;
      line.kind = Line::Kind::watching;
      lines_.push_back(std::move(line));
      look_at_end();
      changed_.notify_all();
    } else {
      place_waiting_names();
      if (!unknown_.empty()) {
        co_await find(*unknown_.begin());
      } else {
        co_await changed_.wait();
      }
    }
  }
}

/// Finds what the paths name.
runtime::Task<void> Watch::begin() {
  for (const std::string& path : options_.paths) {
    if (failure_.empty()) co_await find_root(path);
  }
  changed_.notify_all();
}

runtime::Task<void> Watch::find_root(std::string path) {
  WatchedTree::Root root{kRootInode, {kNoInode, {}}, true, options_.recursive};
  for (std::size_t first = 0; first < path.size();) {
    const std::size_t end = std::min(path.find('/', first), path.size());
    const std::string name = path.substr(first, end - first);
    first = end + 1;
    if (name.empty() || name == ".") continue;
    const InodeId directory = root.object;
    auto found = volume_.lookup(directory, name);
    while (found.miss() != nullptr) {
      const Result<> loaded = co_await volume_.load(std::move(*found.miss()));
      if (!loaded) {
        failure_ = loaded.error().text;
        co_return;
      }
      found = volume_.lookup(directory, name);
    }
    if (found.value() == nullptr || !root.directory) {
      failure_ = fmt::format("there is no {} in the volume", path);
      co_return;
    }
    root.object = found.value()->inode;
    root.place = {directory, name};
    root.directory = (found.value()->mode & S_IFMT) == S_IFDIR;
    // Known from here on, so that it is followed while the rest of the path is looked up.
    if (root.directory) tree_.know(root.object, root.place);
  }
  tree_.watch(root);
}

/// Looks through a directory, for subdirectories and for the names of objects.
runtime::Task<void> Watch::list(InodeId directory) {
  tree_.begin_listing(directory);
  for (std::uint64_t cookie = 0; !ended_ && !again_;) {
    Result<std::vector<volume::Entry>> page = co_await volume_.list(directory, cookie, kPageEntries);
    if (!page) {
      failure_ = page.error().text;
      break;
    }
    const bool last = page->size() < kPageEntries;
    if (!page->empty()) cookie = page->back().cookie;
    if (!tree_.take(*page)) {
      tree_.begin_listing(directory);
      cookie = 0;
      continue;
    }
    for (volume::Entry& entry : *page) {
      const NamePlace place{directory, std::move(entry.name)};
      if (!tree_.watches(directory)) break;
      if (unknown_.contains(entry.inode)) learned(entry.inode, &place);
      names_.put(entry.inode, place, kNameCost + place.name.size());
    }
    if (last) break;
  }
  tree_.end_listing();
  look_at_end();
}

/// Finds the name of an object that lines wait for, or that it is not below the paths.
runtime::Task<void> Watch::find(InodeId object) {
  auto home = volume_.home(object);
  while (home.miss() != nullptr) {
    const Result<> loaded = co_await volume_.load(std::move(*home.miss()));
    if (!loaded) {
      failure_ = loaded.error().text;
      co_return;
    }
    home = volume_.home(object);
  }
  if (!unknown_.contains(object)) co_return;
  if (home.value() == nullptr || home.value()->names == 0) co_return learned(object, nullptr);
  const volume::Home it = *home.value();
  if (tree_.watches(it.directory)) co_await list(it.directory);
  if (it.names > 1 || it.directory == kNoInode) {
    for (const InodeId directory : tree_.watched()) {
      if (ended_ || again_ || !failure_.empty() || !unknown_.contains(object)) co_return;
      co_await list(directory);
    }
  }
  if (ended_ || again_ || !unknown_.contains(object)) co_return;
  names_.put(object, {}, kNameCost);
  learned(object, nullptr);
}

// --- lines ---------------------------------------------------------------------------------------------------------------

runtime::Task<json> Watch::run(control::Stream& stream) {
  stream.gone().add(*this);
  finding_.spawn(find_names());
  bool going = true;
  while (going && !stream.gone().requested()) {
    const bool ready = !lines_.empty() && lines_.front().waits == Line::Waits::no;
    if (ready) {
      going = co_await send_lines(stream);
    } else if (!failure_.empty() || (gone_ && lines_.empty())) {
      break;
    } else {
      co_await changed_.wait();
    }
  }
  ended_ = true;
  stream.gone().remove(*this);
  changed_.notify_all();
  co_await finding_.join();
  if (!failure_.empty()) co_return json{{"error", failure_}};
  co_return json{{"changes", sent_}, {"gone", gone_}};
}

/// Sends some of what is ready; others have their turn then. False: enough was sent, or the client has gone.
runtime::Task<bool> Watch::send_lines(control::Stream& stream) {
  for (std::size_t n = 0; n < kLinesAtOnce; ++n) {
    if (lines_.empty() || lines_.front().waits != Line::Waits::no) co_return true;
    const Line line = std::move(lines_.front());
    lines_.pop_front();
    line_bytes_ -= line.bytes;
    const bool there = co_await stream.send(json_of(line));
    if (!there) co_return false;
    if (line.kind == Line::Kind::change && ++sent_ == options_.count) co_return false;
  }
  co_await world_.clock.sleep_until(world_.clock.now() + kPause, stream.gone());
  co_return true;
}

json Watch::json_of(const Line& line) const {
  switch (line.kind) {
    case Line::Kind::missed: return json{{"missed", line.missed}};
    case Line::Kind::passed_over: return json{{"passed_over", true}};
    case Line::Kind::watching: return json{{"watching", {{"paths", options_.paths}, {"directories", tree_.watched().size()}}}};
    case Line::Kind::change: break;
  }
  const Change& change = line.change;
  json told{{"time_us", line.at.value / 1000},
            {"site", line.by.value < options_.sites.size() ? options_.sites[line.by.value] : "?"},
            {"what", line.what},
            {"path", line.path}};
  if (!line.to.empty()) told["to"] = line.to;
  if (const char* type = type_word(change.type); *type != '\0') told["type"] = type;
  if (change.kind == Kind::resized) told["size"] = change.size;
  if (!change.xattr.empty()) told["xattr"] = change.xattr;
  if (change.kind == Kind::written) {
    told["offset"] = change.bytes.offset;
    told["length"] = change.bytes.length;
  }
  return json{{"change", std::move(told)}};
}

}  // namespace lockstep::site
