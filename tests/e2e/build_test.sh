#!/usr/bin/env bash
# Sources of Debian packages are unpacked and built on the volume with make -j2: one at each site at the same time, while the other site
# reads along; then each site tests, installs and runs what the other one built, and builds the other's source again.
# The sources come from the mirrors that apt knows, through an apt configuration of its own, and are kept in build-sources/.
. "$(dirname "$0")/lib.sh"
SOURCES=${LOCKSTEP_SOURCES:-$LOCKSTEP_SOURCE/build-sources}

# fetch_source PACKAGE: its files in $SOURCES/PACKAGE, signed and checked by apt; nothing is asked when they are there
fetch_source() {
  local package=$1 file options
  ! compgen -G "$SOURCES/$package/*.dsc" >/dev/null || return 0
  mkdir -p "$SOURCES/apt/parts" "$SOURCES/apt/lists/partial" "$SOURCES/apt/cache" "$SOURCES/new-$package"
  for file in /etc/apt/sources.list /etc/apt/sources.list.d/*.{list,sources}; do
    [[ -f $file ]] || continue
    sed -E 's/^Types:.*/Types: deb-src/; s/^deb /deb-src /' "$file" >"$SOURCES/apt/parts/$(basename "$file")"
  done
  options=(-qq -o "Dir::Etc::sourcelist=/dev/null" -o "Dir::Etc::sourceparts=$SOURCES/apt/parts" -o "Dir::State::lists=$SOURCES/apt/lists"
    -o "Dir::Cache=$SOURCES/apt/cache" -o APT::Sandbox::User=root)
  timeout 120 apt-get "${options[@]}" update || fail "the lists of sources can't be had"
  (cd "$SOURCES/new-$package" && timeout 120 apt-get "${options[@]}" --download-only source "$package") || fail "the source of $package can't be had"
  mv "$SOURCES/new-$package" "$SOURCES/$package"
}
for package in zlib lua5.4; do fetch_source $package; done
rm -rf "$SOURCES/apt"
AREA_SIZE=384MiB two_sites

# unpack PACKAGE DIR, and build, test: as the package wants it
unpack() { dpkg-source --no-check --skip-patches -x "$SOURCES/$1"/*.dsc "$2" >"$T/unpack-$1" 2>&1 || fail "unpacking $1: $(tail -n 5 "$T/unpack-$1")"; }
build() {
  cd "$2" || return 1
  case $1 in
    zlib) CFLAGS=-O0 ./configure --prefix="$2/installed" && timeout 200 make -j2 ;;
    lua5.4) timeout 200 make -C src -j2 MYCFLAGS=-O0 posix ;;
  esac
}
check() {
  cd "$2" || return 1
  case $1 in
    zlib) timeout 100 make -j2 test && timeout 100 make install && [[ -s installed/lib/libz.a && -s installed/include/zlib.h ]] ;;
    lua5.4)
      echo 'local t = {} for i = 1, 1000 do t[i] = i * i end print(#t, t[1000], _VERSION)' >"$T/program.lua"
      src/luac -o "$2/program-$site.out" "$T/program.lua" && [[ $(src/lua "$2/program-$site.out") == $'1000\t1000000\tLua 5.4' ]]
      ;;
  esac
}
package_of() { if [[ $1 == east ]]; then echo zlib; else echo lua5.4; fi; }
other_of() { if [[ $1 == east ]]; then echo lua5.4; else echo zlib; fi; }

# builder SITE MOUNT: builds its package, and reads what the other site is just making
builder() {
  local mine other reader site=$1
  mine=$(package_of "$1") other=$(other_of "$1")
  unpack "$mine" "$2/$mine"
  while :; do find "$2/$other" -type f -exec cat {} + 2>/dev/null | cat >/dev/null; done &
  reader=$!
  HELPERS+=("$reader")
  build "$mine" "$2/$mine" || return 1
  kill "$reader" 2>/dev/null || true
}
# other_builder SITE MOUNT: tests and installs what the other site built, then builds it again in a copy
other_builder() {
  local other site=$1
  other=$(other_of "$1")
  check "$other" "$2/$other" || return 1
  unpack "$other" "$2/again-$other"
  build "$other" "$2/again-$other" || return 1
  check "$other" "$2/again-$other" || return 1
}

step "east builds zlib, west lua, each reads what the other one makes"
at_both 280 builder
python3 "$E2E/compare_trees.py" "$E" "$W" || fail "the sites differ"
step "each tests what the other one built, and builds it, too"
at_both 280 other_builder
for mount in "$E" "$W"; do
  cmp "$mount/zlib/libz.a" "$mount/again-zlib/libz.a" || fail "two builds of zlib differ at $mount"
  cmp "$mount/lua5.4/src/lua" "$mount/again-lua5.4/src/lua" || fail "two builds of lua differ at $mount"
done
python3 "$E2E/compare_trees.py" "$E" "$W" || fail "the sites differ"
step "nothing is left to make"
for mount in "$E" "$W"; do
  timeout 60 make -q -C "$mount/again-lua5.4/src" lua luac || fail "make finds something to do at $mount"
done
finish
