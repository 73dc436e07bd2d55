#include "wire/batch_codec.h"

#include <cstring>

#include "core/check.h"

namespace lockstep::wire {
namespace {

constexpr std::uint32_t kDeleted = 0xffffffff;
constexpr std::size_t kChangeHeadBytes = sizeof(std::uint16_t) + sizeof(std::uint32_t);
static_assert(kKeyBytesMax <= 0xffff && kValueBytesMax < kDeleted);
static_assert(FLATBUFFERS_LITTLEENDIAN, "lengths are copied as they stand in memory");

template <class T>
void put(std::uint8_t*& at, T number) {
  std::memcpy(at, &number, sizeof(number));
  at += sizeof(number);
}

void put(std::uint8_t*& at, const std::string& bytes) {
  std::memcpy(at, bytes.data(), bytes.size());
  at += bytes.size();
}

template <class T>
T take(const std::uint8_t*& at) {
  T number;
  std::memcpy(&number, at, sizeof(number));
  at += sizeof(number);
  return number;
}

std::string take_string(const std::uint8_t*& at, std::size_t bytes) {
  std::string taken(reinterpret_cast<const char*>(at), bytes);
  at += bytes;
  return taken;
}

}  // namespace

PackedBytes pack_batch(Builder& builder, const KeyBatch& batch) {
  if (batch.empty()) return 0;
  std::size_t bytes = sizeof(std::uint32_t);
  for (const auto& change : batch) {
    const std::size_t value_bytes = change.value ? change.value->size() : 0;
    CHECK(change.key.size() <= kKeyBytesMax && value_bytes <= kValueBytesMax);  // else the lengths would lie
    bytes += kChangeHeadBytes + change.key.size() + value_bytes;
  }
  std::uint8_t* at = nullptr;
  const PackedBytes packed = builder.CreateUninitializedVector<std::uint8_t>(bytes, &at);
  put(at, static_cast<std::uint32_t>(batch.size()));
  for (const auto& change : batch) {
    put(at, static_cast<std::uint16_t>(change.key.size()));
    put(at, change.value ? static_cast<std::uint32_t>(change.value->size()) : kDeleted);
    put(at, change.key);
    if (change.value) put(at, *change.value);
  }
  return packed;
}

void unpack_batch(const flatbuffers::Vector<std::uint8_t>* packed, KeyBatch& into, Faults& faults) {
  static constexpr const char* kField = "effect.batch";
  if (packed == nullptr || packed->size() == 0) return;
  const std::uint8_t* at = packed->data();
  const std::uint8_t* const end = at + packed->size();
  const auto left = [&] { return static_cast<std::size_t>(end - at); };

  if (!faults.require(left() >= sizeof(std::uint32_t), kField, "cut short")) return;
  const auto count = take<std::uint32_t>(at);
  if (!faults.require(count != 0 && count <= kBatchKeysMax, kField, "number of changes out of range")) return;
  if (!faults.require(count <= left() / kChangeHeadBytes, kField, "cut short")) return;
  into.reserve(count);
  for (std::uint32_t i = 0; i < count; ++i) {
    if (!faults.require(left() >= kChangeHeadBytes, kField, "cut short")) return;
    const std::size_t key_bytes = take<std::uint16_t>(at);
    const auto value_word = take<std::uint32_t>(at);
    const std::size_t value_bytes = value_word == kDeleted ? 0 : value_word;
    if (!faults.require(key_bytes != 0 && key_bytes <= kKeyBytesMax, kField, "length of a key out of range")) return;
    if (!faults.require(value_bytes <= kValueBytesMax, kField, "a value is too long")) return;
    if (!faults.require(key_bytes + value_bytes <= left(), kField, "cut short")) return;
    auto& change = into.emplace_back();
    change.key = take_string(at, key_bytes);
    if (value_word != kDeleted) change.value = take_string(at, value_bytes);
  }
  faults.require(at == end, kField, "bytes left over");
}

}  // namespace lockstep::wire
