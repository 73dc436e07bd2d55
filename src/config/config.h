// config.h - the configuration: one file, the same at every site. lockstep.toml(5) describes it.
//
// Invariants of a Config that parse() returned:
//   (1) Every value is within the bounds that settings.h lists, and the rules between values (rules.h) hold.
//   (2) `sites` has two entries, sorted by name; a SiteId is a position in it, so it means the same at every site.
//   (3) No text in it has control characters; paths are absolute and in their shortest form.
//
// parse() reads untrusted bytes: bounded memory, no exception, every mistake in the file is reported, not just the
// first.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/log.h"
#include "core/result.h"
#include "core/types.h"

namespace lockstep::config {

/// Where a site's peer channel is reached.
struct Address {
  std::string host;  ///< name, IPv4 address, or IPv6 address without brackets
  std::uint16_t port = 0;
  /// HOST:PORT, or [HOST]:PORT: what runtime::Net takes.
  [[nodiscard]] std::string text() const;
  bool operator==(const Address&) const = default;
};

/// One [site.NAME].
struct Site {
  std::string name;
  Address address;      ///< this site listens on it, the other connects to it
  std::string area;     ///< directory of the storage area
  std::string mount;    ///< mount point of the volume
  std::string control;  ///< path of the control socket
  bool operator==(const Site&) const = default;
};

struct Limits {
  std::uint64_t area_bytes = 0;               ///< of an area's blocks; whole blocks; no default
  std::uint64_t log_bytes = 64ull << 20;      ///< of an area's operation log; whole blocks
  std::uint64_t inline_bytes = 64ull << 10;   ///< a forwarded request with more data than this travels in two steps
  std::uint64_t window_bytes = 64ull << 20;   ///< of effects that were sent and not answered
  std::uint64_t requests = 1024;              ///< changing requests of a site's host in work; more wait in the kernel
  std::uint64_t memory_bytes = 512ull << 20;  ///< ceiling: window, and the cache for metadata
  std::uint64_t diskless_bytes = 4ull << 30;  ///< of metadata in memory while a site works without its area; 0: it does not
  std::uint64_t resync_bytes_per_second = 0;  ///< of copying to a site that comes back; 0: as fast as it goes
  bool operator==(const Limits&) const = default;
};

struct Timing {
  Duration heartbeat = std::chrono::milliseconds(500);  ///< between pings
  Duration peer_timeout = std::chrono::seconds(2);      ///< silence after which the other site counts as away
  Duration connect_timeout = std::chrono::seconds(2);   ///< for one attempt to connect
  Duration reconnect = std::chrono::milliseconds(250);  ///< first wait before the next attempt; doubles
  Duration reconnect_max = std::chrono::seconds(5);     ///< up to this
  Duration spin = std::chrono::microseconds(50);        ///< the loop polls so long before it sleeps; 0: off
  Duration name_drop = std::chrono::milliseconds(20);   ///< patience with the kernel's locks on names
  Duration contended = std::chrono::seconds(60);        ///< the kernel keeps no names so long of a directory whose lock took longer
  Duration settle = std::chrono::seconds(5);            ///< lazily kept times are written after this
  Duration attributes = std::chrono::hours(1);          ///< the kernel may keep attributes so long
  Duration entries = std::chrono::hours(1);             ///< and names
  Duration read_lease = std::chrono::seconds(3);        ///< a site serves so long after a ping that the other answered
  Duration takeover = std::chrono::seconds(5);          ///< a site acknowledges alone so long after its last answer
  Duration takeover_delay = std::chrono::seconds(1);    ///< a secondary asks the arbiter so much later than a primary
  Duration patience = std::chrono::minutes(10);         ///< a host's request waits so long for a site to serve; 0: for ever
  Duration slow_peer = std::chrono::seconds(30);        ///< a peer that takes longer for an answer is removed; 0: never
  Duration lock_grace = std::chrono::seconds(30);       ///< locks of a site that was left behind are kept so long
  bool operator==(const Timing&) const = default;
};

/// When a write is acknowledged: in every in-sync area as the system below holds it, or flushed there.
enum class Acknowledge : std::uint8_t { written, stable };
/// How hosts read: through the kernel's page cache (R2), or every open direct, linearizable across sites.
enum class Coherence : std::uint8_t { cached, strict };
/// What a site may do that reaches neither the other one nor an arbiter, because none is configured.
enum class Alone : std::uint8_t {
  primary,  ///< the primary goes on alone, the secondary waits
  never,    ///< both wait
};
/// How areas are read and written.
enum class Io : std::uint8_t { buffered };

struct Options {
  Acknowledge acknowledge = Acknowledge::written;
  Coherence coherence = Coherence::cached;
  Io io = Io::buffered;
  log::Level log_level = log::Level::info;
  Alone alone = Alone::primary;
  bool operator==(const Options&) const = default;
};

/// Where membership is remembered outside of both sites: [arbiter].
struct Arbiter {
  std::vector<std::string> endpoints;  ///< of one etcd: "http://HOST:PORT", at least one; they are asked in this order
  std::string key;                     ///< of the register, 1 to 256 printable bytes; no other volume uses it
  Duration timeout = std::chrono::seconds(2);  ///< it counts as away if it has not answered for so long
  std::string ca;           ///< file with what vouches for https endpoints; empty: what the system has
  std::string certificate;  ///< file with this site's certificate; empty: none is shown
  std::string private_key;  ///< its key; empty if and only if `certificate` is
  bool operator==(const Arbiter&) const = default;
};

struct Config {
  std::string volume;       ///< its name
  Uuid volume_id;           ///< its identity; never nil
  SiteId primary;           ///< the site that orders every write
  std::vector<Site> sites;  ///< sorted by name
  Limits limits;
  Timing timing;
  Options options;
  std::optional<Arbiter> arbiter;

  /// The site of that name. Errc::absent lists the names.
  [[nodiscard]] Result<SiteId> site(std::string_view name) const;
  /// Requires: `id` came from this configuration.
  [[nodiscard]] const Site& at(SiteId id) const;
  /// The one that is not `id`. Requires: two sites.
  [[nodiscard]] SiteId other(SiteId id) const;
  bool operator==(const Config&) const = default;
};

/// A longer file is refused unread.
inline constexpr std::size_t kFileBytesMax = 1 << 20;
/// So many mistakes are told one by one, the others are counted.
inline constexpr std::size_t kProblemsMax = 50;

/// Reads the file at `path`. Errc::absent: there is none; Errc::io: it can't be read; else as parse().
[[nodiscard]] Result<Config> load(const std::string& path);
/// Errc::invalid: one line a mistake, FILE:LINE: KEY: what is wrong and what is allowed; `file` is only for that.
[[nodiscard]] Result<Config> parse(std::string_view text, std::string_view file);

}  // namespace lockstep::config
