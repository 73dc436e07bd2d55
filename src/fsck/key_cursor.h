// key_cursor.h - goes through a range of keys in order, a page at a time. Keys that are changed meanwhile may be met
// old or new.
//
// But for one over everything, a cursor passes over keys that are not well formed: the rule `key` names those.
#pragma once

#include <string>
#include <vector>

#include "runtime/key_value.h"
#include "volume/keys_format.h"

namespace lockstep::fsck {

/// The key is of a known kind and has the parts that the kind has (keys_format.h); what the numbers in it say is not
/// looked at.
[[nodiscard]] bool well_formed(std::string_view key);

class KeyCursor {
 public:
  KeyCursor(runtime::KeyValue& store, volume::KeySpan span) : store_(store), span_(std::move(span)) {}
  /// Over all keys of `kind`.
  KeyCursor(runtime::KeyValue& store, char kind)
      : KeyCursor(store, volume::KeySpan{std::string(1, kind), std::string(1, static_cast<char>(kind + 1))}) {}
  /// Over every key, well formed or not.
  static KeyCursor over_everything(runtime::KeyValue& store);

  /// Goes to the first, or the next, key. False: there is none. Errc::io, Errc::corrupt. Suspends.
  runtime::Task<Result<bool>> next();
  /// next() was called and went to a key.
  [[nodiscard]] bool valid() const { return at_ < page_.size(); }
  [[nodiscard]] const std::string& key() const { return page_[at_].key; }
  [[nodiscard]] const std::string& value() const { return page_[at_].value; }
  /// The number behind the kind. Requires: of kind I, D, E, X, R or O, and well formed.
  [[nodiscard]] std::uint64_t number() const;

 private:
  runtime::KeyValue& store_;
  volume::KeySpan span_;
  std::vector<runtime::KeyPair> page_;
  std::size_t at_ = 0;
  bool last_page_ = false;
  bool everything_ = false;
};

}  // namespace lockstep::fsck
