#!/usr/bin/env bash
# Checks stacks for drift, that is changes made outside Pulumi, and passes the result on as `drift`. It changes nothing.
# drift.sh STACK...
. "${BASH_SOURCE%/*}/common.sh"
sign_in
status=0
drift=$(temporary)
for stack; do
  renew
  report=$(temporary)
  if ! dir=$(deployed "$stack" 2> "$report"); then
    status=1
    cat "$report" >&2
    printf '### %s cannot be checked\n\n' "$stack"
    quoted < "$report"
    rm "$report"
    continue
  fi
  if [[ -z $dir ]]; then
    echo "$stack is not deployed" >&2
    rm "$report"
    continue
  fi
  look=(pulumi preview -C "$dir" --stack "$stack" --refresh --diff --expect-no-changes --non-interactive --color never)
  if ! section "Drift of $stack" "${look[@]}" > "$report"; then
    status=1
    cat "$report"
  fi
  rm -rf "$dir" "$report"
done > "$drift"
if ((status)); then hand_on drift < "$drift"; fi
rm "$drift"
exit "$status"
