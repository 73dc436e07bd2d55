// phases.h - the phases of an examination, in the order in which they run. Each adds to the report what it finds.
//
// An error of a phase ends the examination: keys or files can't be read or written.
#pragma once

#include "fsck/examination.h"

namespace lockstep::fsck {

/// superblock-copy, file-bytes. Errc::refused, Errc::corrupt: see can_be_examined(). Suspends.
runtime::Task<Result<>> check_area(Examination& x);
/// log-header, log-record, log-gap; applies records to the keys. Suspends.
runtime::Task<Result<>> check_log(Examination& x);
/// key, value, entry-place: each key for itself. Suspends.
runtime::Task<Result<>> check_keys(Examination& x);
/// entry-target, entry-type, root, links, nameless, orphan, parent, directory-names. Suspends.
runtime::Task<Result<>> check_names(Examination& x);
/// ownerless, directory-entries, directory-links, kind, chunk, blocks, xattrs, acl. Suspends.
runtime::Task<Result<>> check_objects(Examination& x);
/// loop. Suspends.
runtime::Task<Result<>> check_loops(Examination& x);
/// extent-bounds, overlap, reverse-key, reverse-stray, group-free. Suspends.
runtime::Task<Result<>> check_blocks(Examination& x);
/// inode-bound, next-inode, files. Suspends.
runtime::Task<Result<>> check_counters(Examination& x);
/// bad-block. Suspends.
runtime::Task<Result<>> check_data(Examination& x);

}  // namespace lockstep::fsck
