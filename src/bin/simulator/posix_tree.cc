#include "bin/simulator/posix_tree.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cerrno>

#include "core/check.h"

namespace lockstep::simulator::posix {
namespace {

using What = Call::What;

Tree::Outcome fails(std::vector<int> errors) { return {.errors = std::move(errors), .changes = false, .attributes = std::nullopt}; }
Tree::Outcome succeeds(bool changes) { return {.errors = {}, .changes = changes, .attributes = std::nullopt}; }

const char* name_of(What what) {
  switch (what) {
    case What::create: return "create";
    case What::open: return "open";
    case What::make_directory: return "mkdir";
    case What::remove: return "unlink";
    case What::remove_directory: return "rmdir";
    case What::link: return "link";
    case What::rename: return "rename";
    case What::truncate: return "truncate";
    case What::set_mode: return "chmod";
    case What::look: return "stat";
    case What::list: return "list";
  }
  return "?";
}

}  // namespace

std::string text_of(const Call& call) {
  std::string text = fmt::format("{} /{}", name_of(call.what), fmt::join(call.path, "/"));
  if (!call.to.empty()) text += fmt::format(" /{}", fmt::join(call.to, "/"));
  if (call.what == What::rename && call.flags != 0) text += call.flags == kExchange ? " exchange" : " noreplace";
  if (call.what == What::truncate) text += fmt::format(" {}", call.size);
  if (call.what == What::set_mode) text += fmt::format(" {:o}", call.mode);
  return text;
}

std::string text_of(const Answer& answer) {
  if (answer.error != 0) return fmt::format("errno {}", answer.error);
  if (!answer.attributes) return "done";
  const Attributes& a = *answer.attributes;
  return fmt::format("{} mode {:o} links {} size {}", a.directory ? "directory" : "file", a.mode, a.links, a.size);
}

Tree::Tree() { add(kRoot, {.directory = true, .mode = 0755, .size = 0, .names = 1, .entries = {}, .parent = kRoot}); }

const Tree::Object* Tree::look_up(Number object) const {
  const auto found = std::ranges::lower_bound(objects_, object, {}, &decltype(objects_)::value_type::first);
  return found == objects_.end() || found->first != object ? nullptr : found->second.get();
}

Tree::Object& Tree::change(Number object) {
  const auto found = std::ranges::lower_bound(objects_, object, {}, &decltype(objects_)::value_type::first);
  CHECK(found != objects_.end() && found->first == object);
  if (found->second.use_count() > 1) found->second = std::make_shared<Object>(*found->second);
  return *found->second;
}

void Tree::add(Number object, Object made) {
  const auto place = std::ranges::lower_bound(objects_, object, {}, &decltype(objects_)::value_type::first);
  objects_.emplace(place, object, std::make_shared<Object>(std::move(made)));
}

void Tree::erase(Number object) {
  std::erase_if(objects_, [&](const auto& item) { return item.first == object; });
}

bool Tree::operator==(const Tree& other) const {
  return std::ranges::equal(objects_, other.objects_, [](const auto& one, const auto& two) {
    return one.first == two.first && (one.second == two.second || *one.second == *two.second);
  });
}

std::optional<Number> Tree::find(Number directory, const std::string& name) const {
  const auto& entries = at(directory).entries;
  const auto found = entries.find(name);
  return found == entries.end() ? std::nullopt : std::optional(found->second);
}

std::optional<Number> Tree::walk(const Path& path, std::size_t without, int& error) const {
  Number at = kRoot;
  for (std::size_t i = 0; i + without < path.size(); ++i) {
    error = is_directory(at) ? ENOENT : ENOTDIR;
    const std::optional<Number> next = is_directory(at) ? find(at, path[i]) : std::nullopt;
    if (!next) return std::nullopt;
    at = *next;
  }
  return at;
}

const std::map<std::string, Number>* Tree::names_in(Number directory) const {
  const Object* found = look_up(directory);
  return found == nullptr ? nullptr : &found->entries;
}

bool Tree::is_directory(Number object) const {
  const Object* found = look_up(object);
  return found != nullptr && found->directory;
}

Attributes Tree::attributes_of(const Object& object) const {
  std::uint64_t links = object.names;
  if (object.directory) {
    links = 2;
    for (const auto& [name, number] : object.entries) links += is_directory(number) ? 1 : 0;
  }
  return {object.directory, object.mode, links, object.size};
}

bool Tree::is_below(Number object, Number directory) const {
  for (Number above = object;; above = at(above).parent) {
    if (above == directory) return true;
    if (above == kRoot) return false;
  }
}

void Tree::put(Number directory, const std::string& name, Number object) {
  change(directory).entries[name] = object;
  Object& it = change(object);
  ++it.names;
  if (it.directory) it.parent = directory;
}

void Tree::take(Number directory, const std::string& name) {
  auto& entries = change(directory).entries;
  const Number number = entries.at(name);
  entries.erase(name);
  if (--change(number).names == 0) erase(number);
}

Tree::Outcome Tree::carry_out(const Call& call, Places places, Number made) {
  switch (call.what) {
    case What::create:
    case What::make_directory: return make(call, places, made);
    case What::open: return open(call, places, made);
    case What::remove:
    case What::remove_directory: return remove(call, places);
    case What::link: return link(call, places);
    case What::rename: return rename(call, places);
    case What::truncate:
    case What::set_mode:
    case What::look:
    case What::list: return of_object(call, places);
  }
  return fails({EINVAL});
}

Tree::Outcome Tree::make(const Call& call, Places places, Number made) {
  if (!has(places.first)) return fails({ENOENT, ESTALE});
  if (!is_directory(places.first)) return fails({ENOTDIR});
  if (find(places.first, call.path.back())) return fails({EEXIST});
  CHECK(!has(made));
  const bool directory = call.what == What::make_directory;
  add(made, {.directory = directory, .mode = call.mode, .size = 0, .names = 0, .entries = {}, .parent = places.first});
  put(places.first, call.path.back(), made);
  return succeeds(true);
}

Tree::Outcome Tree::open(const Call& call, Places places, Number made) {
  if (!has(places.first) || !is_directory(places.first)) return make(call, places, made);
  const std::optional<Number> found = find(places.first, call.path.back());
  if (!found) return make(call, places, made);
  if (is_directory(*found)) return fails({EISDIR});
  return succeeds(false);
}

Tree::Outcome Tree::remove(const Call& call, Places places) {
  if (!has(places.first)) return fails({ENOENT, ESTALE});
  if (!is_directory(places.first)) return fails({ENOTDIR});
  const std::optional<Number> found = find(places.first, call.path.back());
  if (!found) return fails({ENOENT});
  const Object& object = at(*found);
  if (call.what == What::remove && object.directory) return fails({EISDIR});
  if (call.what == What::remove_directory && !object.directory) return fails({ENOTDIR});
  if (!object.entries.empty()) return fails({ENOTEMPTY});
  take(places.first, call.path.back());
  return succeeds(true);
}

Tree::Outcome Tree::link(const Call& call, Places places) {
  std::vector<int> errors;
  if (!has(places.first)) errors = {ENOENT, ESTALE};
  if (!has(places.second)) errors.insert(errors.end(), {ENOENT, ESTALE});
  if (has(places.first) && is_directory(places.first)) errors.push_back(EPERM);
  if (has(places.second) && !is_directory(places.second)) errors.push_back(ENOTDIR);
  if (is_directory(places.second) && find(places.second, call.to.back())) errors.push_back(EEXIST);
  if (!errors.empty()) return fails(std::move(errors));
  put(places.second, call.to.back(), places.first);
  return succeeds(true);
}

Tree::Outcome Tree::rename(const Call& call, Places places) {
  std::vector<int> errors;
  for (const Number directory : {places.first, places.second}) {
    if (!has(directory)) errors.insert(errors.end(), {ENOENT, ESTALE});
    if (has(directory) && !is_directory(directory)) errors.push_back(ENOTDIR);
  }
  const std::string& from = call.path.back();
  const std::string& to = call.to.back();
  const std::optional<Number> source = is_directory(places.first) ? find(places.first, from) : std::nullopt;
  const std::optional<Number> target = is_directory(places.second) ? find(places.second, to) : std::nullopt;
  if (!source) errors.push_back(ENOENT);
  if (target && call.flags == kNoReplace) errors.push_back(EEXIST);
  if (!target && call.flags == kExchange) errors.push_back(ENOENT);
  // Nothing may come to lie below itself.
  if (source && is_directory(*source) && is_directory(places.second) && is_below(places.second, *source)) errors.push_back(EINVAL);
  if (call.flags == kExchange && target && is_directory(*target) && is_directory(places.first) && is_below(places.first, *target)) {
    errors.push_back(EINVAL);
  }
  if (source && target && *source != *target && call.flags != kExchange) {
    if (is_directory(*source) && !is_directory(*target)) errors.push_back(ENOTDIR);
    if (!is_directory(*source) && is_directory(*target)) errors.push_back(EISDIR);
    if (!at(*target).entries.empty()) errors.insert(errors.end(), {ENOTEMPTY, EEXIST});
  }
  if (!errors.empty()) return fails(std::move(errors));
  if (target && *source == *target) return succeeds(false);
  // `names` must not fall to nothing in between: what moves is held by one name more.
  ++change(*source).names;
  take(places.first, from);
  if (call.flags == kExchange) {
    put(places.first, from, *target);
  }
  if (target) take(places.second, to);
  put(places.second, to, *source);
  --change(*source).names;
  return succeeds(true);
}

Tree::Outcome Tree::of_object(const Call& call, Places places) {
  if (!has(places.first)) return fails({ENOENT, ESTALE});  // it has no name any more
  const Object& object = at(places.first);
  if (call.what == What::look) return {.errors = {}, .changes = false, .attributes = attributes_of(object)};
  if (call.what == What::list) return object.directory ? succeeds(false) : fails({ENOTDIR});
  if (call.what == What::truncate && object.directory) return fails({EISDIR});
  Object changed = object;
  if (call.what == What::truncate) changed.size = call.size;
  if (call.what == What::set_mode) changed.mode = call.mode;
  if (changed == object) return succeeds(false);
  change(places.first) = std::move(changed);
  return succeeds(true);
}

std::string Tree::text() const {
  std::string all;
  for (const auto& [number, object] : objects_) {
    if (number != kRoot && object->entries.empty()) continue;
    all += fmt::format("{}{}:", all.empty() ? "" : " ", number);
    for (const auto& [name, entry] : object->entries) {
      const Attributes attributes = attributes_of(at(entry));
      all += fmt::format(" {}={}({}{:o} {} {})", name, entry, attributes.directory ? 'd' : '-', attributes.mode, attributes.links, attributes.size);
    }
    all += ';';
  }
  return all;
}

}  // namespace lockstep::simulator::posix
