#!/usr/bin/env bash
# Shell scripts parse and pass shellcheck; Python programs compile.
set -u
cd "$(dirname "$0")/../.." || exit 1
bad=0 count=0
for script in $(git -c safe.directory='*' ls-files --cached --others --exclude-standard -- '*.sh' .ci/run); do
  [[ -f $script ]] || continue
  count=$((count + 1))
  bash -n "$script" || bad=1
  shellcheck -x -S warning "$script" || bad=1
done
for program in $(git -c safe.directory='*' ls-files --cached --others --exclude-standard -- '*.py'); do
  [[ -f $program ]] || continue
  count=$((count + 1))
  python3 -c 'import ast, sys; ast.parse(open(sys.argv[1]).read(), sys.argv[1])' "$program" || bad=1
done
echo "$count programs checked"
[[ $count -gt 0 && $bad -eq 0 ]]
