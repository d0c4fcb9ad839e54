#!/usr/bin/env bash
# Installs pulumi and kubelogin for Linux on amd64, unless these versions are already installed.
set -euo pipefail
pulumi=3.259.0
kubelogin=0.2.10
# The checksum is the one in Microsoft's Homebrew tap. For pulumi, only the vendor's own file is known.
kubelogin_sha256=d765147460b8719b34cb35e8bc6d9d7c3b8f53bd1a1b9f1e70069e22bd1b6c03

bin=${XDG_BIN_HOME:-$HOME/.local/bin}
mkdir -p "$bin"
if [[ -n ${GITHUB_PATH:-} ]]; then echo "$bin" >> "$GITHUB_PATH"; fi
PATH=$bin:$PATH
part=$(mktemp -d)
trap 'rm -rf "$part"' EXIT
cd "$part"
get() { curl --fail --silent --show-error --location --retry 5 --proto =https --output "$1" "$2"; }

if [[ $(pulumi version 2>/dev/null) != "v$pulumi" && $(pulumi version 2>/dev/null) != "$pulumi" ]]; then
  archive=pulumi-v$pulumi-linux-x64.tar.gz
  get "$archive" "https://get.pulumi.com/releases/sdk/$archive"
  get sums "https://get.pulumi.com/releases/sdk/pulumi-$pulumi-checksums.txt"
  grep -F "  $archive" sums | sha256sum --check --quiet --strict
  tar -xzf "$archive"
  mv pulumi/* "$bin"
fi
if [[ $(kubelogin --version 2>/dev/null) != *"v$kubelogin"* ]]; then
  if ! command -v unzip > /dev/null; then # the image golang lacks it
    apt-get update -qq
    apt-get install -qq --yes unzip
  fi
  get kubelogin.zip "https://github.com/Azure/kubelogin/releases/download/v$kubelogin/kubelogin-linux-amd64.zip"
  echo "$kubelogin_sha256  kubelogin.zip" | sha256sum --check --quiet --strict
  unzip -q kubelogin.zip
  mv bin/linux_amd64/kubelogin "$bin"
fi
pulumi version
kubelogin --version
