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
  AZURE_FEDERATED_TOKEN_FILE=$(mktemp -p "${RUNNER_TEMP:-${TMPDIR:-/tmp}}") # for its owner only
  export AZURE_FEDERATED_TOKEN_FILE
  trap 'rm -f "$AZURE_FEDERATED_TOKEN_FILE"' EXIT
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
# is not up. What is on the branch since then may not have been approved for it.
deployed() {
  local history commit dir
  history=$(pulumi stack history --stack "$1" --json)
  history=$(sed -nE 's/^ *"(kind|git.head)": "([^"]+)".*/\1 \2/p' <<< "$history")
  case $(awk '$1 == "kind" && $2 ~ /^(update|destroy)$/ { print $2; exit }' <<< "$history") in
  update) ;;
  *) return ;;
  esac
  commit=$(awk '$1 == "kind" { kind = $2 } $1 == "git.head" && kind == "update" { print $2; exit }' <<< "$history")
  dir=$(mktemp -d)
  git clone --quiet --no-checkout . "$dir"
  git -C "$dir" checkout --quiet --detach "${commit:?no update of $1 was from a commit}"
  echo "$dir"
}

# section writes a command's output as a part of a comment in Markdown, and returns whether the command succeeded. An
# indented block has no end that the output could contain.
section() {
  local title=$1 status=0 said
  shift
  said=$(mktemp)
  "$@" 2>&1 | tee "$said" >&2 || status=$?
  printf '### %s\n\n' "$title"
  tail -c 25000 "$said" | sed 's/^/    /'
  echo
  rm "$said"
  return "$status"
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
