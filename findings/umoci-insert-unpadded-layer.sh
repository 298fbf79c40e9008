#!/usr/bin/env bash
# umoci 0.4.7 (Debian 12): "umoci insert" writes layers that end inside a tar block; GNU tar, bsdtar and Python refuse them.
#
# Needs: umoci 0.4.7+ds-3, python3, GNU tar.
# Expected by most: a layer is a tar archive: content is padded to 512 bytes and two zero blocks end it (POSIX).
# Seen: the layer of a 3-byte file is 515 bytes long: header and content, without padding and without an end. GNU tar lists
# the file and exits with 2, Python's tarfile raises ReadError. umoci itself unpacks the image, as Go's reader takes such
# an end. "umoci repack" writes a whole archive.
# For mvm: the importer's reader takes an archive that ends after the content of its last entry, padded or not.
set -euo pipefail
dpkg-query -W -f '${Version}' umoci | grep -q '^0\.4\.7+ds-3' || { echo 'another umoci'; exit 1; }
tmp=$(mktemp -d); trap 'rm -rf "$tmp"' EXIT
cd "$tmp"
umoci init --layout image
umoci new --image image:t
printf 'hi\n' >file
umoci insert --image image:t file /file
umoci unpack --image image:t one >/dev/null 2>&1
cp one/rootfs/file one/rootfs/other
umoci repack --image image:t one >/dev/null 2>&1
python3 - <<'PY' >seen
import gzip, io, json, subprocess, tarfile
blob = lambda digest: open('image/blobs/sha256/' + digest[7:], 'rb').read()
manifest = json.loads(blob(json.load(open('image/index.json'))['manifests'][0]['digest']))
for how, layer in zip(('insert', 'repack'), manifest['layers']):
    data = gzip.decompress(blob(layer['digest']))
    tar = subprocess.run(['tar', '-t'], input=data, capture_output=True)
    try: python = 'reads ' + ' '.join(tarfile.open(fileobj=io.BytesIO(data)).getnames())
    except tarfile.ReadError as error: python = str(error)
    print(f'{how}: {len(data)} bytes, {len(data) % 512} over; tar exits with {tar.returncode}; python: {python}')
PY
cat one/rootfs/file >>seen
cat seen
diff - seen <<'END'
insert: 515 bytes, 3 over; tar exits with 2; python: unexpected end of data
repack: 2560 bytes, 0 over; tar exits with 0; python: reads . other
hi
END
echo 'as described: umoci insert writes a layer without padding and without an end'
