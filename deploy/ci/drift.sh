#!/usr/bin/env bash
# Looks whether somebody has changed what stacks have made, and hands on what was found as `drift`. It changes nothing.
# drift.sh STACK...
. "${BASH_SOURCE%/*}/common.sh"
sign_in
status=0
for stack; do
  renew
  dir=$(deployed "$stack")
  if [[ -z $dir ]]; then
    echo "$stack is not up" >&2
    continue
  fi
  report=$(mktemp)
  look=(pulumi preview -C "$dir" --stack "$stack" --refresh --diff --expect-no-changes --non-interactive --color never)
  if ! section "Drift of $stack" "${look[@]}" > "$report"; then
    status=1
    cat "$report"
  fi
  rm -rf "$dir" "$report"
done > drift.tmp
if ((status)); then hand_on drift < drift.tmp; fi
rm drift.tmp
exit "$status"
