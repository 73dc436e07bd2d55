// lockstep - the command line. lockstep(1).
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cstdlib>

#include "bin/asking.h"
#include "bin/daemon_commands.h"
#include "bin/exit_status.h"
#include "bin/format_command.h"
#include "bin/fsck_command.h"
#include "bin/lock_commands.h"
#include "bin/reserve_command.h"
#include "bin/scrub_command.h"
#include "bin/watch_command.h"
#include "config/config.h"

namespace lockstep::cli {
namespace {

struct Options {
  std::string config = "/etc/lockstep/lockstep.toml";
  std::string site;
  bool json = false;
  bool force = false;
  bool yes = false;
  std::string other;
  bool arbiter = false;
  FormatCommand format;
  TraceOptions trace;
  FsckCommand fsck;
  ScrubCommand scrub;
  bool repair = false;
  LocksCommand locks;
  ReserveCommand reserve;
  ResolveCommand resolve;
  WatchCommand watch;
};

ExitStatus could_not(std::string_view text) {
  complain(text.starts_with("lockstep: ") ? text.substr(std::string_view("lockstep: ").size()) : text);
  return kCouldNot;
}

ExitStatus check_configuration(const Options& options) {
  const Result<config::Config> config = config::load(options.config);
  if (!config) {
    fmt::print(stderr, "{}\n", config.error().text);
    return config.error().code == Errc::invalid ? kNo : kCouldNot;
  }
  fmt::print("{}: no mistakes; volume {}, primary {}, sites", options.config, config->volume, config->at(config->primary).name);
  for (const config::Site& site : config->sites) fmt::print(" {} ({})", site.name, site.address.text());
  fmt::print("\n");
  return kYes;
}

/// Calls `command` with the configuration and this site in it.
template <class Command>
ExitStatus at_site(const Options& options, Command command) {
  const Result<config::Config> config = config::load(options.config);
  if (!config) return could_not(config.error().text);
  if (options.site.empty()) {
    std::string names;
    for (const config::Site& site : config->sites) names += (names.empty() ? "" : " or ") + site.name;
    return could_not(fmt::format("which site? give --site NAME (or set LOCKSTEP_SITE): {}", names));
  }
  const Result<SiteId> site = config->site(options.site);
  if (!site) return could_not(site.error().text);
  return command(*config, *site);
}

int run(int argc, char** argv) {
  Options options;
  CLI::App app("Lockstep: one volume, mounted at two sites, every write at both before it is acknowledged.", "lockstep");
  app.set_version_flag("--version", std::string("lockstep ") + LOCKSTEP_VERSION);
  app.add_option("--config", options.config, "configuration file")->envname("LOCKSTEP_CONFIG")->capture_default_str()->type_name("FILE");
  app.add_option("--site", options.site, "the site whose daemon or area is meant")->envname("LOCKSTEP_SITE")->type_name("NAME");
  app.require_subcommand(1);
  app.fallthrough();
  app.footer("Exit status: 0 done or yes, 1 no (not in sync, not equal, mistakes), 2 could not. See lockstep(1).");

  CLI::App* format = app.add_subcommand("format", "make the storage area of the site; what is in it goes");
  format->add_flag("--force", options.format.force, "also when there is an area already");
  format->add_option("--size", options.format.size, "bytes of the area, instead of limits.area")->type_name("SIZE");

  CLI::App* status = app.add_subcommand("status", "is the data safe, what is wrong, what to do");
  status->add_flag("--json", options.json, "one line for programs");

  CLI::App* verify_command = app.add_subcommand("verify", "compare every block and key of both sites, while in use");
  verify_command->add_flag("--json", options.json, "one line for programs");
  verify_command->add_flag("--repair", options.repair, "make what is different equal; what is good counts before what is bad, then the primary's");

  CLI::App* scrub_command = app.add_subcommand("scrub", "read this site's blocks against their checksums, repair from the other site");
  scrub_command->add_option("--rate", options.scrub.rate, "at most so many bytes a second, e.g. 50MiB")->type_name("SIZE");
  scrub_command->add_flag("--json", options.scrub.json, "one line for programs");

  CLI::App* trace_command = app.add_subcommand("trace", "the steps of requests: the last ones that the daemon remembers");
  trace_command->add_flag("--follow", options.trace.follow, "go on with what happens, until interrupted");
  trace_command->add_flag("--profile", options.trace.profile, "what each step costs: time, system calls, switches, hops");
  trace_command->add_option("--count", options.trace.count, "end after so many lines")->type_name("N")->check(CLI::PositiveNumber);

  CLI::App* mount_command = app.add_subcommand("mount", "mount the volume again where somebody has unmounted it");

  CLI::App* switch_over_command = app.add_subcommand("switchover", "make the other site the primary; no request fails");
  switch_over_command->add_option("--to", options.other, "the site that is to be primary; nothing happens if it is")->type_name("NAME");

  CLI::App* take_over_command = app.add_subcommand("takeover", "make this site go on alone although that is not known to be safe");
  take_over_command->add_flag("--force", options.force, "do it; without, say only what may be lost");
  take_over_command->add_flag("--yes", options.yes, "do not ask");

  CLI::App* replace_command = app.add_subcommand("replace", "fill the new area of the other site, or accept a new arbiter");
  CLI::Option_group* replaced = replace_command->add_option_group("what is new");
  replaced->add_option("new-site", options.other, "the site whose area is new")->type_name("NAME");
  replaced->add_flag("--arbiter", options.arbiter, "the etcd that is asked as arbiter");
  replaced->require_option(1);

  CLI::App* divergence_command = app.add_subcommand("divergence", "after a divergence: what this site has of its own");
  divergence_command->add_flag("--json", options.json, "one line for programs");

  CLI::App* resolve_command = app.add_subcommand("resolve", "after a divergence: whose changes go");
  resolve_command->add_option("--discard", options.resolve.discard, "the site that is made equal to the other one")->required()->type_name("NAME");
  resolve_command->add_option("--keep", options.resolve.keep, "where a copy of what goes is made: a directory, or \"none\" (default: \"discarded\" in the area)")->type_name("DIR");
  resolve_command->add_flag("--partly", options.resolve.partly, "also when not all of it can be kept");

  CLI::App* locks_command = app.add_subcommand("locks", "who holds advisory locks (fcntl, flock), and who waits for them");
  locks_command->add_option("path", options.locks.path, "of this file only")->type_name("PATH");
  locks_command->add_flag("--json", options.locks.json, "one line for programs");
  CLI::App* locks_break = locks_command->add_subcommand("break", "take the locks on a file away; files through which they were held get EIO");
  locks_break->add_option("path", options.locks.path, "the file")->required()->type_name("PATH");
  locks_break->add_option("--holder", options.locks.holder, "only those of this site's hosts")->type_name("NAME");
  CLI::App* reserve_command = app.add_subcommand("reserve", "keep other sites from changing a file, a part of it, or a directory tree");
  reserve_command->add_option("path", options.reserve.path, "a file or directory in the mount of the site")->type_name("PATH");
  reserve_command->add_option("--range", options.reserve.range, "bytes of a file, in whole blocks of 4096")->type_name("FIRST-LAST");
  CLI::Option* wait = reserve_command->add_flag("--wait", options.reserve.wait, "what others change there waits (the default)");
  reserve_command->add_flag("--busy", options.reserve.busy, "what others change there fails with EBUSY")->excludes(wait);
  CLI::Option* list = reserve_command->add_flag("--list", options.reserve.list, "what is reserved, and by whom");
  reserve_command->add_flag("--json", options.reserve.json, "with --list: one line for programs")->needs(list);
  CLI::Option* breaks = reserve_command->add_flag("--break", options.reserve.breaks, "release it, whichever site holds it")->excludes(list);
  reserve_command->add_flag("--force", options.reserve.force, "with --break: do not ask")->needs(breaks);

  CLI::App* release_command = app.add_subcommand("release", "give up what this site has reserved");
  release_command->add_option("path", options.reserve.path, "a file or directory in the mount of the site")->required()->type_name("PATH");
  release_command->add_option("--range", options.reserve.range, "just the reservation of these bytes")->type_name("FIRST-LAST");

  CLI::App* watch_command = app.add_subcommand("watch", "changes of files and directories, of either site, as they happen");
  watch_command->add_option("path", options.watch.paths, "files or directories in the mount of the site")->required()->type_name("PATH");
  watch_command->add_flag("-r,--recursive", options.watch.recursive, "everything below directories, not just what stands in them");
  watch_command->add_flag("--json", options.watch.json, "one line for programs each");
  watch_command->add_option("--count", options.watch.count, "end after so many changes")->type_name("N")->check(CLI::PositiveNumber);

  CLI::App* fsck = app.add_subcommand("fsck", "examine a storage area that no daemon has");
  fsck->add_option("area", options.fsck.area, "directory of the area")->required()->type_name("AREA");
  fsck->add_flag("--repair", options.fsck.repair, "mend what can be mended without guessing");
  fsck->add_flag("--data", options.fsck.data, "read every allocated block, too");
  fsck->footer("Exit status: 0 sound, 1 repaired, 2 something is left, 3 could not be checked.");

  CLI::App* config_command = app.add_subcommand("config", "about the configuration");
  config_command->require_subcommand(1);
  CLI::App* config_check = config_command->add_subcommand("check", "say every mistake in the configuration");
  config_command->fallthrough();

  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    if (app.exit(error) == 0) return kYes;
    return fsck->parsed() ? static_cast<int>(kNotChecked) : kCouldNot;
  }

