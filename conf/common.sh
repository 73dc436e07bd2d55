# shellcheck shell=bash
# What the quick start and the tests share: packages, the build, mounts. To be sourced; sets nothing but functions,
# LOCKSTEP_SOURCE (the top of the source tree) and RELEASE_OPTIONS (how build/ is built).

# shellcheck disable=SC2034  # used by those who source this
RELEASE_OPTIONS=(--buildtype=debugoptimized)
LOCKSTEP_SOURCE=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

say() { printf '%s\n' "$@"; }
# die WHAT-HAPPENED WHAT-TO-DO
die() {
  printf '\n%s: %s\n  to do: %s\n' "${0##*/}" "$1" "${2:-see the lines above}" >&2
  exit 1
}

require_root() {
  [[ $EUID -eq 0 ]] || die "this mounts file systems and needs root" "run it with sudo: sudo $0 $*"
}

# packages_of SECTION...: the names in those sections of packages.txt
packages_of() {
  local section
  for section in "$@"; do
    awk -v want="[$section]" '/^\[/ { on = ($0 == want); next } on && NF && !/^#/ { print $1 }' \
      "$LOCKSTEP_SOURCE/conf/packages.txt"
  done
}

# install_packages SECTION...: installs what is missing; runs no package tool when nothing is
install_packages() {
  local package missing=()
  for package in $(packages_of "$@"); do
    [[ $(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null) == installed ]] || missing+=("$package")
  done
  [[ ${#missing[@]} -gt 0 ]] || return 0
  say "installing Debian packages: ${missing[*]}"
  [[ $EUID -eq 0 ]] || die "packages are missing: ${missing[*]}" "run this as root, or: sudo apt-get install ${missing[*]}"
  command -v apt-get >/dev/null || die "packages are missing and there is no apt-get: ${missing[*]}" \
    "use Debian 12, or install what these packages hold by hand"
  export DEBIAN_FRONTEND=noninteractive
  apt-get update -qq || die "apt-get update failed" "check the network and /etc/apt/sources.list, then run this again"
  apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null ||
    die "apt-get could not install: ${missing[*]}" "check that this is Debian 12 with its main section, then run this again"
}

# build_in DIR OPTIONS... -- TARGETS...: configures DIR of the source tree when needed and builds; no target: all
build_in() {
  local dir=$LOCKSTEP_SOURCE/$1 options=() log
  shift
  while [[ $# -gt 0 && $1 != -- ]]; do options+=("$1"); shift; done
  [[ $# -eq 0 ]] || shift
  mkdir -p "$dir"
  log=$dir/last-build.log
  local compiler=clang++-19
  command -v ccache >/dev/null && compiler="ccache $compiler"
  if [[ ! -f $dir/build.ninja ]]; then
    CXX=${CXX:-$compiler} meson setup "$dir" "$LOCKSTEP_SOURCE" "${options[@]}" >"$log" 2>&1 || {
      tail -n 20 "$log" >&2
      die "meson could not configure $dir" "the whole log is $log; after mending: rm -rf $dir and run this again"
    }
  fi
  ninja -C "$dir" "$@" >"$log" 2>&1 || {
    grep -aE 'error|FAILED' "$log" | head -n 20 >&2
    die "the build in $dir failed" "the whole log is $log"
  }
}

# mounted_device DIR: minor number of what is mounted there, also when that is dead; fails when nothing is
mounted_device() {
  local dir
  dir=$(realpath -ms "$1")
  dir=${dir// /\\040} awk '$5 == ENVIRON["dir"] { split($3, number, ":"); minor = number[2] }
    END { if (minor == "") exit 1; print minor }' /proc/self/mountinfo
}
is_mounted() { mounted_device "$1" >/dev/null; }

# take_mount_away DIR: unmounts; a FUSE mount whose daemon is gone or stuck is aborted first, so that nobody hangs on it
take_mount_away() {
  local device
  while device=$(mounted_device "$1"); do
    if ! timeout 5 umount "$1" 2>/dev/null; then
      if [[ -w /sys/fs/fuse/connections/$device/abort ]]; then echo 1 >"/sys/fs/fuse/connections/$device/abort"; fi
      umount -l "$1" || return 1
    fi
  done
}

# runs_as PID NAME: PID is alive and is the program NAME
runs_as() { [[ -n $1 && $(readlink "/proc/$1/exe" 2>/dev/null) == */"$2"* ]]; }

# wait_until SECONDS COMMAND...: runs COMMAND until it succeeds; 1 when the time is over
wait_until() {
  local end=$((SECONDS + $1))
  shift
  until "$@"; do
    ((SECONDS < end)) || return 1
    sleep 0.1
  done
}

# state_of JSON: the "state" of the output of `lockstep status --json` (needs no JSON tool)
state_of() { sed -n 's/.*"state": *"\([a-z-]*\)".*/\1/p' <<<"$1" | head -n 1; }
