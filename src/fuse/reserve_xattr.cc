#include "fuse/reserve_xattr.h"

#include <fmt/format.h>

namespace lockstep::fuse {

std::optional<wire::Operation> reserve_by_xattr(InodeId inode, std::string_view value) {
  wire::Operation operation;
  operation.kind = wire::OpKind::reserve;
  operation.inode = inode;
  bool range_given = false, way_given = false;
  while (!value.empty()) {
    const std::size_t space = value.find(' ');
    const std::string_view word = value.substr(0, space);
    value = space == value.npos ? std::string_view{} : value.substr(space + 1);
    if (word.empty()) continue;
    if (!way_given && (word == "wait" || word == "busy")) {
      way_given = true;
      if (word == "busy") operation.flags = volume::kReserveBusy;
      continue;
    }
    const Result<ByteRange> range = volume::parse_byte_range(word);
    if (range_given || way_given || !range) return std::nullopt;
    range_given = true;
    operation.offset = range->offset;
    operation.length = range->length;
  }
  return operation;
}

std::string reserve_xattr_of(const volume::Reservations& reservations, InodeId inode, const std::vector<std::string>& sites) {
  std::string text;
  for (const volume::Reservation* it : reservations.of(inode)) {
    const std::string site = it->site.value < sites.size() ? sites[it->site.value] : fmt::format("site-{}", it->site.value);
    text += fmt::format("{} {} {}\n", site, volume::byte_range_text(*it), it->busy ? "busy" : "wait");
  }
  return text;
}

}  // namespace lockstep::fuse
