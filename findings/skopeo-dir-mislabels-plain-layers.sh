#!/usr/bin/env bash
# skopeo 1.9.3 (Debian 12): copied from a docker archive to dir:, a plain tar layer is called a gzip layer.
#
# Needs: skopeo 1.9.3+ds1-1, python3.
# Expected by most: the media type of a layer in a manifest says how the blob is packed.
# Seen: the blob in the dir: is the plain tar of the archive (so its digest is its diff_id), and the manifest calls it
# ...rootfs.diff.tar.gzip. Copied to oci: the same layer is really packed with gzip. So a reader that trusts the media type
# fails on a directory that skopeo wrote.
# For mvm: a layer that is called gzip and does not begin with gzip's magic is read as plain; its digest decides.
set -euo pipefail
dpkg-query -W -f '${Version}' skopeo | grep -q '^1\.9\.3' || { echo 'another skopeo'; exit 1; }
tmp=$(mktemp -d); trap 'rm -rf "$tmp"' EXIT
cd "$tmp"
python3 - <<'PY'
import hashlib, io, json, tarfile
def tar(files):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode='w') as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name); info.size = len(data); archive.addfile(info, io.BytesIO(data))
    return out.getvalue()
layer = tar({'file': b'hi\n'})
digest = hashlib.sha256(layer).hexdigest()
config = json.dumps({'architecture': 'amd64', 'os': 'linux', 'config': {}, 'rootfs': {'type': 'layers', 'diff_ids': ['sha256:' + digest]}}).encode()
manifest = json.dumps([{'Config': 'config.json', 'RepoTags': ['x:1'], 'Layers': [digest + '/layer.tar']}]).encode()
open('archive.tar', 'wb').write(tar({'manifest.json': manifest, 'config.json': config, digest + '/layer.tar': layer}))
PY
skopeo copy -q --insecure-policy docker-archive:archive.tar dir:directory
skopeo copy -q --insecure-policy docker-archive:archive.tar oci:layout:x
python3 - <<'PY' >seen
import json
def show(name, manifest, read):
    layer = manifest['layers'][0]
    kind = 'gzip' if read(layer['digest'][7:])[:2] == b'\x1f\x8b' else 'a plain tar'
    print(f"{name}: {layer['mediaType']} is {kind}")
blob = lambda digest: open('layout/blobs/sha256/' + digest, 'rb').read()
show('dir', json.load(open('directory/manifest.json')), lambda digest: open('directory/' + digest, 'rb').read())
show('oci', json.loads(blob(json.load(open('layout/index.json'))['manifests'][0]['digest'][7:])), blob)
PY
cat seen
diff - seen <<'END'
dir: application/vnd.docker.image.rootfs.diff.tar.gzip is a plain tar
oci: application/vnd.oci.image.layer.v1.tar+gzip is gzip
END
echo 'as described: skopeo 1.9.3 calls a plain layer gzip in dir:'
