#!/usr/bin/env bash
# Node 24.21.0: zstd data of several frames is cut or refused; zstdDecompressSync returns too little without an error.
#
# Needs: npm, zstd (with pzstd).
# Expected by most: RFC 8878 allows several frames and skippable frames one after the other, and Node's gunzip takes
# several gzip members. "zstd -d", Node 26 and most libraries decode them all.
# Seen on 24.21.0: of two frames, zstdDecompressSync returns the first only; of a file that pzstd wrote (it begins with a
# skippable frame) it returns 0 bytes. Both without an error. The stream of createZstdDecompress gives the first frame and
# then fails with ZSTD_error_prefix_unknown. Node 26.10.0 decodes all.
# For mvm: layers are unpacked by the zstd program; the importer compares the digest of what comes out.
set -euo pipefail
tmp=$(mktemp -d); trap 'rm -rf "$tmp"' EXIT
cd "$tmp"
npm init -y >/dev/null
npm install --silent --no-audit --no-fund --prefix old node@24.21.0
npm install --silent --no-audit --no-fund --prefix new node@26.10.0
seq 400000 >content
zstd -q content -o one.zst
cat one.zst one.zst >two.zst
pzstd -q -p 2 content -o pzstd.zst 2>/dev/null
for f in one two pzstd; do printf '%s: zstd %s\n' "$f" "$(zstd -qdc "$f.zst" | wc -c)"; done >seen
cat >run.mjs <<'JS'
import { createReadStream, readFileSync } from 'node:fs';
import { pipeline } from 'node:stream/promises';
import { createZstdDecompress, zstdDecompressSync } from 'node:zlib';
for (const name of ['one', 'two', 'pzstd']) {
  const file = `${name}.zst`;
  const sync = zstdDecompressSync(readFileSync(file)).length;
  let bytes = 0;
  const count = async function* (chunks) { for await (const chunk of chunks) bytes += chunk.length; };
  const end = await pipeline(createReadStream(file), createZstdDecompress(), count).then(() => 'ended', ({ code }) => code);
  console.log(`${name}: ${process.version} sync ${sync}, stream ${bytes} ${end}`);
}
JS
for version in old new; do "$(find $version -path '*/bin/node' -type f | head -1)" run.mjs; done >>seen
cat seen
diff - seen <<'END'
one: zstd 2688895
two: zstd 5377790
pzstd: zstd 2688895
one: v24.21.0 sync 2688895, stream 2688895 ended
two: v24.21.0 sync 2688895, stream 2688895 ZSTD_error_prefix_unknown
pzstd: v24.21.0 sync 0, stream 0 ZSTD_error_prefix_unknown
one: v26.10.0 sync 2688895, stream 2688895 ended
two: v26.10.0 sync 5377790, stream 5377790 ended
pzstd: v26.10.0 sync 2688895, stream 2688895 ended
END
echo 'as described: Node 24.21.0 decodes the first zstd frame only'
