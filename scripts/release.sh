#!/usr/bin/env bash
# What release.yml runs, one step per argument. Those that install and build see no secret, and those that see one run
# nothing out of node_modules.
#   pending              prints pending=true while there are changesets that no version has taken up yet
#   version OUT          takes them up; writes what changed as OUT/version.patch                       (no secrets)
#   pack OUT             builds and checks, and packs what is not on the registry yet into OUT/*.tgz   (no secrets)
#   pull-request OUT     opens or updates the pull request with OUT/version.patch                      (GH_TOKEN)
#   publish OUT          publishes OUT/*.tgz                                                           (id-token)
#   tag OUT              tags what OUT has                                                             (GH_TOKEN)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

pending() { find .changeset -name '*.md' ! -name README.md | grep -q .; }
# The checkout keeps no credentials; git gets the token for its pushes only, and never on a command line.
push() { git -c credential.helper='!f() { echo username=x-access-token; echo "password=$GH_TOKEN"; }; f' push "$@"; }
identify() {
  git config user.name 'github-actions[bot]'
  git config user.email '41898282+github-actions[bot]@users.noreply.github.com'
}
# name and version of a packed package, out of its own package.json
describe() { tar -xOf "$1" package/package.json | node -e 'const { name, version } = JSON.parse(require("fs").readFileSync(0)); console.log(`${name} ${version}`)'; }
out=${2:-}
[ "${1:-}" = pending ] || [ -n "$out" ] || { sed -n '2,9s/^# \{0,1\}//p' "$0" >&2; exit 2; }

case "$1" in
  pending)
    if pending; then echo pending=true; else echo pending=false; fi
    ;;
  version)
    scripts/pnpm.sh install --frozen-lockfile
    node_modules/.bin/pnpm run version-packages
    mkdir -p "$out"
    git add --all
    git diff --cached --binary >"$out/version.patch"
    ;;
  pack)
    scripts/pnpm.sh install --frozen-lockfile
    PATH="$PWD/node_modules/.bin:$PATH" turbo run build package-check
    mkdir -p "$out"
    out=$(cd "$out" && pwd)
    for manifest in packages/*/package.json; do
      read -r private name version <<<"$(node -p 'const { private: p = false, name, version } = require("./'"$manifest"'"); `${p} ${name} ${version}`')"
      [ "$private" = false ] || continue
      [ -z "$(npm view "$name@$version" version 2>/dev/null || true)" ] || continue
      (cd "$(dirname "$manifest")" && ../../node_modules/.bin/pnpm pack --pack-destination "$out")
    done
    ls -l "$out"
    ;;
  pull-request)
    # Whatever made the patch, it changes versions, change logs and changesets only.
    if git apply --numstat "$out/version.patch" | cut -f3 | grep -vE '^(\.changeset/[^/]+\.md|(.*/)?CHANGELOG\.md|(.*/)?package\.json|pnpm-lock\.yaml)$'; then
      echo 'release: the patch changes other files than versions and change logs' >&2
      exit 1
    fi
    identify
    git switch --force-create changeset-release/main
    git apply --index "$out/version.patch"
    git commit --message 'Release new versions'
    push --force origin changeset-release/main
    if [ -z "$(gh pr list --head changeset-release/main --state open --json number --jq '.[].number')" ]; then
      gh pr create --base main --head changeset-release/main --title 'Release new versions' \
        --body 'Merging this publishes the packages whose versions change here. The change logs tell what is new.'
    fi
    ;;
  publish)
    for tarball in "$out"/*.tgz; do
      [ -f "$tarball" ] || continue
      # Trusted publishing: the registry takes the workflow's identity, and no token is kept anywhere.
      npm publish "$(realpath "$tarball")" --provenance --access public --ignore-scripts
    done
    ;;
  tag)
    identify
    for tarball in "$out"/*.tgz; do
      [ -f "$tarball" ] || continue
      read -r name version <<<"$(describe "$tarball")"
      git tag --force --annotate "$name@$version" --message "$name $version"
    done
    push --tags origin
    ;;
  *)
    echo "release: no step $1" >&2
    exit 2
    ;;
esac
