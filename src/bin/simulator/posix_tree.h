// posix_tree.h - what POSIX says of calls on names: a tree in memory, one call after the other.
//
// Objects are files (size, mode, how many names they have) and directories. A call works on what its paths led to when they were
// walked: a directory or an object, which may have moved or gone since. Where more than one error applies, any of them is right.
#pragma once

#include <compare>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace lockstep::simulator::posix {

/// Names an object of a tree; whoever makes one chooses it.
using Number = std::uint64_t;
inline constexpr Number kRoot = 0;

/// Flags of renameat2(2), as <linux/fs.h> has them.
inline constexpr std::uint32_t kNoReplace = 1, kExchange = 2;

/// Names from the root on; the last one is what a call is about.
using Path = std::vector<std::string>;

struct Call {
  enum class What { create, open, make_directory, remove, remove_directory, link, rename, truncate, set_mode, look, list } what{};
  Path path, to;             ///< `to`: of link and rename
  std::uint32_t flags = 0;   ///< of renameat2(2)
  std::uint64_t size = 0;    ///< truncate
  std::uint32_t mode = 0;    ///< create, open, make_directory, set_mode: permissions
  /// It can change nothing.
  [[nodiscard]] bool reads() const { return what == What::look || what == What::list; }
};
[[nodiscard]] std::string text_of(const Call& call);

struct Attributes {
  bool directory = false;
  std::uint32_t mode = 0;
  std::uint64_t links = 0, size = 0;  ///< no size of a directory
  auto operator<=>(const Attributes&) const = default;
};

/// What a call said.
struct Answer {
  int error = 0;                          ///< errno
  std::optional<Attributes> attributes;   ///< of look
  auto operator<=>(const Answer&) const = default;
};
[[nodiscard]] std::string text_of(const Answer& answer);

/// What the paths of a call led to: of `path`, and of `to` in `second`. look, list, truncate, set_mode and link go by the object itself
/// there, everything else by the directory that holds the last name.
struct Places {
  Number first = kRoot, second = kRoot;
  auto operator<=>(const Places&) const = default;
};

class Tree {
 public:
  Tree();

  /// Where a walk along all names of `path` but the last `without` leads; nullopt and `error`: nowhere.
  [[nodiscard]] std::optional<Number> walk(const Path& path, std::size_t without, int& error) const;

  struct Outcome {
    std::vector<int> errors;      ///< it fails, with one of these; empty: it succeeds
    bool changes = false;         ///< it succeeds, and the tree is another one
    std::optional<Attributes> attributes;
  };
  /// What `call` does at `places`, carried out on this tree if it succeeds. What it makes gets the number `made`.
  Outcome carry_out(const Call& call, Places places, Number made);

  /// Null: it has no name any more.
  [[nodiscard]] const std::map<std::string, Number>* names_in(Number directory) const;
  [[nodiscard]] bool has(Number object) const { return look_up(object) != nullptr; }
  [[nodiscard]] bool is_directory(Number object) const;
  [[nodiscard]] std::string text() const;
  bool operator==(const Tree& other) const;

 private:
  struct Object {
    bool directory = false;
    std::uint32_t mode = 0;
    std::uint64_t size = 0, names = 0;
    std::map<std::string, Number> entries;
    Number parent = kRoot;
    bool operator==(const Object&) const = default;
  };
  /// Null: it has no name any more.
  [[nodiscard]] const Object* look_up(Number object) const;
  [[nodiscard]] const Object& at(Number object) const { return *look_up(object); }
  /// The object, to be changed; other trees keep it as it is.
  Object& change(Number object);
  void add(Number object, Object made);
  void erase(Number object);
  [[nodiscard]] Attributes attributes_of(const Object& object) const;
  [[nodiscard]] std::optional<Number> find(Number directory, const std::string& name) const;
  [[nodiscard]] bool is_below(Number object, Number directory) const;
  void put(Number directory, const std::string& name, Number object);
  void take(Number directory, const std::string& name);
  Outcome make(const Call& call, Places places, Number made);
  Outcome open(const Call& call, Places places, Number made);
  Outcome remove(const Call& call, Places places);
  Outcome link(const Call& call, Places places);
  Outcome rename(const Call& call, Places places);
  Outcome of_object(const Call& call, Places places);

  /// In order of their numbers. Trees are copied all the time, and hardly differ: they share their objects.
  std::vector<std::pair<Number, std::shared_ptr<Object>>> objects_;
};

}  // namespace lockstep::simulator::posix
