#!/usr/bin/env bash
# Man pages render without a warning, each page that another one points to is there, and the protocol's version is the one that is spoken.
set -u
cd "$(dirname "$0")/../.." || exit 1
bad=0 count=0
for page in man/*.[1-8]; do
  [[ -f $page ]] || continue
  count=$((count + 1))
  warnings=$(MANROFFSEQ='' MANWIDTH=100 man --warnings -E UTF-8 -l -Tutf8 -Z "$page" 2>&1 >/dev/null)
  [[ -z $warnings ]] || { printf '%s:\n%s\n' "$page" "$warnings"; bad=1; }
  # Style remarks of mandoc are opinions; its warnings and errors are not. A page without a date is meant so.
  lint=$(mandoc -T lint -W warning "$page" 2>&1 | grep -v 'missing date')
  [[ -z $lint ]] || { printf '%s\n' "$lint"; bad=1; }
  for other in $(grep -ohE '^\.BR (lockstep[a-z.-]*) \([1-8]\)' "$page" | sed 's/^\.BR \(.*\) (\([1-8]\))$/\1.\2/' | sort -u); do
    [[ -f man/$other ]] || { echo "$page: points to $other, which is not in man/"; bad=1; }
  done
done
version=$(sed -n 's/.*kProtocolVersion = \([0-9]*\);.*/\1/p' src/wire/messages.h)
grep -q "version of the protocol: $version\$" man/lockstep-protocol.7 || { echo "man/lockstep-protocol.7: the version of the protocol is $version"; bad=1; }
echo "$count pages checked"
[[ $count -gt 0 && $bad -eq 0 ]]
