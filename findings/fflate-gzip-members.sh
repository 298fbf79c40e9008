#!/usr/bin/env bash
# fflate 0.8.2: of a gzip file with several members only the first is unpacked, without an error.
#
# Needs: Node 20, npm.
# RFC 1952: a gzip file is a series of members; unpacking it gives their contents one after the other. OCI layers in the
# eStargz form are such files, with a member for each file, and pigz and bgzip write them as well.
# Seen: gunzipSync, decompressSync and the streaming Gunzip all return the first member's bytes and report success. Node's
# own zlib and pako 3.0.3 return all. A layer unpacked with fflate has one file instead of all.
# For mvm: layers are unpacked with Node's zlib; the digest of the unpacked bytes is compared with the image's diff_id.
set -euo pipefail
tmp=$(mktemp -d); trap 'rm -rf "$tmp"' EXIT
cd "$tmp"
npm init -y >/dev/null
npm install --silent --no-audit --no-fund --ignore-scripts fflate@0.8.2 pako@3.0.3 >/dev/null
cat >run.mjs <<'JS'
import { gunzipSync, gzipSync } from 'node:zlib';
import { decompressSync, Gunzip, gunzipSync as fflate } from 'fflate';
import { ungzip } from 'pako';
const file = Buffer.concat([gzipSync('one,'), gzipSync('two,'), gzipSync('three')]);
const text = (bytes) => Buffer.from(bytes).toString();
function stream() {
  const parts = [];
  const gunzip = new Gunzip((part) => parts.push(Buffer.from(part)));
  gunzip.push(file, true);
  return Buffer.concat(parts);
}
console.log('node zlib             ', text(gunzipSync(file)));
console.log('pako ungzip           ', text(ungzip(file)));
console.log('fflate gunzipSync     ', text(fflate(file)));
console.log('fflate decompressSync ', text(decompressSync(file)));
console.log('fflate Gunzip (stream)', text(stream()));
JS
node run.mjs >seen
cat seen
diff - seen <<'END'
node zlib              one,two,three
pako ungzip            one,two,three
fflate gunzipSync      one,
fflate decompressSync  one,
fflate Gunzip (stream) one,
END
echo 'as described: fflate 0.8.2 drops the members after the first'
