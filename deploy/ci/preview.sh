#!/usr/bin/env bash
# Previews stacks with the policy pack, and passes the result on as `preview`. It changes nothing.
# preview.sh STACK...
. "${BASH_SOURCE%/*}/common.sh"
sign_in
status=0
preview=$(temporary)
for stack; do
  renew
  look=(pulumi preview --stack "$stack" --non-interactive --color never --policy-pack policy)
  section "Preview of $stack" "${look[@]}" || status=1
done > "$preview"
hand_on preview < "$preview"
rm "$preview"
exit "$status"
