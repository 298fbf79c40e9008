#!/usr/bin/env bash
# Everything that CI runs: `npm test`. The last line sums all tiers: `N passed, N failed`.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
scripts/setup.sh
exec node scripts/test/main.mjs "$@"
