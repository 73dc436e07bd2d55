#include "volume/acl.h"

#include <algorithm>
#include <cstring>

#include "core/check.h"

namespace lockstep::volume {
namespace {

constexpr std::uint32_t kVersion = 2;
constexpr std::uint32_t kNoId = ~std::uint32_t{0};
constexpr std::size_t kHeaderBytes = 4, kEntryBytes = 8;

template <class T>
T number_at(std::string_view bytes, std::size_t at) {
  T n = 0;
  for (std::size_t i = sizeof(T); i-- > 0;) n = static_cast<T>(n << 8 | static_cast<std::uint8_t>(bytes[at + i]));
  return n;
}

template <class T>
void append(std::string& bytes, T n) {
  for (std::size_t i = 0; i < sizeof(T); ++i) bytes.push_back(static_cast<char>(n >> 8 * i & 0xff));
}

}  // namespace

std::optional<Acl> Acl::unpack(std::string_view value) {
  if (value.size() < kHeaderBytes || value.size() > kAclBytesMax || (value.size() - kHeaderBytes) % kEntryBytes != 0 ||
      number_at<std::uint32_t>(value, 0) != kVersion)
    return std::nullopt;
  Acl acl;
  std::uint16_t highest = 0;
  unsigned seen = 0;
  for (std::size_t at = kHeaderBytes; at < value.size(); at += kEntryBytes) {
    Entry entry{number_at<std::uint16_t>(value, at), number_at<std::uint16_t>(value, at + 2), number_at<std::uint32_t>(value, at + 4)};
    const bool named = entry.tag == user || entry.tag == group;
    const bool known = named || entry.tag == owner || entry.tag == owning_group || entry.tag == mask || entry.tag == others;
    if (!known || entry.tag < highest || entry.permissions > 7 || (!named && entry.tag == highest)) return std::nullopt;
    if (named && entry.id == kNoId) return std::nullopt;
    if (!named) entry.id = kNoId;
    highest = entry.tag;
    seen |= entry.tag;
    acl.entries_.push_back(entry);
  }
  constexpr unsigned kNeeded = owner | owning_group | others;
  if ((seen & kNeeded) != kNeeded || ((seen & (user | group)) != 0 && (seen & mask) == 0)) return std::nullopt;
  return acl;
}

std::string Acl::pack() const {
  std::string value;
  append(value, kVersion);
  for (const Entry& entry : entries_) {
    append(value, entry.tag);
    append(value, entry.permissions);
    append(value, entry.id);
  }
  return value;
}

const Acl::Entry* Acl::find(Tag tag) const {
  const auto found = std::ranges::find(entries_, tag, &Entry::tag);
  return found == entries_.end() ? nullptr : &*found;
}

Acl::Entry& Acl::at(Tag tag) {
  const auto found = std::ranges::find(entries_, tag, &Entry::tag);
  CHECK(found != entries_.end());
  return *found;
}

std::uint32_t Acl::mode_bits() const {
  std::uint32_t mode = 0;
  for (const Tag tag : {owner, group_class(), others}) mode = mode << 3 | find(tag)->permissions;
  return mode;
}

bool Acl::is_mode() const { return entries_.size() == 3; }

void Acl::set_mode(std::uint32_t mode) {
  at(owner).permissions = mode >> 6 & 7;
  at(group_class()).permissions = mode >> 3 & 7;
  at(others).permissions = mode & 7;
}

void Acl::limit_to(std::uint32_t mode) { set_mode(mode_bits() & mode); }

}  // namespace lockstep::volume
