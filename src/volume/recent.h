// recent.h - a bounded map that forgets what was not used for longest.
#pragma once

#include <list>
#include <unordered_map>
#include <utility>

#include "core/check.h"

namespace lockstep::volume {

/// Each entry has a cost; the sum of all stays within `cost_max`, but for a single larger entry. Pointers to values stay
/// valid until the entry is erased or put() is called.
template <class Key, class Value, class Hash = std::hash<Key>, class Equal = std::equal_to<Key>>
class Recent {
 public:
  explicit Recent(std::size_t cost_max) : cost_max_(cost_max) {}

  /// Null: not there. Counts as use.
  template <class K>
  Value* find(const K& key) {
    const auto found = index_.find(key);
    if (found == index_.end()) return nullptr;
    if (found->second != order_.begin()) order_.splice(order_.begin(), order_, found->second);
    return &found->second->value;
  }
  /// Adds or replaces; forgets others as needed.
  Value& put(const Key& key, Value value, std::size_t cost = 1) {
    if (const auto found = index_.find(key); found != index_.end()) {
      Node& node = *found->second;
      cost_ = cost_ - node.cost + cost;
      node.value = std::move(value);
      node.cost = cost;
      order_.splice(order_.begin(), order_, found->second);
    } else {
      order_.push_front(Node{key, std::move(value), cost});
      index_.emplace(key, order_.begin());
      cost_ += cost;
    }
    while (cost_ > cost_max_ && order_.size() > 1) drop(std::prev(order_.end()));
    return order_.front().value;
  }
  template <class K>
  void erase(const K& key) {
    if (const auto found = index_.find(key); found != index_.end()) drop(found->second);
  }
  void clear() {
    index_.clear();
    order_.clear();
    cost_ = 0;
  }
  [[nodiscard]] std::size_t size() const { return order_.size(); }
  [[nodiscard]] std::size_t cost() const { return cost_; }

 private:
  struct Node {
    Key key;
    Value value;
    std::size_t cost;
  };
  void drop(typename std::list<Node>::iterator node) {
    cost_ -= node->cost;
    index_.erase(index_.find(node->key));
    order_.erase(node);
  }

  std::size_t cost_max_;
  std::size_t cost_ = 0;
  std::list<Node> order_;  // last used first
  std::unordered_map<Key, typename std::list<Node>::iterator, Hash, Equal> index_;
};

}  // namespace lockstep::volume
