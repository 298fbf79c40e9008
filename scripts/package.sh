#!/usr/bin/env bash
# Makes the Debian package: installs what is missing for it, builds, and packs. Arguments go to scripts/package/main.mjs.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
scripts/setup.sh --quiet
PATH="$PWD/node_modules/.bin:$PATH" turbo run build --output-logs=errors-only
exec node scripts/package/main.mjs "$@"
