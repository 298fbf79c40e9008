#!/usr/bin/env bash
# Two tenants' microVMs on this machine, and away again: `npm run demo`. See `npm run demo -- --help`.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

case " $* " in
  *' --help '* | *' -h '*)
    cat <<'HELP'
npm run demo             two tenants' microVMs, from nothing to running, then everything is taken down again
npm run demo -- --keep   leaves it running and prints what to try
npm run demo -- --status shows what --keep left: which processes run, and how to talk to them
npm run demo -- --start  starts again what you killed of it
npm run demo -- --stop   takes down what --keep left

Needs root and Linux on x86-64. Everything runs in a network namespace and a temporary directory of its own; the
host's network, /run/mvm and /var/lib/mvm are not touched. Installed packages stay installed.
HELP
    exit 0
    ;;
esac
if [ "$(id -u)" -ne 0 ]; then
  echo "The demo needs root: it makes network namespaces, TAP devices and cgroups. Run: sudo npm run demo" >&2
  exit 1
fi

seconds() { date +%s.%N; }
elapsed() { awk -v a="$1" -v b="$2" 'BEGIN { printf "%.2f", b - a }'; }

t0=$(seconds)
scripts/setup.sh --quiet
t1=$(seconds)
# One compiler for all projects: quicker from nothing than one per package, and instant when nothing has changed.
build() {
  node_modules/typescript/bin/tsc -b apps/hostd apps/agentd apps/cli scripts/demo || return
  # The first program of imported images' guests, in C.
  local guest=packages/guest-boot
  if [ ! -e $guest/dist/mvm-init ] || [ -n "$(find $guest/guest -newer $guest/dist/mvm-init -print -quit)" ]; then
    node $guest/guest/build.mjs
  fi
}
if ! log=$(build 2>&1); then
  printf '%s\n' "$log" >&2
  echo 'The build failed; its output is above.' >&2
  exit 1
fi
t2=$(seconds)
MVM_DEMO_STAGES="set-up=$(elapsed "$t0" "$t1"),build=$(elapsed "$t1" "$t2")" exec node scripts/demo/dist/main.js "$@"
