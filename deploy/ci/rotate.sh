#!/usr/bin/env bash
# Updates a stack from the commit that it was last deployed from, which generates new values for secrets that are due.
# rotate.sh STACK
. "${BASH_SOURCE%/*}/common.sh"
sign_in
dir=$(deployed "$1")
if [[ -z $dir ]]; then
  echo "$1 is not deployed"
  exit
fi
exec pulumi up -C "$dir" --stack "$1" --yes --non-interactive --color never --policy-pack "$dir/policy"
