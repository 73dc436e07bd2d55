// key_files.h - the files of RocksDB, written into room that is set aside where the file system has none left.
#pragma once

#include <rocksdb/env.h>

#include <memory>

#include "uring/spare_room.h"

namespace lockstep::uring {

/// Files of the system as RocksDB asks for them. Before something is appended to one the file system is asked to have room for it; where it
/// has none `spare` gives some, again and again while others take it, until it has none either: then, as always, Status::NoSpace. The last of
/// it is not for tables: a flush that finds no room is an answer, but what is written when a store is opened, and to its manifest, must not fail
/// (RocksDB ends the program where its assertions are compiled in).
std::unique_ptr<rocksdb::Env> files_with_room(std::shared_ptr<SpareRoom> spare);

}  // namespace lockstep::uring
