#!/usr/bin/env bash
# Node's zlib: zero bytes between two gzip members end the file, without an error; Python unpacks both members.
#
# Needs: Node 20 or later, python3, gzip 1.12 (Debian 12).
# Files that were padded to blocks (tapes, some object stores, dd conv=sync) and then appended to have such zeros.
# Seen: gunzipSync and createGunzip return the first member and report success; Python's gzip returns both; gzip prints
# "trailing garbage ignored", returns the first and exits with 2. So one file has three meanings, and only Node is silent
# about the loss. Other bytes than zeros are an error in Node ("incorrect header check").
# For mvm: the digest of the unpacked layer is compared with the image's diff_id; success of the unpacking proves nothing.
set -euo pipefail
tmp=$(mktemp -d); trap 'rm -rf "$tmp"' EXIT
cd "$tmp"
printf one | gzip -n >file.gz; head -c 16 /dev/zero >>file.gz; printf two | gzip -n >>file.gz
cat >run.mjs <<'JS'
import { readFileSync } from 'node:fs';
import { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { createGunzip, gunzipSync } from 'node:zlib';
const file = readFileSync('file.gz');
console.log('gunzipSync  ', gunzipSync(file).toString());
console.log('createGunzip', await text(Readable.from([file]).pipe(createGunzip())));
JS
{
  node run.mjs
  echo "python gzip  $(python3 -c 'import gzip; print(gzip.open("file.gz").read().decode())')"
  code=0; unpacked=$(gzip -dc file.gz 2>/dev/null) || code=$?
  echo "gzip -d      $unpacked, exit $code"
} >seen
cat seen
diff - seen <<'END'
gunzipSync   one
createGunzip one
python gzip  onetwo
gzip -d      one, exit 2
END
echo 'as described: Node drops a member behind zero padding'
