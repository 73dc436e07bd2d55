// parts_codec.h - the small parts that all messages are made of, to and from their form in the schema.
//
// Each pack() has its unpack(). An unpack() takes what the verifier let pass: structure is right, values are anybody's.
// `field` names the place in the message for the person who reads the error.
#pragma once

#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "runtime/kernel.h"
#include "wire/bounds.h"
#include "wire/faults.h"
#include "wire/messages.h"
#include "wire/wire_generated.h"

namespace lockstep::wire {

using Builder = flatbuffers::FlatBufferBuilder;
template <class T>
using Packed = flatbuffers::Offset<T>;
using PackedBytes = Packed<flatbuffers::Vector<std::uint8_t>>;
using PackedNumbers = Packed<flatbuffers::Vector<std::uint64_t>>;
template <class T>
using PackedStructs = Packed<flatbuffers::Vector<const T*>>;

// --- fixed parts -----------------------------------------------------------------------------------------------------

[[nodiscard]] schema::Uuid pack(const Uuid& id);
[[nodiscard]] Uuid unpack(const schema::Uuid* id);  ///< absent: nil

[[nodiscard]] schema::RequestId pack(const RequestId& id);
[[nodiscard]] RequestId unpack(const schema::RequestId* id);  ///< absent: all zero

[[nodiscard]] inline schema::BlockRange pack(const BlockRange& r) { return {r.first, r.count}; }
/// Absent: empty. Refuses what no area has.
[[nodiscard]] BlockRange unpack(const schema::BlockRange* range, const char* field, Faults& faults);

[[nodiscard]] inline schema::ByteRange pack(const ByteRange& r) { return {r.offset, r.length}; }
/// Refuses a range that ends behind `end_max`.
[[nodiscard]] ByteRange unpack(const schema::ByteRange& range, std::uint64_t end_max, const char* field,
                               Faults& faults);

[[nodiscard]] schema::HostAttributes pack(const runtime::HostAttributes& a);
[[nodiscard]] runtime::HostAttributes unpack(const schema::HostAttributes* a);  ///< absent: none

// --- bytes and lists; empty ones are left out ------------------------------------------------------------------------

[[nodiscard]] PackedBytes pack_bytes(Builder& builder, std::string_view bytes);
[[nodiscard]] std::string unpack_bytes(const flatbuffers::Vector<std::uint8_t>* bytes, std::size_t bytes_max,
                                       const char* field, Faults& faults);

// The verifier does not look whether elements are aligned: they are copied out, never referred to.

/// Of integers or of Strong ones.
template <class T>
[[nodiscard]] PackedNumbers pack_numbers(Builder& builder, const std::vector<T>& list) {
  static_assert(sizeof(T) == sizeof(std::uint64_t) && std::is_trivially_copyable_v<T> && FLATBUFFERS_LITTLEENDIAN);
  if (list.empty()) return 0;
  return builder.CreateVector(reinterpret_cast<const std::uint64_t*>(list.data()), list.size());
}
template <class T>
void unpack_numbers(const flatbuffers::Vector<std::uint64_t>* list, std::size_t count_max, std::vector<T>& into,
                    const char* field, Faults& faults) {
  if (list == nullptr || list->size() == 0) return;
  if (!faults.require(list->size() <= count_max, field, "too many entries")) return;
  into.resize(list->size());
  std::memcpy(into.data(), list->Data(), list->size() * sizeof(T));
}

/// `form(element)` gives the struct S.
template <class S, class T, class Form>
[[nodiscard]] PackedStructs<S> pack_structs(Builder& builder, const std::vector<T>& list, Form form) {
  if (list.empty()) return 0;
  struct State {
    const T* from;
    Form& form;
  } state{list.data(), form};
  return builder.CreateVectorOfStructs<S>(
      list.size(), [](std::size_t i, S* to, State* s) { *to = s->form(s->from[i]); }, &state);
}
/// `take(S)` gives the element.
template <class S, class T, class Take>
void unpack_structs(const flatbuffers::Vector<const S*>* list, std::size_t count_max, std::vector<T>& into,
                    const char* field, Faults& faults, Take take) {
  if (list == nullptr || !faults.require(list->size() <= count_max, field, "too many entries")) return;
  into.reserve(list->size());
  for (flatbuffers::uoffset_t i = 0; i < list->size(); ++i) {
    S element;
    std::memcpy(&element, list->Data() + i * sizeof(S), sizeof(S));
    into.push_back(take(element));
  }
}

[[nodiscard]] PackedStructs<schema::BlockRange> pack_blocks(Builder& builder, const std::vector<BlockRange>& list);
/// Refuses empty ranges.
void unpack_blocks(const flatbuffers::Vector<const schema::BlockRange*>* list, std::size_t count_max,
                   std::vector<BlockRange>& into, const char* field, Faults& faults);

/// A name that a directory can hold: 1 to 255 bytes, no slash, no zero byte, neither "." nor "..".
[[nodiscard]] bool is_entry_name(std::string_view name);

}  // namespace lockstep::wire
