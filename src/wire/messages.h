// messages.h - what sites say to each other, and what the operation log stores, as plain structs.
//
// codec.h turns them into bytes and back. lockstep-protocol(7) has the order in which they travel.
#pragma once

#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "core/result.h"
#include "core/types.h"
#include "runtime/kernel.h"
#include "runtime/key_value.h"

namespace lockstep::wire {

using runtime::AttributeChange;
using runtime::KeyBatch;

// --- what a host asked for -------------------------------------------------------------------------------------------

enum class OpKind : std::uint8_t {
  write,        ///< inode, offset, payload; append: at the end of file instead of offset
  set_attributes,  ///< inode, change (size included)
  create,       ///< inode = directory, name, mode (with file type), rdev, text = target of a symlink; any kind of object
  link,         ///< inode = directory, name, other = object
  unlink,       ///< inode = directory, name
  rmdir,        ///< inode = directory, name
  rename,       ///< inode, name -> other, text (new name), flags of renameat2(2)
  set_xattr,    ///< inode, name, text = value, flags of setxattr(2)
  remove_xattr, ///< inode, name
  allocate,     ///< inode, offset, length, flags of fallocate(2)
  sync,         ///< inode: its data, their checksums and the log become stable at every site
  trim,         ///< inode: space ahead of its end is given back
  reap,         ///< inode (0: those in text, volume::reap_of): objects without a name that no site has open are removed
  settle,       ///< the lazily kept times are written
  lock,         ///< inode, lock: taken, changed or given back; value 1: it waits in line under its ticket, ask again whether still
  cancel_lock,  ///< inode, lock.owner, lock.ticket: waits in line no longer; value 1: it did
  break_locks,  ///< inode (0: every file), lock.owner.site: its locks are taken away but for those of its start lock.owner.boot
                ///< (0: of none), and so are its waits; lock.wait: only these. value: how many; above 0: ask again
  reserve,      ///< inode, offset, length (0: the whole object), text = its path for people, flags of volume/reservations.h
  release,      ///< inode, offset, length (0: all reservations of the object), flags of volume/reservations.h
};

/// Whom a lock belongs to: what the kernel of a site calls an owner (a process, or an open file), in one start of its daemon.
struct LockOwner {
  SiteId site{};
  std::uint64_t boot = 0;
  std::uint64_t id = 0;
  constexpr auto operator<=>(const LockOwner&) const = default;
};

enum class LockType : std::uint8_t { unlock, read, write };

/// An advisory lock on bytes of a file, asked for or held. Locks that are whole (flock(2)) and those that are not do not meet.
struct LockRequest {
  LockOwner owner;
  LockType type{};
  bool whole = false;
  bool wait = false;           ///< in line, where somebody else holds it; else EAGAIN
  std::uint32_t pid = 0;       ///< at the owner's site, to be shown
  std::uint64_t first = 0;     ///< bytes, both included
  std::uint64_t last = 0;
  std::uint64_t ticket = 0;    ///< names the wait among those of its owner's start
  bool operator==(const LockRequest&) const = default;
};
/// The last byte that a lock may reach; a lock without an end reaches it.
inline constexpr std::uint64_t kLockLastMax = (std::uint64_t{1} << 63) - 1;

/// A change that a host (or the primary itself) asks for. Which fields count is said at OpKind.
/// What a kernel takes a name for that it does not know: another site has changed the name since that was told of it.
inline constexpr InodeId kSomethingElse{~std::uint64_t{0}};

struct Operation {
  OpKind kind{};
  InodeId inode;
  InodeId other;
  std::string name;
  std::string text;
  std::uint64_t offset = 0;
  std::uint64_t length = 0;  ///< write: bytes of payload
  std::uint32_t flags = 0;   ///< create: what the caller's umask took out of `mode`; it counts under a default access control list
  std::uint32_t mode = 0;
  std::uint32_t rdev = 0;
  std::uint32_t uid = 0;     ///< of the caller
  std::uint32_t gid = 0;
  bool append = false;       ///< write: at the end of file
  bool exclusive = false;    ///< create: EEXIST if the name is there (else the existing object is the outcome)
  bool anonymous = false;    ///< create: without a name (O_TMPFILE)
  bool kill_suid_gid = false;  ///< set_xattr of an access control list: setgid
  bool data_only = false;    ///< sync: fdatasync
  AttributeChange change;
  LockRequest lock;
  InodeId expects;        ///< unlink, rmdir, rename: what the asker's kernel takes `name` for; kNoInode: not known
  InodeId other_expects;  ///< rename: the same of `text`; kNoInode: nothing has it
};

/// What became of it: `error` is an errno, 0 is success.
struct Outcome {
  int error = 0;
  runtime::HostAttributes attributes;  ///< of the object made or changed; inode 0: none
  std::uint64_t value = 0;             ///< bytes written; rename: the object that was replaced, if it has other names; see plan()
  std::uint64_t offset = 0;            ///< write: where the data came to stand
  bool existed = false;                ///< create: the object was there before
  bool unexpected = false;             ///< unlink, rmdir, rename: a name was not what the asker's kernel takes it for
};

// --- what it changes -------------------------------------------------------------------------------------------------

/// `length` bytes of the payload go to byte `address` of the area; payload bytes are used in the order of the writes.
/// fresh: the blocks are new to their file, what the write leaves of them is zeros. zeros: the bytes become zero and use
/// no payload; any byte range.
struct AreaWrite {
  std::uint64_t address = 0;
  std::uint64_t length = 0;
  bool fresh = false;
  bool zeros = false;
  bool operator==(const AreaWrite&) const = default;
};

/// What kernels keep and must not keep any longer.
struct Drop {
  enum class Kind : std::uint8_t { attributes, pages, listing, name } kind{};
  InodeId inode;     ///< name: the directory
  ByteRange range;   ///< pages; length 0: to the end
  std::string name;  ///< name
  bool operator==(const Drop&) const = default;
};

/// One turn that a request asks of the status table: blocks of a file, names (hashes) of a directory, or a directory with
/// everything below it.
struct Turn {
  enum class Kind : std::uint8_t { data, names, tree } kind{};
  InodeId object;
  std::uint64_t first = 0;  ///< block of the file, or hash of the name; tree: 0
  std::uint64_t count = 0;  ///< ~0: to the end
  bool operator==(const Turn&) const = default;
};

/// Times of a file that are kept in memory and written later, by a `settle`.
struct LazyTimes {
  InodeId inode;  ///< 0: none
  WallTime mtime;
  WallTime ctime;
  bool operator==(const LazyTimes&) const = default;
};

/// What one request changes, the same at every site. Computed by the primary only.
struct Effect {
  Epoch epoch;
  Seq seq;
  RequestId request;
  std::vector<Turn> turns;               ///< what is exclusive until every site has answered; not in the log
  KeyBatch batch;                        ///< empty: nothing to log (an overwrite)
  std::vector<AreaWrite> writes;
  std::vector<std::uint64_t> checksums;  ///< of each block that `writes` touch, in their order, as it is afterwards
  std::vector<BlockRange> allocated;     ///< what the batch takes from free space
  std::vector<BlockRange> freed;         ///< and what it gives back
  std::vector<Drop> drops;
  LazyTimes times;
  std::vector<ByteRange> sync;           ///< of the area, to be made stable (with checksums and log) before the answer
  bool sync_all = false;                 ///< checksums and log too, for a sync that found no data
  Outcome outcome;
  bool operator==(const Effect&) const = delete;
};

// --- membership ------------------------------------------------------------------------------------------------------

/// One membership of the volume. Entries of two sites are the same if their ids are.
struct EpochEntry {
  Epoch number;
  Uuid id;             ///< random
  SiteId primary;      ///< in in_sync
  SiteSet in_sync;     ///< the sites that hold every acknowledged write
  Seq base;            ///< last effect of earlier epochs that counts: later ones were never acknowledged
  bool forced = false; ///< by an administrator, without proof that no other membership goes on
  bool operator==(const EpochEntry&) const = default;
};

/// What a site remembers of its membership, in its area (C, M: "recorded").
struct SiteState {
  std::vector<EpochEntry> history;  ///< oldest first; the last one is in force
  std::vector<Uuid> stores;         ///< by SiteId: the area that counts as that site's; nil: none was met yet
  Epoch wrote;                      ///< last epoch in which this site gave effects as primary
  bool unproven = false;            ///< acknowledged writes may be missing here (M6)
  bool left = false;                ///< it holds every acknowledged write of the entry in force, but asked to be let go (M8)
  bool incomplete = false;          ///< the keys are a mixture of two states: they are to be compared with the source's
  bool discards = false;            ///< an administrator said that what this site has of its own since a fork may go
  bool armed = false;               ///< this site, the primary, may go on alone without asking the arbiter (M5)
  bool promised = false;            ///< this site does not ask the arbiter to take the other one out
  Seq data_lost;                    ///< the only member lost power behind it: data of effects up to here may be missing, which its log has
  std::vector<EpochEntry> proposal; ///< none or one: its swap was sent and has no known result yet; until then nothing is served
  std::uint64_t proposal_revision = 0;  ///< of the register, that the swap expects
  bool operator==(const SiteState&) const = default;
};

// --- messages --------------------------------------------------------------------------------------------------------

inline constexpr std::uint16_t kProtocolVersion = 6;

/// First message each way. What does not match closes the connection, with the reason.
struct Hello {
  std::uint16_t version = kProtocolVersion;
  std::string volume;
  Uuid volume_id;
  std::string site;
  Uuid store;          ///< store id of the sender's area
  Uuid start;          ///< random, new at each start of the daemon
  Uuid host_boot;      ///< of the machine
  std::uint64_t settings_digest = 0;  ///< of what must agree in the configurations
  std::string settings;               ///< the same as text, one KEY=VALUE a line, to name what differs
  SiteState state;     ///< what the sender remembers of the membership
  bool accepts_new_store = false;     ///< an administrator said that the receiver's new area is welcome
  bool diskless = false;              ///< the sender has no area that lasts: its hosts work through the receiver (C7)
  Seq logged;          ///< last effect in the log or the keys
  Seq applied;         ///< last effect applied in this start (0 after a start, before any)
  std::uint64_t waits_from = 0;       ///< see Ping
  std::vector<Seq> unanswered;        ///< applied, not yet MIRRORED: still dropping
  std::vector<InodeId> orphans_open;  ///< open here, without a name
};

/// The sender closes the connection; a person should read why.
struct Refuse { std::string reason; };

/// Secondary -> primary: a request of its host (W2 step 2). The payload is present, or `length` bytes wait for a GRANT.
struct Forward { RequestId request; Operation operation; bool with_payload = false; std::uint64_t waits_from = 0; };
/// Primary -> secondary: the ranges are exclusive, send the data.
struct Grant { RequestId request; };
/// Secondary -> primary: the data after a GRANT; payload.
struct Data { RequestId request; };
/// Primary -> secondary: a forwarded request took effect (W2 step 5); the secondary has the payload.
/// `dropped`: the primary's kernel keeps nothing stale; else a DROPPED follows, and the host is answered only then.
struct Commit { Effect effect; bool dropped = true; };
struct DroppedAt { Seq seq; };
/// Primary -> secondary: a forwarded request changed nothing: an error, or nothing to do. `held`: a reservation holds it back,
/// which the secondary has applied before this arrives; it is to be forwarded again when reservations have changed.
struct Refusal { RequestId request; Outcome outcome; bool held = false; };
/// Primary -> secondary: an effect with its payload (W1 step 3). Without: the receiver is a target, and every block of the
/// effect is one that it will be sent.
struct Mirror { Effect effect; bool without_payload = false; std::uint64_t waits_from = 0; };
/// Secondary -> primary: written, published, dropped (W1 step 6, W2 step 8). `open`: the orphans among the effect's
/// objects that are open here.
struct Mirrored { Seq seq; std::vector<InodeId> orphans_open; };
/// Secondary -> primary: the last handle of an object without a name was closed here.
struct OrphanClosed { InodeId inode; };

/// Heartbeat, both ways; `echo` is the number of the last one received.
/// `stable`: up to here everything survives loss of power at the sender; the other side need not keep it for the sender, and
/// space that was freed up to here may be used again. `urgent`: somebody waits for the receiver's to rise.
/// `waits_from`: no request of the sender's host below this number (of this start) waits for an answer any more.
/// `short_of_room`: the sender's medium has no room for metadata to grow: nothing that needs some is to be ordered.
struct Ping {
  std::uint64_t number = 0;
  std::uint64_t echo = 0;
  Seq stable;
  std::uint64_t waits_from = 0;
  bool urgent = false;
  bool short_of_room = false;
};

/// Asks the other side for bytes of its area as they stand: payload of a Blocks with the same number.
struct FetchBlocks { std::uint64_t number = 0; BlockRange blocks; };
struct Blocks { std::uint64_t number = 0; BlockRange blocks; bool bad = false; std::vector<std::uint64_t> checksums; };
/// Asks for the logged effects behind `after`: each comes as a Record with its payload, then a Synced.
struct FetchLog { Seq after; };
/// Without payload: the receiver is a target.
struct Record { Effect effect; bool without_payload = false; };
/// Ends a phase of the handshake: the sender has nothing more to catch up with (or to send).
/// `dropping`: effects of forwarded requests of which the sender's kernel may still keep the old; of all others a DROPPED
/// that got lost counts as received.
struct Synced { Seq seq; std::vector<Seq> dropping; };

/// verify. Begin: take a snapshot of the keys at this place of the stream.
struct VerifyBegin { std::uint64_t number = 0; };
/// Digest of up to `limit` keys from `from` of the snapshot; or (`blocks`) of blocks as they stand.
struct VerifyAsk { std::uint64_t number = 0; std::string from; std::string to; std::uint32_t limit = 0; BlockRange blocks; };
/// `bad`: blocks that do not match their own checksum, or could not be read.
struct VerifyAnswer { std::uint64_t number = 0; std::uint64_t digest = 0; std::string next; std::uint64_t keys = 0; std::vector<std::uint64_t> bad; std::vector<std::uint64_t> block_digests; };
struct VerifyEnd { std::uint64_t number = 0; };

/// Primary -> the other: this is recorded and in force; to be recorded there too, and answered with Recorded.
struct Membership { std::vector<EpochEntry> history; std::vector<Uuid> stores; };
struct Recorded { Epoch number; };
/// Secondary -> primary: take this site out of the in-sync set, then it goes.
struct Leave { std::string reason; };
/// Target -> source: no host is served here and no kernel keeps anything. `caught_up`: the keys are equal, effects are
/// applied; what the source answers (a Synced) is the moment from which its acknowledgements wait for this site.
struct ServesNobody { bool caught_up = false; };

/// Primary -> secondary: make these granules, the log and the keys stable. Answered with Checkpointed.
struct Checkpoint { std::uint64_t number = 0; std::vector<std::uint64_t> granules; };
struct Checkpointed { std::uint64_t number = 0; };
/// Primary -> secondary: these granules are equal and stable at both sites at this place of the stream (C6).
struct Clear { std::vector<std::uint64_t> granules; };

/// Source -> target: the source's keys after effect `seq` can be asked for from now on: all of them are to be compared
/// (`whole`), or just those that the target's own effects touched which the source never had; then the RECORDs up to `seq`
/// follow.
struct KeysMark { std::uint64_t number = 0; Seq seq; bool whole = false; };
/// Target -> source: the values, at the mark, of `keys`, or of all with from <= key < to.
struct KeysFetch { std::uint64_t number = 0; std::vector<std::string> keys; std::string from; std::string to; };
/// `pairs`: a key without value is absent at the source. `next`: where to go on; empty: that was all.
struct Keys { std::uint64_t number = 0; KeyBatch pairs; std::string next; };

/// Source -> target: this write of the target's host took effect, at `offset` of its file, and its data is lost: it is not done.
struct DataLost { RequestId request; std::uint64_t offset = 0; };
/// Target -> source: which granules are suspect at the target, from granule `first` on.
struct Suspects { std::uint64_t first = 0; std::string bits; bool last = false; };
/// Source -> target: the checksums of a granule's blocks (of the last granule of an area, fewer).
struct Compare { std::uint64_t granule = 0; std::vector<std::uint64_t> checksums; };
/// Target -> source: a bit for each block that is different here.
struct Want { std::uint64_t granule = 0; std::string bits; };
/// Source -> target: blocks as they are at this place of the stream; payload. `last`: the granule is equal now; may have no blocks.
/// `bad`: the block is lost, the payload does not match its checksum and is to be kept like that: reads say so at both sites.
struct Copy { std::uint64_t granule = 0; BlockRange blocks; std::vector<std::uint64_t> checksums; bool last = false; bool bad = false; };

/// A command of an administrator that the other site is to carry out, and what it says, as the control socket has them.
struct Command { std::uint64_t number = 0; std::string text; };
struct CommandAnswer { std::uint64_t number = 0; std::string text; bool last = false; };

/// While the arbiter is away: who goes on if the link is lost, too (M5; controller/arms.h).
enum class ArmsStep : std::uint8_t {
  ask,       ///< primary -> secondary, numbered: promise not to use the arbiter against this site
  promised,  ///< secondary -> primary: that is recorded here, to the ASK of that number
  returned,  ///< either way: the sender is not armed, which is recorded; a promise that was given to it is void
  answers,   ///< secondary -> primary: the arbiter answers here, so the promise is to be given back
};
struct Arms { ArmsStep step{}; std::uint64_t number = 0; };

using Message = std::variant<Hello, Refuse, Forward, Grant, Data, Commit, DroppedAt, Refusal, Mirror, Mirrored, OrphanClosed,
                             Ping, FetchBlocks, Blocks, FetchLog, Record, Synced, VerifyBegin, VerifyAsk, VerifyAnswer,
                             VerifyEnd, Membership, Recorded, Leave, ServesNobody, Checkpoint, Checkpointed, Clear, KeysMark,
                             KeysFetch, Keys, Suspects, Compare, Want, Copy, Command, CommandAnswer, Arms, DataLost>;

}  // namespace lockstep::wire
