#!/usr/bin/env bash
# @bokuweb/zstd-wasm 0.0.27 (npm): refuses valid zstd data that begins with a skippable frame or has a 128 MiB window.
#
# Needs: node, npm, zstd.
# Expected by most: RFC 8878 says that a decoder skips skippable frames, wherever they are; the zstd program does.
# Seen: a skippable frame at the end or in the middle is skipped, one at the beginning is an error (-70), and so is a frame
# of "zstd --long=27", which the zstd program itself decodes without an option. fzstd 0.1.1 decodes all of them.
# The message of a failed decompression says "Failed to compress". Writers of seekable and chunked zstd put their tables
# into skippable frames.
# For mvm: layers are decompressed by the zstd program or Node's own zstd, not by this package.
set -euo pipefail
tmp=$(mktemp -d); trap 'rm -rf "$tmp"' EXIT
cd "$tmp"
npm init -y >/dev/null
npm install --silent --no-audit --no-fund @bokuweb/zstd-wasm@0.0.27 fzstd@0.1.1
seq 2000 >content
zstd -q <content >one.zst
printf '\x50\x2a\x4d\x18\x04\x00\x00\x00meta' >skippable
cat one.zst skippable >end.zst
cat one.zst skippable one.zst >middle.zst
cat skippable one.zst >first.zst
head -c 200000000 /dev/zero | zstd -q --long=27 >long.zst
for f in one end middle first long; do zstd -q -t "$f.zst"; done
cat >run.mjs <<'JS'
import { readFileSync } from 'node:fs';
import * as fzstd from 'fzstd';
import { decompress, init } from '@bokuweb/zstd-wasm';
await init();
for (const name of ['one', 'end', 'middle', 'first', 'long']) {
  const seen = [decompress, fzstd.decompress].map((decode) => {
    try { return decode(new Uint8Array(readFileSync(`${name}.zst`))).length; } catch (error) { return error.message; }
  });
  console.log(`${name}: zstd-wasm ${seen[0]}, fzstd ${seen[1]}`);
}
JS
node run.mjs >seen
cat seen
diff - seen <<'END'
one: zstd-wasm 8893, fzstd 8893
end: zstd-wasm 8893, fzstd 8893
middle: zstd-wasm 17786, fzstd 17786
first: zstd-wasm Failed to compress with code -70, fzstd 8893
long: zstd-wasm Failed to compress with code -70, fzstd 200000000
END
echo 'as described: zstd-wasm 0.0.27 refuses some valid frames'
