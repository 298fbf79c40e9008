#!/usr/bin/env bash
# What release.yml runs, one step per argument:
#   pending               prints pending=true while there are changesets that no version has taken up yet
#   version-pull-request  opens or updates the pull request that takes them up
#   publish               publishes what is not on the registry yet, and pushes the tags
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

pending() { find .changeset -name '*.md' ! -name README.md | grep -q .; }

# Dependencies only: what is published is plain JavaScript, so no host tool is needed here.
install() { npx --yes "pnpm@$(node -p 'require("./package.json").packageManager.replace("pnpm@", "")')" install --frozen-lockfile; }
# The checkout keeps no credentials; git gets the token for its pushes only, and never on a command line.
push() { git -c credential.helper='!f() { echo username=x-access-token; echo "password=$GH_TOKEN"; }; f' push "$@"; }
# To whichever registry npm is set to. The file names the variable; npm reads the token out of it.
npm_login() {
  NPM_CONFIG_USERCONFIG="$(mktemp)"
  printf '%s:_authToken=${NODE_AUTH_TOKEN}\n' "$(npm config get registry | sed 's/^https\{0,1\}://')" >"$NPM_CONFIG_USERCONFIG"
  export NPM_CONFIG_USERCONFIG
}
identify() {
  git config user.name 'github-actions[bot]'
  git config user.email '41898282+github-actions[bot]@users.noreply.github.com'
}

case "${1:-}" in
  pending)
    if pending; then echo pending=true; else echo pending=false; fi
    ;;
  version-pull-request)
    install
    identify
    git switch --force-create changeset-release/main
    node_modules/.bin/pnpm run version-packages
    git add --all
    git commit --message 'Release new versions'
    push --force origin changeset-release/main
    if [ -z "$(gh pr list --head changeset-release/main --state open --json number --jq '.[].number')" ]; then
      gh pr create --base main --head changeset-release/main --title 'Release new versions' \
        --body 'Merging this publishes the packages whose versions change here. The change logs tell what is new.'
    fi
    ;;
  publish)
    install
    identify
    PATH="$PWD/node_modules/.bin:$PATH" turbo run build package-check
    npm_login
    node_modules/.bin/changeset publish
    push --tags origin
    ;;
  *)
    echo "usage: release.sh pending | version-pull-request | publish" >&2
    exit 2
    ;;
esac
