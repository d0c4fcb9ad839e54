#!/usr/bin/env bash
# Brings a stack up once more as it was brought up last, which gives new values to the secrets whose time has come.
# rotate.sh STACK
. "${BASH_SOURCE%/*}/common.sh"
sign_in
dir=$(deployed "$1")
if [[ -z $dir ]]; then
  echo "$1 is not up"
  exit
fi
exec pulumi up -C "$dir" --stack "$1" --yes --non-interactive --color never --policy-pack "$dir/policy"
