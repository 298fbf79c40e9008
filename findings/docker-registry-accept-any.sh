#!/usr/bin/env bash
# docker-registry 2.8.2 (Debian 12): an OCI image that is there answers 404 to "Accept: */*", which curl and fetch send.
#
# Needs: apt (downloads the package), python3.
# Expected by most: "*/*" accepts every type (RFC 9110), and 404 means that the tag is not there.
# Seen: an OCI manifest and an OCI index answer 200 only when their own type is in Accept; to "*/*" and to no Accept they
# answer 404 with MANIFEST_UNKNOWN. An index without the optional field mediaType answers 200 to everything, also to a
# client that accepts manifests only. A blob that is uploaded with a sha512 digest is kept; the answer names a sha256.
# For mvm: images come through skopeo, which names every type; a hand-written probe of a registry must do the same.
set -euo pipefail
tmp=$(mktemp -d); server=
trap '[ -z "$server" ] || kill "$server" 2>/dev/null || true; rm -rf "$tmp"' EXIT
cd "$tmp"
apt-get download -qq docker-registry=2.8.2+ds1-1 2>/dev/null || { echo 'another docker-registry'; exit 1; }
dpkg -x docker-registry_*.deb package
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
printf 'version: 0.1\nstorage: {filesystem: {rootdirectory: %s/storage}}\nhttp: {addr: "127.0.0.1:%s"}\n' "$tmp" "$port" >config.yml
package/usr/bin/docker-registry serve config.yml >log 2>&1 & server=$!
python3 - "$port" >seen <<'PY'
import hashlib, json, sys, time, urllib.error, urllib.request
base = f'http://127.0.0.1:{sys.argv[1]}/v2/app/'
def ask(method, url, data=None, **headers):
    request = urllib.request.Request(url, data, {name.replace('_', '-'): value for name, value in headers.items()}, method=method)
    try:
        with urllib.request.urlopen(request) as answer: return answer.status, answer.headers
    except urllib.error.HTTPError as error: return error.code, error.headers
for _ in range(100):
    try: ask('GET', f'http://127.0.0.1:{sys.argv[1]}/v2/'); break
    except urllib.error.URLError: time.sleep(0.1)
def upload(data, algorithm='sha256'):
    digest = f'{algorithm}:{hashlib.new(algorithm, data).hexdigest()}'
    place = ask('POST', base + 'blobs/uploads/')[1]['Location']
    return digest, ask('PUT', f'{place}&digest={digest}', data, Content_Type='application/octet-stream')
OCI = 'application/vnd.oci.image.'
config = b'{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[]}}'
manifest = json.dumps({'schemaVersion': 2, 'mediaType': OCI + 'manifest.v1+json', 'layers': [],
    'config': {'mediaType': OCI + 'config.v1+json', 'digest': upload(config)[0], 'size': len(config)}}).encode()
child = {'mediaType': OCI + 'manifest.v1+json', 'size': len(manifest), 'digest': 'sha256:' + hashlib.sha256(manifest).hexdigest()}
bare = {'schemaVersion': 2, 'manifests': [child]}
typed = {**bare, 'mediaType': OCI + 'index.v1+json'}
for tag, document, kind in (('manifest', manifest, 'manifest'), ('index', json.dumps(typed).encode(), 'index'), ('bare-index', json.dumps(bare).encode(), 'index')):
    ask('PUT', base + 'manifests/' + tag, document, Content_Type=OCI + kind + '.v1+json')
    answers = [ask('GET', base + 'manifests/' + tag, Accept=accept)[0] for accept in (OCI + 'manifest.v1+json', OCI + 'index.v1+json', '*/*')]
    print(f'{tag}: manifests {answers[0]}, indexes {answers[1]}, any {answers[2]}')
digest, (status, headers) = upload(b'content', 'sha512')
print('blob by sha512:', status, headers['Docker-Content-Digest'].split(':')[0])
PY
cat seen
diff - seen <<'END'
manifest: manifests 200, indexes 404, any 404
index: manifests 404, indexes 200, any 404
bare-index: manifests 200, indexes 200, any 200
blob by sha512: 201 sha256
END
echo 'as described: docker-registry 2.8.2 takes "*/*" for no type of an OCI image'
