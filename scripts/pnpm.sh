#!/usr/bin/env bash
# pnpm of the version in package.json, e.g. `scripts/pnpm.sh install`. Its tarball is fetched once, into .cache/pnpm, and
# each time compared with the hash that package.json has of it: what the registry serves is not trusted.
set -euo pipefail
repo=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
read -r version algorithm hash <<<"$(cd "$repo" && node -p '
  const [, version, algorithm, hash] = /^pnpm@([0-9.]+)\+(sha512)\.([0-9a-f]{128})$/.exec(require("./package.json").packageManager);
  `${version} ${algorithm} ${hash}`')"
tarball="$repo/.cache/pnpm/pnpm-$version.tgz"
if [ ! -f "$tarball" ]; then
  mkdir -p "$repo/.cache/pnpm"
  staging=$(mktemp -d "$repo/.cache/pnpm/.fetch-XXXXXX")
  trap 'rm -rf "$staging"' EXIT
  (cd "$staging" && npm pack --silent "pnpm@$version" >/dev/null)
  mv "$staging/pnpm-$version.tgz" "$tarball"
  rm -rf "$staging"
  trap - EXIT
fi
if ! echo "$hash  $tarball" | "${algorithm}sum" --check --status; then
  rm -f "$tarball"
  echo "pnpm $version is not what package.json expects: its $algorithm differs (packageManager). It has been removed." >&2
  exit 1
fi
exec npm exec --yes --package "$tarball" -- pnpm "$@"
