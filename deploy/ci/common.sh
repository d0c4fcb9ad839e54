# shellcheck shell=bash
# What the scripts beside this one share. They run on GitHub and on GitLab, and by hand, and may be run again.
set -euo pipefail
shopt -s inherit_errexit

# token prints a token that GitHub or GitLab vouches for this job with. It is for one audience.
token() {
  if [[ -n ${ACTIONS_ID_TOKEN_REQUEST_URL:-} ]]; then
    # The request's own token goes in by standard input: arguments are for everybody on the machine to read.
    curl --fail --silent --show-error --retry 5 --config - <<< "
      url = \"$ACTIONS_ID_TOKEN_REQUEST_URL&audience=$1\"
      header = \"Authorization: bearer $ACTIONS_ID_TOKEN_REQUEST_TOKEN\"" |
      sed -E 's/.*"value" *: *"([^"]+)".*/\1/' | tr -d '\n'
  else
    printf %s "$2"
  fi
}

# temporary makes a file, or a folder with -d, that the runner throws away.
temporary() { mktemp -p "${RUNNER_TEMP:-${TMPDIR:-/tmp}}" "$@"; }

# sign_in signs a job in to Azure and to where the stacks are kept, with nothing that is stored anywhere: what a script
# starts after it finds its way by the environment. Who runs a script by hand is signed in already.
sign_in() {
  if [[ -z ${ACTIONS_ID_TOKEN_REQUEST_URL:-}${AZURE_ID_TOKEN:-} ]]; then return; fi
  : "${ARM_CLIENT_ID:?is the id of the identity to sign in as}" "${ARM_TENANT_ID:?}" "${ARM_SUBSCRIPTION_ID:?}"
  # azure-native asks GitHub for tokens by itself, and takes GitLab's. So does kubelogin; what else signs in to Azure,
  # such as azurekeyvault:// and azblob://, reads a file.
  export ARM_USE_OIDC=true AAD_LOGIN_METHOD=workloadidentity
  export AZURE_CLIENT_ID=$ARM_CLIENT_ID AZURE_TENANT_ID=$ARM_TENANT_ID
  if [[ -n ${AZURE_ID_TOKEN:-} ]]; then export ARM_OIDC_TOKEN=$AZURE_ID_TOKEN; fi
  # A file for its owner only, which no folder has: it is gone with this process, or with what it becomes by exec,
  # however that ends.
  local file fd
  file=$(temporary)
  exec {fd}<> "$file"
  rm "$file"
  export AZURE_FEDERATED_TOKEN_FILE=/proc/$$/fd/$fd
  renew
  if [[ -n ${PULUMI_ORGANIZATION:-} ]]; then # of Pulumi Cloud, or of one's own at PULUMI_BACKEND_URL
    local team=()
    if [[ -n ${PULUMI_TEAM:-} ]]; then team=(--oidc-team "$PULUMI_TEAM"); fi
    pulumi login --non-interactive --oidc-org "$PULUMI_ORGANIZATION" "${team[@]}" --oidc-expiration 2h --oidc-token \
      "file://"<(token "urn:pulumi:org:$PULUMI_ORGANIZATION" "${PULUMI_ID_TOKEN:-}")
  elif [[ -n ${PULUMI_BACKEND_URL:-} ]]; then # such as azblob://
    pulumi login --non-interactive
  else
    echo "neither PULUMI_ORGANIZATION nor PULUMI_BACKEND_URL says where the stacks are kept" >&2
    return 1
  fi
}

# renew puts a new token into the file, since GitHub's are good for minutes.
renew() {
  if [[ -n ${AZURE_FEDERATED_TOKEN_FILE:-} ]]; then
    token api://AzureADTokenExchange "${AZURE_ID_TOKEN:-}" > "$AZURE_FEDERATED_TOKEN_FILE"
  fi
}

# deployed prints the folder of a clone at the commit that a stack was last brought up from, or nothing where the stack
# is not up. What is on the branch since then may not have been approved for it. It fails where no commit is what the
# stack was brought up from: an older one would take back what somebody has done since then.
deployed() {
  local history kind commit dirty dir
  history=$(pulumi stack history --stack "$1" --json) || return
  # By the indentation, since a configuration may have such keys, too.
  history=$(sed -nE 's/^ {4}"(kind)": "([^"]+)".*/\1 \2/p; s/^ {6}"(git\.(head|dirty))": "([^"]+)".*/\1 \3/p' <<< "$history" |
    awk '$1 == "kind" && kind { exit }
      $1 == "kind" && $2 ~ /^(update|destroy)$/ { kind = $2; next }
      kind { said[$1] = $2 }
      END { print kind, said["git.head"] ? said["git.head"] : "none", said["git.dirty"] }')
  read -r kind commit dirty <<< "$history"
  if [[ $kind != update ]]; then return; fi
  if [[ $commit == none || $dirty == true ]]; then
    echo "$1 was last brought up from files that are in no commit: bring it up from one" >&2
    return 1
  fi
  if ! git cat-file -e "$commit^{commit}"; then
    echo "$1 was last brought up from commit $commit, which is not in this clone" >&2
    return 1
  fi
  dir=$(temporary -d) || return
  git clone --quiet --no-checkout . "$dir" && git -C "$dir" checkout --quiet --detach "$commit" || return
  echo "$dir"
}

# section writes a command's output as a part of a comment in Markdown, and returns whether the command succeeded.
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

# quoted writes the end of a text as an indented block, which has no end that the text could contain: in Markdown a
# carriage return ends a line, too. Two are no longer than a comment may be, nor than a variable.
quoted() {
  tr '\r' '\n' | tail -n 1500 | tail -c 25000 | sed 's/^/    /'
  echo
}

# hand_on gives a later job of the workflow a text, under a name.
hand_on() {
  if [[ -n ${GITHUB_OUTPUT:-} ]]; then
    local end
    end=end-$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')
    { echo "$1<<$end"; cat; echo; echo "$end"; } >> "$GITHUB_OUTPUT"
  else
    cat > "$1.md"
  fi
}