  if (fsck->parsed()) return fsck_area(options.fsck);
  if (config_check->parsed()) return check_configuration(options);
  return at_site(options, [&](const config::Config& config, SiteId site) -> ExitStatus {
    const std::string& control = config.at(site).control;
    if (format->parsed()) return format_area(config, site, options.format);
    if (status->parsed()) return show_status(control, options.json);
    if (verify_command->parsed()) return verify(control, options.json, options.repair);
    if (scrub_command->parsed()) return scrub(control, options.scrub);
    if (mount_command->parsed()) return mount(control);
    if (switch_over_command->parsed()) return switch_over(control, options.other);
    if (take_over_command->parsed()) return take_over(control, options.force, options.yes);
    if (replace_command->parsed()) return options.arbiter ? replace_arbiter(control) : replace(control, options.other);
    if (divergence_command->parsed()) return show_divergence(control, options.json);
    if (resolve_command->parsed()) return resolve(control, options.resolve);
    const std::string& mount = config.at(site).mount;
    if (locks_break->parsed()) return break_locks(control, mount, options.locks);
    if (locks_command->parsed()) return show_locks(control, mount, options.locks);
    if (reserve_command->parsed()) return reserve(config.at(site), options.reserve);
    if (release_command->parsed()) return release(config.at(site), options.reserve);
    if (watch_command->parsed()) return watch(config.at(site), options.watch);
    return trace(control, options.trace);
  });
}

}  // namespace
}  // namespace lockstep::cli

int main(int argc, char** argv) { return lockstep::cli::run(argc, argv); }
