# shellcheck shell=bash
# Sites in network namespaces of their own, for tests that cut lines. After lib.sh:
#
#   net_up                    # namespaces of east, west and arbiter; a line between each two; the configuration
#   use_arbiter               # etcd (ETCD_PID) in the arbiter's, and [arbiter] in the configuration
#   format_and_start         # what is formatted stays
#   cut east west             # packets of east do not reach west; the other way round they do
#   cut_both east arbiter
#   heal                      # of all cuts
#   set_line east west down   # the interface of east towards west loses its carrier, at both ends; then: up
#
# and load for them:
#
#   begin_load NAME           # at both sites: a ledger, and a reader of what the other site's counter had acknowledged
#   watch_status              # in the background: nobody claims what can't be true (honesty.py)
#   end_load NAME MS SITE...  # everything acknowledged is there, nothing stale was read; SITEs had no error and no pause above MS
#
# A daemon of a site is reached by its mount and its control socket, which no cut concerns.

command -v nft >/dev/null || fail "nft is not installed: apt-get install nftables"
PLACES=(east west arbiter)

# in_net PLACE COMMAND...
in_net() { local place=$1; shift; nsenter "--net=/run/netns/${NETNS[$place]}" "$@"; }
line_between() { # A B SUBNET
  ip -n "${NETNS[$1]}" link add "to-$2" type veth peer name "to-$1" netns "${NETNS[$2]}"
  ip -n "${NETNS[$1]}" address add "$3.1/24" dev "to-$2"
  ip -n "${NETNS[$2]}" address add "$3.2/24" dev "to-$1"
  ip -n "${NETNS[$1]}" link set "to-$2" up
  ip -n "${NETNS[$2]}" link set "to-$1" up
}
net_up() {
  local place
  for place in "${PLACES[@]}"; do
    NETNS[$place]=lockstep-$$-$place
    ip netns add "${NETNS[$place]}" 2>/dev/null || skip "no network namespaces here"
    ip -n "${NETNS[$place]}" link set lo up
    in_net "$place" nft add table inet cuts || skip "no nftables here"
    in_net "$place" nft add chain inet cuts in '{ type filter hook input priority 0; }'
  done
  line_between east west 10.77.0
  line_between east arbiter 10.77.1
  line_between west arbiter 10.77.2
  # The arbiter has one address for both.
  ip -n "${NETNS[arbiter]}" address add 10.77.9.9/32 dev lo
  ip -n "${NETNS[east]}" route add 10.77.9.9/32 via 10.77.1.2
  ip -n "${NETNS[west]}" route add 10.77.9.9/32 via 10.77.2.2
  # shellcheck disable=SC2034  # of lib.sh
  ADDRESS_EAST=10.77.0.1 ADDRESS_WEST=10.77.0.2
  configure
}
cut() { in_net "$2" nft add rule inet cuts in iifname "to-$1" drop; }
cut_both() { cut "$1" "$2"; cut "$2" "$1"; }
heal() { local place; for place in "${PLACES[@]}"; do in_net "$place" nft flush chain inet cuts in; done; }
set_line() { ip -n "${NETNS[$1]}" link set "to-$2" "$3"; }

etcd_answers() {
  in_net arbiter python3 -c 'import urllib.request; urllib.request.urlopen("http://10.77.9.9:2379/health", timeout=1)' 2>/dev/null
}
use_arbiter() {
  command -v etcd >/dev/null || fail "etcd is not installed: apt-get install etcd-server"
  write_config "$CONFIG" "" "[arbiter]" 'endpoints = ["http://10.77.9.9:2379"]'
  nsenter "--net=/run/netns/${NETNS[arbiter]}" etcd --data-dir "$T/etcd" --name only --listen-client-urls http://10.77.9.9:2379 \
    --advertise-client-urls http://10.77.9.9:2379 --listen-peer-urls http://10.77.9.9:2380 \
    --initial-advertise-peer-urls http://10.77.9.9:2380 --initial-cluster only=http://10.77.9.9:2380 --unsafe-no-fsync >"$T/etcd.log" 2>&1 &
  ETCD_PID=$!
  HELPERS+=("$ETCD_PID")
  wait_until 20 etcd_answers || fail "etcd does not answer: $(tail -n 3 "$T/etcd.log")"
}
format_and_start() {
  local site
  for site in east west; do [[ -e $T/area-$site/superblock ]] || lockstep_at $site format >/dev/null; done
  for site in east west; do start_site $site; done
  wait_in_sync
}

