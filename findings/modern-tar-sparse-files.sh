#!/usr/bin/env bash
# modern-tar 0.8.6: a sparse file is unpacked as its map and data under another name, or as data at the wrong place.
#
# Needs: Node 20, npm, GNU tar 1.34 (Debian 12).
# GNU tar --sparse writes sparse files as pax records with a map in front of the data (1.0), or as type S (gnu).
# Seen, with strict: true as well: pax: a file GNUSparseFile.N/disk of 4,608 bytes, which begins with the text of the map;
# gnu: a file "disk" of 4,096 bytes, type "file", whose content belongs at 4,997,120. The 10 MiB disk image is lost, and
# no error tells so. (The libraries tar and tar-stream do similar things in other ways.)
# For mvm: the layer reader has tests for all three sparse forms, and refuses what it does not know.
set -euo pipefail
tmp=$(mktemp -d); trap 'rm -rf "$tmp"' EXIT
cd "$tmp"
npm init -y >/dev/null
npm install --silent --no-audit --no-fund --ignore-scripts modern-tar@0.8.6 >/dev/null
mkdir tree && truncate -s 10M tree/disk && echo content | dd of=tree/disk bs=1 seek=5000000 conv=notrunc status=none
for format in pax gnu; do tar --format=$format --sparse -C tree -cf $format.tar disk; done
cat >run.mjs <<'JS'
import { readFileSync } from 'node:fs';
import { unpackTar } from 'modern-tar';
for (const format of ['pax', 'gnu']) {
  const [{ header, data }] = await unpackTar(readFileSync(`${format}.tar`), { strict: true });
  const name = header.name.replace(/\.\d+\//, '.N/');
  console.log(format, name, header.type, data.length, JSON.stringify(Buffer.from(data.subarray(0, 10)).toString()));
}
JS
node run.mjs >seen
cat seen
diff - seen <<'END'
pax ./GNUSparseFile.N/disk file 4608 "2\n4997120\n"
gnu disk file 4096 "\u0000\u0000\u0000\u0000\u0000\u0000\u0000\u0000\u0000\u0000"
END
echo 'as described: modern-tar 0.8.6 does not know sparse files'
