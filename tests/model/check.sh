#!/usr/bin/env bash
# One case of the model, or their names.
#
#   tests/model/check.sh             the names in cases.txt
#   tests/model/check.sh NAME        spin looks through the whole state space of that case; exit status 0: it says what cases.txt expects
#   tests/model/check.sh -t NAME     the same, and prints the steps that lead to the error, if there is one
#
# Needs spin and gcc, up to 3 GiB of memory.
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

# Depth first is what fits most states into memory; breadth first gives the shortest way to an error.
search=(-O2)
[[ $expected == holds ]] || search=(-O0 -DBFS)
spin -a "${definitions[@]}" "$model"
gcc -w -DSAFETY -DNOREDUCE -DMEMLIM=3500 -DVECTORSZ=512 "${search[@]}" -o pan pan.c
./pan -E -m100000 -w24 | tee result

# Not all errors are what a planted bug is to cause: only a broken property counts.
errors=$(sed -nE 's/.*errors: ([0-9]+)$/\1/p' result)
if grep -qE 'max search depth too small|out of memory|search was not completed' result; then
  says=incomplete
elif [[ $errors == 0 ]]; then
  says=holds
elif [[ $errors == 1 ]] && grep -q 'assertion violated' result; then
  says=found
else
  says="neither"
fi
if [[ $errors != 0 && ( $trail == yes || $expected == holds ) ]]; then
  spin -k membership.pml.trail "${definitions[@]}" "$model" | sed -n '/^#processes/q; p'
fi
echo "$1: expected '$expected', spin says '$says'"
[[ $says == "$expected" ]]
