// bounds.h - how much of anything one message may hold. Decoding refuses more; whoever makes a message keeps to it.
//
// The limits bound what a frame can make its receiver allocate, and what it can make it do.
#pragma once

#include <cstddef>
#include <cstdint>

#include "wire/codec.h"

namespace lockstep::wire {

inline constexpr std::size_t kNameBytesMax = 255;         ///< of a directory entry, an xattr, a volume, a site
inline constexpr std::size_t kXattrBytesMax = 64u << 10;  ///< value of an xattr
inline constexpr std::size_t kTargetBytesMax = 4095;      ///< target of a symlink
inline constexpr std::size_t kReasonBytesMax = 4096;      ///< of a Refuse
inline constexpr std::size_t kSettingsBytesMax = 64u << 10;
inline constexpr std::size_t kKeyBytesMax = 4096;          ///< one key of the key-value store
inline constexpr std::size_t kValueBytesMax = 256u << 10;  ///< and its value
inline constexpr std::size_t kBatchKeysMax = 64u << 10;    ///< changes in a batch
inline constexpr std::size_t kRangesMax = 64u << 10;       ///< writes of an effect; so for its turns, drops and ranges
inline constexpr std::size_t kUnansweredMax = 64u << 10;   ///< seqs in a Hello
inline constexpr std::size_t kOrphansMax = 256u << 10;     ///< inodes in a Hello or a Mirrored
inline constexpr std::size_t kHistoryMax = 256;             ///< entries of a history of memberships
inline constexpr std::size_t kSitesMax = SiteSet::kSitesMax;
inline constexpr std::uint64_t kGranuleBlocks = 1024;       ///< blocks of a granule: the unit of suspicion
inline constexpr std::size_t kGranulesMax = 64u << 10;      ///< granules in a Checkpoint or Clear
inline constexpr std::size_t kSuspectsBytesMax = 64u << 10; ///< of a Suspects
inline constexpr std::size_t kKeysMax = 4096;               ///< keys of a KeysFetch
inline constexpr std::size_t kCommandBytesMax = 1u << 20;   ///< text of a Command or of an answer to one
inline constexpr std::uint64_t kFetchBlocksMax = kPayloadBytesMax / kBlockBytes;  ///< blocks of a FetchBlocks
inline constexpr std::uint64_t kVerifyBlocksMax = 64u << 10;                      ///< blocks of a VerifyAsk
inline constexpr std::uint64_t kFileBytesMax = (std::uint64_t{1} << 63) - 1;      ///< no offset in a file is behind it
inline constexpr std::uint64_t kAreaBlocksMax = std::uint64_t{1} << 50;           ///< no area has more blocks

}  // namespace lockstep::wire
