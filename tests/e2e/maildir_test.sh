#!/usr/bin/env bash
# Mail is delivered to one maildir from both sites at once, by maildrop and by Python's mailbox, while readers at both sites take what is
# new: each mail is taken by one of them, none is lost, none is there twice, each is whole at both sites. MAILS: of each of four senders.
. "$(dirname "$0")/lib.sh"
two_sites
MAILS=${MAILS:-150}

mail_user() { timeout 200 python3 "$E2E/maildir.py" "$@"; }
# deliver SITE MOUNT: two senders and a reader
deliver() {
  local n sender reader status=0
  mail_user read "$2/box" "$1" "$T/stop" "$T/taken-$1" &
  reader=$!
  mail_user send "$2/box" "$1-python" "$MAILS" &
  sender=$!
  for ((n = 0; n < MAILS; n++)); do
    maildrop "$T/filter-$1" <"$T/mails-$1/$n" || { echo "maildrop ended with $?"; status=1; break; }
  done
  wait "$sender" || status=1
  touch "$T/sent-$1"
  wait "$reader" || status=1
  return $status
}
all_sent() { [[ -e $T/sent-east && -e $T/sent-west ]]; }

maildirmake.maildrop "$E/box"
for site in east west; do
  echo "to \"$T/$site/box\"" >"$T/filter-$site"
  chmod 600 "$T/filter-$site"
  mail_user make "$T/mails-$site" "$site-maildrop" "$MAILS"
done
step "two senders and a reader at each site"
(wait_until 280 all_sent && touch "$T/stop") &
HELPERS+=($!)
at_both 280 deliver

step "each mail is there once, was taken once, is whole at both sites"
for mount in "$E" "$W"; do
  mail_user check "$mount/box" "$MAILS" "$T"/taken-{east,west} {east,west}-{python,maildrop} || fail "mails at $mount"
done
python3 "$E2E/compare_trees.py" "$E/box" "$W/box" || fail "the sites differ"
finish
