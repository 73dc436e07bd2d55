#include "resync/places.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "core/log.h"
#include "fsck/paths.h"
#include "volume/owner.h"

namespace lockstep::resync {

std::string Place::text() const {
  if (inode == kNoInode) return fmt::format("block {} of the area, which no file has", block);
  const std::string name = path.empty() ? fmt::format("inode {}, which has no name", inode.value) : fmt::format("{} (inode {})", path, inode.value);
  return fmt::format("block {} of the area: bytes {} to {} of {}", block, file_block * kBlockBytes, (file_block + 1) * kBlockBytes - 1, name);
}

runtime::Task<std::vector<Place>> places_of(runtime::KeyValue& keys, std::vector<std::uint64_t> blocks) {
  std::vector<Place> places;
  std::set<InodeId> inodes;
  for (std::size_t i = 0; i < std::min(blocks.size(), kPlacesMax); ++i) {
    Place place;
    place.block = blocks[i];
    const Result<std::optional<volume::BlockOwner>> owner = co_await volume::owner_of(keys, blocks[i]);
    if (owner && *owner) {
      place.inode = (*owner)->inode;
      place.file_block = (*owner)->file_block;
      inodes.insert(place.inode);
    }
    places.push_back(std::move(place));
  }
  const Result<std::map<InodeId, std::string>> paths = co_await fsck::paths_of(keys, std::move(inodes));
  if (!paths) log::warning("looking for the names of files with bad blocks failed: {}", paths.error().text);
  if (!paths) co_return places;
  for (Place& place : places) {
    if (const auto found = paths->find(place.inode); found != paths->end()) place.path = found->second;
  }
  co_return places;
}

}  // namespace lockstep::resync
