#!/usr/bin/env bash
# Publishes the archives of `make dist` as the release of a tag, with the changelog's section as its notes. For an
# existing release, it uploads the archives again. release.sh TAG
set -euo pipefail
tag=$1
if [[ $tag != "v$(cat provider/VERSION)" ]]; then
  echo "the tag is $tag, but provider/VERSION is $(cat provider/VERSION)" >&2
  exit 1
fi
notes=$(awk -v version="${tag#v}" '/^## / { on = $2 == version || $2 == "[" version "]"; next } on' CHANGELOG.md)
if [[ -z ${notes//[[:space:]]/} ]]; then
  echo "CHANGELOG.md has no section ## ${tag#v}" >&2
  exit 1
fi
if ! gh release view "$tag" > /dev/null 2>&1; then
  gh release create "$tag" --verify-tag --draft --title "$tag" --notes-file - <<< "$notes"
fi
gh release upload "$tag" --clobber dist/*.tar.gz dist/SHA256SUMS
gh release edit "$tag" --draft=false
