#!/usr/bin/env bash
# zstddec 0.2.0 (npm): a valid zstd frame without a content size decodes to 16 MB of wrong bytes, without an error.
#
# Needs: node, npm, zstd.
# Expected by most: decode(bytes) gives the content, or throws when it cannot know its size.
# Seen: a frame written from a pipe has no content size in its header (RFC 8878 makes it optional). decode(bytes) then
# returns 16,908,218 bytes, of which the first are not the content. The same frame decodes well when the caller gives the
# size. A frame with the size in its header decodes well. OCI layers are written from pipes, so most have no size.
# For mvm: the importer decompresses layers as a stream and checks the digest of what comes out (diff_id).
set -euo pipefail
tmp=$(mktemp -d); trap 'rm -rf "$tmp"' EXIT
cd "$tmp"
npm init -y >/dev/null
npm install --silent --no-audit --no-fund zstddec@0.2.0
seq 2000 >content
zstd -q <content >no-size.zst
zstd -q --stream-size="$(stat -c %s content)" <content >with-size.zst
cat >run.mjs <<'JS'
import { readFileSync } from 'node:fs';
import { ZSTDDecoder } from 'zstddec';
const content = readFileSync('content');
const decoder = new ZSTDDecoder();
await decoder.init();
function show(name, file, size) {
  const got = decoder.decode(new Uint8Array(readFileSync(file)), size);
  console.log(`${name}: ${got.length === content.length ? 'right length' : `${got.length} bytes`},`,
    Buffer.from(got.subarray(0, content.length)).equals(content) ? 'the content' : 'other bytes');
}
show('size in the frame', 'with-size.zst');
show('no size', 'no-size.zst');
show('no size, size given', 'no-size.zst', content.length);
JS
node run.mjs >seen
cat seen
diff - seen <<'END'
size in the frame: right length, the content
no size: 16908218 bytes, other bytes
no size, size given: right length, the content
END
echo 'as described: zstddec 0.2.0 needs the size of a frame that has none'
