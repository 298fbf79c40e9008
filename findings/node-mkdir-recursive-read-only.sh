#!/usr/bin/env bash
# Node.js 20.20.2, 22.22.0 and 24.13.0: on a read-only file system mkdir(path, { recursive: true }) fails with ENOENT.
#
# Needs: root (a mount namespace of its own), npm; the npm package "node" brings the versions.
# Expected by most: EROFS, as without recursive, and as mkdir -p says ("Read-only file system").
# Seen: ENOENT, "no such file or directory, mkdir '…'", from the promise, and from mkdirSync. The error names a directory
# whose parent is there, so a program that tells the operator what is wrong sends them to look for a missing path.
# For mvm: hostd asks again without recursive for the first missing directory, and says that the disk is read-only.
set -euo pipefail
tmp=$(mktemp -d); trap 'rm -rf "$tmp"' EXIT
cd "$tmp"
for version in 20.20.2 22.22.0 24.13.0; do
  mkdir $version && (cd $version && npm init -y >/dev/null && npm install --silent --no-audit --no-fund node@$version >/dev/null)
done
cat >run.mjs <<'JS'
import { mkdirSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
const code = (promise) => promise.then(() => 'made', (error) => error.code);
const sync = (work) => {
  try {
    return work() ?? 'made';
  } catch (error) {
    return error.code;
  }
};
const path = 'read-only/new';
const recursive = { recursive: true };
console.log(process.version, await code(mkdir(path)), await code(mkdir(path, recursive)), sync(() => mkdirSync(path, recursive)));
JS
cat >run.sh <<'RUN'
mkdir read-only && mount -t tmpfs -o ro none read-only
for version in 20.20.2 22.22.0 24.13.0; do $version/node_modules/node/bin/node run.mjs; done
echo "mkdir -p: $(LC_ALL=C mkdir -p read-only/new 2>&1 | sed 's/.*: //')"
RUN
unshare --mount bash run.sh >seen
cat seen
diff - seen <<'END'
v20.20.2 EROFS ENOENT ENOENT
v22.22.0 EROFS ENOENT ENOENT
v24.13.0 EROFS ENOENT ENOENT
mkdir -p: Read-only file system
END
echo 'as described: mkdir with recursive hides EROFS behind ENOENT'
