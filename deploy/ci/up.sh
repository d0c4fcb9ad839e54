#!/usr/bin/env bash
# Deploys a stack from this checkout, with the policy pack. It can be repeated, also after a failure. With --refresh it
# first reads the current state, and reverts changes made outside Pulumi.
# up.sh STACK [--refresh]
. "${BASH_SOURCE%/*}/common.sh"
sign_in
# exec, so that cancelling the job interrupts pulumi, which then finishes what it has begun and releases the lock.
exec pulumi up --stack "$1" "${@:2}" --yes --non-interactive --color never --policy-pack policy
