#!/usr/bin/env bash
# Builds the demo guest image into .cache/guest-image, where tests and the demo look for it; instant when it is there.
# Package lists that are too old name a kernel which the archive no longer has: then they are read once.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
build() { node packages/guest-image/dist/main.js --out .cache/guest-image >/dev/null; }
build || { echo 'guest image: reading the package lists (apt-get update)' >&2 && apt-get update -q >/dev/null && build; }
