#!/usr/bin/env bash
# One case of the model, or their names.
#
#   tests/model/check.sh             the names in cases.txt
#   tests/model/check.sh NAME        spin looks through the whole state space of that case; exit status 0: it says what cases.txt expects
#   tests/model/check.sh -t NAME     the same, and prints the steps that lead to the error, if there is one
#
# Needs spin and gcc, up to 3.5 GB of memory.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

if [[ $# -eq 0 ]]; then
  awk 'NF && !/^#/ { print $1 }' cases.txt
  exit
fi
trail=
if [[ $1 == -t ]]; then trail=yes; shift; fi
read -r -a case_line < <(awk -v name="$1" '$1 == name' cases.txt) || { echo "cases.txt has no case '$1'" >&2; exit 2; }
expected=${case_line[1]}
definitions=("${case_line[@]:2}")
model=$PWD/membership.pml
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

# Depth first is what fits most states into memory; breadth first gives the shortest way to a broken property.
case $expected in
  holds) options=(-O2 -DSAFETY) search=(-E) ;;
  found) options=(-O0 -DSAFETY -DBFS) search=(-E) ;;
  settles | stuck) options=(-O1) search=(-a) ;;
  *) echo "cases.txt: '$expected' is nothing to expect" >&2; exit 2 ;;
esac
spin -a "${definitions[@]}" "$model"
gcc -w "${options[@]}" -DNOREDUCE -DMEMLIM=3500 -DVECTORSZ=512 -o pan pan.c
./pan "${search[@]}" -m1000000 -w22 | tee result

# Not all errors are what a planted bug is to cause.
errors=$(sed -nE 's/.*errors: ([0-9]+)$/\1/p' result)
says="an error of another kind"
if grep -qE 'max search depth too small|out of memory|aborted' result || [[ -z $errors ]]; then
  says="not finished"
elif [[ $errors == 0 ]]; then
  case $expected in holds | found) says=holds ;; *) says=settles ;; esac
elif grep -q '^pan:.* assertion violated' result; then
  says=found
elif grep -q '^pan:.* acceptance cycle' result; then
  says=stuck
fi
if [[ $errors != 0 && ( $trail == yes || $says != "$expected" ) ]]; then
  spin -k membership.pml.trail "${definitions[@]}" "$model" | sed -n '/^#processes/q; p'
fi
echo "$1: expected '$expected', spin says '$says'"
[[ $says == "$expected" ]]
