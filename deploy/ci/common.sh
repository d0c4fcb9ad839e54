# shellcheck shell=bash
# Functions that the other scripts in this directory share. They run on GitHub, on GitLab and by hand, and can be
# repeated.
set -euo pipefail
shopt -s inherit_errexit

# token prints a token of this job from GitHub or GitLab, for the given audience.
token() {
  if [[ -n ${ACTIONS_ID_TOKEN_REQUEST_URL:-} ]]; then
    # The token of the request goes through standard input, because everybody on the machine can read arguments.
    curl --fail --silent --show-error --retry 5 --config - <<< "
      url = \"$ACTIONS_ID_TOKEN_REQUEST_URL&audience=$1\"
      header = \"Authorization: bearer $ACTIONS_ID_TOKEN_REQUEST_TOKEN\"" |
      sed -E 's/.*"value" *: *"([^"]+)".*/\1/' | tr -d '\n'
  else
    printf %s "$2"
  fi
}

# temporary creates a file, or with -d a directory, that the runner deletes.
temporary() { mktemp -p "${RUNNER_TEMP:-${TMPDIR:-/tmp}}" "$@"; }

# sign_in signs a job in to Azure and to the backend of the stacks, without a stored secret. Programs that the script
# starts later use the environment. Somebody who runs a script by hand is signed in already.
sign_in() {
  if [[ -z ${ACTIONS_ID_TOKEN_REQUEST_URL:-}${AZURE_ID_TOKEN:-} ]]; then return; fi
  : "${ARM_CLIENT_ID:?must be the client id of the identity to sign in with}"
  : "${ARM_TENANT_ID:?}" "${ARM_SUBSCRIPTION_ID:?}"
  # azure-native requests GitHub's tokens itself, and uses GitLab's from the environment. So does kubelogin. Everything
  # else that signs in to Azure, such as azurekeyvault:// and azblob://, reads a file.
  export ARM_USE_OIDC=true AAD_LOGIN_METHOD=workloadidentity
  export AZURE_CLIENT_ID=$ARM_CLIENT_ID AZURE_TENANT_ID=$ARM_TENANT_ID
  if [[ -n ${AZURE_ID_TOKEN:-} ]]; then export ARM_OIDC_TOKEN=$AZURE_ID_TOKEN; fi
  # A file for its owner only, which is in no directory. It disappears with this process, or with the one that replaces
  # it by exec, however that ends.
  local file fd
  file=$(temporary)
  exec {fd}<> "$file"
  rm "$file"
  export AZURE_FEDERATED_TOKEN_FILE=/proc/$$/fd/$fd
  renew
  if [[ -n ${PULUMI_ORGANIZATION:-} ]]; then # in Pulumi Cloud, or self-hosted at PULUMI_BACKEND_URL
    local team=()
    if [[ -n ${PULUMI_TEAM:-} ]]; then team=(--oidc-team "$PULUMI_TEAM"); fi
    pulumi login --non-interactive --oidc-org "$PULUMI_ORGANIZATION" "${team[@]}" --oidc-expiration 2h --oidc-token \
      "file://"<(token "urn:pulumi:org:$PULUMI_ORGANIZATION" "${PULUMI_ID_TOKEN:-}")
  elif [[ -n ${PULUMI_BACKEND_URL:-} ]]; then # such as azblob://
    pulumi login --non-interactive
  else
    echo "set PULUMI_ORGANIZATION or PULUMI_BACKEND_URL to the backend of the stacks" >&2
    return 1
  fi
}

# renew writes a new token to the file, since GitHub's tokens are valid for minutes only.
renew() {
  if [[ -n ${AZURE_FEDERATED_TOKEN_FILE:-} ]]; then
    token api://AzureADTokenExchange "${AZURE_ID_TOKEN:-}" > "$AZURE_FEDERATED_TOKEN_FILE"
  fi
}

# deployed prints the directory of a clone at the commit that a stack was last deployed from, or nothing if the stack is
# not deployed. Later commits on the branch may not have been approved for it. It fails if the stack was not deployed
# from a commit: an older commit would revert later changes.
deployed() {
  local history kind commit dirty dir
  history=$(pulumi stack history --stack "$1" --json) || return
  # Matched by indentation, because a configuration may contain the same keys.
  history=$(sed -nE 's/^ {4}"(kind)": "([^"]+)".*/\1 \2/p; s/^ {6}"(git\.(head|dirty))": "([^"]+)".*/\1 \3/p' <<< "$history" |
    awk '$1 == "kind" && kind { exit }
      $1 == "kind" && $2 ~ /^(update|destroy)$/ { kind = $2; next }
      kind { said[$1] = $2 }
      END { print kind, said["git.head"] ? said["git.head"] : "none", said["git.dirty"] }')
  read -r kind commit dirty <<< "$history"
  if [[ $kind != update ]]; then return; fi
  if [[ $commit == none || $dirty == true ]]; then
    echo "$1 was last deployed from uncommitted files: deploy it from a commit" >&2
    return 1
  fi
  if ! git cat-file -e "$commit^{commit}"; then
    echo "$1 was last deployed from commit $commit, which is not in this clone" >&2
    return 1
  fi
  dir=$(temporary -d) || return
  git clone --quiet --no-checkout . "$dir" && git -C "$dir" checkout --quiet --detach "$commit" || return
  echo "$dir"
}

# section writes a command's output as a section of a Markdown comment, and returns the command's status.
section() {
  local title=$1 status=0 said
  shift
  said=$(temporary)
  "$@" 2>&1 | tee "$said" >&2 || status=$?
  printf '### %s\n\n' "$title"
  quoted < "$said"
  rm "$said"
  return "$status"
}

# quoted writes the end of a text as an indented block, which unlike a fence cannot be closed by the text. In Markdown,
# a carriage return also ends a line. Two such blocks fit into a comment and into a variable.
quoted() {
  tr '\r' '\n' | tail -n 1500 | tail -c 25000 | sed 's/^/    /'
  echo
}

# hand_on passes a text to later jobs of the workflow, under a name.
hand_on() {
  if [[ -n ${GITHUB_OUTPUT:-} ]]; then
    local end
    end=end-$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')
    { echo "$1<<$end"; cat; echo; echo "$end"; } >> "$GITHUB_OUTPUT"
  else
    cat > "$1.md"
  fi
}