# --- load ------------------------------------------------------------------------------------------------------------------

declare -A LOAD=() # pid by what it is
other_of() { if [[ $1 == east ]]; then echo west; else echo east; fi; }
in_background() { # NAME COMMAND...
  local name=$1
  shift
  "$@" >"$T/out-$name" 2>&1 &
  LOAD[$name]=$!
  HELPERS+=($!)
}
acknowledged() { grep -c '^done' "$T/ledger-$1" || true; } # SITE
gets_on() { (($(acknowledged "$1") > $2)); }
# goes_on SITE SECONDS: steps of the load at SITE are acknowledged
goes_on() { wait_until "$2" gets_on "$1" $(($(acknowledged "$1") + 20)) || fail "writes at $1 do not go on within $2 s"; }
is_read() { grep -q '^reading' "$T/out-read-$1"; }
# All of it is under way when this returns.
begin_load() {
  local site
  rm -f "$T/stop"
  for site in east west; do
    mkdir -p "$T/$site/$1-$site"
    : >"$T/ledger-$site"
    in_background "ledger-$site" python3 "$E2E/ledger.py" work "$T/$site/$1-$site" "$T/ledger-$site" "$T/stop" "$RANDOM"
    in_background "count-$site" python3 "$E2E/freshness.py" count "$T/$site/$1-count-$site" "$T/count-$1-$site" "$T/stop"
  done
  for site in east west; do
    in_background "read-$site" python3 "$E2E/freshness.py" read "$T/$site/$1-count-$(other_of $site)" "$T/count-$1-$(other_of $site)" "$T/stop"
  done
  for site in east west; do goes_on $site 30; done
  for site in east west; do wait_until 30 is_read $site || fail "the reader at $site does not begin: $(cat "$T/out-read-$site")"; done
}
watch_status() { in_background watch python3 "$E2E/honesty.py" "$T/stop-watching" "$T/east.sock" "$T/west.sock"; }
end_watching() {
  touch "$T/stop-watching"
  wait "${LOAD[watch]}" || fail "a status was not true: $(cat "$T/out-watch")"
  cat "$T/out-watch"
}
load_ended() { local name; for name in {ledger,count,read}-{east,west}; do [[ ! -d /proc/${LOAD[$name]} ]] || return 1; done; }
end_load() {
  local name=$1 longest=$2 site took
  shift 2
  touch "$T/stop"
  wait_until 30 load_ended || fail "the load does not end"
  for site in east west; do
    wait "${LOAD[read-$site]}" || fail "a reader at $site: $(cat "$T/out-read-$site")"
    python3 "$E2E/ledger.py" check "$E/$name-$site" "$T/ledger-$site" || fail "something acknowledged at $site is lost, seen from east"
    python3 "$E2E/ledger.py" check "$W/$name-$site" "$T/ledger-$site" || fail "something acknowledged at $site is lost, seen from west"
  done
  for site in "$@"; do
    grep -q 'stopped$' "$T/out-ledger-$site" || fail "an application at $site got an error: $(cat "$T/out-ledger-$site")"
    wait "${LOAD[count-$site]}" || fail "an application at $site got an error: $(cat "$T/out-count-$site")"
    took=$(sed -n 's/.*longest took \([0-9]*\) ms.*/\1/p' "$T/out-ledger-$site")
    step "the longest pause at $site was $took ms"
    [[ $took -lt $longest ]] || fail "the pause at $site was $took ms, $longest are allowed"
  done
}

# --- what status has to say --------------------------------------------------------------------------------------------------

says() { [[ $(status_of "$1" "$2" 2>/dev/null) == "$3" ]]; } # SITE EXPRESSION VALUE
EVERYTHING='" ".join([s["state"], s["primary"], "+".join(s["in_sync"]), "writable" if s["writable"] else "waits", s.get("alone", "")]).strip()'
# expect_status SITE SECONDS WORDS: state, primary, members, writable or waits, finding
expect_status() {
  wait_until "$2" says "$1" "$EVERYTHING" "$3" || fail "status of $1 is '$(status_of "$1" "$EVERYTHING")' after $2 s, not '$3'"
}
expect_first_line() { # SITE REGULAR-EXPRESSION
  local line
  line=$(first_line_of "$1")
  [[ $line =~ $2 ]] || fail "the first line of the status of $1 is '$line', not '$2'"
}
