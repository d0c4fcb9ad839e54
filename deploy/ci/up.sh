#!/usr/bin/env bash
# Brings a stack up from this checkout, with the policies. It may be run again, also after one that failed. With
# --refresh it looks first what there is, and puts back what somebody else has changed.
# up.sh STACK [--refresh]
. "${BASH_SOURCE%/*}/common.sh"
sign_in
# exec, so that who cancels the job interrupts pulumi, which then ends what it has begun and gives the lock back.
exec pulumi up --stack "$1" "${@:2}" --yes --non-interactive --color never --policy-pack policy
